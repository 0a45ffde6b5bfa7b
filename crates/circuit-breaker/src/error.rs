//! What can be wrong with settings.

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A breaker that nothing would ever open.
    #[error(
        "nothing would open the breaker: set at least one of consecutive_failures, failure_ratio, slow_calls"
    )]
    NoRule,
    /// A value outside of its range.
    #[error("{setting} is {found}: {allowed}")]
    OutOfRange {
        /// The field's name.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What is allowed, as a sentence.
        allowed: &'static str,
    },
}

impl PolicyError {
    /// An error unless `value` is in its range.
    pub(crate) fn unless<T: std::fmt::Debug>(
        in_range: bool,
        setting: &'static str,
        value: T,
        allowed: &'static str,
    ) -> Result<(), Self> {
        if in_range {
            return Ok(());
        }
        Err(Self::OutOfRange {
            setting,
            found: format!("{value:?}"),
            allowed,
        })
    }
}
