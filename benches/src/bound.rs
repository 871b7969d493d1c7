//! How fast a step could be at best: bytes that must be read over the bandwidth, operations over the peak of what
//! multiplies them.

use graph::{Graph, Op, Ty};
use polysilicon::{Measured, Unit};
use tensor::DType;

use crate::Step;

/// What so many threads of this machine reach.
#[derive(Clone, Debug)]
pub struct Limits {
    measured: Measured,
    threads: usize,
}

/// What steps must do, and how long they take at least. Reading and multiplying overlap, so the larger time counts.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bound {
    /// Bytes of weights, keys and values.
    pub bytes: f64,
    /// Multiplications plus additions.
    pub operations: f64,
    /// Seconds to read the bytes.
    pub memory_s: f64,
    /// Seconds to do the operations.
    pub compute_s: f64,
}

impl Limits {
    /// The limits of so many threads.
    pub fn new(measured: Measured, threads: usize) -> Limits {
        Limits { measured, threads }
    }

    /// Bytes read per second.
    pub fn bandwidth(&self) -> f64 {
        self.measured.bandwidth.at(self.threads)
    }

    /// The bound of these steps together.
    pub fn of(&self, graph: &Graph, steps: &[Step]) -> Bound {
        let mut bound = Bound::default();
        for step in steps {
            let counts = step.counts(graph);
            graph.walk(&mut |_, op, args, results| {
                let work = op.work(args, results, &counts);
                bound.bytes += work.weight_bytes + work.state_bytes;
                bound.operations += work.operations;
                bound.compute_s += work.operations / self.operations_per_s(op, args);
            });
        }
        bound.memory_s = bound.bytes / self.bandwidth();
        bound
    }

    /// The fastest that this machine multiplies for an operation on these arguments.
    fn operations_per_s(&self, op: &Op, args: &[Ty]) -> f64 {
        let units: &[Unit] = match factor(op, args) {
            Some(dtype) if dtype.is_block() => &[Unit::Int8Tiles, Unit::Int8, Unit::F32],
            Some(DType::BF16) => &[Unit::Bf16Tiles, Unit::Bf16, Unit::F32],
            _ => &[Unit::F32],
        };
        let peak = |&unit: &Unit| self.measured.peak(unit).map(|rates| rates.at(self.threads));
        units.iter().filter_map(peak).fold(1.0, f64::max)
    }
}

/// The type of what the activations are multiplied by: a weight, or keys and values.
fn factor(op: &Op, args: &[Ty]) -> Option<DType> {
    match op {
        Op::Linear | Op::GatedLinear { .. } | Op::LinearAdd { .. } | Op::Attention { .. } => {
            Some(args[1].dtype)
        }
        Op::ExpertFfn { .. } => Some(args[3].dtype),
        _ => None,
    }
}

impl Bound {
    /// The least seconds.
    pub fn seconds(&self) -> f64 {
        self.memory_s.max(self.compute_s)
    }

    /// In words, what share of the limits a step reached that took so long.
    pub fn share(&self, seconds: f64) -> String {
        let [memory, compute] = [self.memory_s, self.compute_s].map(|bound| 100.0 * bound / seconds);
        format!("{memory:.0} % of read bandwidth, {compute:.0} % of the arithmetic peak")
    }
}

#[cfg(test)]
mod tests {
    use graph::StepCounts;

    use super::*;
    use crate::linear;

    #[test]
    fn a_product_reads_its_weight_once_and_multiplies_per_row() {
        let made = linear(DType::F32, 64, 3);
        let counts = |tokens| StepCounts { tokens, seqs: 1, rows: 1, ..StepCounts::default() };
        let (one, many) = (made.graph.work(&counts(1)), made.graph.work(&counts(8)));
        let weights = 3.0 * 64.0 * 64.0;
        assert_eq!(many.operations, 8.0 * 2.0 * weights);
        assert_eq!(one.operations, 2.0 * weights);
        // A row of the table, which is bf16, and the matrices.
        assert_eq!(one.weight_bytes, 4.0 * weights + 2.0 * 64.0);
    }

    #[test]
    fn the_larger_time_counts() {
        let bound = Bound { bytes: 1.0, operations: 1.0, memory_s: 0.2, compute_s: 0.5 };
        assert_eq!(bound.seconds(), 0.5);
        assert_eq!(bound.share(1.0), "20 % of read bandwidth, 50 % of the arithmetic peak");
    }
}
