//! What memory really takes.

/// What an allocator takes to hand out so many bytes: there are four sizes between a power of two and the next, as
/// mimalloc and jemalloc have them, and multiples of a word below 64 bytes.
pub(crate) fn allocated(bytes: usize) -> usize {
    let step = match bytes {
        0 => return 0,
        1..=64 => size_of::<usize>(),
        _ => 1 << ((bytes - 1).ilog2() - 2),
    };
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_allocator() {
        for (bytes, expected) in [
            (0, 0),
            (1, 8),
            (8, 8),
            (63, 64),
            (65, 80),
            (80, 80),
            (81, 96),
            (129, 160),
            (512, 512),
            (513, 640),
            (1_024, 1_024),
            (1_025, 1_280),
        ] {
            assert_eq!(allocated(bytes), expected, "{bytes}");
        }
    }
}
