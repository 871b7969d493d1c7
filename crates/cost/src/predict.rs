//! How long a step takes on a chip that nobody has here, from the graph's work and the chip's sheet.
//!
//! From the sheet alone comes a **bound**: of each operation the longer of reading its bytes and doing its operations. No chip
//! reaches it, so it is never told as what a token costs. A **calibration** has what was measured on such a chip: how much
//! longer reading weights and reading keys and values takes than at the sheet's bandwidth, how much longer multiplying takes
//! than at its peak, and what each layer, each step and each sequence takes beside that. At small batches the latter is most:
//! on Neuron chips that share a model among many, 200 to 300 microseconds per layer.
//!
//! t = w W/B + s S/B + c C/F + l layers + p + q sequences + collectives

mod calibration;
mod fit;
mod forecast;

use graph::{Dim, Graph, Op, StepCounts, Work};
use tensor::DType;

use crate::{Chip, Class, CostError};

pub use calibration::{Calibration, Calibrations, Point};
pub use fit::{Held, Sample, fit, held_out, median_error};
pub use forecast::{Forecast, Load, Predicted, counts};

/// What a number of chips of one kind do in a second, together.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    /// The chip.
    pub name: String,
    /// How many share the model.
    pub chips: u32,
    /// Bytes of memory per second, of all.
    pub bytes_per_s: f64,
    /// Operations per second of all where activations are multiplied by bf16 or by what becomes that; `None` where nobody
    /// says.
    pub dense: Option<f64>,
    /// The same where they are multiplied by blocks of small integers.
    pub blocks: Option<f64>,
    /// Bytes of memory of all.
    pub memory: Option<f64>,
    /// Bytes per second from one chip to others.
    pub link: Option<f64>,
}

/// The least that a step takes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepBound {
    /// Its work.
    pub work: Work,
    /// Seconds to read its bytes.
    pub memory_s: f64,
    /// Seconds to do its operations.
    pub compute_s: f64,
    /// Seconds of its operations one after another, of each the longer.
    pub seconds: f64,
    /// Layers.
    pub layers: u32,
    /// Seconds of what chips tell one another.
    pub collective_s: f64,
}

/// What one operation does, and what it takes at least.
#[derive(Clone, Debug, PartialEq)]
pub struct OpBound {
    /// Where it stands, `layers.0.attn`.
    pub path: String,
    /// The operation.
    pub op: &'static str,
    /// Its work.
    pub work: Work,
    /// Seconds to read its bytes.
    pub memory_s: f64,
    /// Seconds to do its operations.
    pub compute_s: f64,
}

impl OpBound {
    /// The longer of both.
    pub fn seconds(&self) -> f64 {
        self.memory_s.max(self.compute_s)
    }

    /// Which of both it is.
    pub fn bound(&self) -> &'static str {
        if self.memory_s >= self.compute_s { "memory" } else { "compute" }
    }
}

impl Sheet {
    /// So many chips of the catalogue.
    pub fn of(name: &str, chip: &Chip, chips: u32) -> Sheet {
        let n = f64::from(chips);
        let peak = |names: &[&str]| {
            names.iter().find_map(|name| chip.peak_tflops.get(*name)).map(|peak| peak * 1e12 * n)
        };
        let dense = peak(&["bf16", "fp16"]);
        // A GPU multiplies blocks after it has made bf16 of them; a CPU as they are.
        let blocks = if chip.class == Class::Cpu { peak(&["int8", "bf16"]) } else { dense };
        Sheet {
            name: name.to_owned(),
            chips,
            bytes_per_s: chip.bandwidth_gbs * 1e9 * n,
            dense,
            blocks,
            memory: chip.memory_gb.map(|gb| gb * 1e9 * n),
            link: chip.link_gbs.map(|gbs| gbs * 1e9),
        }
    }

    /// The fewest chips, one or a power of two of them, whose memory holds so much.
    pub fn holding(name: &str, chip: &Chip, bytes: f64) -> Result<Sheet, CostError> {
        let one = Sheet::of(name, chip, 1);
        let memory = match one.memory {
            Some(memory) => memory,
            // Of a CPU it is what is plugged in.
            None if chip.class == Class::Cpu => return Ok(one),
            None => return Err(CostError::NotKnown { chip: name.to_owned(), what: "memory".to_owned() }),
        };
        let chips = (bytes / memory).ceil().clamp(1.0, 4096.0) as u32;
        Ok(Sheet::of(name, chip, chips.next_power_of_two()))
    }

    fn operations_per_s(&self, factor: Option<DType>) -> Option<f64> {
        if factor.is_some_and(DType::is_block) { self.blocks } else { self.dense }
    }

    /// Seconds of an operation for its bytes and for its operations.
    fn seconds(&self, work: &Work, factor: Option<DType>) -> (f64, f64) {
        let compute = self.operations_per_s(factor).map_or(0.0, |peak| work.operations / peak);
        (work.memory_bytes() / self.bytes_per_s, compute)
    }

    /// Every operation of a step.
    pub fn operations(&self, graph: &Graph, counts: &StepCounts) -> Vec<OpBound> {
        let mut all = vec![];
        graph.walk(&mut |path, op, args, results| {
            let work = op.work(args, results, counts);
            let (memory_s, compute_s) = self.seconds(&work, op.factor(args));
            all.push(OpBound { path: path.to_owned(), op: op.name(), work, memory_s, compute_s });
        });
        all
    }

    /// The least that a step takes.
    pub fn bound(&self, graph: &Graph, counts: &StepCounts) -> StepBound {
        let mut bound = StepBound { layers: graph.layers(), ..StepBound::default() };
        let mut width = 0.0;
        graph.walk(&mut |_, op, args, results| {
            let work = op.work(args, results, counts);
            let (memory_s, compute_s) = self.seconds(&work, op.factor(args));
            bound.work += work;
            bound.memory_s += memory_s;
            bound.compute_s += compute_s;
            bound.seconds += memory_s.max(compute_s);
            if let (Op::Embed, Some(Dim::Fixed(n))) =
                (op, results.first().and_then(|ty| ty.dims.last().copied()))
            {
                width = f64::from(n);
            }
        });
        bound.collective_s = self.collectives(f64::from(bound.layers), f64::from(counts.tokens) * width);
        bound.seconds += bound.collective_s;
        bound
    }

    /// Two sums over all chips in each layer, of so many values of two bytes: each passes on all but its own part, twice.
    fn collectives(&self, layers: f64, values: f64) -> f64 {
        let (Some(link), n) = (self.link.filter(|_| self.chips > 1), f64::from(self.chips)) else {
            return 0.0;
        };
        2.0 * layers * 2.0 * (n - 1.0) / n * (2.0 * values) / link
    }

    /// The fastest that they multiply by anything: no step does more in a second.
    pub fn fastest(&self) -> Option<f64> {
        self.dense.into_iter().chain(self.blocks).reduce(f64::max)
    }

    /// Whether all its operations can be bounded: where a peak is not known, reading alone counts.
    pub fn knows_peaks(&self) -> bool {
        self.dense.is_some() && self.blocks.is_some()
    }
}

impl Calibration {
    /// What a step takes, by what was measured on such a chip.
    pub fn seconds(&self, bound: &StepBound, sequences: u32) -> f64 {
        let bytes = bound.work.memory_bytes().max(f64::MIN_POSITIVE);
        let reading = |bytes_of: f64| bound.memory_s * bytes_of / bytes;
        let calibrated = self.weights * reading(bound.work.weight_bytes)
            + self.state * reading(bound.work.state_bytes)
            + self.compute * bound.compute_s
            + self.layer_us * 1e-6 * f64::from(bound.layers)
            + self.step_us * 1e-6
            + self.sequence_us * 1e-6 * f64::from(sequences)
            + bound.collective_s;
        // What no chip can do no calibration says.
        calibrated.max(bound.seconds)
    }
}
