//! How connections to an upstream are encrypted.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::check::UpstreamCheck;
use super::spec::{TlsSpec, UpstreamSpec};
use super::written::Tls as Written;
use crate::config::Settings;
use crate::config::document::Step;
use crate::tls::{BackendRules, BackendTls, CertificateFiles, TlsError, Trust};

/// How connections are encrypted of which nothing is said; found out when it is needed, since it takes a while to read the
/// system's authorities.
#[derive(Debug, Default)]
pub(super) struct UsualTls(OnceCell<Result<Arc<BackendTls>, TlsError>>);

impl UsualTls {
    /// Verified by the system's authorities.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn get(&self) -> Result<TlsSpec, TlsError> {
        let tls = self.0.get_or_init(|| {
            let rules = BackendRules {
                trust: Trust::System,
                name: None,
                identity: None,
            };
            BackendTls::new(rules).map(Arc::new)
        });
        tls.clone().map(TlsSpec::Usual)
    }
}

impl UpstreamCheck<'_> {
    /// What is written about TLS, where an endpoint is to be spoken to over it.
    pub(super) fn tls(
        &mut self,
        written: Option<&Written>,
        spec: &UpstreamSpec,
        usual: &UsualTls,
        settings: &Settings,
    ) -> Option<TlsSpec> {
        const AT: Step<'static> = Step::Key("tls");
        let result = match written {
            None if spec.has_tls() => usual.get(),
            None => return None,
            Some(_) if !spec.has_tls() => {
                let message = "means nothing: no endpoint starts with https://";
                self.say(&[AT], message);
                return None;
            }
            Some(written) => {
                let rules = self.rules(written, settings)?;
                BackendTls::new(rules).map(|tls| TlsSpec::Own(Arc::new(tls)))
            }
        };
        let at = if written.is_some() {
            AT
        } else {
            Step::Key("endpoints")
        };
        result
            .map_err(|error| self.say(&[at], &error.to_string()))
            .ok()
    }

    /// None of those that contradict themselves.
    fn rules(&mut self, written: &Written, settings: &Settings) -> Option<BackendRules> {
        let at = |key| [Step::Key("tls"), Step::Key(key)];
        let folder = settings.routes_config_path.parent();
        let path = |text: &String| folder.unwrap_or(Path::new("")).join(text);
        let before = self.findings();
        let trust = match (&written.ca, written.verify) {
            (None, true) => Trust::System,
            (Some(file), true) => Trust::Authorities(path(file)),
            (None, false) => {
                let message = format!(
                    "the certificates of upstream \"{}\" are NOT VERIFIED: whoever gets between gateway and backend can read and change everything; name a \"ca\" instead",
                    self.name()
                );
                self.warn(&at("verify"), &message);
                Trust::Anybody
            }
            (Some(_), false) => {
                let message = "means nothing where \"verify\" is false; remove one of the two";
                self.say(&at("ca"), message);
                Trust::Anybody
            }
        };
        let name = written.name.as_ref().and_then(|name| {
            let parsed = ServerName::try_from(name.clone());
            parsed
                .map_err(|_| {
                    let message =
                        format!("\"{name}\" must be a name such as users.internal, or an address");
                    self.say(&at("name"), &message);
                })
                .ok()
        });
        let identity = self.identity(written, path);
        (self.findings() == before).then_some(BackendRules {
            trust,
            name,
            identity,
        })
    }

    fn identity(
        &mut self,
        written: &Written,
        path: impl Fn(&String) -> PathBuf,
    ) -> Option<CertificateFiles> {
        let (given, missing) = match (&written.certificate, &written.key) {
            (None, None) => return None,
            (Some(certificate), Some(key)) => {
                return Some(CertificateFiles {
                    certificate: path(certificate),
                    key: path(key),
                    ocsp: None,
                });
            }
            (Some(_), None) => ("certificate", "key"),
            (None, Some(_)) => ("key", "certificate"),
        };
        let message = format!("needs a \"{missing}\" beside it");
        self.say(&[Step::Key("tls"), Step::Key(given)], &message);
        None
    }
}
