//! Questions to a tier that wait for their answers.

use std::sync::atomic::{AtomicUsize, Ordering};

/// How many there are, and may be.
#[derive(Debug)]
pub(super) struct Pending {
    count: AtomicUsize,
    most: usize,
}

/// One of them, for as long as this lives.
pub(super) struct Question<'a>(&'a AtomicUsize);

impl Pending {
    /// At most so many at once.
    pub(super) const fn at_most(most: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            most,
        }
    }

    /// One more; none where there are enough.
    pub(super) fn begin(&self) -> Option<Question<'_>> {
        let is_few = self.count.fetch_add(1, Ordering::Relaxed) < self.most;
        let question = Question(&self.count);
        is_few.then_some(question)
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_and_each_that_ends_makes_room() {
        let pending = Pending::at_most(2);
        let (one, two) = (pending.begin(), pending.begin());
        assert!(one.is_some() && two.is_some());
        assert!(pending.begin().is_none() && pending.begin().is_none());
        drop(one);
        assert!(pending.begin().is_some());
    }
}
