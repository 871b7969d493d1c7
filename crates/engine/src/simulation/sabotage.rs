//! The engine broken on purpose, one fault class at a time: each must be caught, or the simulation is worth nothing.

use std::sync::Once;
use std::time::Duration;

use graph::{
    BackendError, Executor, Feed, Fetch, Group, GroupId, PageId, PlanReport, ProgramId, ProgramSpec, StepId,
};

use super::plan::Dice;
use super::world::{Sabotage, World};
use crate::engine::{Engine, strip};
use crate::null::NullExecutor;
use crate::policy::order::Turn;
use crate::{Request, SequenceId};

/// Seeds that each fault class is tried on.
const SEEDS: u64 = 40;

/// Runs broken worlds; how many could be broken, and how many of those were caught.
fn caught(world: impl Fn(u64) -> World + Send + Copy + 'static) -> (u32, u32) {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() != Some("sabotaged") {
                loud(panic);
            }
        }));
    });
    let (mut broken, mut caught) = (0, 0);
    for seed in 0..SEEDS {
        let run = move || {
            let mut world = world(seed);
            let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.go()));
            (world.is_broken, result.is_err())
        };
        let thread = std::thread::Builder::new().name("sabotaged".to_owned()).spawn(run);
        let (is_broken, is_caught) = thread.expect("a thread starts").join().expect("panics are caught");
        assert!(is_broken || !is_caught, "seed {seed} is caught though nothing is broken");
        broken += u32::from(is_broken);
        caught += u32::from(is_broken && is_caught);
    }
    (broken, caught)
}

/// Each broken world is caught but for a few, where the fault hits what nobody uses any more.
#[track_caller]
fn assert_caught(sabotage: Sabotage) {
    let (broken, caught) = caught(move |seed| World::new(seed).broken_by(sabotage));
    assert!(broken >= 10 && caught * 10 >= broken * 7, "{caught} of {broken} are caught");
}

/// A running sequence, if there is one for which something holds.
fn running(
    engine: &Engine,
    dice: &mut Dice,
    holds: impl Fn(&Engine, SequenceId) -> bool,
) -> Option<SequenceId> {
    let ids =
        engine.line.running().iter().map(|&(_, id)| id).filter(|&id| holds(engine, id)).collect::<Vec<_>>();
    (!ids.is_empty()).then(|| ids[dice.below(ids.len() as u32) as usize])
}

#[test]
fn a_page_that_leaks() {
    assert_caught(|engine, _| engine.pages.take(0).is_some());
}

#[test]
fn a_page_that_is_freed_while_in_use() {
    assert_caught(|engine, dice| {
        let Some(id) = running(engine, dice, |engine, id| !engine.roster[id].tables()[0].pages().is_empty())
        else {
            return false;
        };
        let page = engine.roster[id].tables()[0].pages()[0];
        engine.pages.release(0, page);
        true
    });
}

/// The account is right, and the page another's: what is read is wrong.
#[test]
fn a_page_that_is_shared_wrongly() {
    assert_caught(|engine, dice| {
        let long = |engine: &Engine, id: SequenceId| {
            let sequence = &engine.roster[id];
            let full = engine.facts.groups[0] == Group::Pages { window: None };
            full && sequence.tables()[0].pages().len() > 1 && sequence.left() > 3
        };
        let Some(id) = running(engine, dice, long) else { return false };
        let (number, last) = (engine.roster[id].tables()[0].base(), engine.roster[id].step);
        let other = engine.roster[id].tables()[0].page(number + 1).expect("it has two");
        engine.pages.pools[0].share(other);
        let table = &mut engine.roster.find_mut(id).expect("it runs").tables_mut()[0];
        let own = table.replace(number, other);
        crate::flight::give_up(&mut engine.pages, &mut engine.flights, last, 0, own);
        true
    });
}

/// The index says that pages hold what others do.
#[test]
fn a_prefix_that_is_taken_for_another() {
    let sabotage: Sabotage = |engine, _| engine.pages.index.shuffle(0);
    let (broken, caught) = caught(move |seed| World::new(seed).broken_by(sabotage).at_every_step());
    // It shows only where somebody comes with one of those prefixes before they are evicted.
    assert!(broken >= 10 && caught * 2 >= broken, "{caught} of {broken} are caught");
}

#[test]
fn a_request_that_vanishes() {
    assert_caught(|engine, dice| {
        let Some(id) = running(engine, dice, |_, _| true) else { return false };
        let sequence = engine.retire(id);
        sequence.is_some()
    });
}

#[test]
fn a_request_that_ends_too_early() {
    assert_caught(|engine, dice| {
        let Some(id) = running(engine, dice, |engine, id| engine.roster[id].finish().is_none()) else {
            return false;
        };
        engine.unasked.push(id);
        true
    });
}

#[test]
fn a_step_beyond_its_budget() {
    assert_caught(|engine, _| {
        // Where nobody waits, more room changes nothing.
        if engine.line.waiting() < 4 {
            return false;
        }
        engine.facts.max_seqs += 30;
        engine.facts.chunk += 30;
        true
    });
}

#[test]
fn a_request_that_is_passed_over() {
    assert_caught(|engine, dice| {
        let waiting =
            engine.roster.iter().filter(|&(id, _)| super::audit::waits(engine, id)).map(|(id, _)| id);
        let waiting = waiting.collect::<Vec<_>>();
        // Before others, or nobody would pass it.
        if waiting.len() < 4 || !dice.one_in(3) {
            return false;
        }
        let (turn, id) = engine.line.first().expect("some wait");
        engine.line.stop_waiting(turn, id);
        let late = Turn::new(Duration::from_secs(1000), 0);
        engine.roster.find_mut(id).expect("it waits").turn = late;
        engine.line.wait(late, id);
        true
    });
}

#[test]
fn a_deadline_that_is_forgotten() {
    assert_caught(|engine, _| {
        let timed = engine.roster.iter().filter_map(|(id, sequence)| Some((sequence.deadline()?, id)));
        let Some((deadline, id)) = timed.min() else { return false };
        engine.line.forget_deadline(deadline, id);
        true
    });
}

#[test]
fn a_reader_that_is_never_heard_again() {
    let sabotage: Sabotage = |engine, dice| {
        // Nobody reads from a search before its end.
        let read = |engine: &Engine, id: SequenceId| {
            let sequence = &engine.roster[id];
            sequence.search.is_none() && !sequence.paused
        };
        let Some(id) = running(engine, dice, read) else { return false };
        engine.pause(id);
        true
    };
    let (broken, caught) = caught(move |seed| World::new(seed).broken_by(sabotage));
    // Most are cancelled before the end, or stall anyway and are resumed then.
    assert!(broken >= 10 && caught >= 5, "{caught} of {broken} are caught");
}

#[test]
fn a_sequence_that_is_computed_again_from_other_tokens() {
    assert_caught(|engine, dice| {
        let decodes = |engine: &Engine, id: SequenceId| {
            let sequence = &engine.roster[id];
            sequence.pending == 0 && sequence.written().len() > 2 && sequence.finish().is_none()
        };
        let Some(id) = running(engine, dice, decodes) else { return false };
        engine.preempt(id);
        engine.roster.find_mut(id).expect("it is alive").forge(|token| token ^ 1);
        true
    });
}

#[test]
fn a_position_that_is_skipped() {
    assert_caught(|engine, dice| {
        let early = |engine: &Engine, id: SequenceId| {
            let sequence = &engine.roster[id];
            sequence.pending == 0 && (sequence.written().len() as u32) + 2 < sequence.prompt()
        };
        let Some(id) = running(engine, dice, early) else { return false };
        let sequence = engine.roster.find_mut(id).expect("it runs");
        let skipped = sequence.written().len() as u32 + 1;
        sequence.launch(sequence.step, skipped, 0);
        sequence.pending = 0;
        true
    });
}

#[test]
fn a_beam_that_leaves_its_search() {
    assert_caught(|engine, dice| {
        let Some(id) = running(engine, dice, |engine, id| engine.roster[id].search.is_some()) else {
            return false;
        };
        engine.roster.find_mut(id).expect("it runs").search = None;
        true
    });
}

/// The account is right, and both write where only one should.
#[test]
fn a_fork_whose_pages_are_not_copied() {
    let sabotage: Sabotage = |engine, dice| {
        let forked = |engine: &Engine, id: SequenceId| {
            let sequence = &engine.roster[id];
            let last = sequence.tables()[0].pages().last();
            sequence.search.is_some() && last.is_some_and(|&page| engine.pages.pools[0].holders(page) > 1)
        };
        let Some(id) = running(engine, dice, forked) else { return false };
        let page = *engine.roster[id].tables()[0].pages().last().expect("it is shared");
        // Whoever comes next takes it for its own.
        (1..engine.pages.pools[0].holders(page)).for_each(|_| engine.pages.release(0, page));
        true
    };
    assert_caught(sabotage);
}

#[test]
fn a_guess_that_is_not_verified() {
    let (broken, caught) = caught(|seed| World::new(seed).trusting_guesses());
    assert!(broken >= 10 && caught * 2 >= broken, "{caught} of {broken} are caught");
}

/// A device that copies no pages.
struct NoCopies(NullExecutor);

impl Executor for NoCopies {
    fn pages(&self) -> &[u32] {
        self.0.pages()
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        self.0.compile(spec)
    }

    fn forget(&mut self, program: ProgramId) {
        self.0.forget(program);
    }

    fn launch(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        self.0.launch(program, &Feed { copies: &[], ..*feed })
    }

    fn finish(&mut self, step: StepId, fetch: &mut Fetch) -> Result<(), BackendError> {
        self.0.finish(step, fetch)
    }

    fn export(&self, _: GroupId, _: &[PageId], _: &mut dyn std::io::Write) -> Result<(), BackendError> {
        unreachable!("nothing is exported here")
    }

    fn import(&mut self, _: GroupId, _: &[PageId], _: &mut dyn std::io::Read) -> Result<(), BackendError> {
        unreachable!("nothing is imported here")
    }

    fn report(&self, program: ProgramId) -> PlanReport {
        self.0.report(program)
    }
}

#[test]
fn a_copy_that_is_not_made() {
    let (broken, caught) = caught(|seed| {
        let mut world = World::on(seed, |null| Box::new(NoCopies(null)));
        world.is_broken = true;
        world
    });
    assert!(broken >= 10 && caught * 3 >= broken, "{caught} of {broken} are caught");
}

/// What is cut off behind the scenes is not what `retire` does: no page may stay behind.
#[test]
fn a_sequence_whose_pages_are_taken_and_that_runs_on() {
    assert_caught(|engine, dice| {
        let holds = |engine: &Engine, id: SequenceId| engine.roster[id].written().len() > 1;
        let Some(id) = running(engine, dice, holds) else { return false };
        let Engine { pages, flights, roster, .. } = engine;
        strip(pages, flights, roster.find_mut(id).expect("it runs"));
        true
    });
}

#[test]
fn what_is_whole_is_not_caught() {
    let (broken, caught) =
        caught(|seed| World::new(seed).broken_by(|engine, _| engine.start(Request::new(vec![])).is_err()));
    assert!(broken == SEEDS as u32 && caught == 0, "{caught} of {broken}");
}
