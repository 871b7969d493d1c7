//! CUDA kernels on the CPU: the very texts that NVRTC gets, compiled by a C++ compiler behind a small header that means what
//! CUDA means, and run thread by thread. A driver for tests, so that everything above it is tested with every kernel
//! really executed. It is slow, and says nothing of speed.

mod compile;
mod memory;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};

use cuda::{About, Address, Call, CollectiveCall, Driver, Fault, GraphId, KernelCall, KernelId, Source};

use compile::{Compiled, HostLaunch};
use memory::Pages;

/// Bytes of memory that the device says it has.
const MEMORY_BYTES: u64 = 4 << 30;
/// Bytes of a thread's stack.
const STACK_BYTES: usize = 64 << 10;
/// Most threads of a block.
const THREADS_MAX: usize = 1024;
/// Bytes that a block may share, as on an H100.
const SHARED_BYTES: u32 = 227 << 10;

/// In which order the threads of a block and the blocks of a grid take their turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The first first.
    Forwards,
    /// The last first: a kernel that forgets to wait gives something else.
    Backwards,
}

/// Whether there is a C++ compiler.
pub fn is_present() -> bool {
    compile::compiler().is_some()
}

/// The device.
pub struct Host {
    about: About,
    folder: PathBuf,
    order: Order,
    held: Mutex<Held>,
    launching: Mutex<Room>,
}

#[derive(Default)]
struct Held {
    taken: u64,
    memory: HashMap<Address, Pages>,
    kernels: Vec<Arc<Compiled>>,
    graphs: HashMap<u32, Vec<Call>>,
    next_graph: u32,
    /// What each slot's step brought.
    brought: HashMap<usize, Vec<u8>>,
    next_slot: usize,
}

/// Stacks of a block's threads, and what a block shares.
struct Room {
    stacks: Pages,
    shared: Pages,
}

impl Host {
    /// A device that keeps what it compiles beside the running program, for the next run.
    ///
    /// # Panics
    /// Where there is no compiler: who asks for it has asked whether there is.
    pub fn new(order: Order) -> Host {
        let compiler = compile::compiler().expect("there is a C++ compiler");
        let folder = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join("cuda-host")));
        let about = About {
            name: "CUDA kernels on the CPU".to_owned(),
            arch: "host".to_owned(),
            driver: compiler.version.clone(),
            memory_bytes: MEMORY_BYTES,
            processors: 4,
            shared_bytes: SHARED_BYTES,
        };
        let room = Room {
            stacks: Pages::new(STACK_BYTES * THREADS_MAX).expect("there is room for stacks"),
            shared: Pages::new(SHARED_BYTES as usize).expect("there is room to share"),
        };
        Host {
            about,
            folder: folder.unwrap_or_else(std::env::temp_dir),
            order,
            held: Mutex::default(),
            launching: Mutex::new(room),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// # Safety
    /// As for `play`.
    unsafe fn run(&self, call: &Call) -> Result<(), Fault> {
        match call {
            Call::Kernel(call) => self.launch(call),
            // SAFETY: the caller promises that both ranges are allocated.
            &Call::Collective(CollectiveCall { to, from, count, .. }) => unsafe {
                self.copy(to, from, count * size_of::<f32>())
            },
        }
    }

    fn launch(&self, call: &KernelCall) -> Result<(), Fault> {
        let kernel = Arc::clone(&self.held().kernels[call.kernel.0 as usize]);
        assert!(call.threads as usize <= THREADS_MAX, "a block has at most {THREADS_MAX} threads");
        assert!(call.shared_bytes <= SHARED_BYTES, "a block shares at most {SHARED_BYTES} bytes");
        assert!(call.grid[1] < 1 << 16 && call.grid[2] < 1 << 16, "{}: grid {:?}", kernel.label, call.grid);
        let room = self.launching.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let launch = HostLaunch {
            grid: call.grid,
            threads: call.threads,
            shared_bytes: call.shared_bytes,
            backwards: u32::from(self.order == Order::Backwards),
            stacks: room.stacks.start(),
            stack_bytes: STACK_BYTES as i64,
            shared: room.shared.start(),
        };
        // SAFETY: the library was compiled from a kernel and our own entry; stacks and shared bytes are as many as it
        // says, and the lock keeps others from them. Where arguments point to is the caller's promise.
        match unsafe { kernel.launch(&launch, &call.args) } {
            0 => Ok(()),
            _ => Err(Fault::Failed(format!("threads of {} wait for others that never come", kernel.label))),
        }
    }
}

impl Driver for Host {
    fn about(&self) -> &About {
        &self.about
    }

    fn free_bytes(&self) -> Result<u64, Fault> {
        Ok(MEMORY_BYTES.saturating_sub(self.held().taken))
    }

    fn allocate(&self, bytes: usize) -> Result<Address, Fault> {
        let available = self.free_bytes()?;
        let pages = if bytes as u64 <= available { Pages::new(bytes) } else { None };
        let pages = pages.ok_or(Fault::Memory { needed: bytes as u64, available })?;
        let at = pages.start() as Address;
        let mut held = self.held();
        held.taken += bytes as u64;
        held.memory.insert(at, pages);
        Ok(at)
    }

    unsafe fn release(&self, at: Address) {
        let mut held = self.held();
        if let Some(pages) = held.memory.remove(&at) {
            held.taken -= pages.bytes() as u64;
        }
    }

    unsafe fn write(&self, at: Address, bytes: &[u8]) -> Result<(), Fault> {
        // SAFETY: the caller promises that the range is allocated.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
        Ok(())
    }

    unsafe fn read(&self, at: Address, bytes: &mut [u8]) -> Result<(), Fault> {
        // SAFETY: as for `write`.
        unsafe { std::ptr::copy_nonoverlapping(at as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    unsafe fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<(), Fault> {
        // SAFETY: the caller promises that both ranges are allocated and apart.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, bytes) };
        Ok(())
    }

    fn load(&self, source: &Source) -> Result<KernelId, Fault> {
        let compiled = compile::compile(&self.folder, source).map_err(Fault::Failed)?;
        let mut held = self.held();
        held.kernels.push(Arc::new(compiled));
        Ok(KernelId(held.kernels.len() as u32 - 1))
    }

    unsafe fn play(&self, calls: &[Call]) -> Result<(), Fault> {
        // SAFETY: the caller promises the same.
        calls.iter().try_for_each(|call| unsafe { self.run(call) })
    }

    unsafe fn capture(&self, calls: &[Call]) -> Result<GraphId, Fault> {
        let mut held = self.held();
        let id = held.next_graph;
        held.next_graph += 1;
        held.graphs.insert(id, calls.to_vec());
        Ok(GraphId(id))
    }

    unsafe fn replay(&self, graph: GraphId) -> Result<(), Fault> {
        let calls = self.held().graphs.get(&graph.0).cloned();
        let calls = calls.ok_or_else(|| Fault::Failed(format!("graph {} was dropped", graph.0)))?;
        // SAFETY: what was promised when it was captured still holds.
        calls.iter().try_for_each(|call| unsafe { self.run(call) })
    }

    fn drop_graph(&self, graph: GraphId) {
        self.held().graphs.remove(&graph.0);
    }

    fn add_slot(&self) -> Result<usize, Fault> {
        let mut held = self.held();
        held.next_slot += 1;
        Ok(held.next_slot)
    }

    fn drop_slot(&self, slot: usize) {
        self.held().brought.remove(&slot);
    }

    unsafe fn send(&self, _: usize, bytes: &[u8], to: Address) -> Result<(), Fault> {
        // SAFETY: the caller promises that the bytes fit.
        unsafe { self.write(to, bytes) }
    }

    unsafe fn bring(&self, slot: usize, ranges: &[(Address, usize)]) -> Result<(), Fault> {
        let mut brought = vec![0; ranges.iter().map(|(_, bytes)| bytes).sum()];
        let mut rest = &mut brought[..];
        for &(from, bytes) in ranges {
            let (head, tail) = rest.split_at_mut(bytes);
            // SAFETY: the caller promises that the range is allocated.
            unsafe { self.read(from, head)? };
            rest = tail;
        }
        self.held().brought.insert(slot, brought);
        Ok(())
    }

    fn wait(&self, slot: usize, out: &mut Vec<u8>) -> Result<u64, Fault> {
        out.clear();
        out.extend(self.held().brought.get(&slot).into_iter().flatten());
        Ok(1)
    }
}
