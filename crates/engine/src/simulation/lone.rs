//! What a request gives alone, on a device with room for everything.

use crate::null::{Null, NullExecutor};
use crate::{Engine, Event, Facts, Finish, Request};

/// The tokens of a request that runs alone, one step at a time, and how it ends.
pub fn lone(facts: &Facts, context: u32, request: &Request) -> (Vec<u32>, Finish) {
    let facts =
        Facts { context, max_seqs: 1, usual: context, overlap: false, mixed_steps: true, ..facts.clone() };
    let pages = facts.budget(None).pages;
    let null = Null::new(facts.groups.clone(), facts.page_len, pages, facts.vocab);
    let mut engine = Engine::new(Box::new(NullExecutor::new(null)), facts).expect("there are pages");
    engine.start(Request { deadline: None, ..request.clone() }).expect("the request is good");
    let mut tokens = vec![];
    loop {
        for event in engine.step() {
            match event {
                Event::Token { id, .. } => tokens.push(id),
                Event::Finished { ending, .. } => return (tokens, ending.finish),
                Event::Failed { error, .. } => panic!("a lone request failed: {error}"),
            }
        }
    }
}
