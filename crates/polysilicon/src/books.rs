//! The books of a model's thread: the ledger, told of every step as the engine accounts for it, and the machine's counters of
//! energy.

use std::time::{Duration, Instant};

use cost::{Charge, Ledger, PartUse, Rates, StepUse, Stretch};
use engine::{Account, Ran, SequenceId};

use crate::energy::Counters;

/// Energy is read no more often: its counters move about a thousand times a second, and reading them takes its time.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a device reads and multiplies in a second where nobody has measured it. Only the ratio counts, and only for how a
/// step's time is divided.
const RATES: Rates = Rates { bytes_per_s: 4e10, operations_per_s: 4e11 };

/// The ledger and what it is told.
pub(crate) struct Books {
    pub ledger: Ledger<SequenceId>,
    counters: Option<Counters>,
    read: Instant,
    /// Kept for its memory.
    parts: Vec<PartUse<SequenceId>>,
}

impl Books {
    /// `runs_here`: whether this machine's processor, whose counters can be read, does the work.
    pub fn new(ledger: Ledger<SequenceId>, runs_here: bool) -> Books {
        let counters = runs_here.then(Counters::open).flatten();
        Books { ledger, counters, read: Instant::now(), parts: vec![] }
    }

    /// Enters a step.
    pub fn enter(&mut self, account: &Account<'_>) {
        let part = |&Ran { sequence, from, count, rows, prefill }: &Ran| PartUse {
            owner: sequence,
            stretch: Stretch { from, count, rows },
            prefill,
        };
        self.parts.clear();
        self.parts.extend(account.parts.iter().map(part));
        self.ledger.step(&StepUse {
            busy_s: account.busy.as_secs_f64(),
            device_s: account.device.as_secs_f64(),
            idle_s: account.idle.as_secs_f64(),
            aside_s: account.aside.as_secs_f64(),
            padding: account.padding,
            parts: &self.parts,
        });
        if self.counters.is_some() && self.read.elapsed() >= PATIENCE {
            self.read_energy();
        }
    }

    /// Closes the account of a sequence that has ended.
    pub fn close(&mut self, id: SequenceId) -> Charge {
        self.read_energy();
        self.ledger.close(id).unwrap_or_default()
    }

    fn read_energy(&mut self) {
        if let Some(joules) = self.counters.as_mut().and_then(Counters::since) {
            self.ledger.energy(joules);
            self.read = Instant::now();
        }
    }
}

/// What so many threads of a device read and multiply, as far as that was measured before: nothing is measured for it.
pub(crate) fn rates(runs_here: bool, threads: usize) -> Rates {
    let measured = cpu::measure::cached().filter(|_| runs_here);
    let known = measured.and_then(|measured| {
        let operations_per_s = measured.peaks.iter().map(|(_, rates)| rates.at(threads)).fold(0.0, f64::max);
        let rates = Rates { bytes_per_s: measured.bandwidth.at(threads), operations_per_s };
        (rates.bytes_per_s > 0.0 && operations_per_s > 0.0).then_some(rates)
    });
    known.unwrap_or(RATES)
}
