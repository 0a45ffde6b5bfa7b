//! What became of the calls of late.
//!
//! The window is cut into [`BUCKETS`] buckets of time, and moves on by one of them: it holds the bucket that is being
//! filled and the nine before, which is between nine tenths of its length and the whole.
//!
//! **Nothing is ever cleared.** A counter says itself whose it is: beside the count its word has the bucket's number
//! and the generation of the breaker. Whoever finds a counter of a bucket that has left the window, or of an earlier
//! generation, puts in a count of 1 of its own; whoever adds up passes such counters over. So no thread has to turn the
//! window for others, there is no moment at which a count can fall between two buckets, and a breaker that closes
//! again begins with an empty window without anybody having emptied it.
//!
//! **Threads keep apart.** There are several such sets of counters, [`Stripe`]s, and a thread uses one of them: as long
//! as there are as many as threads, recording touches no memory that another thread writes to. To add up all of them is
//! dear in comparison, about 100 ns; only failures and slow calls pay that price, because a success cannot bring a
//! ratio up.
//!
//! **A failure is judged with all failures that came before it.** Two threads whose failures together reach a ratio
//! could overlook each other, if each read the other's counter before it was written. Between writing and adding up
//! stands a fence, so that at least one of the two sees both.
//!
//! **No ratio is higher than it was.** Others count while a sum is made. A call is counted before its failure, and a
//! sum reads all failures before all calls: it has no more failures than there were between the two, and no fewer
//! calls.

use crate::sync::{AtomicU64, BUCKETS, Ordering, fence, thread_number};

const COUNT_BITS: u32 = 28;
const GENERATION_BITS: u32 = 10;
const CYCLE_BITS: u32 = 64 - COUNT_BITS - GENERATION_BITS;
/// The most that a counter counts to, of what comes to one stripe in one bucket. 700,000 calls a second on one thread
/// reach it in the longest buckets, of 6 minutes.
const MOST: u64 = (1 << COUNT_BITS) - 1;

/// What has been counted in the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls with a verdict.
    pub calls: u64,
    /// Those of them that failed.
    pub failures: u64,
    /// Those of them that were slow, whether they failed or not.
    pub slow: u64,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Success,
    SlowSuccess,
    Failure,
    SlowFailure,
}

#[derive(Debug)]
pub(super) struct Window {
    /// The length of a bucket, in nanoseconds.
    width: u64,
    /// A power of two of them.
    stripes: Box<[Stripe]>,
}

/// The counters of some of the threads, in cache lines of their own: two, because processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe {
    calls: [Counter; BUCKETS],
    failures: [Counter; BUCKETS],
    slow: [Counter; BUCKETS],
}

/// The count of one bucket in one generation: cycle (26 bits), generation (10), count (28).
///
/// 26 bits of cycles come round again after two years of windows of one second, 20 years of 10 seconds: a counter would
/// have to rest for exactly that long to be taken for a new one. Ten bits of generations come round when a breaker
/// changes its state 1,024 times within one bucket.
#[derive(Debug, Default)]
struct Counter(AtomicU64);

/// A bucket of a generation.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// Where its counters are.
    place: usize,
    /// How many windows had gone by when it began. Wraps.
    cycle: u64,
    generation: u64,
}

impl Window {
    /// Looks back for `length` nanoseconds. `threads` threads can record without disturbing each other.
    pub(super) fn new(length: u64, threads: usize) -> Self {
        Self {
            width: (length / BUCKETS as u64).max(1),
            stripes: (0..threads.next_power_of_two())
                .map(|_| Stripe::default())
                .collect(),
        }
    }

    /// Counts a call of `generation` that ended at `now`, unless `is_current` says that the breaker has left that
    /// generation. It is asked only when a counter of another one is to be taken over.
    #[inline]
    pub(super) fn record(
        &self,
        generation: u64,
        now: u64,
        outcome: Outcome,
        is_current: impl Fn() -> bool,
    ) {
        let bucket = self.bucket(generation, now);
        let stripe = &self.stripes[thread_number() & (self.stripes.len() - 1)];
        let place = bucket.place;
        let Some(bucket) = stripe.calls[place].add(bucket, Behind::Join, &is_current) else {
            return;
        };
        // When the bucket has gone meanwhile, the call went with it: its failure must not count in another.
        if matches!(outcome, Outcome::Failure | Outcome::SlowFailure) {
            stripe.failures[place].add(bucket, Behind::Drop, &is_current);
        }
        if matches!(outcome, Outcome::SlowSuccess | Outcome::SlowFailure) {
            stripe.slow[place].add(bucket, Behind::Drop, &is_current);
        }
    }

    /// What `generation` has counted in the window that ends at `now`, with all that this thread has recorded before.
    /// If another thread's clock is ahead, the window ends where that has counted.
    pub(super) fn counts(&self, generation: u64, now: u64) -> Counts {
        let mut last = self.bucket(generation, now);
        loop {
            match self.sum(last) {
                Ok(counts) => return counts,
                // That takes another turn each time that a bucket's time goes by, which is a tenth of a second at
                // least.
                Err(later) => last = later,
            }
        }
    }

    /// What is in the window whose last bucket is `last`. A later bucket, if one has been counted in: it may have taken
    /// the place of calls whose failures are still there.
    fn sum(&self, last: Bucket) -> Result<Counts, Bucket> {
        fence(Ordering::SeqCst);
        let mut sum = Counts::default();
        for stripe in &self.stripes {
            for place in 0..BUCKETS {
                let bucket = last.latest_at(place);
                sum.failures += stripe.failures[place].count(bucket);
                sum.slow += stripe.slow[place].count(bucket);
            }
        }
        for stripe in &self.stripes {
            for place in 0..BUCKETS {
                let bucket = last.latest_at(place);
                let word = stripe.calls[place].0.load(Ordering::Acquire);
                let (tag, count) = (word & !MOST, word & MOST);
                if tag == bucket.tag() {
                    sum.calls += count;
                } else if tag == bucket.next_cycle().tag() && count > 0 {
                    return Err(bucket.next_cycle());
                }
            }
        }
        Ok(sum)
    }

    #[inline]
    fn bucket(&self, generation: u64, now: u64) -> Bucket {
        let number = now / self.width;
        // The remainder is below 10.
        #[allow(clippy::cast_possible_truncation)]
        Bucket {
            place: (number % BUCKETS as u64) as usize,
            cycle: (number / BUCKETS as u64) & mask(CYCLE_BITS),
            generation: generation & mask(GENERATION_BITS),
        }
    }
}

impl Bucket {
    /// The word of a counter of this bucket that has counted nothing.
    #[inline]
    fn tag(self) -> u64 {
        self.cycle << (64 - CYCLE_BITS) | self.generation << COUNT_BITS
    }

    /// The bucket a window later, whose counters have the same place.
    fn next_cycle(self) -> Self {
        Self {
            cycle: (self.cycle + 1) & mask(CYCLE_BITS),
            ..self
        }
    }

    /// The latest bucket at `place` that is not later than this one.
    fn latest_at(self, place: usize) -> Self {
        // Behind this one's place are those of the cycle before.
        let before = u64::from(place > self.place);
        Self {
            place,
            cycle: self.cycle.wrapping_sub(before) & mask(CYCLE_BITS),
            ..self
        }
    }
}

impl Counter {
    /// What it has counted in `bucket`.
    #[inline]
    fn count(&self, bucket: Bucket) -> u64 {
        let word = self.0.load(Ordering::Acquire);
        if word & !MOST == bucket.tag() {
            word & MOST
        } else {
            0
        }
    }

    /// Counts 1 in `bucket`. Returns the bucket that it is counted in; none if it is not counted, because it is too
    /// late.
    #[inline]
    fn add(&self, bucket: Bucket, behind: Behind, is_current: impl Fn() -> bool) -> Option<Bucket> {
        let mut word = self.0.load(Ordering::Acquire);
        loop {
            let (bucket, count) = if word & !MOST == bucket.tag() {
                (bucket, word & MOST)
            } else {
                taken_over(word, bucket, behind, &is_current)?
            };
            let next = bucket.tag() | (count + 1).min(MOST);
            let swap =
                self.0
                    .compare_exchange_weak(word, next, Ordering::AcqRel, Ordering::Acquire);
            match swap {
                Ok(_) => return Some(bucket),
                Err(found) => word = found,
            }
        }
    }
}

/// What to do when a counter is of the next cycle already: the clock of this thread is behind by a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// Count there: the call did end just now.
    Join,
    /// Do not count.
    Drop,
}

/// A counter holds `word`, which is not of `bucket`: the bucket to count in, and what it has counted so far. None if it
/// is too late to count.
#[cold]
fn taken_over(
    word: u64,
    bucket: Bucket,
    behind: Behind,
    is_current: impl Fn() -> bool,
) -> Option<(Bucket, u64)> {
    let next_cycle = bucket.next_cycle();
    if word & !MOST == next_cycle.tag() {
        return (behind == Behind::Join).then_some((next_cycle, word & MOST));
    }
    // A counter of a later generation is not taken away from it: whoever has written it has seen the breaker leave this
    // one, and having read what was written, this thread sees that as well. If the breaker leaves it only after this
    // look, the worst that happens is that a counter is ours which nobody will read as ours.
    is_current().then_some((bucket, 0))
}

const fn mask(bits: u32) -> u64 {
    (1 << bits) - 1
}
