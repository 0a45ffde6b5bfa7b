//! What an answer depends on.

use http::header::VARY;
use http::{HeaderMap, HeaderValue};

/// Says on an answer that it depends on a field of the request, which `name` names (RFC 9110 §12.5.5).
pub(crate) fn add(answer: &mut HeaderMap, name: &'static str) {
    let names_it = answer.get_all(VARY).iter().any(|value| {
        let mut names = value.as_bytes().split(|&byte| byte == b',');
        names.any(|other| {
            let other = other.trim_ascii();
            other == b"*" || other.eq_ignore_ascii_case(name.as_bytes())
        })
    });
    if !names_it {
        answer.append(VARY, HeaderValue::from_static(name));
    }
}
