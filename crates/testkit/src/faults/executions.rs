//! Which requests have been executed, and how often.

use std::collections::HashMap;
use std::path::Path;

/// The field that says which request it is: a number.
pub const REQUEST_ID: &str = "x-request-number";

/// What backends have executed, by the ids of the requests.
///
/// Backends write a line for each request into a journal as soon as they have it whole, and before they answer: what
/// has been executed is known of a backend that was killed, too.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Executions {
    by_id: HashMap<u64, u32>,
    unnamed: usize,
}

impl Executions {
    /// Reads a journal; one that is not there is empty.
    pub(super) fn read(journal: &Path) -> Self {
        let mut executions = Self::default();
        // The last line is whole: it was written in one piece, or not at all.
        for line in std::fs::read_to_string(journal).unwrap_or_default().lines() {
            match line.parse() {
                Ok(id) => *executions.by_id.entry(id).or_default() += 1,
                Err(_) => executions.unnamed += 1,
            }
        }
        executions
    }

    /// Those of several backends: a request that each of two has executed has been executed twice.
    #[must_use]
    pub fn of_all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        for part in parts {
            all.unnamed += part.unnamed;
            for (id, count) in part.by_id {
                *all.by_id.entry(id).or_default() += count;
            }
        }
        all
    }

    /// How many there were, with and without an id.
    #[must_use]
    pub fn total(&self) -> usize {
        let named: u32 = self.by_id.values().sum();
        self.unnamed + named as usize
    }

    /// How often the request of this id has been executed.
    #[must_use]
    pub fn of(&self, id: u64) -> u32 {
        self.by_id.get(&id).copied().unwrap_or(0)
    }

    /// The ids of requests that were executed more than once, sorted.
    #[must_use]
    pub fn twice(&self) -> Vec<u64> {
        let repeated = self.by_id.iter().filter(|(_, count)| **count > 1);
        let mut ids: Vec<u64> = repeated.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }
}
