//! What sequences are charged, and the sums of a run.

use crate::{Experts, Price};

/// What one phase of a sequence took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Phase {
    /// Tokens that steps computed.
    pub tokens: u64,
    /// Seconds of the machine, by which it is charged.
    pub seconds: f64,
    /// Seconds of those that the device worked.
    pub device_s: f64,
    /// Bytes of weights, keys and values; of weights its share.
    pub bytes: f64,
    /// Multiplications plus additions.
    pub operations: f64,
}

/// What a sequence is charged.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Charge {
    /// Its prompt, and what had to be computed again.
    pub prefill: Phase,
    /// Its answer.
    pub decode: Phase,
    /// Joules, where the machine counts them.
    pub joules: Option<f64>,
    /// Seconds since energy was read last.
    pub(super) unpowered: f64,
}

impl Phase {
    fn add(&mut self, other: &Phase) {
        self.tokens += other.tokens;
        self.seconds += other.seconds;
        self.device_s += other.device_s;
        self.bytes += other.bytes;
        self.operations += other.operations;
    }
}

impl Charge {
    pub(super) fn add(&mut self, prefill: bool, phase: &Phase) {
        (if prefill { &mut self.prefill } else { &mut self.decode }).add(phase);
        self.unpowered += phase.seconds;
    }

    /// Seconds of the machine.
    pub fn seconds(&self) -> f64 {
        self.prefill.seconds + self.decode.seconds
    }

    /// Seconds that the device worked.
    pub fn device_s(&self) -> f64 {
        self.prefill.device_s + self.decode.device_s
    }

    /// Bytes of weights, keys and values.
    pub fn bytes(&self) -> f64 {
        self.prefill.bytes + self.decode.bytes
    }

    /// Multiplications plus additions.
    pub fn operations(&self) -> f64 {
        self.prefill.operations + self.decode.operations
    }

    /// Dollars at a price.
    pub fn dollars(&self, price: &Price) -> f64 {
        price.dollars(self.seconds())
    }

    /// Seconds that so many tokens would have taken which needed no computation, as those of the prompt that did took;
    /// `None` where none did.
    pub fn saved_s(&self, cached: u32) -> Option<f64> {
        let per_token = self.prefill.seconds / self.prefill.tokens as f64;
        per_token.is_finite().then(|| per_token * f64::from(cached))
    }
}

/// The sums of a run: every second is in one of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// Steps.
    pub steps: u64,
    /// Rows that steps had sampled: tokens made, and guesses looked at.
    pub rows: u64,
    /// Experts that steps touched, where the device counts them.
    pub experts: Experts,
    /// Receipts given.
    pub receipts: u64,
    /// Seconds on receipts.
    pub receipts_s: f64,
    /// Seconds of sequences that are still under way.
    pub open_s: f64,
    /// Seconds of sequences that were cancelled or failed, and of steps that went on for some that had ended.
    pub dropped_s: f64,
    /// Seconds that filled buckets.
    pub padding_s: f64,
    /// Seconds of the engine's own in which no step landed.
    pub overhead_s: f64,
    /// Seconds for what no request asked.
    pub aside_s: f64,
    /// Seconds in which there was nothing to do, by a stopwatch of their own.
    pub idle_s: f64,
    /// Seconds that the device worked.
    pub device_s: f64,
    /// Joules of all that has ended, where the machine counts them.
    pub joules: Option<f64>,
}

impl Totals {
    /// Seconds of them all, but for what the device worked, which is within them: what the clock has gone on by.
    pub fn seconds(&self) -> f64 {
        self.busy_s() + self.idle_s
    }

    /// Seconds that were not idle.
    pub fn busy_s(&self) -> f64 {
        self.receipts_s + self.open_s + self.dropped_s + self.padding_s + self.overhead_s + self.aside_s
    }

    /// The share of time in which there was something to do.
    pub fn utilisation(&self) -> f64 {
        let all = self.seconds();
        if all > 0.0 { self.busy_s() / all } else { 0.0 }
    }
}
