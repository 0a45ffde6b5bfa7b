//! How long a message's body is (RFC 9112 §6), decided so that no two readers can disagree.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Version};

use super::HeadError;
use super::names::{Role, Roles};

/// The length of a body, as its head declares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// This many bytes; 0 for none.
    Fixed(u64),
    /// Chunks tell (RFC 9112 §7.1).
    Chunked,
    /// All until the connection closes: responses only (RFC 9112 §6.3, rule 8).
    UntilClose,
}

impl BodyLength {
    /// No body.
    pub const NONE: Self = Self::Fixed(0);
}

/// The body of a request.
pub(super) fn request_body(
    headers: &HeaderMap,
    roles: Roles,
    version: Version,
) -> Result<BodyLength, HeadError> {
    Ok(declared(headers, roles, version)?.unwrap_or(BodyLength::NONE))
}

/// The body of a response to a request of `method`.
pub(super) fn response_body(
    headers: &HeaderMap,
    roles: Roles,
    version: Version,
    status: StatusCode,
    method: &Method,
) -> Result<BodyLength, HeadError> {
    let declared = declared(headers, roles, version)?;
    let bodiless = method == Method::HEAD
        || status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED;
    Ok(if bodiless {
        BodyLength::NONE
    } else {
        declared.unwrap_or(BodyLength::UntilClose)
    })
}

/// What `Content-Length` and `Transfer-Encoding` say together; `None` when neither is there.
///
/// RFC 9112 §6.1 and §6.3 leave room to repair some combinations. All of it is refused here, because the reader
/// behind us may repair them otherwise: both fields together, a repeated or listed length even when its values
/// agree, codings in HTTP/1.0, anything but exactly one `chunked`.
fn declared(
    headers: &HeaderMap,
    roles: Roles,
    version: Version,
) -> Result<Option<BodyLength>, HeadError> {
    if !roles.has(Role::CONTENT_LENGTH) && !roles.has(Role::TRANSFER_ENCODING) {
        return Ok(None);
    }
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (lengths.next(), codings.next()) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(HeadError::Malformed(
            "Content-Length and Transfer-Encoding must not stand together",
        )),
        (Some(length), None) => {
            if lengths.next().is_some() {
                return Err(HeadError::Malformed("Content-Length is repeated"));
            }
            parse_length(length.as_bytes()).map(|length| Some(BodyLength::Fixed(length)))
        }
        (None, Some(_)) if version != Version::HTTP_11 => Err(HeadError::Malformed(
            "Transfer-Encoding is not part of HTTP/1.0",
        )),
        (None, Some(coding)) => {
            let more = codings.next();
            if more.is_none() && coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Ok(Some(BodyLength::Chunked));
            }
            Err(refuse_codings(headers))
        }
    }
}

/// A list of codings that ends in its only `chunked` is framed clearly, just not supported; any other list leaves
/// the length of the body open.
fn refuse_codings(headers: &HeaderMap) -> HeadError {
    let codings: Vec<&[u8]> = headers
        .get_all(TRANSFER_ENCODING)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    let chunked = codings
        .iter()
        .filter(|coding| coding.eq_ignore_ascii_case(b"chunked"))
        .count();
    let ends_chunked = codings
        .last()
        .is_some_and(|coding| coding.eq_ignore_ascii_case(b"chunked"));
    if chunked == 1 && ends_chunked {
        HeadError::UnsupportedTransferCoding
    } else {
        HeadError::Malformed("Transfer-Encoding does not end with its only \"chunked\"")
    }
}

/// `1*DIGIT` (RFC 9110 §8.6): no sign, no list, no white space, no overflow.
fn parse_length(value: &[u8]) -> Result<u64, HeadError> {
    const NOT_A_LENGTH: HeadError = HeadError::Malformed("Content-Length is not a decimal number");
    if value.is_empty() {
        return Err(NOT_A_LENGTH);
    }
    value.iter().try_fold(0_u64, |length, &digit| {
        if !digit.is_ascii_digit() {
            return Err(NOT_A_LENGTH);
        }
        length
            .checked_mul(10)
            .and_then(|length| length.checked_add(u64::from(digit - b'0')))
            .ok_or(HeadError::Malformed("Content-Length is too large"))
    })
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::head::names;

    fn roles(headers: &HeaderMap) -> Roles {
        let mut roles = Roles::default();
        for name in headers.iter().map(|(name, _)| name) {
            roles.add(names::name(name.as_str().as_bytes()).unwrap().1);
        }
        roles
    }

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    fn request(fields: &[(&'static str, &'static str)]) -> Result<BodyLength, HeadError> {
        request_body(&headers(fields), roles(&headers(fields)), Version::HTTP_11)
    }

    #[test]
    fn a_request_without_framing_fields_has_no_body() {
        assert_eq!(request(&[]), Ok(BodyLength::NONE));
    }

    #[test]
    fn a_length_is_decimal_digits_only() {
        assert_eq!(
            request(&[("content-length", "0042")]),
            Ok(BodyLength::Fixed(42))
        );
        for bad in [
            "",
            "+1",
            "-1",
            "1_0",
            "0x1",
            "1,1",
            "1 1",
            "1.0",
            "99999999999999999999",
        ] {
            assert!(
                matches!(
                    request(&[("content-length", bad)]),
                    Err(HeadError::Malformed(_))
                ),
                "{bad}"
            );
        }
    }

    #[test]
    fn two_ways_to_tell_the_length_are_refused() {
        for fields in [
            [("content-length", "3"), ("content-length", "3")],
            [("content-length", "3"), ("transfer-encoding", "chunked")],
            [
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "identity"),
            ],
            [
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ],
        ] {
            assert!(
                matches!(request(&fields), Err(HeadError::Malformed(_))),
                "{fields:?}"
            );
        }
    }

    #[test]
    fn only_a_single_chunked_coding_is_supported() {
        assert_eq!(
            request(&[("transfer-encoding", "Chunked")]),
            Ok(BodyLength::Chunked)
        );
        for unsupported in ["gzip, chunked", "identity,chunked"] {
            assert_eq!(
                request(&[("transfer-encoding", unsupported)]),
                Err(HeadError::UnsupportedTransferCoding)
            );
        }
        for ambiguous in [
            "chunked, gzip",
            "gzip",
            "",
            "xchunked",
            "chunked;q=1",
            "chunked, chunked",
            "\u{b}chunked",
        ] {
            let mut map = HeaderMap::new();
            if let Ok(value) = HeaderValue::from_str(ambiguous) {
                map.insert(TRANSFER_ENCODING, value);
                assert!(
                    matches!(
                        request_body(&map, roles(&map), Version::HTTP_11),
                        Err(HeadError::Malformed(_))
                    ),
                    "{ambiguous}"
                );
            }
        }
    }

    #[test]
    fn http_1_0_knows_no_transfer_coding() {
        let map = headers(&[("transfer-encoding", "chunked")]);
        assert!(request_body(&map, roles(&map), Version::HTTP_10).is_err());
    }

    #[test]
    fn some_responses_never_have_a_body_whatever_they_declare() {
        let map = headers(&[("content-length", "5")]);
        let of =
            |status, method| response_body(&map, roles(&map), Version::HTTP_11, status, &method);
        assert_eq!(of(StatusCode::OK, Method::GET), Ok(BodyLength::Fixed(5)));
        assert_eq!(of(StatusCode::OK, Method::HEAD), Ok(BodyLength::NONE));
        assert_eq!(
            of(StatusCode::NO_CONTENT, Method::GET),
            Ok(BodyLength::NONE)
        );
        assert_eq!(
            of(StatusCode::NOT_MODIFIED, Method::GET),
            Ok(BodyLength::NONE)
        );
        assert_eq!(
            of(StatusCode::EARLY_HINTS, Method::GET),
            Ok(BodyLength::NONE)
        );
    }

    #[test]
    fn a_response_without_a_length_lasts_until_the_close() {
        let length = response_body(
            &HeaderMap::new(),
            Roles::default(),
            Version::HTTP_11,
            StatusCode::OK,
            &Method::GET,
        );
        assert_eq!(length, Ok(BodyLength::UntilClose));
    }
}
