//! Heads of requests and responses.

use bytes::BytesMut;
use http::header::HOST;
use http::{HeaderMap, Method, Version};
use wire::head::{
    BodyLength, HeadError, Progress, RequestHead, RequestLimits, ResponseHead, ResponseLimits,
    parse_request, parse_response,
};

use crate::reference::{self, Length};

pub(crate) const REQUEST_LIMITS: RequestLimits = RequestLimits {
    head: 64 * 1024,
    fields: 100,
    target: 8 * 1024,
};
const RESPONSE_LIMITS: ResponseLimits = ResponseLimits {
    head: 64 * 1024,
    fields: 100,
};

/// A request's head: taken whole or in two pieces it is the same, and the reference reads it alike.
pub fn request_head(data: &[u8]) {
    let (result, left) = whole(data, |buffer, progress| {
        parse_request(buffer, &REQUEST_LIMITS, progress)
    });
    let (in_pieces, left_in_pieces) = pieces(data, |buffer, progress| {
        parse_request(buffer, &REQUEST_LIMITS, progress)
    });
    agree((&result, left), (&in_pieces, left_in_pieces));
    if let Ok(Some(head)) = result {
        compare_request(data, &head, data.len() - left);
    }
}

/// A response's head, as [`request_head`]; the first byte chooses the method of the request.
pub fn response_head(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let method = if choice % 2 == 0 {
        Method::GET
    } else {
        Method::HEAD
    };
    let (result, left) = whole(data, |buffer, progress| {
        parse_response(buffer, &method, &RESPONSE_LIMITS, progress)
    });
    let (in_pieces, left_in_pieces) = pieces(data, |buffer, progress| {
        parse_response(buffer, &method, &RESPONSE_LIMITS, progress)
    });
    agree((&result, left), (&in_pieces, left_in_pieces));
    if let Ok(Some(head)) = result {
        compare_response(data, &method, &head, data.len() - left);
    }
}

/// A head that is taken is taken however it comes. What is refused may be refused later when it comes in pieces.
fn agree<T>(
    (whole, left): (&Result<Option<T>, HeadError>, usize),
    (in_pieces, left_in_pieces): (&Result<Option<T>, HeadError>, usize),
) {
    let taken = |result: &Result<Option<T>, HeadError>| matches!(result, Ok(Some(_)));
    assert_eq!(taken(whole), taken(in_pieces), "pieces change the verdict");
    if taken(whole) {
        assert_eq!(left, left_in_pieces, "pieces change where the head ends");
    }
}

type Parsed<T> = (Result<Option<T>, HeadError>, usize);

fn whole<T>(
    data: &[u8],
    parse: impl Fn(&mut BytesMut, &mut Progress) -> Result<Option<T>, HeadError>,
) -> Parsed<T> {
    let mut buffer = BytesMut::from(data);
    let result = parse(&mut buffer, &mut Progress::default());
    (result, buffer.len())
}

/// In two pieces, split where the bytes themselves say.
fn pieces<T>(
    data: &[u8],
    parse: impl Fn(&mut BytesMut, &mut Progress) -> Result<Option<T>, HeadError>,
) -> Parsed<T> {
    let sum = data.iter().fold(0_usize, |sum, &byte| {
        sum.wrapping_mul(31) + usize::from(byte)
    });
    let (first, second) = data.split_at(sum % (data.len() + 1));
    let mut buffer = BytesMut::from(first);
    let mut progress = Progress::default();
    let mut result = if first.is_empty() {
        Ok(None)
    } else {
        parse(&mut buffer, &mut progress)
    };
    buffer.extend_from_slice(second);
    if let Ok(None) = result {
        result = parse(&mut buffer, &mut progress);
    }
    (result, buffer.len())
}

fn compare_request(data: &[u8], head: &RequestHead, size: usize) {
    let reference = reference::request(data).expect("the reference refuses what we accept");
    let [method, target, version] = reference.start;
    assert_eq!(size, reference.size, "the head ends elsewhere");
    assert_eq!(head.method.as_str().as_bytes(), method);
    assert_eq!(head.version, version_of(version));
    let length = reference::length(&reference, version, Length::Fixed(0));
    assert_eq!(
        Some(length_of(head.body)),
        length,
        "the body is framed otherwise"
    );
    // In absolute form the authority moves to Host (RFC 9112 §3.2.2), and a fragment is cut off.
    let as_sent = target.starts_with(b"/") && !target.iter().any(|byte| b"#\"<>`".contains(byte));
    if as_sent {
        assert_eq!(head.target.to_string().as_bytes(), target);
        compare_fields(&head.headers, &reference);
    }
    if head.version == Version::HTTP_11 {
        assert_eq!(head.headers.get_all(HOST).iter().count(), 1);
    }
}

fn compare_response(data: &[u8], method: &Method, head: &ResponseHead, size: usize) {
    let reference = reference::response(data).expect("the reference refuses what we accept");
    let [version, status, _] = reference.start;
    assert_eq!(size, reference.size, "the head ends elsewhere");
    assert_eq!(head.status.as_str().as_bytes(), status);
    assert_eq!(head.version, version_of(version));
    let declared = reference::length(&reference, version, Length::UntilClose)
        .expect("the reference refuses the framing");
    let bodiless = method == Method::HEAD
        || head.status.is_informational()
        || [204, 304].contains(&head.status.as_u16());
    let length = if bodiless { Length::Fixed(0) } else { declared };
    assert_eq!(length_of(head.body), length, "the body is framed otherwise");
    compare_fields(&head.headers, &reference);
}

fn compare_fields(headers: &HeaderMap, reference: &reference::Head<'_>) {
    assert_eq!(headers.len(), reference.fields.len());
    for (name, _) in &reference.fields {
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let ours: Vec<&[u8]> = headers
            .get_all(&name)
            .iter()
            .map(|value| value.as_bytes())
            .collect();
        let theirs: Vec<&[u8]> = reference
            .fields
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| *value)
            .collect();
        assert_eq!(ours, theirs, "{name}");
    }
}

fn version_of(text: &[u8]) -> Version {
    if text == b"HTTP/1.0" {
        Version::HTTP_10
    } else {
        Version::HTTP_11
    }
}

pub(crate) fn length_of(body: BodyLength) -> Length {
    match body {
        BodyLength::Fixed(length) => Length::Fixed(length),
        BodyLength::Chunked => Length::Chunked,
        BodyLength::UntilClose => Length::UntilClose,
    }
}
