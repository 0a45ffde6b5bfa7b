//! Processes that are measured: pinned to a CPU, and read from `/proc`.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::scenario::PATH;

/// The CPU of the program that is measured.
pub(crate) const MEASURED_CPU: usize = 0;
/// The CPU of load and backend.
pub(crate) const OTHER_CPU: usize = 1;

/// The kernel counts CPU time in hundredths of a second, whatever its own clock (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);
const START: Duration = Duration::from_secs(20);

/// A running program, with the processes that it has started. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

/// CPU time, summed over a program's processes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct CpuTime {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
}

impl std::ops::Sub for CpuTime {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
        }
    }
}

/// Whether a request is answered there, by anything else than 404: a program that asks for a token is ready, too.
fn answers(address: SocketAddr) -> bool {
    let ask = || -> io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(1)))?;
        write!(
            stream,
            "GET {PATH} HTTP/1.1\r\nHost: bench.test\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer.starts_with(b"HTTP/1.1") && !answer.ends_with(b"404"))
    };
    ask().unwrap_or(false)
}

impl Process {
    /// Starts `command` on one CPU; what it prints goes to `log`.
    pub(crate) fn start(command: &Command, cpu: usize, log: &Path) -> anyhow::Result<Self> {
        let output = File::create(log).with_context(|| format!("{}", log.display()))?;
        let mut pinned = Command::new("taskset");
        pinned
            .args(["-c", &cpu.to_string()])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        for (name, value) in command.get_envs() {
            pinned.env(name, value.unwrap_or_default());
        }
        Ok(Self {
            child: pinned
                .spawn()
                .context("taskset is needed: apt-get install util-linux")?,
        })
    }

    /// Waits until it accepts connections and knows its routes: some programs read them when they listen already.
    pub(crate) fn wait_for(&mut self, address: SocketAddr, log: &Path) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !answers(address) {
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "ended with {status}: {}",
                    fs::read_to_string(log).unwrap_or_default()
                );
            }
            if begun.elapsed() > START {
                bail!("does not serve on {address} after {START:?}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The CPU time used so far.
    pub(crate) fn cpu_time(&self) -> io::Result<CpuTime> {
        let mut sum = CpuTime::default();
        for id in self.tree()? {
            // proc(5): the fields after the name, which may hold spaces; utime and stime are numbers 14 and 15.
            let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
            let fields = stat.rsplit(") ").next().unwrap_or_default();
            let mut ticks = fields
                .split(' ')
                .skip(11)
                .map(|field| field.parse::<u32>().unwrap_or(0));
            sum.user += TICK * ticks.next().unwrap_or(0);
            sum.system += TICK * ticks.next().unwrap_or(0);
        }
        Ok(sum)
    }

    /// Bytes of memory in use now.
    pub(crate) fn memory(&self) -> io::Result<u64> {
        self.status("VmRSS:")
    }

    /// The most bytes of memory in use since [`Process::reset_peak`].
    pub(crate) fn peak_memory(&self) -> io::Result<u64> {
        self.status("VmHWM:")
    }

    /// Forgets the peak (proc(5), `clear_refs`).
    pub(crate) fn reset_peak(&self) -> io::Result<()> {
        for id in self.tree()? {
            fs::write(format!("/proc/{id}/clear_refs"), "5")?;
        }
        Ok(())
    }

    fn status(&self, name: &str) -> io::Result<u64> {
        let mut sum = 0;
        for id in self.tree()? {
            let status = fs::read_to_string(format!("/proc/{id}/status"))?;
            let kibibytes = status
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|value| value.trim().trim_end_matches(" kB").parse::<u64>().ok());
            sum += kibibytes.unwrap_or(0) * 1024;
        }
        Ok(sum)
    }

    /// The process and its descendants.
    fn tree(&self) -> io::Result<Vec<u32>> {
        let mut ids = vec![self.child.id()];
        let mut next = 0;
        while let Some(id) = ids.get(next) {
            for task in fs::read_dir(format!("/proc/{id}/task"))? {
                let children = fs::read_to_string(task?.path().join("children"))?;
                ids.extend(
                    children
                        .split_whitespace()
                        .filter_map(|id| id.parse::<u32>().ok()),
                );
            }
            next += 1;
        }
        Ok(ids)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Children first: a supervisor would only be asked.
        for id in self.tree().unwrap_or_default().into_iter().rev() {
            let id = i32::try_from(id)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(id) = id {
                let _gone = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
        let _status = self.child.wait();
    }
}
