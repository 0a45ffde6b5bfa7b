//! An HTTP/2 client that sends exactly the frames it is given, in whatever order (RFC 9113, RFC 7541).

use std::fmt::Debug;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;

use crate::within;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
#[allow(missing_docs)]
pub mod kind {
    pub const DATA: u8 = 0;
    pub const HEADERS: u8 = 1;
    pub const PRIORITY: u8 = 2;
    pub const RST_STREAM: u8 = 3;
    pub const SETTINGS: u8 = 4;
    pub const PING: u8 = 6;
    pub const GOAWAY: u8 = 7;
    pub const WINDOW_UPDATE: u8 = 8;
    pub const CONTINUATION: u8 = 9;
}

/// Flags of frames.
#[allow(missing_docs)]
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const END: u8 = END_STREAM | END_HEADERS;
}

/// Why a stream or a connection ends.
#[allow(missing_docs)]
pub mod reason {
    pub const NO_ERROR: u32 = 0;
    pub const PROTOCOL_ERROR: u32 = 1;
    pub const FLOW_CONTROL_ERROR: u32 = 3;
    pub const STREAM_CLOSED: u32 = 5;
    pub const FRAME_SIZE_ERROR: u32 = 6;
    pub const REFUSED_STREAM: u32 = 7;
    pub const CANCEL: u32 = 8;
    pub const COMPRESSION_ERROR: u32 = 9;
    pub const ENHANCE_YOUR_CALM: u32 = 11;
}

/// A frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type.
    pub kind: u8,
    /// Its flags.
    pub flags: u8,
    /// The stream that it belongs to.
    pub stream: u32,
    /// What is in it.
    pub payload: Vec<u8>,
}

impl Frame {
    /// The number at this place in the payload.
    #[must_use]
    pub fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// A frame's bytes.
#[must_use]
pub fn frame_bytes(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .expect("a length")
        .to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Settings as a frame's payload has them.
#[must_use]
pub fn settings_payload(settings: &[(u16, u32)]) -> Vec<u8> {
    let pairs = settings.iter();
    pairs
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect()
}

/// A header block of literals that are not indexed: names and values go as they are, whatever they hold.
#[must_use]
pub fn header_block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        push_string(&mut block, name.as_bytes());
        push_string(&mut block, value.as_bytes());
    }
    block
}

/// A literal that goes into the dynamic table, where it is the first, number 62, then.
#[must_use]
pub fn indexed_literal(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0x40];
    push_string(&mut block, name.as_bytes());
    push_string(&mut block, value.as_bytes());
    block
}

/// RFC 7541 §5.1 and §5.2, without Huffman coding.
fn push_string(block: &mut Vec<u8>, text: &[u8]) {
    if text.len() < 127 {
        block.push(text.len() as u8);
    } else {
        block.push(127);
        let mut left = text.len() - 127;
        while left >= 128 {
            block.push((left % 128) as u8 | 128);
            left /= 128;
        }
        block.push(left as u8);
    }
    block.extend(text);
}

/// The pseudo-fields of a request for `path`, and `more`.
#[must_use]
pub fn request_fields<'a>(
    method: &'a str,
    path: &'a str,
    more: &[(&'a str, &'a str)],
) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        (":method", method),
        (":scheme", "http"),
        (":authority", "gateway.test"),
        (":path", path),
    ];
    fields.extend(more);
    fields
}

/// What has become of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// None when there was no head.
    pub status: Option<u16>,
    /// What has come of the body.
    pub body: Vec<u8>,
    /// Why it was reset, if it was.
    pub reset: Option<u32>,
    /// Why the connection was ended before it, if it was.
    pub goaway: Option<u32>,
}

/// What frames go over: with TLS, or without.
trait Transport: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Transport for T {}

/// The sending side of a connection to the gateway.
#[derive(Debug)]
pub struct Writer {
    stream: WriteHalf<Box<dyn Transport>>,
}

/// Its receiving side.
#[derive(Debug)]
pub struct Reader {
    stream: ReadHalf<Box<dyn Transport>>,
    buffer: Vec<u8>,
}

/// A connection to the gateway.
#[derive(Debug)]
pub struct Client {
    /// Its receiving side.
    pub reader: Reader,
    /// Its sending side.
    pub writer: Writer,
}

impl Client {
    /// Connects, and says nothing yet.
    pub async fn silent(address: SocketAddr) -> Self {
        let stream = within("connecting", TcpStream::connect(address))
            .await
            .expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        Self::over(stream)
    }

    /// Says nothing yet on a connection that is there.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Debug + Send + Unpin + 'static) -> Self {
        let stream: Box<dyn Transport> = Box::new(stream);
        let (reader, writer) = split(stream);
        Self {
            reader: Reader {
                stream: reader,
                buffer: Vec::new(),
            },
            writer: Writer { stream: writer },
        }
    }

    /// Connects with these settings.
    pub async fn with_settings(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut client = Self::silent(address).await;
        client.begin(settings).await;
        client
    }

    /// Connects, and has the settings of both sides agreed upon.
    pub async fn connect(address: SocketAddr) -> Self {
        let mut client = Self::silent(address).await;
        client.agree().await;
        client
    }

    /// Sends the preface, with these settings. The gateway is told to index no fields, so that its answers can be read
    /// without a table.
    async fn begin(&mut self, settings: &[(u16, u32)]) {
        let settings = settings_payload(&[&[(1, 0)], settings].concat());
        self.send(PREFACE).await;
        self.frame(kind::SETTINGS, 0, 0, &settings).await;
    }

    /// Has the settings of both sides agreed upon.
    pub async fn agree(&mut self) {
        self.begin(&[]).await;
        self.frame(kind::PING, 0, 0, b"settled?").await;
        while self.next_raw().await.expect("a frame").payload != b"settled?" {}
    }

    /// Sends bytes as they are. A peer that does not take them is found out by reading.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = within("sending", self.writer.send(bytes.as_ref())).await;
    }

    /// Sends a frame.
    pub async fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        self.send(frame_bytes(kind, flags, stream, payload)).await;
    }

    /// Sends a request's head; `flags` say whether that is all.
    pub async fn headers(&mut self, stream: u32, flags: u8, fields: &[(&str, &str)]) {
        let block = header_block(fields);
        self.frame(kind::HEADERS, flags, stream, &block).await;
    }

    /// Sends a GET.
    pub async fn get(&mut self, stream: u32, path: &str) {
        let fields = request_fields("GET", path, &[]);
        self.headers(stream, flag::END, &fields).await;
    }

    /// The next frame of whatever kind, none at the end. Settings and pings are acknowledged.
    pub async fn next_raw(&mut self) -> Option<Frame> {
        let frame = within("a frame", self.reader.next()).await?;
        if [kind::SETTINGS, kind::PING].contains(&frame.kind) && frame.flags & flag::ACK == 0 {
            let ack = match frame.kind {
                kind::PING => &frame.payload[..],
                _ => &[],
            };
            self.frame(frame.kind, flag::ACK, 0, ack).await;
        }
        Some(frame)
    }

    /// The next frame that is no more than housekeeping, none at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next_raw().await?;
            if ![kind::SETTINGS, kind::PING, kind::WINDOW_UPDATE].contains(&frame.kind) {
                return Some(frame);
            }
        }
    }

    /// What becomes of a stream. What comes on others is passed over.
    pub async fn answer(&mut self, stream: u32) -> Answer {
        let mut answer = Answer::default();
        while let Some(frame) = self.next().await {
            if frame.kind == kind::GOAWAY && frame.number(4) != reason::NO_ERROR {
                answer.goaway = Some(frame.number(4));
                return answer;
            }
            if frame.stream != stream {
                continue;
            }
            match frame.kind {
                kind::HEADERS if answer.status.is_none() => {
                    answer.status = Some(status(&frame.payload));
                }
                kind::DATA => answer.body.extend(&frame.payload),
                kind::RST_STREAM => {
                    answer.reset = Some(frame.number(0));
                    return answer;
                }
                _ => {}
            }
            if frame.flags & flag::END_STREAM != 0 {
                return answer;
            }
        }
        panic!("the connection ended before stream {stream}: {answer:?}");
    }

    /// Why the gateway ends the connection, which it then must do.
    pub async fn goaway(&mut self) -> u32 {
        self.reader.goaway().await
    }
}

impl Writer {
    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the gateway has closed the connection.
    pub async fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }
}

impl Reader {
    /// The next frame of whatever kind, none at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let [high, middle, low, kind, flags, rest @ ..] = &self.buffer[..] {
                let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
                if rest.len() >= 4 + length {
                    let frame = Frame {
                        kind: *kind,
                        flags: *flags,
                        stream: u32::from_be_bytes(rest[..4].try_into().expect("four bytes")),
                        payload: rest[4..4 + length].to_vec(),
                    };
                    self.buffer.drain(..9 + length);
                    return Some(frame);
                }
            }
            match self.stream.read_buf(&mut self.buffer).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Why the gateway ends the connection, which it then must do.
    pub async fn goaway(&mut self) -> u32 {
        let mut last = None;
        while let Some(frame) = within("the end", self.next()).await {
            if frame.kind == kind::GOAWAY {
                last = Some(frame.number(4));
            }
        }
        last.expect("a GOAWAY")
    }
}

/// The status at the beginning of a header block.
fn status(block: &[u8]) -> u16 {
    const STATIC: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        // The size of the table, which comes first.
        [size, rest @ ..] if size >> 5 == 1 => status(rest),
        [index @ 0x88..=0x8e, ..] => STATIC[usize::from(index - 0x88)],
        [0x48 | 0x08 | 0x18, length, text @ ..] => {
            let text = &text[..usize::from(length & 0x7f)];
            if length & 0x80 == 0 {
                let text = std::str::from_utf8(text).expect("a status");
                return text.parse().expect("a status");
            }
            huffman_digits(text)
        }
        _ => panic!("no status at the beginning of {block:?}"),
    }
}

/// RFC 7541, Appendix B: `0` to `2` have five bits, the other digits six.
fn huffman_digits(bytes: &[u8]) -> u16 {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1));
    let mut number = 0;
    for _ in 0..3 {
        let five = (0..5).fold(0, |code, _| code << 1 | u16::from(bits.next().unwrap_or(1)));
        let digit = if five < 3 {
            five
        } else {
            (five << 1 | u16::from(bits.next().unwrap_or(1))) - 0b01_1001 + 3
        };
        number = number * 10 + digit;
    }
    number
}
