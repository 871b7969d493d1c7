//! What runs kernels: a GPU through its driver, in tests a recorder, or the CPU on which the very same text was compiled.
//!
//! All of a driver's work is one queue: what is enqueued first is done first.

use std::sync::Arc;

use crate::source::Source;

/// A byte of the device's memory.
pub type Address = u64;

/// Steps of an executor whose bytes may be on their way at the same time, each in a slot of its own.
pub const SLOTS: usize = 2;

/// Why a driver could not do something, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no memory for so many bytes; so many are left.
    Memory {
        /// Bytes asked for.
        needed: u64,
        /// Bytes left.
        available: u64,
    },
    /// The device or its compiler said no.
    Failed(String),
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its maker's name for it.
    pub name: String,
    /// What its code is compiled for, `sm_90a`.
    pub arch: String,
    /// The version of the driver, which decides whether compiled code is still good.
    pub driver: String,
    /// Bytes of memory in all.
    pub memory_bytes: u64,
    /// Streaming multiprocessors.
    pub processors: u32,
    /// Bytes that a block may share.
    pub shared_bytes: u32,
}

/// A kernel that a driver has loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KernelId(pub u32);

/// Launches that a driver has captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GraphId(pub u32);

/// Something that a device is told to do, with everything it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Run a kernel.
    Kernel(KernelCall),
    /// Do a share of what ranks do together.
    Collective(CollectiveCall),
}

/// A kernel with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelCall {
    /// The kernel.
    pub kernel: KernelId,
    /// Blocks along each axis, at least one.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: u32,
    /// Bytes that a block shares beside those that the kernel declares.
    pub shared_bytes: u32,
    /// Pointers and whole numbers, 8 bytes each.
    pub args: Vec<u64>,
    /// Whether it may start before the one before it has ended, and waits by itself for what that wrote.
    pub early: bool,
}

/// What ranks do together, each with as many f32. A device that computes alone copies them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Collective {
    /// Every rank gets the sum of what each of them has.
    Sum,
    /// Every rank gets what each of them has, rank after rank.
    Gather,
}

/// A rank's share of what ranks do together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CollectiveCall {
    /// What that is.
    pub what: Collective,
    /// Where the result goes.
    pub to: Address,
    /// What this rank has.
    pub from: Address,
    /// How many f32 it has.
    pub count: usize,
}

/// A device's driver.
pub trait Driver: Send + Sync {
    /// What the device is.
    fn about(&self) -> &About;

    /// Bytes that nobody has taken yet.
    fn free_bytes(&self) -> Result<u64, Fault>;

    /// So many bytes of zeros, on a boundary of 256.
    fn allocate(&self, bytes: usize) -> Result<Address, Fault>;

    /// Gives back what `allocate` gave.
    ///
    /// # Safety
    /// The address came from `allocate`, and nothing enqueued or captured will use it.
    unsafe fn release(&self, at: Address);

    /// Writes bytes when all that was enqueued is done, and returns when they are there.
    ///
    /// # Safety
    /// The bytes lie within one allocation.
    unsafe fn write(&self, at: Address, bytes: &[u8]) -> Result<(), Fault>;

    /// Reads bytes when all that was enqueued is done.
    ///
    /// # Safety
    /// The bytes lie within one allocation.
    unsafe fn read(&self, at: Address, bytes: &mut [u8]) -> Result<(), Fault>;

    /// Enqueues a copy within the device.
    ///
    /// # Safety
    /// Both ranges lie within allocations and do not overlap.
    unsafe fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<(), Fault>;

    /// Makes a kernel ready.
    fn load(&self, source: &Source) -> Result<KernelId, Fault>;

    /// Enqueues calls.
    ///
    /// # Safety
    /// Every pointer among the arguments leads to an allocation that holds all that its kernel reads and writes there.
    unsafe fn play(&self, calls: &[Call]) -> Result<(), Fault>;

    /// Makes one of many calls, to be replayed.
    ///
    /// # Safety
    /// As for `play`, whenever it is replayed.
    unsafe fn capture(&self, calls: &[Call]) -> Result<GraphId, Fault>;

    /// Enqueues what was captured.
    ///
    /// # Safety
    /// What was promised when it was captured still holds, and it was not dropped.
    unsafe fn replay(&self, graph: GraphId) -> Result<(), Fault>;

    /// Forgets what was captured.
    fn drop_graph(&self, graph: GraphId);

    /// Makes a slot, for one step at a time: no two executors share one.
    fn add_slot(&self) -> Result<usize, Fault>;

    /// Forgets a slot that has no step on its way.
    fn drop_slot(&self, slot: usize);

    /// Begins a slot's next step with a copy of these bytes to the device; they are the caller's again at once.
    ///
    /// # Safety
    /// The bytes fit the allocation that they go to.
    unsafe fn send(&self, slot: usize, bytes: &[u8], to: Address) -> Result<(), Fault>;

    /// Ends a slot's step with copies of these ranges to the host, one behind another.
    ///
    /// # Safety
    /// The ranges lie within allocations.
    unsafe fn bring(&self, slot: usize, ranges: &[(Address, usize)]) -> Result<(), Fault>;

    /// Waits for a slot's step and gives what was brought, and the nanoseconds that it took the device.
    fn wait(&self, slot: usize, out: &mut Vec<u8>) -> Result<u64, Fault>;
}

/// Bytes of a device, given back when they are dropped.
pub struct Memory {
    driver: Arc<dyn Driver>,
    address: Address,
    bytes: usize,
}

impl Memory {
    /// So many bytes of zeros.
    pub fn new(driver: &Arc<dyn Driver>, bytes: usize) -> Result<Memory, Fault> {
        let address = driver.allocate(bytes.max(1))?;
        Ok(Memory { driver: Arc::clone(driver), address, bytes })
    }

    /// Where they begin.
    pub fn address(&self) -> Address {
        self.address
    }

    /// How many there are.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes bytes from `offset` on.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<(), Fault> {
        let at = self.at(offset, bytes.len());
        // SAFETY: `at` checked that they lie within this allocation.
        unsafe { self.driver.write(at, bytes) }
    }

    /// Reads bytes from `offset` on.
    pub fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<(), Fault> {
        let at = self.at(offset, bytes.len());
        // SAFETY: `at` checked that they lie within this allocation.
        unsafe { self.driver.read(at, bytes) }
    }

    /// Enqueues a copy of bytes within the allocation.
    pub fn copy_within(&self, to: usize, from: usize, bytes: usize) -> Result<(), Fault> {
        let (to, from) = (self.at(to, bytes), self.at(from, bytes));
        assert!(to.abs_diff(from) >= bytes as u64, "a copy does not overlap what it copies");
        // SAFETY: `at` checked both ranges, and they do not overlap.
        unsafe { self.driver.copy(to, from, bytes) }
    }

    /// The address of so many bytes from `offset` on.
    ///
    /// # Panics
    /// Where they do not lie within: offsets are computed from shapes, as the size was.
    pub fn at(&self, offset: usize, bytes: usize) -> Address {
        let fits = offset.checked_add(bytes).is_some_and(|end| end <= self.bytes);
        assert!(fits, "{bytes} bytes from {offset} on leave an allocation of {}", self.bytes);
        self.address + offset as u64
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: it came from `allocate`. Who runs kernels on it keeps it until they are done.
        unsafe { self.driver.release(self.address) }
    }
}
