//! The order in which the depth, strips and rows are gone through: weights are streamed once, activations stay in the
//! second-level cache.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

use simd::{Isa, Kernel, LANES, Simd};

use super::form::Form;
use super::spread::{Values, spread};
use super::tile::{Tile, multiply};
use crate::packed::{BLOCK, GROUP, View};
use crate::product::Output;

/// Where the values of strips come from.
pub trait Source: Copy {
    /// How they are held where [`Source::values`] says.
    type Form: Form;
    /// The longest stretch of the depth that [`Source::values`] may be asked for.
    const STRETCH: usize;

    /// The values of a strip over a stretch of the depth, in place or made in `panel`.
    ///
    /// # Safety
    /// There is such a strip. The stretch lies within its depth, is whole blocks and begins with a multiple of
    /// `STRETCH`.
    unsafe fn values<S: Simd>(self, s: S, strip: usize, depth: Range<usize>, panel: &mut Panel) -> *const u8;
}

/// Room for the values of a strip over [`GROUP`] of the depth, as [`super::form::F32`] holds them.
#[repr(C, align(64))]
pub struct Panel(MaybeUninit<[f32; GROUP * LANES]>);

impl Panel {
    /// The first value.
    pub fn start(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }
}

/// Strips that lie in memory as a form holds them.
#[derive(Clone, Copy)]
pub struct InPlace<F> {
    start: *const u8,
    strip_bytes: usize,
    form: PhantomData<F>,
}

impl<F: Form> InPlace<F> {
    /// The strips of a weight.
    pub fn of(weight: &View<'_>) -> InPlace<F> {
        let layout = weight.layout;
        let depth = layout.cols.next_multiple_of(BLOCK);
        assert_eq!(layout.strip_bytes(), depth / 2 * F::PAIR, "the form is that of the type");
        assert_eq!(weight.bytes.len(), layout.bytes(), "a weight has the bytes of its layout");
        InPlace { start: weight.bytes.as_ptr(), strip_bytes: layout.strip_bytes(), form: PhantomData }
    }
}

impl<F: Form> Source for InPlace<F> {
    type Form = F;
    const STRETCH: usize = usize::MAX;

    #[inline(always)]
    unsafe fn values<S: Simd>(self, _: S, strip: usize, depth: Range<usize>, _: &mut Panel) -> *const u8 {
        // SAFETY: within the strip, as the caller says.
        unsafe { self.start.add(strip * self.strip_bytes + depth.start / 2 * F::PAIR) }
    }
}

/// Rows from which on products take longer than weights take to arrive.
pub const BUSY: usize = 3;
/// Rows of a product made at a time.
pub const ROWS: usize = 512;
/// Values of activations that are gone through by all strips: half of a second-level cache.
const VALUES: usize = 256 << 10;

/// f32 of scratch that so many rows want, or fewer.
pub fn scratch(rows: usize, depth: usize) -> usize {
    VALUES.min(rows.min(ROWS) * depth)
}

/// How much of the depth is gone through at a time: for few rows all of it.
fn span(rows: usize, depth: usize) -> usize {
    const LEAST: usize = VALUES / ROWS;
    depth.min(VALUES / rows.max(1) / LEAST * LEAST)
}

/// A product of rows by strips.
pub struct Job<'a> {
    /// Output features: the last strip may have fewer than sixteen.
    pub features: usize,
    /// Input features, filled up to whole blocks.
    pub depth: usize,
    /// The activations.
    pub x: Values<'a>,
    /// Which strips.
    pub strips: Range<usize>,
    /// Where the sums go.
    pub out: Output,
    /// As [`scratch`] says.
    pub scratch: &'a mut [f32],
}

/// A job and its weights. The source has the job's strips over its depth, and their features may be read and written
/// in the job's rows of `out`: who makes a walk says so.
pub struct Walk<'a, W> {
    /// The job.
    pub job: Job<'a>,
    /// The weights.
    pub source: W,
}

impl<W: Source> Kernel for Walk<'_, W> {
    type Output = ();

    /// Many rows take two strips at a time, which share each value of a row. Few wait for memory, and read it from front
    /// to back, which the machine's prefetcher follows best.
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Walk { job, source } = self;
        let (start, end) = (job.strips.start, job.strips.end);
        let whole = if job.x.rows() < BUSY { start } else { start + job.strips.len() / 2 * 2 };
        let span = span(job.x.rows(), job.depth);
        for from in (0..job.depth).step_by(span) {
            let depth = from..job.depth.min(from + span);
            spread(s, job.x, depth.clone(), job.scratch);
            for low in (start..whole).step_by(2) {
                strips(s, source, &job, [low, low + 1], depth.clone());
            }
            for strip in whole..end {
                strips(s, source, &job, [strip], depth.clone());
            }
        }
    }
}

/// All rows by these strips over this span of the depth, as [`Walk`] says.
#[inline(always)]
fn strips<S: Simd, W: Source, const C: usize>(
    s: S,
    source: W,
    job: &Job<'_>,
    strips: [usize; C],
    span: Range<usize>,
) {
    let mut panels = [const { Panel(MaybeUninit::uninit()) }; C];
    let mut tile = Tile {
        weights: [std::ptr::null(); C],
        x: job.scratch.as_ptr(),
        x_stride: span.len(),
        blocks: 0,
        out: strips.map(|strip| job.out.start.wrapping_add(strip * LANES)),
        lanes: strips.map(|strip| LANES.min(job.features - strip * LANES)),
        out_stride: job.out.stride,
        first: span.start == 0,
    };
    for from in span.clone().step_by(W::STRETCH) {
        let depth = from..span.end.min(from.saturating_add(W::STRETCH));
        for c in 0..C {
            // SAFETY: the strip is the walk's, spans are whole stretches or the rest of the depth.
            tile.weights[c] = unsafe { source.values(s, strips[c], depth.clone(), &mut panels[c]) };
        }
        tile.blocks = depth.len() / BLOCK;
        // SAFETY: the values of the strips were just found, those of the rows are spread, and the walk's features of
        // its rows may be written.
        unsafe { rows::<S, W::Form, C>(s, tile, job.x.rows()) };
        tile.x = tile.x.wrapping_add(depth.len());
        tile.first = false;
    }
}

/// The rows in blocks of nearly one size, as many in a block as the level has registers for their sums.
///
/// # Safety
/// As for [`multiply`], for all rows.
#[inline(always)]
unsafe fn rows<S: Simd, F: Form, const C: usize>(s: S, tile: Tile<C>, rows: usize) {
    let wide = matches!(S::ISA, Isa::Avx512);
    let blocks = rows.div_ceil(if wide { 6 } else { 3 });
    let mut from = 0;
    for block in 1..=blocks {
        let to = rows * block / blocks;
        let tile = Tile {
            x: tile.x.wrapping_add(from * tile.x_stride),
            out: tile.out.map(|out| out.wrapping_add(from * tile.out_stride)),
            ..tile
        };
        // SAFETY: rows of the caller's.
        unsafe {
            match to - from {
                1 => multiply::<S, F, 1, C>(s, &tile),
                2 if wide => multiply::<S, F, 2, C>(s, &tile),
                3 if wide => multiply::<S, F, 3, C>(s, &tile),
                4 if wide => multiply::<S, F, 4, C>(s, &tile),
                5 if wide => multiply::<S, F, 5, C>(s, &tile),
                6 if wide => multiply::<S, F, 6, C>(s, &tile),
                2 => one_by_one::<S, F, 2, C>(s, &tile),
                _ => one_by_one::<S, F, 3, C>(s, &tile),
            }
        }
        from = to;
    }
}

/// The strips one after the other, which takes fewer registers.
///
/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn one_by_one<S: Simd, F: Form, const R: usize, const C: usize>(s: S, tile: &Tile<C>) {
    for c in 0..C {
        let one = Tile {
            weights: [tile.weights[c]],
            x: tile.x,
            x_stride: tile.x_stride,
            blocks: tile.blocks,
            out: [tile.out[c]],
            lanes: [tile.lanes[c]],
            out_stride: tile.out_stride,
            first: tile.first,
        };
        // SAFETY: as the caller says.
        unsafe { multiply::<S, F, R, 1>(s, &one) }
    }
}
