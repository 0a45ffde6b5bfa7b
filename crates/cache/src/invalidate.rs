//! Which stored responses an unsafe request makes invalid (RFC 9111 §4.4).

use http::header::{CONTENT_LOCATION, LOCATION};
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::key::Target;
use crate::request::is_safe;

/// Whether what is stored for the target of a request is not right any more, once it was answered with `status`.
#[must_use]
pub fn invalidates(method: &Method, status: StatusCode) -> bool {
    !is_safe(method) && (status.is_success() || status.is_redirection())
}

/// A path and query of the target's own origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) path: String,
    pub(crate) query: Option<String>,
}

/// What else an answer names, at the same origin.
pub(crate) fn locations<'a>(
    headers: &'a HeaderMap,
    target: &'a Target<'_>,
) -> impl Iterator<Item = Location> + 'a {
    [LOCATION, CONTENT_LOCATION]
        .into_iter()
        .filter_map(|name| resolve(text(headers, &name)?, target))
}

/// Whether `Content-Location` is the target itself.
pub(crate) fn resolves_to_target(headers: &HeaderMap, target: &Target<'_>) -> bool {
    let location = text(headers, &CONTENT_LOCATION).and_then(|it| resolve(it, target));
    location.is_some_and(|it| it.path == target.path && it.query.as_deref() == target.query)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// What a reference means at `target`, if that is of the same origin (RFC 3986 §5.2).
fn resolve(reference: &str, target: &Target<'_>) -> Option<Location> {
    let reference = reference.trim().split('#').next().unwrap_or_default();
    let rest = match scheme(reference) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(target.scheme) => rest,
        Some(_) => return None,
        None => reference,
    };
    let had_scheme = rest.len() != reference.len();
    if let Some(rest) = rest.strip_prefix("//") {
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (host, rest) = rest.split_at(end);
        return host
            .eq_ignore_ascii_case(target.host)
            .then(|| split(if rest.is_empty() { "/" } else { rest }));
    }
    match rest {
        // Something like `mailto:`.
        _ if had_scheme => None,
        "" => Some(Location {
            path: target.path.to_owned(),
            query: target.query.map(str::to_owned),
        }),
        rest if rest.starts_with('/') => Some(split(rest)),
        rest if rest.starts_with('?') => Some(Location {
            path: target.path.to_owned(),
            ..split(rest)
        }),
        rest => {
            let folder = target.path.rfind('/').map_or("/", |at| &target.path[..=at]);
            Some(split(&format!("{folder}{rest}")))
        }
    }
}

fn scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let mut bytes = scheme.bytes();
    let is_scheme = bytes.next()?.is_ascii_alphabetic()
        && bytes.all(|it| it.is_ascii_alphanumeric() || matches!(it, b'+' | b'-' | b'.'));
    is_scheme.then_some((scheme, rest))
}

fn split(path_and_query: &str) -> Location {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (path_and_query, None),
    };
    Location {
        path: without_dots(path),
        query,
    }
}

/// RFC 3986 §5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if is_last {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Target<'static> = Target {
        scheme: "https",
        host: "a.example:8080",
        path: "/b/c",
        query: Some("d"),
    };

    fn resolved(reference: &str) -> Option<String> {
        resolve(reference, &TARGET).map(|it| {
            let query = it.query.map(|it| format!("?{it}")).unwrap_or_default();
            format!("{}{query}", it.path)
        })
    }

    #[test]
    fn references_are_resolved_at_the_same_origin_only() {
        for (reference, expected) in [
            ("", Some("/b/c?d")),
            ("#x", Some("/b/c?d")),
            ("x", Some("/b/x")),
            ("./x?y#z", Some("/b/x?y")),
            ("../../x/", Some("/x/")),
            ("..", Some("/")),
            (".", Some("/b/")),
            ("?x", Some("/b/c?x")),
            ("/x/./y/../z", Some("/x/z")),
            ("//A.example:8080/x", Some("/x")),
            ("HTTPS://a.example:8080", Some("/")),
            ("https://a.example:8080?x", Some("/?x")),
            ("https://a.example/x", None),
            ("http://a.example:8080/x", None),
            ("https://a.example:8080.evil/x", None),
            ("https:x", None),
            ("mailto:x", None),
            ("x:y/z", None),
        ] {
            assert_eq!(resolved(reference).as_deref(), expected, "{reference}");
        }
    }

    #[test]
    fn only_unsafe_methods_that_did_something_invalidate() {
        let of = |method: &str, status: u16| {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            invalidates(&method, StatusCode::from_u16(status).unwrap())
        };
        for method in ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH"] {
            assert!(of(method, 200) && of(method, 303), "{method}");
            assert!(!of(method, 404) && !of(method, 500), "{method}");
        }
        for method in ["GET", "HEAD", "OPTIONS", "QUERY"] {
            assert!(!of(method, 200), "{method}");
        }
    }
}
