//! What can be wrong with the files of TLS.

use std::path::{Path, PathBuf};

/// What is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {what}", file.display())]
pub(crate) struct TlsError {
    /// The file.
    pub(crate) file: PathBuf,
    /// What is wrong with it, and what to do.
    pub(crate) what: String,
}

impl TlsError {
    pub(super) fn new(file: &Path, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            what: what.into(),
        }
    }
}
