//! What lies behind the memory: tiers that keep responses longer, or for several gateways.
//!
//! A tier has records, bytes under a name of 128 bits ([`Cache::encode`], [`Cache::decode`]). What comes back from one is
//! not trusted: version, checksum, key and what it was selected by are compared, and it is looked at whether it has been
//! purged since it was asked for. Numbers of purges that are kept in a journal go on after a restart, and the positions of
//! a log that several gateways share are translated to them.

use crate::cache::Cache;
use crate::hit::Hit;
use crate::lookup::{Stale, Ticket};
use crate::policy::Policy;
use crate::purge_record::PurgeRecord;
use crate::request::Request;
use crate::status::Forward;
use crate::store::{Epochs, Standing};
use crate::stored::Stored;
use crate::time::Timestamp;
use crate::vary::Matcher;
use crate::verdict::{Verdict, Why, judge};

/// Who is told of what happens to what is stored. None of this may wait: it is called by threads that serve requests.
pub trait Beyond: Send + Sync + std::fmt::Debug {
    /// A response has been stored.
    fn stored(&self, stored: &Stored);

    /// A response is not right any more; what a tier has of it is to go.
    fn removed(&self, stored: &Stored);

    /// Something has been purged. Calls follow each other in the order of the numbers.
    fn purged(&self, number: u64, origin: PurgeOrigin, purge: &PurgeRecord);
}

/// Where a purge has come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PurgeOrigin {
    /// This gateway: the others are to hear of it.
    Here,
    /// The log that several gateways share, at this position.
    Log(u64),
}

/// What has become of a response that a tier had.
#[derive(Debug)]
pub enum Recalled {
    /// It answers the request.
    Hit(Hit),
    /// It has to be validated.
    Stale(Stale),
    /// It is not for the request, or has been purged.
    Unfit,
}

impl Cache {
    /// Takes back into memory what a tier had, and says what it is to the request.
    #[must_use]
    pub fn recall(
        &self,
        request: &Request<'_>,
        policy: &Policy,
        ticket: &Ticket,
        stored: Stored,
        now: Timestamp,
    ) -> Recalled {
        // The route may have been configured otherwise when it was stored.
        let is_allowed = policy.store_set_cookie || !stored.head().sets_cookies();
        if !is_allowed || !Matcher::new(request.headers, policy).matches(stored.selector()) {
            return Recalled::Unfit;
        }
        let store = &self.inner().store;
        let softened = match store.put_back(policy.share, &stored, policy.most_variants.max(1)) {
            Standing::Gone => return Recalled::Unfit,
            Standing::Soft => true,
            Standing::Good => false,
        };
        let wishes = policy.wishes(request.headers);
        match judge(&stored.freshness(), softened, &wishes, now) {
            Verdict::Usable => Recalled::Hit(Hit::new(stored, request, now)),
            Verdict::Validate {
                why,
                meanwhile,
                on_error,
                when_disconnected,
            } => Recalled::Stale(Stale {
                stored,
                why: match why {
                    Why::Stale => Forward::Stale,
                    Why::Request => Forward::Request,
                },
                meanwhile,
                on_error,
                when_disconnected,
                ticket: ticket.clone(),
            }),
        }
    }

    /// Purges again what a journal says was purged before a restart, by the number that it had.
    pub fn replay(&self, number: u64, position: Option<u64>, purge: &PurgeRecord) {
        self.inner().store.replay(number, position, purge);
    }

    /// Goes on with numbers that nothing from before a restart can have, what was not written any more included. `last` is
    /// what this has returned at the last start; the journal keeps it.
    #[must_use]
    pub fn resume(&self, last: u64) -> u64 {
        /// More purges than can have been under way to the journal.
        const MARGIN: u64 = 1 << 20;
        self.inner().store.purges.resume(last, MARGIN)
    }

    /// What the log has at `position`, after all that was before. `own` is the number that it has here if it is this
    /// gateway's own purge.
    pub fn follow_log(&self, position: u64, own: Option<u64>, purge: &PurgeRecord) {
        match own {
            Some(number) => self.inner().store.purges.logged(position, number),
            None => self.inner().store.apply_from_log(position, purge),
        }
    }

    /// How far the log has been followed; none if it never was.
    #[must_use]
    pub fn log_position(&self) -> Option<u64> {
        self.inner().store.purges.log_position()
    }

    /// Begins to follow the log from `position`, the first that it still has. What lies before is not known: everything
    /// is purged, unless nothing was ever stored.
    pub fn follow_log_from(&self, position: u64) {
        self.inner().store.follow_log_from(position);
    }

    /// The purges that a response comes after; none if they are not known, or one has made it stale.
    pub(crate) fn epoch_in(&self, epochs: Epochs, stored: &Stored) -> Option<u64> {
        // Before the question whether one of them has.
        let epoch = stored.checked();
        if stored.is_softened() {
            return None;
        }
        match epochs {
            Epochs::Own => Some(epoch),
            Epochs::Log => self.inner().store.purges.position_for(epoch),
        }
    }

    pub(crate) fn epoch_from(&self, epochs: Epochs, number: u64) -> Option<u64> {
        match epochs {
            Epochs::Own => (number <= self.inner().store.purges.epoch()).then_some(number),
            Epochs::Log => self.inner().store.purges.epoch_for(number),
        }
    }
}
