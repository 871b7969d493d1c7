//! A program: the graph lowered to launches for one bucket, and how they are played.

use std::sync::Arc;

use graph::{
    BackendError, Graph, Place, Plan, PlanLine, PlanReport, ProgramSpec, StepCounts, Ty, bind, expand, fuse,
};
use tensor::{DType, Shape};

use crate::compiled::Kernels;
use crate::driver::{Call, Driver, GraphId, KernelId, Memory};
use crate::launch::{Addresses, Launch, calls, sources};
use crate::lower::{Given, Lowered, Sampling, lower};
use crate::options::Options;
use crate::weights::Form;
use crate::{NAME, fault};

/// Bytes of a tapped value in the work space.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tap {
    /// Where it begins.
    pub at: usize,
    /// Its type.
    pub dtype: DType,
    /// Its shape.
    pub shape: Shape,
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
    /// The kernels of the launches that run one, once loaded.
    kernels: Vec<KernelId>,
    /// The table in the device's memory, once loaded.
    table: Option<Memory>,
    /// The launches captured, of steps that are replayed.
    captured: Option<GraphId>,
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
            Some(Tap { at: offset, dtype, shape: dims.shape()? })
        };
        let taps = spec.taps.iter().map(tap).collect::<Option<Vec<_>>>();
        let taps = taps.ok_or_else(|| BackendError::Unsupported {
            device: NAME,
            what: "a tap".to_owned(),
            reason: "it names a state; states are brought out by pages".to_owned(),
        })?;
        let spec = spec.clone();
        Ok(Program { spec, graph: bound, plan, lowered, taps, kernels: vec![], table: None, captured: None })
    }

    /// Loads the kernels and the table.
    pub fn load(&mut self, driver: &Arc<dyn Driver>, known: &Kernels) -> Result<(), BackendError> {
        self.kernels = known.load(driver, sources(&self.lowered.launches), &|_, _| {})?;
        let table = Memory::new(driver, self.lowered.table.len()).map_err(fault)?;
        table.write(0, &self.lowered.table).map_err(fault)?;
        self.table = Some(table);
        Ok(())
    }

    /// Enqueues the launches: played, or, in a step of one token per sequence, captured the first time and replayed.
    ///
    /// # Safety
    /// The addresses lead to memory of the sizes that the program asks for, and stay valid until the step is done.
    pub unsafe fn run(&mut self, driver: &dyn Driver, at: &Addresses) -> Result<(), BackendError> {
        if self.spec.bucket.queries != 1 || self.spec.timed {
            // SAFETY: the caller promises what `play` asks for.
            return unsafe { driver.play(&self.calls(at)) }.map_err(fault);
        }
        let graph = match self.captured {
            Some(graph) => graph,
            // SAFETY: as above; who changes an address forgets what was captured.
            None => *self.captured.insert(unsafe { driver.capture(&self.calls(at)) }.map_err(fault)?),
        };
        // SAFETY: as above.
        unsafe { driver.replay(graph) }.map_err(fault)
    }

    /// The launches on memory.
    fn calls(&self, at: &Addresses) -> Vec<Call> {
        let table = self.table.as_ref().expect("a program is loaded before it runs").address();
        calls(&self.lowered.launches, &self.kernels, &Addresses { table, ..at.clone() })
    }

    /// Forgets what was captured: the memory that it runs on is no more, or nobody runs it any more.
    pub fn release(&mut self, driver: &dyn Driver) {
        if let Some(graph) = self.captured.take() {
            driver.drop_graph(graph);
        }
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
