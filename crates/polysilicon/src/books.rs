//! The books of a model's thread: the ledger, told of every step as the engine accounts for it, and the machine's counters of
//! energy.

use std::time::{Duration, Instant};

use cost::{Charge, Ledger, PartUse, Rates, StepUse, Stretch};
use engine::{Account, Ran, SequenceId};
use graph::Graph;

use crate::bench::peak;
use crate::energy::Meter;
use crate::{Device, Limits};

/// Energy is read no more often: its counters move about a thousand times a second, and reading them takes its time.
const PATIENCE: Duration = Duration::from_millis(50);

/// What a device reads and multiplies in a second where nobody has measured it. Only the ratio counts, and only for how a
/// step's time is divided.
const RATES: Rates = Rates { bytes_per_s: 4e10, operations_per_s: 4e11 };

/// The ledger and what it is told.
pub(crate) struct Books {
    pub ledger: Ledger<SequenceId>,
    meter: Option<Meter>,
    read: Instant,
    /// Kept for its memory.
    parts: Vec<PartUse<SequenceId>>,
}

impl Books {
    /// The books of a device, or of as many as compute together, whose counters are read where it has any.
    pub fn new(ledger: Ledger<SequenceId>, device: Device, ranks: u32) -> Books {
        Books { ledger, meter: Meter::of(device, ranks), read: Instant::now(), parts: vec![] }
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
            experts_touched: account.experts_touched,
            parts: &self.parts,
        });
        if self.meter.is_some() && self.read.elapsed() >= PATIENCE {
            self.read_energy();
        }
    }

    /// Closes the account of a sequence that has ended.
    pub fn close(&mut self, id: SequenceId) -> Charge {
        self.read_energy();
        self.ledger.close(id).unwrap_or_default()
    }

    fn read_energy(&mut self) {
        if let Some(joules) = self.meter.as_mut().and_then(Meter::since) {
            self.ledger.energy(joules);
            self.read = Instant::now();
        }
    }
}

/// What so many threads of a device read and multiply by a model's weights, as far as that was measured before: nothing is
/// measured for it.
pub(crate) fn rates(runs_here: bool, threads: usize, graph: &Graph) -> Rates {
    let measured = cpu::measure::cached().filter(|_| runs_here);
    let known = measured.and_then(|measured| {
        let limits = Limits::new(&measured, threads);
        let rates = Rates { bytes_per_s: limits.bandwidth, operations_per_s: peak(&limits, graph) };
        (rates.bytes_per_s > 0.0 && rates.operations_per_s.is_finite()).then_some(rates)
    });
    known.unwrap_or(RATES)
}
