//! Programs: what one is made for, and what it will do.

use tensor::DType;

use crate::{BackendError, Bucket, Graph, Op, StepCounts, Work};

/// A program to make.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProgramSpec {
    /// The steps it must hold.
    pub bucket: Bucket,
    /// Named values to bring out, `layers.0.attn`.
    pub taps: Vec<String>,
    /// Named values that the feed replaces.
    pub patches: Vec<String>,
    /// Whether the time of each node is taken, which may make steps slower. A device that cannot take it runs them all
    /// the same.
    pub timed: bool,
}

impl ProgramSpec {
    /// Refuses names that are no values of the graph.
    pub fn check(&self, graph: &Graph) -> Result<(), BackendError> {
        if self.taps.is_empty() && self.patches.is_empty() {
            return Ok(());
        }
        let names = graph.names();
        match self.taps.iter().chain(&self.patches).find(|name| !names.contains(name)) {
            Some(name) => Err(BackendError::NoValue { name: name.clone() }),
            None => Ok(()),
        }
    }

    /// Refuses patches that are not as many as the program takes, or not as long as the values that they replace.
    /// The graph is bound.
    pub fn check_patches(
        &self,
        device: &'static str,
        graph: &Graph,
        patches: &[&[f32]],
    ) -> Result<(), BackendError> {
        let refuse = |what, reason| Err(BackendError::Unsupported { device, what, reason });
        if patches.len() != self.patches.len() {
            let reason = format!("the program takes {}", self.patches.len());
            return refuse(format!("a step with {} patches", patches.len()), reason);
        }
        for (name, patch) in self.patches.iter().zip(patches) {
            let ty = graph.ty_of(name).filter(|ty| !ty.dtype.is_block());
            let wanted = ty.and_then(|ty| ty.dims.shape()?.elements());
            if wanted != Some(patch.len()) {
                let wanted = wanted.map_or("cannot be replaced".to_owned(), |n| format!("has {n}"));
                let reason = format!("it has {} elements, and the value {wanted}", patch.len());
                return refuse(format!("the patch of `{name}`"), reason);
            }
        }
        Ok(())
    }
}

/// A program of one executor.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ProgramId(pub u32);

/// What a program does.
#[derive(Clone, Debug, Default)]
pub struct PlanReport {
    /// Per node, in order.
    pub lines: Vec<PlanLine>,
    /// Bytes of work space.
    pub arena_bytes: u64,
    /// Why the device predicts no times and what would change that, where something would.
    pub advice: Option<&'static str>,
}

impl PlanReport {
    /// What a lowered graph does at the size of its bucket; `kernel` names what runs an operation.
    pub fn of(graph: &Graph, bucket: &Bucket, kernel: &dyn Fn(&Op) -> String) -> PlanReport {
        let counts = StepCounts::largest(graph, bucket);
        let mut lines = vec![];
        graph.walk(&mut |path, op, args, results| {
            lines.push(PlanLine {
                path: path.to_owned(),
                kernel: kernel(op),
                work: op.work(args, results, &counts),
                factor: op.factor(args),
                predicted_ns: None,
                measured_ns: None,
            });
        });
        PlanReport { lines, ..PlanReport::default() }
    }
}

/// One node of a plan.
#[derive(Clone, Debug)]
pub struct PlanLine {
    /// Where it stands, `layers.0.attn`.
    pub path: String,
    /// The kernel, `linear[q4_0, avx512vnni]`.
    pub kernel: String,
    /// Operations and bytes.
    pub work: Work,
    /// The type that activations are multiplied by, where they are: see [`Op::factor`].
    pub factor: Option<DType>,
    /// Nanoseconds that it takes at best, where the device knows.
    pub predicted_ns: Option<f64>,
    /// Nanoseconds that it took, where they were taken.
    pub measured_ns: Option<f64>,
}
