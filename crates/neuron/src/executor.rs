//! Steps on a device, at most two in flight: a step is begun behind the one that runs, and takes its tokens from it
//! without the host where the device chooses them itself.
//!
//! What the device draws, the host draws once more while the next step runs, by the one definition. Where they differ, which
//! is rare, the next step runs again on the right tokens: it writes what it wrote before to the same slots.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use graph::{
    BackendError, Budget, Executor, Feed, Fetch, Graph, GroupId, Input, Inputs, PageId, PlanReport,
    ProgramId, ProgramSpec, Sampler, StepId, Token, Weights, bind,
};
use hlo::{Element, Shape};

use crate::emit::{KEPT, SAMPLED, emit};
use crate::program::{Program, SLOTS, Shared};
use crate::rows::Wanted;
use crate::states::States;
use crate::weights::Loaded;
use crate::{Device, NAME, Options, unsupported};

/// In place of a token that neither the host nor the device knows yet. Rows of the step before are from here on up.
const UNKNOWN: u32 = 1 << 31;

/// Runs one graph.
pub(crate) struct Running<D: Device> {
    graph: Graph,
    options: Options,
    device: Arc<Mutex<D>>,
    weights: Arc<Loaded<D>>,
    states: States<D>,
    sampled: [D::Tensor; SLOTS],
    programs: Vec<Option<Program<D>>>,
    sampler: Sampler,
    /// Steps launched and not fetched, the oldest first.
    flights: VecDeque<Flight<D>>,
    /// What the step launched last sampled: tokens, or `!row` where the device alone knows, or [`UNKNOWN`].
    previous: Vec<u32>,
    steps: u64,
    /// When the device was last known to have ended a step.
    ended: Instant,
}

/// A step that was launched.
struct Flight<D: Device> {
    step: StepId,
    program: ProgramId,
    stage: Stage<D>,
}

enum Stage<D: Device> {
    Running { run: D::Run, rows: Vec<Wanted>, tokens: Vec<i32>, work: Work },
    Over(Result<Fetch, BackendError>),
}

/// What a step takes of the device's time.
#[derive(Clone, Copy)]
struct Work {
    began: Instant,
    /// Nanoseconds of a run before this one, on tokens that were not right, where the device tells its time.
    lost_ns: u64,
}

impl<D: Device> Running<D> {
    /// Makes room for the states. The graph is that of one rank.
    pub(crate) fn open(
        graph: &Graph,
        options: &Options,
        device: Arc<Mutex<D>>,
        weights: Arc<Loaded<D>>,
        budget: &Budget,
    ) -> Result<Running<D>, BackendError> {
        if weights.tensors.len() != graph.weights.len() {
            let reason = format!("the graph reads {}", graph.weights.len());
            return Err(unsupported(format!("these {} weights", weights.tensors.len()), reason));
        }
        // Every rank has the same of everything, so that one's share says what fits.
        let ranks = u64::from(graph.ranks);
        let taken = (weights.bytes() / ranks).saturating_add(graph.value_bytes(&budget.bucket));
        let budget = Budget { bytes: budget.bytes.map(|bytes| bytes / ranks), ..budget.clone() };
        let mut pages = budget.fit(graph, taken, NAME)?;
        if let Some(packed) = lock(&device).packed() {
            packed.check(graph)?;
            let needed = taken.saturating_add(graph.pages_bytes(packed.pages()));
            let available = budget.bytes.unwrap_or(u64::MAX);
            if needed > available {
                let what = "weights, and the keys and values that the bundle was made for";
                return Err(BackendError::Memory { device: NAME, what, needed, available });
            }
            packed.pages().clone_into(&mut pages);
        }
        let states = States::open(graph, pages, &mut *lock(&device))?;
        let tokens = || lock(&device).allocate(SAMPLED, &Shape::new(Element::S32, [KEPT]));
        let sampled = [tokens()?, tokens()?];
        Ok(Running {
            graph: graph.clone(),
            options: *options,
            device,
            weights,
            states,
            sampled,
            programs: vec![],
            sampler: Sampler::default(),
            flights: VecDeque::new(),
            previous: vec![],
            steps: 0,
            ended: Instant::now(),
        })
    }

    fn program(&self, id: ProgramId) -> Result<&Program<D>, BackendError> {
        let program = self.programs.get(id.0 as usize).and_then(Option::as_ref);
        program
            .ok_or_else(|| unsupported(format!("program {}", id.0), "it was never compiled here".to_owned()))
    }

    /// Waits for every step in flight; an error where one failed, for what comes after it cannot be begun.
    fn settle_all(&mut self) -> Result<(), BackendError> {
        for place in 0..self.flights.len() {
            self.settle(place);
        }
        for flight in &self.flights {
            if let Stage::Over(Err(error)) = &flight.stage {
                let reason = format!("the step before this one failed ({error}), so it was not begun");
                return Err(BackendError::Device { device: NAME, reason });
            }
        }
        Ok(())
    }

    /// Waits for a step, those before it being settled, and draws what its rows ask for.
    fn settle(&mut self, place: usize) {
        let nothing = Stage::Over(Ok(Fetch::default()));
        let flight = &mut self.flights[place];
        let (step, program) = (flight.step, flight.program);
        let (over, agrees) = match std::mem::replace(&mut flight.stage, nothing) {
            Stage::Running { run, rows, work, .. } => match self.fetch(step, program, run, &rows, work) {
                Ok((fetch, agrees)) => (Ok(fetch), agrees),
                Err(error) => (Err(error), true),
            },
            Stage::Over(over) => (over, true),
        };
        if let Ok(fetch) = &over {
            let ids = fetch.sampled.iter().map(|sampled| sampled.id).collect::<Vec<_>>();
            if !agrees {
                self.repeat(place + 1, &ids);
            }
            // They are known from now on.
            if step.0 + 1 == self.steps {
                self.previous = ids;
            }
        }
        self.flights[place].stage = Stage::Over(over);
    }

    fn fetch(
        &mut self,
        step: StepId,
        program: ProgramId,
        run: D::Run,
        rows: &[Wanted],
        work: Work,
    ) -> Result<(Fetch, bool), BackendError> {
        let device = &mut *lock(&self.device);
        let waited = device.wait(run);
        let worked = work.began.max(self.ended).elapsed().as_nanos() as u64;
        self.ended = Instant::now();
        let device_ns = waited?.map_or(worked, |told| told + work.lost_ns);
        let mut fetch = Fetch { device_ns, ..Fetch::default() };
        let program = self.programs[program.0 as usize].as_ref();
        let program = program.expect("a program that a step runs is not dropped");
        let slot = slot(step.0);
        let agrees = program.sample(device, slot, rows, &mut self.sampler, &mut fetch)?;
        program.taps(device, slot, &mut fetch)?;
        Ok((fetch, agrees))
    }

    /// Runs the step in a place again, if there is one that took tokens from the step before which were not these.
    fn repeat(&mut self, place: usize, ids: &[u32]) {
        let Some(flight) = self.flights.get_mut(place) else { return };
        let Stage::Running { tokens, .. } = &flight.stage else { return };
        if tokens.iter().all(|&token| token >= 0) {
            return;
        }
        let nothing = Stage::Over(Ok(Fetch::default()));
        let Stage::Running { run, rows, mut tokens, mut work } =
            std::mem::replace(&mut flight.stage, nothing)
        else {
            unreachable!("it was looked at")
        };
        for token in tokens.iter_mut().filter(|token| **token < 0) {
            *token = ids[!*token as usize] as i32;
        }
        let device = &mut *lock(&self.device);
        let program = self.programs[flight.program.0 as usize].as_mut();
        let program = program.expect("a program that a step runs is not dropped");
        let slot = slot(flight.step.0);
        let again = device.wait(run).and_then(|told| {
            // Its time was spent on this step, too.
            work.lost_ns = told.unwrap_or(0);
            program.correct(device, slot, &tokens)
        });
        flight.stage = match again.and_then(|()| program.start(device, slot)) {
            Ok(run) => Stage::Running { run, rows, tokens, work },
            Err(error) => Stage::Over(Err(error)),
        };
    }

    /// Begins a step behind those in flight.
    fn begin(&mut self, id: ProgramId, feed: &Feed<'_>) -> Result<Stage<D>, BackendError> {
        let device = &mut *lock(&self.device);
        let program = self.programs[id.0 as usize].as_mut().expect("checked before the step");
        for copy in feed.copies {
            self.states.copy(device, copy)?;
        }
        let inputs = Inputs { bucket: program.spec.bucket, feed, previous: &self.previous };
        program.feed(device, slot(self.steps), &inputs)?;
        let mut tokens = vec![];
        inputs.fill(Input::Tokens, &mut tokens);
        let (rows, work) =
            (feed.rows.iter().map(Wanted::of).collect(), Work { began: Instant::now(), lost_ns: 0 });
        Ok(Stage::Running { run: program.start(device, slot(self.steps))?, rows, tokens, work })
    }
}

/// The slot in which a step runs.
fn slot(step: u64) -> usize {
    (step % SLOTS as u64) as usize
}

impl<D: Device> Executor for Running<D> {
    fn pages(&self) -> &[u32] {
        &self.states.pages
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        let fitting = lock(&self.device).packed().map(|packed| packed.bucket(&spec.bucket));
        let bucket = fitting.unwrap_or(Some(spec.bucket)).ok_or_else(|| {
            let reason = "the bundle has no program for it; compile one with --buckets".to_owned();
            unsupported(format!("a step of {:?}", spec.bucket), reason)
        })?;
        let spec = &ProgramSpec { bucket, ..spec.clone() };
        let emitted = emit(&self.graph, spec, &self.states.pages, &self.options)?;
        let shared = Shared { weights: &self.weights, states: &self.states, sampled: &self.sampled };
        let program = Program::load(&mut *lock(&self.device), &self.graph, spec, &emitted, &shared)?;
        self.programs.push(Some(program));
        Ok(ProgramId(self.programs.len() as u32 - 1))
    }

    fn forget(&mut self, program: ProgramId) {
        self.programs[program.0 as usize] = None;
    }

    fn launch(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        let Program { spec, .. } = self.program(program)?;
        let inputs = Inputs { bucket: spec.bucket, feed, previous: &self.previous };
        inputs.check(NAME, &self.graph, &self.states.pages)?;
        if !feed.patches.is_empty() {
            spec.check_patches(NAME, &bind(&self.graph, &spec.bucket), feed.patches)?;
        }
        assert!(self.flights.len() < SLOTS, "at most two steps are in flight");
        let is_unknown = |token: &Token| match *token {
            Token::Previous(row) => self.previous[row as usize] == UNKNOWN,
            Token::Host(_) => false,
        };
        // Pages are copied by the host, and rows that it draws are known when it has drawn them.
        if !feed.copies.is_empty() || feed.tokens.iter().any(is_unknown) {
            self.settle_all()?;
        }
        let stage = match self.begin(program, feed) {
            Ok(stage) => stage,
            Err(error) => {
                // A step that runs may have failed first, and then says why.
                self.settle_all()?;
                return Err(error);
            }
        };
        let Stage::Running { rows, .. } = &stage else { unreachable!("it has only begun") };
        let known = |(place, row): (usize, &Wanted)| match row {
            _ if place < KEPT && row.is_chosen_there() => !(place as u32),
            _ => UNKNOWN,
        };
        self.previous.clear();
        self.previous.extend(rows.iter().enumerate().map(known));
        let step = StepId(self.steps);
        self.steps += 1;
        self.flights.push_back(Flight { step, program, stage });
        Ok(step)
    }

    fn finish(&mut self, step: StepId, fetch: &mut Fetch) -> Result<(), BackendError> {
        let place = self.flights.iter().position(|flight| flight.step == step);
        let reason = format!("step {} was never launched or is fetched already", step.0);
        let place = place.ok_or(BackendError::Device { device: NAME, reason })?;
        for place in 0..=place {
            self.settle(place);
        }
        let flight = self.flights.remove(place).expect("it was found");
        let Stage::Over(over) = flight.stage else { unreachable!("it was waited for") };
        *fetch = over?;
        Ok(())
    }

    fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError> {
        self.states.export(&mut *lock(&self.device), group, pages, out)
    }

    fn import(&mut self, group: GroupId, pages: &[PageId], from: &mut dyn Read) -> Result<(), BackendError> {
        self.states.import(&mut *lock(&self.device), group, pages, from)
    }

    fn report(&self, program: ProgramId) -> PlanReport {
        let program = self.programs[program.0 as usize].as_ref();
        program.expect("a program that was dropped is not used again").report.clone()
    }
}

/// The device, whatever happened to those who held it before: it says itself whether it still works.
pub(crate) fn lock<D>(device: &Mutex<D>) -> MutexGuard<'_, D> {
    device.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
