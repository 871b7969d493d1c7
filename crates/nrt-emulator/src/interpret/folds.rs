//! Folding axes, and ordering along one.

use hlo::{Binary, Compare, Computation, Op, Shape};

use super::blocks::strides;
use super::elementwise::{of_two_floats, of_two_whole};
use super::numbers::{floats, of_floats, of_whole, whole};
use super::value::Value;

/// The operation that a computation of two elements is; other computations are not folded here.
pub fn operation(computation: &Computation) -> Option<Binary> {
    let root = computation.instruction(computation.root);
    let number = |place: usize| match computation.instruction(*root.operands.get(place)?).op {
        Op::Parameter(number) => Some(number),
        _ => None,
    };
    match (&root.op, number(0), number(1)) {
        (Op::Binary(op), Some(0), Some(1)) => Some(*op),
        _ => None,
    }
}

/// Whether a computation of an old and a new element gives the new one.
pub fn gives_second(computation: &Computation) -> bool {
    matches!(computation.instruction(computation.root).op, Op::Parameter(1))
}

/// The array without these axes. It is folded in f32, or in whole numbers, and rounded once.
pub fn reduce(x: &Value, initial: &Value, axes: &[usize], op: Binary, shape: Shape) -> Value {
    let element = shape.element;
    let mut out_strides = strides(&shape.dims).into_iter();
    let steps: Vec<usize> = (0..x.shape.dims.len())
        .map(|axis| if axes.contains(&axis) { 0 } else { out_strides.next().expect("an axis that stays") })
        .collect();
    if element.is_float() {
        let mut out = vec![floats(initial)[0]; shape.elements().unwrap_or(0)];
        each(&x.shape.dims, &steps, &floats(x), |at, value| out[at] = of_two_floats(op, out[at], value));
        return of_floats(shape, &out);
    }
    let mut out = vec![whole(initial)[0]; shape.elements().unwrap_or(0)];
    each(&x.shape.dims, &steps, &whole(x), |at, value| out[at] = of_two_whole(op, out[at], value, element));
    of_whole(shape, &out)
}

/// Every element in order, with the place that it has where axes have these strides.
fn each<T: Copy>(dims: &[usize], steps: &[usize], values: &[T], mut visit: impl FnMut(usize, T)) {
    let (Some((&run, outer)), Some((&step, outer_steps))) = (dims.split_last(), steps.split_last()) else {
        return values.iter().for_each(|&value| visit(0, value));
    };
    let (mut at, mut place) = (vec![0; outer.len()], 0);
    for values in values.chunks_exact(run.max(1)) {
        values.iter().enumerate().for_each(|(i, &value)| visit(place + i * step, value));
        for axis in (0..outer.len()).rev() {
            at[axis] += 1;
            place += outer_steps[axis];
            if at[axis] < outer[axis] {
                break;
            }
            place -= outer_steps[axis] * at[axis];
            at[axis] = 0;
        }
    }
}

/// What a comparison of a sort looks at, and whether the greater comes first.
#[derive(Clone, Copy)]
pub struct Precedence {
    operand: usize,
    falling: bool,
}

/// The precedence that a computation says, if it compares the same operand's two elements.
pub fn precedence(computation: &Computation) -> Option<Precedence> {
    let root = computation.instruction(computation.root);
    let number = |place: usize| match computation.instruction(*root.operands.get(place)?).op {
        Op::Parameter(number) => Some(number),
        _ => None,
    };
    let (Op::Compare(op), first, second) = (&root.op, number(0)?, number(1)?) else { return None };
    let greater = match op {
        Compare::Gt => true,
        Compare::Lt => false,
        _ => return None,
    };
    let (operand, swapped) = (first / 2, first > second);
    (second / 2 == operand && first != second).then_some(Precedence { operand, falling: greater != swapped })
}

/// The operands ordered together along an axis; equals stay as they were. What is not a number is beyond all numbers.
pub fn sort(operands: &[Value], axis: usize, by: Precedence) -> Vec<Value> {
    let key = &operands[by.operand];
    let (dims, float) = (&key.shape.dims, key.shape.element.is_float());
    let (stride, len) = (strides(dims)[axis], dims[axis]);
    // Numbers with the order of the keys, so that one comparison serves all types. Both zeros are equal.
    let keys: Vec<i64> = match float {
        true => floats(key).iter().map(|&x| ordered(x + 0.0)).collect(),
        false => whole(key),
    };
    let mut results: Vec<Value> = operands.iter().map(|x| Value::zeroed(x.shape.clone())).collect();
    for line in 0..keys.len() / len.max(1) {
        let start = line / stride * stride * len + line % stride;
        let mut order: Vec<usize> = (0..len).map(|i| start + i * stride).collect();
        match by.falling {
            true => order.sort_by_key(|&at| std::cmp::Reverse(keys[at])),
            false => order.sort_by_key(|&at| keys[at]),
        }
        for (result, operand) in results.iter_mut().zip(operands) {
            let (width, bytes) = (operand.shape.element.bytes(), operand.bytes());
            let to = result.bytes_mut();
            for (i, &from) in order.iter().enumerate() {
                let at = start + i * stride;
                to[at * width..][..width].copy_from_slice(&bytes[from * width..][..width]);
            }
        }
    }
    results
}

/// A number that orders as floats do.
fn ordered(x: f32) -> i64 {
    let bits = x.to_bits() as i32;
    i64::from(if bits < 0 { bits ^ i32::MAX } else { bits })
}
