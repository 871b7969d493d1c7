//! Read bandwidth beside what is being measured.

use simd::Isa;

use super::bandwidth::{GAUGED, Memory};
use super::level;
use crate::team::Team;

/// Bytes that are read each time: more than a third cache holds, and few enough to take some tens of milliseconds.
const BYTES: u64 = 512 << 20;

/// Reads memory whenever it is asked to. On a machine that others share, bandwidth halves and doubles within seconds;
/// what a kernel reaches means something beside what memory gave just before and just after.
pub struct Gauge {
    memory: Memory,
    team: Team,
    isa: Isa,
}

impl Gauge {
    /// A gauge that reads with so many threads.
    pub fn new(threads: usize) -> Gauge {
        Gauge { memory: Memory::of(BYTES), team: Team::new(threads), isa: level() }
    }

    /// Bytes per second that can be read now.
    pub fn bandwidth(&mut self) -> f64 {
        let Gauge { memory, team, isa } = self;
        GAUGED.iter().map(|&pattern| memory.read_once(team, pattern, *isa).per_s).fold(0.0, f64::max)
    }
}
