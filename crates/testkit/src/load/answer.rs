//! An answer as it comes over a connection: of what is wrong with it one wants to hear, not to die.

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::Failure;

/// Heads and bodies are small here; whatever is not is a mistake.
const LARGEST: usize = 1024 * 1024;

/// What an answer said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) backend: Option<u16>,
    /// Whether the connection can be used again.
    pub(super) reusable: bool,
    pub(super) body: Vec<u8>,
}

/// Where the body ends.
#[derive(Debug, PartialEq, Eq)]
enum Ends {
    After(usize),
    WithLastChunk,
    WithConnection,
}

/// Reads the answer to a request of this method.
pub(super) async fn read(stream: &mut TcpStream, method: &str) -> Result<Answer, Failure> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            break bytes.drain(..end + 4).collect::<Vec<u8>>();
        }
        if fill(stream, &mut bytes).await? == 0 {
            return Err(if bytes.is_empty() {
                Failure::Closed
            } else {
                Failure::Cut
            });
        }
    };
    let head = std::str::from_utf8(&head).map_err(|_| Failure::Malformed)?;
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .ok_or(Failure::Malformed)?;
    let ends = ends(head, status, method)?;
    let closes = field(head, "connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
    let body = read_body(stream, &mut bytes, &ends).await?;
    if !bytes.is_empty() {
        return Err(Failure::Malformed);
    }
    Ok(Answer {
        status,
        backend: field(head, "x-backend").and_then(|port| port.parse().ok()),
        reusable: !closes && ends != Ends::WithConnection,
        body,
    })
}

fn ends(head: &str, status: u16, method: &str) -> Result<Ends, Failure> {
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Ok(Ends::After(0));
    }
    if field(head, "transfer-encoding").is_some() {
        return Ok(Ends::WithLastChunk);
    }
    match field(head, "content-length") {
        Some(length) => length
            .parse()
            .map(Ends::After)
            .map_err(|_| Failure::Malformed),
        None => Ok(Ends::WithConnection),
    }
}

async fn read_body(
    stream: &mut TcpStream,
    bytes: &mut Vec<u8>,
    ends: &Ends,
) -> Result<Vec<u8>, Failure> {
    loop {
        let end = match ends {
            Ends::After(length) => (bytes.len() >= *length).then_some(*length),
            // Bodies in chunks are only counted: what is asked for is whether they are whole.
            Ends::WithLastChunk if bytes.starts_with(b"0\r\n\r\n") => Some(5),
            Ends::WithLastChunk => find(bytes, b"\r\n0\r\n\r\n").map(|at| at + 7),
            Ends::WithConnection => None,
        };
        if let Some(end) = end {
            return Ok(bytes.drain(..end).collect());
        }
        match fill(stream, bytes).await {
            Ok(0) if *ends == Ends::WithConnection => return Ok(std::mem::take(bytes)),
            Ok(0) | Err(Failure::Reset) => return Err(Failure::Cut),
            Ok(_) => {}
            Err(failure) => return Err(failure),
        }
    }
}

async fn fill(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Result<usize, Failure> {
    if bytes.len() > LARGEST {
        return Err(Failure::Malformed);
    }
    stream.read_buf(bytes).await.map_err(|_| Failure::Reset)
}

/// The value of the first field of this name, which is in lower case.
fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.split("\r\n").skip(1).find_map(|line| {
        let (other, value) = line.split_once(':')?;
        other.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
