//! Scores and weighted sums on tiles of bf16: 32 rows by 32 positions, or by 32 elements, at a time.

use std::ops::Range;

use super::CHUNK;
use super::chunk::Blocks;
use super::softmax::STEP;

/// Bytes of a tile's row.
const ROW: usize = 64;
/// Rows of a tile.
const ROWS: usize = 16;
/// Bytes of a tile.
const TILE: usize = ROW * ROWS;

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
        let number = |pair: &[u8; 4]| [0, 2].map(|at| half::bf16::from_le_bytes([pair[at], pair[at + 1]]).to_f32());
        let pairs = |row: &[u8; ROW]| std::array::from_fn::<[f32; 2], 16, _>(|i| number(&row.as_chunks().0[i]));
        let a = self.0[A as usize].each_ref().map(pairs);
        let b = self.0[B as usize].each_ref().map(pairs);
        let float = |row: &[u8; ROW]| std::array::from_fn::<f32, 16, _>(|i| f32::from_le_bytes(row.as_chunks().0[i]));
        let mut c = self.0[C as usize].each_ref().map(float);
        simd::tiles::dot_bf16(&mut c, &a.each_ref().map(|row| &row[..]), &b);
        for (bytes, row) in self.0[C as usize].iter_mut().zip(&c) {
            for (bytes, x) in bytes.as_chunks_mut().0.iter_mut().zip(row) {
                *bytes = x.to_le_bytes();
            }
        }
    }
}

/// Scores of 32 rows (16 where not `BOTH`) at the positions of `steps`, into rows of a chunk.
///
/// # Safety
/// Queries are 32 rows of `depth` bf16, the blocks as gathered for tiles; 32 rows of a chunk may be written.
#[inline(always)]
pub unsafe fn scores<T: Tiles, const BOTH: bool>(
    tiles: &mut T,
    queries: *const u8,
    depth: usize,
    blocks: &Blocks,
    steps: Range<usize>,
    scores: *mut f32,
) {
    const OUT: usize = CHUNK * 4;
    let stride = 2 * depth;
    let below = ROWS * stride;
    // SAFETY: as the caller says.
    unsafe {
        for step in steps {
            tiles.zero::<0>();
            tiles.zero::<2>();
            if BOTH {
                tiles.zero::<1>();
                tiles.zero::<3>();
            }
            let [low, high] = [blocks.keys[2 * step], blocks.keys[2 * step + 1]];
            let mut at = 0;
            while at < stride {
                tiles.load::<4>(queries.add(at), stride);
                tiles.load::<6>(low.add(at * ROWS), ROW);
                tiles.load::<7>(high.add(at * ROWS), ROW);
                tiles.dot::<0, 4, 6>();
                tiles.dot::<2, 4, 7>();
                if BOTH {
                    tiles.load::<5>(queries.add(below + at), stride);
                    tiles.dot::<1, 5, 6>();
                    tiles.dot::<3, 5, 7>();
                }
                at += ROW;
            }
            let to = scores.add(step * STEP).cast::<u8>();
            tiles.store::<0>(to, OUT);
            tiles.store::<2>(to.add(ROW), OUT);
            if BOTH {
                tiles.store::<1>(to.add(ROWS * OUT), OUT);
                tiles.store::<3>(to.add(ROWS * OUT + ROW), OUT);
            }
        }
    }
}

/// Weighted sums of 32 rows (16 where not `BOTH`) over the positions of `steps`, into rows of `lanes`.
///
/// # Safety
/// Weights are 32 rows of a chunk of bf16, the blocks as gathered for tiles; 32 rows of sums may be written.
#[inline(always)]
pub unsafe fn sums<T: Tiles, const BOTH: bool>(
    tiles: &mut T,
    weights: *const u8,
    blocks: &Blocks,
    steps: Range<usize>,
    lanes: usize,
    sums: *mut f32,
) {
    const IN: usize = CHUNK * 2;
    let out = lanes * 4;
    let cells = lanes / ROWS;
    let mut cell = 0;
    // SAFETY: as the caller says.
    unsafe {
        while cell < cells {
            let two = cell + 1 < cells;
            tiles.zero::<0>();
            tiles.zero::<1>();
            tiles.zero::<2>();
            tiles.zero::<3>();
            for step in steps.clone() {
                let values = blocks.values[2 * step].add(cell * TILE);
                tiles.load::<4>(weights.add(step * ROW), IN);
                tiles.load::<6>(values, ROW);
                tiles.dot::<0, 4, 6>();
                if BOTH {
                    tiles.load::<5>(weights.add(ROWS * IN + step * ROW), IN);
                    tiles.dot::<1, 5, 6>();
                }
                if two {
                    tiles.load::<7>(values.add(TILE), ROW);
                    tiles.dot::<2, 4, 7>();
                    if BOTH {
                        tiles.dot::<3, 5, 7>();
                    }
                }
            }
            let to = sums.add(cell * ROWS).cast::<u8>();
            tiles.store::<0>(to, out);
            if BOTH {
                tiles.store::<1>(to.add(ROWS * out), out);
            }
            if two {
                tiles.store::<2>(to.add(ROW), out);
                if BOTH {
                    tiles.store::<3>(to.add(ROWS * out + ROW), out);
                }
            }
            cell += 2;
        }
    }
}
