//! Keys that an issuer publishes: JSON Web Key Sets (RFC 7517 §5) by their address, or found by way of the issuer's
//! metadata (OpenID Connect Discovery 1.0 §4).
//!
//! A set is fetched in the background, and the last good one stays while the issuer cannot be reached. A token that
//! names a key that is not in the set asks for it to be fetched again, once for all that ask at the time, and no sooner
//! than [`PAUSE`] after the last time: anybody can make up names of keys. Requests wait for that for [`FETCH_TIMEOUT`]
//! at most. Nothing here is done on a worker but to look at the present set.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use reqwest::{Client, Url};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::answer_body;
use super::cause::innermost;
use super::jose::{Algorithm, KeySet};

/// Between the end of a fetch and one that a request asks for.
const PAUSE: Duration = Duration::from_secs(5);
/// For one fetch, all of its steps together.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// Before the first fetch after one that has failed; doubled with each, up to the usual time between two.
const FIRST_RETRY: Duration = Duration::from_secs(1);
/// Larger answers are not read: a set of a hundred RSA keys of 8192 bits is a quarter of it.
const LARGEST: usize = 1024 * 1024;

/// The keys of an issuer that publishes them.
#[derive(Debug)]
pub(crate) struct RemoteKeys {
    /// For logs.
    pub(crate) name: Box<str>,
    source: Source,
    /// The only algorithms to be accepted; any that the keys are for where there are none.
    algorithms: Box<[Algorithm]>,
    /// Between two fetches.
    refresh: Duration,
    published: ArcSwap<Published>,
    /// The last fetch that has ended.
    fetched: watch::Sender<Fetched>,
    /// A request would like the keys to be fetched again.
    wanted: Notify,
}

/// Where the keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// At this address.
    Keys(Url),
    /// At the one that the issuer's metadata name.
    Metadata {
        /// Where the metadata are.
        url: Url,
        /// What they must call the issuer.
        issuer: Box<str>,
        /// Keys may be fetched over plain http.
        allow_http: bool,
    },
}

/// A set of keys.
#[derive(Debug, Default)]
pub(crate) struct Published {
    pub(crate) keys: KeySet,
    /// 0 before the first set has come. Grows with each that differs from the one before.
    pub(crate) generation: u64,
    /// As it was read.
    text: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Fetched {
    count: u64,
    at: Instant,
    /// No keys have come of it.
    failed: bool,
}

/// Why keys could not be fetched.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no answer: {0}")]
    Http(#[from] reqwest::Error),
    #[error("the answer's status is {0}")]
    Status(u16),
    #[error("the answer is larger than {LARGEST} bytes")]
    TooLarge,
    #[error("no whole answer within {} seconds", FETCH_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the issuer's metadata are not usable: {0}")]
    Metadata(&'static str),
    #[error("{0}")]
    Keys(#[from] super::jose::KeyError),
}

impl RemoteKeys {
    /// Keys that have not been fetched.
    pub(crate) fn new(
        name: &str,
        source: Source,
        algorithms: Box<[Algorithm]>,
        refresh: Duration,
    ) -> Self {
        let never = Fetched {
            count: 0,
            at: Instant::now(),
            failed: true,
        };
        Self {
            name: name.into(),
            source,
            algorithms,
            refresh,
            published: ArcSwap::default(),
            fetched: watch::Sender::new(never),
            wanted: Notify::new(),
        }
    }

    /// The present set: empty before the first one has come.
    pub(crate) fn current(&self) -> Guard<Arc<Published>> {
        self.published.load()
    }

    /// Whether the issuer could not be reached the last time: it may have keys that have not been seen.
    pub(crate) fn is_out_of_reach(&self) -> bool {
        self.fetched.borrow().failed
    }

    /// Waits for the keys to be fetched again, if that may be done now. Whether they have been.
    pub(crate) async fn refetched(&self) -> bool {
        let mut fetched = self.fetched.subscribe();
        let last = *fetched.borrow_and_update();
        self.wanted.notify_one();
        // Before the first fetch has ended one is under way.
        if last.count > 0 && last.at.elapsed() < PAUSE {
            return false;
        }
        matches!(timeout(FETCH_TIMEOUT, fetched.changed()).await, Ok(Ok(())))
    }

    /// Fetches the keys now and then, for as long as it is polled.
    pub(crate) async fn keep_fresh(&self, client: &Client) {
        let mut retry = FIRST_RETRY;
        loop {
            let fetched = self.fetch(client).await;
            let failed = fetched.is_err();
            let next = match fetched {
                Ok(text) => {
                    retry = FIRST_RETRY;
                    self.publish(text);
                    self.refresh
                }
                Err(error) => {
                    tracing::warn!(issuer = &*self.name, error = %innermost(&error), "keys not fetched");
                    let next = retry.min(self.refresh);
                    retry = retry.saturating_mul(2);
                    next
                }
            };
            self.fetched.send_modify(|fetched| {
                *fetched = Fetched {
                    count: fetched.count + 1,
                    at: Instant::now(),
                    failed,
                };
            });
            tokio::select! {
                () = sleep(next) => {}
                () = self.wanted_after_a_pause() => {}
            }
        }
    }

    async fn wanted_after_a_pause(&self) {
        sleep(PAUSE).await;
        self.wanted.notified().await;
    }

    fn publish(&self, (text, mut keys): (Vec<u8>, KeySet)) {
        let current = self.published.load();
        if current.text == text {
            return;
        }
        keys.restrict(&self.algorithms);
        if keys.len() == 0 {
            // An issuer may withdraw all of its keys; more likely it is a mistake.
            tracing::warn!(
                issuer = &*self.name,
                "none of the keys that were fetched can verify tokens"
            );
        } else {
            tracing::info!(issuer = &*self.name, keys = keys.len(), "keys fetched");
        }
        self.published.store(Arc::new(Published {
            keys,
            generation: current.generation + 1,
            text,
        }));
    }

    async fn fetch(&self, client: &Client) -> Result<(Vec<u8>, KeySet), FetchError> {
        let text = timeout(FETCH_TIMEOUT, async {
            match &self.source {
                Source::Keys(url) => get(client, url.clone()).await,
                Source::Metadata {
                    url,
                    issuer,
                    allow_http,
                } => {
                    let metadata = get(client, url.clone()).await?;
                    get(client, keys_url(&metadata, issuer, *allow_http)?).await
                }
            }
        });
        let text = text.await.map_err(|_| FetchError::TimedOut)??;
        let keys = KeySet::from_json(&text)?;
        Ok((text, keys))
    }
}

/// `jwks_uri` of an issuer's metadata, if they are that issuer's.
fn keys_url(metadata: &[u8], issuer: &str, allow_http: bool) -> Result<Url, FetchError> {
    let metadata: Value =
        serde_json::from_slice(metadata).map_err(|_| FetchError::Metadata("not JSON"))?;
    // OpenID Connect Discovery 1.0 §4.3: exactly.
    if metadata["issuer"] != issuer {
        return Err(FetchError::Metadata("\"issuer\" is another one"));
    }
    let url = metadata["jwks_uri"]
        .as_str()
        .and_then(|url| Url::parse(url).ok())
        .ok_or(FetchError::Metadata("\"jwks_uri\" is not a URL"))?;
    if url.scheme() == "https" || (url.scheme() == "http" && allow_http) {
        Ok(url)
    } else {
        Err(FetchError::Metadata(
            "\"jwks_uri\" does not start with https://",
        ))
    }
}

async fn get(client: &Client, url: Url) -> Result<Vec<u8>, FetchError> {
    let mut response = client
        .get(url)
        .send()
        .await
        .map_err(reqwest::Error::without_url)?;
    if !response.status().is_success() {
        return Err(FetchError::Status(response.status().as_u16()));
    }
    let body = answer_body::within(&mut response, LARGEST).await?;
    body.ok_or(FetchError::TooLarge)
}

#[cfg(test)]
impl RemoteKeys {
    /// A set as if it had just been fetched.
    pub(crate) fn fetched_for_tests(name: &str, keys: KeySet) -> Self {
        let source = Source::Keys(Url::parse("https://a.example/").unwrap());
        let remote = Self::new(name, source, [].into(), FETCH_TIMEOUT);
        remote.replace_for_tests(keys);
        remote
    }

    /// Another set as if it had just been fetched.
    pub(crate) fn replace_for_tests(&self, keys: KeySet) {
        let generation = self.published.load().generation + 1;
        self.published.store(Arc::new(Published {
            keys,
            generation,
            text: Vec::new(),
        }));
        self.fetched.send_modify(|fetched| {
            *fetched = Fetched {
                count: fetched.count + 1,
                at: Instant::now(),
                failed: false,
            };
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_name_their_issuer_and_a_safe_place_for_keys() {
        let found = |text: &str, allow_http| {
            keys_url(text.as_bytes(), "https://a.example", allow_http)
                .map(String::from)
                .map_err(|error| error.to_string())
        };
        let secure = r#"{"issuer":"https://a.example","jwks_uri":"https://a.example/keys"}"#;
        let plain = r#"{"issuer":"https://a.example","jwks_uri":"http://a.example/keys"}"#;
        assert_eq!(found(secure, false).unwrap(), "https://a.example/keys");
        assert_eq!(found(plain, true).unwrap(), "http://a.example/keys");
        assert!(found(plain, false).is_err());
        for bad in [
            "",
            "{}",
            r#"{"issuer":"https://a.example/","jwks_uri":"https://a.example/keys"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":"file:///etc/passwd"}"#,
            r#"{"issuer":"https://a.example","jwks_uri":"keys"}"#,
        ] {
            assert!(found(bad, true).is_err(), "{bad}");
        }
    }
}
