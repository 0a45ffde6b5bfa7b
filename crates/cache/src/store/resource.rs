//! The responses that are stored for one key.

use std::sync::Arc;

use crate::stored::{Stored, allocated};

/// At least one, the newest first. Most resources have no variants.
#[derive(Debug, Clone)]
pub(crate) enum Resource {
    One(Stored),
    /// A vector, since a slice would make each entry larger by a word.
    Many(Arc<Vec<Stored>>),
}

impl Resource {
    pub(super) fn new(mut all: Vec<Stored>) -> Self {
        if all.len() == 1
            && let Some(only) = all.pop()
        {
            return Self::One(only);
        }
        all.shrink_to_fit();
        Self::Many(Arc::new(all))
    }

    pub(crate) fn variants(&self) -> &[Stored] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(all) => all,
        }
    }

    /// Whether it is what is stored for this key.
    pub(super) fn is_for(&self, key: &[u8]) -> bool {
        self.variants().first().is_some_and(|it| it.key() == key)
    }

    pub(super) fn size(&self) -> u64 {
        let handles = match self {
            Self::One(_) => 0,
            Self::Many(all) => 48 + allocated(size_of_val(&***all)),
        };
        handles as u64 + size(self.variants())
    }
}

pub(super) fn size(all: &[Stored]) -> u64 {
    all.iter().map(|it| it.size() as u64).sum()
}

/// Leaves at most so many, in at most so many bytes. The first stays; of the others those go that were not used for
/// the longest time, so that whoever makes up variants displaces his own.
pub(super) fn bound(all: &mut Vec<Stored>, most: usize, bytes: u64) {
    while all.len() > 1 && (all.len() > most || size(all) > bytes) {
        let oldest = all
            .iter()
            .enumerate()
            .skip(1)
            .min_by_key(|(index, it)| (it.last_used(), usize::MAX - index));
        match oldest {
            Some((index, _)) => all.remove(index),
            None => return,
        };
    }
}
