//! The files that a configuration is made of.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest as sha256};

/// No file is larger: ten thousand routes take some MiB.
const LARGEST: u64 = 64 * 1024 * 1024;

/// A SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// Reads files, and remembers which, and what was in them.
#[derive(Debug)]
pub(crate) struct SourceFiles {
    reading: Reading,
    read: RefCell<BTreeMap<PathBuf, Option<Digest>>>,
}

/// What may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Also what can be read once only, such as a pipe.
    AtStart,
    /// What can be read any number of times: a pipe may have nobody at its other end, and whoever reads it would wait for ever.
    Again,
}

/// Files that were read, each with the digest of what was in it; none of one that could not be read, or not again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Fingerprint(BTreeMap<PathBuf, Option<Digest>>);

/// The digest of `bytes`.
pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut result = Digest::default();
    result.copy_from_slice(sha256(&SHA256, bytes).as_ref());
    result
}

/// What is in a file, and whether it can be read again.
fn read(path: &Path, reading: Reading) -> io::Result<(Vec<u8>, bool)> {
    let not = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what.to_owned()));
    // Before it is opened, for that may wait too.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() && (reading == Reading::Again || metadata.is_dir()) {
        return not("it is no regular file");
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return not("it is larger than 64 MiB");
    }
    Ok((bytes, metadata.is_file()))
}

/// The digest of what is in a file now; none of one that cannot be read.
fn present(path: &Path) -> Option<Digest> {
    let (bytes, _) = read(path, Reading::Again).ok()?;
    Some(digest(&bytes))
}

impl SourceFiles {
    pub(crate) fn new(reading: Reading) -> Self {
        Self {
            reading,
            read: RefCell::default(),
        }
    }

    /// What is in a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let read = read(path, self.reading);
        let again = read.as_ref().ok().filter(|(_, again)| *again);
        let of_content = again.map(|(bytes, _)| digest(bytes));
        self.read.borrow_mut().insert(path.to_owned(), of_content);
        read.map(|(bytes, _)| bytes)
    }

    /// [`Self::read`] of a text.
    ///
    /// # Errors
    /// When it cannot be read, or is no UTF-8 text.
    pub(super) fn read_text(&self, path: &Path) -> io::Result<String> {
        let bytes = self.read(path)?;
        String::from_utf8(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8 text"))
    }

    /// The digest of what was in a file; none where it has not been read.
    pub(super) fn digest_of(&self, path: &Path) -> Option<Digest> {
        self.read.borrow().get(path).copied().flatten()
    }

    /// What has been read.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint(self.read.borrow().clone())
    }
}

impl Fingerprint {
    /// The same files, as they are now.
    pub(crate) fn now(&self) -> Self {
        let now = self.0.keys().map(|path| (path.clone(), present(path)));
        Self(now.collect())
    }

    /// The same files, and this one: as it was when it was read, or else as it was `before`. Not as it is now, for then nobody
    /// would notice what has become of it meanwhile.
    pub(crate) fn with(mut self, path: &Path, before: Option<Digest>) -> Self {
        self.0.entry(path.to_owned()).or_insert(before);
        self
    }

    /// What is known of a file.
    pub(crate) fn of(&self, path: &Path) -> Option<Digest> {
        self.0.get(path).copied().flatten()
    }

    /// The files.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.keys().map(PathBuf::as_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        let folder = std::env::temp_dir().join(format!("gateway-files-{:016x}", fastrand::u64(..)));
        std::fs::create_dir(&folder).unwrap();
        folder
    }

    #[test]
    fn what_changes_after_it_has_been_read_is_noticed() {
        let folder = folder();
        let path = folder.join("routes.json");
        std::fs::write(&path, "first").unwrap();
        let files = SourceFiles::new(Reading::Again);
        assert_eq!(files.read_text(&path).unwrap(), "first");
        std::fs::write(&path, "second").unwrap();
        let read = files.fingerprint().with(&path, None);
        assert_ne!(read.now(), read);
        // Where it has not been read this time, what it was before counts.
        let not_read = Fingerprint::default().with(&path, Some(digest(b"first")));
        assert_ne!(not_read.now(), not_read);
        let not_read = Fingerprint::default().with(&path, Some(digest(b"second")));
        assert_eq!(not_read.now(), not_read);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_is_no_file_or_endless_is_not_read() {
        let folder = folder();
        let error = |path: &Path, reading| read(path, reading).unwrap_err().to_string();
        for reading in [Reading::AtStart, Reading::Again] {
            assert_eq!(error(&folder, reading), "it is no regular file");
        }
        let endless = Path::new("/dev/zero");
        assert_eq!(error(endless, Reading::AtStart), "it is larger than 64 MiB");
        assert_eq!(error(endless, Reading::Again), "it is no regular file");
        let large = folder.join("large");
        File::create(&large).unwrap().set_len(LARGEST + 1).unwrap();
        assert_eq!(error(&large, Reading::Again), "it is larger than 64 MiB");
        let link = folder.join("loop");
        std::os::unix::fs::symlink("loop", &link).unwrap();
        assert!(read(&link, Reading::Again).is_err());
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_pipe_is_read_once_and_not_followed() {
        let (reader, mut writer) = io::pipe().unwrap();
        io::Write::write_all(&mut writer, b"secret").unwrap();
        drop(writer);
        let path = PathBuf::from(format!(
            "/dev/fd/{}",
            std::os::fd::AsRawFd::as_raw_fd(&reader)
        ));
        let files = SourceFiles::new(Reading::AtStart);
        assert_eq!(files.read(&path).unwrap(), b"secret");
        let read = files.fingerprint();
        assert_eq!(read.now(), read);
        let again = SourceFiles::new(Reading::Again);
        assert!(again.read(&path).is_err());
    }
}
