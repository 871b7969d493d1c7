//! Windows, loops, bits and blocks under scales, by examples that can be checked by hand.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use hlo::{Binary, Builder, Compare, Element, Id, Literal, Module, Op, Shape, Type};
use lab::eval::{count, eval, eval_on, f32s, s32s};
use lab::{Bench, Lab};

#[test]
fn padding() {
    let given = eval(|b| {
        let (x, value) = (count(b, &[2, 2]), b.constant(Literal::f32(9.0)));
        b.push(Op::Pad { low: vec![0, 1], high: vec![1, 0] }, &[x, value])
    });
    assert_eq!(given, [9.0, 0.0, 1.0, 9.0, 2.0, 3.0, 9.0, 9.0, 9.0]);
}

#[test]
fn windows_are_moved_to_where_they_fit() {
    let cut = |row: i32, column: i32| {
        eval(|b| {
            let x = count(b, &[3, 3]);
            let [row, column] = [row, column].map(|at| b.constant(Literal::s32(at)));
            b.push(Op::DynamicSlice(vec![2, 1]), &[x, row, column])
        })
    };
    assert_eq!(cut(1, 2), [5.0, 8.0]);
    assert_eq!(cut(2, 7), [5.0, 8.0], "the window ends where the array does");
    assert_eq!(cut(-3, -1), [0.0, 3.0]);
    let given = eval(|b| {
        let (x, new) = (count(b, &[4]), f32s(b, &[2], &[8.0, 9.0]));
        let at = b.constant(Literal::s32(1));
        let updated = b.push(Op::DynamicUpdateSlice, &[x, new, at]);
        // The array as it was is read again.
        b.concatenate(&[updated, x], 0)
    });
    assert_eq!(given, [0.0, 8.0, 9.0, 3.0, 0.0, 1.0, 2.0, 3.0]);
}

#[test]
fn bits_stay_bits() {
    let given = eval(|b| {
        let x = f32s(b, &[2], &[1.0, -2.0]);
        let bits = b.bitcast(x, Element::U32);
        let mask = s32s(b, &[2], &[0x7fff_ffff; 2]);
        let mask = b.bitcast(mask, Element::U32);
        let size = b.binary(Binary::And, bits, mask);
        b.bitcast(size, Element::F32)
    });
    assert_eq!(given, [1.0, 2.0]);
}

/// Numbers below `end` in steps of three summed, and how often.
fn looped(b: &mut Builder, end: i32) -> Id {
    let nought = b.constant(Literal::s32(0));
    let sum = b.repeat(
        "sum",
        &[nought, nought],
        |b, values| {
            let end = b.constant(Literal::s32(end));
            b.compare(Compare::Lt, values[0], end)
        },
        |b, values| {
            let three = b.constant(Literal::s32(3));
            vec![b.binary(Binary::Add, values[0], three), b.binary(Binary::Add, values[1], values[0])]
        },
    );
    let parts = sum.iter().map(|&part| b.reshape(part, &[1])).collect::<Vec<_>>();
    b.concatenate(&parts, 0)
}

#[test]
fn loops_run_as_often_as_they_count() {
    assert_eq!(eval(|b| looped(b, 10)), [12.0, 18.0]);
    assert_eq!(eval(|b| looped(b, 0)), [0.0, 0.0]);
}

/// A table whose rows are replaced one after another in a loop.
fn replacing_in_a_loop() -> Module {
    let mut b = Builder::new();
    let table = b.input("table.must_alias_input", Shape::new(Element::F32, [4, 2]));
    let row = b.input("row", Shape::new(Element::F32, [1, 2]));
    let nought = b.constant(Literal::s32(0));
    let last = b.repeat(
        "rows",
        &[nought, table, row],
        |b, values| {
            let end = b.constant(Literal::s32(3));
            b.compare(Compare::Lt, values[0], end)
        },
        |b, values| {
            let (one, nought) = (b.constant(Literal::s32(1)), b.constant(Literal::s32(0)));
            let next = b.binary(Binary::Add, values[0], one);
            let table = b.push(Op::DynamicUpdateSlice, &[values[1], values[2], values[0], nought]);
            vec![next, table, values[2]]
        },
    );
    b.finish("rows", &[("table", last[1]), ("row_again", last[2])], &[("table", "table.must_alias_input")])
}

#[test]
fn what_a_loop_replaces_stays_where_it_lies() {
    let lab = Lab::new();
    let runtime = lab.runtime();
    let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&replacing_in_a_loop()));
    bench.write("row", &[5.0, 6.0]);
    bench.run().unwrap();
    assert_eq!(bench.read("table"), [5.0, 6.0, 5.0, 6.0, 5.0, 6.0, 0.0, 0.0]);
    let counts = runtime.emulated().unwrap();
    assert_eq!((counts.executions, counts.alias_copies), (1, 0));
}

fn quantized(b: &mut Builder, x: Id, dtype: &str) -> [Id; 2] {
    let x = b.convert(x, Element::BF16);
    let (mut words, width) = (b.dims(x).to_vec(), b.dims(x).len() - 1);
    words[width] /= 4;
    let mut scales = words.clone();
    scales[width] /= 8;
    let ty = Type::Tuple(vec![Shape::new(Element::U32, words), Shape::new(Element::U8, scales)]);
    let config = format!(r#"{{"dtype":"{dtype}","dim":-1,"block_size":32,"scale_method":"EMAX"}}"#);
    let both = b.push(Op::CustomCall { target: "QuantizeMX".to_owned(), config, ty }, &[x]);
    [b.part(both, 0), b.part(both, 1)]
}

/// Rows of 64 whose products are easily summed: the first half of each is `a`, the other `b`.
fn halves(b: &mut Builder, rows: &[[f32; 2]]) -> Id {
    let values = rows.iter().flat_map(|&[first, second]| [[first; 32], [second; 32]]).flatten();
    f32s(b, &[rows.len(), 64], &values.collect::<Vec<_>>())
}

#[test]
fn blocks_are_rounded_under_powers_of_two_and_multiplied() {
    let product = |dtype: &str| {
        eval_on("trn3", |b| {
            // 19 lies between 18 and 20 where there are three bits behind the point, and between 16 and 20 with two.
            let x = halves(b, &[[19.0, 0.0], [1.0, 1e-3]]);
            let w = halves(b, &[[2.0, 2.0], [0.5, 448.0], [-1.0, 0.0]]);
            let ([x, x_scale], [w, w_scale]) = (quantized(b, x, dtype), quantized(b, w, dtype));
            let config = format!(
                r#"{{"scaled_dot_backend_config":{{"lhs_contracting_dimensions":[1],"rhs_contracting_dimensions":[1],"element_dtype":"{dtype}"}}}}"#
            );
            let ty = Type::Array(Shape::new(Element::F32, [2, 3]));
            let target = "__op$block_scaled_dot".to_owned();
            b.push(Op::CustomCall { target, config, ty }, &[x, w, x_scale, w_scale])
        })
    };
    // 1e-3 is 2^-10 times 1.024, rounded to one.
    let small = 2f32.powi(-10);
    let expected = |x: f32| {
        [32.0 * 2.0 * x, 32.0 * 0.5 * x, -32.0 * x, 64.0 + 64.0 * small, 16.0 + 32.0 * 448.0 * small, -32.0]
    };
    assert_eq!(product("float8_e4m3fn"), expected(20.0), "halves go to the even one");
    assert_eq!(product("float8_e5m2"), expected(20.0));
}
