//! Values that mean the same, made the same. What may be done with a value depends on what its field means: space
//! around the members of a list, letters that may be of either case, members whose order says nothing (RFC 9111 §4.1).

use std::ops::Range;

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
        Form::Caseless => {
            for member in lines.flat_map(members) {
                push_weighted(member, out);
            }
        }
        Form::Set => push_set(lines.flat_map(members), out),
    }
}

fn join<'a>(parts: impl Iterator<Item = &'a [u8]>, separator: u8, out: &mut Vec<u8>) {
    for part in parts {
        out.extend_from_slice(part);
        out.push(separator);
    }
}

/// Adds a member that may have a weight, in lower case, without space in it, and without the weight that is meant
/// anyway.
fn push_weighted(member: &[u8], out: &mut Vec<u8>) {
    out.extend(
        member
            .iter()
            .filter(|it| !matches!(it, b' ' | b'\t'))
            .map(u8::to_ascii_lowercase),
    );
    for full in [&b";q=1"[..], b";q=1.0", b";q=1.00", b";q=1.000"] {
        if out.ends_with(full) {
            out.truncate(out.len() - full.len());
            break;
        }
    }
    out.push(b',');
}

/// Adds members in an order of our own, each once. It is done for each request that a response varies by encodings for:
/// hence one piece of memory for all. More members than anybody has are left in their order.
fn push_set<'a>(members: impl Iterator<Item = &'a [u8]>, out: &mut Vec<u8>) {
    const MOST: usize = 32;
    let mut ranges: [Range<usize>; MOST] = std::array::from_fn(|_| 0..0);
    let start = out.len();
    let mut count = 0;
    for member in members {
        let from = out.len();
        push_weighted(member, out);
        if let Some(range) = ranges.get_mut(count) {
            *range = from..out.len();
        }
        count += 1;
    }
    let Some(ranges) = ranges.get_mut(..count) else {
        return;
    };
    let text = |range: &Range<usize>| out.get(range.clone()).unwrap_or_default();
    ranges.sort_unstable_by(|one, other| text(one).cmp(text(other)));
    let mut sorted = Vec::with_capacity(out.len() - start);
    let mut last: &[u8] = b"";
    for range in ranges.iter() {
        if text(range) != last {
            last = text(range);
            sorted.extend_from_slice(last);
        }
    }
    out.truncate(start);
    out.extend_from_slice(&sorted);
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
            ("accept-encoding", &["gzip, gzip", "br"], &["br, gzip"]),
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
            ("accept-encoding", &["gzip"], &["gzip, br"]),
            ("accept-encoding", &["a, b"], &["ab"]),
            ("accept-language", &["a, b"], &["ab"]),
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
