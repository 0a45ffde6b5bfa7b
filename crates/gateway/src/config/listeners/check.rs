//! From settings or a file to listeners, with every error on the way.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::written::{self, ListenersFile};
use super::{Listener, ListenerTls, Listeners};
use crate::config::document::{Document, Step};
use crate::config::structure::Structure;
use crate::config::{Finding, Listening, Settings, schema};
use crate::tls::{
    Certificate, CertificateFiles, ClientAuth, Demand, Forwarding, Store, Termination, TlsCounts,
    TlsError, TlsRules, Version, Watched, doubts,
};

const LISTENERS: &str = "listeners";

/// What is meant, before a certificate has been read.
#[derive(Debug)]
pub(super) struct Meant {
    listeners: Vec<MeantListener>,
    certificates: Vec<CertificateFiles>,
}

#[derive(Debug)]
struct MeantListener {
    address: SocketAddr,
    setting: &'static str,
    tls: Option<TlsRules>,
    proxy_protocol: bool,
    redirects: bool,
}

/// The listeners of `LISTEN`, or of `HOST` and `PORT`.
pub(super) fn from_settings(settings: &Listening) -> Meant {
    let client_auth = settings.client_ca.as_ref().map(|authorities| ClientAuth {
        demand: Demand::Required,
        authorities: authorities.clone(),
        revocations: Vec::new(),
        forwarding: Forwarding::Certificate,
    });
    let listeners = settings.addresses.iter().map(|listen| MeantListener {
        address: listen.address,
        setting: settings.setting,
        tls: listen.tls.then(|| TlsRules {
            oldest: Version::V1_2,
            client_auth: client_auth.clone(),
        }),
        proxy_protocol: settings.proxy_protocol,
        redirects: settings.https_redirect && !listen.tls,
    });
    let certificates = settings.certificates.iter();
    Meant {
        listeners: listeners.collect(),
        certificates: certificates
            .map(|(certificate, key)| CertificateFiles {
                certificate: certificate.clone(),
                key: key.clone(),
                ocsp: None,
            })
            .collect(),
    }
}

/// The listeners of `LISTENERS_FILE`.
///
/// # Errors
/// Everything that is wrong with the file.
pub(super) fn from_file(path: &Path) -> Result<Meant, Vec<Finding>> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        vec![Finding {
            file: file.clone(),
            position: None,
            message: format!("LISTENERS_FILE cannot be read: {error}"),
        }]
    })?;
    let document = Document::parse(&file, &text).map_err(|finding| vec![finding])?;
    let schema = schema::of::<ListenersFile>();
    let mut findings = Structure::new(&document, &schema).check();
    if !findings.is_empty() {
        return Err(findings);
    }
    let written: ListenersFile = serde_json::from_str(&text)
        .map_err(|error| vec![document.about(&[], &format!("cannot be understood: {error}"))])?;
    let mut check = Check {
        document: &document,
        findings: &mut findings,
        folder: path.parent().unwrap_or(Path::new("")),
    };
    let meant = check.file(&written);
    if findings.is_empty() {
        Ok(meant)
    } else {
        findings.sort_by_key(|finding| finding.position);
        Err(findings)
    }
}

struct Check<'a> {
    document: &'a Document<'a>,
    findings: &'a mut Vec<Finding>,
    /// Where relative paths start.
    folder: &'a Path,
}

impl Check<'_> {
    fn say(&mut self, path: &[Step<'_>], message: &str) {
        self.findings.push(self.document.about(path, message));
    }

    fn path(&self, text: &str) -> PathBuf {
        self.folder.join(text)
    }

    fn file(&mut self, written: &ListenersFile) -> Meant {
        let mut listeners: Vec<MeantListener> = Vec::new();
        for (index, listener) in written.listeners.iter().enumerate() {
            let at = [Step::Key(LISTENERS), Step::Index(index)];
            let Some(meant) = self.listener(at, listener) else {
                continue;
            };
            let is_there = listeners.iter().any(|it| it.address == meant.address);
            if is_there && meant.address.port() != 0 {
                let message = format!("another listener has {}, too", meant.address);
                self.say(&[at[0], at[1], Step::Key("address")], &message);
            }
            listeners.push(meant);
        }
        let has_tls = listeners.iter().any(|it| it.tls.is_some());
        if has_tls && written.certificates.is_empty() {
            let message = "a listener has \"tls\", and there are no \"certificates\"";
            self.say(&[], message);
        }
        if !has_tls && !written.certificates.is_empty() {
            let message = "no listener shows them: none has \"tls\"";
            self.say(&[Step::Key("certificates")], message);
        }
        for (index, listener) in written.listeners.iter().enumerate() {
            if listener.redirect_to_https && !has_tls {
                let at = [
                    Step::Key(LISTENERS),
                    Step::Index(index),
                    Step::Key("redirectToHttps"),
                ];
                self.say(&at, "there is no listener with \"tls\" to redirect to");
            }
        }
        let certificates = written.certificates.iter().map(|it| CertificateFiles {
            certificate: self.path(&it.certificate),
            key: self.path(&it.key),
            ocsp: it.ocsp.as_ref().map(|path| self.path(path)),
        });
        Meant {
            certificates: certificates.collect(),
            listeners,
        }
    }

    fn listener(
        &mut self,
        at: [Step<'_>; 2],
        written: &written::Listener,
    ) -> Option<MeantListener> {
        let tls = match &written.tls {
            None | Some(written::Tls::Switch(false)) => None,
            Some(written::Tls::Switch(true)) => Some(self.rules(at, &Default::default())),
            Some(written::Tls::Rules(rules)) => Some(self.rules(at, rules)),
        };
        if tls.is_some() && written.redirect_to_https {
            let at = [at[0], at[1], Step::Key("redirectToHttps")];
            self.say(&at, "this listener has \"tls\" itself");
        }
        let Ok(address) = written.address.parse() else {
            let message = format!(
                "\"{}\" must be an address with a port, such as [::]:443 or 192.0.2.1:443",
                written.address
            );
            self.say(&[at[0], at[1], Step::Key("address")], &message);
            return None;
        };
        Some(MeantListener {
            address,
            setting: "LISTENERS_FILE",
            tls,
            proxy_protocol: written.proxy_protocol,
            redirects: written.redirect_to_https,
        })
    }

    fn rules(&mut self, at: [Step<'_>; 2], written: &written::TlsRules) -> TlsRules {
        let tls = [at[0], at[1], Step::Key("tls")];
        let oldest = match written.min_version.as_deref() {
            None | Some("1.2") => Version::V1_2,
            Some("1.3") => Version::V1_3,
            Some(other) => {
                let at = [tls[0], tls[1], tls[2], Step::Key("minVersion")];
                self.say(&at, &format!("\"{other}\" must be \"1.2\" or \"1.3\""));
                Version::V1_2
            }
        };
        let client_auth = written.client_auth.as_ref();
        TlsRules {
            oldest,
            client_auth: client_auth.map(|written| self.client_auth(tls, written)),
        }
    }

    fn client_auth(&mut self, tls: [Step<'_>; 3], written: &written::ClientAuth) -> ClientAuth {
        let at = |key| {
            [
                tls[0],
                tls[1],
                tls[2],
                Step::Key("clientAuth"),
                Step::Key(key),
            ]
        };
        let demand = match written.mode.as_deref() {
            None | Some("required") => Demand::Required,
            Some("optional") => Demand::Optional,
            Some(other) => {
                let message = format!("\"{other}\" must be \"required\" or \"optional\"");
                self.say(&at("mode"), &message);
                Demand::Required
            }
        };
        let forwarding = match written.forward.as_deref() {
            None | Some("certificate") => Forwarding::Certificate,
            Some("chain") => Forwarding::Chain,
            Some("nothing") => Forwarding::Nothing,
            Some(other) => {
                let message =
                    format!("\"{other}\" must be \"certificate\", \"chain\" or \"nothing\"");
                self.say(&at("forward"), &message);
                Forwarding::Nothing
            }
        };
        ClientAuth {
            demand,
            authorities: self.path(&written.ca),
            revocations: written.crl.iter().map(|path| self.path(path)).collect(),
            forwarding,
        }
    }
}

impl Meant {
    /// Reads the certificates, and makes the listeners, with what is doubtful about them.
    ///
    /// # Errors
    /// Every file that cannot be used.
    pub(super) fn build(
        self,
        settings: &Settings,
    ) -> Result<(Listeners, Vec<Finding>), Vec<Finding>> {
        let mut errors = Vec::new();
        let (mut certificates, mut watched) = (Vec::new(), Vec::new());
        for files in self.certificates {
            let stamps = Watched::certificate(&files);
            match Certificate::load(&files) {
                Ok(certificate) => certificates.push(certificate),
                Err(error) => errors.push(finding(error)),
            }
            watched.push((files, stamps));
        }
        let store = Arc::new(Store::new(certificates));
        let counts = Arc::<TlsCounts>::default();
        let mut all = Vec::new();
        for meant in self.listeners {
            let tls = meant
                .tls
                .map(|rules| Termination::new(rules, &store, &counts));
            match tls.transpose() {
                Ok(tls) => all.push(Listener {
                    address: meant.address,
                    setting: meant.setting,
                    tls: tls.map(Arc::new),
                    proxy_protocol: meant.proxy_protocol,
                    redirects: meant.redirects,
                }),
                Err(error) => errors.push(finding(error)),
            }
        }
        if all.iter().any(|listener| listener.proxy_protocol)
            && !settings.trusted_proxies.have_addresses()
        {
            let message = "needs TRUSTED_PROXIES: the addresses of those who may send a header";
            errors.push(about("PROXY_PROTOCOL", message.to_owned()));
        }
        if !errors.is_empty() {
            errors.dedup();
            return Err(errors);
        }
        let has_tls = all.iter().any(|listener| listener.tls.is_some());
        let doubts = doubts(&store);
        let warnings = doubts.into_iter().map(|text| about("TLS", text));
        let warnings = warnings.collect();
        let tls = has_tls.then(|| ListenerTls {
            store,
            files: watched,
            counts,
        });
        Ok((Listeners { all, tls }, warnings))
    }
}

fn about(what: &str, message: String) -> Finding {
    Finding {
        file: what.to_owned(),
        position: None,
        message,
    }
}

fn finding(error: TlsError) -> Finding {
    about(&error.file.display().to_string(), error.what)
}
