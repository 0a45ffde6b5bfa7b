//! The backend of all programs: fixed answers, as quickly as one thread can.

use std::io::{self, Read, Write};
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// The small JSON answer.
pub(crate) const JSON: &str = r#"{"id":42,"name":"Ada Lovelace","email":"ada@example.com","roles":["admin","author"],"created":"2026-01-01T00:00:00Z"}"#;

const LISTENER: Token = Token(usize::MAX);
/// The key and its answer in RFC 6455 §1.3.
const WEBSOCKET: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
    write: Vec<u8>,
    written: usize,
    /// Bytes of a request's body that are still to come.
    body: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Serving,
    /// After an upgrade: all bytes go back.
    Echoing,
    /// Closes when everything is written.
    Closing,
}

/// What lets the small answer be cached, by whoever asks for it, and what many a backend adds.
const CACHEABLE: &str = "Date: Thu, 01 Jan 2026 00:00:00 GMT\r\nCache-Control: public, max-age=2000000000\r\n\
     ETag: \"5f0c9a7be1d24c55\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nX-Powered-By: bench\r\n";

struct Answers {
    json: Vec<u8>,
    cacheable: Vec<u8>,
    medium: Vec<u8>,
    large: Vec<u8>,
}

/// Serves on `listen` until it is killed.
pub(crate) fn run(listen: SocketAddr) -> io::Result<()> {
    let answers = Answers {
        json: answer("application/json", "", JSON.as_bytes()),
        cacheable: answer("application/json", CACHEABLE, JSON.as_bytes()),
        medium: answer("application/octet-stream", "", &vec![b'm'; 16 * 1024]),
        large: answer("application/octet-stream", "", &vec![b'l'; 1024 * 1024]),
    };
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(listen)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let (mut connections, mut free) = (Vec::<Option<Connection>>::new(), Vec::new());
    let (mut events, mut buffer) = (Events::with_capacity(1024), vec![0; 256 * 1024]);
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let index = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    stream.set_nodelay(true)?;
                    let both = Interest::READABLE | Interest::WRITABLE;
                    poll.registry().register(&mut stream, Token(index), both)?;
                    connections[index] = Some(Connection::new(stream));
                }
                continue;
            }
            let index = event.token().0;
            let Some(connection) = connections.get_mut(index).and_then(Option::as_mut) else {
                continue;
            };
            let ended = event.is_read_closed();
            if !connection
                .turn(&answers, &mut buffer, ended)
                .unwrap_or(false)
            {
                connections[index] = None;
                free.push(index);
            }
        }
    }
}

fn answer(kind: &str, more: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n{more}\r\n"
    )
    .into_bytes();
    answer.extend_from_slice(body);
    answer
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            read: Vec::new(),
            write: Vec::new(),
            written: 0,
            body: 0,
            state: State::Serving,
        }
    }

    /// Reads, answers and writes as far as it goes; `ended` says that the peer has said its last. Whether the
    /// connection lives on.
    fn turn(&mut self, answers: &Answers, buffer: &mut [u8], ended: bool) -> io::Result<bool> {
        if !self.flush()? {
            return Ok(true);
        }
        loop {
            let read = match self.stream.read(buffer) {
                Ok(0) => return Ok(false),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            };
            self.take(&buffer[..read], answers)?;
            let flushed = self.flush()?;
            if flushed && self.state == State::Closing {
                return Ok(false);
            }
            // A short read has emptied the socket, unless its end is behind it: of that there is no second event.
            if (read < buffer.len() && !ended) || !flushed {
                return Ok(true);
            }
        }
    }

    fn take(&mut self, mut bytes: &[u8], answers: &Answers) -> io::Result<()> {
        if self.state == State::Echoing {
            self.write.extend_from_slice(bytes);
            return Ok(());
        }
        if self.body > 0 {
            let taken = self.body.min(bytes.len());
            self.body -= taken;
            bytes = &bytes[taken..];
            if self.body == 0 {
                self.write.extend_from_slice(&answers.json);
            }
        }
        self.read.extend_from_slice(bytes);
        while let Some(end) = memchr::memmem::find(&self.read, b"\r\n\r\n") {
            let end = end + 4;
            let request = Request::parse(&self.read[..end])?;
            if request.closes {
                self.state = State::Closing;
            }
            if request.upgrades {
                self.state = State::Echoing;
                self.write.extend_from_slice(WEBSOCKET.as_bytes());
                self.write.extend_from_slice(&self.read[end..]);
                self.read.clear();
                return Ok(());
            }
            let taken = request.length.min(self.read.len() - end);
            self.body = request.length - taken;
            if self.body == 0 {
                self.write.extend_from_slice(match request.size {
                    Size::Small => &answers.json,
                    Size::Cacheable => &answers.cacheable,
                    Size::Medium => &answers.medium,
                    Size::Large => &answers.large,
                });
            }
            self.read.drain(..end + taken);
        }
        Ok(())
    }

    /// Whether everything has been written.
    fn flush(&mut self) -> io::Result<bool> {
        while self.written < self.write.len() {
            match self.stream.write(&self.write[self.written..]) {
                Ok(written) => self.written += written,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.write.clear();
        self.written = 0;
        Ok(true)
    }
}

enum Size {
    Small,
    Cacheable,
    Medium,
    Large,
}

struct Request {
    size: Size,
    length: usize,
    closes: bool,
    upgrades: bool,
}

impl Request {
    fn parse(head: &[u8]) -> io::Result<Self> {
        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut parsed = httparse::Request::new(&mut fields);
        parsed.parse(head).map_err(io::Error::other)?;
        let field = |name: &str| {
            parsed
                .headers
                .iter()
                .find(|field| field.name.eq_ignore_ascii_case(name))
                .and_then(|field| std::str::from_utf8(field.value).ok())
        };
        if field("transfer-encoding").is_some() {
            return Err(io::Error::other("the bench sends no chunked bodies"));
        }
        Ok(Self {
            size: match parsed.path.unwrap_or_default().rsplit('/').next() {
                Some("16k") => Size::Medium,
                Some("1m") => Size::Large,
                Some("cacheable") => Size::Cacheable,
                _ => Size::Small,
            },
            length: field("content-length")
                .and_then(|length| length.parse().ok())
                .unwrap_or(0),
            closes: field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")),
            upgrades: field("upgrade").is_some(),
        })
    }
}
