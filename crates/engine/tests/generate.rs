//! Generation on the device: the tokens, how it ends, and what is refused.

mod common;

use common::{Anything, VOCAB, continued, engine, engine_with, facts, prompt, run};
use engine::{Engine, Event, Facts, Finish, Grammar, RefuseError, Request};
use graph::{BucketPolicy, Penalties, Sampling};

fn plain() -> Engine {
    engine(facts(&[0], 4, 64, 8), None).0
}

#[test]
fn tokens_are_what_the_pages_hold_and_are_counted() {
    let mut engine = plain();
    let run = run(&mut engine, Request { max_tokens: 20, ..Request::new(prompt(19)) });
    assert_eq!(run.ids, continued(&[0], &prompt(19), 20));
    let ending = run.ending.expect("it ended");
    assert_eq!(ending.finish, Finish::Length);
    let usage = ending.usage;
    assert_eq!((usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens), (19, 0, 20));
    // The continued device takes a microsecond per token, and the last token is never fed.
    assert_eq!(usage.device.as_micros(), 19 + 19);
    assert!(run.top.iter().all(Vec::is_empty) && run.logits.iter().all(Vec::is_empty));
}

#[test]
fn two_steps_are_in_flight_and_none_is_wasted() {
    let (mut engine, tally) = engine(facts(&[0], 4, 64, 8), None);
    run(&mut engine, Request { max_tokens: 10, ..Request::new(prompt(20)) });
    // Three chunks and nine tokens fed; the first is launched alone, all others behind another.
    assert_eq!((tally.launches(), tally.overlapped(), tally.previous()), (12, 11, 9));
    assert_eq!(tally.tokens(), 29);
}

#[test]
fn masks_are_made_while_the_device_works() {
    let (mut engine, tally) = engine(Facts { max_seqs: 2, ..facts(&[0], 4, 64, 8) }, None);
    let request = Request { max_tokens: 40, ..Request::new(prompt(5)) };
    engine.start(request.clone()).expect("the request is good");
    let grammar = Some(Box::new(Anything) as Box<dyn Grammar>);
    let formed = engine.start(Request { max_tokens: 12, grammar, ..request }).expect("the request is good");
    let (mut steps, mut ids, mut came) = (0u32, vec![], vec![]);
    while !engine.is_idle() {
        steps += 1;
        for event in engine.step() {
            if let Event::Token { sequence, id, .. } = event
                && sequence == formed
            {
                ids.push(id);
                came.push(steps);
            }
        }
    }
    assert_eq!(ids, continued(&[0], &prompt(5), 12));
    assert_eq!(tally.overlapped(), tally.launches() - 1, "the device never waits for a mask");
    // A row waits for its mask, and the mask for the token before it; meanwhile the other answer's step runs.
    assert!(came.windows(2).all(|two| two[1] - two[0] == 2), "{came:?}");
}

#[test]
fn a_full_context_ends_with_length() {
    for len in 1..16 {
        let (mut engine, tally) = engine(facts(&[0], 4, 16, 8), None);
        let run = run(&mut engine, Request::new(prompt(len)));
        assert_eq!(run.ids, continued(&[0], &prompt(len), 16 - len as usize));
        assert_eq!(run.ending.map(|e| e.finish), Some(Finish::Length));
        assert_eq!(tally.tokens(), 15, "the last token is not fed");
    }
}

#[test]
fn an_end_token_ends_and_drops_what_was_ahead() {
    let expected = continued(&[0], &prompt(5), 12);
    let stop = vec![(expected[11] + 1) % VOCAB, expected[6]];
    let first = expected.iter().position(|id| stop.contains(id)).expect("it is there");
    let (mut engine, tally) = engine(facts(&[0], 4, 64, 8), None);
    let request = Request { stop: stop.clone(), max_tokens: 12, ..Request::new(prompt(5)) };
    let ended = run(&mut engine, request.clone());
    assert_eq!(ended.ids, expected[..=first]);
    assert_eq!(
        ended.ending.map(|e| (e.finish, e.usage.completion_tokens)),
        Some((Finish::Stop, first as u32 + 1))
    );
    assert_eq!(tally.launches(), first as u64 + 2, "one step was ahead");
    // The step ahead is still in flight; the next request is not disturbed by it.
    let ignoring = run(&mut engine, Request { ignore_end: true, ..request });
    assert_eq!(ignoring.ids, expected);
    assert_eq!(ignoring.ending.map(|e| e.finish), Some(Finish::Length));
}

#[test]
fn an_end_token_in_the_prompt_ends_nothing() {
    let mut engine = plain();
    let stop = vec![*prompt(5).last().expect("it has five")];
    let run = run(&mut engine, Request { stop, max_tokens: 1, ..Request::new(prompt(5)) });
    assert_eq!(run.ids.len(), 1);
}

#[test]
fn no_tokens_wanted_gives_none() {
    let (mut engine, tally) = engine(facts(&[0], 4, 64, 8), None);
    let run = run(&mut engine, Request { max_tokens: 0, ..Request::new(prompt(5)) });
    assert_eq!((run.ids.len(), run.ending.map(|e| e.finish)), (0, Some(Finish::Length)));
    assert_eq!(tally.launches(), 0);
}

#[test]
fn bad_requests_are_refused_with_the_numbers() {
    let mut engine = plain();
    let long = engine.start(Request::new(prompt(64))).expect_err("it is too long");
    assert_eq!(long, RefuseError::PromptTooLong { tokens: 64, context: 64 });
    assert_eq!(engine.start(Request::new(vec![])), Err(RefuseError::EmptyPrompt));
    let unknown = engine.start(Request::new(vec![1, VOCAB])).expect_err("it is unknown").to_string();
    assert!(unknown.contains("token id 97"), "{unknown}");
    assert!(engine.is_idle());
    let running = engine.start(Request::new(prompt(3))).expect("it is good");
    assert!(engine.cancel(running).is_some() && engine.cancel(running).is_none());
    assert_eq!(run(&mut engine, Request::new(prompt(63))).ids.len(), 1);
}

#[test]
fn cancelling_frees_everything_while_steps_are_in_flight() {
    // Pages for one whole context and no more: a page that is not freed is missed at once.
    let (mut engine, _) = engine(facts(&[0, 6], 4, 32, 4), None);
    for steps in 0..20 {
        let id = engine.start(Request::new(prompt(9))).expect("the request is good");
        let mut made = 0;
        for _ in 0..steps {
            made += engine.step().filter(|event| matches!(event, Event::Token { .. })).count();
        }
        let ending = engine.cancel(id).expect("it was running");
        assert_eq!((ending.finish, ending.usage.completion_tokens), (Finish::Cancelled, made as u32));
        assert!(engine.is_idle());
        let all = run(&mut engine, Request::new(prompt(31)));
        assert_eq!(all.ids, continued(&[0, 6], &prompt(31), 1));
    }
}

#[test]
fn logprobs_and_logits_come_on_request() {
    let mut engine = plain();
    let request = Request { max_tokens: 5, top_logprobs: 3, logits: true, ..Request::new(prompt(4)) };
    let run = run(&mut engine, request);
    for (i, &id) in run.ids.iter().enumerate() {
        assert_eq!((run.top[i].len(), run.top[i][0]), (3, (id, run.logprobs[i])));
        assert_eq!((run.logits[i].len(), run.logits[i][id as usize]), (VOCAB as usize, 8.0));
    }
}

#[test]
fn penalties_wait_for_each_token() {
    let penalties = Penalties { frequency: 9.0, ..Penalties::NONE };
    let sampling = Sampling { penalties, ..Sampling::default() };
    let (mut engine, tally) = engine(facts(&[0], 4, 64, 64), None);
    let run = run(&mut engine, Request { max_tokens: 40, sampling, ..Request::new(prompt(3)) });
    let mut ids = run.ids.clone();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 40, "no token comes twice, or the count came late");
    assert_eq!((tally.overlapped(), tally.previous()), (0, 0));
}

#[test]
fn the_seed_decides_and_nothing_else() {
    let sampling = Sampling { temperature: 4.0, ..Sampling::default() };
    let request = Request { max_tokens: 30, sampling, seed: 5, ..Request::new(prompt(11)) };
    let mut engine = plain();
    let first = run(&mut engine, request.clone()).ids;
    assert_eq!(run(&mut engine, request.clone()).ids, first);
    let (mut other, _) = common::engine(facts(&[0], 2, 50, 3), None);
    assert_eq!(run(&mut other, request.clone()).ids, first);
    assert_ne!(run(&mut engine, Request { seed: 6, ..request.clone() }).ids, first);
    assert_ne!(run(&mut engine, Request { answer: 1, ..request }).ids, first);
}

#[test]
fn a_tiny_temperature_is_greedy() {
    let sampling = Sampling { temperature: 1e-40, ..Sampling::default() };
    let request = Request { max_tokens: 20, sampling, ..Request::new(prompt(3)) };
    assert_eq!(run(&mut plain(), request).ids, continued(&[0], &prompt(3), 20));
}

#[test]
fn programs_are_made_once_per_bucket() {
    let facts = Facts { buckets: BucketPolicy::PowersOfTwo, ..facts(&[0], 4, 64, 8) };
    let (mut engine, tally) = engine(facts, None);
    run(&mut engine, Request::new(prompt(8)));
    let made = tally.programs();
    // The prompt, and tables of 4, 8 and 16 pages for single tokens.
    assert_eq!(made, 4);
    // A tenant of its own, which finds nothing there.
    run(&mut engine, Request { tenant: 1, ..Request::new(prompt(8)) });
    assert_eq!(tally.programs(), made);
}

#[test]
fn few_pages_make_a_short_context() {
    let (mut engine, _) = engine_with(facts(&[0], 4, 64, 8), vec![6], None);
    assert_eq!(engine.context(), 20);
    assert_eq!(run(&mut engine, Request::new(prompt(18))).ids.len(), 2);
    let long = engine.start(Request::new(prompt(20))).expect_err("it is too long");
    assert_eq!(long, RefuseError::PromptTooLong { tokens: 20, context: 20 });
}
