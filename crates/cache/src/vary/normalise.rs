//! Values that mean the same, made the same. What may be done with a value depends on what its field means: space
//! around the members of a list, letters that may be of either case, members whose order says nothing (RFC 9111 §4.1).

use http::HeaderValue;

use crate::directives::syntax::members;
use crate::policy::Policy;

/// How the value of a field is written.
enum Form {
    /// One value, in which a comma is a character as any other.
    Single,
    /// A list, in which order and case may mean something.
    List,
    /// A list in which neither does.
    Set,
    /// A list in which case does not.
    Caseless,
}

fn form(name: &str, policy: &Policy) -> Form {
    match name {
        "authorization"
        | "cookie"
        | "from"
        | "host"
        | "if-modified-since"
        | "origin"
        | "proxy-authorization"
        | "referer"
        | "user-agent" => Form::Single,
        "accept-charset" | "accept-encoding" => Form::Set,
        "accept-language" if policy.ignore_language_order => Form::Set,
        "accept-language" => Form::Caseless,
        _ => Form::List,
    }
}

/// Adds what the lines of field `name` say to `out`.
pub(super) fn write<'a>(
    name: &str,
    lines: impl Iterator<Item = &'a HeaderValue>,
    policy: &Policy,
    out: &mut Vec<u8>,
) {
    let lines = lines.map(HeaderValue::as_bytes);
    match form(name, policy) {
        Form::Single => join(lines.map(<[u8]>::trim_ascii), b'\n', out),
        Form::List => join(lines.flat_map(members), b',', out),
        Form::Caseless => join(lines.flat_map(members).map(weighted), b',', out),
        Form::Set => {
            let mut members: Vec<Vec<u8>> = lines.flat_map(members).map(weighted).collect();
            members.sort_unstable();
            members.dedup();
            join(members.iter(), b',', out);
        }
    }
}

fn join(parts: impl Iterator<Item = impl AsRef<[u8]>>, separator: u8, out: &mut Vec<u8>) {
    for part in parts {
        out.extend_from_slice(part.as_ref());
        out.push(separator);
    }
}

/// A member that may have a weight, in lower case, without space in it, and without the weight that is meant anyway.
fn weighted(member: &[u8]) -> Vec<u8> {
    let mut text: Vec<u8> = member
        .iter()
        .filter(|it| !matches!(it, b' ' | b'\t'))
        .map(u8::to_ascii_lowercase)
        .collect();
    for full in [&b";q=1"[..], b";q=1.0", b";q=1.00", b";q=1.000"] {
        if text.ends_with(full) {
            text.truncate(text.len() - full.len());
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(name: &str, one: &[&str], other: &[&str], policy: &Policy) -> bool {
        let [one, other] = [one, other].map(|lines| {
            let lines: Vec<_> = lines
                .iter()
                .map(|it| HeaderValue::from_str(it).unwrap())
                .collect();
            let mut out = Vec::new();
            write(name, lines.iter(), policy, &mut out);
            out
        });
        one == other
    }

    #[test]
    fn what_means_the_same_is_the_same() {
        let policy = Policy::default();
        for (name, one, other) in [
            ("foo", &["1, 2"][..], &["1", "2"][..]),
            ("foo", &["1,2"], &[" 1 ,\t2 "]),
            ("accept-language", &["en, de"], &["eN ,  De;q=1.0"]),
            ("accept-encoding", &["gzip, br;q=0.5"], &["br; q=0.5,GZIP"]),
            ("user-agent", &["a"], &[" a "]),
        ] {
            assert!(same(name, one, other, &policy), "{name}: {one:?} {other:?}");
        }
    }

    #[test]
    fn what_may_mean_something_else_is_not() {
        let policy = Policy::default();
        for (name, one, other) in [
            ("foo", &["1, 2"][..], &["2, 1"][..]),
            ("foo", &["a"], &["A"]),
            ("foo", &["\"a, b\""], &["\"a,b\""]),
            ("accept-language", &["en, de"], &["de, en"]),
            ("accept-language", &["en;q=0.5"], &["en;q=0.4"]),
            ("user-agent", &["a (b, c)"], &["a (b,c)"]),
            ("cookie", &["a=1, 2"], &["a=1,2"]),
        ] {
            assert!(
                !same(name, one, other, &policy),
                "{name}: {one:?} {other:?}"
            );
        }
    }

    #[test]
    fn the_order_of_languages_is_ignored_where_that_is_set() {
        let policy = Policy {
            ignore_language_order: true,
            ..Policy::default()
        };
        assert!(same("accept-language", &["en, de"], &["de, en"], &policy));
    }
}
