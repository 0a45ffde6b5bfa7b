//! What a faulty backend can be told, as values and as the words that its process is told them in.
//!
//! The words are those of [`Display`](std::fmt::Display), and times are milliseconds: whoever starts the program by
//! hand types `behave idle-close 1000`.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use std::time::Duration;

/// One thing that is wrong with a backend, or nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// All is well: 200 after the latency.
    Nothing,
    /// Nobody listens, and all connections are closed: as if the process had died.
    Refuse,
    /// Connections are reset as they come, and kept ones as their next request comes; none is executed.
    ResetOnAccept,
    /// Requests are executed, and answered by a reset.
    ResetAfterRequest,
    /// Requests are executed, and no byte follows until the other side gives up.
    StallBeforeHead,
    /// Half of the answer's head comes, and no more.
    StallInHead,
    /// The answer's head and half of its body come, and no more.
    StallInBody,
    /// The answer is not HTTP.
    Garbage,
    /// `Content-Length` promises more than comes before the connection ends.
    LengthTooLarge,
    /// More comes than `Content-Length` says: what could be taken for the answer to somebody else's request.
    LengthTooSmall,
    /// Connections that have been idle for so long are closed.
    IdleClose(Duration),
    /// Each connection is closed behind its first answer, which has not said so.
    CloseAfterAnswer,
    /// The latency is so many times as long.
    Slow(f64),
    /// This status with a probability (0 to 1), else 200.
    Status(u16, f64),
}

/// How a backend behaves as time goes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Behaviour {
    /// The same all the time.
    Steady(Fault),
    /// One for the period, then the other for the period, and again.
    Flap(Duration, Fault, Fault),
}

/// How long a healthy backend takes to answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Latency {
    /// Always so long.
    Fixed(Duration),
    /// Anything between the two, all equally likely.
    Uniform(Duration, Duration),
    /// Exponentially distributed, with this mean.
    Exponential(Duration),
    /// Mostly the first; with the probability, the second.
    Tail(Duration, Duration, f64),
}

/// What `/health` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// It fares as all requests do, and is 503 while the backend drains.
    AsItIs,
    /// 200 whatever is wrong with other answers, as of a process that lives and does not work.
    Up,
    /// 503 whatever is right with other answers.
    Down,
}

/// All that a backend can be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// Behave so from now on; a flap begins with its first.
    Behave(Behaviour),
    /// Take so long to answer.
    Latency(Latency),
    /// Say so at `/health`.
    Health(Health),
    /// After SIGTERM, go on listening for so long, with `/health` 503 already.
    Lead(Duration),
}

impl From<Fault> for Behaviour {
    fn from(fault: Fault) -> Self {
        Self::Steady(fault)
    }
}

impl Behaviour {
    /// What is wrong so long after the behaviour has been taken up, and for how much longer it is.
    #[must_use]
    pub fn at(&self, elapsed: Duration) -> (Fault, Option<Duration>) {
        match *self {
            Self::Steady(fault) => (fault, None),
            Self::Flap(period, first, second) => {
                let period = period.max(Duration::from_millis(1)).as_nanos();
                let (turn, within) = (elapsed.as_nanos() / period, elapsed.as_nanos() % period);
                let fault = if turn.is_multiple_of(2) {
                    first
                } else {
                    second
                };
                let left = u64::try_from(period - within).unwrap_or(u64::MAX);
                (fault, Some(Duration::from_nanos(left)))
            }
        }
    }
}

impl Latency {
    /// The latency of one answer.
    #[must_use]
    pub fn draw(&self) -> Duration {
        match *self {
            Self::Fixed(time) => time,
            Self::Uniform(least, most) => {
                least + most.saturating_sub(least).mul_f64(fastrand::f64())
            }
            // 1 - f64() is never 0, whose logarithm would be infinite.
            Self::Exponential(mean) => mean.mul_f64(-(1.0 - fastrand::f64()).ln()),
            Self::Tail(usual, rare, probability) => {
                if fastrand::f64() < probability {
                    rare
                } else {
                    usual
                }
            }
        }
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

impl Display for Fault {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Nothing => to.write_str("nothing"),
            Self::Refuse => to.write_str("refuse"),
            Self::ResetOnAccept => to.write_str("reset-on-accept"),
            Self::ResetAfterRequest => to.write_str("reset-after-request"),
            Self::StallBeforeHead => to.write_str("stall-before-head"),
            Self::StallInHead => to.write_str("stall-in-head"),
            Self::StallInBody => to.write_str("stall-in-body"),
            Self::Garbage => to.write_str("garbage"),
            Self::LengthTooLarge => to.write_str("length-too-large"),
            Self::LengthTooSmall => to.write_str("length-too-small"),
            Self::IdleClose(time) => write!(to, "idle-close {}", milliseconds(time)),
            Self::CloseAfterAnswer => to.write_str("close-after-answer"),
            Self::Slow(factor) => write!(to, "slow {factor}"),
            Self::Status(status, probability) => write!(to, "status {status} {probability}"),
        }
    }
}

impl Display for Behaviour {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Steady(fault) => fault.fmt(to),
            Self::Flap(period, first, second) => {
                write!(to, "flap {} {first} / {second}", milliseconds(*period))
            }
        }
    }
}

impl Display for Latency {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Fixed(time) => write!(to, "fixed {}", milliseconds(time)),
            Self::Uniform(least, most) => {
                write!(to, "uniform {} {}", milliseconds(least), milliseconds(most))
            }
            Self::Exponential(mean) => write!(to, "exponential {}", milliseconds(mean)),
            Self::Tail(usual, rare, probability) => {
                let (usual, rare) = (milliseconds(usual), milliseconds(rare));
                write!(to, "tail {usual} {rare} {probability}")
            }
        }
    }
}

impl Display for Health {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::AsItIs => "as-it-is",
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

impl Display for Command {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behave(behaviour) => write!(to, "behave {behaviour}"),
            Self::Latency(latency) => write!(to, "latency {latency}"),
            Self::Health(health) => write!(to, "health {health}"),
            Self::Lead(time) => write!(to, "lead {}", milliseconds(*time)),
        }
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = Words::of(line);
        let command = match words.next()? {
            "behave" => Self::Behave(words.behaviour()?),
            "latency" => Self::Latency(words.latency()?),
            "health" => Self::Health(words.health()?),
            "lead" => Self::Lead(words.time()?),
            other => return Err(format!("{other:?} is no command")),
        };
        match words.rest.next() {
            None => Ok(command),
            Some(word) => Err(format!("{word:?} is one word too many")),
        }
    }
}

/// The words of a command that have not been understood yet.
struct Words<'a> {
    rest: std::str::SplitWhitespace<'a>,
}

impl<'a> Words<'a> {
    fn of(line: &'a str) -> Self {
        Self {
            rest: line.split_whitespace(),
        }
    }

    fn next(&mut self) -> Result<&'a str, String> {
        self.rest.next().ok_or_else(|| "a word is missing".into())
    }

    fn number<T: FromStr>(&mut self) -> Result<T, String> {
        let word = self.next()?;
        word.parse().map_err(|_| format!("{word:?} is no number"))
    }

    fn time(&mut self) -> Result<Duration, String> {
        let milliseconds: f64 = self.number()?;
        Duration::try_from_secs_f64(milliseconds / 1000.0).map_err(|error| error.to_string())
    }

    fn probability(&mut self) -> Result<f64, String> {
        let probability = self.number()?;
        if (0.0..=1.0).contains(&probability) {
            Ok(probability)
        } else {
            Err(format!("{probability} is no probability"))
        }
    }

    fn factor(&mut self) -> Result<f64, String> {
        let factor = self.number()?;
        if (0.0..=1e6).contains(&factor) {
            Ok(factor)
        } else {
            Err(format!("{factor} is no factor"))
        }
    }

    fn behaviour(&mut self) -> Result<Behaviour, String> {
        if self.rest.clone().next() != Some("flap") {
            return Ok(Behaviour::Steady(self.fault()?));
        }
        let _flap = self.next()?;
        let (period, first) = (self.time()?, self.fault()?);
        match self.next()? {
            "/" => Ok(Behaviour::Flap(period, first, self.fault()?)),
            other => Err(format!("{other:?} in place of a slash")),
        }
    }

    fn fault(&mut self) -> Result<Fault, String> {
        Ok(match self.next()? {
            "nothing" => Fault::Nothing,
            "refuse" => Fault::Refuse,
            "reset-on-accept" => Fault::ResetOnAccept,
            "reset-after-request" => Fault::ResetAfterRequest,
            "stall-before-head" => Fault::StallBeforeHead,
            "stall-in-head" => Fault::StallInHead,
            "stall-in-body" => Fault::StallInBody,
            "garbage" => Fault::Garbage,
            "length-too-large" => Fault::LengthTooLarge,
            "length-too-small" => Fault::LengthTooSmall,
            "idle-close" => Fault::IdleClose(self.time()?),
            "close-after-answer" => Fault::CloseAfterAnswer,
            "slow" => Fault::Slow(self.factor()?),
            "status" => Fault::Status(self.number()?, self.probability()?),
            other => return Err(format!("{other:?} is no fault")),
        })
    }

    fn latency(&mut self) -> Result<Latency, String> {
        Ok(match self.next()? {
            "fixed" => Latency::Fixed(self.time()?),
            "uniform" => Latency::Uniform(self.time()?, self.time()?),
            "exponential" => Latency::Exponential(self.time()?),
            "tail" => Latency::Tail(self.time()?, self.time()?, self.probability()?),
            other => return Err(format!("{other:?} is no latency")),
        })
    }

    fn health(&mut self) -> Result<Health, String> {
        Ok(match self.next()? {
            "as-it-is" => Health::AsItIs,
            "up" => Health::Up,
            "down" => Health::Down,
            other => return Err(format!("{other:?} is no health")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn commands_are_understood_as_they_are_said() {
        let faults = [
            Fault::Nothing,
            Fault::Refuse,
            Fault::ResetOnAccept,
            Fault::ResetAfterRequest,
            Fault::StallBeforeHead,
            Fault::StallInHead,
            Fault::StallInBody,
            Fault::Garbage,
            Fault::LengthTooLarge,
            Fault::LengthTooSmall,
            Fault::IdleClose(SECOND),
            Fault::CloseAfterAnswer,
            Fault::Slow(10.0),
            Fault::Status(503, 0.25),
        ];
        let latencies = [
            Latency::Fixed(SECOND / 4),
            Latency::Uniform(SECOND / 4, SECOND),
            Latency::Exponential(SECOND / 8),
            Latency::Tail(SECOND / 4, SECOND, 0.5),
        ];
        let steady = faults.map(|fault| Command::Behave(fault.into()));
        let flaps =
            faults.map(|fault| Command::Behave(Behaviour::Flap(SECOND, fault, Fault::Slow(2.0))));
        let healths = [Health::AsItIs, Health::Up, Health::Down].map(Command::Health);
        let rest = latencies.map(Command::Latency).into_iter().chain(healths);
        let rest = rest.chain([Command::Lead(SECOND / 2)]);
        for command in steady.into_iter().chain(flaps).chain(rest) {
            assert_eq!(command.to_string().parse(), Ok(command), "{command}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        for line in [
            "",
            "dance",
            "behave",
            "behave badly",
            "behave refuse now",
            "behave idle-close -1",
            "behave status 503 1.5",
            "behave flap 10 refuse nothing",
            "behave flap 10 flap 10 refuse / nothing / nothing",
            "latency fixed soon",
        ] {
            assert!(line.parse::<Command>().is_err(), "{line}");
        }
    }

    #[test]
    fn a_flap_alternates_with_its_period() {
        let flap = Behaviour::Flap(SECOND, Fault::Refuse, Fault::Nothing);
        assert_eq!(flap.at(Duration::ZERO), (Fault::Refuse, Some(SECOND)));
        assert_eq!(flap.at(SECOND * 3 / 2), (Fault::Nothing, Some(SECOND / 2)));
        assert_eq!(flap.at(SECOND * 2), (Fault::Refuse, Some(SECOND)));
    }
}
