//! The compact serialisation of a signed token (RFC 7515 §3.1).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::{Algorithm, Key, StrictJson};

/// A token in its parts; nothing of it is to be believed before [`is_signed_by`](Self::is_signed_by).
#[derive(Debug)]
pub(crate) struct Compact<'a> {
    /// What it says it is signed by.
    pub(crate) algorithm: Algorithm,
    /// Which key it says it is signed with.
    pub(crate) key_id: Option<String>,
    /// What is said.
    pub(crate) payload: Vec<u8>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    typ: Option<String>,
    /// Extensions that must be understood (RFC 7515 §4.1.11): there is none that we do.
    crit: Option<Value>,
    /// Keys that the token brings along, or says where to get: whoever made the token may have made them too.
    jwk: Option<Value>,
    jku: Option<Value>,
    x5u: Option<Value>,
}

impl<'a> Compact<'a> {
    /// Three parts in base64url without padding, spaces, or bits that mean nothing. None for anything else, and for
    /// tokens whose header asks for what is not supported.
    pub(crate) fn parse(token: &'a [u8]) -> Option<Self> {
        let mut dots = token
            .iter()
            .enumerate()
            .filter_map(|(place, &byte)| (byte == b'.').then_some(place));
        let (first, second) = (dots.next()?, dots.next()?);
        if dots.next().is_some() {
            return None;
        }
        let decode = |part: &[u8]| URL_SAFE_NO_PAD.decode(part).ok();
        let StrictJson(header) = serde_json::from_slice(&decode(&token[..first])?).ok()?;
        let header = Header::deserialize(header).ok()?;
        if header.typ.as_deref().is_some_and(is_of_another_use) {
            return None;
        }
        let refused = [&header.crit, &header.jwk, &header.jku, &header.x5u];
        if refused.into_iter().any(Option::is_some) {
            return None;
        }
        Some(Self {
            algorithm: Algorithm::named(&header.alg)?,
            key_id: header.kid,
            payload: decode(&token[first + 1..second])?,
            signed: &token[..second],
            signature: decode(&token[second + 1..])?,
        })
    }

    /// Whether `key` is meant for tokens like this one, and has signed it.
    pub(crate) fn is_signed_by(&self, key: &Key) -> bool {
        key.verifies(self.algorithm, self.signed, &self.signature)
    }
}

/// Whether a `typ` is that of tokens that are no access tokens: proofs, security events, requests, told apart by their
/// types so that none is taken for another (RFC 8725 §3.11). Access tokens are `JWT` or `at+jwt` (RFC 9068 §2.1), or of a
/// vendor's type that ends so.
fn is_of_another_use(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    let typ = typ.strip_prefix("application/").unwrap_or(&typ);
    let is_told_apart = typ.ends_with("+jwt") || typ.ends_with("+sd-jwt");
    is_told_apart && typ != "at+jwt" && !typ.ends_with("-at+jwt")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Option<Algorithm> {
        let token = format!("{}.e30.AA", URL_SAFE_NO_PAD.encode(header));
        Compact::parse(token.as_bytes()).map(|token| token.algorithm)
    }

    #[test]
    fn a_header_must_name_an_algorithm_and_nothing_that_must_be_understood() {
        assert_eq!(parse(r#"{"alg":"HS256"}"#), Some(Algorithm::HS256));
        assert_eq!(
            parse(r#"{"alg":"ES512","kid":"1","typ":"at+jwt","x5t":"a"}"#),
            Some(Algorithm::ES512)
        );
        for typ in [
            "JWT",
            "jwt",
            "at+JWT",
            "application/at+jwt",
            "application/okta-internal-at+jwt",
            "x",
        ] {
            let header = format!(r#"{{"alg":"ES512","typ":"{typ}"}}"#);
            assert_eq!(parse(&header), Some(Algorithm::ES512), "{typ}");
        }
        for header in [
            r#"{"alg":"ES256","typ":"dpop+jwt"}"#,
            r#"{"alg":"ES256","typ":"application/secevent+jwt"}"#,
            r#"{"alg":"ES256","typ":"Logout+JWT"}"#,
            r#"{"alg":"ES256","typ":"heartbeat+jwt"}"#,
            r#"{"alg":"ES256","typ":"dc+sd-jwt"}"#,
            r#"{"alg":"none"}"#,
            r#"{"alg":"None"}"#,
            r#"{"alg":"hs256"}"#,
            r#"{"alg":""}"#,
            r#"{"alg":1}"#,
            r#"{"kid":"1"}"#,
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"HS256","kid":"1","kid":"2"}"#,
            r#"{"alg":"HS256","kid":1}"#,
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            r#"{"alg":"HS256","crit":[]}"#,
            r#"{"alg":"HS256","jwk":{"kty":"oct","k":"AA"}}"#,
            r#"{"alg":"HS256","jku":"https://example.com/keys"}"#,
            r#"{"alg":"HS256","x5u":"https://example.com/certificate"}"#,
            "[]",
            "",
        ] {
            assert_eq!(parse(header), None, "{header}");
        }
    }

    #[test]
    fn a_token_has_three_parts_in_strict_base64url() {
        let token = "eyJhbGciOiJIUzI1NiJ9.e30.AA";
        assert!(Compact::parse(token.as_bytes()).is_some());
        for bad in [
            "",
            "..",
            "eyJhbGciOiJIUzI1NiJ9.e30",
            "eyJhbGciOiJIUzI1NiJ9.e30.AA.AA",
            "eyJhbGciOiJIUzI1NiJ9.e30.AA.",
            "eyJhbGciOiJIUzI1NiJ9.e30.AA==",
            "eyJhbGciOiJIUzI1NiJ9.e30.AB",
            "eyJhbGciOiJIUzI1NiJ9.e30.A A",
            "eyJhbGciOiJIUzI1NiJ9.e30.AA\n",
            "eyJhbGciOiJIUzI1NiJ9.e3+.AA",
            "eyJhbGciOiJIUzI1NiJ9.e30=.AA",
        ] {
            assert!(Compact::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
