//! Where backends' names lead: found out in the background, so that no request ever waits for a resolver.
//!
//! [`Names`] is asked to [`watch`](Names::watch) a [`Question`], and gives a [`Watched`]: its value is `None` until the
//! first answer has come, then the present [`Answer`]. Whoever asks the same question shares the look-ups; when nobody
//! watches any more, they end. [`Names::run`] is the one task that makes all of them; without it nothing is ever found.
//!
//! # When a name is looked up again
//! When the time to live of what was found is over, but never sooner than after a second, nor later than after five
//! minutes: a time of 0 would ask all the time, and one of days would keep a backend that has moved for days. Whoever
//! could not connect may ask for it sooner ([`Refresh::ask`]), once a second at most.
//!
//! # What happens when it goes wrong
//! - The **resolver fails** (no answer in time, SERVFAIL, REFUSED, nothing listens): nobody knows anything new, so the
//!   last good answer stays for as long as it takes, as in nginx and Envoy. It is tried again after one to two seconds,
//!   then ever more rarely, up to every 15 to 30 seconds.
//! - The resolver says that there is **no such name**, or nothing of the kind at it: it is believed when it says so
//!   again, and has said nothing else for [30 seconds](schedule::GRACE). Envoy takes the first word for it; but a name
//!   server that was just started says so too, and a service in Kubernetes none of whose pods is ready for a moment,
//!   and then the last good answer is worth more than none. It is not kept for ever, though: somebody else may have
//!   the address by then. All the while it is asked for as the negative TTL says (RFC 2308 §5), within 1 and 30
//!   seconds.
//! - **A part fails**, AAAA records as at some name servers for ever, or one target of a service: the rest is used at
//!   once, together with what the failed part came to last.
//!
//! A start never waits for any of this, nor fails by it: a name that is not known yet is `None`.
//!
//! # Who is asked
//! The hosts file first, which goes before all else for the names that are in it; then `localhost`, which is this
//! machine without being asked for (RFC 6761 §6.3); then the DNS servers, in order, beginning with the one that has
//! answered last. Short names are completed by the search list of `/etc/resolv.conf`, as `ndots` says. Both files are
//! read again when they have changed. This is what the C library does with `hosts: files dns`; its other sources (NIS,
//! mDNS, `myhostname`) are not asked.
//!
//! # What the answer is for
//! All addresses are in it. Those of a host that has both families are its IPv4 ones, each with some IPv6 ones to fall
//! back on where it cannot be connected to: a name server or a hosts file often gives an address that leads nowhere, such
//! as `::1` for a backend that listens on 127.0.0.1 only, and no request is to be lost to that.

mod hosts;
mod lookup;
mod names;
mod question;
mod schedule;
mod servers;
mod system;
#[cfg(test)]
mod tests;

pub(crate) use names::{Names, Refresh, Watched};
pub(super) use question::Answer;
pub(crate) use question::{Question, Resolved};
pub(crate) use servers::most_sockets;
