//! Who may ask for more than health and metrics.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::answer::refused;

/// The token that must be shown; none for nobody's.
pub(super) type Token = Option<Arc<str>>;

/// Lets a request pass that shows the token, and is not sent by a web page: one can make a browser on this machine send a
/// request here, but not without `Origin`.
pub(super) async fn guard(State(token): State<Token>, request: Request, next: Next) -> Response {
    if request.headers().contains_key(ORIGIN) {
        return refused(StatusCode::FORBIDDEN, "requests of web pages are not taken");
    }
    if token.is_none_or(|token| shows(request.headers(), &token)) {
        return next.run(request).await;
    }
    let mut answer = refused(
        StatusCode::UNAUTHORIZED,
        "show the admin token as \"Authorization: Bearer …\": that of ADMIN_TOKEN, or of the file that the gateway names when it starts",
    );
    let challenge = HeaderValue::from_static("Bearer realm=\"api-gateway admin\"");
    answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    answer
}

fn shows(headers: &HeaderMap, token: &str) -> bool {
    let shown = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    let shown = shown.and_then(|value| value.split_at_checked("Bearer ".len()));
    let Some((scheme, shown)) = shown else {
        return false;
    };
    let same = aws_lc_rs::constant_time::verify_slices_are_equal(shown, token.as_bytes());
    scheme.eq_ignore_ascii_case(b"Bearer ") && !token.is_empty() && same.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_token_itself_will_do() {
        let shown = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            shows(&headers, "0123456789abcdef")
        };
        assert!(shown("Bearer 0123456789abcdef") && shown("bearer 0123456789abcdef"));
        for wrong in [
            "Bearer 0123456789abcde",
            "Basic 0123456789abcdef",
            "Bearer ",
            "0123456789abcdef",
            "",
        ] {
            assert!(!shown(wrong), "{wrong}");
        }
        assert!(!shows(&HeaderMap::new(), ""));
    }
}
