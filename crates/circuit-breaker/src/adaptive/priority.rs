//! What is shed first.

/// How much a request matters. Ordered: the more, the greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// What nobody waits for: passes while half of the limit is free.
    Low,
    /// What is not said to be anything else: passes while a tenth of the limit is free.
    #[default]
    Normal,
    /// What must not suffer from the others: passes while anything is free.
    High,
    /// What must always pass, even above the limit, and hardly costs anything: health checks, administration.
    Critical,
}

impl Priority {
    /// How many requests may be in flight for one more of this priority to pass: fewer than this.
    #[must_use]
    pub fn share_of(self, limit: u32) -> u32 {
        match self {
            Self::Critical => u32::MAX,
            Self::High => limit,
            Self::Normal => limit - limit / 10,
            Self::Low => limit - limit / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_rounded_up() {
        let shares = |limit| {
            [Priority::Low, Priority::Normal, Priority::High].map(|class| class.share_of(limit))
        };
        assert_eq!(shares(1), [1, 1, 1]);
        assert_eq!(shares(3), [2, 3, 3]);
        assert_eq!(shares(99), [50, 90, 99]);
        assert_eq!(shares(1_000), [500, 900, 1_000]);
    }

    proptest! {
        #[test]
        fn what_matters_more_has_at_least_as_much(limit in any::<u32>()) {
            let shares = [Priority::Low, Priority::Normal, Priority::High, Priority::Critical]
                .map(|class| class.share_of(limit));
            prop_assert!(shares.is_sorted());
            prop_assert_eq!(shares[0] > 0, limit > 0);
        }
    }
}
