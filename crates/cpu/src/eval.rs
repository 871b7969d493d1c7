//! One operation on its own: how conformance holds this backend against others.

use graph::{BackendError, Bucket, Dims, Graph, Op, Place, Plan, ProgramSpec, Ty, expand};
use tensor::{Buffer, Value, WeightInfo};

use crate::executor::run_once;
use crate::program::{self, Memory, Program, Slot};
use crate::roles;
use crate::states::{Layout, PageShape, State, States};
use crate::team::Team;
use crate::weights::{Form, Loaded, Weight};
use crate::{Cpu, NAME, Options};

/// Evaluates one operation, whole where there is a kernel for it. Matrices are packed, states put into pages, and what
/// the operation gives is brought out again.
pub fn eval(
    options: &Options,
    op: &Op,
    args: &[Value],
    page_len: u32,
    bucket: &Bucket,
) -> Result<Vec<Value>, BackendError> {
    let Cpu { ways, .. } = Cpu::new(options)?;
    let types = args.iter().map(|arg| Ty::new(arg.dtype, Dims::from(arg.shape))).collect::<Vec<_>>();
    let unsupported =
        |reason: String| BackendError::Unsupported { device: NAME, what: op.to_string(), reason };
    let graph = Graph::of_op(op, &types, page_len).map_err(|error| unsupported(error.to_string()))?;
    graph.check_alone(NAME)?;
    let graph = expand(&graph, bucket, &program::takes);
    let (plan, places, weights) = placed(&graph, args)?;
    let states = put_in(&plan, &places, args)?;
    let spec = ProgramSpec { bucket: *bucket, ..ProgramSpec::default() };
    let program = Program::of_plan(plan, &weights.forms, &spec, page_len as usize, ways)?;
    let mut work = Buffer::zeroed(program.work_bytes);
    let mut team = Team::new(ways.workers);
    let memory = Memory::new(&mut work, &[], &weights, &program.constants, &states, &[]);
    run_once(&program, &memory, &mut team);
    let result = |&value: &graph::ValueId| match program.plan.place(value) {
        Place::State(state) => brought_out(&states, state, &args[places[state]]),
        _ => {
            let slot = Slot::of(&program.plan, value);
            // SAFETY: all workers are done.
            Value::new(slot.dtype, slot.shape, unsafe { memory.bytes(&slot) })
        }
    };
    Ok(program.plan.results.iter().map(result).collect())
}

/// The plan with its arguments made weights and states, which arguments the states are, and the weights.
fn placed(graph: &Graph, args: &[Value]) -> Result<(Plan, Vec<usize>, Loaded), BackendError> {
    let mut plan = Plan::of(graph, &[]);
    let used = |argument: usize, place: &dyn Fn(&Op) -> &'static [usize]| {
        plan.nodes.iter().any(|node| {
            let mut args = place(&node.op).iter().map(|&place| plan.place(node.args[place]));
            args.any(|place| place == Place::Argument(argument))
        })
    };
    let of_states = |op: &Op| -> &'static [usize] {
        match op {
            Op::StateRead | Op::StateWrite => &[0],
            Op::Attention { .. } => &[1, 2],
            _ => &[],
        }
    };
    let states = (0..args.len()).filter(|&argument| used(argument, &of_states)).collect::<Vec<_>>();
    let (mut weights, mut forms) = (vec![], vec![]);
    for (value, roles) in args.iter().zip(roles::of(graph)) {
        let form = Form::of(WeightInfo { dtype: value.dtype, shape: value.shape }, roles)?;
        weights.push(Weight::of(value.clone(), &form));
        forms.push(form);
    }
    for value in &mut plan.values {
        if let Place::Argument(argument) = value.place {
            let state = states.iter().position(|&state| state == argument);
            value.place = state.map_or(Place::Weight(argument), Place::State);
        }
    }
    Ok((plan, states, Loaded { weights, forms }))
}

/// States of these arguments, `[pages, S, ..]` each, in the layouts that the plan's nodes want.
fn put_in(plan: &Plan, places: &[usize], args: &[Value]) -> Result<States, BackendError> {
    let mut states = vec![];
    for (state, &argument) in places.iter().enumerate() {
        let attends = |place: usize| {
            let mut nodes = plan.nodes.iter().filter(|node| matches!(node.op, Op::Attention { .. }));
            nodes.any(|node| plan.place(node.args[place]) == Place::State(state))
        };
        let layout = match (attends(1), attends(2)) {
            (true, false) => Layout::Keys,
            (false, true) => Layout::Values,
            _ => Layout::Plain,
        };
        let value = &args[argument];
        let (pages, page_len, slot) = (value.shape[0], value.shape[1], &value.shape[2..]);
        let (heads, width) = match *slot {
            [heads, width] => (heads, width),
            _ => (1, slot.iter().product()),
        };
        let shape = PageShape::new(value.dtype, layout, page_len, heads, width);
        states.push(State::of(shape, pages, value.data.as_slice())?);
    }
    Ok(States::of(states))
}

/// A state in the order of the graph again.
fn brought_out(states: &States, state: usize, like: &Value) -> Value {
    Value::new(like.dtype, like.shape, &states.state(state).bytes())
}
