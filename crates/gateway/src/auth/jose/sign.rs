//! Signing tokens.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256,
    RsaKeyPair,
};
use aws_lc_rs::{error::Unspecified, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::pem::blocks;
use super::{Algorithm, Key, KeyError};

/// A key that signs tokens by one algorithm.
pub(crate) struct SigningKey {
    algorithm: Algorithm,
    signer: Signer,
    /// The public half as a JWK, its thumbprint (RFC 7638) for `kid`; none of a secret.
    jwk: Option<Value>,
}

enum Signer {
    Secret(Box<hmac::Key>),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not what it is made of.
        formatter
            .debug_struct("SigningKey")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl SigningKey {
    /// A secret, for HS256.
    pub(crate) fn secret(secret: &[u8]) -> Self {
        Self {
            algorithm: Algorithm::HS256,
            signer: Signer::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret))),
            jwk: None,
        }
    }

    /// The private key of a PEM text (PKCS #8): RSA signs by RS256, a curve by its own algorithm.
    ///
    /// # Errors
    /// When there is none, or one that cannot be used.
    pub(crate) fn from_pem(text: &str) -> Result<Self, KeyError> {
        for (label, der) in blocks(text) {
            match label {
                "PRIVATE KEY" => return Self::from_pkcs8(&der?),
                "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                    return Err(KeyError::Unsupported(
                        "a private key of the old form; convert it: openssl pkcs8 -topk8 -nocrypt",
                    ));
                }
                "ENCRYPTED PRIVATE KEY" => {
                    return Err(KeyError::Unsupported(
                        "an encrypted private key; decrypt it: openssl pkcs8 -topk8 -nocrypt",
                    ));
                }
                _ => {}
            }
        }
        Err(KeyError::Malformed("no \"BEGIN PRIVATE KEY\" in it"))
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
            let public = pair.public_key();
            let jwk = json!({
                "kty": "RSA",
                "n": encode(public.modulus().big_endian_without_leading_zero()),
                "e": encode(public.exponent().big_endian_without_leading_zero()),
            });
            return Ok(Self::public(
                Algorithm::RS256,
                Signer::Rsa(Box::new(pair)),
                jwk,
            ));
        }
        for (algorithm, method, curve) in [
            (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            (Algorithm::ES512, &ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
        ] {
            if let Ok(pair) = EcdsaKeyPair::from_pkcs8(method, der) {
                // SEC 1 §2.3.3: 4, and both coordinates in full.
                let point = pair.public_key().as_ref().get(1..).unwrap_or_default();
                let (x, y) = point.split_at(point.len() / 2);
                let jwk = json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) });
                return Ok(Self::public(algorithm, Signer::Ecdsa(Box::new(pair)), jwk));
            }
        }
        if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
            let x = encode(pair.public_key().as_ref());
            let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
            return Ok(Self::public(
                Algorithm::EdDSA,
                Signer::Ed25519(Box::new(pair)),
                jwk,
            ));
        }
        Err(KeyError::Unsupported(
            "not a private key that is supported: RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519",
        ))
    }

    fn public(algorithm: Algorithm, signer: Signer, mut jwk: Value) -> Self {
        jwk["kid"] = thumbprint(&jwk).into();
        jwk["alg"] = algorithm.name().into();
        jwk["use"] = "sig".into();
        Self {
            algorithm,
            signer,
            jwk: Some(jwk),
        }
    }

    /// The public half as a JWK; none of a secret.
    pub(crate) const fn jwk(&self) -> Option<&Value> {
        self.jwk.as_ref()
    }

    /// The key that verifies what this one has signed; none of a secret.
    pub(crate) fn verifier(&self) -> Option<Key> {
        Key::from_jwk(self.jwk.as_ref()?).ok()
    }

    /// A token that says `claims`, in the compact serialisation (RFC 7515 §3.1).
    ///
    /// # Errors
    /// When the library cannot sign, for want of randomness.
    pub(crate) fn sign(&self, claims: &Map<String, Value>) -> Result<String, Unspecified> {
        let mut header = json!({ "typ": "JWT", "alg": self.algorithm.name() });
        if let Some(jwk) = &self.jwk {
            header["kid"] = jwk["kid"].clone();
        }
        let claims = Value::Object(claims.clone());
        let mut token = format!(
            "{}.{}",
            encode(header.to_string().as_bytes()),
            encode(claims.to_string().as_bytes())
        );
        let signature = self.signature(token.as_bytes())?;
        token.push('.');
        token.push_str(&encode(&signature));
        Ok(token)
    }

    fn signature(&self, message: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let random = SystemRandom::new();
        Ok(match &self.signer {
            Signer::Secret(key) => hmac::sign(key, message).as_ref().to_vec(),
            Signer::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)?;
                signature
            }
            Signer::Ecdsa(pair) => pair.sign(&random, message)?.as_ref().to_vec(),
            Signer::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }
}

/// RFC 7638 §3: of the members that make the key, in the order of their names.
fn thumbprint(jwk: &Value) -> String {
    let mut members: Vec<(&String, &Value)> = jwk.as_object().into_iter().flatten().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    let text: Vec<String> = members
        .into_iter()
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    encode(digest(&SHA256, format!("{{{}}}", text.join(",")).as_bytes()).as_ref())
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rsa::KeySize;
    use base64::engine::general_purpose::STANDARD;

    use super::super::Compact;
    use super::*;

    fn pem(label: &str, der: &[u8]) -> String {
        let body = STANDARD.encode(der);
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    fn private_keys() -> Vec<(Algorithm, String)> {
        let random = SystemRandom::new();
        let rsa = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let mut keys = vec![(
            Algorithm::RS256,
            pem("PRIVATE KEY", rsa.as_der().unwrap().as_ref()),
        )];
        for (algorithm, method) in [
            (Algorithm::ES256, &ECDSA_P256_SHA256_FIXED_SIGNING),
            (Algorithm::ES384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            (Algorithm::ES512, &ECDSA_P521_SHA512_FIXED_SIGNING),
        ] {
            let document = EcdsaKeyPair::generate_pkcs8(method, &random).unwrap();
            keys.push((algorithm, pem("PRIVATE KEY", document.as_ref())));
        }
        let document = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        keys.push((Algorithm::EdDSA, pem("PRIVATE KEY", document.as_ref())));
        keys
    }

    #[test]
    fn what_is_signed_verifies_with_the_public_half_and_with_no_other() {
        let claims = json!({ "sub": "a" });
        let claims = claims.as_object().unwrap();
        let keys: Vec<SigningKey> = private_keys()
            .into_iter()
            .map(|(algorithm, pem)| {
                let key = SigningKey::from_pem(&pem).unwrap();
                assert_eq!(key.algorithm, algorithm);
                key
            })
            .collect();
        for (index, key) in keys.iter().enumerate() {
            let token = key.sign(claims).unwrap();
            let token = Compact::parse(token.as_bytes()).unwrap();
            assert_eq!(token.algorithm, key.algorithm);
            assert_eq!(token.key_id.as_deref(), key.jwk().unwrap()["kid"].as_str());
            for (other, verifier) in keys.iter().enumerate() {
                let verifier = verifier.verifier().unwrap();
                assert_eq!(token.is_signed_by(&verifier), index == other);
            }
        }
        let secret = SigningKey::secret(b"secret");
        let token = secret.sign(claims).unwrap();
        let verifier = Key::secret(Algorithm::HS256, b"secret").unwrap();
        assert!(
            Compact::parse(token.as_bytes())
                .unwrap()
                .is_signed_by(&verifier)
        );
        assert!(secret.jwk().is_none() && secret.verifier().is_none());
    }

    /// RFC 7638 §3.1.
    #[test]
    fn the_rfcs_thumbprint_is_ours() {
        let jwk = json!({ "kty": "RSA", "e": "AQAB",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw" });
        assert_eq!(
            thumbprint(&jwk),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn keys_that_cannot_sign_are_told_apart() {
        for (text, message) in [
            (String::new(), "no \"BEGIN PRIVATE KEY\""),
            (pem("PUBLIC KEY", b"x"), "no \"BEGIN PRIVATE KEY\""),
            (
                pem("PRIVATE KEY", b"x"),
                "not a private key that is supported",
            ),
            (pem("EC PRIVATE KEY", b"x"), "a private key of the old form"),
            (
                pem("ENCRYPTED PRIVATE KEY", b"x"),
                "an encrypted private key",
            ),
        ] {
            let error = SigningKey::from_pem(&text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
    }
}
