//! What a token says.

use serde_json::{Map, Value};

use super::jose::StrictJson;

/// The claims of a token (RFC 7519 §4), read strictly: none stands twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Claims(Map<String, Value>);

/// Which claim is meant: its name, or, for one inside another, their names with dots between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimPath(Box<str>);

/// When a token is valid: seconds since 1970, fractions allowed (RFC 7519 §2, `NumericDate`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Validity {
    /// `exp`.
    pub(crate) until: f64,
    /// The later of `nbf` and `iat`; 0 where there is neither.
    pub(crate) from: f64,
}

impl Claims {
    /// Of these.
    pub(crate) const fn new(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// Of the payload of a token. None when it is no JSON object, or holds a member twice.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        match serde_json::from_slice(payload).ok()? {
            StrictJson(Value::Object(claims)) => Some(Self(claims)),
            StrictJson(_) => None,
        }
    }

    /// A claim that is text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// A claim, perhaps inside others. Names may hold dots themselves, as URLs do: the whole path goes first.
    pub(crate) fn find(&self, ClaimPath(path): &ClaimPath) -> Option<&Value> {
        if let Some(value) = self.0.get(&**path) {
            return Some(value);
        }
        let mut names = path.split('.');
        let outermost = self.0.get(names.next()?)?;
        names.try_fold(outermost, |value, name| value.get(name))
    }

    /// When the token is valid. None without `exp`, and where a time is not a number: a token without an end would be
    /// valid for ever.
    pub(crate) fn validity(&self) -> Option<Validity> {
        let time = |name| match self.0.get(name) {
            None => Some(None),
            Some(value) => value.as_f64().filter(|time| time.is_finite()).map(Some),
        };
        let (not_before, issued) = (time("nbf")?, time("iat")?);
        Some(Validity {
            until: time("exp")??,
            from: not_before.unwrap_or(0.0).max(issued.unwrap_or(0.0)),
        })
    }

    /// Whether one of `audiences` is in `aud`, a text or a list of them (RFC 7519 §4.1.3). All tokens are for whom
    /// nobody is named.
    pub(crate) fn are_for(&self, audiences: &[Box<str>]) -> bool {
        let named = |value: &Value| {
            value
                .as_str()
                .is_some_and(|text| audiences.iter().any(|audience| **audience == *text))
        };
        audiences.is_empty()
            || match self.0.get("aud") {
                Some(Value::Array(several)) => several.iter().any(named),
                Some(one) => named(one),
                None => false,
            }
    }

    /// The texts of a claim: the items of a list, or the one that it is.
    pub(crate) fn texts(value: Option<&Value>) -> Box<[Box<str>]> {
        match value {
            Some(Value::String(text)) => [text.as_str().into()].into(),
            Some(Value::Array(items)) => items
                .iter()
                .filter_map(|item| item.as_str().map(Into::into))
                .collect(),
            _ => [].into(),
        }
    }

    /// The texts of a claim, where one that is a text holds several, with spaces between them (RFC 8693 §4.2).
    pub(crate) fn words(value: Option<&Value>) -> Box<[Box<str>]> {
        match value {
            Some(Value::String(text)) => text.split_ascii_whitespace().map(Into::into).collect(),
            other => Self::texts(other),
        }
    }

    pub(crate) fn as_map(&self) -> &Map<String, Value> {
        &self.0
    }
}

impl std::fmt::Display for ClaimPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<&str> for ClaimPath {
    fn from(path: &str) -> Self {
        Self(path.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: &Value) -> Claims {
        Claims::parse(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn claims_are_an_object_whose_members_stand_once() {
        assert!(Claims::parse(br#"{"sub":"a"}"#).is_some());
        for payload in [&br#"{"sub":"a","sub":"b"}"#[..], b"[]", b"1", b"", b"\xff"] {
            assert!(Claims::parse(payload).is_none());
        }
    }

    #[test]
    fn a_claim_is_found_by_its_name_or_its_path() {
        let claims = claims(&json!({
            "https://example.com/roles": ["a"], "realm": {"access": {"roles": ["b"]}}, "sub": "c"
        }));
        let find = |path: &str| claims.find(&path.into()).cloned();
        assert_eq!(find("https://example.com/roles"), Some(json!(["a"])));
        assert_eq!(find("realm.access.roles"), Some(json!(["b"])));
        assert_eq!(find("sub"), Some(json!("c")));
        assert_eq!(find("sub.name"), None);
        assert_eq!(find("realm.roles"), None);
    }

    #[test]
    fn a_token_has_an_end_and_its_times_are_numbers() {
        let validity = |value| claims(&value).validity().map(|v| (v.from, v.until));
        assert_eq!(validity(json!({"exp": 9})), Some((0.0, 9.0)));
        assert_eq!(
            validity(json!({"exp": 9.5, "nbf": 3, "iat": 4})),
            Some((4.0, 9.5))
        );
        for bad in [
            json!({}),
            json!({"exp": "9"}),
            json!({"exp": null}),
            json!({"exp": 9, "nbf": "3"}),
            json!({"exp": 9, "iat": []}),
        ] {
            assert_eq!(validity(bad.clone()), None, "{bad}");
        }
    }

    #[test]
    fn a_token_is_for_the_audiences_that_it_names() {
        let are_for = |claim: Value, audiences: &[&str]| {
            let audiences: Vec<Box<str>> = audiences.iter().map(|&text| text.into()).collect();
            claims(&json!({"aud": claim})).are_for(&audiences)
        };
        assert!(are_for(json!("a"), &["a", "b"]));
        assert!(are_for(json!(["x", "b"]), &["a", "b"]));
        assert!(are_for(json!(null), &[]));
        for claim in [
            json!("c"),
            json!(["c"]),
            json!(null),
            json!(1),
            json!("a b"),
        ] {
            assert!(!are_for(claim.clone(), &["a", "b"]), "{claim}");
        }
    }
}
