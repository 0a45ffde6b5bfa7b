//! How a client behaves on its HTTP/2 connection.
//!
//! Many frames cost their sender nothing and carry neither a request nor a body: pings, settings, priorities, streams
//! that are opened only to be reset (CVE-2023-44487), streams that the client makes us reset (CVE-2025-8671). None is
//! wrong by itself. So a connection has an allowance for them, which real work earns back, and time does too. Who has
//! used it up is told `ENHANCE_YOUR_CALM` (RFC 9113 §10.5).

use std::cell::Cell;

use tokio::time::Instant;
use wire::server::End;

/// What a connection may have in hand, and begins with: 250 streams at once that nobody waits for (a page that is left
/// cancels all that it has asked for: as many as may be open, perhaps twice), or 5,000 frames that only busy us.
const ALLOWANCE: u32 = 5_000;
/// What a stream costs that its client gave up, and earns that it waited for: who cancels every second request may.
const STREAM: u32 = 20;
/// What a part of an answer's body earns, however small: as Envoy has it, ten window updates for it are still no attack.
const DATA: u32 = 10;
/// For each so many bytes of it there may be one more: Go's client, for one, updates two windows for every 4 KiB.
const BYTES: usize = 256;
/// What a second earns: ten streams that are given up, two hundred pings.
const SECOND: u64 = 200;

/// What is known of the client of one connection. Everybody who serves the connection shares it.
#[derive(Debug)]
pub(super) struct Conduct {
    left: Cell<u32>,
    /// Since when no time has been counted.
    counted: Cell<Instant>,
    /// Bytes have been read since somebody asked.
    heard: Cell<bool>,
    /// Bytes have been written since somebody asked.
    told: Cell<bool>,
    /// The header block, or frame that belongs to none, which has begun and not ended, by its number.
    unfinished: Cell<Option<u32>>,
}

impl Conduct {
    pub(super) fn new() -> Self {
        Self {
            left: Cell::new(ALLOWANCE),
            counted: Cell::new(Instant::now()),
            heard: Cell::new(false),
            told: Cell::new(false),
            unfinished: Cell::new(None),
        }
    }

    /// The client has sent a frame that only busies us.
    pub(super) fn idle_frame(&self) {
        self.spend(1);
    }

    /// A stream has ended like this.
    pub(super) fn ended(&self, end: End) {
        match end {
            End::Complete => self.answered(),
            End::ClientGone => self.gave_up(),
            End::BodyFailed(_) | End::Ended => {}
        }
    }

    /// A stream has ended before its answer had, and not by our fault.
    fn gave_up(&self) {
        self.spend(STREAM);
    }

    /// An answer has been given to its end.
    fn answered(&self) {
        self.earn(STREAM);
    }

    /// A part of an answer's body has been sent.
    pub(super) fn sent_data(&self, bytes: usize) {
        let more = u32::try_from(bytes / BYTES).unwrap_or(ALLOWANCE);
        self.earn(more.min(ALLOWANCE) + DATA);
    }

    /// Whether there is nothing left of the allowance.
    pub(super) fn is_exhausted(&self) -> bool {
        self.left.get() == 0
    }

    fn spend(&self, cost: u32) {
        if self.left.get() <= cost {
            self.count_time();
        }
        self.left.set(self.left.get().saturating_sub(cost));
    }

    fn earn(&self, worth: u32) {
        self.left.set((self.left.get() + worth).min(ALLOWANCE));
    }

    /// Time is looked at only where it matters: the clock costs more than most frames.
    fn count_time(&self) {
        let since = self.counted.replace(Instant::now()).elapsed();
        let earned = since.as_millis() as u64 * SECOND / 1000;
        self.earn(u32::try_from(earned).unwrap_or(ALLOWANCE).min(ALLOWANCE));
    }

    pub(super) fn set_heard(&self) {
        self.heard.set(true);
    }

    /// Whether anything has come since the last call.
    pub(super) fn take_heard(&self) -> bool {
        self.heard.take()
    }

    pub(super) fn set_told(&self) {
        self.told.set(true);
    }

    /// Whether anything has been written since the last call.
    pub(super) fn take_told(&self) -> bool {
        self.told.take()
    }

    pub(super) fn set_unfinished(&self, number: Option<u32>) {
        self.unfinished.set(number);
    }

    /// What has begun and not ended, by its number.
    pub(super) fn unfinished(&self) -> Option<u32> {
        self.unfinished.get()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn spent(conduct: &Conduct, times: u32, spend: fn(&Conduct)) -> bool {
        (0..times).for_each(|_| spend(conduct));
        conduct.is_exhausted()
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_a_page_may_and_who_goes_on_may_not() {
        let conduct = Conduct::new();
        assert!(!spent(&conduct, 249, Conduct::gave_up));
        assert!(spent(&conduct, 1, Conduct::gave_up));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_that_are_waited_for_earn_what_cancelled_ones_cost() {
        let conduct = Conduct::new();
        for _ in 0..10_000 {
            conduct.gave_up();
            conduct.answered();
        }
        assert!(!conduct.is_exhausted());
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_only_busy_us_are_paid_for_by_data_and_by_time() {
        let conduct = Conduct::new();
        for _ in 0..1000 {
            conduct.sent_data(2560);
            assert!(!spent(&conduct, 20, Conduct::idle_frame));
        }
        for _ in 0..600 {
            assert!(!spent(&conduct, 200, Conduct::idle_frame));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert!(spent(&conduct, ALLOWANCE, Conduct::idle_frame));
    }
}
