//! Priority levels: how much spills over from one to the next, and when health is ignored.
//!
//! As in Envoy ("Priority levels", "Panic threshold"). The **health** of a level is its available share times the
//! overprovisioning factor, 1.4, in whole percent up to 100: a level that has lost a quarter of its endpoints is
//! taken to cope. Each level gets as much as its health, as far as those before have left something. If the healths
//! of all together are below 100, they are scaled up to it; and as there are not enough endpoints anywhere then,
//! levels that are below the panic threshold use all of theirs, available or not. When all levels do, they share by
//! their numbers of endpoints.
//!
//! Envoy's documentation rounds the percentages, its code cuts them and gives the rest to the first level. Here they
//! are cut and the rest goes where most was cut off, which is what the documentation says.

use crate::settings::{Endpoint, Settings};

/// The endpoints of one priority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Level {
    priority: u32,
    /// All above weight 0, in order. Never empty.
    pub(super) members: Vec<usize>,
    /// Those that are available.
    pub(super) available: Vec<usize>,
}

/// What a level gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LevelLoad {
    /// Of all requests. All together: 100, or 0 if no endpoint is available and panic is off.
    pub(super) percent: u32,
    pub(super) panic: Panic,
}

/// Whether health is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Panic {
    Yes,
    No,
}

/// The levels that there are, first the one to be used first.
pub(super) fn of(endpoints: &[Endpoint], available: &[bool]) -> Vec<Level> {
    let mut levels: Vec<Level> = Vec::new();
    for (index, (endpoint, &available)) in endpoints.iter().zip(available).enumerate() {
        if endpoint.present_weight() == 0 {
            continue;
        }
        let place = levels.binary_search_by_key(&endpoint.priority, |level| level.priority);
        let place = place.unwrap_or_else(|place| {
            let new = Level {
                priority: endpoint.priority,
                members: Vec::new(),
                available: Vec::new(),
            };
            levels.insert(place, new);
            place
        });
        levels[place].members.push(index);
        if available {
            levels[place].available.push(index);
        }
    }
    levels
}

pub(super) fn loads(settings: &Settings, levels: &[Level]) -> Vec<LevelLoad> {
    let counts: Vec<Count> = levels
        .iter()
        .map(|level| Count {
            members: level.members.len() as u64,
            available: level.available.len() as u64,
        })
        .collect();
    distribute(settings, &counts)
}

/// Endpoints of a level.
#[derive(Debug, Clone, Copy)]
struct Count {
    /// Above 0.
    members: u64,
    available: u64,
}

impl Count {
    fn health(self, overprovisioning: u32) -> u64 {
        let overprovisioning = u64::from(overprovisioning.max(100));
        (overprovisioning * self.available / self.members).min(100)
    }

    fn is_below(self, threshold: u32) -> bool {
        100 * self.available < u64::from(threshold.min(100)) * self.members
    }
}

fn distribute(settings: &Settings, counts: &[Count]) -> Vec<LevelLoad> {
    let healths: Vec<u64> = counts
        .iter()
        .map(|count| count.health(settings.overprovisioning))
        .collect();
    let total = healths.iter().sum::<u64>().min(100);
    let panics: Vec<Panic> = counts
        .iter()
        .map(|count| {
            if total < 100 && count.is_below(settings.panic_threshold) {
                Panic::Yes
            } else {
                Panic::No
            }
        })
        .collect();

    let percents = if panics.iter().all(|&panic| panic == Panic::Yes) {
        let members: Vec<u64> = counts.iter().map(|count| count.members).collect();
        percentages(&members, members.iter().sum())
    } else {
        let mut left = total;
        let taken: Vec<u64> = healths
            .iter()
            .map(|&health| {
                let taken = health.min(left);
                left -= taken;
                taken
            })
            .collect();
        percentages(&taken, total)
    };
    percents
        .into_iter()
        .zip(panics)
        .map(|(percent, panic)| LevelLoad { percent, panic })
        .collect()
}

/// `parts` of `whole`, which they add up to, in percents that add up to 100: cut to whole ones, and what is left
/// given to those that have lost most (the method of largest remainders).
fn percentages(parts: &[u64], whole: u64) -> Vec<u32> {
    if whole == 0 {
        return vec![0; parts.len()];
    }
    let mut percents: Vec<u32> = parts
        .iter()
        .map(|part| (100 * part / whole) as u32)
        .collect();
    let mut by_loss: Vec<usize> = (0..parts.len()).collect();
    // Stable: the first of equals.
    by_loss.sort_by_key(|&place| std::cmp::Reverse(100 * parts[place] % whole));
    let left = 100 - percents.iter().sum::<u32>();
    for &place in by_loss.iter().take(left as usize) {
        percents[place] += 1;
    }
    percents
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Levels of a hundred endpoints each, of which so many are available.
    fn distributed(available: &[u64], threshold: u32) -> Vec<LevelLoad> {
        let settings = Settings {
            panic_threshold: threshold,
            ..Settings::default()
        };
        let counts: Vec<Count> = available
            .iter()
            .map(|&available| Count {
                members: 100,
                available,
            })
            .collect();
        distribute(&settings, &counts)
    }

    fn percents(available: &[u64]) -> Vec<u32> {
        // The tables leave panic aside.
        let loads = distributed(available, 0);
        loads.into_iter().map(|load| load.percent).collect()
    }

    #[test]
    fn traffic_spills_over_as_in_envoys_documentation() {
        // intro/arch_overview/upstream/load_balancing/priority, the three tables.
        for (available, percent) in [
            (&[100, 100][..], &[100, 0][..]),
            (&[72, 100], &[100, 0]),
            (&[71, 100], &[99, 1]),
            (&[50, 100], &[70, 30]),
            (&[25, 100], &[35, 65]),
            (&[0, 100], &[0, 100]),
            (&[72, 72], &[100, 0]),
            (&[71, 71], &[99, 1]),
            (&[50, 50], &[70, 30]),
            (&[25, 25], &[50, 50]),
            (&[100, 100, 100], &[100, 0, 0]),
            (&[72, 72, 100], &[100, 0, 0]),
            (&[71, 71, 100], &[99, 1, 0]),
            (&[50, 50, 100], &[70, 30, 0]),
            (&[25, 100, 100], &[35, 65, 0]),
            (&[25, 25, 100], &[35, 35, 30]),
            (&[25, 25, 20], &[36, 36, 28]),
        ] {
            assert_eq!(percents(available), percent, "{available:?}");
        }
    }

    #[test]
    fn panic_begins_as_in_envoys_documentation() {
        use Panic::{No, Yes};
        // intro/arch_overview/upstream/load_balancing/panic_threshold, both tables; but for two rows of the second,
        // where its shares are not those of its own rule.
        for (available, percent, panic) in [
            ([72, 100], [100, 0], [No, No]),
            ([71, 100], [99, 1], [No, No]),
            ([50, 100], [70, 30], [No, No]),
            ([25, 100], [35, 65], [No, No]),
            ([0, 100], [0, 100], [No, No]),
            ([72, 72], [100, 0], [No, No]),
            ([71, 71], [99, 1], [No, No]),
            ([50, 60], [70, 30], [No, No]),
            ([25, 25], [50, 50], [Yes, Yes]),
            ([5, 65], [7, 93], [Yes, No]),
        ] {
            let loads = distributed(&available, 50);
            for (level, load) in loads.into_iter().enumerate() {
                assert_eq!(load.percent, percent[level], "{available:?}");
                assert_eq!(load.panic, panic[level], "{available:?}");
            }
        }
    }

    #[test]
    fn in_panic_everywhere_levels_share_by_their_numbers() {
        let counts = [(30, 1), (10, 0)].map(|(members, available)| Count { members, available });
        let loads = distribute(&Settings::default(), &counts);
        assert_eq!([loads[0].percent, loads[1].percent], [75, 25]);
        assert!(loads.iter().all(|load| load.panic == Panic::Yes));
    }

    #[test]
    fn there_is_no_panic_with_a_threshold_of_zero() {
        for available in [&[0, 0][..], &[3, 2], &[0]] {
            let loads = distributed(available, 0);
            assert!(loads.iter().all(|load| load.panic == Panic::No));
        }
        assert!(distributed(&[0, 0], 0).iter().all(|load| load.percent == 0));
    }

    proptest! {
        #[test]
        fn percents_add_up_to_a_hundred(
            available in prop::collection::vec(0_u64..=100, 1..6),
            threshold in 1_u32..=100,
        ) {
            let loads = distributed(&available, threshold);
            prop_assert_eq!(loads.iter().map(|load| load.percent).sum::<u32>(), 100);
            for (load, available) in loads.iter().zip(available) {
                // Nobody is sent where there is nobody.
                prop_assert!(load.percent == 0 || available > 0 || load.panic == Panic::Yes);
            }
        }
    }
}
