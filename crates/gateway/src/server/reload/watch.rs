//! Hearing of changed files.
//!
//! Folders are watched, not files: editors and Kubernetes put another file in the place of the old one. A path may lead
//! through links, as `routes.json -> ..data/routes.json -> ..2026_11_24/routes.json` in a mounted ConfigMap, and so each
//! folder on the way is watched. What happens there is no more than a hint to look at the files. Where hints do not come, on
//! network file systems and when there are no more watches to be had, files are looked at every [`POLL`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// How often files are looked at without a hint.
const POLL: Duration = Duration::from_secs(5);
/// Files are looked at when nothing has happened for so long: they are often written in several steps.
const QUIET: Duration = Duration::from_millis(100);
/// But no later than this after the first hint.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer ways of links lead nowhere.
const MOST_LINKS: usize = 16;

/// Tells when files may have changed.
pub(super) struct Watch {
    /// None where the system has none.
    watcher: Option<RecommendedWatcher>,
    folders: BTreeSet<PathBuf>,
    /// What in these folders is on the way to a file: others may be busy there.
    on_the_way: Arc<Mutex<BTreeSet<PathBuf>>>,
    hints: mpsc::Receiver<()>,
    /// When the first and the last one came since files were looked at.
    hinted: Option<(Instant, Instant)>,
    next_poll: Instant,
}

impl Watch {
    pub(super) fn new() -> Self {
        let (hint, hints) = mpsc::channel(1);
        let on_the_way = Arc::<Mutex<BTreeSet<PathBuf>>>::default();
        let known = Arc::clone(&on_the_way);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let is_worth_it = event.is_ok_and(|event| {
                let known = known.lock().unwrap_or_else(PoisonError::into_inner);
                let mut paths = event.paths.iter();
                // Reading them is no change.
                !event.kind.is_access()
                    && (event.need_rescan() || paths.any(|path| known.contains(path)))
            });
            if is_worth_it {
                // Where one is there already, that is as good.
                let _is_there = hint.try_send(());
            }
        });
        if let Err(error) = &watcher {
            tracing::warn!(%error, "no hints of changed files; they are looked at every 5 seconds");
        }
        Self {
            watcher: watcher.ok(),
            folders: BTreeSet::new(),
            on_the_way,
            hints,
            hinted: None,
            next_poll: Instant::now() + POLL,
        }
    }

    /// Watches the folders of these files from now on, and no others.
    pub(super) fn follow<'a>(&mut self, files: impl Iterator<Item = &'a Path>) {
        let on_the_way: BTreeSet<PathBuf> = files.flat_map(way).collect();
        let folders = on_the_way.iter().filter_map(|path| path.parent());
        let wanted: BTreeSet<PathBuf> = folders.map(Path::to_owned).collect();
        *self
            .on_the_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = on_the_way;
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        for folder in self.folders.difference(&wanted) {
            // It may be gone.
            let _ = watcher.unwatch(folder);
        }
        // Also those that are watched: one that was removed and made again is another.
        self.folders = wanted
            .into_iter()
            .filter(|folder| watcher.watch(folder, RecursiveMode::NonRecursive).is_ok())
            .collect();
    }

    /// Waits until it is worth looking at the files. Whoever stops waiting loses no hint.
    pub(super) async fn hint(&mut self) {
        loop {
            let due = match self.hinted {
                None => self.next_poll,
                Some((first, last)) => (first + PATIENCE).min(last + QUIET),
            };
            tokio::select! {
                Some(()) = self.hints.recv() => {
                    let now = Instant::now();
                    let first = self.hinted.map_or(now, |(first, _)| first);
                    self.hinted = Some((first, now));
                }
                () = sleep_until(due) => break,
            }
        }
        self.hinted = None;
        self.next_poll = Instant::now() + POLL;
    }
}

/// What may be replaced on the way to `file` so that it is another: links, and the file itself.
fn way(file: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    for _ in 0..MOST_LINKS {
        match first_link(&rest) {
            Some((link, further)) => {
                found.push(link);
                rest = further;
            }
            None => {
                found.push(rest);
                break;
            }
        }
    }
    found
}

/// The first link on a way, and where that leads.
fn first_link(way: &Path) -> Option<(PathBuf, PathBuf)> {
    let mut passed = PathBuf::new();
    let mut parts = way.components();
    while let Some(part) = parts.next() {
        passed.push(part);
        if let Ok(target) = std::fs::read_link(&passed) {
            let folder = passed.parent().unwrap_or(Path::new("/"));
            let further = folder.join(target).join(parts.as_path());
            return Some((passed, further));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_on_the_way_is_watched() {
        let root = std::env::temp_dir().join(format!("gateway-watch-{:016x}", fastrand::u64(..)));
        let root = {
            std::fs::create_dir_all(root.join("mounted/..first")).unwrap();
            std::fs::canonicalize(&root).unwrap()
        };
        let mounted = root.join("mounted");
        std::fs::write(mounted.join("..first/routes.json"), "").unwrap();
        std::os::unix::fs::symlink("..first", mounted.join("..data")).unwrap();
        std::os::unix::fs::symlink("..data/routes.json", mounted.join("routes.json")).unwrap();
        std::os::unix::fs::symlink("mounted/routes.json", root.join("link.json")).unwrap();
        let found: BTreeSet<PathBuf> = way(&root.join("link.json")).into_iter().collect();
        let expected = [
            root.join("link.json"),
            mounted.join("routes.json"),
            mounted.join("..data"),
            mounted.join("..first/routes.json"),
        ];
        assert_eq!(found, BTreeSet::from(expected));
        // A link to itself is no way.
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        assert!(way(&root.join("loop")).len() <= MOST_LINKS);
        std::fs::remove_dir_all(root).unwrap();
    }
}
