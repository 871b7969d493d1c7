//! One operation alone, for the conformance suite.

use graph::{BackendError, Bucket, Graph, Op, ProgramSpec, Ty};
use tensor::Value;

use crate::array::Array;
use crate::program::Program;
use crate::run::run;
use crate::{NAME, failed, unsupported};

/// The results of one operation on concrete values, composites through their expansion. A state is a value
/// `[pages, S, ..]` with pages of `page_len` slots; `bucket` binds what variables the operation's shape has.
pub fn eval(op: &Op, args: &[Value], page_len: u32, bucket: &Bucket) -> Result<Vec<Value>, BackendError> {
    let types = args.iter().map(|arg| Ty::new(arg.dtype, arg.shape)).collect::<Vec<_>>();
    let graph =
        Graph::of_op(op, &types, page_len).map_err(|error| unsupported(op.to_string(), error.to_string()))?;
    graph.check_alone(NAME)?;
    let spec = ProgramSpec { bucket: *bucket, ..ProgramSpec::default() };
    let program = Program::compile(&graph, &spec)?;
    let arrays = args.iter().map(|arg| Array::from_bytes(arg.dtype, &arg.shape, arg.data.as_slice()));
    let arrays = arrays.collect::<candle_core::Result<_>>().map_err(failed)?;
    let (results, _) = run(&program, arrays, &[]).map_err(failed)?;
    let value =
        |array: &Array| Ok(Value::new(array.dtype, array.shape(), &array.to_bytes().map_err(failed)?));
    results.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use graph::{Act, BinaryOp, CompareOp, Dims, ReduceOp, UnaryOp};
    use tensor::DType;

    use super::*;

    fn all(op: Op, args: &[Value]) -> Vec<Value> {
        eval(&op, args, 2, &Bucket::default()).unwrap()
    }

    fn one(op: Op, args: &[Value]) -> Value {
        let results = all(op, args);
        assert_eq!(results.len(), 1);
        results[0].clone()
    }

    fn near(found: &Value, shape: &[usize], wanted: &[f32]) {
        assert_eq!(found.shape[..], *shape);
        for (found, wanted) in found.to_f32().iter().zip(wanted) {
            assert!((found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{found} is not {wanted}");
        }
    }

    #[test]
    fn whole_numbers_divide_downwards_and_wrap() {
        let (a, b) = (Value::i32s([2, 2], &[7, -7, i32::MAX, 6]), Value::i32s([1], &[2]));
        let binary = |op| one(Op::Binary(op), &[a.clone(), b.clone()]).as_i32s().to_vec();
        assert_eq!(binary(BinaryOp::Div), [3, -4, i32::MAX / 2, 3]);
        assert_eq!(binary(BinaryOp::Add), [9, -5, i32::MIN + 1, 8]);
        assert_eq!(binary(BinaryOp::Min), [2, -7, 2, 2]);
        assert_eq!(one(Op::Unary(UnaryOp::Neg), &[a]).as_i32s(), [-7, 7, -i32::MAX, -6]);
    }

    #[test]
    fn axes_missing_in_front_are_repeated() {
        let a = Value::f32s([2, 1, 2], &[1.0, 2.0, 3.0, 4.0]);
        let b = Value::f32s([3, 1], &[10.0, 20.0, 30.0]);
        let sum = [11.0, 12.0, 21.0, 22.0, 31.0, 32.0, 13.0, 14.0, 23.0, 24.0, 33.0, 34.0];
        near(&one(Op::Binary(BinaryOp::Add), &[a.clone(), b.clone()]), &[2, 3, 2], &sum);
        let scalar = Value::f32s([], &[2.0]);
        let less = one(Op::Compare(CompareOp::LessEqual), &[a.clone(), scalar.clone()]);
        assert_eq!((less.dtype, less.to_f32()), (DType::Bool, vec![1.0, 1.0, 0.0, 0.0]));
        let chosen = [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, 10.0, 10.0, 20.0, 20.0, 30.0, 30.0];
        near(&one(Op::Select, &[less, a, b.clone()]), &[2, 3, 2], &chosen);
        let wide = one(Op::Broadcast(Dims::from([2, 3, 2])), &[b]);
        near(&wide, &[2, 3, 2], &[10.0, 10.0, 20.0, 20.0, 30.0, 30.0].repeat(2));
    }

    #[test]
    fn elements_are_moved() {
        let x = Value::i32s([2, 3], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(one(Op::Transpose(vec![1, 0]), std::slice::from_ref(&x)).as_i32s(), [1, 4, 2, 5, 3, 6]);
        let cut = one(Op::Slice { axis: 1, start: 1, len: 2 }, std::slice::from_ref(&x));
        assert_eq!(cut.as_i32s(), [2, 3, 5, 6]);
        let joined = one(Op::Concat { axis: 1 }, &[cut, x.clone()]);
        assert_eq!(joined.as_i32s(), [2, 3, 1, 2, 3, 5, 6, 4, 5, 6]);
        let rows = one(Op::Gather, &[x, Value::i32s([2, 1], &[1, 0])]);
        assert_eq!((&rows.shape[..], rows.as_i32s()), (&[2, 1, 3][..], &[4, 5, 6, 1, 2, 3][..]));
        let iota = |dtype| one(Op::Iota { dtype, dims: Dims::from([2, 3, 1]), axis: 1 }, &[]).to_f32();
        assert_eq!(iota(DType::I32), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
        assert_eq!(iota(DType::F32), iota(DType::I32));
    }

    #[test]
    fn ids_that_are_not_there_are_errors() {
        let table = Value::f32s([2, 1], &[1.0, 2.0]);
        for id in [-1, 2, i32::MAX, i32::MIN] {
            let error = eval(&Op::Gather, &[table.clone(), Value::i32s([1], &[id])], 2, &Bucket::default());
            assert!(error.is_err(), "{id}");
        }
    }

    #[test]
    fn matrices_multiply_over_outer_axes() {
        let counting = |axes: &[usize]| {
            let values =
                (0..axes.iter().product::<usize>()).map(|i| (i % 7) as f32 - 3.0).collect::<Vec<_>>();
            Value::f32s(tensor::Shape::new(axes), &values)
        };
        let (m, n, o) = (2, 3, 4);
        for (outer, shared) in [(&[][..], true), (&[2][..], false), (&[2, 3, 2], false), (&[2, 3, 2], true)] {
            let a = counting(&[outer, &[m, n]].concat());
            let b_outer = if shared { &[] } else { outer };
            for transposed in [false, true] {
                let b = counting(&[b_outer, &if transposed { [o, n] } else { [n, o] }].concat());
                let (x, y) = (a.as_f32s(), b.as_f32s());
                let mut wanted = vec![];
                for batch in 0..outer.iter().product::<usize>() {
                    let from = if shared { 0 } else { batch * n * o };
                    for (i, j) in (0..m).flat_map(|i| (0..o).map(move |j| (i, j))) {
                        let b = |k| y[from + if transposed { j * n + k } else { k * o + j }];
                        wanted.push((0..n).map(|k| x[(batch * m + i) * n + k] * b(k)).sum::<f32>());
                    }
                }
                near(&one(Op::Matmul { transposed }, &[a.clone(), b]), &[outer, &[m, o]].concat(), &wanted);
            }
        }
    }

    #[test]
    fn rows_are_reduced() {
        let x = Value::f32s([2, 2], &[1.0, 3.0, -4.0, 0.0]);
        let reduce = |op| one(Op::Reduce(op), std::slice::from_ref(&x));
        near(&reduce(ReduceOp::Sum), &[2, 1], &[4.0, -4.0]);
        near(&reduce(ReduceOp::Mean), &[2, 1], &[2.0, -2.0]);
        near(&reduce(ReduceOp::Max), &[2, 1], &[3.0, 0.0]);
        let x = Value::f32s([1, 3], &[0.0, f32::NEG_INFINITY, 3f32.ln()]);
        near(&one(Op::Softmax, &[x]), &[1, 3], &[0.25, 0.0, 0.75]);
    }

    #[test]
    fn the_first_of_equals_is_the_largest() {
        let x = Value::f32s([2, 4], &[1.0, 5.0, 5.0, 2.0, 0.0, -0.0, f32::NAN, -1.0]);
        let top = all(Op::TopK(3), &[x]);
        assert_eq!(top[0].as_f32s()[..3], [5.0, 5.0, 2.0]);
        assert_eq!(top[1].as_i32s(), [1, 2, 3, 2, 0, 1]);
    }

    #[test]
    fn blocks_are_gathered_and_multiplied() {
        // Two rows of Q8_0: scales 0.5 and 2, codes counting from -16 on.
        let codes = (0..32).map(|i| (i - 16i8) as u8).collect::<Vec<_>>();
        let row = |scale: u16| [&scale.to_le_bytes()[..], &codes].concat();
        let table = Value::new(DType::Q8_0, [2, 32], &[row(0x3800), row(0x4000)].concat());
        let picked = one(Op::Gather, &[table.clone(), Value::i32s([3], &[1, 0, 1])]);
        assert_eq!((picked.dtype, &picked.shape[..]), (DType::Q8_0, &[3, 32][..]));
        assert_eq!(picked.to_f32()[31..34], [30.0, -8.0, -7.5]);
        let embedded = one(Op::Embed, &[Value::i32s([1], &[1]), table.clone()]);
        assert_eq!(embedded.as_f32s()[..2], [-32.0, -30.0]);
        let x = Value::f32s([1, 32], &[1.0; 32]);
        let bias = Value::f32s([2], &[1.0, 2.0]);
        near(&one(Op::Linear, &[x, table, bias]), &[1, 2], &[-7.0, -30.0]);
    }

    #[test]
    fn states_are_rounded_into_their_slots() {
        for (dtype, rounded) in [(DType::F32, 1.000_976_6), (DType::F16, 1.000_976_6), (DType::BF16, 1.0)] {
            let width = dtype.block_bytes();
            let state = Value::new(dtype, [3, 2, 1], &vec![0; 6 * width]);
            let values = Value::f32s([2, 1], &[1.000_976_6, -2.0]);
            let state = one(Op::StateWrite, &[state, Value::i32s([2], &[5, 2]), values]);
            assert_eq!(state.to_f32(), [0.0, 0.0, -2.0, 0.0, 0.0, rounded], "{dtype}");
            let read = one(Op::StateRead, &[state, Value::i32s([1, 2], &[2, 1])]);
            near(&read, &[1, 4, 1], &[0.0, rounded, -2.0, 0.0]);
        }
    }

    #[test]
    fn states_in_blocks_are_refused() {
        let state = Value::new(DType::Q8_0, [1, 2, 32], &[0; 68]);
        let error = eval(&Op::StateRead, &[state, Value::i32s([1, 1], &[0])], 2, &Bucket::default());
        assert!(error.unwrap_err().to_string().contains("states of q8_0"));
    }

    #[test]
    fn composites_go_through_their_expansions() {
        let x = Value::f32s([1, 2], &[3.0, 4.0]);
        let normed = one(Op::RmsNorm { eps: 0.0 }, &[x.clone(), Value::f32s([2], &[1.0, 2.0])]);
        near(&normed, &[1, 2], &[3.0 / 12.5f32.sqrt(), 8.0 / 12.5f32.sqrt()]);
        near(&one(Op::GatedAct(Act::Relu), &[x.clone(), x]), &[1, 2], &[9.0, 16.0]);
        let x = Value::f32s([1, 1, 2], &[1.0, 0.0]);
        let turned = one(Op::Rope { scale: 1.0 }, &[x, Value::i32s([1], &[2]), Value::f32s([1], &[0.5])]);
        near(&turned, &[1, 1, 2], &[1f32.cos(), 1f32.sin()]);
    }

    #[test]
    fn nothing_gives_nothing() {
        let none = Value::f32s([0, 3], &[]);
        assert_eq!(one(Op::Softmax, std::slice::from_ref(&none)).shape[..], [0, 3]);
        assert_eq!(one(Op::Reduce(ReduceOp::Max), std::slice::from_ref(&none)).shape[..], [0, 1]);
        let product = one(Op::Matmul { transposed: false }, &[none, Value::f32s([3, 2], &[0.0; 6])]);
        assert_eq!(product.shape[..], [0, 2]);
    }

    #[test]
    fn wrong_arguments_are_errors() {
        let error = eval(&Op::Softmax, &[Value::i32s([1], &[1])], 2, &Bucket::default()).unwrap_err();
        assert!(error.to_string().contains("softmax takes f32"), "{error}");
    }
}
