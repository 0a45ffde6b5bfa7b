//! What holds for the whole cache.

/// Bounds of memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The most bytes that are stored: keys, heads, bodies, and what is needed to find them. It can be changed, see
    /// [`Cache::set_capacity`](crate::Cache::set_capacity).
    pub capacity: u64,
    /// The most bytes that the body of any response has that is to be stored. It is made smaller where the capacity
    /// would have no room for some of them.
    pub largest_body: u64,
    /// The most requests under way that others can wait for.
    pub most_flights: usize,
    /// The most requests that wait for one.
    pub most_followers: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            capacity: 256 * 1024 * 1024,
            largest_body: 8 * 1024 * 1024,
            most_flights: 16 * 1024,
            most_followers: 4 * 1024,
        }
    }
}

impl Settings {
    /// The most bytes of bodies that are arriving, on top of what is stored.
    pub(crate) fn most_filling(&self, capacity: u64) -> u64 {
        (capacity / 4).max(self.largest_body)
    }
}
