//! A device that computes nothing and an engine on it.

#![allow(dead_code)] // Each test file uses a part of this.

use std::sync::Arc;

use engine::null::{Fault, Null, NullExecutor, Tally, continuation};
use engine::{Ending, Engine, Event, Facts, Grammar, Request, SequenceId};
use graph::{BucketPolicy, Group};

/// Token ids are below this.
pub const VOCAB: u32 = 97;

/// Groups of states; a window of 0 stands for full attention.
pub fn groups(windows: &[u32]) -> Vec<Group> {
    windows.iter().map(|&w| Group::Pages { window: (w > 0).then_some(w) }).collect()
}

/// What the device makes of a prompt.
pub fn continued(windows: &[u32], prompt: &[u32], count: usize) -> Vec<u32> {
    let (groups, mut tokens) = (groups(windows), prompt.to_vec());
    for _ in 0..count {
        tokens.push(continuation(&groups, VOCAB, &tokens));
    }
    tokens.split_off(prompt.len())
}

/// A prompt of a length.
pub fn prompt(len: u32) -> Vec<u32> {
    (0..len).map(|i| (i * 7 + 3) % VOCAB).collect()
}

/// Facts of a small model; a window of 0 stands for full attention.
pub fn facts(windows: &[u32], page_len: u32, context: u32, chunk: u32) -> Facts {
    Facts {
        groups: groups(windows),
        page_len,
        context,
        vocab: VOCAB,
        buckets: BucketPolicy::Exact,
        chunk,
        max_seqs: 1,
        usual: context,
        overlap: true,
        mixed_steps: true,
    }
}

/// An engine on a device that has just the pages that the facts ask for.
pub fn engine(facts: Facts, fault: Option<Fault>) -> (Engine, Arc<Tally>) {
    let pages = facts.budget(None).pages;
    engine_with(facts, pages, fault)
}

/// An engine on a device of these pages.
pub fn engine_with(facts: Facts, pages: Vec<u32>, fault: Option<Fault>) -> (Engine, Arc<Tally>) {
    let (groups, page_len) = (facts.groups.clone(), facts.page_len);
    let faults = fault.into_iter().collect();
    let executor = NullExecutor::new(Null { faults, ..Null::new(groups, page_len, pages, VOCAB) });
    let tally = executor.tally();
    (Engine::new(Box::new(executor), facts).expect("the device has pages"), tally)
}

/// What was told of a token of the prompt.
pub type Told = (u32, u32, f32, Vec<(u32, f32)>);

/// How a request went.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub ids: Vec<u32>,
    pub logprobs: Vec<f32>,
    pub top: Vec<Vec<(u32, f32)>>,
    pub logits: Vec<Vec<f32>>,
    /// What was told of the prompt: place, id, log-probability, likeliest.
    pub told: Vec<Told>,
    /// What a search has found: tokens, log-probability, score.
    pub answers: Vec<(Vec<u32>, f64, f64)>,
    pub ending: Option<Ending>,
    pub error: Option<String>,
}

/// Runs a request to its end.
pub fn run(engine: &mut Engine, request: Request) -> Run {
    let id = engine.start(request).expect("the request is good");
    drain(engine, id)
}

/// Steps until a sequence ends.
pub fn drain(engine: &mut Engine, id: SequenceId) -> Run {
    let mut run = Run::default();
    while !engine.is_idle() {
        for event in engine.step() {
            assert!(run.ending.is_none() && run.error.is_none(), "nothing follows the end");
            match event {
                Event::Token { sequence, id: token, logprob, top, logits, .. } => {
                    assert_eq!(sequence, id);
                    run.ids.push(token);
                    run.logprobs.push(logprob);
                    run.top.push(top.to_vec());
                    run.logits.push(logits.to_vec());
                }
                Event::Prompt { sequence, position, id: token, logprob, top } => {
                    assert!(sequence == id && run.ids.is_empty(), "the prompt is told of first");
                    run.told.push((position, token, logprob, top.to_vec()));
                }
                Event::Answer { sequence, tokens, logprob, score, .. } => {
                    assert_eq!(sequence, id);
                    run.answers.push((tokens.to_vec(), logprob, score));
                }
                Event::Finished { sequence, ending } => {
                    assert_eq!(sequence, id);
                    run.ending = Some(ending);
                }
                Event::Failed { sequence, error } => {
                    assert_eq!(sequence, id);
                    run.error = Some(error.to_string());
                }
            }
        }
    }
    assert!(run.ending.is_some() != run.error.is_some(), "there is one end");
    run
}

/// A grammar that allows every token, so that an answer waits for a mask before it has a part in a step.
#[derive(Clone)]
pub struct Anything;

impl Grammar for Anything {
    fn mask(&mut self, mask: &mut [u32]) -> Result<(), String> {
        mask.fill(u32::MAX);
        Ok(())
    }

    fn accept(&mut self, _: u32) -> Result<(), String> {
        Ok(())
    }

    fn is_complete(&self) -> bool {
        false
    }

    fn fork(&self) -> Box<dyn Grammar> {
        Box::new(self.clone())
    }
}
