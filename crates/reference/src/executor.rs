//! The step protocol: a launch runs the step at once and keeps what it gave until it is fetched.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use graph::{
    BackendError, Budget, Executor, Feed, Fetch, Graph, GroupId, Inputs, PageId, Place, PlanReport,
    ProgramId, ProgramSpec, Sampler, StepId, Weights,
};
use tensor::Value;

use crate::program::Program;
use crate::run::{Watch, run};
use crate::states::States;
use crate::{Loaded, NAME};

/// An executor of one graph.
pub struct Running {
    graph: Graph,
    weights: Arc<Loaded>,
    states: States,
    programs: Vec<Option<Arc<Program>>>,
    in_flight: VecDeque<(StepId, Fetch)>,
    previous: Vec<u32>,
    next: u64,
    sampler: Sampler,
}

impl Running {
    /// Makes room for the states.
    pub fn open(graph: &Graph, weights: Arc<Loaded>, budget: &Budget) -> Result<Running, BackendError> {
        let states = States::new(graph, budget, weights.bytes())?;
        Ok(Running {
            graph: graph.clone(),
            weights,
            states,
            programs: vec![],
            in_flight: VecDeque::new(),
            previous: vec![],
            next: 0,
            sampler: Sampler::default(),
        })
    }

    fn program(&self, id: ProgramId) -> &Arc<Program> {
        self.programs[id.0 as usize].as_ref().expect("a program that was dropped is not used again")
    }

    fn step(&mut self, program: ProgramId, feed: &Feed<'_>) -> Fetch {
        let start = Instant::now();
        self.states.copy(feed.copies);
        let program = self.program(program).clone();
        let inputs = Inputs { bucket: program.spec.bucket, feed, previous: &self.previous };
        let args = arguments(&program.graph, &inputs, &self.weights, std::mem::take(&mut self.states.values));
        let mut taps = HashMap::<_, Vec<_>>::new();
        for (place, name) in program.spec.taps.iter().enumerate() {
            taps.entry(name.as_str()).or_default().push(place);
        }
        let patches =
            program.spec.patches.iter().map(String::as_str).zip(feed.patches.iter().copied()).collect();
        let mut watch = Watch {
            taps: &taps,
            tapped: vec![None; program.spec.taps.len()],
            patches,
            experts_touched: None,
        };
        let mut results = run(&program.graph, program.graph.main(), args, "", &mut watch);
        self.states.values = results.split_off(1);

        let mut fetch = Fetch::default();
        let logits = &results[0];
        let vocab = logits.shape.row_len();
        for (row, logits) in feed.rows.iter().zip(logits.as_f32s().chunks_exact(vocab)) {
            self.sampler.sample(logits, row, &mut fetch);
        }
        let tapped = watch.tapped.into_iter().flatten();
        fetch.taps.extend(tapped.map(|value| (value.shape, value.to_f32())));
        fetch.experts_touched = watch.experts_touched;
        fetch.device_ns = start.elapsed().as_nanos() as u64;
        fetch
    }
}

impl Executor for Running {
    fn pages(&self) -> &[u32] {
        &self.states.pages
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        self.programs.push(Some(Arc::new(Program::new(&self.graph, spec)?)));
        Ok(ProgramId(self.programs.len() as u32 - 1))
    }

    fn forget(&mut self, program: ProgramId) {
        self.programs[program.0 as usize] = None;
    }

    fn launch(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        let Program { spec, graph, .. } = &**self.program(program);
        let inputs = Inputs { bucket: spec.bucket, feed, previous: &self.previous };
        inputs.check(NAME, graph, &self.states.pages)?;
        spec.check_patches(NAME, graph, feed.patches)?;
        assert!(self.in_flight.len() < 2, "at most two steps are in flight");
        let fetch = self.step(program, feed);
        self.previous.clear();
        self.previous.extend(fetch.sampled.iter().map(|sampled| sampled.id));
        let id = StepId(self.next);
        self.next += 1;
        self.in_flight.push_back((id, fetch));
        Ok(id)
    }

    fn finish(&mut self, step: StepId, fetch: &mut Fetch) -> Result<(), BackendError> {
        let place = self.in_flight.iter().position(|(id, _)| *id == step);
        let found =
            place.and_then(|place| self.in_flight.remove(place)).ok_or_else(|| BackendError::Device {
                device: NAME,
                reason: format!("step {} was never launched or is fetched already", step.0),
            })?;
        *fetch = found.1;
        Ok(())
    }

    fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError> {
        self.states.export(group, pages, out)
    }

    fn import(&mut self, group: GroupId, pages: &[PageId], from: &mut dyn Read) -> Result<(), BackendError> {
        self.states.import(group, pages, from)
    }

    fn report(&self, program: ProgramId) -> PlanReport {
        self.program(program).report.clone()
    }
}

/// What main takes: inputs from the feed, weights and states in order.
fn arguments(
    graph: &Graph,
    inputs: &Inputs<'_>,
    weights: &Loaded,
    states: Vec<Arc<Value>>,
) -> Vec<Arc<Value>> {
    let mut states = states.into_iter();
    let mut filled = vec![];
    let argument = |place| match place {
        Place::Input(input) => {
            inputs.fill(input, &mut filled);
            let shape = input.ty().bind(&inputs.bucket).dims.shape().expect("a bucket binds every input");
            Arc::new(Value::i32s(shape, &filled))
        }
        Place::Weight(place) => weights.values[place].clone(),
        Place::State(_) => states.next().expect("a graph lists the states that main takes"),
        place => unreachable!("main takes inputs, weights and states, not {place:?}"),
    };
    graph.given().map(argument).collect()
}
