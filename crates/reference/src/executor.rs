//! The step protocol: a launch runs the step at once and keeps what it gave until it is fetched.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use graph::{
    BackendError, Bucket, Budget, Executor, Feed, Fetch, Graph, GroupId, Input, PageId, Param, PlanReport,
    ProgramId, ProgramSpec, Sampler, StepId, Token, Weights,
};
use tensor::{Shape, Value};

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
        let mut watch = Watch { taps: &taps, tapped: vec![None; program.spec.taps.len()], patches };
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
        let bucket = self.program(program).spec.bucket;
        if !bucket.holds(&feed.bucket()) {
            let (what, reason) =
                (format!("a step of {:?}", feed.bucket()), format!("its program holds {bucket:?}"));
            return Err(BackendError::Unsupported { device: NAME, what, reason });
        }
        self.program(program).check_patches(feed)?;
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

    fn report(&self, program: ProgramId) -> &PlanReport {
        &self.program(program).report
    }
}

/// What main takes: inputs from the feed, weights and states in order.
fn arguments(
    graph: &Graph,
    inputs: &Inputs<'_>,
    weights: &Loaded,
    states: Vec<Arc<Value>>,
) -> Vec<Arc<Value>> {
    let mut weights = weights.values.iter();
    let mut states = states.into_iter();
    let argument = |param: &Param| match param {
        Param::Input(input) => Arc::new(inputs.value(*input)),
        Param::Weight(_) => weights.next().expect("a graph lists the weights that main takes").clone(),
        Param::State(..) => states.next().expect("a graph lists the states that main takes"),
        Param::Value => unreachable!("main takes inputs, weights and states only"),
    };
    graph.main().params.iter().map(argument).collect()
}

/// A feed padded to a bucket.
struct Inputs<'a> {
    bucket: Bucket,
    feed: &'a Feed<'a>,
    previous: &'a [u32],
}

impl Inputs<'_> {
    /// An input as the program wants it. Padding tokens belong to the last sequence of the bucket and write to the bin.
    fn value(&self, input: Input) -> Value {
        let Bucket { tokens, seqs, pages, rows, .. } = self.bucket;
        let feed = self.feed;
        match input {
            Input::Tokens => padded(feed.tokens.iter().map(|token| self.resolve(token)), tokens, 0),
            Input::Positions => padded(feed.positions.iter().copied(), tokens, self.padding_position()),
            Input::Sequences => padded(feed.sequences.iter().copied(), tokens, seqs.saturating_sub(1)),
            Input::Rows => padded(feed.rows.iter().map(|row| row.token), rows, 0),
            Input::Slots(group) => padded(feed.groups[group.index()].slots.iter().copied(), tokens, 0),
            Input::Base(group) => padded(feed.groups[group.index()].base.iter().copied(), seqs, 0),
            Input::Table(group) => {
                let group = &feed.groups[group.index()];
                let mut table = vec![0; (seqs * pages) as usize];
                let rows = group.table.chunks_exact(group.width.max(1) as usize);
                for (to, from) in table.chunks_exact_mut(pages.max(1) as usize).zip(rows) {
                    to.iter_mut().zip(from).for_each(|(to, page)| *to = page.0 as i32);
                }
                Value::i32s(Shape::from([seqs as usize, pages as usize]), &table)
            }
        }
    }

    /// Where padding stands: a position that sees at least one page that was written, since a softmax over nothing is
    /// no number and would spread from the bin. In a real sequence that is its last token's; in an empty one, 0.
    fn padding_position(&self) -> u32 {
        let is_real = self.feed.sequences.last().is_some_and(|last| last + 1 == self.bucket.seqs);
        if is_real { self.feed.positions.last().copied().unwrap_or(0) } else { 0 }
    }

    fn resolve(&self, token: &Token) -> u32 {
        match *token {
            Token::Host(id) => id,
            Token::Previous(row) => self.previous[row as usize],
        }
    }
}

fn padded(values: impl Iterator<Item = u32>, len: u32, pad: u32) -> Value {
    let mut values = values.map(|x| x as i32).collect::<Vec<_>>();
    values.resize(len as usize, pad as i32);
    Value::i32s(Shape::from([len as usize]), &values)
}
