//! The step protocol: what a step is fed goes to the device in one copy, its launches follow, and what it gave comes back
//! when it is fetched. Two steps may be on their way.
//!
//! Tokens are chosen on the device where that is sure to give the token that [`Sampler`] would: the likeliest, and a draw
//! from all. Other rows bring their logits to the host. A step that needs a token of such a row waits for it.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::sync::Arc;

use graph::{
    BackendError, Bucket, Budget, Executor, Feed, Fetch, Graph, GroupId, Inputs, PageId, PlanReport,
    ProgramId, ProgramSpec, Sampler, StepId, Token, Weights,
};

use crate::compiled::Kernels;
use crate::driver::{Driver, Memory, SLOTS};
use crate::launch::Addresses;
use crate::lower::{CHOSEN_BYTES, WISH_BYTES, fill};
use crate::options::Options;
use crate::program::Program;
use crate::rows::{Asked, Told};
use crate::states::States;
use crate::weights::{Form, Loaded};
use crate::{NAME, fault, unsupported};

/// One part in so many of free memory is left to the driver: captured steps, kernels, programs' tables.
const RESERVE: u64 = 32;

/// Runs one graph.
pub(crate) struct Running {
    graph: Graph,
    options: Options,
    driver: Arc<dyn Driver>,
    weights: Arc<Loaded>,
    states: States,
    programs: Vec<Option<Program>>,
    kernels: Arc<Kernels>,
    work: Memory,
    inputs: Memory,
    /// The tokens that the step launched last chose, row by row.
    previous: Memory,
    /// The same as `Feed` may ask for them: known to the host, or minus one minus the row.
    tokens: Vec<u32>,
    steps: VecDeque<Step>,
    slots: Vec<usize>,
    next: u64,
    sampler: Sampler,
    fed: Vec<u8>,
    scratch: Vec<i32>,
    brought: Vec<u8>,
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
    /// Makes room for states and for the work of the largest step.
    pub fn open(
        graph: &Graph,
        options: &Options,
        driver: &Arc<dyn Driver>,
        kernels: &Arc<Kernels>,
        weights: Arc<Loaded>,
        budget: &Budget,
    ) -> Result<Running, BackendError> {
        if weights.memory.len() != graph.weights.len() {
            let reason = format!("the graph reads {}", graph.weights.len());
            return Err(unsupported(format!("these {} weights", weights.memory.len()), reason));
        }
        let [work, fed, rows] = needs(graph, &weights.forms, &budget.bucket, options)?;
        let taken =
            [work, fed, rows].iter().fold(weights.bytes(), |sum, &bytes| sum.saturating_add(bytes as u64));
        let free = driver.free_bytes().map_err(fault)?;
        let free = (free - free / RESERVE).saturating_add(weights.bytes());
        let budget = Budget { bytes: Some(budget.bytes.unwrap_or(free).min(free)), ..budget.clone() };
        let pages = budget.fit(graph, taken, NAME)?;
        let memory = |bytes| Memory::new(driver, bytes).map_err(fault);
        Ok(Running {
            graph: graph.clone(),
            options: *options,
            driver: Arc::clone(driver),
            states: States::open(graph, pages, driver)?,
            weights,
            programs: vec![],
            kernels: Arc::clone(kernels),
            work: memory(work)?,
            inputs: memory(fed)?,
            previous: memory(rows)?,
            tokens: vec![],
            steps: VecDeque::with_capacity(SLOTS),
            slots: (0..SLOTS).map(|_| driver.add_slot()).collect::<Result<_, _>>().map_err(fault)?,
            next: 0,
            sampler: Sampler::default(),
            fed: vec![],
            scratch: vec![],
            brought: vec![],
        })
    }

    fn program(&self, id: ProgramId) -> Result<&Program, BackendError> {
        let program = self.programs.get(id.0 as usize).and_then(Option::as_ref);
        program
            .ok_or_else(|| unsupported(format!("program {}", id.0), "it was never compiled here".to_owned()))
    }

    /// Memory that a program needs and that is not there yet. What was captured runs on the memory there was.
    fn grow(&mut self, needed: [usize; 3]) -> Result<(), BackendError> {
        let fits = |memory: &Memory, bytes: usize| bytes <= memory.bytes();
        if fits(&self.work, needed[0]) && fits(&self.inputs, needed[1]) && fits(&self.previous, needed[2]) {
            return Ok(());
        }
        self.settle_all()?;
        self.programs.iter_mut().flatten().for_each(|program| program.release(&*self.driver));
        let places = [&mut self.work, &mut self.inputs, &mut self.previous];
        for (place, bytes) in places.into_iter().zip(needed) {
            if bytes > place.bytes() {
                *place = Memory::new(&self.driver, bytes).map_err(fault)?;
            }
        }
        Ok(())
    }

    /// Where everything is.
    fn addresses(&self) -> Addresses {
        Addresses {
            work: self.work.address(),
            inputs: self.inputs.address(),
            table: 0,
            previous: self.previous.address(),
            weights: self.weights.memory.iter().map(Memory::address).collect(),
            states: self.states.memory.iter().map(Memory::address).collect(),
        }
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
        fetch.device_ns = self.driver.wait(step.slot, &mut self.brought).map_err(fault)?;
        let mut rest = &self.brought[..];
        let mut take = |bytes: usize| {
            let (head, tail) = rest.split_at(bytes);
            rest = tail;
            head
        };
        if let Some(sampling) = program.sampling() {
            let told = take(step.rows.len() * CHOSEN_BYTES);
            for (row, told) in step.rows.iter().zip(told.chunks_exact(CHOSEN_BYTES)) {
                let told = Told::of(told);
                match row {
                    Asked::Device(..) => fetch.sampled.push(told.sampled()),
                    Asked::Host(row) => {
                        let logits = take(sampling.vocab * size_of::<f32>());
                        let logits =
                            logits.as_chunks().0.iter().map(|x| f32::from_le_bytes(*x)).collect::<Vec<_>>();
                        self.sampler.sample_known(&logits, told.stats(), &row.row(), &mut fetch);
                    }
                }
            }
        }
        for tap in &program.taps {
            let value = tensor::Value::new(tap.dtype, tap.shape, take(tap.bytes()));
            fetch.taps.push((tap.shape, value.to_f32()));
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
    fn fill(&mut self, place: usize, feed: &Feed<'_>, rows: &[Asked]) {
        let program = self.programs[place].as_ref().expect("checked before the step");
        let inputs = Inputs { bucket: program.spec.bucket, feed, previous: &self.tokens };
        self.fed.clear();
        self.fed.resize(program.lowered.input_bytes, 0);
        fill(&inputs, &program.lowered.inputs, &mut self.scratch, &mut self.fed);
        for (&at, patch) in program.lowered.patches.iter().zip(feed.patches) {
            for (to, value) in self.fed[at..].as_chunks_mut::<4>().0.iter_mut().zip(*patch) {
                *to = value.to_le_bytes();
            }
        }
        if let Some(sampling) = program.sampling() {
            let wishes = self.fed[sampling.wishes..].as_chunks_mut::<WISH_BYTES>().0;
            wishes.iter_mut().zip(rows).for_each(|(to, row)| *to = row.wish());
        }
    }

    /// Enqueues a step.
    fn enqueue(
        &mut self,
        place: usize,
        slot: usize,
        feed: &Feed<'_>,
        rows: &[Asked],
    ) -> Result<(), BackendError> {
        self.fill(place, feed, rows);
        let at = self.addresses();
        let inputs = self.inputs.at(0, self.fed.len());
        // SAFETY: `at` checked the range.
        unsafe { self.driver.send(slot, &self.fed, inputs) }.map_err(fault)?;
        for copy in feed.copies {
            self.states.copy(copy)?;
        }
        let program = self.programs[place].as_mut().expect("checked before the step");
        // SAFETY: `compile` made the memory as large as the program asks; memory that is replaced is replaced when
        // nothing is in flight, and what was captured on it is forgotten. Indices in the feed were checked.
        unsafe { program.run(&*self.driver, &at)? };
        let mut ranges = vec![];
        if let Some(sampling) = program.sampling() {
            let mut range = |offset, bytes| ranges.push((self.work.at(offset, bytes), bytes));
            range(sampling.chosen, rows.len() * CHOSEN_BYTES);
            let row_bytes = sampling.vocab * size_of::<f32>();
            for (row, _) in rows.iter().enumerate().filter(|(_, row)| !row.is_on_device()) {
                range(sampling.logits + row * row_bytes, row_bytes);
            }
        }
        ranges.extend(program.taps.iter().map(|tap| (self.work.at(tap.at, tap.bytes()), tap.bytes())));
        // SAFETY: `at` checked every range.
        unsafe { self.driver.bring(slot, &ranges) }.map_err(fault)
    }
}

/// Bytes of work space, of what is fed and of tokens chosen, of the largest step: as many tokens as there may be, and
/// one token for each sequence.
pub(crate) fn needs(
    graph: &Graph,
    forms: &[Form],
    bucket: &Bucket,
    options: &Options,
) -> Result<[usize; 3], BackendError> {
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

fn bytes_of(program: &Program) -> [usize; 3] {
    let rows = program.sampling().map_or(0, |sampling| sampling.rows);
    [program.lowered.work_bytes, program.lowered.input_bytes, rows * size_of::<u32>()]
}

impl Executor for Running {
    fn pages(&self) -> &[u32] {
        &self.states.pages
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        let mut program = Program::new(&self.graph, &self.weights.forms, spec, &self.options)?;
        self.grow(bytes_of(&program))?;
        program.load(&self.driver, &self.kernels)?;
        self.programs.push(Some(program));
        Ok(ProgramId(self.programs.len() as u32 - 1))
    }

    fn forget(&mut self, program: ProgramId) {
        if let Some(mut program) = self.programs[program.0 as usize].take() {
            program.release(&*self.driver);
        }
    }

    fn launch(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        self.settle_for(feed)?;
        let Program { spec, graph, .. } = self.program(program)?;
        let inputs = Inputs { bucket: spec.bucket, feed, previous: &self.tokens };
        inputs.check(NAME, &self.graph, &self.states.pages)?;
        spec.check_patches(NAME, graph, feed.patches)?;
        assert!(self.steps.len() < SLOTS, "at most two steps are in flight");
        let rows = feed.rows.iter().map(Asked::of).collect::<Vec<_>>();
        let id = StepId(self.next);
        let is_free = |slot: &usize| self.steps.iter().all(|step| step.slot != *slot);
        let slot =
            self.slots.iter().copied().find(is_free).expect("there are as many slots as steps in flight");
        self.enqueue(program.0 as usize, slot, feed, &rows)?;
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
        self.states.export(group, pages, out)
    }

    fn import(&mut self, group: GroupId, pages: &[PageId], from: &mut dyn Read) -> Result<(), BackendError> {
        self.states.import(group, pages, from)
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
            let _ = self.driver.wait(step.slot, &mut self.brought);
        }
        self.programs.iter_mut().flatten().for_each(|program| program.release(&*self.driver));
        self.slots.iter().for_each(|&slot| self.driver.drop_slot(slot));
    }
}
