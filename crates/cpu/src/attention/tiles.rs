//! Scores and weighted sums on tiles of bf16: 32 rows by sixteen positions, or by sixteen elements, at a time. Scores
//! use other registers than sums, so that both may be under way at once.

use std::ops::Range;

use super::CHUNK;
use super::chunk::BLOCKS;

/// Bytes of a tile's row.
const ROW: usize = 64;
/// Rows of a tile.
const ROWS: usize = 16;

/// Eight registers of sixteen rows of 64 bytes: the machine's, or their model.
///
/// # Safety
/// What the methods read and write is 16 rows of 64 bytes, `stride` bytes apart; the caller says that it may be.
#[allow(clippy::missing_safety_doc, reason = "the trait says it for all")]
pub trait Tiles {
    /// Registers for this thread, until they are dropped.
    unsafe fn open() -> Self;
    /// Sets a register to zero.
    unsafe fn zero<const T: u8>(&mut self);
    /// Loads a register.
    unsafe fn load<const T: u8>(&mut self, from: *const u8, stride: usize);
    /// Stores a register.
    unsafe fn store<const T: u8>(&mut self, to: *mut u8, stride: usize);
    /// `C += A B`, pairs of bf16 into f32.
    unsafe fn dot<const C: u8, const A: u8, const B: u8>(&mut self);
}

/// The machine's registers.
#[cfg(target_arch = "x86_64")]
pub struct Hardware(());

#[cfg(target_arch = "x86_64")]
impl Tiles for Hardware {
    #[inline(always)]
    unsafe fn open() -> Hardware {
        static WHOLE: simd::amx::Config = simd::amx::Config::new([(ROWS as u8, ROW as u16); 8]);
        // SAFETY: the caller says that there are tiles; they are released when this is dropped.
        unsafe { simd::amx::configure(&WHOLE) };
        Hardware(())
    }
    #[inline(always)]
    unsafe fn zero<const T: u8>(&mut self) {
        // SAFETY: configured in `open`.
        unsafe { simd::amx::zero::<T>() }
    }
    #[inline(always)]
    unsafe fn load<const T: u8>(&mut self, from: *const u8, stride: usize) {
        // SAFETY: as above, and as the caller says.
        unsafe { simd::amx::load::<T>(from, stride) }
    }
    #[inline(always)]
    unsafe fn store<const T: u8>(&mut self, to: *mut u8, stride: usize) {
        // SAFETY: as above, and as the caller says.
        unsafe { simd::amx::store::<T>(to, stride) }
    }
    #[inline(always)]
    unsafe fn dot<const C: u8, const A: u8, const B: u8>(&mut self) {
        // SAFETY: configured in `open`.
        unsafe { simd::amx::dot_bf16::<C, A, B>() }
    }
}

#[cfg(target_arch = "x86_64")]
impl Drop for Hardware {
    #[inline(always)]
    fn drop(&mut self) {
        // SAFETY: configured in `open`.
        unsafe { simd::amx::release() }
    }
}

/// What the registers mean, in plain loops: what the kernel is held to on machines without them.
#[cfg(test)]
pub struct Model([[[u8; ROW]; ROWS]; 8]);

#[cfg(test)]
impl Tiles for Model {
    unsafe fn open() -> Model {
        Model([[[0; ROW]; ROWS]; 8])
    }
    unsafe fn zero<const T: u8>(&mut self) {
        self.0[T as usize] = [[0; ROW]; ROWS];
    }
    unsafe fn load<const T: u8>(&mut self, from: *const u8, stride: usize) {
        for (i, row) in self.0[T as usize].iter_mut().enumerate() {
            // SAFETY: as the caller says.
            *row = unsafe { from.add(i * stride).cast::<[u8; ROW]>().read() };
        }
    }
    unsafe fn store<const T: u8>(&mut self, to: *mut u8, stride: usize) {
        for (i, row) in self.0[T as usize].iter().enumerate() {
            // SAFETY: as the caller says.
            unsafe { to.add(i * stride).cast::<[u8; ROW]>().write(*row) }
        }
    }
    unsafe fn dot<const C: u8, const A: u8, const B: u8>(&mut self) {
        let number =
            |pair: &[u8; 4]| [0, 2].map(|at| half::bf16::from_le_bytes([pair[at], pair[at + 1]]).to_f32());
        let pairs =
            |row: &[u8; ROW]| std::array::from_fn::<[f32; 2], 16, _>(|i| number(&row.as_chunks().0[i]));
        let a = self.0[A as usize].each_ref().map(pairs);
        let b = self.0[B as usize].each_ref().map(pairs);
        let float =
            |row: &[u8; ROW]| std::array::from_fn::<f32, 16, _>(|i| f32::from_le_bytes(row.as_chunks().0[i]));
        let mut c = self.0[C as usize].each_ref().map(float);
        simd::tiles::dot_bf16(&mut c, &a.each_ref().map(|row| &row[..]), &b);
        for (bytes, row) in self.0[C as usize].iter_mut().zip(&c) {
            for (bytes, x) in bytes.as_chunks_mut().0.iter_mut().zip(row) {
                *bytes = x.to_le_bytes();
            }
        }
    }
}

/// Scores of up to 32 rows at some blocks of positions, block by block.
pub struct Scores {
    /// 32 rows of `depth` bf16.
    pub queries: *const u8,
    /// Elements of a row of queries, filled up to whole steps.
    pub depth: usize,
    /// Of the chunk, as gathered for tiles.
    pub keys: [*const u8; BLOCKS],
    /// The blocks left to do.
    pub blocks: Range<usize>,
    /// 32 rows of a chunk, written.
    pub scores: *mut u8,
    /// Whether there are more than 16 rows.
    pub both: bool,
}

impl Scores {
    /// Does the next block.
    ///
    /// # Safety
    /// The pointers are to what they are said to be.
    #[inline(always)]
    pub unsafe fn next<T: Tiles>(&mut self, tiles: &mut T) {
        const OUT: usize = CHUNK * 4;
        let stride = 2 * self.depth;
        let Some(block) = self.blocks.next() else { return };
        // SAFETY: as the caller says. Below the first 16 rows lie 16 more.
        unsafe {
            tiles.zero::<2>();
            tiles.zero::<3>();
            let mut at = 0;
            while at < stride {
                tiles.load::<7>(self.keys[block].add(at * ROWS), ROW);
                tiles.load::<4>(self.queries.add(at), stride);
                tiles.dot::<2, 4, 7>();
                if self.both {
                    tiles.load::<5>(self.queries.add(ROWS * stride + at), stride);
                    tiles.dot::<3, 5, 7>();
                }
                at += ROW;
            }
            let to = self.scores.add(block * ROW);
            tiles.store::<2>(to, OUT);
            if self.both {
                tiles.store::<3>(to.add(ROWS * OUT), OUT);
            }
        }
    }
}

/// Weighted sums of up to 32 rows over some steps of positions: sixteen elements of all steps, then the next sixteen.
pub struct Sums {
    /// 32 rows of bf16, in place of the scores of a chunk.
    pub weights: *const u8,
    /// Of the chunk, as gathered for tiles.
    pub values: [*const u8; BLOCKS],
    /// All steps.
    pub steps: Range<usize>,
    /// Sixteen elements at a time: the next.
    pub cell: usize,
    /// The next step of that.
    pub step: usize,
    /// Elements of a row of sums.
    pub lanes: usize,
    /// 32 rows of `lanes`, written.
    pub sums: *mut u8,
    /// Whether there are more than 16 rows.
    pub both: bool,
}

impl Sums {
    /// Products left to do.
    pub fn left(&self) -> usize {
        let cells = self.lanes / ROWS;
        if self.cell == cells {
            0
        } else {
            (cells - self.cell) * self.steps.len() - (self.step - self.steps.start)
        }
    }

    /// Does the next product, if there is one.
    ///
    /// # Safety
    /// The pointers are to what they are said to be.
    #[inline(always)]
    pub unsafe fn next<T: Tiles>(&mut self, tiles: &mut T) {
        const IN: usize = CHUNK * 4;
        if self.cell * ROWS == self.lanes {
            return;
        }
        // SAFETY: as the caller says. Below the first 16 rows lie 16 more.
        unsafe {
            if self.step == self.steps.start {
                tiles.zero::<0>();
                tiles.zero::<1>();
            }
            tiles.load::<6>(self.values[2 * self.step].add(self.cell * ROW), self.lanes / ROWS * ROW);
            let weights = self.weights.add(self.step * ROW);
            tiles.load::<4>(weights, IN);
            tiles.dot::<0, 4, 6>();
            if self.both {
                tiles.load::<5>(weights.add(ROWS * IN), IN);
                tiles.dot::<1, 5, 6>();
            }
            self.step += 1;
            if self.step < self.steps.end {
                return;
            }
            let (to, out) = (self.sums.add(self.cell * ROW), self.lanes * 4);
            tiles.store::<0>(to, out);
            if self.both {
                tiles.store::<1>(to.add(ROWS * out), out);
            }
            (self.cell, self.step) = (self.cell + 1, self.steps.start);
        }
    }
}
