//! One connection of the load.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::{Exchange, Load};

/// A text frame of 64 bytes, masked with zeros (RFC 6455 §5.2).
pub(crate) const FRAME: &[u8] =
    b"\x81\xc0\x00\x00\x00\x000123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The key is the one of RFC 6455 §1.3.
const HANDSHAKE: &str = "GET /ws HTTP/1.1\r\nHost: bench.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    exchange: Exchange,
    begun: Instant,
    /// How much of the request has been written.
    written: usize,
    /// The part of the answer's head that is here.
    head: Vec<u8>,
    /// What is missing of the answer's body, once its head is complete.
    missing: Option<usize>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    Waiting,
    Answered,
}

impl Connection {
    pub(super) fn open(target: SocketAddr, load: &Load) -> io::Result<Self> {
        let mut stream = std::net::TcpStream::connect(target)?;
        stream.set_nodelay(true)?;
        if load.exchange == Exchange::Echo {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            upgrade(&mut stream)?;
        }
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream: TcpStream::from_std(stream),
            exchange: load.exchange,
            begun: Instant::now(),
            written: 0,
            head: Vec::new(),
            missing: None,
        })
    }

    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut self.stream, token, both)
    }

    pub(super) fn begin(&mut self, due: Instant) {
        self.begun = due;
        self.written = 0;
        self.missing = (self.exchange == Exchange::Echo).then_some(FRAME.len());
    }

    /// When the request that is answered was due.
    pub(super) fn begun(&self) -> Instant {
        self.begun
    }

    pub(super) fn write(&mut self, request: &[u8]) -> io::Result<()> {
        while self.written < request.len() {
            match self.stream.write(&request[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Goes on after the socket has become readable or writable.
    pub(super) fn advance(
        &mut self,
        request: &[u8],
        buffer: &mut [u8],
    ) -> anyhow::Result<Progress> {
        if self.written > 0 && self.written < request.len() {
            self.write(request)?;
        }
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => bail!("the connection was closed"),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(Progress::Waiting);
                }
                Err(error) => return Err(error.into()),
            };
            let progress = self.take(&buffer[..read])?;
            if progress == Progress::Answered || read < buffer.len() {
                return Ok(progress);
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<Progress> {
        let missing = match self.missing {
            Some(missing) => missing
                .checked_sub(bytes.len())
                .ok_or_else(|| anyhow::anyhow!("more came than an answer"))?,
            None => {
                self.head.extend_from_slice(bytes);
                let Some((head, length)) = parse(&self.head)? else {
                    return Ok(Progress::Waiting);
                };
                let here = self.head.len() - head;
                ensure!(here <= length, "more came than an answer");
                self.head.clear();
                length - here
            }
        };
        self.missing = Some(missing);
        if missing > 0 {
            return Ok(Progress::Waiting);
        }
        self.missing = None;
        Ok(Progress::Answered)
    }
}

/// The lengths of head and body, once the head is complete.
fn parse(bytes: &[u8]) -> anyhow::Result<Option<(usize, usize)>> {
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut answer = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(head) = answer.parse(bytes)? else {
        return Ok(None);
    };
    ensure!(
        answer.code == Some(200),
        "the answer is {:?}: {}",
        answer.code,
        String::from_utf8_lossy(bytes)
    );
    let length = answer
        .headers
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))
        .and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
    match length {
        Some(length @ 1..) => Ok(Some((head, length))),
        _ => bail!("the answer has no body, or no Content-Length"),
    }
}

fn upgrade(stream: &mut std::net::TcpStream) -> io::Result<()> {
    stream.write_all(HANDSHAKE.as_bytes())?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    if head.starts_with(b"HTTP/1.1 101") {
        Ok(())
    } else {
        Err(io::Error::other(
            String::from_utf8_lossy(&head).into_owned(),
        ))
    }
}
