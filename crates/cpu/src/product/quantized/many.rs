//! Many rows by tiles: weights are expanded to bytes once for all rows, a group of a few strips at a time.

use std::marker::PhantomData;

use simd::{Kernel, LANES, Simd};

use super::expand::{PLANE, expand};
use super::format::{BLOCKS, Format, Scales};
use super::task::Task;
use super::tiles::Tiles;
use crate::activation::Int8Group;
use crate::packed::{BLOCK, GROUP};

/// Strips whose planes lie in the first cache together, so that a row's activations are fetched once for all of them.
const STRIPS: usize = 2;

/// Rows of a tile.
const TILE: usize = 16;

/// Rows whose sums are kept at once.
const ROWS: usize = 1024;

/// Steps of 64 values in a group, and shares of the vectors' work between them.
const QUARTERS: usize = 4;

/// Bytes of a tile of sums.
const SUMS: usize = TILE * LANES * 4;

/// Bytes that [`Many`] needs for so many rows.
pub const fn scratch_bytes(rows: usize) -> usize {
    let rows = if rows < ROWS { rows } else { ROWS };
    STRIPS * 2 * PLANE + 2 * 4 * SUMS + STRIPS * rows * LANES * 4
}

/// Any number of rows.
pub struct Many<'a, F, T> {
    pub task: Task<'a>,
    pub tiles: T,
    pub scratch: &'a mut [u8],
    pub format: PhantomData<F>,
}

/// Sixteen rows by a strip: what two sums of a product of tiles are for.
#[derive(Clone, Copy)]
struct Part {
    /// The first row.
    row: usize,
    /// Rows at the front that another part has done already.
    skip: usize,
    /// The strip, of those at hand.
    strip: usize,
}

/// What is done at once: some strips by some rows, a group at a time.
struct Piece<'a, 's, S: Simd, F, T> {
    s: S,
    task: &'a Task<'a>,
    tiles: &'s mut T,
    planes: *mut u8,
    sums: *mut i32,
    acc: *mut f32,
    /// The first strip, and how many.
    first: usize,
    strips: usize,
    scales: [Scales<S>; STRIPS],
    /// The group, its activations of the first row, and its blocks.
    group: usize,
    x: *const Int8Group,
    blocks: usize,
    format: PhantomData<F>,
}

impl<F: Format, T: Tiles> Kernel for Many<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Many { task, mut tiles, scratch, .. } = self;
        assert!(scratch.len() >= scratch_bytes(task.x.rows), "a product has the scratch it asks for");
        assert!(scratch.as_ptr() as usize % 64 == 0, "scratch begins on a line");
        let planes = scratch.as_mut_ptr();
        let sums = planes.wrapping_add(STRIPS * 2 * PLANE);
        let acc = sums.wrapping_add(2 * 4 * SUMS);
        let mut row = 0;
        while row < task.x.rows {
            let task = task.rows(row..task.x.rows.min(row + ROWS));
            // SAFETY: who makes this kernel sees to it that the machine has such tiles.
            unsafe { tiles.begin(TILE.min(task.x.rows)) };
            let mut first = task.strips.start;
            while first < task.strips.end {
                let mut piece = Piece::<S, F, T> {
                    s,
                    task: &task,
                    tiles: &mut tiles,
                    planes,
                    sums: sums.cast(),
                    acc: acc.cast(),
                    first,
                    strips: STRIPS.min(task.strips.end - first),
                    scales: [Scales::zero(s); STRIPS],
                    group: 0,
                    x: task.x.groups.as_ptr().wrapping_add(task.x.first),
                    blocks: 0,
                    format: PhantomData,
                };
                // SAFETY: the task's checks, and the scratch's.
                unsafe { piece.run() }
                first += STRIPS;
            }
            // SAFETY: as above.
            unsafe { tiles.end() };
            row += task.x.rows;
        }
    }
}

impl<S: Simd, F: Format, T: Tiles> Piece<'_, '_, S, F, T> {
    /// # Safety
    /// The pointers and numbers are what [`Many`] made of a checked task.
    #[inline(always)]
    unsafe fn run(&mut self) {
        let layout = &self.task.weight.layout;
        while self.group < layout.groups() {
            self.blocks = (layout.cols - self.group * GROUP).min(GROUP) / BLOCK;
            // SAFETY: each group is as long as it says.
            unsafe {
                self.expand();
                self.multiply();
            }
            self.x = self.x.wrapping_add(self.task.x.stride);
            self.group += 1;
        }
    }

    /// Expands a group of each strip.
    ///
    /// # Safety
    /// As [`Piece::run`].
    #[inline(always)]
    unsafe fn expand(&mut self) {
        let layout = &self.task.weight.layout;
        let record_bytes = const { F::FIELDS.record_bytes(F::SOURCES, BLOCKS) };
        let mut strip = 0;
        while strip < self.strips {
            let start = self.task.weight.strip(self.first + strip).as_ptr();
            let record = start.wrapping_add(self.group * record_bytes);
            let next = if self.group + 1 < layout.groups() {
                record.wrapping_add(record_bytes)
            } else {
                start.wrapping_add(STRIPS * layout.strip_bytes())
            };
            // SAFETY: the fields lie behind the codes of so many blocks; each strip has planes of its own.
            unsafe {
                let behind = self.blocks * super::format::block_bytes::<F>();
                self.scales[strip] = F::scales(self.s, record.wrapping_add(behind), self.blocks);
                expand::<S, F>(self.s, record, self.blocks, &self.scales[strip], self.planes(strip), next);
            }
            strip += 1;
        }
    }

    fn planes(&self, strip: usize) -> [*mut u8; 2] {
        let high = self.planes.wrapping_add(strip * 2 * PLANE);
        [high, high.wrapping_add(PLANE)]
    }

    /// Adds the products of all rows by the group of each strip. While tiles work on one pair of parts, vectors settle
    /// the pair before it.
    ///
    /// # Safety
    /// As [`Piece::run`].
    #[inline(always)]
    unsafe fn multiply(&mut self) {
        let tiles = self.task.x.rows.div_ceil(TILE);
        let nothing = Part { row: 0, skip: TILE, strip: 0 };
        let mut last = [nothing; 2];
        let mut turn = 0;
        let mut tile = 0;
        while tile < tiles {
            let is_pair = tile + 1 < tiles;
            let mut strip = 0;
            while strip < self.strips {
                let parts = match (is_pair, strip + 1 < self.strips) {
                    (true, _) => [self.part(tile, strip), self.part(tile + 1, strip)],
                    (false, true) => [self.part(tile, strip), self.part(tile, strip + 1)],
                    (false, false) => [self.part(tile, strip), Part { strip, ..nothing }],
                };
                // SAFETY: rows and strips that there are; the sums have two turns.
                unsafe {
                    if is_pair { self.two_rows(parts, last, turn) } else { self.two_strips(parts, last, turn) }
                }
                last = parts;
                turn = 1 - turn;
                strip += if is_pair { 1 } else { 2 };
            }
            tile += 2;
        }
        let mut quarter = 0;
        while quarter < QUARTERS {
            // SAFETY: as above.
            unsafe { self.settle(last, 1 - turn, quarter) };
            quarter += 1;
        }
    }

    /// The last part reaches back over rows of the one before it.
    #[inline(always)]
    fn part(&self, tile: usize, strip: usize) -> Part {
        let rows = self.task.x.rows;
        let row = (tile * TILE).min(rows - TILE.min(rows));
        Part { row, skip: tile * TILE - row, strip }
    }

    /// Sums of two tiles of rows by one strip: high and low of the first, then of the second.
    ///
    /// # Safety
    /// As [`Piece::run`].
    #[inline(always)]
    unsafe fn two_rows(&mut self, parts: [Part; 2], last: [Part; 2], turn: usize) {
        let [first, second] = [self.x.wrapping_add(parts[0].row), self.x.wrapping_add(parts[1].row)];
        let [high, low] = self.planes(parts[0].strip);
        let steps = self.blocks.div_ceil(2);
        // SAFETY: each step is 64 codes of sixteen rows, and as many of the planes' words.
        unsafe {
            self.clear();
            let mut step = 0;
            while step < QUARTERS {
                if step < steps {
                    let tiles = &mut *self.tiles;
                    tiles.load::<4>(first.cast::<u8>().wrapping_add(64 * step), size_of::<Int8Group>());
                    tiles.load::<6>(high.wrapping_add(1024 * step), 64);
                    tiles.load::<7>(low.wrapping_add(1024 * step), 64);
                    tiles.load::<5>(second.cast::<u8>().wrapping_add(64 * step), size_of::<Int8Group>());
                    tiles.dot_signed::<0, 4, 6>();
                    tiles.dot_unsigned::<1, 4, 7>();
                    tiles.dot_signed::<2, 5, 6>();
                    tiles.dot_unsigned::<3, 5, 7>();
                }
                self.settle(last, 1 - turn, step);
                step += 1;
            }
            self.keep(turn);
        }
    }

    /// Sums of one tile of rows by two strips.
    ///
    /// # Safety
    /// As [`Piece::run`].
    #[inline(always)]
    unsafe fn two_strips(&mut self, parts: [Part; 2], last: [Part; 2], turn: usize) {
        let x = self.x.wrapping_add(parts[0].row);
        let [[high, low], [high2, low2]] = [self.planes(parts[0].strip), self.planes(parts[1].strip)];
        let steps = self.blocks.div_ceil(2);
        // SAFETY: as in `two_rows`.
        unsafe {
            self.clear();
            let mut step = 0;
            while step < QUARTERS {
                if step < steps {
                    let tiles = &mut *self.tiles;
                    tiles.load::<4>(x.cast::<u8>().wrapping_add(64 * step), size_of::<Int8Group>());
                    tiles.load::<6>(high.wrapping_add(1024 * step), 64);
                    tiles.load::<7>(low.wrapping_add(1024 * step), 64);
                    tiles.dot_signed::<0, 4, 6>();
                    tiles.dot_unsigned::<1, 4, 7>();
                    tiles.load::<6>(high2.wrapping_add(1024 * step), 64);
                    tiles.load::<7>(low2.wrapping_add(1024 * step), 64);
                    tiles.dot_signed::<2, 4, 6>();
                    tiles.dot_unsigned::<3, 4, 7>();
                }
                self.settle(last, 1 - turn, step);
                step += 1;
            }
            self.keep(turn);
        }
    }

    /// # Safety
    /// As [`Piece::run`].
    #[inline(always)]
    unsafe fn clear(&mut self) {
        // SAFETY: the tiles have begun.
        unsafe {
            self.tiles.zero::<0>();
            self.tiles.zero::<1>();
            self.tiles.zero::<2>();
            self.tiles.zero::<3>();
        }
    }

    /// # Safety
    /// As [`Piece::run`].
    #[inline(always)]
    unsafe fn keep(&mut self, turn: usize) {
        // SAFETY: the sums have room for four tiles at each turn.
        unsafe {
            self.tiles.store::<0>(self.sums(turn, 0));
            self.tiles.store::<1>(self.sums(turn, 1));
            self.tiles.store::<2>(self.sums(turn, 2));
            self.tiles.store::<3>(self.sums(turn, 3));
        }
    }

    fn sums(&self, turn: usize, tile: usize) -> *mut i32 {
        self.sums.wrapping_add((4 * turn + tile) * TILE * LANES)
    }

    /// Adds a quarter of the sums of two parts: eight rows of one of them.
    ///
    /// # Safety
    /// As [`Piece::run`].
    #[inline(always)]
    unsafe fn settle(&mut self, parts: [Part; 2], turn: usize, quarter: usize) {
        let s = self.s;
        let rows = self.task.x.rows;
        let Part { row, skip, strip } = parts[quarter / 2];
        let scales = &self.scales[strip];
        let (high, low) = (self.sums(turn, quarter / 2 * 2), self.sums(turn, quarter / 2 * 2 + 1));
        let first = quarter % 2 * (TILE / 2);
        // Sums begin at zero, and end as outputs.
        let kept = if self.group == 0 { 0 } else { LANES };
        let feature = (self.first + strip) * LANES;
        let layout = &self.task.weight.layout;
        let is_last = self.group + 1 == layout.groups();
        let lanes = if is_last { LANES.min(layout.rows - feature) } else { LANES };
        let acc = self.acc.wrapping_add((strip * rows + row) * LANES);
        let out = self.task.out.start.wrapping_add(row * self.task.out.stride + feature);
        let (to, stride) = if is_last { (out, self.task.out.stride) } else { (acc, LANES) };
        let mut i = skip.max(first);
        while i < rows.min(first + TILE / 2) {
            // SAFETY: a row of the tile, its activations and its sums; the outputs of this row are the caller's.
            unsafe {
                let high = s.load_i(high.wrapping_add(i * LANES).cast());
                let low = s.load_i(low.wrapping_add(i * LANES).cast());
                let sum = s.add_i(s.shl(high, 8), low);
                let before = s.load_first(acc.wrapping_add(i * LANES), kept);
                let x = self.x.wrapping_add(row + i);
                let after = scales.add::<F>(s, before, sum, x, self.blocks);
                s.store_first(to.wrapping_add(i * stride), after, lanes);
            }
            i += 1;
        }
    }
}
