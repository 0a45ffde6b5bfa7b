//! Request heads (RFC 9112 §2.1, §3, §5).

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{EXPECT, HOST};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::framing::{self, BodyLength};
use super::host::is_host;
use super::names::{Role, Roles};
use super::{
    ConnectionOptions, FIELDS_ON_STACK, HeadError, Progress, field_map, head_length, malformed,
};

/// What a request head may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLimits {
    /// Bytes of the whole head.
    pub head: usize,
    /// Number of fields.
    pub fields: usize,
    /// Bytes of the request target.
    pub target: usize,
}

/// A request head, taken apart and found free of ambiguities.
#[derive(Debug)]
pub struct RequestHead {
    /// Case-sensitive; without lower-case letters, so that `get` cannot pass for `GET` further on.
    pub method: Method,
    /// In origin form, or `*`; the authority of an absolute target has moved to `Host`, its fragment is cut off.
    pub target: Uri,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All fields as sent, names in lower case.
    pub headers: HeaderMap,
    /// The length of the body that follows.
    pub body: BodyLength,
    /// The client will use the connection again.
    pub persists: bool,
    /// The client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// The client asks to switch protocols (RFC 9110 §7.8).
    pub upgrades: bool,
}

/// Takes the first request head off `buffer`; `None` while it is incomplete.
///
/// # Errors
/// When it breaks a rule or a limit. Nothing that follows on the connection can be trusted then.
pub fn parse_request(
    buffer: &mut BytesMut,
    limits: &RequestLimits,
    progress: &mut Progress,
) -> Result<Option<RequestHead>, HeadError> {
    if !progress.is_worthwhile(buffer)? {
        return incomplete(buffer, limits);
    }
    let mut on_stack = [const { MaybeUninit::uninit() }; FIELDS_ON_STACK];
    let mut on_heap = Vec::new();
    let table = if limits.fields <= FIELDS_ON_STACK {
        &mut on_stack[..limits.fields]
    } else {
        on_heap.resize_with(limits.fields, MaybeUninit::uninit);
        &mut on_heap[..]
    };
    // The parser borrows the buffer and the values must share its memory: parsed first in place, then once more
    // over nothing but offsets would cost twice; a frozen head costs a reference count.
    let Some(length) = head_length(buffer, empty_lines(buffer))? else {
        check_partial(buffer, table)?;
        return incomplete(buffer, limits);
    };
    if length > limits.head {
        return Err(too_large(buffer, limits));
    }
    *progress = Progress::default();
    let head = buffer.split_to(length).freeze();
    let mut parsed = httparse::Request::new(&mut []);
    let complete = httparse::ParserConfig::default()
        .parse_request_with_uninit_headers(&mut parsed, &head, table)
        .map_err(malformed)?
        .is_complete();
    let (true, Some(method), Some(target), Some(version)) =
        (complete, parsed.method, parsed.path, parsed.version)
    else {
        return Err(HeadError::Malformed("the request line is malformed"));
    };
    if target.len() > limits.target {
        return Err(HeadError::TargetTooLong);
    }
    let version = if version == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let method = parse_method(method)?;
    let (headers, roles) = field_map(parsed.headers, &head)?;
    let target = head.slice_ref(target.as_bytes());
    assemble(method, target, version, headers, roles).map(Some)
}

/// The bytes of empty lines before the head; RFC 9112 §2.2 asks to skip them.
fn empty_lines(buffer: &[u8]) -> usize {
    let pairs = buffer.chunks_exact(2);
    2 * pairs.take_while(|pair| pair == b"\r\n").count()
}

/// Refuses at once what can be no request any more, rather than when the time for it is up.
fn check_partial<'b>(
    buffer: &'b [u8],
    table: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<(), HeadError> {
    httparse::ParserConfig::default()
        .parse_request_with_uninit_headers(&mut httparse::Request::new(&mut []), buffer, table)
        .map(|_| ())
        .map_err(malformed)
}

fn incomplete(buffer: &[u8], limits: &RequestLimits) -> Result<Option<RequestHead>, HeadError> {
    // Of a target that is too long no more is read than shows it.
    let method = memchr::memchr(b' ', buffer).unwrap_or(buffer.len());
    let first_line_open = memchr::memchr(b'\n', buffer).is_none();
    let endless_target = first_line_open && buffer.len() - method > limits.target + 1;
    if buffer.len() > limits.head || endless_target {
        Err(too_large(buffer, limits))
    } else {
        Ok(None)
    }
}

/// Tells a head that is too large because of its target from one with too many or too large fields.
fn too_large(buffer: &[u8], limits: &RequestLimits) -> HeadError {
    let line = memchr::memchr(b'\n', buffer).unwrap_or(buffer.len());
    if line > limits.target {
        HeadError::TargetTooLong
    } else {
        HeadError::TooLarge
    }
}

fn parse_method(method: &str) -> Result<Method, HeadError> {
    if method.bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(HeadError::Malformed("the method holds lower-case letters"));
    }
    Method::from_bytes(method.as_bytes())
        .map_err(|_| HeadError::Malformed("the method is malformed"))
}

fn assemble(
    method: Method,
    target: Bytes,
    version: Version,
    mut headers: HeaderMap,
    roles: Roles,
) -> Result<RequestHead, HeadError> {
    check_single(&headers, roles, version)?;
    let target = parse_target(target, &method, &mut headers)?;
    let body = framing::request_body(&headers, roles, version)?;
    let options = ConnectionOptions::of(&headers, roles);
    let expects_continue = version == Version::HTTP_11
        && body != BodyLength::NONE
        && roles.has(Role::EXPECT)
        && headers
            .get(EXPECT)
            .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    Ok(RequestHead {
        body,
        persists: options.persists(version),
        expects_continue,
        // RFC 9110 §7.8: in HTTP/1.0 the field is to be ignored.
        upgrades: options.upgrade && version == Version::HTTP_11 && roles.has(Role::UPGRADE),
        method,
        target,
        version,
        headers,
    })
}

/// Fields of which there may be one: two readers might pick different ones.
fn check_single(headers: &HeaderMap, roles: Roles, version: Version) -> Result<(), HeadError> {
    if roles.has_many(Role::HOST) {
        return Err(HeadError::Malformed("Host is repeated"));
    }
    match headers.get(HOST) {
        // RFC 9112 §3.2.
        None if version == Version::HTTP_11 => Err(HeadError::Malformed("Host is missing")),
        Some(host) if !is_host(host.as_bytes()) => Err(HeadError::Malformed(
            "Host is not a host name with an optional port",
        )),
        _ if roles.has_many(Role::CONTENT_TYPE) => {
            Err(HeadError::Malformed("Content-Type is repeated"))
        }
        _ => Ok(()),
    }
}

/// RFC 9112 §3.2: origin form, absolute form, and `*` for OPTIONS. Authority form belongs to CONNECT, which a
/// gateway does not serve.
fn parse_target(target: Bytes, method: &Method, headers: &mut HeaderMap) -> Result<Uri, HeadError> {
    const BAD_TARGET: HeadError = HeadError::Malformed("the request target is malformed");
    let target = cut_fragment(target);
    match target.first() {
        Some(b'/') => parse_path(target).map(Uri::from),
        Some(b'*') if target.len() == 1 => {
            if method == Method::OPTIONS {
                Ok(Uri::from_static("*"))
            } else {
                Err(HeadError::Malformed("the target * goes with OPTIONS only"))
            }
        }
        _ => {
            let (authority, path) = split_absolute(&target).ok_or(BAD_TARGET)?;
            // RFC 9112 §3.2.2: the authority of the target replaces what Host says.
            let host = HeaderValue::from_maybe_shared(authority).map_err(|_| BAD_TARGET)?;
            headers.insert(HOST, host);
            // `http://host?query`: the empty path is "/" (RFC 9110 §4.2.3).
            let path = if path.starts_with(b"/") {
                path
            } else {
                Bytes::from([b"/", &path[..]].concat())
            };
            parse_path(path).map(Uri::from)
        }
    }
}

/// Path and query. Clients do send some bytes that a URI may not hold, quotes above all; percent-encoded they mean the
/// same, and cannot be mistaken.
fn parse_path(path: Bytes) -> Result<PathAndQuery, HeadError> {
    const FOREIGN: &[u8] = b"\"<>`";
    PathAndQuery::from_maybe_shared(path.clone())
        .or_else(|_| {
            let mut encoded = Vec::with_capacity(path.len() + 16);
            for byte in path {
                if FOREIGN.contains(&byte) {
                    encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
                } else {
                    encoded.push(byte);
                }
            }
            PathAndQuery::from_maybe_shared(Bytes::from(encoded))
        })
        .map_err(|_| HeadError::Malformed("the request target is malformed"))
}

/// A fragment is never sent by a well-behaved client and means nothing to a server; it is dropped before anything
/// looks at the target, so that nothing can be hidden behind it.
fn cut_fragment(mut target: Bytes) -> Bytes {
    if let Some(at) = memchr::memchr(b'#', &target) {
        target.truncate(at);
    }
    target
}

/// Authority without user information, and path with query, of `http://…` or `https://…`.
fn split_absolute(target: &Bytes) -> Option<(Bytes, Bytes)> {
    let scheme = memchr::memmem::find(target, b"://")?;
    let known = [&b"http"[..], b"https"]
        .iter()
        .any(|known| target[..scheme].eq_ignore_ascii_case(known));
    let rest = target.slice(scheme + 3..);
    let end = rest
        .iter()
        .position(|byte| b"/?".contains(byte))
        .unwrap_or(rest.len());
    let user = memchr::memrchr(b'@', &rest[..end]).map_or(0, |at| at + 1);
    let host = rest.slice(user..end);
    (known && !host.is_empty() && is_host(&host)).then(|| (host, rest.slice(end..)))
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
