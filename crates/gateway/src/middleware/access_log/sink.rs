//! Where access log lines go: a thread that owns the file or standard output.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

/// Buffers that may wait for the sink: about 2 MiB.
const QUEUE: usize = 64;
/// How long the end of the program waits for the last lines.
const LAST_WAIT: Duration = Duration::from_secs(1);

/// The thread that writes, and the way to end it.
#[derive(Debug)]
pub(crate) struct Sink {
    handle: SinkHandle,
    /// Hangs up when the thread has written everything.
    written: Receiver<()>,
}

/// Hands lines to the sink.
#[derive(Debug, Clone)]
pub(crate) struct SinkHandle {
    queue: SyncSender<Vec<u8>>,
    /// Lines dropped because the queue was full; told and reset by the sink.
    dropped: Arc<AtomicU64>,
}

/// The sink cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file cannot be opened for appending.
    #[error("ACCESS_LOG: cannot append to {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The thread cannot be started.
    #[error("cannot start the access log's thread: {0}")]
    Thread(io::Error),
}

impl Sink {
    /// Writes to standard output.
    pub(crate) fn stdout() -> Result<Self, SinkError> {
        Self::start(io::stdout())
    }

    /// Appends to a file, which is made when it is not there.
    pub(crate) fn file(path: &Path) -> Result<Self, SinkError> {
        let opened: io::Result<File> = OpenOptions::new().append(true).create(true).open(path);
        Self::start(opened.map_err(|error| SinkError::File {
            path: path.to_owned(),
            error,
        })?)
    }

    pub(crate) fn handle(&self) -> SinkHandle {
        self.handle.clone()
    }

    /// Waits until the lines that were handed over are written, but no longer than a second: a sink that is stuck
    /// must not keep the program from ending. All handles must be gone.
    pub(crate) fn close(self) {
        drop(self.handle);
        // Either way there is nothing left to do.
        let _ = self.written.recv_timeout(LAST_WAIT);
    }

    fn start(out: impl Write + Send + 'static) -> Result<Self, SinkError> {
        let (queue, lines) = sync_channel(QUEUE);
        let (done, written) = sync_channel(0);
        let dropped = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&dropped);
        thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || {
                write_all(out, &lines, &counter);
                drop(done);
            })
            .map_err(SinkError::Thread)?;
        Ok(Self {
            handle: SinkHandle { queue, dropped },
            written,
        })
    }
}

impl SinkHandle {
    /// Never waits.
    pub(crate) fn send(&self, lines: Vec<u8>) {
        if let Err(TrySendError::Full(lines) | TrySendError::Disconnected(lines)) =
            self.queue.try_send(lines)
        {
            let count = lines.iter().filter(|&&byte| byte == b'\n').count();
            self.dropped.fetch_add(count as u64, Ordering::Relaxed);
        }
    }
}

fn write_all(mut out: impl Write, queue: &Receiver<Vec<u8>>, dropped: &AtomicU64) {
    while let Ok(lines) = queue.recv() {
        if let Err(error) = out.write_all(&lines).and_then(|()| out.flush()) {
            let count = lines.iter().filter(|&&byte| byte == b'\n').count();
            dropped.fetch_add(count as u64, Ordering::Relaxed);
            tracing::warn!(%error, "access log not written");
        }
        let lost = dropped.swap(0, Ordering::Relaxed);
        if lost > 0 {
            tracing::warn!(
                lines = lost,
                "access log lines dropped: the sink does not keep up"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Blocks in its first write until it is let go.
    struct Stuck(mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_sink_makes_nobody_wait_and_lost_lines_are_counted() {
        let (let_go, stuck) = mpsc::channel();
        let sink = Sink::start(Stuck(stuck)).unwrap();
        let handle = sink.handle();
        for _ in 0..QUEUE + 10 {
            handle.send(b"one\ntwo\n".to_vec());
        }
        // The thread may have taken one buffer off the queue.
        let lost = handle.dropped.load(Ordering::Relaxed);
        assert!((18..=20).contains(&lost), "{lost}");
        drop((let_go, handle));
        sink.close();
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let error = Sink::file(Path::new("/nowhere/access.log")).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("ACCESS_LOG: cannot append to /nowhere/access.log: ")
        );
    }
}
