//! A device that fails: the request ends with its sentence, and the engine goes on.

mod common;

use common::{Anything, continued, engine, facts, prompt, run};
use engine::null::Fault;
use engine::{EngineError, Event, Facts, Request};

#[test]
fn a_failed_step_ends_the_request_and_nothing_else() {
    for step in 0..12 {
        for fault in [Fault::Launch(step), Fault::Finish(step), Fault::Answer(step)] {
            // Two chunks without rows come first: they have no token to give too few of.
            if matches!(fault, Fault::Answer(0 | 1)) {
                continue;
            }
            let (mut engine, _) = engine(facts(&[0, 5], 4, 32, 4), Some(fault));
            let failed = run(&mut engine, Request { max_tokens: 20, ..Request::new(prompt(11)) });
            let error = failed.error.expect("it failed");
            match fault {
                Fault::Launch(_) => assert!(error.contains("null failed: it was told to refuse"), "{error}"),
                Fault::Finish(_) => assert!(error.contains("null failed: it was told to lose"), "{error}"),
                Fault::Answer(_) => {
                    assert!(error.contains("gave 0 tokens for a step that asked for 1"), "{error}")
                }
                Fault::Slow(..) => unreachable!("slow steps do not fail"),
            }
            assert_eq!(failed.ids, continued(&[0, 5], &prompt(11), failed.ids.len()));
            let whole = run(&mut engine, Request::new(prompt(20)));
            assert_eq!(whole.ids, continued(&[0, 5], &prompt(20), 12), "{fault:?} left something behind");
        }
    }
}

#[test]
fn pages_that_a_failed_step_was_to_copy_are_used_by_nobody() {
    for fault in (0..12).flat_map(|step| [Fault::Launch(step), Fault::Finish(step)]) {
        let facts = Facts { max_seqs: 5, ..facts(&[0, 11], 7, 28, 22) };
        let (mut engine, _) = engine(facts, Some(fault));
        let request = Request { grammar: Some(Box::new(Anything)), max_tokens: 9, ..Request::new(prompt(4)) };
        let ids = engine.start_answers(request, 5).expect("the request is good");
        let (mut answers, mut ended) = (vec![vec![]; 5], 0);
        while !engine.is_idle() {
            for event in engine.step() {
                match event {
                    Event::Token { sequence, id, .. } => {
                        let place = ids.iter().position(|&id| id == sequence).expect("it was started");
                        answers[place].push(id);
                    }
                    _ => ended += 1,
                }
            }
        }
        assert_eq!(ended, 5, "{fault:?}");
        for answer in answers {
            assert_eq!(answer, continued(&[0, 11], &prompt(4), answer.len()), "{fault:?}");
        }
    }
}

#[test]
fn logits_survive_a_failure() {
    for fault in [Fault::Launch(0), Fault::Finish(0), Fault::Answer(0)] {
        let (mut engine, _) = engine(facts(&[0], 4, 16, 16), Some(fault));
        let mut count = 0;
        let failed = engine.logits(&prompt(16), |_, _| count += 1);
        assert!(matches!(failed, Err(EngineError::Backend(_) | EngineError::Answer { .. })));
        assert_eq!(count, 0);
        engine.logits(&prompt(16), |_, _| count += 1).expect("the fault has passed");
        assert_eq!(count, 16);
    }
}
