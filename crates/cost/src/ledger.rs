//! Who a step's time belongs to. Each step's time is divided among the sequences in it: the weights that it reads are
//! shared by all of them alike, what is read of keys and values and what is multiplied is its owner's, and what fills a
//! bucket is nobody's. Time in which there was nothing to do is told as the engine's own stopwatch has it, and never as what
//! is left over: so the parts can be held against the clock.
//!
//! share of a sequence = (W / n) / B + (its keys and values) / B + (its operations) / F
//!
//! over the sum of all shares, W the bytes of weights, n the sequences in the step, B and F what the device reads and
//! multiplies in a second.

mod charge;

use std::collections::HashMap;
use std::hash::Hash;

use graph::Graph;

use crate::{Rates, Scale, Stretch, Touched};

pub use charge::{Charge, Phase, Totals};

/// What a step took, as the engine tells it.
#[derive(Clone, Copy, Debug)]
pub struct StepUse<'a, K> {
    /// Seconds that went into the step and into preparing it.
    pub busy_s: f64,
    /// Seconds of those that the device worked.
    pub device_s: f64,
    /// Seconds before it in which there was nothing to do.
    pub idle_s: f64,
    /// Seconds before it that went into what no request asked for.
    pub aside_s: f64,
    /// Tokens that fill the bucket.
    pub padding: u32,
    /// Experts that it touched, of all layers together; `None` where nobody counted.
    pub experts_touched: Option<u32>,
    /// Who had a part in it.
    pub parts: &'a [PartUse<K>],
}

/// What a step did for one sequence.
#[derive(Clone, Copy, Debug)]
pub struct PartUse<K> {
    /// Whose.
    pub owner: K,
    /// Its tokens.
    pub stretch: Stretch,
    /// Whether they were a prompt's.
    pub prefill: bool,
}

/// Divides steps among sequences and keeps the sums.
#[derive(Debug)]
pub struct Ledger<K> {
    scale: Scale,
    rates: Rates,
    open: HashMap<K, Charge>,
    totals: Totals,
    /// Seconds since energy was read last that belong to nobody who is open.
    unpowered: f64,
    /// Shares of the parts of a step; kept for their memory.
    shares: Vec<f64>,
}

impl<K: Copy + Eq + Hash> Ledger<K> {
    /// An empty ledger for a graph, on a device of such rates.
    pub fn new(graph: &Graph, rates: Rates) -> Ledger<K> {
        let (scale, totals) = (Scale::new(graph), Totals::default());
        Ledger { scale, rates, open: HashMap::new(), totals, unpowered: 0.0, shares: vec![] }
    }

    /// Opens an account.
    pub fn open(&mut self, owner: K) {
        self.open.entry(owner).or_default();
    }

    /// Divides a step.
    pub fn step(&mut self, step: &StepUse<'_, K>) {
        let StepUse { busy_s, device_s, idle_s, aside_s, padding, experts_touched, parts } = *step;
        self.totals.idle_s += idle_s;
        self.totals.aside_s += aside_s;
        self.totals.device_s += device_s;
        self.unpowered += idle_s + aside_s;
        if parts.is_empty() {
            // Deadlines, endings and the like.
            self.totals.overhead_s += busy_s;
            self.unpowered += busy_s;
            return;
        }
        self.totals.steps += 1;
        self.totals.rows += parts.iter().map(|part| u64::from(part.stretch.rows)).sum::<u64>();
        let tokens = parts.iter().map(|part| part.stretch.count).sum::<u32>();
        let experts = experts_touched.and_then(|sum| self.scale.per_layer(sum));
        if let Some(experts) = experts {
            self.totals.experts.add(Touched { tokens, steps: 1, experts });
        }
        let weights = self.scale.weight_bytes(tokens, experts) / parts.len() as f64;
        let (scale, rates) = (&self.scale, &self.rates);
        let share = |part: &PartUse<K>| {
            let own = scale.own(&part.stretch);
            rates.seconds(weights + own.state_bytes, own.operations)
        };
        self.shares.clear();
        self.shares.extend(parts.iter().map(share));
        let filling = rates.seconds(0.0, scale.padding(padding));
        let whole = self.shares.iter().sum::<f64>() + filling;
        // A graph without weights and states has nothing to divide by; each has an even share then.
        let even = 1.0 / parts.len() as f64;
        let of = |share: f64| if whole > 0.0 { share / whole } else { even };
        let lost = if whole > 0.0 { filling / whole } else { 0.0 };
        self.totals.padding_s += busy_s * lost;
        self.unpowered += busy_s * lost;
        for (part, &share) in parts.iter().zip(&self.shares) {
            let own = self.scale.own(&part.stretch);
            let phase = Phase {
                tokens: u64::from(part.stretch.count),
                seconds: busy_s * of(share),
                device_s: device_s * of(share),
                bytes: weights + own.state_bytes,
                operations: own.operations,
            };
            match self.open.get_mut(&part.owner) {
                Some(charge) => charge.add(part.prefill, &phase),
                // It ended while the step ran.
                None => {
                    self.totals.dropped_s += phase.seconds;
                    self.unpowered += phase.seconds;
                }
            }
        }
    }

    /// Divides energy that was used since it was read last, by the seconds since then.
    pub fn energy(&mut self, joules: f64) {
        let seconds = self.unpowered + self.open.values().map(|charge| charge.unpowered).sum::<f64>();
        let per_second = if seconds > 0.0 { joules / seconds } else { 0.0 };
        for charge in self.open.values_mut() {
            let joules = std::mem::take(&mut charge.unpowered) * per_second;
            *charge.joules.get_or_insert(0.0) += joules;
        }
        let rest = std::mem::take(&mut self.unpowered) * per_second;
        // What was used while nobody was there is still used.
        *self.totals.joules.get_or_insert(0.0) += if seconds > 0.0 { rest } else { joules };
    }

    /// What an account comes to so far.
    pub fn read(&self, owner: K) -> Option<&Charge> {
        self.open.get(&owner)
    }

    /// Closes an account: what it comes to. A second time, and of one that was never opened, `None`.
    pub fn close(&mut self, owner: K) -> Option<Charge> {
        let charge = self.open.remove(&owner)?;
        self.unpowered += charge.unpowered;
        self.totals.receipts += 1;
        self.totals.receipts_s += charge.seconds();
        self.keep_joules(&charge);
        Some(charge)
    }

    /// Closes an account whose sequence was broken off: `receipt` is what its reader has taken for the receipt, where it took
    /// one. What was done beyond that nobody wanted.
    pub fn settle(&mut self, owner: K, receipt: Option<&Charge>) {
        let Some(charge) = self.open.remove(&owner) else { return };
        self.unpowered += charge.unpowered;
        let receipted = receipt.map_or(0.0, Charge::seconds).min(charge.seconds());
        self.totals.receipts += u64::from(receipt.is_some());
        self.totals.receipts_s += receipted;
        self.totals.dropped_s += charge.seconds() - receipted;
        self.keep_joules(&charge);
    }

    fn keep_joules(&mut self, charge: &Charge) {
        if let Some(joules) = charge.joules {
            *self.totals.joules.get_or_insert(0.0) += joules;
        }
    }

    /// The sums so far.
    pub fn totals(&self) -> Totals {
        let open_s = self.open.values().map(Charge::seconds).sum();
        Totals { open_s, ..self.totals.clone() }
    }
}
