//! A request as the cache sees it, and its key.

use std::borrow::Cow;

use cache::{Extra, Key, Request, Target};
use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::route::RouteCache;
use crate::config::{Destination, Route};
use crate::proxy::Routed;
use crate::tls::{CLIENT_CERT, CLIENT_CERT_CHAIN};

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What many backends take for credentials besides `Authorization`.
const CREDENTIALS: [&str; 4] = ["api-key", "x-access-token", "x-api-key", "x-auth-token"];
/// What makes some backends answer for another method or URL than that of the request line.
const OVERRIDES: [&str; 5] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

/// RFC 9440: the gateway's own, towards backends.
const CERTIFICATE_FIELDS: [HeaderName; 2] = [CLIENT_CERT, CLIENT_CERT_CHAIN];

/// What differs between a request as it came and as the backend sees it, as far as answers may depend on it. Most have
/// nothing of the kind.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// The fields, without those that end at the gateway and with the claims that the backend is told: what a client
    /// writes into such a field must not choose what it gets.
    headers: Option<HeaderMap>,
    /// The query without credentials.
    query: Option<String>,
}

impl View {
    pub(super) fn of(routed: &Routed<'_>, route: &Route) -> Self {
        let query = routed.head.uri.query();
        Self {
            headers: (route.withholds_any() || concerns_certificates(routed))
                .then(|| seen(routed, route)),
            query: query.and_then(|query| route.hidden.without_parameters(query)),
        }
    }

    /// What the request is for. Behind proxies that are trusted it is what they say: that is what is published.
    pub(super) fn target<'a>(&'a self, routed: &'a Routed<'_>) -> Target<'a> {
        let headers = &routed.head.headers;
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        // Of whom nobody trusts these are gone already.
        let scheme = routed.side.scheme_of(headers);
        let host = text(X_FORWARDED_HOST).or_else(|| text(HOST));
        Target {
            scheme,
            host: without_usual_port(scheme, host.unwrap_or_default()),
            path: routed.path,
            query: match &self.query {
                Some(query) => Some(query.as_str()).filter(|query| !query.is_empty()),
                None => routed.head.uri.query(),
            },
        }
    }

    /// The request that is looked up, and whose answer may be stored.
    pub(super) fn request<'a>(
        &'a self,
        routed: &'a Routed<'_>,
        route: &Route,
        target: &'a Target<'a>,
    ) -> Request<'a> {
        Request {
            method: &routed.head.method,
            target,
            headers: self.headers.as_ref().unwrap_or(&routed.head.headers),
            // Whatever it is that lets a client pass, it may be what the answer depends on.
            has_credentials: route.access.is_some()
                || routed.side.certificate().is_some()
                || has_any(&routed.head.headers, &CREDENTIALS),
        }
    }
}

/// Whether an answer may be for something else than the key says.
pub(super) fn is_overridden(headers: &HeaderMap) -> bool {
    has_any(headers, &OVERRIDES)
}

/// A look at each name costs less than several look-ups.
fn has_any(headers: &HeaderMap, names: &[&str]) -> bool {
    headers.keys().any(|name| names.contains(&name.as_str()))
}

/// The fields as the backend sees them.
fn seen(routed: &Routed<'_>, route: &Route) -> HeaderMap {
    let (headers, identity) = (&routed.head.headers, routed.identity);
    let mut seen = HeaderMap::with_capacity(headers.len());
    let ends = |name| route.withholds(name) || CERTIFICATE_FIELDS.contains(name);
    for (name, value) in headers.iter().filter(|(name, _)| !ends(name)) {
        match route.hidden.without_cookies(name, value.as_bytes()) {
            None => {
                seen.append(name, value.clone());
            }
            Some(shown) if shown.is_empty() => {}
            Some(shown) => {
                if let Ok(value) = HeaderValue::from_bytes(&shown) {
                    seen.append(name, value);
                }
            }
        }
    }
    for claim in &route.claims {
        let value = identity.and_then(|identity| claim.value(&identity.claims));
        if let Some(value) = value.and_then(|value| HeaderValue::from_bytes(&value).ok()) {
            seen.append(&claim.field, value);
        }
    }
    for (name, value) in routed.side.certificate().map_or(&[][..], |it| &it.fields) {
        seen.append(name, value.clone());
    }
    seen
}

/// Whether the backend sees other fields about the client's certificate than the client has sent, nearly always none.
fn concerns_certificates(routed: &Routed<'_>) -> bool {
    let sent = |name: &HeaderName| CERTIFICATE_FIELDS.contains(name);
    routed.side.certificate().is_some() || routed.head.headers.keys().any(sent)
}

/// Writes the key of a request.
pub(super) fn write_key(
    rules: &RouteCache,
    routed: &Routed<'_>,
    route: &Route,
    request: &Request<'_>,
    isolated: bool,
    content: Option<&[u8]>,
    key: &mut Key,
) {
    // A route's responses are its own: another may have the same URL for other fields or methods.
    let of_route = ("route", route.name.as_bytes());
    let is_split = matches!(route.destination, Destination::Split(_));
    let headers = &routed.head.headers;
    let is_forwarded = routed.side.trusted && headers.contains_key(X_FORWARDED_HOST);
    if !is_split && !is_forwarded && !isolated && rules.claims.is_empty() {
        let extra = Extra {
            parts: &[of_route],
            content,
        };
        return rules
            .recipe
            .write(request.target, request.headers, &extra, key);
    }
    let mut parts: Vec<(&str, Cow<'_, [u8]>)> = vec![(of_route.0, of_route.1.into())];
    if is_split {
        parts.push(("upstream", routed.upstream.name.as_bytes().into()));
    }
    if is_forwarded && let Some(host) = headers.get(HOST) {
        parts.push(("host", host.as_bytes().into()));
    }
    for (name, path) in &rules.claims {
        let claims = routed.identity.map(|identity| &identity.claims);
        let value = claims.and_then(|claims| claims.find(path));
        let value = value.map(ToString::to_string).unwrap_or_default();
        parts.push((name, value.into_bytes().into()));
    }
    if isolated && let Some(identity) = routed.identity {
        parts.push(("authority", identity.authority.as_bytes().into()));
        let subject = identity.subject.as_deref().unwrap_or_default();
        parts.push(("subject", subject.as_bytes().into()));
    }
    let parts: Vec<(&str, &[u8])> = parts
        .iter()
        .map(|(name, value)| (*name, &**value))
        .collect();
    let extra = Extra {
        parts: &parts,
        content,
    };
    rules
        .recipe
        .write(request.target, request.headers, &extra, key);
}

fn without_usual_port<'a>(scheme: &str, host: &'a str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    host.strip_suffix(port).unwrap_or(host)
}
