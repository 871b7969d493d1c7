//! A program: the graph of a rank lowered to launches for one bucket. Nothing of it is on a device.

use graph::{
    BackendError, Graph, Part, Place, Plan, PlanLine, PlanReport, ProgramSpec, StepCounts, Ty, bind, expand,
    fuse,
};
use tensor::{DType, Shape};

use crate::launch::Launch;
use crate::lower::{Given, Lowered, Sampling, lower};
use crate::options::Options;
use crate::unsupported;
use crate::weights::Form;

/// Bytes of a tapped value in the work space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// Where it begins.
    pub at: usize,
    /// Its type.
    pub dtype: DType,
    /// Its shape, on a rank.
    pub shape: Shape,
    /// What a rank has of it.
    pub part: Part,
}

impl Tap {
    /// How many bytes it has.
    pub fn bytes(&self) -> usize {
        self.shape.elements().and_then(|count| self.dtype.bytes_of(count)).unwrap_or(0)
    }
}

/// A graph made ready for steps of one bucket.
pub(crate) struct Program {
    /// What it was made for.
    pub spec: ProgramSpec,
    /// The bound graph, for the shapes of what is put in.
    pub graph: Graph,
    /// The plan.
    pub plan: Plan,
    /// What is launched.
    pub lowered: Lowered,
    /// What is brought out, in the order of the spec's taps.
    pub taps: Vec<Tap>,
}

impl Program {
    /// Makes a graph ready, as far as that needs no device.
    pub fn new(
        graph: &Graph,
        forms: &[Form],
        spec: &ProgramSpec,
        options: &Options,
    ) -> Result<Program, BackendError> {
        spec.check(graph)?;
        if let Some(name) = spec.patches.iter().find(|name| graph.part_of(name) != Part::Whole) {
            let reason = "each rank has a part of it; run on one".to_owned();
            return Err(unsupported(format!("the patch of `{name}`"), reason));
        }
        let kept = spec.taps.iter().chain(&spec.patches).cloned().collect::<Vec<_>>();
        let bound = bind(graph, &spec.bucket);
        let lowered = expand(&fuse(&bound, &kept), &spec.bucket, &|op| op.is_composite());
        let plan = Plan::of(&lowered, &kept);
        let page_len = graph.page_len as usize;
        let lowered = lower(&plan, &Given { forms, options, spec, page_len, samples: true })?;
        let tap = |name: &String| {
            let value = plan.named(name)?.results[0];
            let Place::Arena { offset } = plan.place(value) else { return None };
            let Ty { dtype, dims } = *plan.ty(value);
            Some(Tap { at: offset, dtype, shape: dims.shape()?, part: graph.part_of(name) })
        };
        let taps = spec.taps.iter().map(tap).collect::<Option<Vec<_>>>();
        let taps = taps.ok_or_else(|| {
            let reason = "it names a state; states are brought out by pages".to_owned();
            unsupported("a tap".to_owned(), reason)
        })?;
        let spec = spec.clone();
        Ok(Program { spec, graph: bound, plan, lowered, taps })
    }

    /// Whether its launches are captured and replayed: steps of one token for each sequence, which come again and again.
    pub fn is_replayed(&self) -> bool {
        self.spec.bucket.queries == 1 && !self.spec.timed
    }

    /// Where the choice of tokens reads and writes.
    pub fn sampling(&self) -> Option<Sampling> {
        self.lowered.sampling
    }

    /// What it does, node by node, in a step as large as its bucket.
    pub fn report(&self, graph: &Graph) -> PlanReport {
        let counts = StepCounts::largest(graph, &self.spec.bucket);
        let types = |values: &[graph::ValueId]| values.iter().map(|&v| *self.plan.ty(v)).collect::<Vec<_>>();
        let line = |(place, node): (usize, &graph::Planned)| {
            let mine = self.lowered.launches.iter().filter(|launch| launch.planned == place);
            let (args, results) = (types(&node.args), types(&node.results));
            PlanLine {
                path: node.path.clone(),
                kernel: mine.map(Launch::name).collect::<Vec<_>>().join(" + "),
                work: node.op.work(&args, &results, &counts),
                factor: node.op.factor(&args),
                predicted_ns: None,
                measured_ns: None,
            }
        };
        PlanReport {
            lines: self.plan.nodes.iter().enumerate().map(line).collect(),
            arena_bytes: self.lowered.work_bytes as u64,
            advice: None,
        }
    }
}
