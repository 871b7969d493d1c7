//! The emulated machine: whether it is started, and everything that has a handle.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::abi::{CLOSED, Code, Handle, INVALID, INVALID_HANDLE, LOAD_NOT_ENOUGH_NC, UNINITIALIZED};
use crate::core::Core;
use crate::faults::Faults;
use crate::memory::Tensor;
use crate::model::{Counters, Model};
use crate::ranks::World;
use crate::settings::{Settings, Sight};
use crate::unit::Gate;

/// Bytes that a program's code takes on each core, by AWS's page on device memory.
pub const CODE_BYTES: usize = 96 << 20;

/// The machine of this library.
pub struct Machine {
    pub settings: Settings,
    pub faults: Faults,
    pub counters: Arc<Counters>,
    pub gate: Arc<Gate>,
    phase: Phase,
    pub cores: Vec<Arc<Core>>,
    pub logical: u32,
    pub tensors: Things<Tensor>,
    /// Handles of tensors by name.
    pub sets: Things<BTreeMap<String, usize>>,
    pub models: Things<Arc<Model>>,
    /// Addresses of descriptions that were given out, and not freed yet.
    pub infos: HashMap<usize, usize>,
    worlds: HashMap<u32, Arc<World>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    New,
    Started,
    Closed,
}

static MACHINE: Mutex<Option<Machine>> = Mutex::new(None);

/// The machine, made when it is first asked for.
pub fn with<R>(act: impl FnOnce(&mut Machine) -> Result<R, Code>) -> Result<R, Code> {
    let mut machine: MutexGuard<_> = MACHINE.lock().unwrap_or_else(PoisonError::into_inner);
    if machine.is_none() {
        *machine = Some(Machine::new()?);
    }
    act(machine.as_mut().expect("it was made if it was not there"))
}

impl Machine {
    fn new() -> Result<Machine, Code> {
        let settings = Settings::from_environment()?;
        Ok(Machine {
            faults: Faults::parse(&settings.fail)?,
            settings,
            counters: Arc::default(),
            gate: Arc::default(),
            phase: Phase::New,
            cores: Vec::new(),
            logical: 1,
            tensors: Things::default(),
            sets: Things::default(),
            models: Things::default(),
            infos: HashMap::new(),
            worlds: HashMap::new(),
        })
    }

    /// Starts it. A machine is started again only after it was closed.
    pub fn start(&mut self) -> Result<(), Code> {
        if self.phase == Phase::Started {
            return Err(INVALID);
        }
        let (sight, facts) = (Sight::from_environment(&self.settings)?, self.settings.chip.facts());
        let share = facts.memory / u64::from(facts.cores / sight.logical);
        let memory = self.settings.memory.unwrap_or(share as usize);
        let cores = 0..sight.visible.len() as u32;
        self.cores = cores.map(|index| Core::start(index, memory, &self.counters, &self.gate)).collect();
        self.logical = sight.logical;
        self.phase = Phase::Started;
        Ok(())
    }

    /// Forgets everything. The cores are to be closed by the caller, without the lock.
    pub fn close(&mut self) -> Vec<Arc<Core>> {
        self.phase = Phase::Closed;
        self.gate.set(false);
        self.tensors.clear();
        self.sets.clear();
        self.models.clear();
        self.worlds.clear();
        std::mem::take(&mut self.cores)
    }

    /// Whether a function may be called now, and is not to fail.
    pub fn enter(&mut self, function: &str) -> Result<(), Code> {
        match self.phase {
            Phase::New => Err(UNINITIALIZED),
            Phase::Closed => Err(CLOSED),
            Phase::Started => self.faults.of_call(function).map_or(Ok(()), Err),
        }
    }

    pub fn core(&self, index: i64) -> Result<&Arc<Core>, Code> {
        usize::try_from(index).ok().and_then(|index| self.cores.get(index)).ok_or(INVALID)
    }

    /// The core that a program is to be loaded on; -1 means the first without one.
    pub fn core_for_load(&self, index: i32) -> Result<&Arc<Core>, Code> {
        if index != -1 {
            return self.core(index.into());
        }
        let free = |core: &&Arc<Core>| !self.models.iter().any(|model| model.core == core.index);
        self.cores.iter().find(free).ok_or(LOAD_NOT_ENOUGH_NC)
    }

    /// The world of so many ranks.
    pub fn world(&mut self, ranks: u32) -> Arc<World> {
        let patience = self.settings.patience();
        Arc::clone(self.worlds.entry(ranks).or_insert_with(|| Arc::new(World::new(patience))))
    }
}

/// Things by handles. A handle is a number that is given out once: what was freed is not found again.
pub struct Things<T> {
    things: HashMap<usize, T>,
    next: usize,
}

impl<T> Default for Things<T> {
    fn default() -> Things<T> {
        // Where no memory is, should somebody follow one.
        Things { things: HashMap::new(), next: 16 }
    }
}

impl<T> Things<T> {
    pub fn insert(&mut self, thing: T) -> Handle {
        self.next += 16;
        self.things.insert(self.next, thing);
        std::ptr::without_provenance_mut(self.next)
    }

    pub fn find(&self, handle: Handle) -> Result<&T, Code> {
        self.by_number(handle.addr())
    }

    pub fn by_number(&self, number: usize) -> Result<&T, Code> {
        self.things.get(&number).ok_or(INVALID_HANDLE)
    }

    pub fn find_mut(&mut self, handle: Handle) -> Result<&mut T, Code> {
        self.things.get_mut(&handle.addr()).ok_or(INVALID_HANDLE)
    }

    pub fn remove(&mut self, handle: Handle) -> Result<T, Code> {
        self.things.remove(&handle.addr()).ok_or(INVALID_HANDLE)
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.things.values()
    }

    fn clear(&mut self) {
        self.things.clear();
    }
}
