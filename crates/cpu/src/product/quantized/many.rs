//! Many rows by tiles. A turn is a group of a strip: its weights are expanded to bytes, in two planes, and multiplied
//! by all rows, two tiles of sixteen at a time. While tiles work on one such pair, vectors turn the sums of the pair
//! before it into floats, and expand some of the next turn.

use std::marker::PhantomData;

use simd::{Kernel, LANES, Simd};

use super::expand::{PLANE, double, expand};
use super::format::{Format, Scales, field_bytes, record_bytes};
use super::task::Task;
use super::tiles::Tiles;
use crate::activation::Int8Group;
use crate::packed::{BLOCK, GROUP};

/// Rows of a tile.
const TILE: usize = 16;

/// Words of a tile of sums.
const SUMS: usize = TILE * LANES;

/// Steps of 64 values in a group, and shares of the vectors' work between them.
const STEPS: usize = 4;

/// Rows whose sums are kept at once.
const ROWS: usize = 1024;

/// Bytes of sums kept at once, a part of the second cache.
const KEPT: usize = 256 << 10;

/// Strips that go through a group together, so that its activations stay near: as many as sums can be kept of.
fn strips_at_once(rows: usize) -> usize {
    (KEPT / (4 * LANES * rows)).clamp(1, 16)
}

/// Bytes that [`Many`] needs for so many rows.
pub fn scratch_bytes(rows: usize) -> usize {
    let rows = rows.clamp(1, ROWS);
    2 * 2 * PLANE + 2 * 4 * SUMS * 4 + strips_at_once(rows) * rows * LANES * 4
}

/// Any number of rows.
pub struct Many<'a, F, T> {
    pub task: Task<'a>,
    pub tiles: T,
    pub scratch: &'a mut [u8],
    pub format: PhantomData<F>,
}

/// A group of a strip, and how many turns came before it. Strips take turns from `first` on.
#[derive(Clone, Copy)]
struct Turn {
    first: usize,
    strip: usize,
    group: usize,
    index: usize,
}

/// Two tiles of rows by a turn.
#[derive(Clone, Copy)]
struct Pair {
    tiles: [Tile; 2],
    planes: [*mut u8; 2],
    /// Steps of 64 values that there are.
    steps: usize,
    /// Where the sums go: high and low of the first tile, then of the second.
    sums: *mut i32,
    scales: usize,
    blocks: usize,
    /// Lanes of sums that there are before this turn: none or all.
    begun: usize,
    /// Groups after this one.
    left: usize,
    /// Features of the strip.
    lanes: usize,
}

/// Up to sixteen rows by a turn.
#[derive(Clone, Copy)]
struct Tile {
    /// The rows that are its own, of sixteen: others at its front are another tile's, too.
    rows: [usize; 2],
    /// The activations of all sixteen.
    x: *const Int8Group,
    /// The first row's sums, while there are groups to come, and its outputs.
    kept: *mut f32,
    out: *mut f32,
}

/// A row of a tile, and how many are left with it.
struct Row {
    sums: *const i32,
    x: *const Int8Group,
    kept: *mut f32,
    left: usize,
}

/// A turn that is being expanded.
#[derive(Clone, Copy)]
struct Next {
    codes: *const u8,
    planes: [*mut u8; 2],
    scales: usize,
    /// The block to expand, of so many.
    block: usize,
    blocks: usize,
    /// At every one of `steps` steps, `pace` falls due; a block is worth `steps`.
    pace: usize,
    due: usize,
    steps: usize,
}

/// What all of a product shares.
struct Work<'a, S: Simd, F, T> {
    s: S,
    task: Task<'a>,
    tiles: T,
    planes: *mut u8,
    sums: *mut i32,
    kept: *mut f32,
    strips_at_once: usize,
    /// Of the last turns.
    scales: [Scales<S>; 4],
    format: PhantomData<F>,
}

impl<F: Format, T: Tiles> Kernel for Many<'_, F, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Many { task, tiles, scratch, .. } = self;
        assert!(scratch.len() >= scratch_bytes(task.x.rows), "a product has the scratch it asks for");
        assert!((scratch.as_ptr() as usize).is_multiple_of(64), "scratch begins on a line");
        let planes = scratch.as_mut_ptr();
        let sums = planes.wrapping_add(2 * 2 * PLANE);
        let kept = sums.wrapping_add(2 * 4 * SUMS * 4);
        let mut work = Work::<S, F, T> {
            s,
            task: task.clone(),
            tiles,
            planes,
            sums: sums.cast(),
            kept: kept.cast(),
            strips_at_once: 1,
            scales: [Scales::zero(s); 4],
            format: PhantomData,
        };
        let mut row = 0;
        while row < task.x.rows {
            work.task = task.rows(row..task.x.rows.min(row + ROWS));
            work.strips_at_once = strips_at_once(work.task.x.rows);
            // SAFETY: who makes this kernel sees to it that the machine has such tiles; the task and the scratch were
            // checked.
            unsafe {
                work.tiles.begin(TILE.min(work.task.x.rows));
                work.run();
                work.tiles.end();
            }
            row += ROWS;
        }
    }
}

impl<S: Simd, F: Format, T: Tiles> Work<'_, S, F, T> {
    /// All turns.
    ///
    /// # Safety
    /// The task is checked, the pointers are to scratch of [`scratch_bytes`], and the tiles have begun.
    #[inline(always)]
    unsafe fn run(&mut self) {
        let (first, end) = (self.task.strips.start, self.task.strips.end);
        let tiles = self.task.x.rows.div_ceil(TILE);
        let steps = tiles.div_ceil(2) * STEPS;
        let mut turn = Turn { first, strip: first, group: 0, index: 0 };
        // SAFETY: turns that there are.
        unsafe {
            let mut next = self.begin(turn);
            while next.block < next.blocks {
                self.expand(&mut next);
            }
            let mut last = self.pair(turn, tiles, 1);
            let mut side = 0;
            while turn.strip < end {
                let after = self.after(turn);
                next = if after.strip < end { self.begin(after) } else { Next { blocks: 0, ..next } };
                (next.pace, next.steps) = (next.blocks, steps);
                let mut tile = 0;
                while tile < tiles {
                    let now = self.pair(turn, tile, side);
                    self.tiles.zero::<0>();
                    self.tiles.zero::<1>();
                    self.tiles.zero::<2>();
                    self.tiles.zero::<3>();
                    self.step(&now, &last, &mut next, 0);
                    self.step(&now, &last, &mut next, 1);
                    self.step(&now, &last, &mut next, 2);
                    self.step(&now, &last, &mut next, 3);
                    self.keep(&now);
                    (last, side, tile) = (now, 1 - side, tile + 2);
                }
                turn = after;
            }
            let mut step = 0;
            while step < STEPS {
                self.settle(&last, step);
                step += 1;
            }
        }
    }

    /// A step of a pair's products, and behind it a share of what else there is to do: tiles work on while vectors do,
    /// but only so far as both are in sight of the processor.
    ///
    /// # Safety
    /// The pairs are of rows that there are, `now` by a turn that is expanded and `last` with its sums stored.
    #[inline(always)]
    unsafe fn step(&mut self, now: &Pair, last: &Pair, next: &mut Next, step: usize) {
        let [x, word] = [step.wrapping_mul(64), step.wrapping_mul(1024)];
        // SAFETY: each step is 64 codes of sixteen rows, and as many of the planes' words.
        unsafe {
            if step < now.steps {
                self.tiles.load::<4>(now.tiles[0].x.cast::<u8>().wrapping_add(x), size_of::<Int8Group>());
                self.tiles.load::<6>(now.planes[0].wrapping_add(word), 64);
                self.tiles.load::<7>(now.planes[1].wrapping_add(word), 64);
                self.tiles.dot_signed::<0, 4, 6>();
                self.tiles.dot_unsigned::<1, 4, 7>();
                if now.tiles[1].rows[0] < TILE {
                    self.tiles.load::<5>(now.tiles[1].x.cast::<u8>().wrapping_add(x), size_of::<Int8Group>());
                    self.tiles.dot_signed::<2, 5, 6>();
                    self.tiles.dot_unsigned::<3, 5, 7>();
                }
            }
            self.settle(last, step);
            // Blocks of the next turn keep pace with the steps of this one.
            next.due = next.due.wrapping_add(next.pace);
            while next.due >= next.steps {
                self.expand(next);
                next.due = next.due.wrapping_sub(next.steps);
            }
        }
    }

    /// The turn after this one; one of no strip after the last.
    #[inline(always)]
    fn after(&self, turn: Turn) -> Turn {
        let index = turn.index + 1;
        let end = self.task.strips.end.min(turn.first + self.strips_at_once);
        if turn.strip + 1 < end {
            Turn { strip: turn.strip + 1, index, ..turn }
        } else if turn.group + 1 < self.task.weight.layout.groups() {
            Turn { strip: turn.first, group: turn.group + 1, index, ..turn }
        } else {
            Turn { first: end, strip: end, group: 0, index }
        }
    }

    #[inline(always)]
    fn blocks(&self, turn: Turn) -> usize {
        GROUP.min(self.task.weight.layout.cols - turn.group * GROUP) / BLOCK
    }

    /// Where a turn's record is, or would be.
    #[inline(always)]
    fn record(&self, turn: Turn) -> *const u8 {
        let weight = &self.task.weight;
        let record_bytes = const { record_bytes::<F>() };
        weight
            .bytes
            .as_ptr()
            .wrapping_add(turn.strip * weight.layout.strip_bytes() + turn.group * record_bytes)
    }

    /// The activations of a turn's group.
    #[inline(always)]
    fn activations(&self, turn: Turn) -> *const Int8Group {
        let x = &self.task.x;
        x.groups.as_ptr().wrapping_add(turn.group * x.stride + x.first)
    }

    fn planes(&self, turn: Turn) -> [*mut u8; 2] {
        let high = self.planes.wrapping_add(turn.index % 2 * 2 * PLANE);
        [high, high.wrapping_add(PLANE)]
    }

    /// Two tiles, the second maybe of no rows; the last of all reaches back over rows of the one before it.
    #[inline(always)]
    fn pair(&self, turn: Turn, tile: usize, side: usize) -> Pair {
        let layout = &self.task.weight.layout;
        let blocks = self.blocks(turn);
        Pair {
            tiles: [self.tile(turn, tile), self.tile(turn, tile + 1)],
            planes: self.planes(turn),
            steps: blocks.div_ceil(2),
            sums: self.sums.wrapping_add(4 * side * SUMS),
            scales: turn.index % 4,
            blocks,
            begun: if turn.group == 0 { 0 } else { LANES },
            left: layout.groups() - 1 - turn.group,
            lanes: LANES.min(layout.rows.wrapping_sub(turn.strip * LANES)),
        }
    }

    #[inline(always)]
    fn tile(&self, turn: Turn, tile: usize) -> Tile {
        let (rows, out) = (self.task.x.rows, &self.task.out);
        let row = (tile * TILE).min(rows - TILE.min(rows));
        Tile {
            rows: [(tile * TILE - row).min(TILE), TILE.min(rows)],
            x: self.activations(turn).wrapping_add(row),
            kept: self.kept.wrapping_add(((turn.strip - turn.first) * rows + row) * LANES),
            out: out.start.wrapping_add(row * out.stride + turn.strip * LANES),
        }
    }

    /// Begins to expand a turn: takes its scales, and asks for weights two turns ahead.
    ///
    /// # Safety
    /// The turn is one of the task's.
    #[inline(always)]
    unsafe fn begin(&mut self, turn: Turn) -> Next {
        let ahead = self.record(self.after(self.after(turn)));
        let mut line = 0;
        while line < const { record_bytes::<F>() } {
            self.s.prefetch(ahead.wrapping_add(line));
            line += 64;
        }
        let blocks = self.blocks(turn);
        let record = self.record(turn);
        // SAFETY: a record begins with the fields of so many blocks.
        let mut scales = unsafe { F::scales(self.s, record, blocks) };
        double::<S, F>(self.s, &mut scales, blocks);
        self.scales[turn.index % 4] = scales;
        let (planes, scales) = (self.planes(turn), turn.index % 4);
        Next {
            codes: record.wrapping_add(field_bytes::<F>(blocks)),
            planes,
            scales,
            block: 0,
            blocks,
            pace: 0,
            due: 0,
            steps: 1,
        }
    }

    /// Expands a block.
    ///
    /// # Safety
    /// There is one left.
    #[inline(always)]
    unsafe fn expand(&mut self, next: &mut Next) {
        // SAFETY: as the caller says; the planes are the turn's.
        unsafe { expand::<S, F>(self.s, next.codes, next.block, &self.scales[next.scales], next.planes) };
        next.block = next.block.wrapping_add(1);
    }

    /// Stores the sums of a pair.
    ///
    /// # Safety
    /// After all steps of it.
    #[inline(always)]
    unsafe fn keep(&mut self, pair: &Pair) {
        // SAFETY: each side has room for four tiles.
        unsafe {
            self.tiles.store::<0>(pair.sums);
            self.tiles.store::<1>(pair.sums.wrapping_add(SUMS));
            if pair.tiles[1].rows[0] < TILE {
                self.tiles.store::<2>(pair.sums.wrapping_add(2 * SUMS));
                self.tiles.store::<3>(pair.sums.wrapping_add(3 * SUMS));
            }
        }
    }

    /// Turns a quarter of a pair's sums into floats: eight rows of one of its tiles.
    ///
    /// # Safety
    /// The pair's sums are stored, and the scales of its turn are still there.
    #[inline(always)]
    unsafe fn settle(&mut self, pair: &Pair, step: usize) {
        let tile = &pair.tiles[step / 2];
        let half = step % 2 * (TILE / 2);
        let (row, end) = (tile.rows[0].max(half), tile.rows[1].min(half + TILE / 2));
        let mut row = Row {
            sums: pair.sums.wrapping_add(step / 2 * 2 * SUMS + row * LANES),
            x: tile.x.wrapping_add(row),
            kept: tile.kept.wrapping_add(row * LANES),
            left: end.saturating_sub(row),
        };
        let stride = self.task.out.stride;
        let mut out = tile.out.wrapping_add((tile.rows[0].max(half)).wrapping_mul(stride));
        // SAFETY: rows of the tile, their activations and sums; their outputs are the caller's.
        unsafe {
            if pair.left == 0 {
                while row.left > 0 {
                    let acc = self.settle_row(pair, &mut row);
                    self.s.store_first(out, acc, pair.lanes);
                    out = out.wrapping_add(stride);
                }
                return;
            }
            if pair.left == 1 {
                // Outputs are far away, and no store waits for them if they are asked for in time.
                let mut i = 0;
                while i < row.left {
                    self.s.prefetch(out.cast());
                    out = out.wrapping_add(stride);
                    i += 1;
                }
            }
            while row.left > 0 {
                let kept = row.kept;
                let acc = self.settle_row(pair, &mut row);
                self.s.store(kept, acc);
            }
        }
    }

    /// A row's sums in floats; goes to the next row.
    ///
    /// # Safety
    /// As [`Work::settle`].
    #[inline(always)]
    unsafe fn settle_row(&self, pair: &Pair, row: &mut Row) -> S::F {
        let s = self.s;
        // SAFETY: as the caller says.
        let acc = unsafe {
            let high = s.load_i(row.sums.cast());
            let low = s.load_i(row.sums.wrapping_add(SUMS).cast());
            let sum = s.add_i(s.shl(high, 8), low);
            self.scales[pair.scales].add::<F>(s, s.load_first(row.kept, pair.begun), sum, row.x, pair.blocks)
        };
        row.sums = row.sums.wrapping_add(LANES);
        row.x = row.x.wrapping_add(1);
        row.kept = row.kept.wrapping_add(LANES);
        row.left = row.left.wrapping_sub(1);
        acc
    }
}
