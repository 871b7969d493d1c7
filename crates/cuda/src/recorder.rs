//! A driver that writes down what it is told and computes nothing: for tests of plans, and for lists of the kernels that
//! models need.

use std::sync::{Mutex, MutexGuard};

use crate::driver::{About, Address, Call, Driver, Fault, GraphId, KernelId};
use crate::source::Source;

/// Where the first allocation lies, so that no address is zero.
const FIRST: Address = 1 << 32;

/// Something a driver was told.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Bytes were allocated.
    Allocate(Address, usize),
    /// Bytes were given back.
    Release(Address),
    /// Bytes were written.
    Write(Address, usize),
    /// Bytes were copied within the device.
    Copy(Address, Address, usize),
    /// Calls were enqueued.
    Play(Vec<Call>),
    /// Calls were captured.
    Capture(GraphId, Vec<Call>),
    /// What was captured was enqueued.
    Replay(GraphId),
    /// What was captured was forgotten.
    Drop(GraphId),
    /// A step's bytes were sent, in this slot.
    Send(usize, Address, usize),
    /// A step's bytes were asked for.
    Bring(usize, Vec<(Address, usize)>),
}

/// The recorder.
pub struct Recorder {
    about: About,
    ranks: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    events: Vec<Event>,
    sources: Vec<Source>,
    next: Address,
    taken: u64,
    sizes: Vec<(Address, usize)>,
    graphs: u32,
    brings: Vec<usize>,
}

impl Recorder {
    /// Of a device with so many bytes of memory, an H200 otherwise.
    pub fn new(memory_bytes: u64) -> Recorder {
        let about = About {
            name: "a recorder".to_owned(),
            arch: "sm_90a".to_owned(),
            driver: "none".to_owned(),
            memory_bytes,
            processors: 132,
            shared_bytes: 227 << 10,
        };
        Recorder { about, ranks: 1, held: Mutex::new(Held { next: FIRST, ..Held::default() }) }
    }

    /// So many devices that compute together, each with so many bytes. None waits for another, since none computes.
    pub fn together(memory_bytes: u64, ranks: usize) -> Vec<Recorder> {
        (0..ranks).map(|_| Recorder { ranks, ..Recorder::new(memory_bytes) }).collect()
    }

    /// What it was told so far, which it forgets.
    pub fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.held().events)
    }

    /// Every kernel it was asked for, in order.
    pub fn sources(&self) -> Vec<Source> {
        self.held().sources.clone()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn note(&self, event: Event) -> Result<(), Fault> {
        self.held().events.push(event);
        Ok(())
    }
}

impl Driver for Recorder {
    fn about(&self) -> &About {
        &self.about
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn has_library(&self) -> bool {
        true
    }

    fn free_bytes(&self) -> Result<u64, Fault> {
        Ok(self.about.memory_bytes.saturating_sub(self.held().taken))
    }

    fn allocate(&self, bytes: usize) -> Result<Address, Fault> {
        let available = self.free_bytes()?;
        if bytes as u64 > available {
            return Err(Fault::Memory { needed: bytes as u64, available });
        }
        let mut held = self.held();
        let at = held.next;
        held.next += (bytes as u64).next_multiple_of(256) + 256;
        held.taken += bytes as u64;
        held.sizes.push((at, bytes));
        held.events.push(Event::Allocate(at, bytes));
        Ok(at)
    }

    unsafe fn release(&self, at: Address) {
        let mut held = self.held();
        if let Some(place) = held.sizes.iter().position(|(known, _)| *known == at) {
            held.taken -= held.sizes.swap_remove(place).1 as u64;
        }
        held.events.push(Event::Release(at));
    }

    unsafe fn write(&self, at: Address, bytes: &[u8]) -> Result<(), Fault> {
        self.note(Event::Write(at, bytes.len()))
    }

    unsafe fn read(&self, _: Address, bytes: &mut [u8]) -> Result<(), Fault> {
        bytes.fill(0);
        Ok(())
    }

    unsafe fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<(), Fault> {
        self.note(Event::Copy(to, from, bytes))
    }

    fn load(&self, source: &Source) -> Result<KernelId, Fault> {
        let mut held = self.held();
        held.sources.push(source.clone());
        Ok(KernelId(held.sources.len() as u32 - 1))
    }

    unsafe fn play(&self, calls: &[Call]) -> Result<(), Fault> {
        self.note(Event::Play(calls.to_vec()))
    }

    unsafe fn capture(&self, calls: &[Call]) -> Result<GraphId, Fault> {
        let mut held = self.held();
        let graph = GraphId(held.graphs);
        held.graphs += 1;
        held.events.push(Event::Capture(graph, calls.to_vec()));
        Ok(graph)
    }

    unsafe fn replay(&self, graph: GraphId) -> Result<(), Fault> {
        self.note(Event::Replay(graph))
    }

    fn drop_graph(&self, graph: GraphId) {
        self.held().events.push(Event::Drop(graph));
    }

    fn add_slot(&self) -> Result<usize, Fault> {
        let mut held = self.held();
        held.brings.push(0);
        Ok(held.brings.len() - 1)
    }

    fn drop_slot(&self, _: usize) {}

    unsafe fn send(&self, slot: usize, bytes: &[u8], to: Address) -> Result<(), Fault> {
        self.note(Event::Send(slot, to, bytes.len()))
    }

    unsafe fn bring(&self, slot: usize, ranges: &[(Address, usize)]) -> Result<(), Fault> {
        self.held().brings[slot] = ranges.iter().map(|(_, bytes)| bytes).sum();
        self.note(Event::Bring(slot, ranges.to_vec()))
    }

    fn wait(&self, slot: usize, out: &mut Vec<u8>) -> Result<u64, Fault> {
        out.clear();
        out.resize(self.held().brings[slot], 0);
        Ok(0)
    }
}
