//! Every rule by which a row of logits becomes a token.

use graph::{Dry, Fetch, Penalties, Row, Sampled, Sampler, Sampling, Seen};

const GREEDY: Sampling = Sampling::GREEDY;
const RANDOM: Sampling = Sampling { temperature: 1.0, ..GREEDY };

/// Logits of the probabilities 0.1, 0.2, 0.3, 0.4.
fn quarters() -> [f32; 4] {
    [0.1f32, 0.2, 0.3, 0.4].map(f32::ln)
}

fn row(sampling: &Sampling, uniform: f64) -> Row<'_> {
    Row { uniform, ..Row::new(0, sampling) }
}

fn sample(logits: &[f32], row: &Row<'_>) -> Sampled {
    let mut fetch = Fetch::default();
    Sampler::default().sample(logits, row, &mut fetch);
    fetch.sampled[0]
}

/// How often each token comes, in per mille, when the uniform number runs evenly from 0 to 1.
fn sweep(logits: &[f32], sampling: &Sampling) -> Vec<u32> {
    let mut counts = vec![0; logits.len()];
    for i in 0..1000 {
        counts[sample(logits, &row(sampling, (f64::from(i) + 0.5) / 1000.0)).id as usize] += 1;
    }
    counts
}

/// Shares are told to one per mille: a border may fall on either side of a number of the sweep.
fn assert_shares(counts: &[u32], wanted: &[u32]) {
    assert_eq!(counts.len(), wanted.len());
    assert!(counts.iter().zip(wanted).all(|(got, want)| got.abs_diff(*want) <= 1), "{counts:?}");
}

#[test]
fn greedy_takes_the_largest_and_of_equals_the_first() {
    assert_eq!(sample(&[0.0, 3.0, -1.0, 3.0], &row(&GREEDY, 0.99)).id, 1);
    assert_eq!(sample(&[-0.0, 0.0], &row(&GREEDY, 0.0)).id, 0);
    assert_eq!(sample(&[f32::NEG_INFINITY, -5.0], &row(&GREEDY, 0.0)).id, 1);
}

#[test]
fn a_sweep_gives_the_distribution() {
    assert_shares(&sweep(&quarters(), &RANDOM), &[100, 200, 300, 400]);
}

#[test]
fn temperature_sharpens_and_flattens() {
    // Squares, 1 + 4 + 9 + 16 = 30.
    assert_shares(&sweep(&quarters(), &Sampling { temperature: 0.5, ..RANDOM }), &[33, 133, 300, 533]);
    assert_shares(&sweep(&quarters(), &Sampling { temperature: 1e6, ..RANDOM }), &[250; 4]);
    // So little that quotients overflow f32: greedy, as the limit is.
    assert_shares(&sweep(&[1e3, 2e3, -1e3], &Sampling { temperature: 1e-38, ..RANDOM }), &[0, 1000, 0]);
}

#[test]
fn top_k_keeps_the_largest() {
    assert_shares(&sweep(&quarters(), &Sampling { top_k: 2, ..RANDOM }), &[0, 0, 429, 571]);
    assert_shares(&sweep(&[1.0; 4], &Sampling { top_k: 2, ..RANDOM }), &[500, 500, 0, 0]);
    assert_shares(&sweep(&quarters(), &Sampling { top_k: 99, ..RANDOM }), &[100, 200, 300, 400]);
}

#[test]
fn top_p_keeps_the_smallest_set_that_reaches_it() {
    assert_shares(&sweep(&quarters(), &Sampling { top_p: 0.39, ..RANDOM }), &[0, 0, 0, 1000]);
    assert_shares(&sweep(&quarters(), &Sampling { top_p: 0.6, ..RANDOM }), &[0, 0, 429, 571]);
    assert_shares(&sweep(&quarters(), &Sampling { top_p: 0.0, ..RANDOM }), &[0, 0, 0, 1000]);
    // Of what top_k leaves: 4/9 + 3/9 reaches 0.75 of it.
    let both = Sampling { top_k: 3, top_p: 0.75, ..RANDOM };
    assert_shares(&sweep(&quarters(), &both), &[0, 0, 429, 571]);
}

#[test]
fn min_p_is_measured_by_the_likeliest() {
    assert_shares(&sweep(&quarters(), &Sampling { min_p: 0.6, ..RANDOM }), &[0, 0, 429, 571]);
    assert_shares(&sweep(&quarters(), &Sampling { min_p: 1.0, ..RANDOM }), &[0, 0, 0, 1000]);
}

#[test]
fn typical_keeps_what_is_as_likely_as_expected() {
    // Information of 0.8 and 0.2 is 0.22 and 1.61, the mean 0.5: the likely one is nearer.
    let two = [0.8f32, 0.2].map(f32::ln);
    assert_shares(&sweep(&two, &Sampling { typical: 0.5, ..RANDOM }), &[1000, 0]);
    // One token of 0.4 among sixty of 0.01: the mean is 3.13, nearer to 4.6 than to 0.92.
    let mut many = [0.01f32.ln(); 61];
    many[7] = 0.4f32.ln();
    let counts = sweep(&many, &Sampling { typical: 0.5, ..RANDOM });
    assert_eq!((counts[7], counts.iter().filter(|&&count| count > 0).count()), (0, 50));
    // `min_p` then measures by the likeliest that is left.
    assert_eq!(sweep(&many, &Sampling { typical: 0.5, min_p: 1.0, ..RANDOM }), counts);
}

#[test]
fn dry_takes_from_what_would_repeat() {
    let dry = Dry { multiplier: 1.0, base: 2.0, allowed_length: 2, window: 0 };
    let sampling = Sampling { penalties: Penalties { dry, ..Penalties::NONE }, ..GREEDY };
    let next = |recent: &[u32], breakers: &[u32], logits: &[f32]| {
        sample(logits, &Row { recent, breakers, ..row(&sampling, 0.0) }).id
    };
    // 1 2 3 0 .. 1 2 3: three tokens agree, so 0 loses 1 * 2^(3 - 2) = 2.
    let said = [1, 2, 3, 0, 4, 1, 2, 3];
    assert_eq!(next(&said, &[], &[5.0, 0.0, 0.0, 0.0, 2.9]), 0);
    assert_eq!(next(&said, &[], &[5.0, 0.0, 0.0, 0.0, 3.1]), 4);
    // A breaker shortens what agrees, and what is a breaker loses nothing.
    assert_eq!(next(&said, &[1 << 1], &[5.0, 0.0, 0.0, 0.0, 3.9]), 0);
    assert_eq!(next(&said, &[1 << 1], &[5.0, 0.0, 0.0, 0.0, 4.1]), 4);
    assert_eq!(next(&said, &[1 << 2], &[5.0, 0.0, 0.0, 0.0, 4.9]), 0);
    assert_eq!(next(&said, &[1 << 0], &[5.0, 0.0, 0.0, 0.0, 4.9]), 0);
    // Long repetition, however long, leaves finite logits to choose from.
    assert_eq!(next(&[1; 500], &[], &[0.0, 9.0]), 0);
    assert_eq!(next(&[1; 500], &[], &[f32::NEG_INFINITY, 9.0]), 1);
}

#[test]
fn penalties_take_from_what_was_seen() {
    let penalised = |penalties, seen: &[Seen], logits: &[f32]| {
        let sampling = Sampling { penalties, ..GREEDY };
        sample(logits, &Row { seen, ..row(&sampling, 0.0) }).id
    };
    let [prompt, twice] = [0, 2].map(|generated| [Seen { id: 0, generated }]);
    let none = Penalties::NONE;
    // 4 / 2 is less than 3; -1 * 2 is less than -1.5; tokens of the prompt count.
    let repetition = Penalties { repetition: 2.0, ..none };
    assert_eq!(penalised(repetition, &prompt, &[4.0, 3.0]), 1);
    assert_eq!(penalised(repetition, &prompt, &[-1.0, -1.5]), 1);
    assert_eq!(penalised(repetition, &prompt, &[7.0, 3.0]), 0);
    // Presence once, frequency twice, of what was generated only.
    let presence = Penalties { presence: 0.75, ..none };
    assert_eq!(penalised(presence, &twice, &[4.0, 3.5]), 1);
    assert_eq!(penalised(presence, &twice, &[4.0, 3.0]), 0);
    let frequency = Penalties { frequency: 0.75, ..none };
    assert_eq!(penalised(frequency, &twice, &[4.0, 3.0]), 1);
    assert_eq!(penalised(frequency, &twice, &[4.0, 2.0]), 0);
    assert_eq!(penalised(frequency, &prompt, &[4.0, 3.9]), 0);
    // A token that the vocabulary does not have is nobody's.
    assert_eq!(penalised(repetition, &[Seen { id: 9, generated: 1 }], &[4.0, 3.0]), 0);
}

#[test]
fn bias_is_added_and_the_mask_forbids() {
    let biased = Row { bias: &[(1, 3.0), (77, 9.0)], ..row(&GREEDY, 0.0) };
    assert_eq!(sample(&[2.0, 0.0, 1.0], &biased).id, 1);
    // Penalties act on what the bias made.
    let penalties = Penalties { repetition: 2.0, ..Penalties::NONE };
    let sampling = Sampling { penalties, ..GREEDY };
    let seen = [Seen { id: 1, generated: 0 }];
    let both = |bias: &'static [(u32, f32)]| Row { bias, seen: &seen, ..row(&sampling, 0.0) };
    assert_eq!(sample(&[2.5, 1.0], &both(&[(1, 3.0)])).id, 0);
    assert_eq!(sample(&[1.5, 1.0], &both(&[(1, 3.0)])).id, 1);
    let masked = |mask: &'static [u32]| Row { mask: Some(mask), ..row(&RANDOM, 0.999) };
    assert_eq!(sample(&[9.0, 0.0, 8.0], &masked(&[0b010])).id, 1);
    // A bias does not lift a mask, and tokens beyond the mask are forbidden.
    let both = Row { bias: &[(0, 1e9)], ..masked(&[0b100]) };
    assert_eq!(sample(&[9.0, 0.0, 8.0], &both).id, 2);
    let mut many = [0.0; 40];
    many[35] = 9.0;
    assert_eq!(sample(&many, &Row { mask: Some(&[1 << 4]), ..row(&GREEDY, 0.0) }).id, 4);
}

#[test]
fn the_same_uniform_gives_the_same_token() {
    let logits = (0..1000).map(|i| ((i * 7919) % 1009) as f32 / 100.0).collect::<Vec<_>>();
    let mut used = Sampler::default();
    for i in 0..100 {
        let row = row(&RANDOM, f64::from(i) / 100.0);
        let mut fetch = Fetch::default();
        used.sample(&logits, &row, &mut fetch);
        assert_eq!(fetch.sampled[0], sample(&logits, &row), "what was sampled before must not matter");
    }
}

#[test]
fn edges_of_the_uniform_are_tokens() {
    assert_eq!(sample(&quarters(), &row(&RANDOM, 0.0)).id, 0);
    assert_eq!(sample(&quarters(), &row(&RANDOM, 1.0 - f64::EPSILON / 2.0)).id, 3);
}

#[test]
fn what_is_no_number_is_never_taken() {
    let logits = [f32::NAN, 1.0, f32::NEG_INFINITY, 0.5];
    assert_eq!(sample(&logits, &row(&GREEDY, 0.0)).id, 1);
    assert_eq!(&sweep(&logits, &RANDOM)[..], [0, 622, 0, 378]);
    // Nothing to choose from, or an infinity: no panic, and the first or the largest.
    assert_eq!(sample(&[f32::NAN, f32::NEG_INFINITY], &row(&RANDOM, 0.5)).id, 0);
    assert_eq!(sample(&[0.0, f32::INFINITY], &row(&RANDOM, 0.1)).id, 1);
    // As many are told as were asked for.
    let mut fetch = Fetch::default();
    Sampler::default().sample(&logits, &Row { top: 9, ..row(&GREEDY, 0.0) }, &mut fetch);
    assert_eq!(fetch.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 3, 0, 2]);
}

#[test]
fn log_probabilities_are_the_models_own() {
    // Penalties, temperature and cuts change what is chosen and not what it is told to have been.
    let sampling = Sampling { temperature: 0.1, top_k: 1, ..RANDOM };
    let logits = quarters().map(|logit| logit + 5.0);
    let row = Row { bias: &[(0, 100.0)], top: 2, logits: true, ..row(&sampling, 0.5) };
    let mut fetch = Fetch::default();
    Sampler::default().sample(&logits, &row, &mut fetch);
    assert_eq!(fetch.sampled[0].id, 0);
    assert!((fetch.sampled[0].logprob - 0.1f32.ln()).abs() < 1e-5);
    assert_eq!(fetch.top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [3, 2]);
    assert!((fetch.top[1].1 - 0.3f32.ln()).abs() < 1e-5);
    assert_eq!(fetch.logits, logits);
}
