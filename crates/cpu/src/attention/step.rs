//! A step divided into units of work.

use std::ops::Range;

use graph::Bucket;

use super::{CHUNK, FEW, ROWS, Shape};
use crate::part::Part;

/// How steps are divided; layers of equal surveys share the division.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Survey {
    shape: Shape,
    workers: usize,
}

/// A step as it was divided.
#[derive(Clone, Debug, Default)]
pub struct Step {
    tokens: usize,
    work: u64,
    units: Vec<Unit>,
    merging: Vec<Merging>,
}

/// A kv head, some tokens of one sequence, and the chunks that they see.
#[derive(Clone, Debug)]
pub struct Unit {
    pub head: usize,
    pub tokens: Range<usize>,
    pub chunks: Range<usize>,
    /// Where partial results go, by chunk and row; the unit sees all chunks where `None`.
    pub partial: Option<usize>,
    /// Twice the work before its middle: it belongs to the worker in whose share of the work that lies.
    middle: u64,
}

/// Partial results that belong together: by chunk and row.
#[derive(Clone, Debug)]
pub struct Merging {
    pub head: usize,
    pub tokens: Range<usize>,
    pub chunks: usize,
    pub partial: usize,
}

/// Tokens of one sequence that stand together.
struct Run {
    tokens: Range<usize>,
    chunks: Range<usize>,
}

impl Survey {
    /// How steps of a shape are divided among workers.
    pub fn new(shape: &Shape, workers: usize) -> Survey {
        Survey { shape: *shape, workers }
    }

    /// Bytes that partial results of a bucket's steps take at most.
    pub fn partial_bytes(&self, bucket: &Bucket) -> usize {
        if self.workers == 1 {
            return 0;
        }
        let divided = (self.target_units()).min(bucket.seqs as usize * self.shape.kv_heads);
        let rows = (bucket.tokens as usize).min(self.few()) * self.shape.group();
        let chunks = (bucket.pages as usize * self.shape.page_len).div_ceil(CHUNK) + 1;
        divided * rows * chunks * self.shape.partial_floats() * size_of::<f32>()
    }

    /// Makes room for the units of a bucket's steps, so that [`Survey::look`] allocates nothing.
    pub fn reserve(&self, bucket: &Bucket, step: &mut Step) {
        let Survey { shape, .. } = self;
        // Sequences are whole, or divided into as many units as all work is; prompts into some sixteen rows at least.
        let prompts = (bucket.tokens as usize * shape.group()).div_ceil(16);
        let sequences = bucket.seqs as usize;
        let units = shape.kv_heads * (2 * sequences + prompts) + self.target_units();
        step.units.reserve(units.saturating_sub(step.units.len()));
        step.merging.reserve((shape.kv_heads * sequences).saturating_sub(step.merging.len()));
    }

    /// Divides a step by what its tokens see. It allocates only until `step` has grown.
    ///
    /// # Panics
    /// Where a position is negative.
    pub fn look(&self, positions: &[i32], sequences: &[i32], step: &mut Step) {
        assert_eq!(positions.len(), sequences.len(), "each token has a position and a sequence");
        step.tokens = positions.len();
        step.work = 0;
        step.units.clear();
        step.merging.clear();
        let all = self.runs(positions, sequences).map(|run| self.work(&run) * self.shape.kv_heads as u64);
        let target = (all.sum::<u64>() / self.target_units() as u64).max(1);
        let mut partial = 0;
        for run in self.runs(positions, sequences) {
            if run.tokens.len() <= self.few() {
                self.few_tokens(run, target, &mut partial, step);
            } else {
                self.many_tokens(&run, target, positions, step);
            }
        }
    }

    /// One unit for each head, or several with some chunks each where one would keep a worker busy for too long.
    fn few_tokens(&self, run: Run, target: u64, partial: &mut usize, step: &mut Step) {
        let chunks = run.chunks.len();
        let wanted = if self.workers == 1 { 1 } else { self.work(&run).div_ceil(target) };
        let pieces = usize::try_from(wanted).unwrap_or(chunks).clamp(1, chunks.max(1));
        for head in 0..self.shape.kv_heads {
            if pieces == 1 {
                step.push(head, &run, run.chunks.clone(), None, self.work(&run));
                continue;
            }
            let rows = run.tokens.len() * self.shape.group();
            step.merging.push(Merging { head, tokens: run.tokens.clone(), chunks, partial: *partial });
            for index in 0..pieces {
                let share = Part { index, of: pieces }.share(chunks);
                let at = *partial + share.start * rows;
                let share = run.chunks.start + share.start..run.chunks.start + share.end;
                let work = self.work(&Run { tokens: run.tokens.clone(), chunks: share.clone() });
                step.push(head, &run, share, Some(at), work);
            }
            *partial += chunks * rows;
        }
    }

    /// For each head, units of as many tokens as have their rows together, fewer where there are many workers.
    fn many_tokens(&self, run: &Run, target: u64, positions: &[i32], step: &mut Step) {
        let mut block = (ROWS / self.shape.group()).max(1);
        while block * self.shape.group() > 32
            && block > 1
            && self.work(run) * block as u64 > target * run.tokens.len() as u64
        {
            block = block.div_ceil(2);
        }
        for head in 0..self.shape.kv_heads {
            for first in run.tokens.clone().step_by(block) {
                let tokens = first..(first + block).min(run.tokens.end);
                let chunks = self.seen(&positions[tokens.clone()]);
                let run = Run { tokens, chunks };
                step.push(head, &run, run.chunks.clone(), None, self.work(&run));
            }
        }
    }

    /// Units of equal work that keep all workers busy to the end.
    fn target_units(&self) -> usize {
        if self.workers == 1 { 1 } else { 4 * self.workers }
    }

    /// Tokens of a sequence up to which its chunks may be divided.
    fn few(&self) -> usize {
        FEW.min(ROWS / self.shape.group()).max(1)
    }

    /// Chunks to be read, and beside that a share for each row.
    fn work(&self, run: &Run) -> u64 {
        (run.chunks.len().max(1) * (run.tokens.len() * self.shape.group() + 8)) as u64
    }

    fn runs(&self, positions: &[i32], sequences: &[i32]) -> impl Iterator<Item = Run> {
        let mut first = 0;
        sequences.chunk_by(|a, b| a == b).map(move |same| {
            let tokens = first..first + same.len();
            first = tokens.end;
            let chunks = self.seen(&positions[tokens.clone()]);
            Run { tokens, chunks }
        })
    }

    /// The chunks in which tokens at these positions see something.
    fn seen(&self, positions: &[i32]) -> Range<usize> {
        let seen = positions.iter().map(|&position| self.shape.seen(position));
        let all = seen.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end)).unwrap_or(0..0);
        all.start / CHUNK..all.end.div_ceil(CHUNK)
    }
}

impl Shape {
    /// The positions that a token at this one sees.
    pub(super) fn seen(&self, position: i32) -> Range<usize> {
        let end = usize::try_from(position).expect("positions are counted from zero") + 1;
        self.window.map_or(0, |window| end.saturating_sub(window as usize))..end
    }
}

impl Step {
    /// Tokens of the step.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// All units, those of one sequence together.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// A worker's units: shares follow one another and take about as long.
    pub fn share(&self, part: Part) -> Range<usize> {
        let at = |index: usize| {
            let until = u128::from(2 * self.work) * index as u128 / part.of as u128;
            self.units.partition_point(|unit| u128::from(unit.middle) < until)
        };
        at(part.index)..at(part.index + 1)
    }

    /// Merges that follow once all units are done; none where no sequence's chunks were divided.
    pub fn merges(&self) -> usize {
        self.merging.len()
    }

    pub(super) fn merging(&self) -> &[Merging] {
        &self.merging
    }

    fn push(&mut self, head: usize, run: &Run, chunks: Range<usize>, partial: Option<usize>, work: u64) {
        let middle = 2 * self.work + work;
        self.work += work;
        self.units.push(Unit { head, tokens: run.tokens.clone(), chunks, partial, middle });
    }
}
