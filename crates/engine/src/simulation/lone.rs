//! What a request gives alone, on a device with room for everything.

use crate::null::{Null, NullExecutor};
use crate::{BeamSearch, Engine, Event, Facts, Finish, Request};

/// The tokens of a request that runs alone, one step at a time, and how it ends.
pub fn lone(facts: &Facts, context: u32, request: &Request) -> (Vec<u32>, Finish) {
    let mut engine = roomy(facts, context, 1);
    engine.start(Request { deadline: None, drafter: None, ..request.clone() }).expect("the request is good");
    let mut tokens = vec![];
    loop {
        for event in engine.step() {
            match event {
                Event::Token { id, .. } => tokens.push(id),
                Event::Prompt { .. } | Event::Answer { .. } => {}
                Event::Finished { ending, .. } => return (tokens, ending.finish),
                Event::Failed { error, .. } => panic!("a lone request failed: {error}"),
            }
        }
    }
}

/// What a search finds alone, the best first, and how it ends.
pub fn lone_search(facts: &Facts, context: u32, search: &BeamSearch) -> (Vec<Vec<u32>>, Finish) {
    let mut engine = roomy(facts, context, search.width);
    engine.start_beams(BeamSearch { deadline: None, ..search.clone() }).expect("the search is good");
    let mut answers = vec![];
    loop {
        for event in engine.step() {
            match event {
                Event::Answer { tokens, .. } => answers.push(tokens.to_vec()),
                Event::Finished { ending, .. } => return (answers, ending.finish),
                event => panic!("a lone search is disturbed: {event:?}"),
            }
        }
    }
}

/// An engine with room for so many contexts.
fn roomy(facts: &Facts, context: u32, max_seqs: u32) -> Engine {
    let facts =
        Facts { context, max_seqs, usual: context, overlap: false, mixed_steps: true, ..facts.clone() };
    let pages = facts.budget(None).pages;
    let null = Null::new(facts.groups.clone(), facts.page_len, pages, facts.vocab);
    Engine::new(Box::new(NullExecutor::new(null)), facts).expect("there are pages")
}
