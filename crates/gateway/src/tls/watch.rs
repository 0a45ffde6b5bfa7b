//! Files that change while they are used.
//!
//! They are looked at once in a while, by what names them lead to: a change is seen however it was made, also where a
//! folder was exchanged as a whole or lies on another machine. A change counts when it has been there for two looks:
//! certificate and key are written one after the other.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{
    BackendRules, BackendTls, Certificate, CertificateFiles, ClientAuth, Store, Termination,
    TlsCounts, TlsError,
};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Between two warnings that a certificate is about to end.
const REMIND: Duration = Duration::from_secs(24 * 60 * 60);
/// From when on its end is near.
const NEAR: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// What tells one state of a file from another.
type Stamp = Option<(SystemTime, u64, u64)>;

/// Files that are used together, and how they were when they were read. Made before they are read: what changes meanwhile is
/// read again.
#[derive(Debug, Clone)]
pub(crate) struct Watched {
    files: Vec<PathBuf>,
    /// When they were read last.
    read: Vec<Stamp>,
    /// At the last look.
    seen: Vec<Stamp>,
}

impl Watched {
    fn new(files: Vec<PathBuf>) -> Self {
        let stamps = stamps(&files);
        Self {
            files,
            read: stamps.clone(),
            seen: stamps,
        }
    }

    pub(crate) fn certificate(files: &CertificateFiles) -> Self {
        let ocsp = files.ocsp.as_ref();
        let files = [Some(&files.certificate), Some(&files.key), ocsp];
        Self::new(files.into_iter().flatten().cloned().collect())
    }

    pub(super) fn clients(client_auth: Option<&ClientAuth>) -> Self {
        let files = client_auth.into_iter().flat_map(ClientAuth::files);
        Self::new(files.cloned().collect())
    }

    pub(super) fn backend(rules: &BackendRules) -> Self {
        Self::new(rules.files().cloned().collect())
    }

    /// Whether they have changed, and have rested since. They are taken for read then.
    fn has_changed(&mut self) -> bool {
        let now = stamps(&self.files);
        let rests = now == self.seen;
        self.seen.clone_from(&now);
        let changed = rests && now != self.read;
        if changed {
            self.read = now;
        }
        changed
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    files.iter().map(|path| stamp(path)).collect()
}

/// None where there is no such file.
fn stamp(path: &Path) -> Stamp {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
}

/// Reads files anew when they change, for ever. `files` are those of the store's certificates, in its order.
pub(crate) async fn keep_fresh(
    store: Arc<Store>,
    mut files: Vec<(CertificateFiles, Watched)>,
    terminations: Vec<Arc<Termination>>,
    counts: Arc<TlsCounts>,
) {
    let mut clients: Vec<Watched> = terminations.iter().map(|it| it.watched()).collect();
    let mut reminded = tokio::time::Instant::now();
    let mut interval = tokio::time::interval(LOOK);
    loop {
        interval.tick().await;
        for (place, (files, watched)) in files.iter_mut().enumerate() {
            if watched.has_changed() {
                let renewed = Certificate::load(files);
                let renewed = renewed.map(|certificate| store.replace(place, certificate));
                tell(&counts, watched, renewed);
            }
        }
        for (termination, watched) in terminations.iter().zip(&mut clients) {
            if watched.has_changed() {
                tell(&counts, watched, termination.renew());
            }
        }
        if reminded.elapsed() >= REMIND {
            reminded = tokio::time::Instant::now();
            for warning in doubts(&store) {
                tracing::warn!("{warning}");
            }
        }
    }
}

/// Reads an upstream's files anew when they change, for as long as it is polled.
pub(crate) async fn keep_backend_fresh(tls: &BackendTls) {
    let mut watched = tls.watched();
    if watched.files.is_empty() {
        return;
    }
    let mut interval = tokio::time::interval(LOOK);
    loop {
        interval.tick().await;
        if watched.has_changed() {
            say(&watched, tls.renew());
        }
    }
}

fn tell(counts: &TlsCounts, watched: &Watched, result: Result<(), TlsError>) {
    counts.count_reload(result.is_ok());
    say(watched, result);
}

fn say(watched: &Watched, result: Result<(), TlsError>) {
    let files: Vec<String> = watched
        .files
        .iter()
        .map(|it| it.display().to_string())
        .collect();
    match result {
        Ok(()) => tracing::info!(files = files.join(", "), "TLS files read anew"),
        Err(error) => {
            tracing::error!(%error, "TLS files have changed and cannot be used; those before are used on")
        }
    }
}

/// What is to be said about certificates that have ended, or soon will.
pub(crate) fn doubts(store: &Store) -> Vec<String> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let now = i64::try_from(now).unwrap_or(i64::MAX);
    let near = i64::try_from(NEAR.as_secs()).unwrap_or(0);
    let certificates = store.certificates();
    let ending = certificates.iter().filter(|it| it.not_after - now < near);
    ending
        .map(|certificate| {
            let names = certificate.shown_names();
            let end = u64::try_from(certificate.not_after).unwrap_or(0);
            let end = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(end));
            let label = &certificate.label;
            if certificate.not_after <= now {
                format!("{label}: the certificate for {names} HAS EXPIRED ({end}): clients refuse it; renew it")
            } else {
                format!("{label}: the certificate for {names} expires soon ({end}); renew it")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_has_rested() {
        let folder =
            std::env::temp_dir().join(format!("api-gateway-watch-{:x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        let path = folder.join("cert.pem");
        std::fs::write(&path, "1").unwrap();
        let mut watched = Watched::new(vec![path.clone()]);
        assert!(!watched.has_changed());
        std::fs::write(&path, "22").unwrap();
        assert!(!watched.has_changed());
        std::fs::write(&path, "333").unwrap();
        assert!(!watched.has_changed());
        assert!(watched.has_changed());
        assert!(!watched.has_changed());
        std::fs::remove_file(&path).unwrap();
        assert!(!watched.has_changed());
        assert!(watched.has_changed(), "that a file is gone is to be told");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
