//! Logits and probes of a prompt.

mod common;

use common::{VOCAB, continued, engine, facts, prompt, run};
use engine::{EngineError, Probe, RefuseError, Request};

#[test]
fn logits_come_for_every_position_in_order() {
    for chunk in [1, 3, 8, 100] {
        let (mut engine, tally) = engine(facts(&[0, 5], 4, 32, chunk), None);
        for len in [1, 2, 9, 32] {
            let ids = prompt(len);
            let mut next = 0;
            let result = engine.logits(&ids, |position, logits| {
                assert_eq!((position, logits.len()), (next, VOCAB as usize));
                let expected = continued(&[0, 5], &ids[..=position as usize], 1)[0];
                assert_eq!(logits.iter().position(|&l| l == 8.0), Some(expected as usize));
                next += 1;
            });
            result.expect("the prompt fits");
            assert_eq!(next, len);
        }
        assert_eq!(tally.tokens(), 1 + 2 + 9 + 32);
    }
}

#[test]
fn the_tokens_of_a_prompt_are_told_of_however_they_are_computed() {
    for (windows, chunk) in [(&[0][..], 64), (&[0, 3], 5), (&[2], 1)] {
        // Half of it is what the device would say.
        let asked = [prompt(9), continued(windows, &prompt(9), 9)].concat();
        let (mut engine, _) = engine(facts(windows, 4, 64, chunk), None);
        let plain = run(&mut engine, Request { max_tokens: 5, ..Request::new(asked.clone()) });
        assert!(plain.told.is_empty());
        for max_tokens in [5, 0] {
            let request =
                Request { prompt_logprobs: true, top_logprobs: 2, max_tokens, ..Request::new(asked.clone()) };
            let run = run(&mut engine, request);
            assert_eq!(run.ids, plain.ids[..max_tokens as usize]);
            assert_eq!(run.ending.map(|ending| ending.usage.cached_tokens), Some(0), "all is computed");
            assert_eq!(run.told.len(), 17);
            for (place, (position, id, logprob, top)) in (1..).zip(&run.told) {
                assert_eq!((*position, *id), (place, asked[place as usize]));
                let likeliest = continued(windows, &asked[..place as usize], 1)[0];
                assert_eq!((top[0].0, top.len()), (likeliest, 2));
                assert_eq!(*logprob, if *id == likeliest { top[0].1 } else { top[1].1 }, "{place}");
            }
            assert!(run.told.iter().filter(|told| told.2 > -1.0).count() >= 9);
        }
    }
}

#[test]
fn several_answers_tell_of_their_prompt_once() {
    let (mut engine, tally) = engine(engine::Facts { max_seqs: 3, ..facts(&[0], 4, 64, 64) }, None);
    let request = Request { prompt_logprobs: true, max_tokens: 2, ..Request::new(prompt(21)) };
    engine.start_answers(request, 3).expect("the request is good");
    let (mut told, mut made) = (0, 0);
    while !engine.is_idle() {
        for event in engine.step() {
            told += u32::from(matches!(event, engine::Event::Prompt { .. }));
            made += u32::from(matches!(event, engine::Event::Token { .. }));
        }
    }
    assert_eq!((told, made, tally.tokens()), (20, 6, 21 + 1 + 2 * 2));
}

#[test]
fn logits_follow_a_cancelled_request() {
    let (mut engine, _) = engine(facts(&[0], 4, 32, 8), None);
    let id = engine.start(Request::new(prompt(20))).expect("the request is good");
    engine.step().for_each(drop);
    assert!(matches!(engine.logits(&prompt(3), |_, _| ()), Err(EngineError::Refused(RefuseError::Busy))));
    engine.cancel(id);
    let mut count = 0;
    engine.logits(&prompt(32), |_, _| count += 1).expect("the pages are free");
    assert_eq!(count, 32);
}

#[test]
fn bad_prompts_are_refused() {
    let (mut engine, _) = engine(facts(&[0], 4, 32, 8), None);
    let mut refusal = |ids: &[u32]| engine.logits(ids, |_, _| ()).expect_err("it is bad").to_string();
    assert!(refusal(&[]).contains("empty"));
    assert!(refusal(&prompt(33)).contains("33 tokens"));
    assert!(refusal(&[VOCAB]).contains("token id 97"));
}

#[test]
fn a_probe_is_one_step_with_its_values() {
    let (mut engine, tally) = engine(facts(&[0], 4, 32, 8), None);
    let probe = Probe { taps: &["layers.0.attn", "final"], patches: &[("embed", &[1.0, 2.0])] };
    let fetch = engine.probe(&prompt(7), &probe).expect("it fits");
    assert_eq!(fetch.taps.iter().map(|(_, values)| values[0]).collect::<Vec<_>>(), [7.0, 7.0]);
    assert_eq!(fetch.logits.len(), 7 * VOCAB as usize);
    assert_eq!((tally.launches(), tally.programs()), (1, 1));
    let long = engine.probe(&prompt(9), &probe).expect_err("it takes two steps").to_string();
    assert!(long.contains("9 tokens for one step") && long.contains("8 are the most"), "{long}");
    assert_eq!(common::run(&mut engine, Request::new(prompt(30))).ids.len(), 2);
}
