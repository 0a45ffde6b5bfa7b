//! Purging, as operators ask for it: by URL, by the beginning of one, by tag, or all.

use std::sync::Arc;

use cache::{Manner, Purge, Target};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::OpenCache;
use super::tiers::Told;
use crate::config::Live;
use crate::router::path;

/// What is asked for: one of the four, hard unless it is said otherwise.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgeRequest {
    /// `https://host/path?query`. The scheme makes no difference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// The beginning of URLs, with at least scheme, host and a slash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    /// What stands in `Cache-Tag`, `Surrogate-Key` or `Cache-Groups` of responses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tag: Option<String>,
    /// Everything.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) all: bool,
    /// What is purged becomes stale instead of going.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) soft: bool,
}

/// Why nothing is purged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PurgeError {
    /// None of the four, or several.
    #[error("must have exactly one of \"url\", \"prefix\", \"tag\" and \"all\": true")]
    Ambiguous,
    /// No URL of this gateway.
    #[error("\"{0}\" must be a URL such as https://api.example.com/path")]
    NotAUrl(String),
    /// A tag without a character.
    #[error("a tag must not be empty")]
    EmptyTag,
}

/// Purges what the routes have cached.
#[derive(Debug, Clone)]
pub(crate) struct Purger {
    open: OpenCache,
    live: Arc<Live>,
}

/// A URL without its scheme.
struct Location<'a> {
    host: &'a str,
    path_and_query: &'a str,
}

/// Behind a proxy that is trusted a URL may be cached by either; who purges means both.
const SCHEMES: [(&str, &str); 2] = [("http", ":80"), ("https", ":443")];

impl Purger {
    pub(crate) fn new(open: OpenCache, live: Arc<Live>) -> Self {
        Self { open, live }
    }

    /// Waits until what has been purged holds after a restart and at other gateways too, for a second at most.
    pub(crate) async fn settle(&self) -> Told {
        match &self.open.tiers {
            Some(tiers) => tiers.settle().await,
            None => Told::Nobody,
        }
    }

    /// Purges. What is asked for from now on is not answered with what was stored before.
    ///
    /// # Errors
    /// When the request is none that can be understood.
    pub(crate) fn purge(&self, request: &PurgeRequest) -> Result<(), PurgeError> {
        let manner = if request.soft {
            Manner::Soft
        } else {
            Manner::Hard
        };
        match (&request.url, &request.prefix, &request.tag, request.all) {
            (Some(url), None, None, false) => self.purge_url(url, manner),
            (None, Some(prefix), None, false) => self.purge_prefix(prefix, manner),
            (None, None, Some(tag), false) if tag.is_empty() => Err(PurgeError::EmptyTag),
            (None, None, Some(tag), false) => {
                self.open.cache.purge(&Purge::Tag(tag), manner);
                Ok(())
            }
            (None, None, None, true) => {
                self.open.cache.purge(&Purge::Everything, manner);
                Ok(())
            }
            _ => Err(PurgeError::Ambiguous),
        }
    }

    /// Gives back the memory of what is gone. It looks at all that is stored.
    pub(crate) fn sweep(&self) {
        self.open.cache.sweep();
    }

    fn purge_url(&self, url: &str, manner: Manner) -> Result<(), PurgeError> {
        let not_a_url = || PurgeError::NotAUrl(url.to_owned());
        let location = Location::parse(url).ok_or_else(not_a_url)?;
        let (path, query) = match location.path_and_query.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (location.path_and_query, None),
        };
        let path = path::normalise(path).map_err(|_| not_a_url())?;
        let snapshot = self.live.snapshot();
        for (scheme, port) in SCHEMES {
            let target = Target {
                scheme,
                host: location.host.strip_suffix(port).unwrap_or(location.host),
                path: &path,
                query,
            };
            for recipe in &snapshot.cache_recipes {
                self.open
                    .cache
                    .purge(&Purge::Url(&recipe.url(&target)), manner);
            }
        }
        Ok(())
    }

    fn purge_prefix(&self, prefix: &str, manner: Manner) -> Result<(), PurgeError> {
        let location =
            Location::parse(prefix).ok_or_else(|| PurgeError::NotAUrl(prefix.to_owned()))?;
        for (scheme, port) in SCHEMES {
            let purge = Purge::Prefix {
                scheme,
                host: location.host.strip_suffix(port).unwrap_or(location.host),
                path_and_query: location.path_and_query,
            };
            self.open.cache.purge(&purge, manner);
        }
        Ok(())
    }
}

impl<'a> Location<'a> {
    fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let is_known = SCHEMES
            .iter()
            .any(|(known, _)| scheme.eq_ignore_ascii_case(known));
        let rest = rest.split('#').next().unwrap_or(rest);
        let (host, path_and_query) = match rest.find(['/', '?']) {
            Some(at) if rest.get(at..)?.starts_with('/') => rest.split_at(at),
            Some(_) => return None,
            None => (rest, "/"),
        };
        (is_known && !host.is_empty() && !host.contains('@')).then_some(Self {
            host,
            path_and_query,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(url: &str) -> Option<(&str, &str)> {
        Location::parse(url).map(|it| (it.host, it.path_and_query))
    }

    #[test]
    fn a_url_has_scheme_host_and_path() {
        assert_eq!(location("http://a.example"), Some(("a.example", "/")));
        assert_eq!(
            location("HTTPS://a.example:8443/b?c=/d#e"),
            Some(("a.example:8443", "/b?c=/d"))
        );
        for url in [
            "",
            "/a",
            "a.example/",
            "ftp://a.example/",
            "http:///a",
            "http://a.example?b",
            "http://user@a.example/",
        ] {
            assert_eq!(location(url), None, "{url}");
        }
    }
}
