//! Handshakes, and certificates.

use super::catalogue as names;
use super::exposition::Exposition;
use crate::config::ListenerTls;
use crate::tls::{Failure, Version};

/// What listeners with TLS count, and the certificates that they show.
pub(super) fn add(to: &mut Exposition, tls: &ListenerTls) {
    let counts = &tls.counts;
    let mut family = to.family(&names::TLS_HANDSHAKES);
    for version in Version::ALL {
        for (resumed, text) in [(false, "false"), (true, "true")] {
            family.add(&[version.name(), text], counts.handshakes(version, resumed));
        }
    }
    let mut family = to.family(&names::TLS_HANDSHAKE_FAILURES);
    for failure in Failure::ALL {
        family.add(&[failure.name()], counts.failures(failure));
    }
    let mut family = to.family(&names::TLS_RELOADS);
    for (good, text) in [(true, "success"), (false, "failure")] {
        family.add(&[text], counts.reloads(good));
    }
    let mut family = to.family(&names::CERTIFICATE_NOT_AFTER);
    for certificate in tls.store.certificates() {
        let names = certificate.shown_names();
        family.add(&[&names, &certificate.label], certificate.not_after);
    }
}
