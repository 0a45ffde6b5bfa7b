//! The script that counts in Redis: what it is asked, and what it answers.

use std::time::Duration;

use rate_limiter::{Decision, Policy, SLICES};
use redis::{Cmd, RedisError, RedisResult};

/// What runs in Redis, all of it or nothing.
const SOURCE: &str = include_str!("take.lua");

/// What is asked about one limit.
#[derive(Debug, Clone)]
pub(in super::super) struct Ask<'a> {
    /// Its place among what is asked about the request.
    pub(in super::super) place: usize,
    /// The limit's name in Redis, and a digest of the client.
    pub(in super::super) name: &'a str,
    pub(in super::super) client: u128,
    pub(in super::super) policy: Policy,
    pub(in super::super) units: u32,
    pub(in super::super) intent: Intent,
}

/// How units are to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Intent {
    /// If all limits of the call have room.
    Take,
    /// If this one has room.
    TakeAlone,
    /// Not at all: the request is refused already.
    Look,
}

impl Ask<'_> {
    /// The key of the count. In a cluster all keys of one client lie in one place: what is in braces decides.
    fn key(&self) -> String {
        format!("{}{{{:032x}}}", self.name, self.client)
    }
}

/// The script, and the name that Redis gives it.
#[derive(Debug)]
pub(super) struct Script {
    hash: String,
}

impl Script {
    pub(super) fn new() -> Self {
        let hash = redis::Script::new(SOURCE).get_hash().to_owned();
        Self { hash }
    }

    /// Tells Redis of the script.
    pub(super) fn load(&self) -> Cmd {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(SOURCE);
        command
    }

    /// Runs the script, which Redis knows.
    pub(super) fn run(&self, asks: &[Ask<'_>]) -> Cmd {
        command("EVALSHA", &self.hash, asks)
    }

    /// Runs the script, and tells Redis of it.
    pub(super) fn load_and_run(&self, asks: &[Ask<'_>]) -> Cmd {
        command("EVAL", SOURCE, asks)
    }
}

fn command(verb: &str, script: &str, asks: &[Ask<'_>]) -> Cmd {
    let mut command = redis::cmd(verb);
    command.arg(script).arg(asks.len());
    for ask in asks {
        command.arg(ask.key());
    }
    for ask in asks {
        let how = match ask.intent {
            Intent::Take => "take",
            Intent::TakeAlone => "alone",
            Intent::Look => "look",
        };
        command
            .arg(ask.policy.limit())
            .arg(slice(&ask.policy))
            .arg(ask.units)
            .arg(how);
    }
    command
}

/// The length of a slice of the window, in microseconds: at least 625.
fn slice(policy: &Policy) -> u64 {
    u64::try_from(policy.window().as_micros()).unwrap_or(u64::MAX) / SLICES as u64
}

/// The decisions in an answer to so many questions.
pub(super) fn decisions(answer: &[u64], asked: usize) -> RedisResult<Vec<Decision>> {
    let (told, rest) = answer.as_chunks::<4>();
    if told.len() != asked || !rest.is_empty() {
        let error = (
            redis::ErrorKind::UnexpectedReturnType,
            "not an answer of the script",
        );
        return Err(RedisError::from(error));
    }
    let decision = |&[allowed, remaining, retry_after, reset]: &[u64; 4]| Decision {
        allowed: allowed == 1,
        remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
        retry_after: Duration::from_micros(retry_after),
        reset: Duration::from_micros(reset),
    };
    Ok(told.iter().map(decision).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(client: u128, intent: Intent) -> Ask<'static> {
        Ask {
            place: 0,
            name: "limit:",
            client,
            policy: Policy::new(10, Duration::from_secs(16)).unwrap(),
            units: 2,
            intent,
        }
    }

    #[test]
    fn all_limits_of_a_request_go_in_one_command() {
        let asks = [ask(1, Intent::Take), ask(u128::MAX, Intent::Look)];
        let sent = Script::new().run(&asks).get_packed_command();
        let sent = String::from_utf8(sent).unwrap();
        let words: Vec<&str> = sent
            .split("\r\n")
            .filter(|line| !line.starts_with(['$', '*']) && !line.is_empty())
            .collect();
        assert_eq!(words[0], "EVALSHA");
        assert_eq!(
            words[2..],
            [
                "2",
                "limit:{00000000000000000000000000000001}",
                "limit:{ffffffffffffffffffffffffffffffff}",
                "10",
                "1000000",
                "2",
                "take",
                "10",
                "1000000",
                "2",
                "look"
            ]
        );
    }

    #[test]
    fn answers_are_decisions_or_errors() {
        let read = decisions(&[1, 3, 0, 7, 0, 0, 5, 9], 2).unwrap();
        assert_eq!((read[0].allowed, read[0].remaining), (true, 3));
        assert_eq!(read[1].retry_after, Duration::from_micros(5));
        assert!(decisions(&[1, 3, 0], 1).is_err());
        assert!(decisions(&[1, 3, 0, 7], 2).is_err());
    }
}
