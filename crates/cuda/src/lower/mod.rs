//! From a plan's nodes to launches.

mod attention;
mod core;
mod experts;
mod products;
mod ranks;
mod rows;
mod sampling;

use std::collections::{HashMap, HashSet};

use graph::{Act, BackendError, Input, Inputs, Literal, Op, Place, Plan, ProgramSpec, ValueId};
use tensor::{DType, Shape};

use crate::launch::{Arg, Kernel, Launch, What};
use crate::options::Options;
use crate::source::{Source, float};
use crate::unsupported;
use crate::weights::Form;

pub(crate) use sampling::{CHOSEN_BYTES, Sampling, WISH_BYTES};

/// Regions begin on such a byte.
const ALIGN: usize = 256;

/// What a plan became.
pub(crate) struct Lowered {
    /// In order.
    pub launches: Vec<Launch>,
    /// What the launches read that no step changes.
    pub table: Vec<u8>,
    /// Each input with its byte among what is fed.
    pub inputs: Vec<(Input, usize)>,
    /// Bytes of what is fed.
    pub input_bytes: usize,
    /// Bytes of work space: the plan's arena and what kernels need beside it.
    pub work_bytes: usize,
    /// Where the values of the spec's patches go among what is fed.
    pub patches: Vec<usize>,
    /// Where the logits are and how rows are chosen, where the first result is rows of f32.
    pub sampling: Option<Sampling>,
}

/// Launches being collected.
pub(crate) struct Lowering<'a> {
    plan: &'a Plan,
    forms: &'a [Form],
    options: &'a Options,
    page_len: usize,
    /// Whether every sequence has one token.
    decodes: bool,
    launches: Vec<Launch>,
    table: Vec<u8>,
    constants: Vec<usize>,
    inputs: Vec<(Input, usize)>,
    input_bytes: usize,
    work_bytes: usize,
    /// Bytes that nodes use one after another.
    scratch_bytes: usize,
    planned: usize,
    /// Values that are brought out or replaced.
    kept: HashSet<String>,
    /// Nodes that were done with one before them.
    done: HashSet<usize>,
    /// Norms that the products behind them do.
    folded: HashMap<ValueId, products::Norm>,
}

/// What the bucket and the model say beside the plan.
pub(crate) struct Given<'a> {
    /// How each weight is kept.
    pub forms: &'a [Form],
    /// How kernels compute.
    pub options: &'a Options,
    /// What the program is for.
    pub spec: &'a ProgramSpec,
    /// Slots of a page.
    pub page_len: usize,
    /// Whether the first result is logits, whose tokens are chosen.
    pub samples: bool,
}

/// The launches of a plan.
pub(crate) fn lower(plan: &Plan, given: &Given<'_>) -> Result<Lowered, BackendError> {
    let mut lowering = Lowering::new(plan, given);
    let mut patches = vec![0; given.spec.patches.len()];
    for (planned, node) in plan.nodes.iter().enumerate() {
        lowering.planned = planned;
        lowering.node(planned)?;
        let patch = given.spec.patches.iter().position(|name| node.named && *name == node.path);
        if let Some(place) = patch {
            patches[place] = lowering.patch(node.results[0])?;
        }
    }
    let sampling = if given.samples { lowering.sampling() } else { None };
    let scratch = lowering.region(lowering.scratch_bytes);
    let Lowering { mut launches, table, inputs, input_bytes, work_bytes, .. } = lowering;
    for arg in launches.iter_mut().flat_map(|launch| &mut launch.args) {
        if let Arg::Scratch(offset) = *arg {
            *arg = Arg::Work(scratch + offset);
        }
    }
    Ok(Lowered { launches, table, inputs, input_bytes, work_bytes, patches, sampling })
}

impl<'a> Lowering<'a> {
    fn new(plan: &'a Plan, given: &Given<'a>) -> Lowering<'a> {
        let Given { forms, options, spec, page_len, .. } = *given;
        let mut lowering = Lowering {
            plan,
            forms,
            options,
            page_len,
            decodes: spec.bucket.queries == 1,
            launches: vec![],
            table: vec![],
            constants: vec![],
            inputs: vec![],
            input_bytes: 0,
            work_bytes: plan.arena_bytes.next_multiple_of(ALIGN),
            scratch_bytes: 0,
            planned: 0,
            kept: spec.taps.iter().chain(&spec.patches).cloned().collect(),
            done: HashSet::new(),
            folded: HashMap::new(),
        };
        for literal in &plan.constants {
            let at = lowering.entry(&bytes_of(literal));
            lowering.constants.push(at);
        }
        for value in &plan.values {
            let Place::Input(input) = value.place else { continue };
            if !lowering.inputs.iter().any(|(known, _)| *known == input) {
                let bytes = input.ty().bind(&spec.bucket).bytes() as usize;
                let at = lowering.fed(bytes);
                lowering.inputs.push((input, at));
            }
        }
        lowering
    }

    fn node(&mut self, planned: usize) -> Result<(), BackendError> {
        let node = &self.plan.nodes[planned];
        let (args, results) = (&node.args[..], &node.results[..]);
        match &node.op {
            Op::Embed => self.embed(args, results[0]),
            _ if self.done.contains(&planned) => Ok(()),
            Op::Linear | Op::LinearAdd { .. } | Op::GatedLinear { .. } => self.products(planned),
            Op::RmsNorm { eps } if self.folds(planned, *eps) => Ok(()),
            Op::RmsNorm { eps } => self.rms_norm(*eps, args, results[0]),
            Op::Rope { .. } | Op::NormRope { .. } => self.rope(planned),
            Op::GatedAct(act) => self.gated_act(*act, args, results[0]),
            Op::Attention { scale, window } => self.attention(*scale, *window, args, results[0]),
            Op::Route { k } => self.top_k(*k, true, args, results),
            Op::ExpertFfn { act, .. } => self.expert_ffn(*act, args, results[0]),
            op => self.core(op, args, results),
        }
    }

    /// Bytes of the table.
    fn entry(&mut self, bytes: &[u8]) -> usize {
        let at = self.table.len();
        self.table.extend_from_slice(bytes);
        self.table.resize(self.table.len().next_multiple_of(16), 0);
        at
    }

    /// Bytes of what is fed.
    fn fed(&mut self, bytes: usize) -> usize {
        let at = self.input_bytes;
        self.input_bytes = (at + bytes).next_multiple_of(16);
        at
    }

    /// Bytes of work space for one use.
    fn region(&mut self, bytes: usize) -> usize {
        let at = self.work_bytes;
        self.work_bytes = (at + bytes).next_multiple_of(ALIGN);
        at
    }

    /// Bytes of work space until the next node uses them.
    fn scratch(&mut self, bytes: usize) -> Arg {
        self.scratch_bytes = self.scratch_bytes.max(bytes);
        Arg::Scratch(0)
    }

    fn push(&mut self, source: Source, grid: [usize; 3], threads: usize, args: Vec<Arg>) {
        self.push_sharing(source, grid, threads, 0, args);
    }

    fn push_sharing(
        &mut self,
        source: Source,
        grid: [usize; 3],
        threads: usize,
        shared: usize,
        args: Vec<Arg>,
    ) {
        // Nothing to do is no launch: a grid without blocks is none that a driver takes.
        if grid.contains(&0) {
            return;
        }
        let grid = grid.map(|blocks| u32::try_from(blocks).unwrap_or(u32::MAX));
        let (threads, shared_bytes) = (threads as u32, shared as u32);
        let early = self.options.early && source.kernel == "few";
        let what = What::Kernel(Kernel { source, grid, threads, shared_bytes, early });
        self.launches.push(Launch { what, args, planned: self.planned });
    }

    /// A launch of so many elements, each by a thread.
    fn push_each(&mut self, source: Source, count: usize, args: Vec<Arg>) {
        let threads = threads_for(count);
        self.push(source, [count.div_ceil(threads).min(BLOCKS_MAX), 1, 1], threads, args);
    }

    /// A launch of so many rows, each by a block.
    fn push_rows(&mut self, source: Source, rows: usize, width: usize, args: Vec<Arg>) {
        self.push(source, [rows.min(BLOCKS_MAX), 1, 1], threads_for(width), args);
    }

    /// A launch of so many parts, each by a warp.
    fn push_warps(&mut self, source: Source, count: usize, args: Vec<Arg>) {
        let warps = count.clamp(1, 4);
        let blocks = count.div_ceil(warps).min(BLOCKS_MAX);
        self.push(source, [if count == 0 { 0 } else { blocks }, 1, 1], warps * 32, args);
    }

    fn arg(&self, value: ValueId) -> Arg {
        match self.plan.place(value) {
            Place::Arena { offset } => Arg::Work(offset),
            Place::Input(input) => {
                let found = self.inputs.iter().find(|(known, _)| *known == input);
                Arg::Input(found.expect("every input has its place").1)
            }
            Place::Weight(weight) => Arg::Weight(weight, 0),
            Place::State(state) => Arg::State(state),
            Place::Constant(constant) => Arg::Table(self.constants[constant]),
            Place::Argument(_) => unreachable!("the arguments of one operation are made weights and states"),
        }
    }

    fn dtype(&self, value: ValueId) -> DType {
        self.plan.ty(value).dtype
    }

    /// The axes of a value that is no state.
    fn shape(&self, value: ValueId) -> Shape {
        self.plan.ty(value).dims.shape().expect("a graph is bound before it is planned")
    }

    /// Elements of a value that is no state.
    fn count(&self, value: ValueId) -> usize {
        self.shape(value).iter().product()
    }

    /// The numbers of a value's axes from `from` on: those of a state's slot.
    fn axes_from(&self, value: ValueId, from: usize) -> Vec<usize> {
        let numbers = self.plan.ty(value).dims.iter().skip(from).filter_map(|dim| dim.number());
        numbers.map(|n| n as usize).collect()
    }

    /// Rows of the innermost axis, and how long they are.
    fn rows(&self, value: ValueId) -> (usize, usize) {
        let width = self.shape(value).last().copied().unwrap_or(1);
        (self.count(value) / width.max(1), width)
    }

    /// Where a token that is not known to the host is looked up; nowhere but for tokens.
    fn previous(&self, ids: ValueId) -> Arg {
        match self.plan.place(ids) {
            Place::Input(Input::Tokens) => Arg::Previous,
            _ => Arg::Null,
        }
    }

    /// Refuses a node.
    fn refuse(&self, reason: impl Into<String>) -> BackendError {
        unsupported(self.plan.nodes[self.planned].op.to_string(), reason.into())
    }

    /// Puts what is fed in place of a value; where it is among what is fed.
    fn patch(&mut self, value: ValueId) -> Result<usize, BackendError> {
        if self.dtype(value) != DType::F32 {
            return Err(self.refuse("only values of f32 can be replaced"));
        }
        let count = self.count(value);
        let at = self.fed(count * size_of::<f32>());
        self.copy(self.arg(value), Arg::Input(at), "float", count);
        Ok(at)
    }
}

/// Most blocks of a launch whose blocks go round.
const BLOCKS_MAX: usize = 4096;

/// Threads of a block that has so much to do: whole warps.
fn threads_for(count: usize) -> usize {
    count.next_multiple_of(32).clamp(32, 256)
}

/// A constant as kernels read it.
fn bytes_of(literal: &Literal) -> Vec<u8> {
    match literal {
        Literal::Scalar(x) => x.to_le_bytes().to_vec(),
        Literal::Int(x) => x.to_le_bytes().to_vec(),
        Literal::Vector(values) => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

/// The type of an element in C++; of the bytes of blocks where it has none.
fn c_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "float",
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        DType::I32 => "int",
        DType::U32 => "u32",
        _ => "u8",
    }
}

/// The format in which `blocks.cuh` knows a type of weights.
fn format(dtype: DType) -> String {
    dtype.name().to_uppercase()
}

/// The macros of an activation.
fn with_act(source: Source, act: Act) -> Source {
    let name = match act {
        Act::Silu => "silu",
        Act::Gelu => "gelu",
        Act::GeluTanh => "gelu_tanh",
        Act::Relu => "relu",
        Act::Clamped { .. } => "clamped",
    };
    let source = source.with("ACTIVATION", name);
    match act {
        Act::Clamped { alpha, limit } => source.with("ALPHA", float(alpha)).with("LIMIT", float(limit)),
        _ => source,
    }
}

/// The type of a bias in C++, and whether there is one.
fn with_bias(source: Source, biases: &[Option<DType>]) -> Source {
    let of = |place: usize| c_type(biases.get(place).copied().flatten().unwrap_or(DType::F32));
    let source = source.with("BIASED", u8::from(biases.iter().any(Option::is_some))).with("BIAS", of(0));
    source.with("BIAS2", of(1))
}

/// Fills what a step is fed: every input in its place.
pub(crate) fn fill(inputs: &Inputs<'_>, places: &[(Input, usize)], scratch: &mut Vec<i32>, out: &mut [u8]) {
    for &(input, at) in places {
        inputs.fill(input, scratch);
        for (to, value) in out[at..].as_chunks_mut::<4>().0.iter_mut().zip(&*scratch) {
            *to = value.to_le_bytes();
        }
    }
}
