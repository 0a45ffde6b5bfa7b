//! HTTP/1.1 messages as they come over the wire, read without any help from the code under test.

use tokio::io::{AsyncRead, AsyncReadExt};

/// A request or a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// The first line, without its line end.
    pub start: String,
    /// Fields as sent, in order.
    pub fields: Vec<(String, String)>,
    /// The body, decoded from its chunks.
    pub body: Vec<u8>,
    /// The sizes of the chunks, where there were chunks.
    pub chunks: Vec<usize>,
    /// Fields behind the last chunk.
    pub trailers: Vec<(String, String)>,
    /// The connection ended before the body did.
    pub cut: bool,
}

impl Message {
    /// The status of a response.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.start
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or_else(|| panic!("{}", self.start))
    }

    /// The target of a request.
    #[must_use]
    pub fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// The only value of a field.
    ///
    /// # Panics
    /// When there are several.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.fields(name);
        assert!(values.len() <= 1, "{name} is repeated: {values:?}");
        values.first().copied()
    }

    /// All values of a field.
    #[must_use]
    pub fn fields(&self, name: &str) -> Vec<&str> {
        let named = self
            .fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Reads one message; `None` when the stream ends before it begins. `bodiless` for the answer to a HEAD.
///
/// # Panics
/// When the message is malformed.
pub async fn read_message(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    bodiless: bool,
) -> Option<Message> {
    let head = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            let head: Vec<u8> = buffer.drain(..end + 4).collect();
            break String::from_utf8_lossy(&head[..end]).into_owned();
        }
        if !fill(stream, buffer).await {
            assert!(
                buffer.is_empty(),
                "half a head: {:?}",
                String::from_utf8_lossy(buffer)
            );
            return None;
        }
    };
    let (start, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
    let mut message = Message {
        start: start.to_owned(),
        fields: parse_fields(fields),
        ..Message::default()
    };
    read_body(stream, buffer, &mut message, bodiless).await;
    Some(message)
}

async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    message: &mut Message,
    bodiless: bool,
) {
    let response = message.start.starts_with("HTTP/");
    let no_body = response && (bodiless || matches!(message.status(), 100..=199 | 204 | 304));
    if no_body {
        return;
    }
    if message.field("transfer-encoding").is_some() {
        return read_chunks(stream, buffer, message).await;
    }
    match message
        .field("content-length")
        .map(|length| length.parse::<usize>().expect("a length"))
    {
        Some(length) => {
            message.cut = !fill_to(stream, buffer, length).await;
            message.body = buffer.drain(..length.min(buffer.len())).collect();
        }
        None if response => {
            while fill(stream, buffer).await {}
            message.body = std::mem::take(buffer);
        }
        None => {}
    }
}

async fn read_chunks(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    message: &mut Message,
) {
    loop {
        let Some(line) = read_line(stream, buffer).await else {
            message.cut = true;
            return;
        };
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
            .expect("a chunk size");
        if size == 0 {
            break;
        }
        message.cut = !fill_to(stream, buffer, size + 2).await;
        message.body.extend(buffer.drain(..size.min(buffer.len())));
        if message.cut {
            return;
        }
        assert_eq!(buffer.drain(..2).collect::<Vec<u8>>(), b"\r\n");
        message.chunks.push(size);
    }
    loop {
        match read_line(stream, buffer).await {
            None => {
                message.cut = true;
                return;
            }
            Some(line) if line.is_empty() => return,
            Some(line) => message.trailers.extend(parse_fields(&line)),
        }
    }
}

fn parse_fields(text: &str) -> Vec<(String, String)> {
    let lines = text.split("\r\n").filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("not a field: {line:?}"));
            (name.to_owned(), value.trim().to_owned())
        })
        .collect()
}

async fn read_line(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = find(buffer, b"\r\n") {
            let line: Vec<u8> = buffer.drain(..end + 2).collect();
            return Some(String::from_utf8_lossy(&line[..end]).into_owned());
        }
        if !fill(stream, buffer).await {
            return None;
        }
    }
}

/// Whether `length` bytes came.
async fn fill_to(
    stream: &mut (impl AsyncRead + Unpin),
    buffer: &mut Vec<u8>,
    length: usize,
) -> bool {
    while buffer.len() < length {
        if !fill(stream, buffer).await {
            return false;
        }
    }
    true
}

/// Whether more came. A reset is an end, too.
async fn fill(stream: &mut (impl AsyncRead + Unpin), buffer: &mut Vec<u8>) -> bool {
    matches!(stream.read_buf(buffer).await, Ok(1..))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
