//! `tracestate`: what others on the way have written about a trace. It goes on as it has come, or not at all.

use http::{HeaderMap, HeaderName};

/// The field.
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Members of a list (W3C Trace Context, §3.3.1.1).
const MOST_MEMBERS: usize = 32;
/// Bytes of all that is passed on: more than the 512 that everybody has to pass on.
const LONGEST: usize = 4096;

/// Takes `tracestate` off `headers` if it is malformed.
pub(super) fn check(headers: &mut HeaderMap) {
    if !is_valid(headers) {
        headers.remove(TRACESTATE);
    }
}

/// Several fields are one list, in their order. Members may be empty.
fn is_valid(headers: &HeaderMap) -> bool {
    let mut length = 0;
    // Most lists have one member: the others' keys need memory.
    let (mut first, mut others) = (None, Vec::new());
    for field in headers.get_all(TRACESTATE) {
        length += field.len();
        if length > LONGEST {
            return false;
        }
        for member in field.as_bytes().split(|&byte| byte == b',') {
            let member = member.trim_ascii();
            if member.is_empty() {
                continue;
            }
            let Some(at) = member.iter().position(|&byte| byte == b'=') else {
                return false;
            };
            let (key, value) = (&member[..at], &member[at + 1..]);
            let is_new = first != Some(key) && !others.contains(&key);
            if !(is_new && is_key(key) && is_value(value)) || others.len() + 1 == MOST_MEMBERS {
                return false;
            }
            match first {
                None => first = Some(key),
                Some(_) => others.push(key),
            }
        }
    }
    true
}

/// §3.3.1.3.1, level 2.
fn is_key(key: &[u8]) -> bool {
    let [first, rest @ ..] = key else {
        return false;
    };
    let is_first = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_further = |byte: &u8| is_first(byte) || b"_-*/@".contains(byte);
    key.len() <= 256 && is_first(first) && rest.iter().all(is_further)
}

/// §3.3.1.3.2.
fn is_value(value: &[u8]) -> bool {
    let is_plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && !b",=".contains(byte);
    (1..=256).contains(&value.len()) && value.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn survives(fields: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(TRACESTATE, HeaderValue::from_str(field).unwrap());
        }
        check(&mut headers);
        headers.contains_key(TRACESTATE)
    }

    #[test]
    fn a_valid_list_goes_on() {
        for fields in [
            &["rojo=00f067aa0ba902b7"][..],
            &["rojo=1,congo=t61 rcWkgMzE"],
            &["rojo=1", "congo=2"],
            &["tenant@vendor=1, , a*b/c_d-e=2"],
            &["0=1"],
            &[""],
        ] {
            assert!(survives(fields), "{fields:?}");
        }
    }

    #[test]
    fn a_malformed_list_ends_here() {
        let many: Vec<String> = (0..=MOST_MEMBERS).map(|key| format!("k{key}=1")).collect();
        let long_key = format!("{}=1", "k".repeat(257));
        let long_value = format!("k={}", "1".repeat(257));
        for fields in [
            &["rojo"][..],
            &["rojo="],
            &["=1"],
            &["Rojo=1"],
            &["rojo=1=2"],
            &["rojo =1"],
            &["rojo=1", "rojo=2"],
            &["-a=1"],
            &[&many.join(",")],
            &[&long_key],
            &[&long_value],
        ] {
            assert!(!survives(fields), "{fields:?}");
        }
    }
}
