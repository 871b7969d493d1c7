//! Executing a module: instruction after instruction, as their meaning in HLO is.
//!
//! A value is dropped after its last use, so that an instruction which replaces part of an array does so where it lies.
//! The interpreter takes what the engine emits, and refuses the rest when a program is loaded.

mod blocks;
mod custom;
mod elementwise;
mod folds;
mod loops;
mod numbers;
mod product;
mod value;

use hlo::{Binary, Computation, ComputationId, Element, Instruction, Module, Op, Shape, Type};

use self::blocks::OutOfBounds;
pub use self::custom::{SCALED_DOT, is_scaled};
pub use self::numbers::floats;
pub use self::value::{Lent, Value};
use crate::abi::{Code, EXEC_HW_ERR_COLLECTIVES, EXEC_OOB};
use crate::ranks::World;

/// A module that can be executed.
pub struct Program {
    pub module: Module,
    /// For each instruction of each computation, the last that reads it.
    last: Vec<Vec<usize>>,
}

/// A program's place among those that compute together.
pub struct Member<'a> {
    pub world: &'a World,
    pub rank: usize,
    /// The number of this execution, the same for all ranks.
    pub execution: u64,
}

impl Program {
    /// The program of a module, unless it holds something that is not executed here.
    pub fn new(module: Module) -> Result<Program, String> {
        executed(&module, module.entry())?;
        let last = module.computations.iter().map(last_readers).collect();
        Ok(Program { module, last })
    }

    /// The results for arguments in the order of the module's inputs.
    pub fn run(&self, arguments: Vec<Value>, member: Option<&Member>) -> Result<Vec<Value>, Code> {
        let entry = ComputationId(self.module.computations.len() - 1);
        self.computation(entry, arguments.into_iter().map(|value| vec![value]).collect(), member, &mut 0)
    }

    /// What a computation gives for arguments that are one array or several.
    fn computation(
        &self,
        id: ComputationId,
        mut arguments: Vec<Vec<Value>>,
        member: Option<&Member>,
        exchanges: &mut u64,
    ) -> Result<Vec<Value>, Code> {
        let (it, last) = (self.module.computation(id), &self.last[id.0]);
        let mut values: Vec<Vec<Value>> = Vec::with_capacity(it.instructions.len());
        for (place, it) in it.instructions.iter().enumerate() {
            let operands = it.operands.iter().enumerate().flat_map(|(n, operand)| {
                let again = it.operands[n + 1..].contains(operand);
                match last[operand.0] == place && !again {
                    true => std::mem::take(&mut values[operand.0]),
                    false => values[operand.0].clone(),
                }
            });
            let operands: Vec<Value> = match it.op {
                Op::Parameter(number) => std::mem::take(&mut arguments[number]),
                _ => operands.collect(),
            };
            let result = self.instruction(it, operands, member, exchanges)?;
            values.push(if last[place] > place { result } else { Vec::new() });
        }
        Ok(std::mem::take(&mut values[it.root.0]))
    }

    fn instruction(
        &self,
        it: &Instruction,
        operands: Vec<Value>,
        member: Option<&Member>,
        exchanges: &mut u64,
    ) -> Result<Vec<Value>, Code> {
        match (&it.op, &it.ty) {
            (Op::Parameter(_) | Op::Tuple, _) => Ok(operands),
            (Op::GetTupleElement(place), _) => Ok(operands.into_iter().skip(*place).take(1).collect()),
            (Op::Sort { dimension, computation }, _) => {
                let by = folds::precedence(self.module.computation(*computation));
                Ok(folds::sort(&operands, *dimension, by.expect("checked when the program was loaded")))
            }
            (Op::CustomCall { target, config, .. }, ty) => Ok(custom::call(target, config, &operands, ty)),
            (Op::While { condition, body }, _) => {
                let mut values = operands;
                loop {
                    let goes_on = self.computation(*condition, vec![values.clone()], member, exchanges)?;
                    if goes_on[0].bytes() == [0] {
                        return Ok(values);
                    }
                    values = self.computation(*body, vec![values], member, exchanges)?;
                }
            }
            (_, Type::Array(shape)) => {
                self.array(&it.op, operands, shape.clone(), member, exchanges).map(|value| vec![value])
            }
            (_, Type::Tuple(_)) => {
                unreachable!("only those above give tuples, as was inferred when it was decoded")
            }
        }
    }

    fn array(
        &self,
        op: &Op,
        operands: Vec<Value>,
        shape: Shape,
        member: Option<&Member>,
        exchanges: &mut u64,
    ) -> Result<Value, Code> {
        let mut operands = operands.into_iter();
        let mut next = || operands.next().expect("operands were counted when the module was decoded");
        let checked = |value: Result<Value, OutOfBounds>| value.map_err(|OutOfBounds| EXEC_OOB);
        Ok(match op {
            Op::Constant(literal) => Value::of_bytes(shape, &literal.bytes),
            Op::Iota { dimension, .. } => iota(shape, *dimension),
            Op::Unary(op) => elementwise::unary(*op, next()),
            Op::Binary(op) => elementwise::binary(*op, next(), &next()),
            Op::Compare(op) => elementwise::compare(*op, &next(), &next()),
            Op::Select => elementwise::select(&next(), next(), &next()),
            Op::Convert(element) => elementwise::convert(next(), *element),
            Op::Bitcast(_) => next().reshaped(shape),
            Op::Pad { low, .. } => blocks::pad(&next(), &next(), low, shape),
            Op::DynamicSlice(sizes) => blocks::dynamic_slice(&next(), &operands.collect::<Vec<_>>(), sizes),
            Op::DynamicUpdateSlice => blocks::dynamic_update(next(), &next(), &operands.collect::<Vec<_>>()),
            Op::Reshape(_) => next().reshaped(shape),
            Op::Broadcast { dims, dimensions } => blocks::broadcast(&next(), dims, dimensions),
            Op::Transpose(order) => blocks::transpose(&next(), order),
            Op::Slice { starts, limits } => blocks::slice(&next(), starts, limits),
            Op::Concatenate(axis) => blocks::concatenate(&operands.collect::<Vec<_>>(), *axis, shape),
            Op::Gather(dims) => checked(blocks::gather(&next(), &next(), dims, shape))?,
            Op::Scatter(dims) => checked(blocks::scatter(next(), &next(), &next(), dims))?,
            Op::Reduce { dimensions, computation } => {
                folds::reduce(&next(), &next(), dimensions, self.fold(*computation), shape)
            }
            Op::Dot(dims) => product::dot(&next(), &next(), dims, shape),
            Op::AllReduce { groups, computation } => {
                let mut parts = exchange(&next(), groups, member, exchanges)?.into_iter();
                let first = parts.next().expect("a group has a rank");
                let op = self.fold(*computation);
                parts.fold(first, |sum, part| elementwise::binary(op, sum, &part))
            }
            Op::AllGather { dimension, groups } => {
                blocks::concatenate(&exchange(&next(), groups, member, exchanges)?, *dimension, shape)
            }
            Op::Parameter(_)
            | Op::Tuple
            | Op::GetTupleElement(_)
            | Op::Sort { .. }
            | Op::While { .. }
            | Op::CustomCall { .. } => unreachable!("done where tuples are"),
        })
    }

    fn fold(&self, computation: hlo::ComputationId) -> Binary {
        folds::operation(self.module.computation(computation)).expect("checked when the program was loaded")
    }

    /// The shapes of the arguments, by their numbers.
    pub fn parameters(&self) -> Vec<Shape> {
        let entry = self.module.entry();
        entry.parameters().into_iter().flat_map(|ty| ty.arrays().to_vec()).collect()
    }

    /// The shapes of the results.
    pub fn results(&self) -> &[Shape] {
        self.module.entry().result().arrays()
    }

    /// The most bytes of intermediate values at one time.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch(ComputationId(self.module.computations.len() - 1))
    }

    fn scratch(&self, id: ComputationId) -> usize {
        let (it, last) = (self.module.computation(id), &self.last[id.0]);
        let (mut now, mut most, mut ends) = (0usize, 0, vec![0usize; it.instructions.len() + 1]);
        for (place, it) in it.instructions.iter().enumerate() {
            let (kept, within) = match it.op {
                Op::Parameter(_) | Op::Tuple | Op::GetTupleElement(_) => (0, 0),
                Op::Reshape(_) | Op::Bitcast(_) | Op::Scatter(_) | Op::DynamicUpdateSlice => (0, 0),
                Op::While { body, .. } => (bytes(it), self.scratch(body)),
                _ => (bytes(it), 0),
            };
            now = now.saturating_add(kept);
            ends[last[place]] = ends[last[place]].saturating_add(kept);
            most = most.max(now.saturating_add(within));
            now = now.saturating_sub(ends[place]);
        }
        most
    }

    /// How often the body of a loop is run.
    pub fn turns(&self, it: &Computation, of: &Instruction) -> u64 {
        loops::turns(&self.module, it, of).expect("counted when the program was loaded")
    }

    /// How many ranks there must be for those that it names; none where nothing is exchanged.
    pub fn ranks(&self) -> usize {
        let groups = self.module.entry().instructions.iter().filter_map(|it| match &it.op {
            Op::AllReduce { groups, .. } | Op::AllGather { groups, .. } => Some(groups),
            _ => None,
        });
        groups.flatten().flatten().map(|rank| rank.saturating_add(1)).max().unwrap_or(0)
    }
}

/// Bytes of what an instruction gives.
pub fn bytes(it: &Instruction) -> usize {
    it.ty.arrays().iter().filter_map(Shape::bytes).fold(0, usize::saturating_add)
}

/// For each instruction of a computation, the last that reads it.
fn last_readers(it: &Computation) -> Vec<usize> {
    let mut last: Vec<usize> = (0..it.instructions.len()).collect();
    for (place, it) in it.instructions.iter().enumerate() {
        it.operands.iter().for_each(|operand| last[operand.0] = place);
    }
    last[it.root.0] = it.instructions.len();
    last
}

/// Refuses what is not executed here, in a computation and in the loops that it runs.
fn executed(module: &Module, computation: &Computation) -> Result<(), String> {
    for it in &computation.instructions {
        known(module, computation, it)?;
        if let Op::While { condition, body } = it.op {
            loops::turns(module, computation, it)?;
            executed(module, module.computation(condition))?;
            executed(module, module.computation(body))?;
        }
    }
    Ok(())
}

fn known(module: &Module, of: &Computation, it: &Instruction) -> Result<(), String> {
    let computation = it.op.computation().map(|id| module.computation(id));
    let fine = match (&it.op, computation) {
        (Op::Reduce { .. } | Op::AllReduce { .. }, Some(folded)) => folds::operation(folded).is_some(),
        (Op::Scatter(_), Some(replaced)) => folds::gives_second(replaced),
        (Op::Sort { .. }, Some(compared)) => folds::precedence(compared).is_some(),
        (Op::CustomCall { target, config, ty }, _) => {
            let operands: Vec<&Type> = it.operands.iter().map(|id| &of.instruction(*id).ty).collect();
            return custom::check(target, config, &operands, ty);
        }
        _ => true,
    };
    let path = if it.path.is_empty() { "an instruction without a path" } else { &it.path };
    if fine {
        Ok(())
    } else {
        Err(format!("{path}: the computation of this {} is not known here", it.op.opcode()))
    }
}

fn iota(shape: Shape, dimension: usize) -> Value {
    let stride = blocks::strides(&shape.dims)[dimension];
    let count = shape.elements().expect("a decoded module's shapes can be counted");
    let values: Vec<i64> = (0..count).map(|place| (place / stride % shape.dims[dimension]) as i64).collect();
    match shape.element.is_float() {
        true => numbers::of_floats(shape, &values.iter().map(|&x| x as f32).collect::<Vec<_>>()),
        false => numbers::of_whole(shape, &values),
    }
}

/// The values of all ranks of this rank's group, in the group's order.
fn exchange(
    x: &Value,
    groups: &[Vec<usize>],
    member: Option<&Member>,
    exchanges: &mut u64,
) -> Result<Vec<Value>, Code> {
    let Some(member) = member else { return Err(EXEC_HW_ERR_COLLECTIVES) };
    let group = groups.iter().find(|group| group.contains(&member.rank)).ok_or(EXEC_HW_ERR_COLLECTIVES)?;
    let number = member.execution << 16 | *exchanges;
    *exchanges += 1;
    let bytes = x.bytes().to_vec();
    let all = member.world.exchange(group, member.rank, number, bytes, EXEC_HW_ERR_COLLECTIVES)?;
    Ok(all.iter().map(|bytes| Value::of_bytes(x.shape.clone(), bytes)).collect())
}

/// Whether an array holds something that is not a number.
pub fn has_nan(value: &Value) -> bool {
    value.shape.element.is_float() && floats(value).iter().any(|x| x.is_nan())
}

/// The number that libnrt has for a type: `nrt_dtype_t`.
pub fn dtype(element: Element) -> i32 {
    match element {
        Element::S8 => 0x2,
        Element::U8 | Element::Pred => 0x3,
        Element::BF16 => 0x6,
        Element::F16 => 0x7,
        Element::S32 => 0x8,
        Element::U32 => 0x9,
        Element::F32 => 0xa,
        Element::F8E4M3 | Element::F8E4M3FN => 0xe,
        Element::F8E5M2 => 0xf,
    }
}
