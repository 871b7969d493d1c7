//! Strips of a product dealt out among the workers.
//!
//! Memory does not serve all workers alike, and whoever is early waits at the next meeting. So a worker owns half of what
//! would be its share, and the other half is taken by whoever comes first: long stretches, then shorter ones, so that
//! all are done at about the same time. No bit of a strip depends on who makes it.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::part::Part;

/// Bytes of weights that are worth a turn of their own: a few microseconds of memory.
const BYTES: usize = 64 << 10;
/// Strips that are worth a turn where rows are many: fewer would fetch the rows too often.
const STRIPS: usize = 8;
/// Rows from which on they are.
const MANY: usize = 16;

/// The strips of one node that nobody owns, as far as they were taken in this step.
#[derive(Default)]
pub struct Taken(AtomicU32);

impl Taken {
    /// Nothing is taken; no worker is in a step.
    pub fn reset(&self) {
        self.0.store(0, Relaxed);
    }

    /// Has this worker run stretches of strips until none is left; each strip is run by one worker.
    pub fn deal(&self, part: Part, strips: usize, least: usize, mut run: impl FnMut(Range<usize>)) {
        if part.of == 1 {
            return run(0..strips);
        }
        let pieces = strips.div_ceil(least);
        let piece = |range: Range<usize>| range.start * least..(range.end * least).min(strips);
        let owned = pieces / 2;
        run(piece(part.share(owned)));
        let mut taken = self.0.load(Relaxed);
        while (taken as usize) < pieces - owned {
            let left = pieces - owned - taken as usize;
            let more = left.div_ceil(2 * part.of);
            match self.0.compare_exchange_weak(taken, taken + more as u32, Relaxed, Relaxed) {
                Ok(_) => {
                    let first = owned + taken as usize;
                    run(piece(first..first + more));
                    taken = self.0.load(Relaxed);
                }
                Err(now) => taken = now,
            }
        }
    }
}

/// The fewest strips of so many bytes that a worker takes, for so many rows.
pub fn least(strip_bytes: usize, rows: usize) -> usize {
    if rows >= MANY { STRIPS } else { (BYTES / strip_bytes.max(1)).max(1) }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::team::{Team, Worker};

    #[test]
    fn every_strip_is_run_once_whoever_is_late() {
        for workers in [1, 2, 3, 5] {
            let mut team = Team::new(workers);
            let taken = Taken::default();
            for (strips, least) in [(0, 4), (1, 4), (7, 8), (9, 1), (64, 3), (1000, 8)] {
                for late in 0..workers {
                    let run = Mutex::new(vec![]);
                    taken.reset();
                    team.run(&|worker: Worker<'_>| {
                        if worker.part.index == late {
                            std::thread::yield_now();
                        }
                        taken.deal(worker.part, strips, least, |range| {
                            run.lock().unwrap().extend(range);
                        });
                    });
                    let mut run = run.into_inner().unwrap();
                    run.sort_unstable();
                    assert_eq!(run, (0..strips).collect::<Vec<_>>(), "{workers} workers, {least} at least");
                }
            }
        }
    }

    #[test]
    fn turns_are_of_some_bytes_or_of_some_strips() {
        assert_eq!([least(1 << 10, 1), least(20_000, 4), least(1 << 20, 1)], [64, 3, 1]);
        assert_eq!([least(1 << 10, 16), least(1 << 20, 512)], [STRIPS; 2]);
    }
}
