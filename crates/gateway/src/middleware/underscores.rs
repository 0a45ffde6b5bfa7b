//! Fields with an underscore in their name.
//!
//! CGI, WSGI and their kin turn field names into variables, hyphens into underscores: to them `X_User` and `X-User` are
//! one field (RFC 3875 §4.1.18). Whoever trusts the second, because the gateway writes it, must not be sent the first.

use http::{HeaderMap, HeaderName};

use super::client_address::speaks_for_a_proxy;
use super::removal;
use crate::error::{ErrorCode, Refusal};
use crate::proxy::ends_at_the_gateway;

/// What happens to fields with an underscore in their name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnderscoreHeaders {
    /// They end at the gateway.
    Drop,
    /// They go on, but for those that would stand beside one of the gateway's.
    Keep,
    /// Their request is refused.
    Reject,
}

impl UnderscoreHeaders {
    /// Does that to the fields of a request.
    ///
    /// # Errors
    /// When the request is to be refused.
    pub(crate) fn apply(self, headers: &mut HeaderMap) -> Result<(), Refusal> {
        if !headers.keys().any(has_underscore) {
            return Ok(());
        }
        if self == Self::Reject {
            return Err(Refusal::from(ErrorCode::MalformedRequest).with_detail(
                "A header field has an underscore in its name, which is not accepted.".to_owned(),
            ));
        }
        removal::remove(headers, |name| {
            has_underscore(name) && (self == Self::Drop || stands_for_ours(name))
        });
        Ok(())
    }
}

/// Whether a field's name has an underscore.
pub(crate) fn has_underscore(name: &HeaderName) -> bool {
    // Names are so short that a search which may end early costs more.
    let bytes = name.as_str().bytes();
    bytes.fold(false, |has, byte| has | (byte == b'_'))
}

/// Whether some backends take it for a field that only the gateway, or a proxy before it, may write.
fn stands_for_ours(name: &HeaderName) -> bool {
    let plain = name.as_str().replace('_', "-");
    HeaderName::try_from(plain)
        .is_ok_and(|plain| speaks_for_a_proxy(&plain) || ends_at_the_gateway(&plain))
}

/// Whether some backends take two fields for one.
pub(crate) fn alike(one: &HeaderName, other: &HeaderName) -> bool {
    if one == other {
        return true;
    }
    let (one, other) = (one.as_str().as_bytes(), other.as_str().as_bytes());
    let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(&one, &other)| plain(one) == plain(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_alike_but_for_underscores() {
        let like = |one: &'static str, other: &'static str| {
            alike(
                &HeaderName::from_static(one),
                &HeaderName::from_static(other),
            )
        };
        assert!(like("x-user", "x-user") && like("x_user", "x-user") && like("x-a_b", "x_a-b"));
        assert!(
            !like("x-user", "xuser") && !like("x-user", "x-uses") && !like("x-user", "x-users")
        );
    }

    #[test]
    fn fields_with_underscores_are_dropped_kept_or_refused() {
        let headers: HeaderMap = [
            ("x_user", "1"),
            ("x-user", "2"),
            ("_", "3"),
            ("x_forwarded_for", "4"),
            ("content_length", "5"),
        ]
        .into_iter()
        .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
        .collect();
        let left = |what: UnderscoreHeaders| {
            let mut headers: HeaderMap = headers.clone();
            what.apply(&mut headers).map(|()| headers.len()).ok()
        };
        assert_eq!(left(UnderscoreHeaders::Drop), Some(1));
        assert_eq!(left(UnderscoreHeaders::Keep), Some(3));
        assert_eq!(left(UnderscoreHeaders::Reject), None);
        let mut none = HeaderMap::new();
        assert!(UnderscoreHeaders::Reject.apply(&mut none).is_ok());
    }
}
