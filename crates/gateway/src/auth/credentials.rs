//! Where a request has its credentials.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, request};
use percent_encoding::percent_decode;

use super::AuthError;
use crate::middleware::underscores::alike;

/// A place for a token or an API key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// `Authorization: Bearer` (RFC 6750 §2.1).
    Bearer,
    /// A cookie.
    Cookie(Box<str>),
    /// A field.
    Header(HeaderName),
    /// A query parameter, however it is spelled there.
    Query(Box<str>),
}

impl std::str::FromStr for Place {
    type Err = String;

    /// `bearer`, or `cookie:`, `header:` or `query:` and a name.
    fn from_str(text: &str) -> Result<Self, String> {
        let named = |name: &str| !name.is_empty() && !name.contains(['=', '&', ';', ' ']);
        match text.split_once(':') {
            None if text == "bearer" => return Ok(Self::Bearer),
            Some(("cookie", name)) if named(name) => return Ok(Self::Cookie(name.into())),
            Some(("query", name)) if named(name) => return Ok(Self::Query(name.into())),
            Some(("header", name)) => {
                if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
                    return Ok(Self::Header(name));
                }
            }
            _ => {}
        }
        Err("must be \"bearer\", or \"cookie:\", \"header:\" or \"query:\" and a name".to_owned())
    }
}

impl Place {
    /// What is there. A place that is taken twice is an error: two readers could take different ones.
    pub(crate) fn find<'a>(&self, head: &'a request::Parts) -> Result<Cow<'a, [u8]>, AuthError> {
        let found = match self {
            Self::Bearer => return authorization(&head.headers, "Bearer").map(Cow::Borrowed),
            Self::Header(name) => only(
                head.headers
                    .iter()
                    .filter(|(other, _)| alike(other, name))
                    .map(|(_, value)| value.as_bytes()),
            ),
            Self::Cookie(name) => {
                only(cookies(&head.headers).filter_map(|pair| value_of(pair, name)))
            }
            Self::Query(name) => only(
                parameters(head.uri.query().unwrap_or_default().as_bytes())
                    .filter_map(|pair| parameter_of(pair, name)),
            ),
        };
        let found = found?
            .filter(|value| !value.is_empty())
            .ok_or(AuthError::Missing)?;
        Ok(match self {
            // RFC 3986 §6.2.2.2: the same, whichever letters are encoded.
            Self::Query(_) => percent_decode(found).into(),
            _ => Cow::Borrowed(found),
        })
    }
}

/// What is in those of `places` that have anything.
pub(crate) fn taken<'a>(
    places: &'a [Place],
    head: &'a request::Parts,
) -> impl Iterator<Item = Result<Cow<'a, [u8]>, AuthError>> {
    let found = places.iter().map(|place| place.find(head));
    found.filter(|found| !matches!(found, Err(AuthError::Missing)))
}

/// What follows `scheme` in the only `Authorization` field. Schemes are case-insensitive (RFC 9110 §11.1).
pub(crate) fn authorization<'a>(
    headers: &'a HeaderMap,
    scheme: &str,
) -> Result<&'a [u8], AuthError> {
    let field = only(
        headers
            .get_all(AUTHORIZATION)
            .iter()
            .map(|value| value.as_bytes()),
    )?
    .ok_or(AuthError::Missing)?;
    // Credentials of another scheme are none of this one (RFC 6750 §3.1).
    let (_, rest) = field
        .split_at_checked(scheme.len())
        .filter(|(start, _)| start.eq_ignore_ascii_case(scheme.as_bytes()))
        .ok_or(AuthError::Missing)?;
    match rest {
        [b' ', credentials @ ..] => Some(credentials.trim_ascii())
            .filter(|credentials| !credentials.is_empty())
            .ok_or(AuthError::Malformed),
        [next, ..] if next.is_ascii_graphic() => Err(AuthError::Missing),
        // Nothing, or what some backends take for the space.
        _ => Err(AuthError::Malformed),
    }
}

/// What a client that may show a name and a password is told (RFC 7617 §2).
pub(crate) const BASIC_CHALLENGE: &str = "Basic realm=\"api-gateway\", charset=\"UTF-8\"";

/// The name and the password in what follows `Basic` (RFC 7617 §2).
pub(crate) fn name_and_password(encoded: &[u8]) -> Result<(String, String), AuthError> {
    let decoded = STANDARD.decode(encoded).ok();
    decoded
        .and_then(|decoded| String::from_utf8(decoded).ok())
        .and_then(|text| {
            let (name, password) = text.split_once(':')?;
            Some((name.to_owned(), password.to_owned()))
        })
        .ok_or(AuthError::Malformed)
}

/// Credentials that end at the gateway.
#[derive(Debug, Default)]
pub struct Hidden {
    fields: Vec<HeaderName>,
    cookies: Vec<Box<str>>,
    parameters: Vec<Box<str>>,
}

impl Hidden {
    /// Hides what is in `place`.
    pub(crate) fn hide(&mut self, place: &Place) {
        match place {
            Place::Bearer => self.fields.push(AUTHORIZATION),
            Place::Header(name) => self.fields.push(name.clone()),
            Place::Cookie(name) => self.cookies.push(name.clone()),
            Place::Query(name) => self.parameters.push(name.clone()),
        }
    }

    /// Whether nothing is hidden.
    pub(crate) fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.cookies.is_empty() && self.parameters.is_empty()
    }

    /// Whether the field is hidden, whole.
    pub(crate) fn field(&self, name: &HeaderName) -> bool {
        self.fields.iter().any(|field| alike(field, name))
    }

    /// The cookies of a field that are not hidden. None where all of them may pass as they are.
    pub(crate) fn without_cookies(&self, name: &HeaderName, value: &[u8]) -> Option<Vec<u8>> {
        if self.cookies.is_empty() || name != COOKIE {
            return None;
        }
        let kept = pairs(value, b';').filter(|pair| {
            !self
                .cookies
                .iter()
                .any(|name| value_of(pair, name).is_some())
        });
        Some(kept.collect::<Vec<_>>().join(&b"; "[..]))
    }

    /// The parameters of a query that are not hidden. None where all of them may pass as they are.
    pub(crate) fn without_parameters(&self, query: &str) -> Option<String> {
        if self.parameters.is_empty() {
            return None;
        }
        let kept = query.split('&').filter(|pair| {
            !self
                .parameters
                .iter()
                .any(|name| parameter_of(pair.as_bytes(), name).is_some())
        });
        Some(kept.collect::<Vec<_>>().join("&"))
    }
}

/// The only one of `values`, if there is one.
fn only<'a>(mut values: impl Iterator<Item = &'a [u8]>) -> Result<Option<&'a [u8]>, AuthError> {
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(AuthError::Malformed),
    }
}

/// RFC 6265 §4.2.1; HTTP/2 may split the field (RFC 9113 §8.2.3).
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    headers
        .get_all(COOKIE)
        .iter()
        .flat_map(|value| pairs(value.as_bytes(), b';'))
}

fn parameters(query: &[u8]) -> impl Iterator<Item = &[u8]> {
    pairs(query, b'&')
}

fn pairs(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    text.split(move |&byte| byte == separator)
        .map(<[u8]>::trim_ascii)
}

/// The value of a pair with this name; some backends take a name with spaces about it for the same.
fn value_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let equals = memchr::memchr(b'=', pair)?;
    let (found, value) = pair.split_at(equals);
    (found.trim_ascii() == name.as_bytes()).then_some(&value[1..])
}

/// The value of a query parameter with this name, as a backend reads names: decoded, and with no value where it has no
/// `=` (WHATWG URL §5.1).
fn parameter_of<'a>(pair: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let equals = memchr::memchr(b'=', pair).unwrap_or(pair.len());
    let (found, value) = pair.split_at(equals);
    let (decoded, _) = form_urlencoded::parse(found).next()?;
    (decoded == name).then(|| value.get(1..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn found(places: &[&str], head: &request::Parts) -> Result<String, AuthError> {
        let places: Vec<Place> = places.iter().map(|place| place.parse().unwrap()).collect();
        let first = taken(&places, head).next();
        let first = first.unwrap_or(Err(AuthError::Missing));
        first.map(|bytes| String::from_utf8(bytes.into_owned()).unwrap())
    }

    #[test]
    fn credentials_are_found_where_a_route_says() {
        let head = head(
            "/a?x=1&key=in-query",
            &[
                ("authorization", "Bearer  in-authorization"),
                ("cookie", "a=b; session=in-cookie"),
                ("x-token", "in-field"),
            ],
        );
        for (place, value) in [
            ("bearer", "in-authorization"),
            ("cookie:session", "in-cookie"),
            ("header:X-Token", "in-field"),
            ("query:key", "in-query"),
        ] {
            assert_eq!(found(&[place], &head).as_deref(), Ok(value));
            assert_eq!(found(&["query:none", place], &head).as_deref(), Ok(value));
        }
        assert_eq!(found(&["query:k"], &head), Err(AuthError::Missing));
        assert_eq!(found(&["cookie:s"], &head), Err(AuthError::Missing));
    }

    #[test]
    fn a_place_that_is_taken_twice_is_refused() {
        for (place, head) in [
            (
                "bearer",
                head(
                    "/",
                    &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
                ),
            ),
            ("header:x", head("/", &[("x", "a"), ("x", "b")])),
            ("cookie:c", head("/", &[("cookie", "c=a; c=b")])),
            ("query:q", head("/?q=a&q=a", &[])),
            ("query:qr", head("/?qr=a&qr", &[])),
            ("query:qr", head("/?qr&qr=a", &[])),
            ("query:qr", head("/?qr=a&%71r=b", &[])),
            ("query:qr", head("/?q%72=b&qr=a", &[])),
        ] {
            assert_eq!(found(&[place], &head), Err(AuthError::Malformed), "{place}");
        }
    }

    #[test]
    fn places_have_names() {
        for bad in [
            "",
            "Bearer",
            "cookie:",
            "header:",
            "header:a b",
            "query:a=b",
            "body:x",
        ] {
            assert!(bad.parse::<Place>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hidden_credentials_are_taken_out_and_nothing_else() {
        let mut hidden = Hidden::default();
        assert_eq!(hidden.without_parameters("a=1"), None);
        for place in ["bearer", "cookie:session", "header:X-Token", "query:key"] {
            hidden.hide(&place.parse().unwrap());
        }
        assert!(hidden.field(&AUTHORIZATION));
        assert!(hidden.field(&HeaderName::from_static("x-token")));
        assert!(!hidden.field(&COOKIE));
        assert_eq!(
            hidden
                .without_cookies(&COOKIE, b"a=b; session=x;c=d")
                .unwrap(),
            b"a=b; c=d"
        );
        assert_eq!(hidden.without_cookies(&AUTHORIZATION, b"session=x"), None);
        assert_eq!(hidden.without_parameters("key=x").unwrap(), "");
        assert_eq!(hidden.without_parameters("a=1&key=x&&b").unwrap(), "a=1&&b");
        let spelled = "%6Bey=x&k%65y=x&key&a%zz=1&key2=x&%";
        let kept = hidden.without_parameters(spelled).unwrap();
        assert_eq!(kept, "a%zz=1&key2=x&%");
    }
}
