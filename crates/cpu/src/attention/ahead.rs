//! Keys and values brought near a little before they are read.

use simd::Simd;

use super::chunk::{BLOCKS, Blocks, Chunk};

/// Bytes of a line.
pub const LINE: usize = 64;
/// Lines that are asked for in a row.
pub const RUN: usize = 16;
/// Blocks between what is read and what is asked for.
const LEAD: usize = 4;

/// The blocks of a chunk in the order in which they are read, and the first of the next.
pub struct Ahead {
    blocks: [*const u8; 2 * BLOCKS + LEAD],
    /// The block whose turn it is.
    first: usize,
    /// Blocks there are.
    count: usize,
    /// Bytes of this block that were asked for.
    at: usize,
    /// Bytes of a block.
    bytes: usize,
}

impl Ahead {
    /// Nothing.
    pub const NOTHING: Ahead =
        Ahead { blocks: [std::ptr::null(); 2 * BLOCKS + LEAD], first: 0, count: 0, at: 0, bytes: 0 };

    /// What is seen of a chunk, and of the one after it. The first blocks were asked for before.
    pub fn of(chunk: &Chunk<'_>, next: Option<&Chunk<'_>>) -> Ahead {
        let mut ahead = Ahead { bytes: chunk.block_bytes(), first: LEAD, ..Ahead::NOTHING };
        let Blocks { keys, values } = chunk.lie();
        let seen = chunk.blocks();
        ahead.take(&keys[seen.clone()]);
        ahead.take(&values[seen]);
        if let Some(next) = next {
            let seen = next.blocks();
            ahead.take(&next.lie().keys[seen.start..seen.end.min(seen.start + LEAD)]);
        }
        ahead
    }

    fn take(&mut self, blocks: &[*const u8]) {
        self.blocks[self.count..self.count + blocks.len()].copy_from_slice(blocks);
        self.count += blocks.len();
    }

    /// Where the next [`RUN`] of lines begins; `other` where none is left.
    #[inline(always)]
    pub fn run(&mut self, other: *const u8) -> *const u8 {
        if self.first >= self.count {
            return other;
        }
        let run = self.blocks[self.first].wrapping_add(self.at);
        self.at = self.at.wrapping_add(RUN * LINE);
        if self.at >= self.bytes {
            (self.at, self.first) = (0, self.first + 1);
        }
        run
    }

    /// Asks for a run.
    #[inline(always)]
    pub fn ask<S: Simd>(&mut self, s: S) {
        let run = self.run(std::ptr::null());
        if !run.is_null() {
            for line in 0..RUN {
                s.prefetch(run.wrapping_add(line * LINE));
            }
        }
    }
}
