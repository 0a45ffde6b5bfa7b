//! Answers in a coding that the client understands (RFC 9110 §8.4).
//!
//! Off unless it is switched on: an answer that holds a secret beside something that an attacker chooses tells of the
//! secret by its size (BREACH). What is compressed is text that is worth it, and what nobody has compressed before; it
//! streams as it comes, and what has come is sent on whenever the backend pauses. What comes from the cache is compressed
//! once for each coding, and cached in that form as well.

mod body;
mod coding;
mod negotiation;

use cache::Forms;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, response};
use wire::Body;

use self::body::compressed;
use self::coding::Coding;
use self::negotiation::accepted;
use super::vary;
use crate::caching::stored_body;

/// What answers depend on.
const FIELD: &str = "Accept-Encoding";
/// Types that are worth it besides `text/*`, and those that end in `+json` or `+xml`.
const TYPES: [&[u8]; 12] = [
    b"application/graphql",
    b"application/javascript",
    b"application/json",
    b"application/ndjson",
    b"application/wasm",
    b"application/x-javascript",
    b"application/x-ndjson",
    b"application/xml",
    b"application/yaml",
    b"font/otf",
    b"font/ttf",
    b"image/bmp",
];
/// Of the coded body, and wrong once that is another (RFC 9530 §2 and §3, RFC 3230).
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("content-md5"),
];

/// When answers are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compression {
    /// Bytes below which it is not worth it, where they are known.
    pub min_size: u64,
}

impl Compression {
    /// The answer to a request with this method and these fields, compressed where that is right and of use.
    pub(crate) fn apply(
        self,
        method: &Method,
        headers: &HeaderMap,
        answer: Response<Body>,
    ) -> Response<Body> {
        let (mut head, body) = answer.into_parts();
        match head.status {
            StatusCode::NOT_MODIFIED => not_modified(headers, &mut head.headers),
            StatusCode::PARTIAL_CONTENT if is_worth_it(&head.headers) => {
                vary::add(&mut head.headers, FIELD)
            }
            _ if self.is_of_use(method, &head, &body) => {
                // The same resource has several forms from here on, whichever this client gets (RFC 9110 §12.5.5).
                vary::add(&mut head.headers, FIELD);
                if let Some(coding) = accepted(headers.get_all(ACCEPT_ENCODING)) {
                    return compress(method, coding, head, body);
                }
            }
            _ => {}
        }
        Response::from_parts(head, body)
    }

    fn is_of_use(self, method: &Method, head: &response::Parts, body: &Body) -> bool {
        let headers = &head.headers;
        let has_body = !head.status.is_informational()
            && ![StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT].contains(&head.status);
        let length = if *method == Method::HEAD {
            let declared = headers.get(CONTENT_LENGTH);
            declared.and_then(|length| length.to_str().ok()?.parse().ok())
        } else {
            body.exact_length()
        };
        has_body
            && length.is_none_or(|length| length >= self.min_size.max(1))
            && !headers.contains_key(CONTENT_ENCODING)
            && !headers.contains_key(CONTENT_RANGE)
            && !must_stay(headers)
            && is_worth_it(headers)
    }
}

fn compress(
    method: &Method,
    coding: Coding,
    mut head: response::Parts,
    body: Body,
) -> Response<Body> {
    if *method == Method::HEAD {
        describe(&mut head.headers, coding);
        return Response::from_parts(head, body);
    }
    let forms = head.extensions.remove::<Forms>();
    if let Some(content) = forms.as_ref().and_then(|it| it.get(coding.name())) {
        describe(&mut head.headers, coding);
        let length = HeaderValue::from(content.remaining());
        head.headers.insert(CONTENT_LENGTH, length);
        return Response::from_parts(head, stored_body(content));
    }
    match compressed(body, coding, forms) {
        Ok(body) => {
            describe(&mut head.headers, coding);
            Response::from_parts(head, body)
        }
        Err(body) => Response::from_parts(head, body),
    }
}

/// The answer that a client has is the one to which this tag belongs (RFC 9110 §15.4.5): where that was compressed here,
/// its tag was made weak.
fn not_modified(asked: &HeaderMap, answer: &mut HeaderMap) {
    vary::add(answer, FIELD);
    answer.remove(CONTENT_LENGTH);
    let Some(weak) = answer.get(ETAG).and_then(weakened) else {
        return;
    };
    let is_known = asked
        .get_all(IF_NONE_MATCH)
        .iter()
        .any(|tags| memchr::memmem::find(tags.as_bytes(), weak.as_bytes()).is_some());
    if is_known {
        answer.insert(ETAG, weak);
    }
}

/// RFC 9111 §5.2.2.6.
fn must_stay(headers: &HeaderMap) -> bool {
    headers.get_all(CACHE_CONTROL).iter().any(|value| {
        let mut directives = value.as_bytes().split(|&byte| byte == b',');
        directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
    })
}

fn is_worth_it(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let essence = content_type.and_then(|text| text.split(|&byte| byte == b';').next());
    let essence = essence
        .unwrap_or_default()
        .trim_ascii()
        .to_ascii_lowercase();
    essence.starts_with(b"text/")
        || essence.ends_with(b"+json")
        || essence.ends_with(b"+xml")
        || TYPES.contains(&&*essence)
}

/// Makes the fields those of the compressed answer.
fn describe(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    headers.remove(CONTENT_LENGTH);
    // Ranges of the other form are not to be had from the backend.
    headers.remove(ACCEPT_RANGES);
    remove_digests(headers);
    if let Some(weak) = headers.get(ETAG).and_then(weakened) {
        headers.insert(ETAG, weak);
    }
}

fn remove_digests(fields: &mut HeaderMap) {
    for digest in DIGESTS {
        fields.remove(digest);
    }
}

/// A strong tag as a weak one: the two forms are equal for all purposes, and not byte for byte (RFC 9110 §8.8.1).
fn weakened(tag: &HeaderValue) -> Option<HeaderValue> {
    let tag = tag.as_bytes();
    let weak = [b"W/", tag].concat();
    HeaderValue::from_bytes(&weak)
        .ok()
        .filter(|_| !tag.starts_with(b"W/"))
}

#[cfg(test)]
mod tests {
    use http::header::VARY;

    use super::*;

    const TEXT: &str = "Lorem ipsum dolor sit amet, consetetur sadipscing elitr. ";

    fn answer(fields: &[(&'static str, &str)], accept: &str) -> Response<Body> {
        let mut answer = Response::new(Body::full(TEXT.repeat(100)));
        for (name, value) in fields {
            answer.headers_mut().append(*name, value.parse().unwrap());
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, accept.parse().unwrap());
        Compression { min_size: 1024 }.apply(&Method::GET, &headers, answer)
    }

    fn coding(fields: &[(&'static str, &str)]) -> Option<String> {
        let answer = answer(fields, "gzip, br");
        let coding = answer.headers().get(CONTENT_ENCODING)?;
        Some(coding.to_str().unwrap().to_owned())
    }

    #[test]
    fn text_is_compressed_and_what_is_compressed_already_is_not() {
        for content_type in [
            "text/plain",
            "TEXT/HTML; charset=utf-8",
            "application/json",
            "application/problem+json",
            "image/svg+xml",
        ] {
            assert_eq!(
                coding(&[("content-type", content_type)]).as_deref(),
                Some("br")
            );
        }
        for content_type in [
            "image/png",
            "application/octet-stream",
            "application/zip",
            "",
        ] {
            assert_eq!(coding(&[("content-type", content_type)]), None);
        }
        let text = ("content-type", "text/plain");
        assert_eq!(
            coding(&[text, ("content-encoding", "gzip")]).as_deref(),
            Some("gzip")
        );
        for other in [
            ("cache-control", "public, No-Transform"),
            ("content-range", "bytes 0-9/10"),
        ] {
            assert_eq!(coding(&[text, other]), None);
        }
    }

    #[test]
    fn the_fields_are_those_of_the_compressed_form() {
        let fields = [
            ("content-type", "text/plain"),
            ("content-length", "5700"),
            ("accept-ranges", "bytes"),
            ("etag", "\"a\""),
            ("content-digest", "sha-256=:x:"),
            ("vary", "Origin"),
        ];
        let compressed = answer(&fields, "zstd");
        let headers = compressed.headers();
        assert_eq!(headers[CONTENT_ENCODING], "zstd");
        assert_eq!(headers[ETAG], "W/\"a\"");
        let names: Vec<_> = headers.get_all(VARY).iter().collect();
        assert_eq!(names, ["Origin", "Accept-Encoding"]);
        for gone in ["content-length", "accept-ranges", "content-digest"] {
            assert!(!headers.contains_key(gone), "{gone}");
        }
        let plain = answer(&fields, "identity");
        assert_eq!(plain.headers()[ETAG], "\"a\"");
        assert_eq!(plain.headers().get_all(VARY).iter().count(), 2);
    }

    #[test]
    fn small_answers_stay_as_they_are() {
        let mut small = Response::new(Body::full("small"));
        small
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        let answer = Compression { min_size: 1024 }.apply(&Method::GET, &headers, small);
        assert!(!answer.headers().contains_key(CONTENT_ENCODING));
        assert!(!answer.headers().contains_key(VARY));
    }
}
