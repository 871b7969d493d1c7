//! The plain definitions, and that the quick ways give the same bits.

use proptest::collection::vec;
use proptest::prelude::*;

use super::draw::Draw;
use super::dry::Repeats;
use super::weight::{ONE, Scale};
use super::*;

/// A token: logit, id, weight.
type Token = (f32, u32, u64);

/// Each rule of the module's documentation as it is written there, over a sorted list of everything.
fn drawn(logits: &[f32], sampling: &Sampling, uniform: f64) -> u32 {
    let key = |logit: f32| if logit.is_nan() { f32::NEG_INFINITY } else { logit + 0.0 };
    let by_logit = |a: &Token, b: &Token| key(b.0).total_cmp(&key(a.0)).then(a.1.cmp(&b.1));
    let mut tokens = (0..).zip(logits).map(|(id, &logit)| (logit, id, 0)).collect::<Vec<Token>>();
    tokens.sort_by(by_logit);
    let largest = key(tokens[0].0);
    if !largest.is_finite() {
        return tokens[0].1;
    }
    let scale = Scale::new(largest, sampling.temperature);
    tokens.iter_mut().for_each(|token| token.2 = scale.weight(token.0));
    tokens.retain(|token| token.2 > 0);
    if sampling.top_k > 0 {
        tokens.truncate(sampling.top_k as usize);
    }
    if sampling.typical < 1.0 {
        let fall = |token: &Token| f64::from(scale.fall(token.0));
        let mut by_id = tokens.clone();
        by_id.sort_by_key(|token| token.1);
        let mean = by_id.iter().map(|t| t.2 as f64 * fall(t)).sum::<f64>() / mass(&tokens) as f64;
        let distance = |token: &Token| (fall(token) - mean).abs();
        // The order among equals is kept.
        tokens.sort_by(|a, b| distance(a).total_cmp(&distance(b)));
        take_share(&mut tokens, sampling.typical);
        tokens.sort_by(by_logit);
    }
    if sampling.top_p < 1.0 {
        take_share(&mut tokens, sampling.top_p);
    }
    let heaviest = tokens.iter().map(|token| token.2).max().unwrap();
    tokens.retain(|token| token.2 as f64 >= f64::from(sampling.min_p) * heaviest as f64);
    tokens.sort_by_key(|token| token.1);
    let place = ((uniform * mass(&tokens) as f64) as u64).min(mass(&tokens) - 1);
    let mut sum = 0;
    tokens.iter().find(|token| (sum += token.2, sum > place).1).unwrap().1
}

fn mass(tokens: &[Token]) -> u64 {
    tokens.iter().map(|token| token.2).sum()
}

fn take_share(tokens: &mut Vec<Token>, share: f32) {
    let need = (f64::from(share) * mass(tokens) as f64).ceil() as u64;
    let mut sum = 0;
    let last = tokens.iter().position(|token| (sum += token.2, sum >= need).1);
    tokens.truncate(last.map_or(tokens.len(), |last| last + 1));
}

/// What each token loses, by looking at every place where it stands.
fn losses(vocab: usize, dry: &Dry, recent: &[u32], breakers: &[u32]) -> Vec<f32> {
    let first = if dry.window == 0 { 0 } else { recent.len().saturating_sub(dry.window as usize) };
    let recent = &recent[first..];
    let length = |place: usize| {
        let pairs = recent[..place].iter().rev().zip(recent.iter().rev());
        pairs.take_while(|(a, b)| a == b && !breakers.contains(a)).count() as u32
    };
    let mut losses = vec![0.0f32; vocab];
    for (place, &id) in recent.iter().enumerate().skip(1) {
        let length = length(place);
        if length >= dry.allowed_length && !breakers.contains(&id) {
            let loss =
                f64::from(dry.multiplier) * f64::from(dry.base).powi((length - dry.allowed_length) as i32);
            losses[id as usize] = losses[id as usize].max(loss.min(f64::from(f32::MAX)) as f32);
        }
    }
    losses
}

/// Rows of every kind: peaked, flat, with ties, with what is no number, and wider than any stretch.
fn rows() -> impl Strategy<Value = Vec<f32>> {
    let logit = prop_oneof![
        8 => -12.0f32..12.0,
        4 => (-6..6i8).prop_map(f32::from),
        1 => Just(f32::NEG_INFINITY),
        1 => Just(f32::NAN),
        1 => Just(-0.0),
    ];
    let flat = (1..3000usize, -9.0f32..9.0).prop_map(|(count, logit)| vec![logit; count]);
    prop_oneof![9 => vec(logit, 1..3000), 1 => flat]
}

fn samplings() -> impl Strategy<Value = Sampling> {
    let temperature = prop_oneof![Just(1.0f32), 0.1f32..3.0, Just(1e-38), Just(1e30)];
    let top_k = prop_oneof![3 => Just(0), 2 => 1..60u32, 1 => 1..4000u32];
    let part = || prop_oneof![2 => Just(1.0f32), 2 => 0.01f32..1.0, 1 => Just(0.999f32)];
    let min_p = prop_oneof![2 => Just(0.0f32), 2 => 0.001f32..1.0, 1 => Just(1e-12f32), 1 => Just(1.0)];
    (temperature, top_k, part(), part(), min_p).prop_map(|(temperature, top_k, typical, top_p, min_p)| {
        Sampling { temperature, top_k, typical, top_p, min_p, ..Sampling::GREEDY }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn a_draw_is_the_plain_definitions(
        logits in rows(),
        sampling in samplings(),
        uniforms in vec(0.0f64..1.0, 3),
    ) {
        let mut draw = Draw::default();
        for uniform in uniforms.into_iter().chain([0.0, 1.0 - f64::EPSILON / 2.0]) {
            prop_assert_eq!(draw.token(&logits, &sampling, uniform), drawn(&logits, &sampling, uniform));
        }
    }

    #[test]
    fn the_largest_are_those_of_a_sorted_row(logits in rows(), count in 1..100usize) {
        let mut sorted = (0..).zip(logits.iter().copied()).collect::<Vec<(u32, f32)>>();
        let key = |logit: f32| if logit.is_nan() { f32::NEG_INFINITY } else { logit + 0.0 };
        sorted.sort_by(|a, b| key(b.1).total_cmp(&key(a.1)));
        sorted.truncate(count);
        let mut draw = Draw::default();
        let found = draw.largest(&logits, count).map(|(id, _)| id).collect::<Vec<_>>();
        prop_assert_eq!(found, sorted.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        prop_assert_eq!(argmax(&logits), if key(sorted[0].1) > f32::NEG_INFINITY { sorted[0].0 } else { 0 });
    }

    #[test]
    fn a_draw_from_the_largest_alone_is_that_from_all(
        logits in rows(),
        sampling in samplings(),
        uniform in 0.0f64..1.0,
        count in 1..400usize,
        is_greedy in any::<bool>(),
        top in 0..5u32,
    ) {
        let (ids, known) = told(&logits, count);
        let largest =
            Largest { ids: &ids, logits: &known, vocab: logits.len() as u32, normaliser: log_sum_exp(&logits) };
        let temperature = if is_greedy { 0.0 } else { sampling.temperature };
        let sampling = Sampling { temperature, ..sampling };
        let row = Row { uniform, top, ..Row::new(0, &sampling) };
        let (mut sampler, mut from_all, mut from_largest) = <(Sampler, Fetch, Fetch)>::default();
        sampler.sample(&logits, &row, &mut from_all);
        if sampler.sample_largest(&largest, &row, &mut from_largest) {
            prop_assert_eq!(from_largest.sampled, from_all.sampled);
            prop_assert_eq!(from_largest.top, from_all.top);
        } else {
            prop_assert!(from_largest.sampled.is_empty() && from_largest.top.is_empty());
        }
    }

    #[test]
    fn repetitions_are_found_as_by_looking_everywhere(
        recent in prop_oneof![vec(0..3u32, 0..60), vec(0..9u32, 0..60)],
        breakers in proptest::sample::subsequence((0..9u32).collect::<Vec<_>>(), 0..3),
        (multiplier, base) in (0.1f32..2.0, prop_oneof![1.0f32..3.0, Just(1e30f32)]),
        (allowed_length, window) in (0..4u32, 0..40u32),
    ) {
        let dry = Dry { multiplier, base, allowed_length, window };
        let mut logits = vec![0.0; 8];
        let bits = breakers.iter().fold(0, |bits, id| bits | 1 << id);
        Repeats::default().penalise(&mut logits, &dry, &recent, &[bits]);
        for (id, (logit, loss)) in logits.iter().zip(losses(9, &dry, &recent, &breakers)).enumerate() {
            prop_assert!((-logit - loss).abs() <= 1e-4 * loss, "token {} loses {}, not {}", id, -logit, loss);
        }
    }
}

/// The largest of a row as a device might tell them: among equals the last first, and as many as were asked for.
fn told(logits: &[f32], count: usize) -> (Vec<u32>, Vec<f32>) {
    let key = |logit: f32| if logit.is_nan() { f32::NEG_INFINITY } else { logit + 0.0 };
    let mut sorted = (0..).zip(logits.iter().map(|&x| key(x))).collect::<Vec<(u32, f32)>>();
    sorted.sort_by(|a, b| b.1.total_cmp(&a.1).then(b.0.cmp(&a.0)));
    sorted.truncate(count);
    sorted.into_iter().unzip()
}

#[test]
fn the_largest_alone_decide_what_is_usual() {
    // As logits fall in a language model, with a vocabulary of 128 thousand: quickly, then slowly.
    let logits = (1..=128_000).map(|rank| -3.0 * (rank as f32).ln()).collect::<Vec<_>>();
    let (ids, known) = told(&logits, 256);
    let largest =
        Largest { ids: &ids, logits: &known, vocab: logits.len() as u32, normaliser: log_sum_exp(&logits) };
    let usual = Sampling { temperature: 0.8, ..Sampling::GREEDY };
    let decided = |sampling: Sampling, top: u32| {
        let places = (0..100).map(|place| f64::from(place) / 100.0);
        let sampled = places.map(|uniform| {
            let row = Row { uniform, top, ..Row::new(0, &sampling) };
            Sampler::default().sample_largest(&largest, &row, &mut Fetch::default())
        });
        sampled.filter(|&decides| decides).count()
    };
    assert_eq!(decided(Sampling { top_k: 50, top_p: 0.9, ..usual }, 0), 100);
    assert_eq!(decided(Sampling { top_p: 0.95, ..usual }, 5), 100);
    assert_eq!(decided(Sampling { min_p: 0.05, ..usual }, 0), 100);
    assert_eq!(decided(Sampling::GREEDY, 255), 100);
    // The rest could be drawn, would be told, or counts among the typical.
    assert_eq!(decided(usual, 0), 0);
    assert_eq!(decided(Sampling::GREEDY, 256), 0);
    assert_eq!(decided(Sampling { top_k: 256, ..usual }, 0), 0);
    assert_eq!(decided(Sampling { typical: 0.9, ..usual }, 0), 0);
    // Four fifths of the weight of all, but not as far as the largest tell.
    assert_eq!(decided(Sampling { top_p: 0.9999, ..usual }, 0), 0);
}

#[test]
fn weights_are_exponentials() {
    let scale = Scale::new(3.0, 0.7);
    assert_eq!(scale.weight(3.0), ONE);
    for i in 0..200_000 {
        let logit = 3.0 - i as f32 * 1e-4;
        let want = ONE as f64 * (f64::from(logit - 3.0) / f64::from(0.7f32)).exp();
        let got = scale.weight(logit) as f64;
        assert!((got - want).abs() <= 0.51 + want * 3e-6, "{logit}: {got} for {want}");
    }
    for nothing in [-50.0, f32::NEG_INFINITY, f32::NAN, f32::MIN] {
        assert_eq!(scale.weight(nothing), 0);
    }
    // A temperature so small that its inverse is no float.
    assert_eq!([1.0, 1.0 - f32::EPSILON].map(|logit| Scale::new(1.0, 1e-44).weight(logit)), [ONE, 0]);
}

#[test]
fn the_normaliser_is_the_logarithm_of_a_sum() {
    let logits = (0..1000).map(|i| (i * 7919 % 1009) as f32 / 50.0).collect::<Vec<_>>();
    let want = logits.iter().map(|&logit| f64::from(logit).exp()).sum::<f64>().ln();
    assert!((f64::from(RowStats::of(&logits).normaliser) - want).abs() < 2e-6);
    assert_eq!(RowStats::of(&[f32::NEG_INFINITY]).normaliser, f32::NEG_INFINITY);
}
