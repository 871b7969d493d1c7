//! Steps on a device, one after another: a launched step is done when `launch` returns.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use graph::{
    BackendError, Budget, Executor, Feed, Fetch, Graph, GroupId, Inputs, PageId, PlanReport, ProgramId,
    ProgramSpec, Sampler, StepId, Weights, bind,
};

use crate::emit::emit;
use crate::program::Program;
use crate::states::States;
use crate::weights::Loaded;
use crate::{Device, NAME, Options, unsupported};

/// Most steps launched and not yet finished.
const IN_FLIGHT: usize = 2;

/// Runs one graph.
pub(crate) struct Running<D: Device> {
    graph: Graph,
    options: Options,
    device: Arc<Mutex<D>>,
    weights: Arc<Loaded<D>>,
    states: States<D>,
    programs: Vec<Option<Program<D>>>,
    sampler: Sampler,
    /// Steps done and not yet fetched.
    done: VecDeque<(StepId, Fetch)>,
    /// What the step launched last sampled.
    previous: Vec<u32>,
    steps: u64,
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
        let pages = budget.fit(graph, taken, NAME)?;
        let states = States::open(graph, pages, &mut *lock(&device))?;
        Ok(Running {
            graph: graph.clone(),
            options: *options,
            device,
            weights,
            states,
            programs: vec![],
            sampler: Sampler::default(),
            done: VecDeque::new(),
            previous: vec![],
            steps: 0,
        })
    }

    fn step(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<Fetch, BackendError> {
        let start = Instant::now();
        let device = &mut *lock(&self.device);
        let program = self.programs[program.0 as usize].as_mut().expect("checked before the step");
        for copy in feed.copies {
            self.states.copy(device, copy)?;
        }
        let inputs = Inputs { bucket: program.spec.bucket, feed, previous: &self.previous };
        program.feed(device, &inputs)?;
        program.run(device, &self.weights, &self.states)?;
        let mut fetch = Fetch::default();
        program.sample(device, feed, &mut self.sampler, &mut fetch)?;
        program.taps(device, &mut fetch)?;
        fetch.device_ns = start.elapsed().as_nanos() as u64;
        Ok(fetch)
    }

    fn program(&self, id: ProgramId) -> Result<&Program<D>, BackendError> {
        let program = self.programs.get(id.0 as usize).and_then(Option::as_ref);
        program
            .ok_or_else(|| unsupported(format!("program {}", id.0), "it was never compiled here".to_owned()))
    }
}

impl<D: Device> Executor for Running<D> {
    fn pages(&self) -> &[u32] {
        &self.states.pages
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        let emitted = emit(&self.graph, spec, &self.states.pages, &self.options)?;
        let program = Program::load(&mut *lock(&self.device), &self.graph, spec, emitted)?;
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
        assert!(self.done.len() < IN_FLIGHT, "at most two steps are in flight");
        let fetch = self.step(program, feed)?;
        self.previous.clear();
        self.previous.extend(fetch.sampled.iter().map(|sampled| sampled.id));
        let id = StepId(self.steps);
        self.steps += 1;
        self.done.push_back((id, fetch));
        Ok(id)
    }

    fn finish(&mut self, step: StepId, fetch: &mut Fetch) -> Result<(), BackendError> {
        let place = self.done.iter().position(|(id, _)| *id == step);
        let found = place.and_then(|place| self.done.remove(place));
        let reason = format!("step {} was never launched or is fetched already", step.0);
        *fetch = found.ok_or(BackendError::Device { device: NAME, reason })?.1;
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
