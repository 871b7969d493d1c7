//! A program: the kernels of a step in order, where each finds its values, and where the workers meet.
//!
//! The graph is bound, fused, lowered to what there are kernels for, and flattened into a plan; [`lower`] turns the
//! plan's nodes into kernels and adds what only this backend needs (activations prepared for products, tables of
//! turns). [`run`] is what a worker does with them.

mod divisions;
mod experts;
mod kernel;
mod lower;
mod memory;
mod products;
mod report;
mod run;
mod shares;
mod slot;

use graph::{BackendError, Graph, Op, Plan, ProgramSpec, bind, expand, fuse};
use tensor::Value;

use crate::weights::Form;
use divisions::Division;
use kernel::Node;
use shares::Taken;

pub use lower::Ways;
pub use memory::Memory;
pub use slot::Slot;

/// A graph made ready for steps of one bucket.
pub struct Program {
    /// What it was made for.
    pub spec: ProgramSpec,
    /// The bound graph, for the shapes of what is put in.
    pub graph: Option<Graph>,
    /// Values and their places.
    pub plan: Plan,
    /// What is brought out, in the order of the spec's taps.
    pub taps: Vec<Slot>,
    /// The logits, where the first result is rows of f32.
    pub logits: Option<Slot>,
    /// Where the peaks of their pieces are.
    pub peaks: Option<usize>,
    /// Where mixtures note how many experts were chosen.
    pub touched: Vec<usize>,
    /// The plan's constants.
    pub constants: Vec<Value>,
    /// Bytes of work space: the plan's arena and what kernels need beside it.
    pub work_bytes: usize,
    nodes: Vec<Node>,
    /// What was taken of each node in this step.
    taken: Vec<Taken>,
    divisions: Vec<Division>,
    ways: Ways,
    /// Where the region begins that nodes use one after another.
    shared_at: usize,
    /// Where the workers' own regions begin, and how long each is.
    own_at: usize,
    own_bytes: usize,
}

/// Whether there is a kernel for an operation as it is.
pub fn takes(op: &Op) -> bool {
    op.is_composite()
}

impl Program {
    /// Makes a graph ready.
    pub fn new(
        graph: &Graph,
        forms: &[Form],
        spec: &ProgramSpec,
        ways: Ways,
    ) -> Result<Program, BackendError> {
        spec.check(graph)?;
        let kept = spec.taps.iter().chain(&spec.patches).cloned().collect::<Vec<_>>();
        let bound = bind(graph, &spec.bucket);
        let lowered = expand(&fuse(&bound, &kept), &spec.bucket, &takes);
        let plan = Plan::of(&lowered, &kept);
        let mut program = Program::of_plan(plan, forms, spec, graph.page_len as usize, ways)?;
        program.graph = Some(bound);
        Ok(program)
    }
}
