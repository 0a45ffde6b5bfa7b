//! The cache: what a gateway asks, and tells.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use http::{Method, StatusCode};

use crate::admit::{Refusal, Response, admit};
use crate::beyond::Beyond;
use crate::conditional::{is_conditional_or_partial, is_for_backend};
use crate::directives::RequestDirectives;
use crate::fill::{Admission, Fill, Flights};
use crate::hit::Hit;
use crate::key::{Key, Parts};
use crate::lookup::{Lookup, Miss, Stale, Ticket};
use crate::policy::Policy;
use crate::request::{Request, Use};
use crate::settings::Settings;
use crate::status::Forward;
use crate::store::{Resource, Standing, Store, Usage};
use crate::stored::Stored;
use crate::tags::{MOST_TAGS, group_label, groups, tag_label, tags};
use crate::time::Timestamp;
use crate::vary::Matcher;
use crate::verdict::{Verdict, Why, judge};

/// A cache that any number of threads share; a clone is the same cache.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) flights: Flights,
    pub(crate) settings: Settings,
    /// Bytes of bodies that are arriving.
    pub(crate) filling: AtomicU64,
    beyond: Option<Arc<dyn Beyond>>,
}

impl Inner {
    pub(crate) fn tell_stored(&self, stored: &Stored) {
        if let Some(beyond) = &self.beyond {
            beyond.stored(stored);
        }
    }

    pub(crate) fn tell_removed(&self, stored: &Stored) {
        if let Some(beyond) = &self.beyond {
            beyond.removed(stored);
        }
    }

    /// Takes one response out, wherever it is.
    pub(crate) fn take_out(&self, share: usize, stored: &Stored) {
        self.store.take_out(share, stored);
        self.tell_removed(stored);
    }
}

impl Cache {
    /// An empty cache.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self::make(settings, None)
    }

    /// An empty cache with tiers behind it, of which `beyond` takes care.
    #[must_use]
    pub fn with_tiers(settings: Settings, beyond: Arc<dyn Beyond>) -> Self {
        Self::make(settings, Some(beyond))
    }

    fn make(settings: Settings, beyond: Option<Arc<dyn Beyond>>) -> Self {
        let store = Store::new(settings.capacity, settings.largest_body, beyond.clone());
        let settings = Settings {
            largest_body: store.largest_body(0),
            ..settings
        };
        Self(Arc::new(Inner {
            store,
            flights: Flights::new(settings.most_flights),
            filling: AtomicU64::new(0),
            settings,
            beyond,
        }))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The settings, as they were made possible.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// Divides a capacity anew: so much of it is for the responses of each [`Policy::share`] from 1 on, and what is left
    /// for all others. What does not fit any more goes at once.
    pub fn set_capacity(&self, capacity: u64, shares: &[u64]) {
        self.0.store.set_capacity(capacity, shares);
    }

    /// How much is stored.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.store.usage()
    }

    /// What is to be done with a request.
    #[must_use]
    pub fn lookup(
        &self,
        key: &Key,
        request: &Request<'_>,
        policy: &Policy,
        now: Timestamp,
    ) -> Lookup {
        let wishes = policy.wishes(request.headers);
        if let Some(why) = bypass(key, request, &wishes) {
            return if wishes.only_if_cached {
                Lookup::OnlyIfCached
            } else {
                Lookup::Bypass(why)
            };
        }
        // Before what is stored is looked at: a purge in between must not be taken for an earlier one.
        let epoch = self.0.store.purges.epoch();
        let resource = self.0.store.get(policy.share, key.as_bytes());
        let resource = resource.as_ref();
        let found = resource.and_then(|it| self.select(key, it, request, policy));
        let verdict = found.map(|(stored, standing)| {
            let softened = standing == Standing::Soft;
            (stored, judge(&stored.freshness(), softened, &wishes, now))
        });
        if let Some((stored, Verdict::Usable)) = verdict {
            return Lookup::Hit(Hit::new(stored.clone(), request, now));
        }
        if wishes.only_if_cached {
            return Lookup::OnlyIfCached;
        }
        let ticket = self.ticket_to_join(key, epoch, resource, request, policy);
        match verdict {
            Some((
                stored,
                Verdict::Validate {
                    why,
                    meanwhile,
                    on_error,
                    when_disconnected,
                },
            )) => Lookup::Stale(Stale {
                stored: stored.clone(),
                why: match why {
                    Why::Stale => Forward::Stale,
                    Why::Request => Forward::Request,
                },
                meanwhile,
                on_error,
                when_disconnected,
                ticket,
            }),
            _ => Lookup::Miss(Miss {
                why: self.why_missed(key, resource, policy),
                ticket,
            }),
        }
    }

    /// The newest response that is for the request.
    fn select<'a>(
        &self,
        key: &Key,
        resource: &'a Resource,
        request: &Request<'_>,
        policy: &Policy,
    ) -> Option<(&'a Stored, Standing)> {
        let mut matcher = Matcher::new(request.headers, policy);
        resource.variants().iter().find_map(|stored| {
            if !matcher.matches(stored.selector()) {
                return None;
            }
            match self.0.store.purges.standing(key.as_bytes(), stored) {
                Standing::Gone => None,
                standing => Some((stored, standing)),
            }
        })
    }

    fn why_missed(&self, key: &Key, resource: Option<&Resource>, policy: &Policy) -> Forward {
        let Some(resource) = resource else {
            return Forward::UriMiss;
        };
        let purges = &self.0.store.purges;
        let is_gone = |it: &Stored| purges.standing(key.as_bytes(), it) == Standing::Gone;
        if resource.variants().iter().all(is_gone) {
            // Room for others.
            self.0.store.remove(policy.share, key.as_bytes());
            return Forward::UriMiss;
        }
        Forward::VaryMiss
    }

    /// A ticket for the answer to a `POST`, which may stand for what a `GET` would get (RFC 9110 §9.3.3): to be taken
    /// when [`answered_unsafe`](Self::answered_unsafe) has been told of it.
    #[must_use]
    pub fn ticket(&self, key: &Key) -> Ticket {
        Ticket {
            epoch: self.0.store.purges.epoch(),
            name: None,
            url: self.0.store.hash(key.url()),
        }
    }

    fn ticket_to_join(
        &self,
        key: &Key,
        epoch: u64,
        resource: Option<&Resource>,
        request: &Request<'_>,
        policy: &Policy,
    ) -> Ticket {
        let own_answer = is_conditional_or_partial(request.headers)
            || *request.method == Method::HEAD
            || (request.has_credentials() && !policy.isolated);
        let name = (!own_answer).then(|| {
            let mut name = key.as_bytes().to_vec();
            // What the last answer varied by, the next will.
            if let Some(newest) = resource.and_then(|it| it.variants().first()) {
                newest
                    .selector()
                    .write_for(request.headers, policy, &mut name);
            }
            name.into()
        });
        Ticket {
            epoch,
            name,
            url: self.0.store.hash(key.url()),
        }
    }

    /// Whether a response may be stored. `ticket` is that of the look-up.
    ///
    /// # Errors
    /// Why it may not.
    pub fn admit(
        &self,
        key: &Key,
        request: &Request<'_>,
        policy: &Policy,
        response: &Response<'_>,
        ticket: &Ticket,
    ) -> Result<Admission, Refusal> {
        let largest_body = policy
            .largest_body
            .min(self.0.store.largest_body(policy.share));
        let admitted = admit(policy, key, request, response).and_then(|admitted| {
            let is_too_large = admitted.length.is_some_and(|it| it > largest_body);
            if is_too_large {
                Err(Refusal::TooLarge)
            } else {
                Ok(admitted)
            }
        });
        if matches!(admitted, Err(Refusal::TooLarge)) {
            self.0.store.note_too_large();
        }
        Ok(Admission {
            admitted: admitted?,
            share: policy.share,
            labels: self.labels(key.as_bytes(), response)?,
            key: key.as_bytes().into(),
            epoch: ticket.epoch,
            largest_body,
            most_variants: policy.most_variants.max(1),
            received: response.times.received,
        })
    }

    /// Takes the body of a response that nobody else waits for.
    #[must_use]
    pub fn fill(&self, admission: Admission) -> Fill {
        Fill::alone(self.clone(), admission)
    }

    /// What a response can be purged by: its tags, its groups, and its URL if the key has more in it.
    pub(crate) fn labels(
        &self,
        key: &[u8],
        response: &Response<'_>,
    ) -> Result<Box<[u64]>, Refusal> {
        let mut labels: Vec<u64> = tags(response.headers)
            .take(MOST_TAGS + 1)
            .map(|tag| self.0.store.hash(&tag_label(tag)))
            .collect();
        let parts = Parts::of(key);
        let origin = parts.map(|it| it.origin).unwrap_or_default();
        for group in groups(response.headers) {
            for label in [
                tag_label(group.as_bytes()),
                group_label(origin, group.as_bytes()),
            ] {
                labels.push(self.0.store.hash(&label));
            }
        }
        labels.sort_unstable();
        labels.dedup();
        if labels.len() > MOST_TAGS {
            return Err(Refusal::TooManyTags);
        }
        let purges = &self.0.store.purges;
        if let Some(parts) = parts.filter(|it| it.has_extra || purges.reach_beyond()) {
            labels.push(self.0.store.hash(parts.url));
        }
        Ok(labels.into())
    }
}

/// Why a request has nothing to do with the cache.
fn bypass(key: &Key, request: &Request<'_>, wishes: &RequestDirectives) -> Option<Forward> {
    let method = match request.use_of_cache() {
        // What the content asks for is not in the key.
        Use::Get | Use::Head if request.has_content() => Some(Forward::Bypass),
        Use::Get | Use::Head => None,
        Use::Query if key.has_content() => None,
        Use::Query => Some(Forward::Bypass),
        Use::No => Some(Forward::Method),
    };
    let wish = (wishes.no_store || is_for_backend(request.headers)).then_some(Forward::Request);
    method.or(wish)
}

/// Whether an answer is one instead of which a stale response may be served (RFC 5861 §4).
#[must_use]
pub fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
