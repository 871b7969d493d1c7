//! Each instruction means what HLO says, by examples that can be checked by hand.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use hlo::{Binary, Builder, Compare, Dot, Element, Gather, Literal, Op, Scatter, Shape, Type, Unary};
use lab::eval::{count, eval, f32s, s32s};

#[test]
fn unary_operations() {
    let of = |op, x: f32| {
        eval(|b| {
            let x = f32s(b, &[1], &[x]);
            b.unary(op, x)
        })[0]
    };
    assert_eq!((of(Unary::Negate, 2.0), of(Unary::Sqrt, 9.0), of(Unary::Floor, -1.5)), (-2.0, 3.0, -2.0));
    assert_eq!((of(Unary::Exponential, 0.0), of(Unary::Tanh, 0.0), of(Unary::Copy, 7.0)), (1.0, 0.0, 7.0));
    assert_eq!((of(Unary::Sine, 0.0), of(Unary::Cosine, 0.0), of(Unary::Log, 1.0)), (0.0, 1.0, 0.0));
    assert_eq!(
        eval(|b| {
            let x = s32s(b, &[1], &[5]);
            b.unary(Unary::Negate, x)
        }),
        [-5.0]
    );
}

#[test]
fn binary_operations() {
    let floats = |op| {
        eval(|b| {
            let (x, y) = (f32s(b, &[2], &[6.0, 1.0]), f32s(b, &[2], &[4.0, f32::NAN]));
            b.binary(op, x, y)
        })
    };
    let firsts =
        [Binary::Add, Binary::Subtract, Binary::Multiply, Binary::Divide, Binary::Maximum, Binary::Minimum];
    assert_eq!(firsts.map(|op| floats(op)[0]), [10.0, 2.0, 24.0, 1.5, 6.0, 4.0]);
    assert!(firsts.into_iter().all(|op| floats(op)[1].is_nan()), "what is not a number stays so");
    let whole = |op| {
        eval(|b| {
            let (x, y) = (s32s(b, &[2], &[-7, 6]), s32s(b, &[2], &[2, 3]));
            b.binary(op, x, y)
        })
    };
    assert_eq!(whole(Binary::Divide), [-3.0, 2.0]);
    assert_eq!(whole(Binary::And), [0.0, 2.0]);
    assert_eq!(whole(Binary::Maximum), [2.0, 6.0]);
}

#[test]
fn comparing_selecting_and_converting() {
    for (op, expected) in
        [(Compare::Lt, [1.0, 0.0, 0.0]), (Compare::Ge, [0.0, 1.0, 0.0]), (Compare::Ne, [1.0, 0.0, 1.0])]
    {
        let given = eval(|b| {
            let (x, y) = (f32s(b, &[3], &[1.0, 2.0, f32::NAN]), f32s(b, &[3], &[2.0; 3]));
            b.compare(op, x, y)
        });
        assert_eq!(given, expected);
    }
    let chosen = eval(|b| {
        let (x, y) = (f32s(b, &[2], &[1.0, 5.0]), f32s(b, &[2], &[3.0, 4.0]));
        let less = b.compare(Compare::Lt, x, y);
        b.select(less, x, y)
    });
    assert_eq!(chosen, [1.0, 4.0]);
    let through = |element, x: f32| {
        eval(|b| {
            let x = f32s(b, &[1], &[x]);
            b.convert(x, element)
        })[0]
    };
    assert_eq!((through(Element::S32, -1.9), through(Element::S32, 3e10)), (-1.0, i32::MAX as f32));
    assert_eq!((through(Element::U8, -1.0), through(Element::S8, 200.0)), (0.0, 127.0));
    assert_eq!((through(Element::BF16, 257.0), through(Element::F16, 2049.0)), (256.0, 2048.0));
    assert_eq!((through(Element::F8E4M3, 300.0), through(Element::Pred, -0.5)), (f32::INFINITY, 1.0));
}

#[test]
fn moving_elements() {
    let x = |b: &mut Builder| count(b, &[2, 3]);
    assert_eq!(
        eval(|b| {
            let x = x(b);
            b.transpose(x, &[1, 0])
        }),
        [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]
    );
    assert_eq!(
        eval(|b| {
            let x = x(b);
            b.reshape(x, &[3, 2])
        }),
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    );
    assert_eq!(
        eval(|b| {
            let x = x(b);
            b.slice(x, 1, 1, 3)
        }),
        [1.0, 2.0, 4.0, 5.0]
    );
    assert_eq!(
        eval(|b| {
            let x = x(b);
            b.concatenate(&[x, x], 1)
        })[..6],
        [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]
    );
    assert_eq!(
        eval(|b| {
            let x = x(b);
            b.concatenate(&[x, x], 0)
        })[6..],
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    );
    let wide = eval(|b| {
        let x = count(b, &[2]);
        b.broadcast(x, &[3, 2, 2], &[1])
    });
    assert_eq!(wide, [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
    assert_eq!(eval(|b| b.iota(Shape::new(Element::S32, [2, 3]), 1)), [0.0, 1.0, 2.0, 0.0, 1.0, 2.0]);
    assert_eq!(eval(|b| b.iota(Shape::new(Element::BF16, [2, 3]), 0)), [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
}

#[test]
fn gathering() {
    // Two coordinates per index, a window along the last axis, the window's axis first in the result.
    let dims = Gather {
        offset_dims: vec![0],
        collapsed_slice_dims: vec![0, 1],
        start_index_map: vec![1, 0],
        index_vector_dim: 1,
        slice_sizes: vec![1, 1, 2],
    };
    let given = eval(|b| {
        let (x, at) = (count(b, &[2, 3, 2]), s32s(b, &[2, 2], &[2, 1, 0, 0]));
        b.push(Op::Gather(dims.clone()), &[x, at])
    });
    assert_eq!(given, [10.0, 0.0, 11.0, 1.0], "rows [1, 2] and [0, 0], side by side");
    // A window that starts where the index says.
    let dims = Gather {
        offset_dims: vec![1],
        collapsed_slice_dims: vec![],
        start_index_map: vec![0],
        index_vector_dim: 1,
        slice_sizes: vec![2],
    };
    let given = eval(|b| {
        let (x, at) = (count(b, &[5]), s32s(b, &[2], &[3, 1]));
        b.push(Op::Gather(dims.clone()), &[x, at])
    });
    assert_eq!(given, [3.0, 4.0, 1.0, 2.0]);
    assert_eq!(
        eval(|b| {
            let (x, at) = (count(b, &[3, 2]), s32s(b, &[2], &[2, 0]));
            b.rows(x, at)
        }),
        [4.0, 5.0, 0.0, 1.0]
    );
}

#[test]
fn scattering() {
    let given = eval(|b| {
        let (x, at, rows) =
            (count(b, &[3, 2]), s32s(b, &[2], &[2, 0]), f32s(b, &[2, 2], &[9.0, 8.0, 7.0, 6.0]));
        b.replace_rows(x, at, rows)
    });
    assert_eq!(given, [7.0, 6.0, 2.0, 3.0, 9.0, 8.0]);
    let given = eval(|b| {
        let computation = b.computation("new", &[Element::F32; 2], |_, ab| ab[1]);
        let dims = Scatter {
            update_window_dims: vec![],
            inserted_window_dims: vec![0, 1],
            scatter_dims_to_operand_dims: vec![0, 1],
            index_vector_dim: 1,
            computation,
        };
        let (x, at, new) = (count(b, &[2, 2]), s32s(b, &[1, 2], &[1, 0]), f32s(b, &[1], &[5.0]));
        b.push(Op::Scatter(dims), &[x, at, new])
    });
    assert_eq!(given, [0.0, 1.0, 5.0, 3.0]);
    // What is read again afterwards is not changed.
    let given = eval(|b| {
        let (x, at, row) = (count(b, &[2, 1]), s32s(b, &[1], &[0]), f32s(b, &[1, 1], &[5.0]));
        let new = b.replace_rows(x, at, row);
        b.concatenate(&[x, new], 1)
    });
    assert_eq!(given, [0.0, 5.0, 1.0, 1.0]);
}

#[test]
fn folding_and_ordering() {
    let sum = |axis| {
        eval(|b| {
            let x = count(b, &[2, 3]);
            b.reduce(Binary::Add, x, axis, Literal::f32(100.0))
        })
    };
    assert_eq!((sum(0), sum(1)), (vec![103.0, 105.0, 107.0], vec![103.0, 112.0]));
    let largest = eval(|b| {
        let x = count(b, &[2, 2, 2]);
        let computation = b.fold(Binary::Maximum, Element::F32);
        let least = b.constant(Literal::f32(f32::NEG_INFINITY));
        b.push(Op::Reduce { dimensions: vec![0, 2], computation }, &[x, least])
    });
    assert_eq!(largest, [5.0, 7.0]);
    for (op, swapped, expected) in [
        (Compare::Gt, false, [3.0, 2.0, 1.0, 1.0, 0.0, 2.0, 1.0, 3.0]),
        (Compare::Lt, false, [1.0, 1.0, 2.0, 3.0, 1.0, 3.0, 2.0, 0.0]),
        (Compare::Lt, true, [3.0, 2.0, 1.0, 1.0, 0.0, 2.0, 1.0, 3.0]),
    ] {
        let given = eval(|b| {
            let (x, places) =
                (f32s(b, &[1, 4], &[3.0, 1.0, 2.0, 1.0]), b.iota(Shape::new(Element::F32, [1, 4]), 1));
            let (f, s) = if swapped { (1, 0) } else { (0, 1) };
            let computation =
                b.computation("first", &[Element::F32; 4], |b, pairs| b.compare(op, pairs[f], pairs[s]));
            let sorted = b.push(Op::Sort { dimension: 1, computation }, &[x, places]);
            let (values, places) = (b.part(sorted, 0), b.part(sorted, 1));
            b.concatenate(&[values, places], 1)
        });
        assert_eq!(given, expected);
    }
    let columns = eval(|b| {
        let x = f32s(b, &[2, 2], &[3.0, 1.0, 2.0, 4.0]);
        let computation =
            b.computation("first", &[Element::F32; 2], |b, pair| b.compare(Compare::Lt, pair[0], pair[1]));
        b.push(Op::Sort { dimension: 0, computation }, &[x])
    });
    assert_eq!(columns, [2.0, 1.0, 3.0, 4.0]);
    let top = eval(|b| {
        let x = f32s(b, &[2, 3], &[1.0, 3.0, 2.0, 6.0, 4.0, 6.0]);
        let shape = |element| Shape::new(element, [2, 2]);
        let ty = Type::Tuple(vec![shape(Element::F32), shape(Element::U32)]);
        let both =
            b.push(Op::CustomCall { target: "AwsNeuronTopK".to_owned(), config: "2".to_owned(), ty }, &[x]);
        let (values, places) = (b.part(both, 0), b.part(both, 1));
        let places = b.convert(places, Element::F32);
        b.concatenate(&[values, places], 1)
    });
    assert_eq!(top, [3.0, 2.0, 1.0, 2.0, 6.0, 6.0, 0.0, 2.0]);
}

/// Products in every order of axes are the same numbers.
#[test]
fn products() {
    let dims = |lhs: &[usize], rhs: &[usize], batch: &[usize]| Dot {
        lhs_contracting: lhs.to_vec(),
        rhs_contracting: rhs.to_vec(),
        lhs_batch: batch.to_vec(),
        rhs_batch: batch.to_vec(),
        element: Element::F32,
    };
    let naive = |i: usize, j: usize| (0..9).map(|k| ((i * 9 + k) * (j * 9 + k)) as f32).sum::<f32>();
    let expected: Vec<f32> = (0..2).flat_map(|i| (0..3).map(move |j| naive(i, j))).collect();
    let plain = eval(|b| {
        let (x, y) = (count(b, &[2, 9]), count(b, &[3, 9]));
        b.dot(dims(&[1], &[1], &[]), x, y)
    });
    assert_eq!(plain, expected);
    let turned = eval(|b| {
        let (x, y) = (count(b, &[2, 9]), count(b, &[3, 9]));
        let (x, y) = (b.transpose(x, &[1, 0]), b.transpose(y, &[1, 0]));
        b.dot(dims(&[0], &[0], &[]), x, y)
    });
    assert_eq!(turned, expected);
    let batched = eval(|b| {
        let (x, y) = (count(b, &[2, 2, 3]), count(b, &[2, 3, 1]));
        b.dot(dims(&[2], &[1], &[0]), x, y)
    });
    assert_eq!(batched, [5.0, 14.0, 86.0, 122.0]);
    let whole = eval(|b| {
        let (x, y) = (s32s(b, &[2, 2], &[1, -2, 3, 4]), s32s(b, &[2, 1], &[5, 6]));
        let (x, y) = (b.convert(x, Element::S8), b.convert(y, Element::S8));
        b.dot(Dot { element: Element::S32, ..dims(&[1], &[0], &[]) }, x, y)
    });
    assert_eq!(whole, [-7.0, 39.0]);
    let narrow = eval(|b| {
        let (x, y) = (count(b, &[1, 3]), count(b, &[1, 3]));
        let (x, y) = (b.convert(x, Element::BF16), b.convert(y, Element::BF16));
        b.dot(dims(&[1], &[1], &[]), x, y)
    });
    assert_eq!(narrow, [5.0]);
}
