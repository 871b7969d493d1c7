//! The step protocol: a launch runs the step at once on all workers and keeps what it gave until it is fetched.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use graph::{
    BackendError, Bucket, Budget, Executor, Feed, Fetch, Graph, GroupId, Input, Inputs, PageId, Param,
    PlanReport, ProgramId, ProgramSpec, RowStats, Sampler, StepCounts, StepId,
};
use tensor::{Buffer, Value};

use crate::attention::Step;
use crate::measure::Limits;
use crate::program::{Memory, Program, Ways};
use crate::rows::Peak;
use crate::states::States;
use crate::team::Team;
use crate::trace::{TRACE, Trace, TraceFile, node_times};
use crate::weights::{Form, Loaded};
use crate::{NAME, no_memory};

/// An executor of one graph.
pub struct Running {
    graph: Graph,
    weights: Arc<Loaded>,
    states: States,
    ways: Ways,
    team: Team,
    programs: Vec<Option<Made>>,
    work: Buffer,
    inputs: Vec<(Input, Vec<i32>)>,
    steps: Vec<Step>,
    /// Steps launched and not fetched, and fetches that were, whose memory is used again.
    in_flight: VecDeque<(StepId, Fetch)>,
    spare: Vec<Fetch>,
    previous: Vec<u32>,
    next: u64,
    sampler: Sampler,
    trace: Trace,
    file: Option<TraceFile>,
    limits: Option<Limits>,
}

/// A program and, where it is timed and has run, its last step.
struct Made {
    program: Arc<Program>,
    last: Option<Timed>,
}

/// A step that was timed.
struct Timed {
    counts: StepCounts,
    /// Nanoseconds of each node.
    times: Vec<f64>,
}

impl Running {
    /// Makes room for states and for the work of the largest step.
    pub fn open(
        graph: &Graph,
        weights: Arc<Loaded>,
        budget: &Budget,
        ways: Ways,
    ) -> Result<Running, BackendError> {
        let team = Team::new(ways.workers);
        let ways = Ways { workers: team.workers(), ..ways };
        let work_bytes = work_bytes(graph, &weights.forms, &budget.bucket, ways)?;
        let taken = graph::Weights::bytes(&*weights).saturating_add(work_bytes as u64);
        let states = States::new(graph, budget, taken)?;
        let work = Buffer::try_zeroed(work_bytes).ok_or_else(|| no_memory("work space", work_bytes))?;
        let file = TraceFile::from_environment().map_err(|error| BackendError::Device {
            device: NAME,
            reason: format!("the file that {TRACE} names cannot be written: {error}"),
        })?;
        let read = graph.main().params.iter().filter_map(|param| match param {
            Param::Input(input) => Some((*input, vec![])),
            _ => None,
        });
        Ok(Running {
            graph: graph.clone(),
            weights,
            states,
            ways,
            team,
            programs: vec![],
            work,
            inputs: read.collect(),
            steps: vec![],
            in_flight: VecDeque::with_capacity(2),
            spare: vec![],
            previous: vec![],
            next: 0,
            sampler: Sampler::default(),
            trace: Trace::new(ways.workers),
            file,
            limits: Limits::known(ways.isa, ways.workers),
        })
    }

    fn made(&self, id: ProgramId) -> &Made {
        self.programs[id.0 as usize].as_ref().expect("a program that was dropped is not used again")
    }

    /// Whether anyone wants to know how long the nodes of a program take.
    fn is_timed(&self, program: &Program) -> bool {
        program.spec.timed || self.file.is_some()
    }

    fn step(&mut self, program: &Program, feed: &Feed<'_>) -> Fetch {
        let start = Instant::now();
        let mut fetch = self.spare.pop().unwrap_or_default();
        fetch.clear();
        self.states.copy(feed.copies);
        let inputs = Inputs { bucket: program.spec.bucket, feed, previous: &self.previous };
        for (input, values) in &mut self.inputs {
            inputs.fill(*input, values);
        }
        let is_timed = self.is_timed(program);
        let Running { work, inputs, weights, states, team, steps, trace, .. } = self;
        let memory = Memory::new(work, inputs, weights, &program.constants, states, feed.patches);
        program.divide(&memory, steps);
        let spans = is_timed.then_some(&*trace);
        team.run(&|worker| {
            // SAFETY: every worker of the team runs this; the work space is as large as the program asks, which
            // `compile` saw to, and the inputs were checked.
            unsafe { program.run(&memory, steps, worker, spans) }
        });
        for slot in &program.taps {
            // SAFETY: all workers are done.
            let bytes = unsafe { memory.bytes(slot) };
            let value = Value::new(slot.dtype, slot.shape, bytes);
            fetch.taps.push((slot.shape, value.to_f32()));
        }
        if let Some((logits, peaks)) = program.logits.zip(program.peaks) {
            // SAFETY: all workers are done.
            let values = unsafe { memory.elements::<f32>(&logits) };
            let pieces = logits.row().div_ceil(crate::rows::CHUNK);
            for (place, row) in feed.rows.iter().enumerate() {
                let at = memory.work(peaks + place * pieces * size_of::<Peak>(), pieces * size_of::<Peak>());
                // SAFETY: the program's last node wrote a peak for each piece of each row.
                let peaks = unsafe { std::slice::from_raw_parts(at.cast::<Peak>(), pieces) };
                let peak = peaks.iter().fold(Peak::NONE, |peak, &right| peak.merge(right));
                let stats = RowStats { largest: peak.column, normaliser: peak.log_sum_exp() };
                let values = &values[place * logits.row()..][..logits.row()];
                self.sampler.sample_known(values, stats, row, &mut fetch);
            }
        }
        // SAFETY: all workers are done.
        fetch.experts_touched = unsafe { program.experts_touched(&memory) };
        fetch.device_ns = start.elapsed().as_nanos() as u64;
        fetch
    }

    /// Keeps what was noted of a step. A timeline that cannot be written is given up, and said so once; the step itself
    /// is good.
    fn keep_times(&mut self, id: ProgramId, program: &Program, counts: StepCounts) {
        let spans = self.trace.take();
        if let Some(made) = self.programs[id.0 as usize].as_mut().filter(|_| program.spec.timed) {
            made.last = Some(Timed { counts, times: node_times(&spans) });
        }
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write(&spans, |node| program.label(node, &self.weights.forms)) {
            eprintln!("warning: the file that {TRACE} names cannot be written: {error}");
            self.file = None;
        }
    }
}

/// Runs a program once, outside an executor.
pub fn run_once(program: &Program, memory: &Memory<'_>, team: &mut Team) {
    let mut steps = vec![];
    program.divide(memory, &mut steps);
    team.run(&|worker| {
        // SAFETY: every worker of the team runs this, on a work space as large as the program asks.
        unsafe { program.run(memory, &steps, worker, None) }
    });
}

/// Bytes of work space of the largest step: as many tokens as there may be, all in sequences as long as can be, or one
/// token for each.
pub fn work_bytes(graph: &Graph, forms: &[Form], bucket: &Bucket, ways: Ways) -> Result<usize, BackendError> {
    let spec = ProgramSpec { bucket: Bucket { queries: 0, ..*bucket }, ..ProgramSpec::default() };
    Ok(Program::new(graph, forms, &spec, ways)?.work_bytes)
}

impl Executor for Running {
    fn pages(&self) -> &[u32] {
        self.states.pages()
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        let program = Program::new(&self.graph, &self.weights.forms, spec, self.ways)?;
        // Nothing is in flight when this returns to a launch, and results are copied out of the work space at once.
        if program.work_bytes > self.work.len() {
            self.work = Buffer::zeroed(0);
            let bytes = program.work_bytes;
            self.work = Buffer::try_zeroed(bytes).ok_or_else(|| no_memory("work space", bytes))?;
        }
        program.reserve(&mut self.steps);
        self.programs.push(Some(Made { program: Arc::new(program), last: None }));
        Ok(ProgramId(self.programs.len() as u32 - 1))
    }

    fn forget(&mut self, program: ProgramId) {
        self.programs[program.0 as usize] = None;
    }

    fn launch(&mut self, id: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        let program = self.made(id).program.clone();
        let inputs = Inputs { bucket: program.spec.bucket, feed, previous: &self.previous };
        inputs.check(NAME, &self.graph, self.states.pages())?;
        if let Some(graph) = &program.graph {
            program.spec.check_patches(NAME, graph, feed.patches)?;
        }
        assert!(self.in_flight.len() < 2, "at most two steps are in flight");
        let fetch = self.step(&program, feed);
        if self.is_timed(&program) {
            let counts = feed.counts.clone().touching(&self.graph, fetch.experts_touched);
            self.keep_times(id, &program, counts);
        }
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
        self.spare.push(std::mem::replace(fetch, found.1));
        Ok(())
    }

    fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError> {
        self.states.export(group, pages, out)
    }

    fn import(&mut self, group: GroupId, pages: &[PageId], from: &mut dyn Read) -> Result<(), BackendError> {
        self.states.import(group, pages, from)
    }

    fn report(&self, program: ProgramId) -> PlanReport {
        let Made { program, last } = self.made(program);
        let largest = || StepCounts::largest(&self.graph, &program.spec.bucket);
        let counts = last.as_ref().map_or_else(largest, |last| last.counts.clone());
        let mut report = program.describe(&counts, &self.weights.forms, self.limits.as_ref());
        if let Some(last) = last {
            let lines = report.lines.iter_mut().zip(&last.times);
            lines.for_each(|(line, &time)| line.measured_ns = Some(time));
        }
        report
    }
}
