//! Several ranks on the reference, without threads: every operation is done by all of them before the next one is begun,
//! and what they do together is done here. What a graph of one rank means is thereby said without any device.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;

use graph::{
    Backend, BackendError, Budget, Caps, Executor, Feed, Fetch, Func, Graph, GroupId, Inputs, Op, PageId,
    Part, Place, PlanReport, ProgramId, ProgramSpec, Sampler, StepId, Ty, Weights, bind,
};
use reference::Reference;
use tensor::{DType, Shape, Value, WeightSource};

/// A value on every rank.
type Ranks = Vec<Value>;

/// The backend, for graphs that were divided.
pub struct Lockstep {
    caps: Caps,
}

impl Lockstep {
    /// As many ranks as the graphs are of.
    #[allow(clippy::new_without_default, reason = "there is one way to make it")]
    pub fn new() -> Lockstep {
        Lockstep { caps: Reference::new().caps().clone() }
    }
}

struct Loaded {
    weights: Vec<Ranks>,
}

impl Weights for Loaded {
    fn bytes(&self) -> u64 {
        self.weights.iter().flatten().map(|value| value.data.len() as u64).sum()
    }
}

impl Backend for Lockstep {
    fn caps(&self) -> &Caps {
        &self.caps
    }

    fn load(&self, graph: &Graph, source: &dyn WeightSource) -> Result<Arc<dyn Weights>, BackendError> {
        let mut weights = vec![];
        for spec in &graph.weights {
            let found = source.find(&spec.name).expect("the graph was made of this source");
            let whole = Value::new(found.dtype, found.shape, &source.read(&spec.name)?);
            weights
                .push((0..graph.ranks).map(|rank| part(&whole, spec.part, &spec.info.shape, rank)).collect());
        }
        Ok(Arc::new(Loaded { weights }))
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        let zeroed = |state: &graph::StateSpec| {
            let pages = budget.pages[state.group.index()] as usize;
            let slot = state.slot.shape().expect("slots are numbers");
            let shape = Shape::new(&[&[pages, graph.page_len as usize], &slot[..]].concat());
            let bytes = vec![0; bytes_of(state.dtype, &shape)];
            vec![Value::new(state.dtype, shape, &bytes); graph.ranks as usize]
        };
        Ok(Box::new(Running {
            states: graph.states.iter().map(zeroed).collect(),
            graph: graph.clone(),
            weights: weights.packed_by("lockstep")?,
            pages: budget.pages.clone(),
            programs: vec![],
            done: VecDeque::new(),
        }))
    }
}

/// A rank's part of a weight: what its slice lacks is zeros.
fn part(whole: &Value, part: Part, shape: &Shape, rank: u32) -> Value {
    let bytes = bytes_of(whole.dtype, shape);
    let mut slice = vec![0; bytes];
    let axis = match part {
        Part::Slice { axis, .. } => usize::from(axis),
        Part::Whole | Part::First => 0,
    };
    let range = part.range(shape[axis] as u32, rank);
    // Bytes of one step along the axis, where steps may be parts of a block.
    let inner = whole.data.len() / whole.shape[..=axis].iter().product::<usize>().max(1);
    let (block, blocks) = match axis + 1 == shape.len() {
        true => (whole.dtype.block_len(), whole.dtype.block_bytes()),
        false => (1, inner),
    };
    let steps = |n: usize| n / block * blocks;
    for outer in 0..shape[..axis].iter().product::<usize>() {
        let from = steps(outer * whole.shape[axis] + range.start as usize);
        let (to, len) = (steps(outer * shape[axis]), steps(range.len()));
        slice[to..to + len].copy_from_slice(&whole.data.as_slice::<u8>()[from..from + len]);
    }
    Value::new(whole.dtype, *shape, &slice)
}

struct Running {
    graph: Graph,
    weights: Arc<Loaded>,
    states: Vec<Ranks>,
    pages: Vec<u32>,
    programs: Vec<ProgramSpec>,
    done: VecDeque<Fetch>,
}

impl Executor for Running {
    fn pages(&self) -> &[u32] {
        &self.pages
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        self.programs.push(spec.clone());
        Ok(ProgramId(self.programs.len() as u32 - 1))
    }

    fn forget(&mut self, _: ProgramId) {}

    fn launch(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        let bucket = self.programs[program.0 as usize].bucket;
        let bound = bind(&self.graph, &bucket);
        let inputs = Inputs { bucket, feed, previous: &[] };
        inputs.check("lockstep", &self.graph, &self.pages)?;
        let mut filled = vec![];
        let argument = |place| match place {
            Place::Input(input) => {
                inputs.fill(input, &mut filled);
                let shape = input.ty().bind(&bucket).dims.shape().expect("bound");
                vec![Value::i32s(shape, &filled); self.graph.ranks as usize]
            }
            Place::Weight(place) => self.weights.weights[place].clone(),
            Place::State(place) => self.states[place].clone(),
            place => unreachable!("main takes no {place:?}"),
        };
        let args = bound.given().map(argument).collect();
        let mut results = run(&bound, bound.main(), args, &bucket)?;
        self.states = results.split_off(1);
        let mut fetch = Fetch::default();
        // Every rank has the same logits, to the bit: they were put together from the same parts.
        let logits = results[0].iter().map(Value::as_f32s).collect::<Vec<_>>();
        assert!(logits.windows(2).all(|pair| pair[0] == pair[1]), "ranks differ");
        for (row, logits) in feed.rows.iter().zip(logits[0].chunks_exact(self.graph.vocab as usize)) {
            Sampler::default().sample(logits, row, &mut fetch);
        }
        self.done.push_back(fetch);
        Ok(StepId(0))
    }

    fn finish(&mut self, _: StepId, fetch: &mut Fetch) -> Result<(), BackendError> {
        *fetch = self.done.pop_front().expect("launched before");
        Ok(())
    }

    fn export(&self, _: GroupId, _: &[PageId], _: &mut dyn Write) -> Result<(), BackendError> {
        unreachable!("nobody keeps pages of ranks in lockstep")
    }

    fn import(&mut self, _: GroupId, _: &[PageId], _: &mut dyn Read) -> Result<(), BackendError> {
        unreachable!("nobody keeps pages of ranks in lockstep")
    }

    fn report(&self, _: ProgramId) -> PlanReport {
        PlanReport::default()
    }
}

/// A function's results on every rank, node by node.
fn run(
    graph: &Graph,
    func: &Func,
    args: Vec<Ranks>,
    bucket: &graph::Bucket,
) -> Result<Vec<Ranks>, BackendError> {
    let mut values: Vec<Ranks> = vec![];
    for (first, node) in func.nodes_with_ids() {
        let given = node.args.iter().map(|arg| values[arg.index()].clone()).collect::<Vec<_>>();
        let results = match &node.op {
            Op::Param(place) => vec![args[*place as usize].clone()],
            Op::Call(callee) => run(graph, graph.func(*callee), given, bucket)?,
            Op::AllReduce { .. } => vec![summed(&given[0])],
            Op::AllGather { axis, .. } => vec![joined(&given[0], usize::from(*axis), func.ty(first))],
            op => alone(graph, op, &given, bucket)?,
        };
        values.extend(results);
    }
    Ok(func.results.iter().map(|value| values[value.index()].clone()).collect())
}

/// What every rank does by itself.
fn alone(graph: &Graph, op: &Op, args: &[Ranks], bucket: &graph::Bucket) -> Result<Vec<Ranks>, BackendError> {
    let mut results: Vec<Ranks> = vec![];
    for rank in 0..graph.ranks as usize {
        let args = args.iter().map(|ranks| ranks[rank].clone()).collect::<Vec<_>>();
        let made = reference::eval(op, &args, graph.page_len, bucket, false)?;
        results.resize(made.len(), vec![]);
        results.iter_mut().zip(made).for_each(|(ranks, value)| ranks.push(value));
    }
    Ok(results)
}

fn summed(parts: &Ranks) -> Ranks {
    let mut sum = vec![0.0; parts[0].as_f32s().len()];
    for part in parts {
        sum.iter_mut().zip(part.as_f32s()).for_each(|(sum, x)| *sum += x);
    }
    vec![Value::f32s(parts[0].shape, &sum); parts.len()]
}

fn joined(parts: &Ranks, axis: usize, ty: &Ty) -> Ranks {
    let outer = parts[0].shape[..axis].iter().product::<usize>();
    let mut all = vec![];
    for place in 0..outer {
        for part in parts {
            let len = part.as_f32s().len() / outer;
            all.extend_from_slice(&part.as_f32s()[place * len..(place + 1) * len]);
        }
    }
    vec![Value::f32s(ty.dims.shape().expect("bound"), &all); parts.len()]
}

fn bytes_of(dtype: DType, shape: &Shape) -> usize {
    let bytes = shape.elements().and_then(|elements| dtype.bytes_of(elements));
    bytes.expect("tensors of tests are small")
}
