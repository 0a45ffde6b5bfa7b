//! Routes files that have been applied, kept in a folder: so there is a way back.
//!
//! Each is a file of its own, named by when it was applied and the start of its digest. What it refers to, consumers and
//! keys, is not kept: secrets stay where they are.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::source_files::digest;

/// So many are kept.
const MOST: usize = 20;
/// In `STATE_DIR`.
const FOLDER: &str = "routes";
/// Characters of the digest that stand in names.
const DIGITS: usize = 12;

/// The routes files that are kept in a folder.
#[derive(Debug, Clone)]
pub(crate) struct History(PathBuf);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    /// When it was applied.
    pub(crate) time: SystemTime,
    /// The start of its SHA-256 digest, in hexadecimal digits.
    pub(crate) hash: String,
    path: PathBuf,
}

/// The start of the digest of a routes file.
pub(crate) fn hash(text: &str) -> String {
    let digits = digest(text.as_bytes())
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    digits.chars().take(DIGITS).collect()
}

impl Kept {
    fn of(path: PathBuf) -> Option<Self> {
        let (time, hash) = path.file_stem()?.to_str()?.split_once('-')?;
        let time = UNIX_EPOCH + Duration::from_millis(time.parse().ok()?);
        let is_hash = hash.len() == DIGITS && hash.bytes().all(|it| it.is_ascii_hexdigit());
        let hash = is_hash.then(|| hash.to_owned())?;
        Some(Self { time, hash, path })
    }

    /// What it says.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) fn text(&self) -> io::Result<String> {
        std::fs::read_to_string(&self.path)
    }
}

impl History {
    pub(crate) fn new(state_dir: &Path) -> Self {
        Self(state_dir.join(FOLDER))
    }

    /// Those that are kept, the latest first.
    ///
    /// # Errors
    /// When the folder cannot be read. One that is not there is empty.
    pub(crate) fn all(&self) -> io::Result<Vec<Kept>> {
        let files = match std::fs::read_dir(&self.0) {
            Ok(files) => files,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let kept = files.filter_map(|file| Kept::of(file.ok()?.path()));
        let mut kept: Vec<Kept> = kept.collect();
        kept.sort_unstable_by(|one, other| other.path.cmp(&one.path));
        Ok(kept)
    }

    /// The one that `name` means: the start of its hash, or its number in the list, 1 for the latest.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn find(&self, name: &str) -> io::Result<Option<Kept>> {
        let all = self.all()?;
        let number = name.parse::<usize>().ok().filter(|_| name.len() <= 3);
        let by_number = number.and_then(|number| all.get(number.checked_sub(1)?));
        let by_hash = || all.iter().find(|kept| kept.hash.starts_with(name));
        let by_hash = (name.len() >= 4).then(by_hash).flatten();
        Ok(by_number.or(by_hash).cloned())
    }

    /// Keeps a routes file that has been applied, unless it is the latest already.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep(&self, text: &str) -> io::Result<()> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.0)?;
        let (all, hash) = (self.all()?, hash(text));
        if all.first().is_some_and(|latest| latest.hash == hash) {
            return Ok(());
        }
        // The clock may have been set back: the order of names is that of time all the same.
        let after = all
            .first()
            .map(|latest| latest.time + Duration::from_millis(1));
        let now = after.map_or_else(SystemTime::now, |after| after.max(SystemTime::now()));
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let path = self.0.join(format!("{:014}-{hash}.json", now.as_millis()));
        // One of this process's own: during an upgrade there are two.
        let unfinished = self.0.join(format!(".unfinished-{}", std::process::id()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Whole or not at all.
        std::fs::rename(&unfinished, &path)?;
        for old in all.iter().skip(MOST - 1) {
            std::fs::remove_file(&old.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_ones_are_kept_and_found_by_number_and_hash() {
        let folder =
            std::env::temp_dir().join(format!("gateway-history-{:016x}", fastrand::u64(..)));
        let history = History::new(&folder);
        assert_eq!(history.all().unwrap(), []);
        for number in 0..MOST + 5 {
            // What is the latest already is not kept again.
            for _ in 0..2 {
                history.keep(&format!("{{\"number\": {number}}}")).unwrap();
            }
        }
        let all = history.all().unwrap();
        assert_eq!(all.len(), MOST);
        let text = |name: &str| history.find(name).unwrap().map(|kept| kept.text().unwrap());
        assert_eq!(text("1").as_deref(), Some("{\"number\": 24}"));
        assert_eq!(text("20").as_deref(), Some("{\"number\": 5}"));
        assert_eq!(text("21"), None);
        let hash = hash("{\"number\": 7}");
        assert_eq!(text(&hash).as_deref(), Some("{\"number\": 7}"));
        assert_eq!(text(&hash[..6]).as_deref(), Some("{\"number\": 7}"));
        assert_eq!(text("no such hash"), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
