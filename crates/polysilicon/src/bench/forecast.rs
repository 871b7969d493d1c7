//! What requests should take on this machine's processor, by its limits and by the calibration of this program on it: told
//! from what memory gave meanwhile, and from nothing else that was measured of them.

use cost::Experts;
use cost::predict::{Calibration, Calibrations, Forecast, Load, Predicted, Sample, StepBound};
use graph::{Graph, Op, StepCounts, Work};
use tensor::DType;

use crate::{Error, Limits};

/// Predictions of a model on so many threads of this machine.
#[derive(Clone, Debug)]
pub struct Oracle {
    limits: Limits,
    calibration: Calibration,
}

impl Oracle {
    /// For a graph: what multiplies by blocks of small integers has a calibration of its own.
    pub fn new(limits: Limits, graph: &Graph) -> Result<Option<Oracle>, Error> {
        let chip = if multiplies_blocks(graph) { "cpu_blocks" } else { "cpu_dense" };
        let known = Calibrations::built_in()?;
        Ok(known.of(chip).map(|calibration| Oracle { limits, calibration: calibration.clone() }))
    }

    /// Seconds that a step should take.
    pub fn step_s(&self, sample: &Sample) -> f64 {
        sample.predicted(&self.calibration.terms())
    }

    /// What a load should take while memory gives so many bytes per second, and steps touch as many experts as were counted.
    pub fn predict(&self, graph: &Graph, load: Load, bandwidth: Option<f64>, experts: &Experts) -> Predicted {
        let mut limits = self.limits.clone();
        limits.bandwidth = bandwidth.unwrap_or(limits.bandwidth);
        let bound = |counts: &StepCounts| step_bound(&limits, graph, &experts.fill(counts));
        let forecast = Forecast::new(graph, &bound, Some(&self.calibration), load);
        Predicted {
            calibration: self.calibration.name.clone(),
            error: self.calibration.error,
            out_per_s: forecast.out_per_s(),
            itl_s: forecast.decode_s,
            prompt_s: forecast.prefill_s,
        }
    }
}

/// The least that a step takes.
fn step_bound(limits: &Limits, graph: &Graph, counts: &StepCounts) -> StepBound {
    let mut bound = StepBound { layers: graph.layers(), ..StepBound::default() };
    graph.walk(&mut |_, op, args, results| {
        let work = op.work(args, results, counts);
        let least = limits.bound(&work, op.factor(args));
        bound.work += work;
        bound.memory_s += least.memory_s;
        bound.compute_s += least.compute_s;
        bound.seconds += least.seconds();
    });
    bound
}

/// Whether most of its weights are in blocks.
pub fn multiplies_blocks(graph: &Graph) -> bool {
    let bytes = |blocks: bool| {
        let weights = graph.weights.iter().filter(|weight| weight.info.dtype.is_block() == blocks);
        weights.map(|weight| weight.info.bytes().unwrap_or(0) as u64).sum::<u64>()
    };
    bytes(true) > bytes(false)
}

/// The fastest that a machine multiplies by any type that a graph's weights have.
pub(crate) fn peak(limits: &Limits, graph: &Graph) -> f64 {
    let one = Work { operations: 1.0, ..Work::default() };
    let mut least = f64::INFINITY;
    let mut take = |factor: Option<DType>| least = least.min(limits.bound(&one, factor).compute_s);
    graph.walk(&mut |_, op, args, _| {
        if !matches!(op, Op::Attention { .. }) && op.factor(args).is_some() {
            take(op.factor(args));
        }
    });
    1.0 / least
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Opened;

    fn graph(model: &str) -> Graph {
        Opened::find(model, None).expect("it is there").graph(DType::F16).expect("a graph")
    }

    #[test]
    fn what_multiplies_is_what_the_weights_are() {
        assert!(multiplies_blocks(&graph("shape:llama-3.2-1b@q4_0")));
        assert!(!multiplies_blocks(&graph("shape:llama-3.2-1b@bf16")));
    }

    #[test]
    fn more_at_a_time_make_more_tokens_and_longer_gaps() {
        let graph = graph("shape:llama-3.2-1b@q8_0");
        let limits = crate::bench::limits(crate::Device::Cpu, 1).expect("they are measured");
        let oracle = Oracle::new(limits, &graph).expect("good").expect("a calibration");
        let load = |sequences| Load { prompt: 64, output: 32, sequences };
        let told = |sequences| oracle.predict(&graph, load(sequences), Some(3e10), &Experts::default());
        assert!(told(4).out_per_s > told(1).out_per_s && told(4).itl_s > told(1).itl_s);
        assert!(told(1).itl_s > graph.weight_bytes() as f64 / 3e10 * 0.7, "not below its bound");
        let slow = oracle.predict(&graph, load(1), Some(1e10), &Experts::default());
        assert!(slow.itl_s > 2.0 * told(1).itl_s, "memory that gives less is waited for");
    }
}
