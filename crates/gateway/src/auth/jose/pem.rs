//! Public keys in PEM (RFC 7468).

use aws_lc_rs::signature::RsaSubjectPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::key::SHORTEST_MODULUS;
use super::{Algorithm, Key, KeyError};

/// The public keys of a PEM text: `PUBLIC KEY` blocks of any kind, and `RSA PUBLIC KEY` ones.
///
/// # Errors
/// When there is none, or one that cannot be used.
pub(crate) fn public_keys(text: &str) -> Result<Vec<Key>, KeyError> {
    let mut keys = Vec::new();
    for (label, der) in blocks(text) {
        match label {
            "PUBLIC KEY" | "RSA PUBLIC KEY" => keys.push(public_key(&der?)?),
            "CERTIFICATE" => {
                return Err(KeyError::Unsupported(
                    "a certificate; take its key out: openssl x509 -pubkey -noout",
                ));
            }
            label if label.ends_with("PRIVATE KEY") => {
                return Err(KeyError::Private);
            }
            _ => {}
        }
    }
    if keys.is_empty() {
        return Err(KeyError::Malformed("no \"BEGIN PUBLIC KEY\" in it"));
    }
    Ok(keys)
}

/// The kind is in the key: one of these fits.
fn public_key(der: &[u8]) -> Result<Key, KeyError> {
    let kinds: [&[Algorithm]; 5] = [
        &Algorithm::RSA,
        &[Algorithm::ES256],
        &[Algorithm::ES384],
        &[Algorithm::ES512],
        &[Algorithm::EdDSA],
    ];
    // The library parses shorter keys too, and then never verifies anything with them.
    let rsa = RsaSubjectPublicKey::from_der(der);
    if rsa.is_ok_and(|key| key.modulus_len() < SHORTEST_MODULUS) {
        return Err(KeyError::Short);
    }
    let mut result = Err(KeyError::Malformed("not a key"));
    for algorithms in kinds {
        result = Key::public(algorithms, der);
        if result.is_ok() {
            break;
        }
    }
    result
}

/// The blocks of a PEM text: label and content.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = (&str, Result<Vec<u8>, KeyError>)> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (_, after) = rest.split_once("-----BEGIN ")?;
        let (label, after) = after.split_once("-----")?;
        let end = format!("-----END {label}-----");
        let (body, after) = after.split_once(end.as_str())?;
        rest = after;
        let body: String = body.split_ascii_whitespace().collect();
        let content = STANDARD
            .decode(body)
            .map_err(|_| KeyError::Malformed("not base64 between BEGIN and END"));
        Some((label, content))
    })
}
