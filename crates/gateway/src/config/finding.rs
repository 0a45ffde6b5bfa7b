//! What is wrong with a file, and where.

use std::fmt;

/// One thing to be said about a file. Displays as `file:line:column: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, as the user named it.
    pub file: String,
    /// Line and column, counted from 1, columns in characters; none when it is about the file as a whole.
    pub position: Option<(usize, usize)>,
    /// What was found, what is allowed.
    pub message: String,
}

/// Everything that keeps a configuration from being used, in the order of its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<Finding>);

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Some((line, column)) => {
                write!(formatter, "{}:{line}:{column}: {}", self.file, self.message)
            }
            None => write!(formatter, "{}: {}", self.file, self.message),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            let end = if index + 1 < self.0.len() { "\n" } else { "" };
            write!(formatter, "{finding}{end}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
