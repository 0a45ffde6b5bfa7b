//! A key, and what it may verify.

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents, VerificationAlgorithm,
};

use super::Algorithm;

/// Bytes of an RSA modulus of 2048 bits (RFC 7518 §3.3).
pub(super) const SHORTEST_MODULUS: usize = 256;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum KeyError {
    /// Not a key.
    #[error("{0}")]
    Malformed(&'static str),
    /// A key of a kind that verifies nothing here.
    #[error("{0}")]
    Unsupported(&'static str),
    /// A key that only its owner may have.
    #[error("a private key; only its public half belongs here")]
    Private,
    /// An RSA key that can be broken.
    #[error("an RSA key of less than 2048 bits")]
    Short,
}

/// A key that verifies signatures. The algorithm is the key's, never the token's choice: this is where a public key
/// taken for an HMAC secret, and any other confusion of the two, ends (RFC 8725 §3.1).
pub(crate) struct Key {
    /// `kid`, where it has one.
    pub(crate) id: Option<Box<str>>,
    verifiers: Vec<(Algorithm, Verifier)>,
}

enum Verifier {
    Secret(Box<hmac::Key>),
    Public(ParsedPublicKey),
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not what it is made of.
        formatter
            .debug_struct("Key")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Key {
    /// A shared secret for one symmetric `algorithm`.
    pub(crate) fn secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        let hash = match algorithm {
            Algorithm::HS256 => hmac::HMAC_SHA256,
            Algorithm::HS384 => hmac::HMAC_SHA384,
            Algorithm::HS512 => hmac::HMAC_SHA512,
            _ => {
                return Err(KeyError::Unsupported(
                    "a secret is for HS256, HS384 or HS512",
                ));
            }
        };
        if secret.is_empty() {
            return Err(KeyError::Malformed("the secret is empty"));
        }
        Ok(Self {
            id: None,
            verifiers: vec![(
                algorithm,
                Verifier::Secret(Box::new(hmac::Key::new(hash, secret))),
            )],
        })
    }

    /// A public key in the encoding of its kind: for RSA and elliptic curves also `SubjectPublicKeyInfo`.
    pub(crate) fn public(algorithms: &[Algorithm], encoded: &[u8]) -> Result<Self, KeyError> {
        Self::of(algorithms, |method| {
            ParsedPublicKey::new(method, encoded).ok()
        })
    }

    /// An RSA key of a modulus and an exponent, both big-endian without leading zeros.
    pub(crate) fn rsa(algorithms: &[Algorithm], n: &[u8], e: &[u8]) -> Result<Self, KeyError> {
        if n.len() < SHORTEST_MODULUS {
            return Err(KeyError::Short);
        }
        Self::of(algorithms, |method| {
            // The library names the key's parameters by their concrete type.
            let method = (method as &dyn std::any::Any).downcast_ref()?;
            RsaPublicKeyComponents { n, e }
                .to_parsed_public_key(method)
                .ok()
        })
    }

    fn of(
        algorithms: &[Algorithm],
        parse: impl Fn(&'static dyn VerificationAlgorithm) -> Option<ParsedPublicKey>,
    ) -> Result<Self, KeyError> {
        let mut verifiers = Vec::with_capacity(algorithms.len());
        for &algorithm in algorithms {
            let method =
                method(algorithm).ok_or(KeyError::Unsupported("a public key is not for HMAC"))?;
            let key = parse(method).ok_or(KeyError::Malformed(
                "not a public key that is supported: RSA of 2048 to 8192 bits, P-256, P-384, P-521 or Ed25519",
            ))?;
            verifiers.push((algorithm, Verifier::Public(key)));
        }
        Ok(Self {
            id: None,
            verifiers,
        })
    }

    /// Whether signatures by `algorithm` may be verified with it.
    pub(crate) fn is_for(&self, algorithm: Algorithm) -> bool {
        self.verifiers.iter().any(|(own, _)| *own == algorithm)
    }

    /// Whether it may verify anything.
    pub(crate) fn is_useful(&self) -> bool {
        !self.verifiers.is_empty()
    }

    /// Leaves out all algorithms but these; where these are none, it leaves out nothing.
    pub(crate) fn restrict(&mut self, algorithms: &[Algorithm]) {
        self.verifiers
            .retain(|(own, _)| algorithms.is_empty() || algorithms.contains(own));
    }

    /// Whether `signature` is this key's, by `algorithm`, under `message`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let verifier = self.verifiers.iter().find(|(own, _)| *own == algorithm);
        match verifier {
            Some((_, Verifier::Secret(key))) => hmac::verify(key, message, signature).is_ok(),
            Some((_, Verifier::Public(key))) => key.verify_sig(message, signature).is_ok(),
            None => false,
        }
    }
}

/// How the library calls it.
fn method(algorithm: Algorithm) -> Option<&'static dyn VerificationAlgorithm> {
    Some(match algorithm {
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => return None,
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::ES384 => &ECDSA_P384_SHA384_FIXED,
        Algorithm::ES512 => &ECDSA_P521_SHA512_FIXED,
        Algorithm::EdDSA => &ED25519,
    })
}
