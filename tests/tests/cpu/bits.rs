//! Logits have the same bits whatever the level (but that tiles sum pairs of bf16 in an order of their own), the threads, the pieces in which a prompt is fed, and the sequences
//! beside it.

use std::ops::Range;

use cpu::{Options, Precision};
use polysilicon_tests::embedded::{Embedded, VOCAB};
use proptest::prelude::*;
use simd::Isa;
use tensor::DType;

/// One of each kind of product: int8 codes with and without minima, codes by table, floats, floats that are decoded.
const FORMATS: [DType; 9] = [
    DType::Q8_0,
    DType::Q4_0,
    DType::Q4_K,
    DType::Q6_K,
    DType::MXFP4,
    DType::BF16,
    DType::F16,
    DType::F32,
    DType::F8_E4M3,
];

/// A way to run a prompt.
#[derive(Clone, Copy, Debug)]
struct Way {
    isa: Isa,
    threads: usize,
    /// Tokens of a step.
    piece: usize,
}

/// What is computed: ways must not matter, this does.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    kv: DType,
    precision: Precision,
}

const AUTO: Numbers = Numbers { kv: DType::BF16, precision: Precision::Auto };
const KV: [DType; 4] = [DType::BF16, DType::F16, DType::Q8_0, DType::F32];

/// Tokens of all parts of the vocabulary.
fn prompt(len: usize) -> Vec<u32> {
    (0..len).map(|i| (i * 389 + 11) as u32 % 2040).collect()
}

fn options(way: Way, numbers: Numbers) -> Options {
    Options { threads: Some(way.threads), precision: numbers.precision, isa: Some(way.isa) }
}

/// The bits of the logits of a prompt.
fn bits(model: &Embedded, numbers: Numbers, way: Way, ids: &[u32]) -> Vec<u32> {
    let pieces = ids.chunks(way.piece).map(<[u32]>::len).collect::<Vec<_>>();
    bits_in_pieces(model, numbers, way, ids, &pieces)
}

fn bits_in_pieces(model: &Embedded, numbers: Numbers, way: Way, ids: &[u32], pieces: &[usize]) -> Vec<u32> {
    let mut run = model.run(&options(way, numbers), numbers.kv, 1, ids.len() as u32);
    let mut bits = vec![];
    let mut fed = 0;
    for piece in pieces {
        let fetch = run.feed(&ids[fed..fed + piece], &[]).expect("the step runs");
        bits.extend(fetch.logits.iter().map(|x| x.to_bits()));
        fed += piece;
    }
    assert_eq!(bits.len(), ids.len() * VOCAB);
    bits
}

/// Says where the first difference is, and not what all the logits are.
#[track_caller]
fn assert_same(found: &[u32], wanted: &[u32], what: &dyn std::fmt::Debug) {
    assert_eq!(found.len(), wanted.len(), "{what:?}");
    let differ = found.iter().zip(wanted).filter(|(a, b)| a != b).count();
    let first = found.iter().zip(wanted).position(|(a, b)| a != b);
    let place = first.map(|at| (at / VOCAB, at % VOCAB));
    assert!(
        differ == 0,
        "{what:?}: {differ} of {} logits differ, the first at (position, token) {place:?}",
        wanted.len()
    );
    assert!(wanted.iter().all(|&bits| f32::from_bits(bits).is_finite()), "{what:?}: logits are numbers");
}

/// Every level with every number of threads and every piece.
fn all_ways() -> Vec<Way> {
    let mut ways = vec![];
    for isa in Isa::present() {
        for threads in [1, 2, 3] {
            ways.extend([60, 7, 1].map(|piece| Way { isa, threads, piece }));
        }
    }
    ways
}

/// Every level in two pieces of three, in another order and on other threads than the levels beside it.
fn some_ways() -> Vec<Way> {
    let pieces = [60, 7, 1];
    let mut ways = vec![];
    for (turn, isa) in Isa::present().into_iter().enumerate() {
        for place in 0..2 {
            ways.push(Way { isa, threads: (turn + place) % 3 + 1, piece: pieces[(2 * turn + place) % 3] });
        }
    }
    ways
}

/// Every level once, in another piece than the levels beside it.
fn few_ways() -> Vec<Way> {
    let pieces = [60, 7, 60, 1];
    let ways = Isa::present().into_iter().zip(pieces);
    ways.map(|(isa, piece)| Way { isa, threads: 2, piece }).collect()
}

fn check(model: &Embedded, what: DType, numbers: Numbers, ways: &[Way]) {
    let ids = prompt(60);
    let wanted = Wanted::of(|isa| bits(model, numbers, Way { isa, threads: 1, piece: 60 }, &ids));
    for &way in ways {
        assert_same(&bits(model, numbers, way, &ids), wanted.at(way.isa), &(what, numbers, way));
    }
}

fn best() -> Isa {
    Isa::present().pop().expect("every machine has a level")
}

/// What the best level gives, with tiles and without: the two sum pairs of bf16 in different orders.
struct Wanted<T> {
    with_tiles: Option<T>,
    without: T,
}

impl<T> Wanted<T> {
    fn of(run: impl Fn(Isa) -> T) -> Wanted<T> {
        let (tiles, others): (Vec<_>, Vec<_>) = Isa::present().into_iter().partition(|&isa| isa == Isa::Amx);
        let without = run(*others.last().expect("every machine has a level"));
        Wanted { with_tiles: tiles.last().map(|&isa| run(isa)), without }
    }

    fn at(&self, isa: Isa) -> &T {
        if isa == Isa::Amx { self.with_tiles.as_ref().expect("the level is there") } else { &self.without }
    }
}

#[test]
fn bits_are_the_same_for_every_format() {
    for dtype in FORMATS {
        let model = Embedded::new(dtype);
        let ways = if dtype == DType::Q4_K { all_ways() } else { some_ways() };
        check(&model, dtype, AUTO, &ways);
    }
}

#[test]
fn bits_are_the_same_without_rounding() {
    for dtype in FORMATS {
        let numbers = Numbers { precision: Precision::F32, ..AUTO };
        check(&Embedded::new(dtype), dtype, numbers, &few_ways());
    }
}

#[test]
fn bits_are_the_same_for_every_type_of_keys_and_values() {
    for dtype in [DType::Q4_0, DType::BF16] {
        let model = Embedded::new(dtype);
        for kv in KV {
            check(&model, dtype, Numbers { kv, ..AUTO }, &few_ways());
        }
    }
    let model = Embedded::new(DType::F32);
    for kv in KV {
        check(&model, DType::F32, Numbers { kv, precision: Precision::F32 }, &few_ways());
    }
}

/// Across the chunks of attention, and by kernels for one row and for hundreds.
#[test]
fn bits_are_the_same_for_one_row_and_for_hundreds() {
    let ids = prompt(520);
    for (dtype, kv) in [(DType::Q8_0, DType::BF16), (DType::BF16, DType::Q8_0)] {
        let model = Embedded::new(dtype);
        let numbers = Numbers { kv, ..AUTO };
        let wanted = Wanted::of(|isa| bits(&model, numbers, Way { isa, threads: 2, piece: 520 }, &ids));
        for isa in Isa::present() {
            let way = Way { isa, threads: 2, piece: 64 };
            assert_same(&bits(&model, numbers, way, &ids), wanted.at(isa), &(dtype, numbers, way));
        }
        for isa in Isa::present().into_iter().skip(1) {
            let way = Way { isa, threads: 1, piece: 520 };
            assert_same(&bits(&model, numbers, way, &ids), wanted.at(isa), &(dtype, numbers, way));
        }
        // The last forty tokens one by one, each behind a chunk and more.
        let pieces = std::iter::once(480).chain(std::iter::repeat_n(1, 40)).collect::<Vec<_>>();
        let way = Way { isa: best(), threads: 2, piece: 520 };
        let found = bits_in_pieces(&model, numbers, way, &ids, &pieces);
        assert_same(&found, wanted.at(best()), &(dtype, numbers, "one by one"));
    }
}

/// Parts of three sequences, step by step: all alone, one beside others, in another order, some left out.
const STEPS: [&[(usize, Range<usize>)]; 6] = [
    &[(0, 0..37), (1, 0..1), (2, 0..270)],
    &[(2, 270..271), (1, 1..60)],
    &[(1, 60..61), (0, 37..38), (2, 271..272)],
    &[(0, 38..39), (1, 61..62), (2, 272..273)],
    &[(2, 273..290), (0, 39..40)],
    &[(1, 62..70), (0, 40..60)],
];

#[test]
fn a_sequence_has_the_same_bits_beside_others() {
    let all = prompt(600);
    let prompts = [&all[..60], &all[100..170], &all[200..490]];
    for (dtype, kv) in [(DType::Q4_0, DType::BF16), (DType::BF16, DType::F16)] {
        let model = Embedded::new(dtype);
        let numbers = Numbers { kv, ..AUTO };
        let alone = |isa| Way { isa, threads: 1, piece: 600 };
        let wanted = Wanted::of(|isa| prompts.map(|ids| bits(&model, numbers, alone(isa), ids)));
        for way in few_ways() {
            let mut run = model.run(&options(way, numbers), kv, 3, 300);
            let mut found = [vec![], vec![], vec![]];
            for parts in STEPS {
                let feed = parts.iter().map(|(s, range)| (*s, &prompts[*s][range.clone()]));
                let fetch = run.feed_together(&feed.collect::<Vec<_>>(), &[]).expect("the step runs");
                let mut logits = fetch.logits.as_slice();
                for (sequence, range) in parts {
                    let (own, rest) = logits.split_at(range.len() * VOCAB);
                    found[*sequence].extend(own.iter().map(|x| x.to_bits()));
                    logits = rest;
                }
            }
            for (sequence, (found, wanted)) in found.iter().zip(wanted.at(way.isa)).enumerate() {
                assert_same(found, wanted, &(dtype, numbers, way, sequence));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bits_are_the_same_in_any_pieces_on_any_threads(
        pieces in prop::collection::vec(1usize..100, 1..6),
        threads in 1usize..5,
        level in 0usize..4,
        format in 0usize..FORMATS.len(),
        kv in 0usize..KV.len(),
    ) {
        let model = Embedded::new(FORMATS[format]);
        let levels = Isa::present();
        let ids = prompt(pieces.iter().sum());
        let numbers = Numbers { kv: KV[kv], ..AUTO };
        let way = Way { isa: levels[level % levels.len()], threads, piece: 0 };
        let wanted = Wanted::of(|isa| bits(&model, numbers, Way { isa, threads: 1, piece: ids.len() }, &ids));
        let found = bits_in_pieces(&model, numbers, way, &ids, &pieces);
        assert_same(&found, wanted.at(way.isa), &(FORMATS[format], numbers, way, pieces));
    }
}
