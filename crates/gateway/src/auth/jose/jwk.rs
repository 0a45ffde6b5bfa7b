//! Keys as JSON (RFC 7517).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Algorithm, Compact, Key, KeyError};

/// More keys than any issuer needs; the rest of a larger set is passed over.
const MOST_KEYS: usize = 100;

/// The keys of an issuer.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    keys: Vec<Key>,
    /// Why others have been passed over.
    pub(crate) passed_over: Vec<KeyError>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The private half.
    d: Option<IgnoredAny>,
}

impl KeySet {
    /// A set of these.
    pub(crate) const fn new(keys: Vec<Key>) -> Self {
        Self {
            keys,
            passed_over: Vec::new(),
        }
    }

    /// The public keys of a JWK Set that can verify tokens. Others are passed over (RFC 7517 §5), and so are secrets and
    /// private keys: what has been published is no secret.
    ///
    /// # Errors
    /// When it is not a JWK Set.
    pub(crate) fn from_json(text: &[u8]) -> Result<Self, KeyError> {
        #[derive(Deserialize)]
        struct Written {
            keys: Vec<Value>,
        }
        let written: Written = serde_json::from_slice(text)
            .map_err(|_| KeyError::Malformed("not a JSON Web Key Set"))?;
        // RFC 7517 §5.1: keys that are not understood are passed over, but keys they are.
        if !written.keys.iter().all(Value::is_object) {
            return Err(KeyError::Malformed("not a JSON Web Key Set"));
        }
        let mut set = Self::default();
        for key in written.keys.iter().take(MOST_KEYS) {
            match Key::from_jwk(key) {
                Ok(key) => set.keys.push(key),
                Err(error) => set.passed_over.push(error),
            }
        }
        Ok(set)
    }

    /// How many keys can verify anything.
    pub(crate) fn len(&self) -> usize {
        let useful = self.keys.iter().filter(|key| key.is_useful());
        useful.count()
    }

    /// Leaves out all algorithms but these; where these are none, it leaves out nothing.
    pub(crate) fn restrict(&mut self, algorithms: &[Algorithm]) {
        for key in &mut self.keys {
            key.restrict(algorithms);
        }
    }

    /// Whether one of the keys may be meant by `token`: its `kid`, or one without. A token that names none may mean any.
    pub(crate) fn may_have_signed(&self, token: &Compact<'_>) -> bool {
        self.candidates(token).next().is_some()
    }

    /// Whether one of the keys has signed `token`.
    pub(crate) fn has_signed(&self, token: &Compact<'_>) -> bool {
        self.candidates(token).any(|key| token.is_signed_by(key))
    }

    fn candidates<'a>(&'a self, token: &'a Compact<'_>) -> impl Iterator<Item = &'a Key> {
        self.keys.iter().filter(|key| {
            let named = match (&key.id, &token.key_id) {
                (Some(own), Some(named)) => **own == **named,
                _ => true,
            };
            named && key.is_for(token.algorithm)
        })
    }
}

impl Key {
    /// A public key that may verify signatures.
    ///
    /// # Errors
    /// When it is none, or is not meant for that.
    pub(crate) fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        let jwk = Jwk::deserialize(jwk)
            .map_err(|_| KeyError::Malformed("a member is missing, or is no text"))?;
        if jwk.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Err(KeyError::Unsupported("its \"use\" is not \"sig\""));
        }
        if jwk.d.is_some() {
            return Err(KeyError::Private);
        }
        let may_verify = |operations: &Vec<String>| operations.iter().any(|name| name == "verify");
        if !jwk.key_ops.as_ref().is_none_or(may_verify) {
            return Err(KeyError::Unsupported("its \"key_ops\" lack \"verify\""));
        }
        let mut key = match jwk.kty.as_str() {
            "RSA" => {
                let algorithms = jwk.algorithms(&Algorithm::RSA)?;
                let (n, e) = (bytes(jwk.n.as_ref())?, bytes(jwk.e.as_ref())?);
                Self::rsa(&algorithms, without_leading_zeros(&n), &e)?
            }
            "EC" => {
                let (algorithm, size) = match jwk.crv.as_deref() {
                    Some("P-256") => (Algorithm::ES256, 32),
                    Some("P-384") => (Algorithm::ES384, 48),
                    Some("P-521") => (Algorithm::ES512, 66),
                    _ => return Err(KeyError::Unsupported("its curve is not supported")),
                };
                let algorithms = jwk.algorithms(&[algorithm])?;
                let (x, y) = (bytes(jwk.x.as_ref())?, bytes(jwk.y.as_ref())?);
                // RFC 7518 §6.2.1.2: all octets of the coordinate.
                if x.len() != size || y.len() != size {
                    return Err(KeyError::Malformed("a coordinate has the wrong size"));
                }
                Self::public(&algorithms, &[&[4], &x[..], &y[..]].concat())?
            }
            "OKP" if jwk.crv.as_deref() == Some("Ed25519") => {
                let algorithms = jwk.algorithms(&[Algorithm::EdDSA])?;
                Self::public(&algorithms, &bytes(jwk.x.as_ref())?)?
            }
            _ => return Err(KeyError::Unsupported("its kind is not supported")),
        };
        key.id = jwk.kid.map(Into::into);
        Ok(key)
    }
}

impl Jwk {
    /// What the key may be used for: all that its kind can do, or the one that it names.
    fn algorithms(&self, possible: &[Algorithm]) -> Result<Vec<Algorithm>, KeyError> {
        let Some(name) = self.alg.as_deref() else {
            return Ok(possible.to_vec());
        };
        let named = match name {
            // A slip that is found in published keys; the curve leaves no doubt.
            "ES521" => Some(Algorithm::ES512),
            name => Algorithm::named(name),
        };
        named
            .filter(|named| possible.contains(named))
            .map(|named| vec![named])
            .ok_or(KeyError::Unsupported("its \"alg\" does not fit its kind"))
    }
}

fn bytes(text: Option<&String>) -> Result<Vec<u8>, KeyError> {
    let text = text.ok_or(KeyError::Malformed("a member is missing"))?;
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyError::Malformed("a member is not base64url"))
}

/// Some issuers write the modulus with the sign byte of ASN.1.
fn without_leading_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    &number[zeros..]
}
