//! A process that is told things over its standard input, and answers each by a line.

use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child as Process, ChildStdin, ChildStdout, Command};

use crate::process::{signal, spawn};
use crate::within;

/// A running process; it goes with this value.
#[derive(Debug)]
pub(super) struct Child {
    process: Process,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Child {
    /// Starts it; `cure` is said when the program is not there.
    pub(super) fn start(command: &mut Command, cure: &str) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = spawn(command, cure);
        let input = process.stdin.take().expect("standard input");
        let output = process.stdout.take().expect("standard output");
        Self {
            process,
            input,
            output: BufReader::new(output).lines(),
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.process.id().expect("a running process")
    }

    /// The next line that it prints.
    pub(super) async fn line(&mut self) -> String {
        let line = within("a line of the process", self.output.next_line()).await;
        line.expect("a line").expect("a running process")
    }

    /// Says a line.
    pub(super) async fn say(&mut self, line: &str) {
        let line = format!("{line}\n");
        let said = self.input.write_all(line.as_bytes()).await;
        said.expect("a running process");
    }

    pub(super) async fn signal(&self, name: &str) {
        signal(&self.process, name).await;
    }

    pub(super) async fn exit(&mut self) -> ExitStatus {
        within("the end of the process", self.process.wait())
            .await
            .expect("a status")
    }
}
