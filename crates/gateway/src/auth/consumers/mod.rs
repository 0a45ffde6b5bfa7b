//! Consumers: programs and people that show an API key or a password.

mod key_hash;
mod passwords;

pub(crate) use key_hash::{KeyHash, KeyHasher};
pub(crate) use passwords::{PasswordError, PasswordHash, hash_password};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::AuthError;
use super::claims::Claims;
use super::identity::{self, Identity};
use passwords::Passwords;

/// All consumers.
#[derive(Debug)]
pub(crate) struct Consumers {
    by_name: HashMap<Box<str>, Named>,
    /// Nobody can choose what his guess hashes to: how long a look-up takes tells nothing.
    by_key: HashMap<KeyHash, Known>,
    hasher: KeyHasher,
    passwords: Passwords,
}

/// A consumer, as the file has it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Consumer {
    /// `sub`.
    pub(crate) name: Box<str>,
    pub(crate) scopes: Box<[Box<str>]>,
    /// Its claims, less `sub`, `scope`, `aud` and times.
    pub(crate) claims: Map<String, Value>,
    /// `aud` of the tokens that it gets, where there is one.
    pub(crate) audience: Option<Value>,
    /// How long those are valid; the usual time where none is given.
    pub(crate) token_lifetime: Option<Duration>,
    /// Seconds since 1970.
    pub(crate) expires: Option<f64>,
    pub(crate) keys: Vec<ConsumerKey>,
    pub(crate) password: Option<PasswordHash>,
}

/// An API key, as the file has it.
#[derive(Debug, Clone)]
pub(crate) struct ConsumerKey {
    /// Its name in logs.
    pub(crate) id: Box<str>,
    pub(crate) hash: KeyHash,
    /// Seconds since 1970.
    pub(crate) expires: Option<f64>,
}

#[derive(Debug)]
struct Named {
    consumer: Arc<Consumer>,
    known: Known,
}

/// Somebody who has been recognised.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) identity: Arc<Identity>,
    /// Seconds since 1970.
    expires: Option<f64>,
}

impl Known {
    /// Whether it has not expired at `now`, in seconds since 1970.
    pub(crate) fn is_valid(&self, now: f64) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

impl Consumers {
    /// These, whose names and keys are all different.
    pub(crate) fn new(consumers: Vec<Consumer>, hasher: KeyHasher) -> Self {
        let keys = consumers.iter().flat_map(|consumer| {
            let known = |key| consumer.known(Some(key));
            consumer.keys.iter().map(move |key| (key.hash, known(key)))
        });
        Self {
            by_key: keys.collect(),
            by_name: consumers
                .into_iter()
                .map(|consumer| {
                    let known = consumer.known(None);
                    let consumer = Arc::new(consumer);
                    (consumer.name.clone(), Named { consumer, known })
                })
                .collect(),
            hasher,
            passwords: Passwords::default(),
        }
    }

    /// Whose API key it is.
    ///
    /// # Errors
    /// When it is nobody's, or has expired.
    pub(crate) fn by_key(&self, key: &[u8], now: f64) -> Result<Arc<Identity>, AuthError> {
        let known = self
            .by_key
            .get(&self.hasher.hash(key))
            .ok_or(AuthError::Invalid)?;
        if known.is_valid(now) {
            Ok(Arc::clone(&known.identity))
        } else {
            Err(AuthError::Expired)
        }
    }

    /// The consumer whose name and password these are. Takes some ten milliseconds of another thread, whether there is
    /// such a consumer or not.
    ///
    /// # Errors
    /// When they are nobody's, or expired; [`AuthError::Unavailable`] when too many passwords wait to be checked.
    pub(crate) async fn by_password(
        &self,
        name: &str,
        password: &[u8],
        now: f64,
    ) -> Result<(Arc<Consumer>, Known), AuthError> {
        let named = self.by_name.get(name);
        let hash = named.and_then(|named| named.consumer.password.as_ref());
        let right = self.passwords.verify(hash, password).await?;
        match named {
            Some(named) if right && named.known.is_valid(now) => {
                Ok((Arc::clone(&named.consumer), named.known.clone()))
            }
            Some(_) if right => Err(AuthError::Expired),
            _ => Err(AuthError::Invalid),
        }
    }

    /// What stands for a name and a password in a table of known ones: nothing that they could be told from.
    pub(crate) fn fingerprint(&self, credentials: &[u8]) -> [u8; 32] {
        self.passwords.fingerprint(credentials)
    }
}

impl Consumer {
    /// As it is known when it has shown `key`, or its password.
    fn known(&self, key: Option<&ConsumerKey>) -> Known {
        let mut claims = self.claims.clone();
        claims.insert("sub".to_owned(), (*self.name).into());
        claims.insert("scope".to_owned(), self.scopes.join(" ").into());
        let mut identity = Identity::new(identity::CONSUMERS, Claims::new(claims), &"roles".into());
        identity.key = key.map(|key| key.id.clone());
        let expiries = [self.expires, key.and_then(|key| key.expires)];
        Known {
            identity: Arc::new(identity),
            expires: expiries.into_iter().flatten().reduce(f64::min),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: f64 = 1_800_000_000.0;

    fn key(hasher: &KeyHasher, id: &str, expires: Option<f64>) -> (String, ConsumerKey) {
        let (key, hash) = hasher.new_key().unwrap();
        let hash = hash.parse().unwrap();
        let id = id.into();
        (key, ConsumerKey { id, hash, expires })
    }

    #[test]
    fn a_key_is_its_consumers_until_either_expires() {
        let hasher = KeyHasher::new(b"secret");
        let (first, first_key) = key(&hasher, "one", None);
        let (second, second_key) = key(&hasher, "two", Some(NOW));
        let acme = Consumer {
            name: "acme".into(),
            scopes: ["a".into(), "b".into()].into(),
            claims: json!({"tier": "gold", "roles": ["partner"], "tenant": 7})
                .as_object()
                .cloned()
                .unwrap(),
            expires: Some(NOW + 100.0),
            keys: vec![first_key, second_key],
            ..Consumer::default()
        };
        let consumers = Consumers::new(vec![acme.clone()], hasher);
        let identity = consumers.by_key(first.as_bytes(), NOW).unwrap();
        assert_eq!(identity.subject.as_deref(), Some("acme"));
        assert_eq!(identity.key.as_deref(), Some("one"));
        assert!(identity.has_scopes(&["a".into(), "b".into()]));
        assert!(identity.has_a_role(&["partner".into()]));
        assert_eq!(identity.claims.find(&"tenant".into()), Some(&json!(7)));
        let expired = |key: &str, now| consumers.by_key(key.as_bytes(), now).err();
        assert_eq!(expired(&second, NOW - 1.0), None);
        assert_eq!(expired(&second, NOW), Some(AuthError::Expired));
        assert_eq!(expired(&first, NOW), None);
        assert_eq!(expired(&first, NOW + 100.0), Some(AuthError::Expired));
        for foreign in ["", "gwk_", &first[1..], &format!("{first} ")] {
            assert_eq!(expired(foreign, NOW), Some(AuthError::Invalid));
        }
        let another = Consumers::new(vec![acme], KeyHasher::new(b"another secret"));
        assert!(another.by_key(first.as_bytes(), NOW).is_err());
    }

    #[tokio::test]
    async fn a_password_is_its_consumers() {
        let hash: PasswordHash = hash_password(b"correct horse").unwrap().parse().unwrap();
        let consumer = |name: &str, password: Option<&PasswordHash>, expires| Consumer {
            name: name.into(),
            password: password.cloned(),
            expires,
            ..Consumer::default()
        };
        let consumers = vec![
            consumer("anna", Some(&hash), None),
            consumer("bert", None, None),
            consumer("old", Some(&hash), Some(NOW)),
        ];
        let consumers = Consumers::new(consumers, KeyHasher::new(b"secret"));
        for (name, password, error) in [
            ("anna", "correct horse", None),
            ("anna", "wrong", Some(AuthError::Invalid)),
            ("bert", "", Some(AuthError::Invalid)),
            ("nobody", "nobody's", Some(AuthError::Invalid)),
            ("old", "correct horse", Some(AuthError::Expired)),
        ] {
            let found = consumers.by_password(name, password.as_bytes(), NOW).await;
            assert_eq!(found.err(), error, "{name}");
        }
    }
}
