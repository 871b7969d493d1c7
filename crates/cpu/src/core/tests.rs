//! Small values worked out by hand; the conformance suite holds the rest against the reference.

use graph::{BinaryOp, CompareOp, Dims, Literal, Op, ReduceOp, UnaryOp};
use half::bf16;
use tensor::{Buffer, DType, Shape, Value};

use super::{View, ViewMut, apply};

/// Applies an operation with results of these types.
fn results(op: &Op, args: &[Value], types: &[(DType, &[usize])]) -> Vec<Value> {
    let zeroed = |&(dtype, axes): &(DType, &[usize])| {
        let shape = Shape::new(axes);
        let data = Buffer::zeroed(dtype.bytes_of(shape.elements().unwrap()).unwrap());
        Value { dtype, shape, data }
    };
    let mut results = types.iter().map(zeroed).collect::<Vec<_>>();
    let views = args.iter().map(|x| View { dtype: x.dtype, shape: x.shape, data: x.data.as_slice() });
    let args = views.collect::<Vec<_>>();
    let mut outs = results
        .iter_mut()
        .map(|x| ViewMut { dtype: x.dtype, shape: x.shape, data: x.data.as_mut_slice() })
        .collect::<Vec<_>>();
    assert!(apply(op, &args, &mut outs), "{op}");
    results
}

fn f32s(op: Op, args: &[Value], axes: &[usize]) -> Vec<f32> {
    results(&op, args, &[(DType::F32, axes)])[0].as_f32s().to_vec()
}

fn i32s(op: Op, args: &[Value], axes: &[usize]) -> Vec<i32> {
    results(&op, args, &[(DType::I32, axes)])[0].as_i32s().to_vec()
}

fn bytes(op: Op, args: &[Value], dtype: DType, axes: &[usize]) -> Vec<u8> {
    results(&op, args, &[(dtype, axes)])[0].data.as_slice().to_vec()
}

/// 0, 1, 2 and so on.
fn counted(axes: &[usize]) -> Value {
    let values = (0..axes.iter().product()).map(|i| i as f32).collect::<Vec<_>>();
    Value::f32s(Shape::new(axes), &values)
}

#[test]
fn constants_and_counts() {
    assert_eq!(f32s(Op::Constant(Literal::Scalar(2.5)), &[], &[]), [2.5]);
    assert_eq!(i32s(Op::Constant(Literal::Int(-3)), &[], &[]), [-3]);
    assert_eq!(f32s(Op::Constant(Literal::Vector(vec![1.0, 2.0])), &[], &[2]), [1.0, 2.0]);
    let iota = |dtype, axis| Op::Iota { dtype, dims: Dims::from(Shape::new(&[2, 3])), axis };
    assert_eq!(i32s(iota(DType::I32, 1), &[], &[2, 3]), [0, 1, 2, 0, 1, 2]);
    assert_eq!(f32s(iota(DType::F32, 0), &[], &[2, 3]), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn whole_numbers_divide_downwards_and_wrap() {
    let div = |a: &[i32], b: &[i32]| {
        i32s(Op::Binary(BinaryOp::Div), &[Value::i32s([a.len()], a), Value::i32s([b.len()], b)], &[a.len()])
    };
    assert_eq!(div(&[7, -7, 7, -7, 6], &[2, 2, -2, -2, -3]), [3, -4, -4, 3, -2]);
    assert_eq!(div(&[5, i32::MIN, i32::MIN], &[0, -1, 1]), [0, 0, i32::MIN]);
    let most = [Value::i32s([1], &[i32::MAX]), Value::i32s([1], &[2])];
    assert_eq!(i32s(Op::Binary(BinaryOp::Add), &most, &[1]), [i32::MIN + 1]);
    assert_eq!(i32s(Op::Unary(UnaryOp::Neg), &[Value::i32s([2], &[3, i32::MIN])], &[2]), [-3, i32::MIN]);
}

#[test]
fn axes_of_one_and_missing_axes_are_repeated() {
    let (column, row) = (Value::f32s([2, 1], &[10.0, 20.0]), Value::f32s([3], &[1.0, 2.0, 3.0]));
    let sum = [11.0, 12.0, 13.0, 21.0, 22.0, 23.0];
    assert_eq!(f32s(Op::Binary(BinaryOp::Add), &[column.clone(), row.clone()], &[2, 3]), sum);
    let less = Op::Compare(CompareOp::Less);
    let two = Value::f32s([], &[2.0]);
    assert_eq!(bytes(less.clone(), &[row.clone(), two], DType::Bool, &[3]), [1, 0, 0]);
    let none = Value::f32s([], &[f32::NAN]);
    assert_eq!(bytes(less, &[row.clone(), none], DType::Bool, &[3]), [0, 0, 0]);
    let which = Value::new(DType::Bool, [3], &[1, 0, 2]);
    assert_eq!(f32s(Op::Select, &[which, column.clone(), row], &[2, 3]), [10.0, 2.0, 10.0, 20.0, 2.0, 20.0]);
    let dims = Dims::from(Shape::new(&[2, 2, 2]));
    let repeated = [10.0, 10.0, 20.0, 20.0, 10.0, 10.0, 20.0, 20.0];
    assert_eq!(f32s(Op::Broadcast(dims), &[column], &[2, 2, 2]), repeated);
}

#[test]
fn casts_go_by_way_of_f32_and_saturate() {
    let x = [Value::f32s([5], &[1.75, -1.75, 3e9, f32::NAN, -0.0])];
    let cast = |to| Op::Cast(to);
    assert_eq!(i32s(cast(DType::I32), &x, &[5]), [1, -1, i32::MAX, 0, 0]);
    assert_eq!(bytes(cast(DType::U8), &x, DType::U8, &[5]), [1, 0, 255, 0, 0]);
    assert_eq!(bytes(cast(DType::Bool), &x, DType::Bool, &[5]), [1, 1, 1, 1, 0]);
    let half = bytes(cast(DType::BF16), &x, DType::BF16, &[5]);
    assert_eq!(half[..2], bf16::from_f32(1.75).to_le_bytes());
    let back = f32s(cast(DType::F32), &[Value::new(DType::BF16, [5], &half)], &[5]);
    assert_eq!(back[..2], [1.75, -1.75]);
    assert_eq!(f32s(cast(DType::F32), &[Value::i32s([1], &[-7])], &[1]), [-7.0]);
}

#[test]
fn elements_are_moved() {
    let x = [counted(&[2, 3])];
    assert_eq!(f32s(Op::Transpose(vec![1, 0]), &x, &[3, 2]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
    let turned = f32s(Op::Transpose(vec![2, 0, 1]), &[counted(&[2, 2, 2])], &[2, 2, 2]);
    assert_eq!(turned, [0.0, 2.0, 4.0, 6.0, 1.0, 3.0, 5.0, 7.0]);
    let slice = Op::Slice { axis: 1, start: 1, len: 2 };
    assert_eq!(f32s(slice, &x, &[2, 2]), [1.0, 2.0, 4.0, 5.0]);
    let concat = Op::Concat { axis: 1 };
    let column = Value::f32s([2, 1], &[8.0, 9.0]);
    assert_eq!(f32s(concat, &[x[0].clone(), column], &[2, 4]), [0.0, 1.0, 2.0, 8.0, 3.0, 4.0, 5.0, 9.0]);
    assert_eq!(f32s(Op::Reshape(Dims::from(Shape::new(&[6]))), &x, &[6]).len(), 6);
}

#[test]
fn rows_are_gathered_in_any_type() {
    let ids = Value::i32s([2, 1], &[2, 0]);
    assert_eq!(f32s(Op::Gather, &[counted(&[3, 2]), ids.clone()], &[2, 1, 2]), [4.0, 5.0, 0.0, 1.0]);
    let blocks = (0..3 * 18).collect::<Vec<u8>>();
    let table = Value::new(DType::Q4_0, [3, 32], &blocks);
    let found = bytes(Op::Gather, &[table, ids], DType::Q4_0, &[2, 1, 32]);
    assert_eq!(found, [&blocks[36..], &blocks[..18]].concat());
}

#[test]
#[should_panic(expected = "id -1 is none of 3 rows")]
fn ids_outside_a_table_are_refused() {
    f32s(Op::Gather, &[counted(&[3, 2]), Value::i32s([1], &[-1])], &[1, 2]);
}

#[test]
fn rows_are_reduced() {
    let x = [Value::f32s([2, 2], &[1.0, 3.0, -2.0, f32::NEG_INFINITY])];
    let reduce = |op| f32s(Op::Reduce(op), &x, &[2, 1]);
    assert_eq!(reduce(ReduceOp::Sum), [4.0, f32::NEG_INFINITY]);
    assert_eq!(reduce(ReduceOp::Mean), [2.0, f32::NEG_INFINITY]);
    assert_eq!(reduce(ReduceOp::Max), [3.0, -2.0]);
    let hidden = Value::f32s([3], &[0.0, f32::NEG_INFINITY, f32::ln(3.0)]);
    for (found, wanted) in f32s(Op::Softmax, &[hidden], &[3]).into_iter().zip([0.25, 0.0, 0.75]) {
        assert!((found - wanted).abs() < 1e-7, "{found}, not {wanted}");
    }
    let x = Value::f32s([1, 4], &[-0.0, 0.0, -1.0, 2.0]);
    let top = results(&Op::TopK(3), &[x], &[(DType::F32, &[1, 3]), (DType::I32, &[1, 3])]);
    assert_eq!((top[0].as_f32s(), top[1].as_i32s()), (&[2.0, 0.0, 0.0][..], &[3, 0, 1][..]));
}

#[test]
fn products_of_every_layout() {
    let (a, b) = (counted(&[2, 1, 2]), counted(&[2, 2, 2]));
    let matmul = |transposed, b: &Value| f32s(Op::Matmul { transposed }, &[a.clone(), b.clone()], &[2, 1, 2]);
    assert_eq!(matmul(false, &b), [2.0, 3.0, 26.0, 31.0]);
    assert_eq!(matmul(true, &b), [1.0, 3.0, 23.0, 33.0]);
    assert_eq!(matmul(false, &counted(&[2, 2])), [2.0, 3.0, 6.0, 11.0]);
}

#[test]
fn of_nothing_comes_nothing() {
    let none = || Value::f32s([0, 3], &[]);
    let row = Value::f32s([3], &[1.0, 2.0, 3.0]);
    assert!(f32s(Op::Binary(BinaryOp::Mul), &[none(), row], &[0, 3]).is_empty());
    assert!(f32s(Op::Softmax, &[none()], &[0, 3]).is_empty());
    assert!(f32s(Op::Transpose(vec![1, 0]), &[none()], &[3, 0]).is_empty());
    let transposed = [none(), counted(&[2, 3])];
    assert!(f32s(Op::Matmul { transposed: true }, &transposed, &[0, 2]).is_empty());
    assert_eq!(f32s(Op::Concat { axis: 0 }, &[none(), counted(&[1, 3])], &[1, 3]), [0.0, 1.0, 2.0]);
}

#[test]
fn blocks_become_numbers() {
    let mut block = vec![0x98; 18];
    block[..2].copy_from_slice(&half::f16::from_f32(0.5).to_le_bytes());
    let decoded = f32s(Op::Dequantize, &[Value::new(DType::Q4_0, [32], &block)], &[32]);
    assert_eq!(decoded, [[0.0; 16], [0.5; 16]].concat());
}

#[test]
fn functions_of_one_argument() {
    let x = [Value::f32s([2], &[0.0, 1.0])];
    let of = |op| f32s(Op::Unary(op), &x, &[2]);
    let table = [
        (UnaryOp::Neg, [-0.0, -1.0]),
        (UnaryOp::Exp, [1.0, 2.718_281_7]),
        (UnaryOp::Sqrt, [0.0, 1.0]),
        (UnaryOp::Sin, [0.0, 0.841_471]),
        (UnaryOp::Cos, [1.0, 0.540_302_3]),
        (UnaryOp::Tanh, [0.0, 0.761_594_2]),
        (UnaryOp::Erf, [0.0, 0.842_700_8]),
        (UnaryOp::Sigmoid, [0.5, 0.731_058_6]),
    ];
    for (op, wanted) in table {
        for (found, wanted) in of(op).into_iter().zip(wanted) {
            assert!((found - wanted).abs() < 3e-7, "{op:?}: {found}, not {wanted}");
        }
    }
}

#[test]
fn what_is_no_core_operation_is_left_alone() {
    let mut word = [0; 4];
    let out = ViewMut { dtype: DType::F32, shape: Shape::default(), data: &mut word };
    assert!(!apply(&Op::Linear, &[], &mut [out]));
}
