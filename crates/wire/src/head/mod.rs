//! Message heads: parsing with its strict rules, framing, and writing. Pure: bytes in, values out.

mod encode;
mod framing;
mod host;
mod names;
mod request;
mod response;

pub(crate) use encode::push_informational;
pub use encode::{ResponseFraming, push_field, push_request_line, push_response_head};
pub use framing::BodyLength;
pub use host::{is_host, without_port};
pub use request::{RequestHead, RequestLimits, parse_request};
pub use response::{ResponseHead, ResponseLimits, parse_response};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Version};

use names::{Role, Roles};

/// Why a message head is refused. The texts name the rule that was broken and hold nothing of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// It breaks the grammar or the framing rules of RFC 9112; what follows cannot be told from it any more.
    #[error("{0}")]
    Malformed(&'static str),
    /// The request target is longer than the limit.
    #[error("the request target is too long")]
    TargetTooLong,
    /// The head is larger than the limit.
    #[error("the header section is too large")]
    TooLarge,
    /// There are more fields than the limit.
    #[error("there are too many header fields")]
    TooManyFields,
    /// A transfer coding other than `chunked` (RFC 9112 §6.1).
    #[error("the transfer coding is not supported; only \"chunked\" is")]
    UnsupportedTransferCoding,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    #[error("the HTTP version is not supported")]
    UnsupportedVersion,
    /// The peer took longer than allowed to send it.
    #[error("the head did not arrive in time")]
    TimedOut,
}

/// How many fields fit into the parser's table on the stack; larger limits use the heap.
const FIELDS_ON_STACK: usize = 128;

/// What the fields of a head say about the connection that they came on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ConnectionOptions {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
}

impl ConnectionOptions {
    fn of(headers: &HeaderMap, roles: Roles) -> Self {
        let mut options = Self::default();
        if !roles.has(Role::CONNECTION) {
            return options;
        }
        for value in headers.get_all(http::header::CONNECTION) {
            for option in value.as_bytes().split(|&byte| byte == b',') {
                let option = option.trim_ascii();
                options.close |= option.eq_ignore_ascii_case(b"close");
                options.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                options.upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            }
        }
        options
    }

    /// RFC 9112 §9.3.
    fn persists(self, version: Version) -> bool {
        if version == Version::HTTP_11 {
            !self.close
        } else {
            self.keep_alive && !self.close
        }
    }
}

/// Where the parser stands with a buffer that grows: keeps the work linear in the size of the head, however
/// finely a peer slices it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Length of the buffer at the last attempt to parse it.
    tried: usize,
    /// Length of the buffer at the last look at it.
    seen: usize,
}

impl Progress {
    /// Whether another attempt can tell anything new: the head may be complete, or the buffer has doubled.
    ///
    /// # Errors
    /// When the bytes that came break a rule that needs no parser to see.
    fn is_worthwhile(&mut self, buffer: &[u8]) -> Result<bool, HeadError> {
        // The end of a head, CR LF CR LF, may straddle the last look by three bytes.
        let from = self.seen.saturating_sub(3).min(buffer.len());
        self.seen = buffer.len();
        let worthwhile = self.tried == 0
            || buffer.len() >= 2 * self.tried
            || memchr::memmem::find(&buffer[from..], b"\r\n\r\n").is_some();
        if worthwhile {
            self.tried = buffer.len();
        } else {
            refuse_bare_line_feed(buffer, from)?;
        }
        Ok(worthwhile)
    }
}

/// RFC 9112 §2.2 lets one recipient take a lone LF for a line's end and another one not: only CR LF is safe.
/// Looks at `bytes` from the index `from` on.
fn refuse_bare_line_feed(bytes: &[u8], from: usize) -> Result<(), HeadError> {
    let mut feeds = memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at);
    if feeds.any(|at| at == 0 || bytes[at - 1] != b'\r') {
        return Err(HeadError::Malformed("a line does not end with CR LF"));
    }
    Ok(())
}

/// The length of the head at the start of `buffer`, from `lead` on: up to and with its empty line; none while it is
/// incomplete.
///
/// # Errors
/// RFC 9112 §2.2 lets one recipient take a lone LF for a line's end and another one not: only CR LF is safe.
fn head_length(buffer: &[u8], lead: usize) -> Result<Option<usize>, HeadError> {
    let mut line = lead;
    for feed in memchr::memchr_iter(b'\n', &buffer[lead..]).map(|at| lead + at) {
        if feed == line || buffer[feed - 1] != b'\r' {
            return Err(HeadError::Malformed("a line does not end with CR LF"));
        }
        if feed == line + 1 && line > lead {
            return Ok(Some(feed + 1));
        }
        line = feed + 1;
    }
    Ok(None)
}

/// The parsed fields as a map whose values share `head`'s memory, and their roles.
fn field_map(
    fields: &[httparse::Header<'_>],
    head: &Bytes,
) -> Result<(HeaderMap, Roles), HeadError> {
    const BAD_NAME: HeadError =
        HeadError::Malformed("a field name holds a character that is not allowed");
    const BAD_VALUE: HeadError =
        HeadError::Malformed("a field value holds a character that is not allowed");
    // Room for what a gateway adds: to grow means to allocate and hash once more.
    let mut map = HeaderMap::with_capacity(fields.len() + 2);
    let mut roles = Roles::default();
    for field in fields {
        let (name, role) = names::name(field.name.as_bytes()).ok_or(BAD_NAME)?;
        roles.add(role);
        let value =
            HeaderValue::from_maybe_shared(head.slice_ref(field.value)).map_err(|_| BAD_VALUE)?;
        map.try_append(name, value)
            .map_err(|_| HeadError::TooManyFields)?;
    }
    Ok((map, roles))
}

/// What httparse found wrong.
fn malformed(error: httparse::Error) -> HeadError {
    match error {
        httparse::Error::HeaderName => {
            HeadError::Malformed("a field name is empty, folded or holds a bad character")
        }
        httparse::Error::HeaderValue => HeadError::Malformed("a field value holds a bad character"),
        httparse::Error::NewLine => HeadError::Malformed("a line does not end with CR LF"),
        httparse::Error::Status => HeadError::Malformed("the status line is malformed"),
        httparse::Error::Token => HeadError::Malformed("the start line is malformed"),
        httparse::Error::TooManyHeaders => HeadError::TooManyFields,
        httparse::Error::Version => HeadError::UnsupportedVersion,
    }
}
