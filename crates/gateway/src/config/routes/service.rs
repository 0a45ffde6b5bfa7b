//! What the gateway itself answers on a route.

use super::check::{Check, Shared};
use super::written::Route as Written;
use crate::auth::Service;
use crate::config::document::Step;

const KEY: Step<'static> = Step::Key("service");
const SERVICES: [Service; 3] = [Service::Token, Service::Jwks, Service::Metadata];

impl Check<'_> {
    /// The service that a route names; none where it names none.
    pub(super) fn service(&mut self, written: &Written, shared: &Shared<'_>) -> Option<Service> {
        let name = written.service.as_deref()?;
        let service = SERVICES.into_iter().find(|service| service.name() == name);
        match service {
            Some(service) => self.service_needs(service, shared),
            None => {
                let known = SERVICES.map(Service::name).join(", ");
                let message =
                    format!("\"{name}\" is not a service of the gateway; there are {known}");
                self.say(&[KEY], &message);
            }
        }
        self.without_backend(written);
        service
    }

    /// What else must be set for a service to be of use.
    fn service_needs(&mut self, service: Service, shared: &Shared<'_>) {
        let jwt = &shared.settings.jwt;
        match service {
            Service::Token => {
                if shared.issuers.consumers.is_none() {
                    let message = "nobody can get a token here: clients are those of CONSUMERS_FILE, which is not set";
                    self.warn(&[KEY], message);
                }
                if let Some(message) = shared.issuers.weakness() {
                    self.warn(&[KEY], message);
                }
            }
            Service::Jwks => {
                if jwt.signing_key.is_none() {
                    let message = "there is no key to show: tokens are signed with JWT_SECRET; set JWT_SIGNING_KEY";
                    self.warn(&[KEY], message);
                }
            }
            Service::Metadata => {
                if !jwt.issuer.starts_with("https://") {
                    let message =
                        "JWT_ISSUER is not an https:// URL, as metadata must name it (RFC 8414 §2)";
                    self.warn(&[KEY], message);
                }
            }
        }
    }

    /// Says which keys are about a backend that is not there.
    fn without_backend(&mut self, written: &Written) {
        for (key, is_there) in [
            ("targetURL", written.target_url.is_some()),
            ("targets", written.targets.is_some()),
            ("upstream", written.upstream.is_some()),
            ("split", written.split.is_some()),
            ("stripPrefix", written.strip_prefix.is_some()),
            ("preserveHost", written.preserve_host),
            ("forwardClaims", !written.forward_claims.is_empty()),
            ("cacheable", written.cacheable == Some(true)),
            ("cache", written.cache.is_some()),
            ("retry", written.retry.is_some()),
            ("hedge", written.hedge.is_some()),
            ("breaker", written.breaker.is_some()),
            ("fallback", written.fallback.is_some()),
            ("mirror", written.mirror.is_some()),
            ("priority", written.priority.is_some()),
            ("methods", written.methods.is_some()),
        ] {
            if is_there {
                let message =
                    format!("\"{key}\" means nothing where the gateway answers itself; remove it");
                self.say(&[Step::Key(key)], &message);
            }
        }
    }
}
