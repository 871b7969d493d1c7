//! How fast memory is read.
//!
//! Each thread streams through its own part of a buffer that no cache holds. What a core reaches depends on how many
//! streams it follows and whether it asks ahead, so several patterns are tried and the best one counts: the bound is
//! what some kernel could reach.

use std::hint::black_box;

use rayon::prelude::*;
use simd::{Isa, Kernel, Simd};
use tensor::Buffer;

use super::round::{self, Reading};
use super::{available_memory, caches};
use crate::part::Part;
use crate::team::Team;

/// Bytes of the buffer, where memory allows. A third level of a virtual machine may be told larger than it is, so
/// more than this is not taken whatever it says.
const BYTES: std::ops::RangeInclusive<u64> = 1 << 30..=4 << 30;
/// Bytes of the buffer where memory is short.
const BYTES_MIN: u64 = 64 << 20;
/// Bytes a stream moves on at a time.
const STEP: usize = 256;

/// How a thread walks through its part.
#[derive(Clone, Copy)]
pub struct Pattern {
    /// Places that are read in turn, each a share of the part.
    streams: usize,
    /// How far ahead of the place read the next lines are asked for; 0 leaves it to the machine.
    ahead: usize,
}

/// What is tried.
pub const PATTERNS: [Pattern; 6] = [
    Pattern { streams: 1, ahead: 0 },
    Pattern { streams: 1, ahead: 4096 },
    Pattern { streams: 2, ahead: 0 },
    Pattern { streams: 2, ahead: 4096 },
    Pattern { streams: 4, ahead: 0 },
    Pattern { streams: 4, ahead: 2048 },
];

/// What is tried where there is time for little: the best of nearly every machine are among them.
pub const GAUGED: [Pattern; 3] = [PATTERNS[0], PATTERNS[2], PATTERNS[5]];

/// What is read.
pub struct Memory(Buffer);

impl Memory {
    /// Memory that is really there: each page of it has been written.
    pub fn new() -> Memory {
        Memory::of((8 * caches().l3 as u64).clamp(*BYTES.start(), *BYTES.end()))
    }

    /// So much of it, or what there is.
    pub fn of(wanted: u64) -> Memory {
        let bytes = wanted.min(available_memory().unwrap_or(u64::MAX) / 4).max(BYTES_MIN);
        let mut halves = (0..).map(|halved| bytes >> halved);
        let mut buffer =
            halves.find_map(|bytes| Buffer::try_zeroed(bytes as usize)).expect("no bytes are always had");
        buffer.as_mut_slice::<u8>().par_chunks_mut(1 << 21).for_each(|page| page.fill(0x5a));
        Memory(buffer)
    }

    /// Bytes per second of a team that reads everything once.
    pub fn read_once(&self, team: &mut Team, pattern: Pattern, isa: Isa) -> Reading {
        let bytes = (self.share(team.workers()) * team.workers()) as f64;
        round::of_work(team, bytes, &|part| self.read(part, pattern, isa))
    }

    fn read(&self, part: Part, pattern: Pattern, isa: Isa) {
        let each = self.share(part.of);
        let bytes = &self.0.as_slice::<u8>()[part.index * each..(part.index + 1) * each];
        match pattern.streams {
            1 => isa.run(Read::<1> { bytes, ahead: pattern.ahead }),
            2 => isa.run(Read::<2> { bytes, ahead: pattern.ahead }),
            _ => isa.run(Read::<4> { bytes, ahead: pattern.ahead }),
        }
    }

    /// Bytes of each worker: whole steps of each of its streams.
    fn share(&self, workers: usize) -> usize {
        self.0.len() / workers / (4 * STEP) * (4 * STEP)
    }
}

/// Reads every byte once, in `STREAMS` places by turns.
struct Read<'a, const STREAMS: usize> {
    bytes: &'a [u8],
    ahead: usize,
}

impl<const STREAMS: usize> Kernel for Read<'_, STREAMS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let each = self.bytes.len() / STREAMS;
        assert!(each.is_multiple_of(STEP), "streams are whole steps long");
        let starts: [*const u8; STREAMS] =
            std::array::from_fn(|stream| self.bytes.as_ptr().wrapping_add(stream * each));
        let mut seen = [s.splat_i(0); STREAMS];
        let mut offset = 0;
        while offset < each {
            for stream in 0..STREAMS {
                let mut line = 0;
                while line < STEP {
                    let at = starts[stream].wrapping_add(offset.wrapping_add(line));
                    if self.ahead > 0 {
                        s.prefetch(at.wrapping_add(self.ahead));
                    }
                    // SAFETY: offset + line + 64 is at most `each`, which is a whole number of steps, and `each`
                    // bytes from a stream's start lie within `bytes`.
                    seen[stream] = s.or(seen[stream], unsafe { s.load_i(at) });
                    line = line.wrapping_add(64);
                }
            }
            offset = offset.wrapping_add(STEP);
        }
        for seen in seen {
            let mut out = [0u8; 64];
            // SAFETY: there is room for 64 bytes.
            unsafe { s.store_i(out.as_mut_ptr(), seen) };
            black_box(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_any_team_lie_in_the_buffer() {
        let memory = Memory(Buffer::zeroed(100_000));
        for workers in [1, 2, 3, 97, 98] {
            for index in 0..workers {
                for pattern in PATTERNS {
                    memory.read(Part { index, of: workers }, pattern, Isa::Portable);
                }
            }
            assert!(memory.share(workers) * workers <= 100_000);
        }
    }
}
