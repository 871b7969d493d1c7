//! One device of an executor: its part of weights and states, and what steps need on it.

use std::sync::Arc;

use graph::{BackendError, Copy, Graph, Part, parts};

use crate::compiled::Kernels;
use crate::driver::{Driver, Fault, GraphId, KernelId, Memory, SLOTS};
use crate::fault;
use crate::launch::{Addresses, calls, sources};
use crate::lower::CHOSEN_BYTES;
use crate::program::Program;
use crate::states::States;
use crate::weights::Loaded;

/// Bytes of work space, of what is fed and of tokens chosen.
pub(crate) type Needs = [usize; 3];

/// A device with what it holds of a graph.
pub(crate) struct Rank {
    /// The device.
    pub driver: Arc<dyn Driver>,
    /// The states.
    pub states: States,
    /// What the step that was waited for last brought.
    pub brought: Vec<u8>,
    /// Its place among the ranks.
    number: usize,
    weights: Arc<Loaded>,
    kernels: Arc<Kernels>,
    /// See [`Needs`]; the tokens are those that the step launched last chose, row by row.
    memory: [Memory; 3],
    programs: Vec<Option<Ready>>,
    slots: [usize; SLOTS],
}

/// What a program has on a device.
pub(crate) struct Ready {
    /// Of the launches that run one.
    kernels: Vec<KernelId>,
    table: Memory,
    /// The launches captured, of steps that are replayed.
    captured: Option<GraphId>,
}

/// A step, as every rank begins it.
#[derive(Default)]
pub(crate) struct Begin {
    /// The program's place, and one of the slots.
    pub program: usize,
    /// Which of the slots.
    pub slot: usize,
    /// What it is fed.
    pub fed: Vec<u8>,
    /// Pages to copy before.
    pub copies: Vec<Copy>,
    /// Rows that are sampled.
    pub rows: usize,
    /// Those of them whose logits are brought to the host.
    pub told: Vec<usize>,
}

impl Rank {
    /// Room for states and for the work of the largest step.
    pub fn open(
        graph: &Graph,
        number: usize,
        kernels: &Arc<Kernels>,
        weights: &Arc<Loaded>,
        pages: &[u32],
        needs: Needs,
    ) -> Result<Rank, Fault> {
        let driver = &kernels.driver;
        let [work, fed, chosen] = needs.map(|bytes| Memory::new(driver, bytes));
        Ok(Rank {
            driver: Arc::clone(driver),
            states: States::open(graph, pages, driver)?,
            brought: vec![],
            number,
            weights: Arc::clone(weights),
            kernels: Arc::clone(kernels),
            memory: [work?, fed?, chosen?],
            programs: vec![],
            slots: [driver.add_slot()?, driver.add_slot()?],
        })
    }

    /// Whether its memory suffices.
    pub fn holds(&self, needs: Needs) -> bool {
        self.memory.iter().zip(needs).all(|(memory, bytes)| bytes <= memory.bytes())
    }

    /// Makes its memory large enough, when no step is on its way. What was captured ran on the memory there was.
    pub fn grow(&mut self, needs: Needs) -> Result<(), Fault> {
        self.programs.iter_mut().flatten().for_each(|program| program.release(&*self.driver));
        for (memory, bytes) in self.memory.iter_mut().zip(needs) {
            if bytes > memory.bytes() {
                *memory = Memory::new(&self.driver, bytes)?;
            }
        }
        Ok(())
    }

    /// Loads a program's kernels and its table.
    pub fn load(&self, program: &Program) -> Result<Ready, BackendError> {
        let kernels = self.kernels.load(sources(&program.lowered.launches), &|_, _| {})?;
        let table = Memory::new(&self.driver, program.lowered.table.len()).map_err(fault)?;
        table.write(0, &program.lowered.table).map_err(fault)?;
        Ok(Ready { kernels, table, captured: None })
    }

    /// Keeps what was loaded, in the place of its program.
    pub fn keep(&mut self, ready: Ready) {
        self.programs.push(Some(ready));
    }

    /// Drops what a program has here.
    pub fn forget(&mut self, program: usize) {
        if let Some(mut ready) = self.programs[program].take() {
            ready.release(&*self.driver);
        }
    }

    /// Enqueues a step.
    pub fn begin(&mut self, program: &Program, step: &Begin) -> Result<(), Fault> {
        let slot = self.slots[step.slot];
        let inputs = self.memory[1].at(0, step.fed.len());
        // SAFETY: `at` checked the range.
        unsafe { self.driver.send(slot, &step.fed, inputs) }?;
        step.copies.iter().try_for_each(|copy| self.states.copy(copy))?;
        let at = self.addresses();
        let ready = self.programs[step.program].as_mut().expect("a program is loaded before it runs");
        // SAFETY: memory is as large as the program asks since it was compiled; what is replaced is replaced when nothing is
        // in flight, and what was captured on it is forgotten. Indices in the feed were checked.
        unsafe { ready.run(program, &*self.driver, at) }?;
        // SAFETY: `ranges` checks each of them.
        unsafe { self.driver.bring(slot, &self.ranges(program, step)) }
    }

    /// Waits for a step and keeps what it brought; the nanoseconds that it took the device.
    pub fn wait(&mut self, slot: usize) -> Result<u64, Fault> {
        self.driver.wait(self.slots[slot], &mut self.brought)
    }

    /// Whether it is this rank that brings something of which ranks have parts: one for each part.
    pub fn brings(&self, part: Part) -> bool {
        parts::sources(part, self.driver.ranks() as u32).any(|rank| rank as usize == self.number)
    }

    /// What a step brings to the host: what became of its rows, which every rank knows and the first tells, and what was asked
    /// for by name.
    fn ranges(&self, program: &Program, step: &Begin) -> Vec<(u64, usize)> {
        let mut ranges = vec![];
        let mut range = |offset, bytes| ranges.push((self.memory[0].at(offset, bytes), bytes));
        if let Some(sampling) = program.sampling().filter(|_| self.number == 0) {
            range(sampling.chosen, step.rows * CHOSEN_BYTES);
            let row_bytes = sampling.vocab * size_of::<f32>();
            step.told.iter().for_each(|row| range(sampling.logits + row * row_bytes, row_bytes));
        }
        for tap in program.taps.iter().filter(|tap| self.brings(tap.part)) {
            range(tap.at, tap.bytes());
        }
        ranges
    }

    /// Where everything is, but for tables.
    fn addresses(&self) -> Addresses {
        let [work, inputs, previous] = self.memory.each_ref().map(Memory::address);
        let weights = self.weights.memory[self.number].iter().map(Memory::address).collect();
        let states = self.states.memory.iter().map(Memory::address).collect();
        Addresses { work, inputs, previous, weights, states, table: 0 }
    }
}

impl Drop for Rank {
    fn drop(&mut self) {
        // Whoever drops it has waited for its steps, or nothing of them will ever be done.
        self.programs.iter_mut().flatten().for_each(|program| program.release(&*self.driver));
        self.slots.iter().for_each(|&slot| self.driver.drop_slot(slot));
    }
}

impl Ready {
    /// Enqueues the launches: played, or captured the first time and replayed.
    ///
    /// # Safety
    /// The addresses lead to memory of the sizes that the program asks for, and stay valid until the step is done.
    unsafe fn run(&mut self, program: &Program, driver: &dyn Driver, at: Addresses) -> Result<(), Fault> {
        let at = Addresses { table: self.table.address(), ..at };
        let calls = || calls(&program.lowered.launches, &self.kernels, &at);
        if !program.is_replayed() {
            // SAFETY: the caller promises what `play` asks for.
            return unsafe { driver.play(&calls()) };
        }
        let graph = match self.captured {
            Some(graph) => graph,
            // SAFETY: as above; who changes an address forgets what was captured.
            None => *self.captured.insert(unsafe { driver.capture(&calls()) }?),
        };
        // SAFETY: as above.
        unsafe { driver.replay(graph) }
    }

    /// Forgets what was captured: the memory that it runs on is no more, or nobody runs it any more.
    fn release(&mut self, driver: &dyn Driver) {
        if let Some(graph) = self.captured.take() {
            driver.drop_graph(graph);
        }
    }
}
