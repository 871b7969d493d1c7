//! Simulated times follow the published figures of each generation: bytes over the memory's rate, products over the
//! tensor engine's, turns of loops counted, and what a start costs.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use hlo::{Binary, Builder, Compare, Dot, Element, Id, Literal, Module, Shape, Unary};
use lab::{Bench, Lab};

/// What a start costs, in nanoseconds.
const START: f64 = 437_000.0;

/// Nanoseconds that one execution of a program takes beyond its start.
fn simulated(chip: &str, module: &Module) -> f64 {
    let lab = Lab::with(&[("chip", chip)]);
    let runtime = lab.runtime();
    let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff_for(module, chip));
    bench.run().unwrap();
    runtime.emulated().unwrap().simulated_ns as f64 - START
}

fn is_near(found: f64, wanted: f64) -> bool {
    (found - wanted).abs() < 0.01 * wanted + 2.0
}

/// Four million numbers copied: 32 MiB are read and written.
fn copying() -> Module {
    let mut b = Builder::new();
    let x = b.input("x", Shape::new(Element::F32, [1 << 22]));
    let y = b.unary(Unary::Copy, x);
    b.finish("copying", &[("y", y)], &[])
}

#[test]
fn bytes_take_as_long_as_the_memory_of_a_generation_takes() {
    let bytes = (2 << 24) as f64;
    // Bytes per second of a chip, shared by two logical cores on the older ones and by four on the newer.
    for (chip, share) in [("inf2", 820e9 / 2.0), ("trn1", 820e9 / 2.0), ("trn2", 2.9e12 / 4.0)] {
        let found = simulated(chip, &copying());
        assert!(is_near(found, bytes / share * 1e9), "{chip}: {found} ns");
    }
    assert!(simulated("trn3", &copying()) < 0.7 * simulated("trn2", &copying()));
}

/// A square matrix multiplied by itself so many times.
fn multiplying(n: usize, turns: i32) -> Module {
    let mut b = Builder::new();
    let x = b.input("x", Shape::new(Element::F32, [n, n]));
    let narrow = b.convert(x, Element::BF16);
    let product = |b: &mut Builder, x: Id| {
        let dims = Dot {
            lhs_contracting: vec![1],
            rhs_contracting: vec![0],
            lhs_batch: vec![],
            rhs_batch: vec![],
            element: Element::BF16,
        };
        b.dot(dims, x, x)
    };
    let nought = b.constant(Literal::s32(0));
    let last = b.repeat(
        "powers",
        &[nought, narrow],
        |b, values| {
            let end = b.constant(Literal::s32(turns));
            b.compare(Compare::Lt, values[0], end)
        },
        |b, values| {
            let one = b.constant(Literal::s32(1));
            vec![b.binary(Binary::Add, values[0], one), product(b, values[1])]
        },
    );
    b.finish("multiplying", &[("y", last[1])], &[])
}

#[test]
fn products_take_as_long_as_the_tensor_engine_takes_turn_by_turn() {
    let (n, turns) = (1024usize, 3);
    let operations = 2.0 * (n * n * n) as f64 * f64::from(turns);
    // Operations per second of a chip in bf16.
    let share = 667e12 / 4.0;
    let found = simulated("trn2", &multiplying(n, turns));
    assert!(is_near(found, operations / share * 1e9), "{found} ns");
}
