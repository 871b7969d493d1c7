//! Beam search finds what there is to find, in whatever company and however little room.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Run, drain, facts, groups, prompt};
use engine::null::{Null, NullExecutor, Tally, continuation};
use engine::{BeamSearch, Engine, Event, Facts, Finish, Request};

/// Few tokens, so that all answers can be looked at.
const VOCAB: u32 = 5;

/// An engine on a device of few tokens that has so many pages.
fn small(windows: &[u32], seqs: u32, pages: Option<u32>) -> (Engine, Arc<Tally>) {
    let facts = Facts { vocab: VOCAB, max_seqs: seqs, usual: 64, ..facts(windows, 4, 64, 16) };
    let asked = facts.budget(None).pages.into_iter();
    let given = asked.map(|asked| pages.map_or(asked, |pages| pages.min(asked))).collect();
    let executor = NullExecutor::new(Null::new(facts.groups.clone(), facts.page_len, given, VOCAB));
    let tally = executor.tally();
    (Engine::new(Box::new(executor), facts).expect("there are pages"), tally)
}

fn asked(len: u32) -> Vec<u32> {
    prompt(len).into_iter().map(|id| id % VOCAB).collect()
}

fn search(engine: &mut Engine, search: BeamSearch) -> Run {
    let id = engine.start_beams(search).expect("the search is good");
    drain(engine, id)
}

/// What the device thinks of a token behind others.
fn logprob(windows: &[u32], tokens: &[u32], next: u32) -> f64 {
    let likeliest = continuation(&groups(windows), VOCAB, tokens);
    let all = (8f64.exp() + f64::from(VOCAB - 1)).ln();
    if next == likeliest { 8.0 - all } else { -all }
}

/// Every answer there is, with its log-probability; token 0 ends one.
fn every(windows: &[u32], tokens: &[u32], left: u32, sum: f64, begun: usize, all: &mut Vec<(Vec<u32>, f64)>) {
    for next in 0..VOCAB {
        let sum = sum + logprob(windows, tokens, next);
        let tokens = [tokens, &[next]].concat();
        if next == 0 || left == 1 {
            all.push((tokens[begun..].to_vec(), sum));
        } else {
            every(windows, &tokens, left - 1, sum, begun, all);
        }
    }
}

#[test]
fn a_search_that_is_wide_enough_finds_the_best_there_are() {
    for windows in [&[0][..], &[0, 2], &[3]] {
        let prompt = asked(7);
        let mut all = vec![];
        every(windows, &prompt, 3, 0.0, prompt.len(), &mut all);
        let score = |tokens: &[u32], logprob: f64| logprob / (tokens.len() as f64).powf(1.5);
        let mut best = all.iter().map(|(tokens, logprob)| score(tokens, *logprob)).collect::<Vec<_>>();
        best.sort_by(|a, b| b.total_cmp(a));

        let (mut engine, _) = small(windows, 8, None);
        let wide = BeamSearch { length_penalty: 1.5, stop: vec![0], ..BeamSearch::new(prompt, 40, 3) };
        let found = search(&mut engine, wide).answers;
        assert_eq!(found.len(), 40);
        for (place, (tokens, logprob, scored)) in found.iter().enumerate() {
            let (_, known) = all.iter().find(|(other, _)| other == tokens).expect("it is an answer");
            assert!((logprob - known).abs() < 1e-4, "{tokens:?}: {logprob} and not {known}");
            assert!((scored - best[place]).abs() < 1e-4, "place {place}: {scored} and not {}", best[place]);
            assert!(found[..place].iter().all(|(other, ..)| other != tokens), "{tokens:?} comes twice");
        }
    }
}

#[test]
fn beams_share_what_they_have_in_common() {
    let (mut engine, tally) = small(&[0, 3], 8, None);
    let run = search(&mut engine, BeamSearch::new(asked(18), 3, 6));
    assert_eq!(run.answers.len(), 3);
    assert!(run.answers.iter().all(|(tokens, ..)| tokens.len() == 6));
    // The prompt once, and then each step a token of each beam.
    assert_eq!(tally.tokens(), 18 + 5 * 3);
    let ending = run.ending.expect("it ends");
    assert_eq!((ending.finish, ending.usage.completion_tokens), (Finish::Length, 6 * 3));
    // The likeliest at every token is among them, since the device is so sure.
    let mut greedy = asked(18);
    (0..6).for_each(|_| greedy.push(continuation(&groups(&[0, 3]), VOCAB, &greedy)));
    assert_eq!(run.answers[0].0, greedy[18..]);
}

#[test]
fn little_room_changes_nothing() {
    for windows in [&[0][..], &[0, 3]] {
        let wide = |len| BeamSearch { stop: vec![1], ..BeamSearch::new(asked(len), 6, 14) };
        let alone = search(&mut small(windows, 8, None).0, wide(20)).answers;
        for (seats, pages) in [(8, 20), (3, 40), (1, 17)] {
            let (mut engine, _) = small(windows, seats, Some(pages));
            let other =
                engine.start(Request { max_tokens: 30, ..Request::new(asked(9)) }).expect("it is good");
            let ids = [20, 21].map(|len| engine.start_beams(wide(len)).expect("it is good"));
            let (mut found, mut ended) = (vec![], 0);
            while !engine.is_idle() {
                for event in engine.step() {
                    match event {
                        Event::Answer { sequence, tokens, logprob, score, .. } if sequence == ids[0] => {
                            found.push((tokens.to_vec(), logprob, score));
                        }
                        Event::Token { sequence, .. } => assert_eq!(sequence, other, "beams tell no tokens"),
                        Event::Finished { .. } => ended += 1,
                        _ => {}
                    }
                }
            }
            assert_eq!((found, ended), (alone.clone(), 3), "{seats} seats, {pages} pages");
        }
    }
}

#[test]
fn a_search_can_be_cancelled_and_time_out() {
    let (mut engine, _) = small(&[0], 8, None);
    let id = engine.start_beams(BeamSearch::new(asked(9), 4, 20)).expect("it is good");
    (0..5).for_each(|_| engine.step().for_each(drop));
    let ending = engine.cancel(id).expect("it is alive");
    assert_eq!((ending.finish, ending.usage.completion_tokens), (Finish::Cancelled, 5 * 4));
    assert!(engine.cancel(id).is_none() && engine.is_idle());
    let late = BeamSearch { deadline: Some(Duration::ZERO), ..BeamSearch::new(asked(9), 4, 20) };
    let run = search(&mut engine, late);
    assert_eq!((run.answers.len(), run.ending.map(|ending| ending.finish)), (0, Some(Finish::Deadline)));
    // Nothing of theirs is left.
    assert_eq!(common::run(&mut engine, Request::new(asked(9))).ids.len(), 64 - 9);
}

#[test]
fn a_search_is_held_to_its_bounds() {
    let (mut engine, _) = small(&[0], 8, None);
    let mut refusal = |search: BeamSearch| engine.start_beams(search).expect_err("it is bad").to_string();
    let good = BeamSearch::new(asked(3), 2, 4);
    assert!(refusal(BeamSearch { width: 0, ..good.clone() }).contains("number of beams is 0"));
    assert!(refusal(BeamSearch { width: 65, ..good.clone() }).contains("number of beams is 65"));
    assert!(refusal(BeamSearch { max_tokens: 0, ..good.clone() }).contains("1 or more"));
    assert!(
        refusal(BeamSearch { length_penalty: f64::NAN, ..good.clone() }).contains("length penalty is NaN")
    );
    assert!(refusal(BeamSearch { prompt: vec![], ..good }).contains("the prompt is empty"));
}
