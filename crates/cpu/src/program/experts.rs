//! A mixture of experts within a step: tokens grouped by expert, so that each expert that was chosen is streamed once
//! and no other is touched.
//!
//! A pair is a token and one of its choices. Pairs stand in the order of their experts; each expert's stretch is a
//! product of its own. What a token's experts gave is summed in the order in which it chose them, so that its result
//! does not depend on other tokens.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use graph::Act;
use simd::{Kernel, LANES, Simd};

use super::memory::Memory;
use super::products::{Finish, Gated, finished, prepared};
use super::{Program, Slot};
use crate::product::{Output, Rounding};
use crate::team::Worker;

/// Strips that a worker takes at once: some experts have many tokens and most have few, so shares are not dealt out
/// beforehand. Few bites are long stretches of memory, and many end at the same time on all workers.
fn bite(touched: usize, strips: usize, workers: usize) -> usize {
    (touched * strips / (BITES * workers)).clamp(BITE_MIN, BITE_MAX)
}

/// Bites of each worker, about.
const BITES: usize = 8;
/// The least that is worth taking, and the most, whose results stay in the cache.
const BITE_MIN: usize = 4;
const BITE_MAX: usize = 64;

/// A mixture with the places of its values. Bytes are from the start of the region that nodes share.
pub struct Experts {
    pub x: Slot,
    pub weights: Slot,
    pub chosen: Slot,
    /// Gate, up and down.
    pub matrices: [usize; 3],
    pub biases: Option<[Slot; 3]>,
    pub act: Act,
    pub out: Slot,
    pub rounding: [Rounding; 2],
    pub places: Places,
    /// Where it notes how many experts were chosen, which outlasts the step: apart from the places, which others use too.
    pub touched: usize,
}

/// Where the parts of a mixture's work lie in the shared region.
#[derive(Clone, Copy, Default)]
pub struct Places {
    /// Two counters of bites taken.
    pub taken: usize,
    /// `[X + 1]` where each expert's pairs begin.
    pub starts: usize,
    /// `[P]` the pairs in the order of their experts.
    pub order: usize,
    /// `[P]` where each pair stands in that order.
    pub ranks: usize,
    /// `[P]` rows of tokens, prepared.
    pub x: usize,
    /// `[P, F]` what gate and up gave.
    pub h: usize,
    /// The same, prepared.
    pub h_prepared: usize,
    /// `[P, E]` what the experts gave.
    pub y: usize,
    /// Where the next region would begin.
    pub end: usize,
}

impl Experts {
    fn chosen_per_token(&self) -> usize {
        self.chosen.width()
    }

    fn pairs(&self) -> usize {
        self.chosen.len()
    }
}

impl Program {
    /// What a worker does for a mixture.
    ///
    /// # Safety
    /// The workers have met since its arguments were written, all of them run it, and nobody else touches its results.
    pub(super) unsafe fn experts(&self, memory: &Memory<'_>, worker: Worker<'_>, node: &Experts) {
        // SAFETY: between two meetings each phase writes what no other worker touches: one worker sorts, rows and
        // tokens are shared out, bites are taken by one worker each.
        unsafe {
            let experts = memory.weight(node.matrices[0]).packed.len();
            let [up_rows, down_rows] =
                [0, 2].map(|at| memory.weight(node.matrices[at]).matrix().view().layout.rows);
            let (pairs, k) = (node.pairs(), node.chosen_per_token());
            let at = |place: usize| self.shared_at + place;
            if worker.part.index == 0 {
                self.sort(memory, node, experts);
            }
            worker.meet();
            let starts = memory.part::<u32>(at(node.places.starts), experts + 1);
            let order = memory.part::<u32>(at(node.places.order), pairs);
            let x = memory.elements::<f32>(&node.x);
            let width = node.x.width();
            for rank in worker.part.share(pairs) {
                let token = order[rank] as usize / k;
                let row = &x[token * width..][..width];
                self.prepare_row(memory, row, node.rounding[0], at(node.places.x), rank, pairs);
            }
            worker.meet();
            let all = prepared(memory, node.rounding[0], at(node.places.x), pairs, width);
            let h = memory.work(at(node.places.h), pairs * up_rows * 4).cast::<f32>();
            self.bites(
                memory,
                node,
                0,
                starts,
                up_rows,
                |expert, rows, strips, scratch| {
                    let [gate, up] =
                        [0, 1].map(|place| memory.weight(node.matrices[place]).packed[expert].view());
                    let bias = |place: usize, rows: usize| {
                        node.biases
                            .as_ref()
                            .map(|all| &memory.elements::<f32>(&all[place])[expert * rows..][..rows])
                    };
                    let x = all.rows_in(rows.clone());
                    let biases = bias(0, up_rows).zip(bias(1, up_rows)).map(|(gate, up)| [gate, up]);
                    let gated = Gated { gate, up, x: [x, x], biases, act: node.act };
                    let out = Output { start: h.add(rows.start * up_rows), stride: up_rows };
                    gated.run(self.ways.isa, strips, out, scratch);
                },
                worker,
            );
            worker.meet();
            for rank in worker.part.share(pairs) {
                let row = std::slice::from_raw_parts(h.add(rank * up_rows), up_rows);
                self.prepare_row(memory, row, node.rounding[1], at(node.places.h_prepared), rank, pairs);
            }
            worker.meet();
            let place =
                if node.rounding[1] == Rounding::None { node.places.h } else { node.places.h_prepared };
            let all = prepared(memory, node.rounding[1], at(place), pairs, up_rows);
            let y = memory.work(at(node.places.y), pairs * down_rows * 4).cast::<f32>();
            self.bites(
                memory,
                node,
                1,
                starts,
                down_rows,
                |expert, rows, strips, scratch| {
                    let down = memory.weight(node.matrices[2]).packed[expert].view();
                    let bias = node.biases.as_ref();
                    let bias =
                        bias.map(|all| &memory.elements::<f32>(&all[2])[expert * down_rows..][..down_rows]);
                    let out = Output { start: y.add(rows.start * down_rows), stride: down_rows };
                    let finish = Finish { bias, add: None };
                    finished(self.ways.isa, &down, &all.rows_in(rows), strips, out, &finish, scratch);
                },
                worker,
            );
            worker.meet();
            let ranks = memory.part::<u32>(at(node.places.ranks), pairs);
            let weights = memory.elements::<f32>(&node.weights);
            let tokens = worker.part.share(node.x.rows());
            let out = memory.rows_mut(&node.out, tokens.clone());
            for (token, out) in tokens.zip(out.chunks_exact_mut(down_rows)) {
                let pairs = token * k..(token + 1) * k;
                self.ways.isa.run(Sum {
                    y,
                    width: down_rows,
                    ranks: &ranks[pairs.clone()],
                    weights: &weights[pairs],
                    out,
                });
            }
        }
    }

    /// Experts that were chosen in a step, of all mixtures together; `None` where there are none.
    ///
    /// # Safety
    /// All workers are done with the step.
    pub unsafe fn experts_touched(&self, memory: &Memory<'_>) -> Option<u32> {
        // SAFETY: nobody writes any more; each mixture has a word.
        let of = |&at: &usize| unsafe { memory.part::<u32>(at, 1)[0] };
        (!self.touched.is_empty()).then(|| self.touched.iter().map(of).sum())
    }

    /// Groups pairs by expert, in the order of their tokens within each.
    ///
    /// # Safety
    /// No other worker touches the mixture's places meanwhile.
    unsafe fn sort(&self, memory: &Memory<'_>, node: &Experts, experts: usize) {
        let at = |place: usize| self.shared_at + place;
        let pairs = node.pairs();
        // SAFETY: as the caller says; the places are apart.
        unsafe {
            memory.part_mut::<u32>(at(node.places.taken), 2).fill(0);
            let starts = memory.part_mut::<u32>(at(node.places.starts), experts + 1);
            let order = memory.part_mut::<u32>(at(node.places.order), pairs);
            let ranks = memory.part_mut::<u32>(at(node.places.ranks), pairs);
            let chosen = memory.elements::<i32>(&node.chosen);
            starts.fill(0);
            for &expert in chosen {
                let expert = usize::try_from(expert).ok().filter(|&expert| expert < experts);
                starts[1 + expert.expect("a route chooses among the experts there are")] += 1;
            }
            for expert in 0..experts {
                starts[expert + 1] += starts[expert];
            }
            // Each start moves to its expert's end while the pairs are dealt out, which is where the next one starts.
            for (pair, &expert) in (0..).zip(chosen) {
                let next = &mut starts[expert as usize];
                order[*next as usize] = pair;
                ranks[pair as usize] = *next;
                *next += 1;
            }
            starts.copy_within(0..experts, 1);
            starts[0] = 0;
            memory.part_mut::<u32>(node.touched, 1)[0] = touched(starts) as u32;
        }
    }

    /// Takes bites of the touched experts' strips until none is left.
    ///
    /// # Safety
    /// The mixture is sorted, and `run` may be called for every expert's rows and strips.
    #[allow(clippy::too_many_arguments, reason = "one phase of a mixture")]
    unsafe fn bites(
        &self,
        memory: &Memory<'_>,
        node: &Experts,
        phase: usize,
        starts: &[u32],
        rows: usize,
        run: impl Fn(usize, Range<usize>, Range<usize>, &mut [u8]),
        worker: Worker<'_>,
    ) {
        let strips = rows.div_ceil(LANES);
        let bite = bite(touched(starts), strips, worker.part.of);
        let bites = strips.div_ceil(bite);
        let counter = memory.work(self.shared_at + node.places.taken + 4 * phase, 4);
        // SAFETY: a word on a line of its own, which all workers use as an atomic from here on.
        let counter = unsafe { AtomicU32::from_ptr(counter.cast()) };
        // SAFETY: each worker's own region.
        let scratch = unsafe { self.own(memory, worker.part) };
        let mut next = counter.fetch_add(1, Relaxed) as usize;
        let mut first = 0;
        for (expert, bounds) in starts.windows(2).enumerate() {
            if bounds[0] == bounds[1] {
                continue;
            }
            while next < first + bites {
                let start = (next - first) * bite;
                let strips = start..(start + bite).min(strips);
                run(expert, bounds[0] as usize..bounds[1] as usize, strips, scratch);
                next = counter.fetch_add(1, Relaxed) as usize;
            }
            first += bites;
        }
    }
}

/// Experts that have pairs.
fn touched(starts: &[u32]) -> usize {
    starts.windows(2).filter(|bounds| bounds[0] < bounds[1]).count()
}

/// The weighted sum of rows of `y`, in the order of `ranks`.
struct Sum<'a> {
    y: *const f32,
    width: usize,
    ranks: &'a [u32],
    weights: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Sum<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut column = 0;
        while column < self.width {
            let n = LANES.min(self.width - column);
            let mut sum = s.splat(0.0);
            for (&rank, &weight) in self.ranks.iter().zip(self.weights) {
                // SAFETY: ranks are of rows of `y`, each `width` values long.
                let y = unsafe { s.load_first(self.y.add(rank as usize * self.width + column), n) };
                sum = s.fma(s.splat(weight), y, sum);
            }
            // SAFETY: a row of results is as long.
            unsafe { s.store_first(self.out.as_mut_ptr().add(column), sum, n) };
            column += LANES;
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use simd::Isa;

    use super::*;
    use crate::guard::{Guarded, SIDES, assert_written, numbers};

    #[test]
    fn sums_of_experts_stay_within_their_operands() {
        for side in SIDES {
            for isa in Isa::present() {
                for width in [1, 16, 31, 100] {
                    let (y, weights) = (numbers(side, 5 * width), numbers(side, 3));
                    let ranks = Guarded::of(side, &[4u32, 0, 2]);
                    let mut out = Guarded::unwritten(side, width);
                    isa.run(Sum { y: y.as_ptr(), width, ranks: &ranks, weights: &weights, out: &mut out });
                    assert_written(&out, &(side, isa, width));
                    let sum = ranks.iter().zip(weights.iter()).map(|(&rank, w)| w * y[rank as usize * width]);
                    assert!((out[0] - sum.sum::<f32>()).abs() < 1e-6);
                }
            }
        }
    }
}
