//! Bits are the same in every way to run a step, and close to what they should be.

mod fixture;

use simd::Isa;
use tensor::DType;

use super::walk::Way;
use super::{Shape, Step, Survey};
use fixture::{Case, Fixture, Run};

const SHAPE: Shape =
    Shape { heads: 4, kv_heads: 1, width: 64, page_len: 16, scale: 0.125, window: None, rounded: true };

const PLAIN: Case = Case {
    what: "grouped heads of bf16",
    shape: SHAPE,
    dtype: DType::BF16,
    cells: true,
    sinks: false,
    sequences: &[(250, 20), (0, 37), (600, 3)],
};

fn cases() -> Vec<Case> {
    let bf16 = PLAIN;
    let shape = |heads, kv_heads, width| Shape { heads, kv_heads, width, ..SHAPE };
    let f32s = |shape: Shape| Shape { rounded: false, ..shape };
    let windowed = |shape: Shape, window| Shape { window: Some(window), ..shape };
    let paged = |shape: Shape, page_len| Shape { page_len, ..shape };
    vec![
        bf16.clone(),
        Case { what: "two kv heads, sinks", shape: shape(4, 2, 16), sinks: true, ..bf16.clone() },
        Case { what: "no groups, 80 wide", shape: shape(2, 2, 80), ..bf16.clone() },
        Case { what: "groups of eight, 128 wide", shape: shape(8, 1, 128), ..bf16.clone() },
        Case { what: "groups of three", shape: shape(6, 2, 32), ..bf16.clone() },
        Case { what: "a short window", shape: windowed(SHAPE, 5), ..bf16.clone() },
        Case { what: "a window and sinks", shape: windowed(SHAPE, 130), sinks: true, ..bf16.clone() },
        Case { what: "pages of 32", shape: paged(SHAPE, 32), ..bf16.clone() },
        Case { what: "bf16 not rounded", shape: f32s(SHAPE), ..bf16.clone() },
        Case { what: "f16", shape: f32s(shape(4, 2, 48)), dtype: DType::F16, ..bf16.clone() },
        Case { what: "f32, a window", shape: f32s(windowed(SHAPE, 100)), dtype: DType::F32, ..bf16.clone() },
        Case { what: "q8_0", shape: f32s(shape(4, 2, 64)), dtype: DType::Q8_0, ..bf16.clone() },
        Case { what: "small pages", shape: paged(shape(4, 2, 32), 4), ..bf16.clone() },
        Case {
            what: "odd pages, f16",
            shape: f32s(paged(shape(2, 1, 5), 7)),
            dtype: DType::F16,
            ..bf16.clone()
        },
        Case { what: "bf16 as rows", cells: false, ..bf16.clone() },
        Case { what: "a negative scale", shape: Shape { scale: -0.2, ..SHAPE }, ..bf16.clone() },
        Case { what: "no scale", shape: Shape { scale: 0.0, ..SHAPE }, ..bf16 },
    ]
}

/// Every way to run units that the machine and the case have.
fn ways(case: &Case) -> Vec<(Isa, Option<Way>)> {
    let mut ways = Isa::present().into_iter().map(|isa| (isa, None)).collect::<Vec<_>>();
    if takes_tiles(case) {
        ways.push((Isa::Portable, Some(Way::Model)));
        ways.extend(Isa::present().into_iter().map(|isa| (isa, Some(Way::Pairs))));
        ways.extend(Isa::present().into_iter().map(|isa| (isa, Some(Way::Vectors))));
        if Isa::Amx.is_present() {
            ways.push((Isa::Amx, Some(Way::Tiles)));
        }
    }
    ways
}

fn takes_tiles(case: &Case) -> bool {
    case.shape.rounded
        && case.dtype == DType::BF16
        && case.cells
        && case.shape.page_len.is_multiple_of(16)
        && case.shape.width.is_multiple_of(16)
}

/// Whether a way sums bf16 in pairs.
fn in_pairs(case: &Case, isa: Isa, way: Option<Way>) -> bool {
    takes_tiles(case) && way.map_or(isa != Isa::Amx, |way| way == Way::Pairs)
}

#[test]
fn bits_are_the_same_however_a_step_is_run() {
    for case in cases() {
        let fixture = Fixture::new(&case);
        let all = |way| Run { isa: Isa::Portable, way: Some(way), piece: usize::MAX / 2, workers: 1 };
        let bits = |run| fixture.run(run).iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let pairs = if takes_tiles(&case) { bits(all(Way::Pairs)) } else { vec![] };
        let apart = bits(all(Way::Vectors));
        // Equal weights of equal sizes add up the same in either order.
        assert!(pairs != apart || case.shape.scale == 0.0, "{}: there are two orders", case.what);
        for (isa, way) in ways(&case) {
            let wanted = if in_pairs(&case, isa, way) { &pairs } else { &apart };
            for (piece, workers) in [(usize::MAX / 2, 1), (1, 1), (7, 3), (usize::MAX / 2, 2), (2, 16)] {
                if isa == Isa::Portable && piece == 1 {
                    continue;
                }
                let run = Run { isa, way, piece, workers };
                let found = bits(run);
                let differ = found.iter().zip(wanted).filter(|(a, b)| a != b).count();
                assert_eq!(differ, 0, "{}: {run:?} differs in {differ} of {}", case.what, wanted.len());
            }
        }
    }
}

#[test]
fn results_are_close_to_the_definition() {
    let isa = Isa::present().pop().unwrap();
    for case in cases() {
        let fixture = Fixture::new(&case);
        let found = fixture.run(Run { isa, way: None, piece: 64, workers: 2 });
        let wanted = fixture.oracle();
        assert_eq!(found.len(), wanted.len());
        let largest = found.iter().zip(&wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
        // Weights in bf16 are off by up to 2^-9 each, in either direction; results are about 1 in size at most.
        let allowed = if case.shape.rounded { 2e-3 } else { 2e-6 };
        assert!(found.iter().all(|x| x.is_finite()), "{}: something is no number", case.what);
        assert!(largest < allowed, "{}: off by {largest:e}", case.what);
    }
}

#[test]
fn a_token_that_sees_nothing_gets_zeros() {
    let shape = Shape { window: Some(0), ..SHAPE };
    let case = Case { what: "a window of none", shape, sequences: &[(3, 2), (300, 12)], ..PLAIN };
    for (isa, way) in ways(&case) {
        let found = Fixture::new(&case).run(Run { isa, way, piece: 100, workers: 4 });
        assert!(found.iter().all(|x| *x == 0.0), "{isa}");
    }
}

#[test]
fn shares_are_about_equal_and_few_tokens_are_divided() {
    let mut step = Step::default();
    // One deep sequence and three shallow ones; eight kv heads for sixteen workers.
    let shape = Shape { heads: 32, kv_heads: 8, ..SHAPE };
    Survey::new(&shape, 16).look(&[16_000, 20, 30, 40], &[0, 1, 2, 3], &mut step);
    assert!(step.merges() == 8, "the deep sequence's chunks are divided for each head");
    let shares = (0..16).map(|index| step.share(crate::part::Part { index, of: 16 }));
    let work = shares.map(|share| step.units()[share].iter().map(|unit| unit.chunks.len()).sum::<usize>());
    let work = work.collect::<Vec<_>>();
    assert!(work.iter().max().unwrap() <= &48, "{work:?}, of {} chunks", 8 * 63 + 24);
    // Two workers have four heads each: nothing to divide.
    Survey::new(&shape, 2).look(&[16_000], &[0], &mut step);
    assert_eq!((step.units().len(), step.merges()), (8, 0));
}
