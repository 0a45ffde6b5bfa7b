//! Several counters that differ in one label.

use super::shards::Count;

/// One counter for each value of a label, by the value's number.
#[derive(Debug)]
pub(crate) struct By<const N: usize>([Count; N]);

impl<const N: usize> Default for By<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Count::default()))
    }
}

impl<const N: usize> By<N> {
    #[inline]
    pub(crate) fn add(&self, value: usize, number: u64) {
        if let Some(count) = self.0.get(value) {
            count.add(number);
        }
    }

    #[inline]
    pub(crate) fn increment(&self, value: usize) {
        self.add(value, 1);
    }

    pub(crate) fn get(&self, value: usize) -> u64 {
        self.0.get(value).map_or(0, Count::get)
    }
}
