//! Drawing by weight in constant time.
//!
//! Vose's alias method: there is a column for each item, and each column is shared by at most two items so that all
//! are equally high. A draw takes one column evenly, and one of its two items by its part of the column.

use crate::random::below;

/// Draws indices in proportion to weights.
#[derive(Debug)]
pub(crate) struct Sampler {
    columns: Box<[Column]>,
}

#[derive(Debug, Clone, Copy)]
struct Column {
    /// The item's own part of the column, out of 2³².
    own: u32,
    /// Whose the rest is.
    other: u32,
}

impl Sampler {
    /// For `weights.len()` items; at least one of them, and all above 0.
    pub(crate) fn new(weights: &[f64]) -> Self {
        const WHOLE: f64 = 4_294_967_296.0;
        let mean = weights.iter().sum::<f64>() / weights.len() as f64;
        // Parts of columns that are still to be placed.
        let mut parts: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
        let mut columns: Vec<Column> = (0..weights.len())
            .map(|item| Column {
                own: u32::MAX,
                other: item as u32,
            })
            .collect();
        let (mut low, mut high): (Vec<usize>, Vec<usize>) =
            (0..parts.len()).partition(|&item| parts[item] < 1.0);
        while let (Some(&poor), Some(&rich)) = (low.last(), high.last()) {
            low.pop();
            columns[poor] = Column {
                own: (parts[poor] * WHOLE) as u32,
                other: rich as u32,
            };
            parts[rich] -= 1.0 - parts[poor];
            if parts[rich] < 1.0 {
                high.pop();
                low.push(rich);
            }
        }
        // What is left in either list differs from a whole column by rounding only.
        Self {
            columns: columns.into(),
        }
    }

    /// The item that `random` draws.
    #[inline]
    pub(crate) fn draw(&self, random: u64) -> usize {
        let index = below(random, self.columns.len());
        let column = self.columns[index];
        // The lower half is independent of the upper one, which has chosen the column.
        if random as u32 <= column.own {
            index
        } else {
            column.other as usize
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::random::Random;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn draws_follow_the_weights(
            weights in prop::collection::vec(1_u32..1_000, 1..40),
            seed in any::<u64>(),
        ) {
            const DRAWS: u32 = 200_000;
            let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
            let sampler = Sampler::new(&weights);
            let mut random = Random::new(seed);
            let mut drawn = vec![0_u32; weights.len()];
            for _ in 0..DRAWS {
                drawn[sampler.draw(random.next())] += 1;
            }
            let total: f64 = weights.iter().sum();
            for (weight, drawn) in weights.iter().zip(drawn) {
                let share = weight / total;
                // Six standard deviations.
                let tolerance = 6.0 * (share * (1.0 - share) / f64::from(DRAWS)).sqrt() + 1e-6;
                let got = f64::from(drawn) / f64::from(DRAWS);
                prop_assert!((got - share).abs() <= tolerance, "{got} instead of {share}");
            }
        }
    }
}
