//! Guessing ahead changes how many steps there are, and nothing else.

mod common;

use std::sync::Arc;

use common::{VOCAB, continued, engine, facts, groups, prompt, run};
use engine::null::{Null, NullExecutor, Tally, continuation};
use engine::{Ask, DraftModel, Drafter, Engine, Event, Facts, PromptLookup, Request};
use graph::{Group, Sampling};

/// Says what the device will say, but for every so manieth token.
#[derive(Clone)]
struct Seer {
    groups: Vec<Group>,
    wrong_every: usize,
    seen: Vec<u32>,
}

impl Seer {
    fn new(windows: &[u32], wrong_every: usize) -> Box<Seer> {
        Box::new(Seer { groups: groups(windows), wrong_every, seen: vec![] })
    }
}

impl Drafter for Seer {
    fn ask(&mut self, ask: &Ask<'_>) {
        let mut all = ask.tokens.to_vec();
        for _ in 0..ask.most {
            let right = continuation(&self.groups, VOCAB, &all);
            all.push(if all.len().is_multiple_of(self.wrong_every) { (right + 1) % VOCAB } else { right });
        }
        self.seen = all.split_off(ask.tokens.len());
    }

    fn answer(&mut self, out: &mut Vec<u32>) {
        out.append(&mut self.seen);
    }

    fn fork(&self) -> Box<dyn Drafter> {
        Box::new(self.clone())
    }
}

/// A device whose steps cost something beside their tokens, as all do.
fn costly(facts: Facts) -> (Engine, Arc<Tally>) {
    let pages = facts.budget(None).pages;
    let null = Null::new(facts.groups.clone(), facts.page_len, pages, VOCAB);
    let executor = NullExecutor::new(Null { step_ns: 100_000, ..null });
    let tally = executor.tally();
    (Engine::new(Box::new(executor), facts).expect("there are pages"), tally)
}

fn greedy(tokens: u32) -> Request {
    Request { max_tokens: tokens, ..Request::new(prompt(9)) }
}

#[test]
fn steps_are_saved_and_tokens_are_the_same() {
    let windows = [0, 5];
    for wrong_every in [3, 7, 1000] {
        let (mut engine, tally) = costly(facts(&windows, 4, 256, 64));
        let request = Request { drafter: Some(Seer::new(&windows, wrong_every)), ..greedy(200) };
        let run = run(&mut engine, request);
        assert_eq!(run.ids, continued(&windows, &prompt(9), 200));
        let usage = run.ending.expect("it ends").usage;
        assert!(usage.accepted_tokens <= usage.drafted_tokens && usage.accepted_tokens < 200);
        // Each step makes one token and those that were guessed.
        assert_eq!(tally.launches() as u32 + usage.accepted_tokens, 200);
        assert!(tally.launches() < 150, "{} steps, {usage:?}", tally.launches());
    }
}

#[test]
fn drawn_tokens_are_the_same() {
    let sampling = Sampling { temperature: 2.5, ..Sampling::default() };
    let asked = |seed| Request { sampling, seed, top_logprobs: 2, logits: true, ..greedy(100) };
    let mut accepted = 0;
    for seed in 0..20 {
        let plain = run(&mut engine(facts(&[0], 4, 256, 64), None).0, asked(seed));
        let mut engine = costly(facts(&[0], 4, 256, 64)).0;
        let guessed = run(&mut engine, Request { drafter: Some(Seer::new(&[0], 1000)), ..asked(seed) });
        accepted += guessed.ending.expect("it ends").usage.accepted_tokens;
        assert_eq!((guessed.ids, guessed.top), (plain.ids, plain.top));
        assert_eq!((guessed.logprobs, guessed.logits), (plain.logprobs, plain.logits));
    }
    assert!(accepted > 100, "{accepted} of 2000");
}

#[test]
fn guesses_that_do_not_pay_are_given_up() {
    // Wrong every time: it is tried once in a while.
    let (mut engine, tally) = costly(facts(&[0], 4, 2048, 64));
    let run = run(&mut engine, Request { drafter: Some(Seer::new(&[0], 1)), ..greedy(1000) });
    let usage = run.ending.expect("it ends").usage;
    assert_eq!((usage.accepted_tokens, tally.launches()), (0, 1000));
    assert!(usage.drafted_tokens < 200, "{usage:?}");
    // While nothing is guessed, steps overlap as ever.
    assert!(tally.overlapped() > 700, "{} of 1000", tally.overlapped());
    // Right every time, on a device where a token costs all there is: nothing is saved.
    let (mut engine, tally) = common::engine(facts(&[0], 4, 2048, 64), None);
    let run = common::run(&mut engine, Request { drafter: Some(Seer::new(&[0], 5000)), ..greedy(1000) });
    let usage = run.ending.expect("it ends").usage;
    assert!(usage.drafted_tokens < 100, "{usage:?}");
    assert!(tally.overlapped() > 900, "{} of 1000", tally.overlapped());
    // Where prompts and answers have steps of their own, nobody is asked to guess.
    let (mut engine, tally) = costly(Facts { mixed_steps: false, ..facts(&[0], 4, 2048, 64) });
    let run = common::run(&mut engine, Request { drafter: Some(Seer::new(&[0], 1)), ..greedy(1000) });
    let usage = run.ending.expect("it ends").usage;
    assert_eq!(usage.drafted_tokens, 0);
    assert!(tally.overlapped() > 900, "{} of 1000", tally.overlapped());
}

#[test]
fn an_answer_that_repeats_itself_is_guessed_from_it() {
    let (mut engine, tally) = costly(facts(&[0], 4, 4096, 64));
    let drafter = Some(Box::new(PromptLookup::default()) as Box<dyn Drafter>);
    // The device never repeats itself; a bias does.
    let run = run(&mut engine, Request { drafter, bias: vec![(5, 100.0)], ..greedy(2000) });
    assert_eq!(run.ids, [5; 2000]);
    assert!(tally.launches() < 300, "{} steps", tally.launches());
}

#[test]
fn a_model_guesses_for_all_in_common_steps() {
    let small = facts(&[0, 5], 4, 256, 64);
    let small = Facts { max_seqs: 8, usual: 256, ..small };
    let (draft, drafting) = engine(small.clone(), None);
    let draft = DraftModel::new(draft);
    let (mut engine, tally) = costly(small);
    let sampling = |seed: u32| Sampling { temperature: [0.0, 0.7][seed as usize % 2], ..Sampling::default() };
    let request = |seed: u32| Request {
        sampling: sampling(seed),
        seed: u64::from(seed),
        drafter: Some(draft.drafter()),
        max_tokens: 200,
        ..Request::new(prompt(3 + seed))
    };
    let ids =
        (0..8).map(|seed| engine.start(request(seed)).expect("the request is good")).collect::<Vec<_>>();
    let mut answers = vec![vec![]; 8];
    while !engine.is_idle() {
        for event in engine.step() {
            if let Event::Token { sequence, id, .. } = event {
                let place = ids.iter().position(|&id| id == sequence).expect("it was started");
                answers[place].push(id);
            }
        }
    }
    for (seed, answer) in (0..).zip(answers) {
        let plain = run(
            &mut common::engine(facts(&[0, 5], 4, 256, 64), None).0,
            Request { drafter: None, ..request(seed) },
        );
        assert_eq!(answer, plain.ids);
    }
    // The same model guesses right, and makes guesses for several in each step of its own.
    assert!(tally.launches() < 80, "{} steps", tally.launches());
    assert!(drafting.launches() < 400, "{} steps for 1600 tokens", drafting.launches());
}

#[test]
fn what_a_draft_model_refuses_is_not_guessed() {
    let (draft, drafting) = engine(facts(&[0], 4, 30, 64), None);
    let draft = DraftModel::new(draft);
    let (mut engine, _) = costly(facts(&[0], 4, 256, 64));
    let run = run(&mut engine, Request { drafter: Some(draft.drafter()), ..greedy(100) });
    assert_eq!(run.ids, continued(&[0], &prompt(9), 100));
    assert!(drafting.launches() > 0, "it guesses as far as its context goes");
}

#[test]
fn acceptance_can_be_made_up() {
    let rate = |share: f32| {
        let (mut engine, tally) = costly(facts(&[0], 4, 2048, 64));
        let drafter = Some(Box::new(PromptLookup::default()) as Box<dyn Drafter>);
        let ending = run(&mut engine, Request { drafter, synthetic: Some(share), ..greedy(1000) }).ending;
        let usage = ending.expect("it ends").usage;
        assert_eq!(usage.completion_tokens, 1000);
        // Nobody finds what was taken for right.
        assert_eq!(run(&mut engine, greedy(100)).ids, continued(&[0], &prompt(9), 100));
        (tally.launches() - 100, usage)
    };
    let (none, half, all) = (rate(0.0), rate(0.5), rate(1.0));
    assert_eq!(none.0, 1000);
    assert!(all.0 < 130, "{all:?}");
    assert!((400..800).contains(&half.0), "{half:?}");
}
