//! A logical core: its memory, and the two threads that work for it.

use std::sync::Arc;

use super::runtime::Inner;
use crate::error::Error;
use crate::lane::Lane;
use crate::sys::{Functions, MemoryStats};

/// A logical core that programs are loaded on.
#[derive(Clone)]
pub struct Core {
    pub(crate) seat: Arc<Seat>,
}

/// What everything on a core holds.
pub(crate) struct Seat {
    /// Programs run here one after another, where the runtime cannot queue them itself.
    pub execute: Lane,
    /// Everything else, so that the next step's inputs are written while a program runs.
    pub transfer: Lane,
    pub index: u32,
    /// Last, so that the threads are told to end before the runtime is closed.
    pub runtime: Arc<Inner>,
}

/// The place of a program among those that compute together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rank {
    /// Its number, from 0.
    pub index: u32,
    /// How many there are.
    pub count: u32,
}

impl Core {
    pub(crate) fn new(runtime: &Arc<Inner>, index: u32) -> Result<Core, Error> {
        let execute = Lane::start(format!("neuron {index} run"))?;
        let transfer = Lane::start(format!("neuron {index} io"))?;
        Ok(Core { seat: Arc::new(Seat { execute, transfer, index, runtime: Arc::clone(runtime) }) })
    }

    /// Its number among those this process sees.
    pub fn index(&self) -> u32 {
        self.seat.index
    }

    /// How much memory it has, and how much of it is in use.
    pub fn memory(&self) -> Result<MemoryStats, Error> {
        let (mut stats, mut written, size) = (MemoryStats::default(), 0, size_of::<MemoryStats>());
        let core = self.index();
        self.seat.io(|calls| {
            // SAFETY: the runtime is started, and the size is that of what is pointed to.
            unsafe { calls.nrt_get_vnc_memory_stats(core, &mut stats, size, &mut written) }
        })?;
        Ok(stats)
    }
}

impl Seat {
    /// Makes a call that runs no program. The runtime is started as long as a seat lives.
    pub fn io<R: Send>(&self, call: impl FnOnce(&Functions) -> Result<R, Error> + Send) -> Result<R, Error> {
        self.runtime.call(&self.transfer, call)
    }

    /// Frees something that nothing uses any more. After poisoning it is left to the end of the process, as all that
    /// was begun is; where freeing fails it is left too, since nothing else can be done.
    pub fn release(&self, free: impl FnOnce(&Functions) -> Result<(), Error> + Send) {
        drop(self.io(free));
    }

    /// Handles of two libraries mean nothing to each other.
    pub fn assert_same_runtime(&self, other: &Seat) {
        assert!(Arc::ptr_eq(&self.runtime, &other.runtime), "handles of two runtimes do not mix");
    }
}
