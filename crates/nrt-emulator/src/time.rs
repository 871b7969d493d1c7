//! How long a program would take on a chip: the larger of the bytes over the memory's rate and the products over the
//! tensor engine's, plus what starting costs. It is a bound from published figures and no measurement; what is built
//! on it says so.

use hlo::{Computation, Element, Id, Instruction, Op, Shape};

use crate::interpret::{Program, SCALED_DOT, bytes};
use crate::settings::{Chip, Facts};

/// What the host pays for starting a program on a core that waits for it, in nanoseconds: AWS's documentation of
/// vLLM on Neuron gives 437 µs a step. A program that was queued in time starts behind its predecessor.
pub const LAUNCH_NS: u64 = 437_000;

/// Nanoseconds of one execution on a logical core of so many cores, without its start.
pub fn execution_ns(program: &Program, chip: Chip, logical: u32) -> u64 {
    let facts = chip.facts();
    let share = f64::from(logical) / f64::from(facts.cores);
    let entry = program.module.entry();
    let cost = cost(program, entry, &facts);
    let memory = cost.bytes + new_bytes(program) as f64;
    let busy = (memory / (facts.bytes_per_s * share)).max(cost.products_s / share);
    ((busy + cost.link_s) * 1e9).ceil() as u64
}

/// What a computation takes of a whole chip.
#[derive(Default)]
struct Cost {
    /// Bytes read and replaced.
    bytes: f64,
    /// Seconds of the tensor engines.
    products_s: f64,
    /// Seconds of the links between cores.
    link_s: f64,
}

fn cost(program: &Program, of: &Computation, facts: &Facts) -> Cost {
    let mut cost = Cost { bytes: read_bytes(of) as f64, ..Cost::default() };
    for it in &of.instructions {
        match &it.op {
            Op::Dot(dims) => {
                let a = operand(of, it);
                let sum: usize = dims.lhs_contracting.iter().map(|&axis| a.dims[axis]).product();
                let rate = match a.element {
                    Element::F32 => facts.f32_per_s,
                    Element::BF16 | Element::F16 => facts.bf16_per_s,
                    _ => facts.f8_per_s,
                };
                cost.products_s += operations(it, sum) / rate;
            }
            // Four elements of eight bits are packed in one.
            Op::CustomCall { target, .. } if target == SCALED_DOT => {
                let sum = operand(of, it).dims.last().map_or(0, |words| 4 * words);
                cost.products_s += operations(it, sum) / facts.f8_per_s;
            }
            // Each rank sends and receives about twice what the result has, in a ring.
            Op::AllReduce { .. } => cost.link_s += 2.0 * bytes(it) as f64 / facts.link_bytes_per_s,
            Op::AllGather { .. } => cost.link_s += bytes(it) as f64 / facts.link_bytes_per_s,
            Op::While { body, .. } => {
                let turns = program.turns(of, it) as f64;
                let turn = self::cost(program, program.module.computation(*body), facts);
                cost.bytes += turns * turn.bytes;
                cost.products_s += turns * turn.products_s;
                cost.link_s += turns * turn.link_s;
            }
            _ => {}
        }
    }
    cost
}

fn operand<'a>(of: &'a Computation, it: &Instruction) -> &'a Shape {
    of.instruction(it.operands[0]).ty.array().expect("factors are arrays, as was inferred")
}

fn operations(it: &Instruction, sum: usize) -> f64 {
    2.0 * it.ty.arrays()[0].elements().unwrap_or(0) as f64 * sum as f64
}

/// Bytes of results that take no argument's place.
fn new_bytes(program: &Program) -> usize {
    let is_new = |place: &usize| program.module.aliases.iter().all(|alias| alias.output != *place);
    let results = program.results().iter().enumerate().filter(|(place, _)| is_new(place));
    results.filter_map(|(_, shape)| shape.bytes()).sum()
}

/// Bytes of what a computation is given, as far as they are used.
fn read_bytes(of: &Computation) -> usize {
    let readers = readers(of);
    let given = |place: &usize| match of.instructions[*place] {
        Instruction { op: Op::Parameter(_), ref ty, .. } => ty.array().is_some(),
        Instruction { op: Op::GetTupleElement(_), ref operands, .. } => {
            matches!(of.instruction(operands[0]).op, Op::Parameter(_))
        }
        _ => false,
    };
    (0..of.instructions.len()).filter(given).map(|place| touched(of, &readers, place)).sum()
}

fn readers(entry: &Computation) -> Vec<Vec<usize>> {
    let mut readers = vec![Vec::new(); entry.instructions.len()];
    for (place, it) in entry.instructions.iter().enumerate() {
        it.operands.iter().for_each(|&Id(operand)| readers[operand].push(place));
    }
    readers
}

/// How many bytes of a value its readers touch. Chains of views are short, since reading ends at the first that is none.
fn touched(entry: &Computation, readers: &[Vec<usize>], place: usize) -> usize {
    let whole = bytes(&entry.instructions[place]);
    let by = |&reader: &usize| {
        let it = &entry.instructions[reader];
        let first = it.operands.first() == Some(&Id(place));
        match it.op {
            Op::Gather(_) if first => bytes(it),
            Op::Scatter(_) if first => {
                bytes(entry.instruction(it.operands[2])).saturating_add(touched(entry, readers, reader))
            }
            Op::DynamicSlice(_) if first => bytes(it),
            Op::DynamicUpdateSlice if first => {
                bytes(entry.instruction(it.operands[1])).saturating_add(touched(entry, readers, reader))
            }
            Op::Reshape(_) | Op::Bitcast(_) => touched(entry, readers, reader),
            Op::Tuple => 0,
            _ => whole,
        }
    };
    readers[place].iter().map(by).fold(0, usize::saturating_add).min(whole)
}
