//! The step protocol: what a step is fed goes to the device in one copy, its launches follow, and what it gave comes back
//! when it is fetched. Two steps may be on their way. Where several devices compute together, each of them does all of that
//! with its part of the graph, and every token is the same on all: logits are put together and not summed.
//!
//! Tokens are chosen on the device where that is sure to give the token that [`Sampler`] would: the likeliest, and a draw
//! from all. Other rows bring their logits to the host. A step that needs a token of such a row waits for it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;

use graph::{
    BackendError, Bucket, Budget, Executor, Feed, Fetch, Graph, GroupId, Inputs, PageId, PlanReport,
    ProgramId, ProgramSpec, Sampler, StepId, Token, parts,
};
use tensor::{Shape, Value};

use crate::compiled::Kernels;
use crate::driver::SLOTS;
use crate::lower::{CHOSEN_BYTES, WISH_BYTES, fill};
use crate::options::Options;
use crate::program::{Program, Tap};
use crate::rank::{Begin, Needs, Rank};
use crate::ranks::{Ranks, Task};
use crate::rows::{Asked, Told};
use crate::weights::{Form, Loaded};
use crate::{NAME, fault, states, unsupported};

/// One part in so many of free memory is left to the driver: captured steps, kernels, programs' tables.
const RESERVE: u64 = 32;

/// Runs one graph.
pub(crate) struct Running {
    /// Of one rank.
    graph: Graph,
    options: Options,
    forms: Vec<Form>,
    /// Pages of each group's pool.
    pages: Vec<u32>,
    ranks: Ranks,
    programs: Vec<Option<Arc<Program>>>,
    /// The tokens that the step launched last chose, as `Feed` may ask for them: known to the host, or minus one minus the
    /// row.
    tokens: Vec<u32>,
    steps: VecDeque<Step>,
    next: u64,
    sampler: Sampler,
    /// The step that is begun next, in memory of those before.
    begin: Begin,
    scratch: Vec<i32>,
}

/// A step that was launched and not fetched.
struct Step {
    id: StepId,
    slot: usize,
    program: usize,
    rows: Vec<Asked>,
    /// What it gave, once somebody had to wait for it.
    fetch: Option<Fetch>,
}

impl Running {
    /// Makes room for states and for the work of the largest step, on devices that compute together. The graph is that of one
    /// rank.
    pub fn open(
        graph: Graph,
        options: &Options,
        devices: &[Arc<Kernels>],
        weights: &Arc<Loaded>,
        budget: &Budget,
    ) -> Result<Running, BackendError> {
        let [first, ..] = &weights.memory[..] else { unreachable!("there is a device") };
        if weights.memory.len() != devices.len() || first.len() != graph.weights.len() {
            let reason =
                format!("the graph reads {} on each of {} devices", graph.weights.len(), devices.len());
            let what = format!("these {} weights on {}", first.len(), weights.memory.len());
            return Err(unsupported(what, reason));
        }
        let needs = needs(&graph, &weights.forms, &budget.bucket, options)?;
        // Every rank takes as much, so that the one with the least room says what fits.
        let own = weights.bytes_of(0);
        let taken = needs.iter().fold(own, |sum, &bytes| sum.saturating_add(bytes as u64));
        let share = budget.bytes.map_or(u64::MAX, |bytes| bytes / devices.len() as u64);
        let room = |least: u64, device: &Arc<Kernels>| {
            let free = device.driver.free_bytes().map_err(fault)?;
            Ok::<_, BackendError>(least.min((free - free / RESERVE).saturating_add(own)))
        };
        let bytes = Some(devices.iter().try_fold(share, room)?);
        let pages = Budget { bytes, ..budget.clone() }.fit(&graph, taken, NAME)?;
        let open =
            |(number, device)| Rank::open(&graph, number, device, weights, &pages, needs).map_err(fault);
        let ranks = devices.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
        Ok(Running {
            options: *options,
            forms: weights.forms.clone(),
            ranks: Ranks::new(ranks)?,
            graph,
            pages,
            programs: vec![],
            tokens: vec![],
            steps: VecDeque::with_capacity(SLOTS),
            next: 0,
            sampler: Sampler::default(),
            begin: Begin::default(),
            scratch: vec![],
        })
    }

    fn program(&self, id: ProgramId) -> Result<&Arc<Program>, BackendError> {
        let program = self.programs.get(id.0 as usize).and_then(Option::as_ref);
        program
            .ok_or_else(|| unsupported(format!("program {}", id.0), "it was never compiled here".to_owned()))
    }

    /// Memory that a program needs and that is not there yet.
    fn grow(&mut self, needed: Needs) -> Result<(), BackendError> {
        if self.ranks.each().all(|rank| rank.holds(needed)) {
            return Ok(());
        }
        self.settle_all()?;
        self.ranks.each().try_for_each(|mut rank| rank.grow(needed)).map_err(fault)
    }

    /// Where a step asks for a token that the host chooses, the step before has to be over.
    fn settle_for(&mut self, feed: &Feed<'_>) -> Result<(), BackendError> {
        let Some(last) = self.steps.back() else { return Ok(()) };
        let waits = |token: &Token| match *token {
            Token::Previous(row) => last.rows.get(row as usize).is_some_and(|row| !row.is_on_device()),
            Token::Host(_) => false,
        };
        if feed.tokens.iter().any(waits) { self.settle_all() } else { Ok(()) }
    }

    fn settle_all(&mut self) -> Result<(), BackendError> {
        for place in 0..self.steps.len() {
            if self.steps[place].fetch.is_none() {
                let fetch = self.settle(place, Fetch::default())?;
                self.steps[place].fetch = Some(fetch);
            }
        }
        Ok(())
    }

    /// Waits for a step and works out what it gave.
    fn settle(&mut self, place: usize, mut fetch: Fetch) -> Result<Fetch, BackendError> {
        fetch.clear();
        let step = &self.steps[place];
        let program = self.programs[step.program].as_ref().expect("a program in flight is not dropped");
        fetch.device_ns = self.ranks.together(&Task::Wait(step.slot))?;
        let ranks = self.ranks.each().collect::<Vec<_>>();
        let mut brought = ranks.iter().map(|rank| Brought(&rank.brought)).collect::<Vec<_>>();
        if let Some(sampling) = program.sampling() {
            let told = brought[0].take(step.rows.len() * CHOSEN_BYTES);
            for (row, told) in step.rows.iter().zip(told.chunks_exact(CHOSEN_BYTES)) {
                let told = Told::of(told);
                match row {
                    Asked::Device(..) => fetch.sampled.push(told.sampled()),
                    Asked::Host(row) => {
                        let logits = brought[0].take(sampling.vocab * size_of::<f32>());
                        let logits =
                            logits.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect::<Vec<_>>();
                        self.sampler.sample_known(&logits, told.stats(), &row.row(), &mut fetch);
                    }
                }
            }
        }
        for tap in &program.taps {
            let holders = ranks.iter().zip(&mut brought).filter(|(rank, _)| rank.brings(tap.part));
            let parts = holders.map(|(_, brought)| brought.take(tap.bytes()).to_vec()).collect::<Vec<_>>();
            fetch.taps.push(whole(tap, &parts));
        }
        if place + 1 == self.steps.len() {
            // From here on the host knows what was chosen.
            for (token, sampled) in self.tokens.iter_mut().zip(&fetch.sampled) {
                *token = sampled.id;
            }
        }
        Ok(fetch)
    }

    /// What the step is fed, as the program's launches find it.
    fn fill(&mut self, program: &Program, feed: &Feed<'_>, rows: &[Asked]) {
        let inputs = Inputs { bucket: program.spec.bucket, feed, previous: &self.tokens };
        let fed = &mut self.begin.fed;
        fed.clear();
        fed.resize(program.lowered.input_bytes, 0);
        fill(&inputs, &program.lowered.inputs, &mut self.scratch, fed);
        for (&at, patch) in program.lowered.patches.iter().zip(feed.patches) {
            for (to, value) in fed[at..].as_chunks_mut::<4>().0.iter_mut().zip(*patch) {
                *to = value.to_le_bytes();
            }
        }
        if let Some(sampling) = program.sampling() {
            let wishes = fed[sampling.wishes..].as_chunks_mut::<WISH_BYTES>().0;
            wishes.iter_mut().zip(rows).for_each(|(to, row)| *to = row.wish());
        }
    }

    /// Enqueues a step on every rank.
    fn enqueue(
        &mut self,
        id: ProgramId,
        slot: usize,
        feed: &Feed<'_>,
        rows: &[Asked],
    ) -> Result<(), BackendError> {
        let program = Arc::clone(self.program(id)?);
        self.fill(&program, feed, rows);
        let mut begin = std::mem::take(&mut self.begin);
        (begin.program, begin.slot, begin.rows) = (id.0 as usize, slot, rows.len());
        begin.copies.clear();
        begin.copies.extend_from_slice(feed.copies);
        begin.told.clear();
        begin.told.extend((0..rows.len()).filter(|&row| !rows[row].is_on_device()));
        let begin = Arc::new(begin);
        let begun = self.ranks.together(&Task::Begin(program, Arc::clone(&begin)));
        self.begin = Arc::into_inner(begin).unwrap_or_default();
        begun.map(|_| ())
    }
}

/// What a rank brought that nobody has taken yet.
struct Brought<'a>(&'a [u8]);

impl<'a> Brought<'a> {
    fn take(&mut self, bytes: usize) -> &'a [u8] {
        let (head, tail) = self.0.split_at(bytes);
        self.0 = tail;
        head
    }
}

/// A value that was asked for, put together of what ranks have of it.
fn whole(tap: &Tap, parts: &[Vec<u8>]) -> (Shape, Vec<f32>) {
    let element = tap.dtype.bytes_of(1).unwrap_or(0);
    let (dims, bytes) = parts::joined(tap.part, &tap.shape, element, parts);
    let shape = Shape::new(&dims);
    (shape, Value::new(tap.dtype, shape, &bytes).to_f32())
}

/// Bytes of work space, of what is fed and of tokens chosen, of the largest step: as many tokens as there may be, and
/// one token for each sequence.
pub(crate) fn needs(
    graph: &Graph,
    forms: &[Form],
    bucket: &Bucket,
    options: &Options,
) -> Result<Needs, BackendError> {
    let decode = Bucket { tokens: bucket.seqs, queries: 1, rows: bucket.seqs, ..*bucket };
    let mut most = [0; 3];
    // A single sequence has its attention cut into the most parts.
    let single = Bucket { tokens: 1, seqs: 1, rows: 1, ..decode };
    for bucket in [Bucket { queries: 0, ..*bucket }, decode, single] {
        let program = Program::new(graph, forms, &ProgramSpec { bucket, ..ProgramSpec::default() }, options)?;
        let of = bytes_of(&program);
        most.iter_mut().zip(of).for_each(|(most, bytes)| *most = (*most).max(bytes));
    }
    Ok(most)
}

fn bytes_of(program: &Program) -> Needs {
    let rows = program.sampling().map_or(0, |sampling| sampling.rows);
    [program.lowered.work_bytes, program.lowered.input_bytes, rows * size_of::<u32>()]
}

impl Executor for Running {
    fn pages(&self) -> &[u32] {
        &self.pages
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        let program = Program::new(&self.graph, &self.forms, spec, &self.options)?;
        self.grow(bytes_of(&program))?;
        let loaded = self.ranks.each().map(|rank| rank.load(&program)).collect::<Result<Vec<_>, _>>()?;
        self.ranks.each().zip(loaded).for_each(|(mut rank, ready)| rank.keep(ready));
        self.programs.push(Some(Arc::new(program)));
        Ok(ProgramId(self.programs.len() as u32 - 1))
    }

    fn forget(&mut self, program: ProgramId) {
        let place = program.0 as usize;
        self.programs[place] = None;
        self.ranks.each().for_each(|mut rank| rank.forget(place));
    }

    fn launch(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        self.settle_for(feed)?;
        let Program { spec, graph, .. } = &**self.program(program)?;
        let inputs = Inputs { bucket: spec.bucket, feed, previous: &self.tokens };
        inputs.check(NAME, &self.graph, &self.pages)?;
        spec.check_patches(NAME, graph, feed.patches)?;
        assert!(self.steps.len() < SLOTS, "at most two steps are in flight");
        let rows = feed.rows.iter().map(Asked::of).collect::<Vec<_>>();
        let id = StepId(self.next);
        let is_free = |slot: &usize| self.steps.iter().all(|step| step.slot != *slot);
        let slot = (0..SLOTS).find(is_free).expect("there are as many slots as steps in flight");
        self.enqueue(program, slot, feed, &rows)?;
        self.next += 1;
        // What was chosen is on the device until the host has been told.
        self.tokens.clear();
        self.tokens.extend((0..rows.len() as u32).map(|row| !row));
        self.steps.push_back(Step { id, slot, program: program.0 as usize, rows, fetch: None });
        Ok(id)
    }

    fn finish(&mut self, step: StepId, fetch: &mut Fetch) -> Result<(), BackendError> {
        let Some(place) = self.steps.iter().position(|known| known.id == step) else {
            let reason = format!("step {} was never launched or is fetched already", step.0);
            return Err(BackendError::Device { device: NAME, reason });
        };
        *fetch = match self.steps[place].fetch.take() {
            Some(known) => known,
            None => self.settle(place, std::mem::take(fetch))?,
        };
        self.steps.remove(place);
        Ok(())
    }

    fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError> {
        let ranks = self.ranks.each().collect::<Vec<_>>();
        let states = ranks.iter().map(|rank| &rank.states).collect::<Vec<_>>();
        states::export(&states, group, pages, out)
    }

    fn import(&mut self, group: GroupId, pages: &[PageId], from: &mut dyn Read) -> Result<(), BackendError> {
        let ranks = self.ranks.each().collect::<Vec<_>>();
        let states = ranks.iter().map(|rank| &rank.states).collect::<Vec<_>>();
        states::import(&states, group, pages, from)
    }

    fn report(&self, program: ProgramId) -> PlanReport {
        let program = self.programs[program.0 as usize].as_ref();
        program.expect("a program that was dropped is not used again").report(&self.graph)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Memory is given back only when nothing runs on it; what that says does not matter any more.
        for step in &self.steps {
            let _ = self.ranks.together(&Task::Wait(step.slot));
        }
    }
}
