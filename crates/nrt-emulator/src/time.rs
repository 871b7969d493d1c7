//! How long a program would take on a chip: the larger of the bytes over the memory's rate and the products over the
//! tensor engine's, plus what starting costs. It is a bound from published figures and no measurement; what is built
//! on it says so.

use hlo::{Computation, Element, Id, Instruction, Op, Shape, Unary};

use crate::interpret::Program;
use crate::settings::Chip;

/// What the host pays for starting a program on a core that waits for it, in nanoseconds: AWS's documentation of
/// vLLM on Neuron gives 437 µs a step. A program that was queued in time starts behind its predecessor.
pub const LAUNCH_NS: u64 = 437_000;

/// Nanoseconds of one execution on a logical core of so many cores, without its start.
pub fn execution_ns(program: &Program, chip: Chip, logical: u32) -> u64 {
    let facts = chip.facts();
    let entry = program.module.entry();
    let share = f64::from(logical) / f64::from(facts.cores);
    let memory = memory_bytes(program, entry) as f64 / (facts.bytes_per_s * share);
    let mut products = 0.0;
    let mut link = 0.0;
    for it in &entry.instructions {
        let bytes: usize = it.ty.arrays().iter().filter_map(Shape::bytes).sum();
        match &it.op {
            Op::Dot(dims) => {
                let a = entry.instruction(it.operands[0]).ty.arrays()[0].clone();
                let sum: usize = dims.lhs_contracting.iter().map(|&axis| a.dims[axis]).product();
                let rate = match a.element {
                    Element::F32 => facts.f32_per_s,
                    Element::BF16 | Element::F16 => facts.bf16_per_s,
                    _ => facts.f8_per_s,
                };
                let results = it.ty.arrays()[0].elements().unwrap_or(0);
                products += 2.0 * results as f64 * sum as f64 / (rate * share);
            }
            // Each rank sends and receives about twice what the result has, in a ring.
            Op::AllReduce { .. } => link += 2.0 * bytes as f64 / facts.link_bytes_per_s,
            Op::AllGather { .. } => link += bytes as f64 / facts.link_bytes_per_s,
            _ => {}
        }
    }
    ((memory.max(products) + link) * 1e9).ceil() as u64
}

/// Bytes from and to the device's memory: arguments as far as they are used, results as far as they are new.
fn memory_bytes(program: &Program, entry: &Computation) -> usize {
    let readers = readers(entry);
    let parameter = |place: &usize| matches!(entry.instructions[*place].op, Op::Parameter(_));
    let read: usize =
        (0..entry.instructions.len()).filter(parameter).map(|p| touched(entry, &readers, p)).sum();
    let aliases = &program.module.aliases;
    let new = |(place, shape): (usize, &Shape)| {
        let aliased = aliases.iter().any(|alias| alias.output == place);
        if aliased { 0 } else { shape.bytes().unwrap_or(0) }
    };
    read + program.results().iter().enumerate().map(new).sum::<usize>()
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
            Op::Reshape(_) | Op::Unary(Unary::Copy) => touched(entry, readers, reader),
            Op::Tuple => 0,
            _ => whole,
        }
    };
    readers[place].iter().map(by).fold(0, usize::saturating_add).min(whole)
}

fn bytes(it: &Instruction) -> usize {
    it.ty.arrays().iter().filter_map(Shape::bytes).fold(0, usize::saturating_add)
}
