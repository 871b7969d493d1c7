//! What holds of the engine between any two steps.

use std::collections::BTreeMap;

use graph::PageId;

use crate::engine::Engine;
use crate::{Facts, SequenceId};

/// Panics where the engine's account of itself is wrong. `facts` are those that it was made with.
pub fn audit(engine: &Engine, facts: &Facts) {
    holders(engine);
    line(engine, facts);
    flights(engine, facts);
    engine.pages.index.audit(&engine.pages.pools);
}

/// Each page is held as often as tables and steps in flight name it: none leaks, and none is free while in use.
fn holders(engine: &Engine) {
    for (group, pool) in engine.pages.pools.iter().enumerate() {
        let mut named = BTreeMap::<PageId, u32>::new();
        for (_, sequence) in engine.roster.iter() {
            let pages = sequence.tables()[group].pages();
            assert!(sequence.running || pages.is_empty(), "only those that run hold pages");
            pages.iter().for_each(|&page| *named.entry(page).or_default() += 1);
        }
        let releases = engine.flights.iter().flat_map(|flight| &flight.releases);
        for &(_, page) in releases.filter(|(of, _)| *of == group) {
            *named.entry(page).or_default() += 1;
        }
        assert_eq!(named.get(&PageId(0)), None, "the bin is never granted");
        assert_eq!(
            pool.taken(),
            named.len() as u32,
            "pages are taken that nobody names, or named and not taken"
        );
        for (page, count) in named {
            assert_eq!(
                pool.holders(page),
                count,
                "page {} of group {group} is held as often as named",
                page.0
            );
        }
    }
}

/// Everybody is where it should be.
fn line(engine: &Engine, facts: &Facts) {
    let running = engine.line.running();
    assert!(running.len() as u32 <= facts.max_seqs, "{} sequences run", running.len());
    assert!(running.is_sorted(), "those that run stand in order");
    let mut waiting = 0;
    for (id, sequence) in engine.roster.iter() {
        assert_eq!(running.contains(&(sequence.turn, id)), sequence.running, "{id:?} runs and is in line");
        waiting += usize::from(waits(engine, id));
    }
    assert_eq!(engine.line.waiting(), waiting, "whoever could run is in line");
    let timed = engine.roster.iter().filter_map(|(_, sequence)| sequence.deadline());
    assert_eq!(timed.min(), engine.line.next_deadline(), "the next deadline is known");
}

/// Whether a sequence should be waiting in line.
pub fn waits(engine: &Engine, id: SequenceId) -> bool {
    let sequence = &engine.roster[id];
    !(sequence.running || sequence.is_paused() || sequence.parked) && sequence.finish().is_none()
}

/// Steps keep to their budgets.
fn flights(engine: &Engine, facts: &Facts) {
    assert!(engine.flights.len() <= facts.steps_in_flight(), "{} steps are in flight", engine.flights.len());
    for flight in &engine.flights {
        let parts = flight.parts.iter().map(|flown| flown.part).collect::<Vec<_>>();
        assert!(parts.len() as u32 <= facts.max_seqs, "a step of {} sequences", parts.len());
        assert!(flight.tokens() <= facts.step_tokens(), "a step of {} tokens", flight.tokens());
        assert!(parts.iter().map(|part| part.rows).sum::<u32>() <= facts.step_rows(), "too many rows");
        assert!(parts.iter().all(|part| part.count <= facts.chunk), "a chunk is too long");
        let decodes = parts.iter().filter(|part| part.count == part.rows).count();
        let prompts = parts.iter().filter(|part| part.count > part.rows).count();
        let mixes = decodes > 0 && prompts > 0 && parts.iter().any(|part| part.previous.is_some());
        assert!(facts.mixed_steps || !mixes, "a step mixes on a device that does not");
    }
}
