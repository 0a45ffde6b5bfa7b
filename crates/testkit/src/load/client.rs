//! The connections of a load.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::answer::{self, Answer};
use super::{Failure, Load, Outcome, Reuse};
use crate::faults::REQUEST_ID;

#[derive(Debug)]
pub(super) struct Clients {
    target: SocketAddr,
    path: String,
    reuse: Reuse,
    patience: Duration,
    /// As many as there may be connections.
    permits: Semaphore,
    /// Those that have nothing to do; the one used last is used first.
    idle: Mutex<Vec<TcpStream>>,
}

impl Clients {
    pub(super) fn new(load: &Load) -> Self {
        Self {
            target: load.target,
            path: load.path.clone(),
            reuse: load.reuse,
            patience: load.patience,
            permits: Semaphore::new(load.connections),
            idle: Mutex::default(),
        }
    }

    /// Sends a request that was due at this time; what came of it, and which backend has answered.
    pub(super) async fn request(
        &self,
        method: &str,
        id: u64,
        body: Option<usize>,
        due: Instant,
    ) -> (Outcome, Option<u16>) {
        let exchanged = self.exchange(method, id, body);
        match tokio::time::timeout_at(due + self.patience, exchanged).await {
            Ok(Ok(answer)) => {
                let code = (answer.status >= 400).then(|| code(&answer.body)).flatten();
                let status = answer.status;
                (Outcome::Answered { status, code }, answer.backend)
            }
            Ok(Err(failure)) => (Outcome::Failed(failure), None),
            Err(_) => (Outcome::Failed(Failure::Timeout), None),
        }
    }

    async fn exchange(
        &self,
        method: &str,
        id: u64,
        body: Option<usize>,
    ) -> Result<Answer, Failure> {
        let _permit = self.permits.acquire().await.expect("never closed");
        let mut stream = match self.kept() {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let request = self.request_bytes(method, id, body);
        // A server may answer and close before it has read everything: its answer is looked for in any case.
        let _ = stream.write_all(&request).await;
        let answer = answer::read(&mut stream, method).await?;
        if self.reuse == Reuse::Kept && answer.reusable {
            self.idle.lock().expect("a lock").push(stream);
        }
        Ok(answer)
    }

    /// An idle connection that the server has not closed: what is asked for is how requests fare, not this client.
    fn kept(&self) -> Option<TcpStream> {
        loop {
            let stream = self.idle.lock().expect("a lock").pop()?;
            let read = stream.try_read(&mut [0]);
            if read.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock) {
                return Some(stream);
            }
        }
    }

    async fn connect(&self) -> Result<TcpStream, Failure> {
        let stream = TcpStream::connect(self.target).await;
        let stream = stream.map_err(|_| Failure::Connect)?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        Ok(stream)
    }

    fn request_bytes(&self, method: &str, id: u64, body: Option<usize>) -> Vec<u8> {
        let path = &self.path;
        let mut head =
            format!("{method} {path} HTTP/1.1\r\nHost: load.test\r\n{REQUEST_ID}: {id}\r\n");
        if let Some(size) = body {
            head.push_str(&format!("Content-Length: {size}\r\n"));
        }
        if self.reuse == Reuse::Fresh {
            head.push_str("Connection: close\r\n");
        }
        head.push_str("\r\n");
        let mut request = head.into_bytes();
        request.resize(request.len() + body.unwrap_or(0), b'x');
        request
    }
}

/// The code of the gateway's own problem documents, which says what went wrong.
fn code(body: &[u8]) -> Option<Box<str>> {
    let problem: serde_json::Value = serde_json::from_slice(body).ok()?;
    problem["code"].as_str().map(Into::into)
}
