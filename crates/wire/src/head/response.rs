//! Response heads (RFC 9112 §2.1, §4, §5), read from backends as strictly as requests are from clients.

use std::mem::MaybeUninit;
use std::time::Duration;

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode, Version};

use super::framing::{self, BodyLength};
use super::names::Role;
use super::{
    ConnectionOptions, FIELDS_ON_STACK, HeadError, Progress, field_map, head_length, malformed,
};

/// What a response head may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes of the whole head.
    pub head: usize,
    /// Number of fields.
    pub fields: usize,
}

/// A response head, taken apart and found free of ambiguities.
#[derive(Debug)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: StatusCode,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// All fields as sent, names in lower case.
    pub headers: HeaderMap,
    /// The length of the body that follows.
    pub body: BodyLength,
    /// The backend will take another request on the connection.
    pub persists: bool,
    /// How long the backend says it keeps an idle connection: `Keep-Alive: timeout=`.
    pub keep_alive: Option<Duration>,
}

/// Takes the first response head off `buffer`, the answer to a request of `method`; `None` while it is incomplete.
///
/// # Errors
/// When it breaks a rule or a limit. Nothing that follows on the connection can be trusted then.
pub fn parse_response(
    buffer: &mut BytesMut,
    method: &Method,
    limits: &ResponseLimits,
    progress: &mut Progress,
) -> Result<Option<ResponseHead>, HeadError> {
    // RFC 9112 §2.2 has servers skip an empty line before a request; before an answer it is a part of something else.
    if buffer.starts_with(b"\r") {
        return Err(HeadError::Malformed("the status line is malformed"));
    }
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
    let Some(length) = head_length(buffer, 0)? else {
        check_partial(buffer, table)?;
        return incomplete(buffer, limits);
    };
    if length > limits.head {
        return Err(HeadError::TooLarge);
    }
    *progress = Progress::default();
    let head = buffer.split_to(length).freeze();
    let mut parsed = httparse::Response::new(&mut []);
    let complete = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, &head, table)
        .map_err(malformed)?
        .is_complete();
    let (true, Some(version), Some(code)) = (complete, parsed.version, parsed.code) else {
        return Err(HeadError::Malformed("the status line is malformed"));
    };
    let status = StatusCode::from_u16(code)
        .map_err(|_| HeadError::Malformed("the status code is out of range"))?;
    let version = if version == 0 {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    };
    let (headers, roles) = field_map(parsed.headers, &head)?;
    let body = framing::response_body(&headers, roles, version, status, method)?;
    Ok(Some(ResponseHead {
        status,
        version,
        body,
        persists: body != BodyLength::UntilClose
            && ConnectionOptions::of(&headers, roles).persists(version),
        keep_alive: if roles.has(Role::KEEP_ALIVE) {
            keep_alive_timeout(&headers)
        } else {
            None
        },
        headers,
    }))
}

fn check_partial<'b>(
    buffer: &'b [u8],
    table: &mut [MaybeUninit<httparse::Header<'b>>],
) -> Result<(), HeadError> {
    httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut httparse::Response::new(&mut []), buffer, table)
        .map(|_| ())
        .map_err(malformed)
}

fn incomplete(buffer: &[u8], limits: &ResponseLimits) -> Result<Option<ResponseHead>, HeadError> {
    if buffer.len() > limits.head {
        Err(HeadError::TooLarge)
    } else {
        Ok(None)
    }
}

/// The `timeout` parameter of `Keep-Alive` (RFC 2068 §19.7.1.1, as Node, Apache and nginx send it), in seconds.
fn keep_alive_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get("keep-alive")?.to_str().ok()?;
    let timeout = value.split(',').find_map(|parameter| {
        let (name, value) = parameter.trim().split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("timeout")
            .then(|| value.trim())
    })?;
    timeout.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
