//! A device that computes nothing: for tests and simulation of the engine.
//!
//! It accepts every launch and holds the engine to the step protocol: whoever breaks it meets a panic with a sentence.
//! What a real device would read is followed in a shadow of its pages, so a page freed too early or granted twice shows
//! as an attended slot that holds another sequence's past. Its tokens are a function of what the shadow holds where a row
//! attends, [`continuation`]: whatever is wrong with pages shows in the answer, even where nothing else is checked.

mod check;
mod quiet;
mod shadow;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use graph::{
    BackendError, Executor, Feed, Fetch, Group, GroupId, PageId, PlanReport, ProgramId, ProgramSpec, Sampler,
    StepId,
};

use crate::limits::STEPS_IN_FLIGHT;
use crate::page_table::first_seen;
use crate::random::mix;
pub use quiet::Quiet;
use shadow::Shadow;

/// What the device pretends to be.
#[derive(Clone, Debug)]
pub struct Null {
    /// Groups of states.
    pub groups: Vec<Group>,
    /// Positions per page.
    pub page_len: u32,
    /// Pages of each group, the bin included.
    pub pages: Vec<u32>,
    /// Token ids are below this.
    pub vocab: u32,
    /// Failures to play.
    pub faults: Vec<Fault>,
    /// Whether it looks at what it is fed; where not, wrong pages still give wrong tokens.
    pub strict: bool,
    /// Nanoseconds of every step, beside a thousand for each of its tokens.
    pub step_ns: u64,
    /// The hands of a clock that it moves on by the time it works, where there is one.
    pub hands: Option<Arc<AtomicU64>>,
}

impl Null {
    /// A device without faults.
    pub fn new(groups: Vec<Group>, page_len: u32, pages: Vec<u32>, vocab: u32) -> Null {
        Null { groups, page_len, pages, vocab, faults: vec![], strict: true, step_ns: 0, hands: None }
    }
}

/// The token that the device gives the logit 8, and all others 0, behind these tokens; penalties, bias and temperature
/// then apply.
pub fn continuation(groups: &[Group], vocab: u32, tokens: &[u32]) -> u32 {
    let position = tokens.len() as u32 - 1;
    let read = |&group: &Group| {
        let seen = first_seen(group, position)..=position;
        shadow::digest(seen.map(|position| (position, tokens[position as usize])))
    };
    next_token(groups.iter().map(read), vocab)
}

fn next_token(digests: impl Iterator<Item = u64>, vocab: u32) -> u32 {
    (digests.fold(0, |all, digest| mix(all ^ digest)) % u64::from(vocab)) as u32
}

/// A failure of the device, by the step it befalls, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// The step cannot be launched.
    Launch(u64),
    /// The step is lost while it runs.
    Finish(u64),
    /// The step gives a token too few.
    Answer(u64),
    /// The step takes so many nanoseconds more.
    Slow(u64, u64),
}

/// What the device has done; shared, since the engine owns the device.
#[derive(Debug, Default)]
pub struct Tally {
    launches: AtomicU64,
    overlapped: AtomicU64,
    previous: AtomicU64,
    programs: AtomicU64,
    tokens: AtomicU64,
}

impl Tally {
    /// Steps launched.
    pub fn launches(&self) -> u64 {
        self.launches.load(Ordering::Relaxed)
    }

    /// Steps launched while another was in flight.
    pub fn overlapped(&self) -> u64 {
        self.overlapped.load(Ordering::Relaxed)
    }

    /// Tokens that were the previous step's.
    pub fn previous(&self) -> u64 {
        self.previous.load(Ordering::Relaxed)
    }

    /// Programs made.
    pub fn programs(&self) -> u64 {
        self.programs.load(Ordering::Relaxed)
    }

    /// Tokens fed.
    pub fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }
}

/// The device, opened.
#[derive(Debug)]
pub struct NullExecutor {
    null: Null,
    tally: Arc<Tally>,
    programs: Vec<Option<ProgramSpec>>,
    shadows: Vec<Shadow>,
    /// Steps in flight, the oldest first.
    flights: VecDeque<Flight>,
    launched: u64,
    sampler: Sampler,
}

/// A step in flight: all is known when it is launched.
#[derive(Debug)]
struct Flight {
    step: StepId,
    fetch: Fetch,
    /// Pages its tables name, per group.
    named: Vec<Vec<PageId>>,
}

impl NullExecutor {
    /// Opens the device.
    pub fn new(null: Null) -> NullExecutor {
        assert_eq!(null.groups.len(), null.pages.len(), "each group has its pages");
        let shadows = null.groups.iter().zip(&null.pages);
        NullExecutor {
            shadows: shadows.map(|(&group, &pages)| Shadow::new(group, pages, null.page_len)).collect(),
            null,
            tally: Arc::default(),
            programs: vec![],
            flights: VecDeque::new(),
            launched: 0,
            sampler: Sampler::default(),
        }
    }

    /// What the device has done, to look at later.
    pub fn tally(&self) -> Arc<Tally> {
        self.tally.clone()
    }

    /// The ids of a feed's tokens, with those of the previous step filled in.
    fn resolve(&self, feed: &Feed<'_>) -> Vec<u32> {
        let resolve = |token: &graph::Token| match *token {
            graph::Token::Host(id) => id,
            graph::Token::Previous(row) => {
                self.tally.previous.fetch_add(1, Ordering::Relaxed);
                let newest = self.flights.back().expect("a previous token is of a step in flight");
                newest.fetch.sampled.get(row as usize).expect("a previous token is of a row of that step").id
            }
        };
        let ids = feed.tokens.iter().map(resolve).collect::<Vec<_>>();
        assert!(ids.iter().all(|&id| id < self.null.vocab), "tokens are in the vocabulary");
        ids
    }

    fn sample(&mut self, feed: &Feed<'_>, ids: &[u32]) -> Fetch {
        let slow = self.null.faults.iter().map(|fault| match fault {
            Fault::Slow(step, ns) if *step == self.launched - 1 => *ns,
            _ => 0,
        });
        let device_ns = slow.sum::<u64>() + self.null.step_ns + 1_000 * ids.len() as u64;
        let mut fetch = Fetch { device_ns, ..Fetch::default() };
        for row in feed.rows {
            let digest = |(g, shadow): (usize, &Shadow)| shadow.digest_seen(feed, g, row.token as usize);
            let next = next_token(self.shadows.iter().enumerate().map(digest), self.null.vocab);
            let mut logits = vec![0.0; self.null.vocab as usize];
            logits[next as usize] = 8.0;
            self.sampler.sample(&logits, row, &mut fetch);
        }
        fetch
    }
}

impl Executor for NullExecutor {
    fn pages(&self) -> &[u32] {
        &self.null.pages
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        assert!(!self.programs.iter().flatten().any(|made| made == spec), "a program is made once");
        self.tally.programs.fetch_add(1, Ordering::Relaxed);
        self.programs.push(Some(spec.clone()));
        Ok(ProgramId(self.programs.len() as u32 - 1))
    }

    fn forget(&mut self, program: ProgramId) {
        let dropped = self.programs[program.0 as usize].take();
        assert!(dropped.is_some(), "a program is dropped once");
    }

    fn launch(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        assert!(self.flights.len() < STEPS_IN_FLIGHT, "at most two steps are in flight");
        let step = self.launched;
        self.launched += 1;
        if self.null.faults.contains(&Fault::Launch(step)) {
            return Err(failure("it was told to refuse this step"));
        }
        let spec = self.programs[program.0 as usize].clone();
        let spec = spec.expect("a program that was dropped is not launched");
        if self.null.strict {
            check::feed(&self.null, &spec, feed);
        }
        self.tally.overlapped.fetch_add(u64::from(!self.flights.is_empty()), Ordering::Relaxed);
        let ids = self.resolve(feed);
        for (g, shadow) in self.shadows.iter_mut().enumerate() {
            let named = self.flights.iter().flat_map(|flight| &flight.named[g]);
            let named = self.null.strict.then(|| named.copied().collect::<Vec<_>>());
            shadow.run(feed, g, &ids, named.as_deref());
        }
        let mut fetch = self.sample(feed, &ids);
        // A tap is a scalar here: the number of tokens.
        fetch.taps = spec.taps.iter().map(|_| (Default::default(), vec![ids.len() as f32])).collect();
        let named = feed.groups.iter().map(|group| group.table.to_vec()).collect();
        self.flights.push_back(Flight { step: StepId(step), fetch, named });
        self.tally.launches.fetch_add(1, Ordering::Relaxed);
        self.tally.tokens.fetch_add(ids.len() as u64, Ordering::Relaxed);
        Ok(StepId(step))
    }

    fn finish(&mut self, step: StepId, fetch: &mut Fetch) -> Result<(), BackendError> {
        let flight = self.flights.pop_front().expect("a step is finished once");
        assert_eq!(flight.step, step, "steps are finished in order");
        if let Some(hands) = &self.null.hands {
            hands.fetch_add(flight.fetch.device_ns, Ordering::Relaxed);
        }
        if self.null.faults.contains(&Fault::Finish(step.0)) {
            return Err(failure("it was told to lose this step"));
        }
        fetch.clone_from(&flight.fetch);
        if self.null.faults.contains(&Fault::Answer(step.0)) {
            fetch.sampled.pop();
        }
        Ok(())
    }

    fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError> {
        Ok(self.shadows[group.index()].export(pages, out)?)
    }

    fn import(&mut self, group: GroupId, pages: &[PageId], from: &mut dyn Read) -> Result<(), BackendError> {
        Ok(self.shadows[group.index()].import(pages, from)?)
    }

    fn report(&self, _program: ProgramId) -> PlanReport {
        PlanReport::default()
    }
}

fn failure(reason: &str) -> BackendError {
    BackendError::Device { device: "null", reason: reason.into() }
}

fn no_bytes() -> BackendError {
    let reason = "its pages hold no bytes".into();
    BackendError::Unsupported { device: "null", what: "moving pages".into(), reason }
}
