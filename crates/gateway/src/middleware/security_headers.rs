//! Fields that tell browsers to be careful with an answer.

use http::HeaderMap;
use http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

/// OWASP's set for an API, less what a page that a backend serves could need. Browsers heed the first one over https
/// only (RFC 6797 §8.1).
const FIELDS: [(HeaderName, HeaderValue); 5] = [
    (
        STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static("max-age=31536000; includeSubDomains"),
    ),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("frame-ancestors 'none'"),
    ),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Adds the fields that the answer does not have: a backend knows better what its pages need.
pub(crate) fn decorate(answer: &mut HeaderMap) {
    for (name, value) in FIELDS {
        answer.entry(name).or_insert(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_backend_says_stays() {
        let mut answer = HeaderMap::new();
        answer.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
        decorate(&mut answer);
        assert_eq!(answer[X_FRAME_OPTIONS], "SAMEORIGIN");
        assert_eq!(answer[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(answer.len(), FIELDS.len());
    }
}
