//! `X-Request-ID`: one name for a request in every log that it passes.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Builder;

/// The field that carries the id, from the client, to the backend and back.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Ids of clients longer than this are replaced.
const LONGEST: usize = 128;

/// The client's id where it is fit to be logged and forwarded, else a new one: a UUIDv7, so that ids sort by time.
pub(crate) fn choose(headers: &HeaderMap, unix_milliseconds: u64) -> HeaderValue {
    let mut sent = headers.get_all(X_REQUEST_ID).iter();
    match (sent.next(), sent.next()) {
        (Some(id), None) if is_sane(id.as_bytes()) => id.clone(),
        _ => make(unix_milliseconds),
    }
}

/// Letters, digits and a few marks: nothing that a log, a shell or a header list could take for something else.
fn is_sane(id: &[u8]) -> bool {
    (1..=LONGEST).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=@~".contains(byte))
}

/// RFC 9562 §5.7. An id has to be unique, not secret: a quick generator, seeded per thread from the system's, does.
fn make(unix_milliseconds: u64) -> HeaderValue {
    let random = fastrand::u128(..).to_ne_bytes();
    let [ten @ .., _, _, _, _, _, _] = random;
    let mut text = [0; 36];
    Builder::from_unix_timestamp_millis(unix_milliseconds, &ten)
        .as_uuid()
        .hyphenated()
        .encode_lower(&mut text);
    HeaderValue::from_bytes(&text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(ids: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for id in ids {
            headers.append(X_REQUEST_ID, HeaderValue::from_str(id).unwrap());
        }
        choose(&headers, 1_700_000_000_000)
            .to_str()
            .unwrap()
            .to_owned()
    }

    #[test]
    fn a_sane_id_is_kept() {
        for id in ["abc", "0190a8c2-1f9b-7000", "trace:1/2+3=@~._"] {
            assert_eq!(chosen(&[id]), id);
        }
    }

    #[test]
    fn anything_else_is_replaced_by_a_uuid_of_version_7() {
        let long = "a".repeat(LONGEST + 1);
        for ids in [
            &[][..],
            &[""],
            &["a b"],
            &["a\"b"],
            &["a,b"],
            &[long.as_str()],
            &["a", "b"],
        ] {
            let id = uuid::Uuid::parse_str(&chosen(ids)).unwrap();
            assert_eq!(id.get_version_num(), 7, "{ids:?}");
            assert_eq!(id.get_timestamp().unwrap().to_unix().0, 1_700_000_000);
        }
    }

    #[test]
    fn made_ids_differ() {
        assert_ne!(chosen(&[]), chosen(&[]));
    }
}
