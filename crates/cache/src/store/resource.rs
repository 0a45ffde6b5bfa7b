//! The responses that are stored for one key.

use std::sync::Arc;

use crate::stored::Stored;

/// At least one, the newest first. Most resources have no variants.
#[derive(Debug, Clone)]
pub(crate) enum Resource {
    One(Arc<Stored>),
    /// A vector, since a slice would make each entry larger by a word.
    Many(Arc<Vec<Arc<Stored>>>),
}

impl Resource {
    pub(super) fn new(mut all: Vec<Arc<Stored>>) -> Self {
        if all.len() == 1
            && let Some(only) = all.pop()
        {
            return Self::One(only);
        }
        all.shrink_to_fit();
        Self::Many(Arc::new(all))
    }

    pub(crate) fn variants(&self) -> &[Arc<Stored>] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(all) => all,
        }
    }

    pub(super) fn size(&self) -> u64 {
        let handles = match self {
            Self::One(_) => 0,
            Self::Many(all) => 64 + size_of_val(&***all),
        };
        handles as u64 + size(self.variants())
    }
}

fn size(all: &[Arc<Stored>]) -> u64 {
    all.iter().map(|it| it.size() as u64).sum()
}

/// Leaves at most so many, in at most so many bytes. The first stays; of the others those go that were not used for
/// the longest time, so that whoever makes up variants displaces his own.
pub(super) fn bound(all: &mut Vec<Arc<Stored>>, most: usize, bytes: u64) {
    while all.len() > 1 && (all.len() > most || size(all) > bytes) {
        let oldest = all
            .iter()
            .enumerate()
            .skip(1)
            .min_by_key(|(index, it)| (it.marks.last_used(), usize::MAX - index));
        match oldest {
            Some((index, _)) => all.remove(index),
            None => return,
        };
    }
}
