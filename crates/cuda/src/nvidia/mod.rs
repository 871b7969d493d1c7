//! NVIDIA's driver, opened at run time through cudarc: one device, one stream.
//!
//! Nothing here has run on a GPU yet.

mod cache;
mod compile;
mod cublaslt;
mod energy;
mod library;
mod nccl;
mod pinned;

use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use cudarc::cublaslt::result::CublasError;
use cudarc::driver::result::{self, DriverError};
use cudarc::driver::sys;

use crate::driver::{
    About, Address, Call, CollectiveCall, Driver, Fault, GraphId, KernelCall, KernelId, Matmul,
};
use crate::source::Source;
use cache::Cache;
use pinned::{Pinned, Slot, Stage};

pub use energy::Energy;

/// Bytes that every kernel may share without asking.
const SHARED_DEFAULT: i32 = 48 << 10;
/// How often those who wait for other ranks look whether these are still there.
const LOOK: Duration = Duration::from_micros(20);
/// Most bytes that go through a stage at once.
const STAGE_BYTES: usize = 4 << 20;

/// A GPU of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place among them.
    pub number: u32,
    /// Its maker's name for it.
    pub name: String,
    /// What its code is compiled for.
    pub arch: String,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// The GPUs of this machine; none with the reason where there can be none.
pub fn find() -> Result<Vec<Found>, String> {
    library::driver()?;
    result::init().map_err(|error| format!("NVIDIA's driver is here and does not start: {}", said(error)))?;
    let count = result::device::get_count().map_err(|error| said(error).to_string())?;
    (0..count).map(|number| describe(number).map_err(|error| said(error).to_string())).collect()
}

fn describe(number: i32) -> Result<Found, DriverError> {
    let device = result::device::get(number)?;
    // SAFETY: the device was just given to us.
    let memory_bytes = unsafe { result::device::total_mem(device) }? as u64;
    let arch = arch(device)?;
    Ok(Found { number: number as u32, name: result::device::get_name(device)?, arch, memory_bytes })
}

/// What code for a device is compiled for: with all that its generation has, where that is more than later ones keep.
fn arch(device: sys::CUdevice) -> Result<String, DriverError> {
    use sys::CUdevice_attribute_enum as Attribute;
    let major = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    let own = if matches!((major, minor), (9 | 10, 0)) { "a" } else { "" };
    Ok(format!("sm_{major}{minor}{own}"))
}

fn attribute(device: sys::CUdevice, which: sys::CUdevice_attribute) -> Result<i32, DriverError> {
    // SAFETY: devices come from the driver.
    unsafe { result::device::get_attribute(device, which) }
}

/// A GPU.
pub struct Nvidia {
    about: About,
    context: sys::CUcontext,
    device: sys::CUdevice,
    stream: sys::CUstream,
    compiler: Mutex<Option<compile::Compiler>>,
    library: Mutex<Option<cublaslt::Library>>,
    cache: Option<Cache>,
    held: Mutex<Held>,
    /// Its place among those that compute together, where there are such.
    member: Option<nccl::Member>,
}

// SAFETY: handles of the driver may be used by any thread that has made the context its current one, which every method
// does first.
unsafe impl Send for Nvidia {}
// SAFETY: as above; what changes is behind locks.
unsafe impl Sync for Nvidia {}

#[derive(Default)]
struct Held {
    modules: Vec<sys::CUmodule>,
    functions: Vec<sys::CUfunction>,
    graphs: HashMap<u32, sys::CUgraphExec>,
    next_graph: u32,
    slots: Vec<Option<Slot>>,
    /// What writes go through that nobody writes through now.
    stages: Vec<Stage>,
}

impl Nvidia {
    /// The GPU of this number.
    pub fn open(number: u32) -> Result<Nvidia, Fault> {
        library::driver().map_err(Fault::Failed)?;
        let opened = Nvidia::start(number)
            .map_err(|error| Fault::Failed(format!("GPU {number} cannot be used: {}", said(error))))?;
        Ok(opened)
    }

    /// The GPUs of these numbers, which compute together through NCCL; their order is that of ranks.
    pub fn together(numbers: &[u32]) -> Result<Vec<Nvidia>, Fault> {
        let mut gpus = numbers.iter().map(|&number| Nvidia::open(number)).collect::<Result<Vec<_>, _>>()?;
        for (gpu, member) in gpus.iter_mut().zip(nccl::join(numbers)?) {
            gpu.member = Some(member);
        }
        Ok(gpus)
    }

    fn start(number: u32) -> Result<Nvidia, DriverError> {
        use sys::CUdevice_attribute_enum as Attribute;
        result::init()?;
        let device = result::device::get(i32::try_from(number).unwrap_or(i32::MAX))?;
        // SAFETY: the device was just given to us; the context is released when this is dropped.
        let context = unsafe { result::primary_ctx::retain(device) }?;
        // SAFETY: the context was just given to us.
        unsafe { result::ctx::set_current(context) }?;
        let found = describe(number as i32)?;
        let shared = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let processors = attribute(device, Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let mut version = 0;
        // SAFETY: it writes one number.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }.result()?;
        let about = About {
            name: found.name,
            arch: found.arch,
            driver: format!("{}.{}", version / 1000, version % 1000 / 10),
            memory_bytes: found.memory_bytes,
            processors: processors.cast_unsigned(),
            shared_bytes: shared.cast_unsigned(),
        };
        let stream = result::stream::create(result::stream::StreamKind::NonBlocking)?;
        let (compiler, library, cache) = (Mutex::new(None), Mutex::new(None), Cache::of_user());
        let held = Mutex::default();
        Ok(Nvidia { about, context, device, stream, compiler, library, cache, held, member: None })
    }

    /// Makes the context this thread's and gives what changes.
    fn enter(&self) -> Result<MutexGuard<'_, Held>, Fault> {
        // SAFETY: the context lives as long as this.
        unsafe { result::ctx::set_current(self.context) }
            .map_err(|error| failed("the device is lost", error))?;
        Ok(self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }

    fn synchronize(&self) -> Result<(), Fault> {
        if self.member.is_some() {
            // SAFETY: the stream lives as long as this.
            return self.until("a kernel failed", || unsafe { sys::cuStreamQuery(self.stream) });
        }
        // SAFETY: as above.
        unsafe { result::stream::synchronize(self.stream) }.map_err(|error| failed("a kernel failed", error))
    }

    /// Waits until what is asked for is over. What other ranks have a share in may never be, so it ends where one of them left.
    fn until(&self, what: &str, ask: impl Fn() -> sys::CUresult) -> Result<(), Fault> {
        let still_there = || self.member.as_ref().map_or(Ok(()), nccl::Member::check);
        loop {
            let told = ask();
            still_there()?;
            if told != sys::CUresult::CUDA_ERROR_NOT_READY {
                return told.result().map_err(|error| failed(what, error));
            }
            thread::sleep(LOOK);
        }
    }

    /// Writes bytes through a stage, which nothing is on its way through when this returns.
    ///
    /// # Safety
    /// The range is allocated.
    unsafe fn write_through(&self, stage: &mut Stage, at: Address, bytes: &[u8]) -> Result<(), DriverError> {
        for (place, piece) in bytes.chunks(STAGE_BYTES).enumerate() {
            stage.bytes.reserve(piece.len())?;
            stage.bytes.fill(piece);
            let held = self.held.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            // In the stream, for a copy outside of it may end after what is enqueued next begins.
            // SAFETY: the context is current since the caller entered; the stage keeps the bytes until the event has happened, which
            // is waited for; the range is the caller's promise.
            unsafe {
                let to = at + (place * STAGE_BYTES) as u64;
                result::memcpy_htod_async(to, stage.bytes.first(piece.len()), self.stream)?;
                result::event::record(stage.read, self.stream)?;
            }
            drop(held);
            // SAFETY: events live as long as their stage.
            unsafe { result::event::synchronize(stage.read) }?;
        }
        Ok(())
    }

    /// The code of a kernel: kept from before, or compiled now. Threads that compile do not wait for one another.
    fn code(&self, source: &Source) -> Result<Vec<u8>, Fault> {
        let text = source.text();
        let compiler = {
            let mut compiler = self.compiler.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            match &*compiler {
                Some(compiler) => compiler.clone(),
                None => compiler
                    .insert(compile::Compiler::start(&self.about.arch).map_err(Fault::Failed)?)
                    .clone(),
            }
        };
        let key = cache::key(&[&text, &compiler.identity(), &self.about.driver]);
        if let Some(code) = self.cache.as_ref().and_then(|cache| cache.read(&key)) {
            return Ok(code);
        }
        let code = compiler.compile(&source.label(), &text).map_err(Fault::Failed)?;
        if let Some(cache) = &self.cache {
            // A cache that cannot be written costs time and nothing else.
            let _ = cache.write(&key, &code);
        }
        Ok(code)
    }

    /// # Safety
    /// As for `play`; the context is current.
    unsafe fn enqueue(&self, held: &Held, call: &Call) -> Result<(), Fault> {
        let refused = |error| failed("a launch failed", error);
        match (call, &self.member) {
            (Call::Kernel(call), _) => self.launch(held, call).map_err(refused),
            // SAFETY: the stream is this device's and lives as long; that both ranges are allocated is the caller's promise.
            (Call::Collective(call), Some(member)) => unsafe { member.enqueue(call, self.stream) },
            // SAFETY: as above.
            (&Call::Collective(CollectiveCall { to, from, count, .. }), None) => unsafe {
                result::memcpy_dtod_async(to, from, count * size_of::<f32>(), self.stream).map_err(refused)
            },
            (Call::Matmul(call), _) => {
                // SAFETY: the stream is this device's, whose context is current; what lies where is the caller's promise.
                self.with_library(call.what, |library| unsafe { library.multiply(call, self.stream.cast()) })
            }
        }
    }

    /// Does something with the library of products, which the first who asks starts.
    fn with_library(
        &self,
        shape: Matmul,
        what: impl FnOnce(&mut cublaslt::Library) -> Result<(), CublasError>,
    ) -> Result<(), Fault> {
        let refused = |error| {
            Fault::Failed(format!(
                "cuBLASLt does not multiply {} rows by {} of {} columns: {error}; leave POLYSILICON_CUBLASLT out",
                shape.rows, shape.features, shape.width
            ))
        };
        let mut library = self.library.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let library = match &mut *library {
            Some(library) => library,
            None => library.insert(cublaslt::Library::start().map_err(refused)?),
        };
        what(library).map_err(refused)
    }

    fn launch(&self, held: &Held, call: &KernelCall) -> Result<(), DriverError> {
        let function = held.functions[call.kernel.0 as usize];
        let mut args = call.args.clone();
        let mut pointers =
            args.iter_mut().map(|arg| std::ptr::from_mut(arg).cast()).collect::<Vec<*mut c_void>>();
        let mut attribute = early_attribute();
        let config = sys::CUlaunchConfig_st {
            gridDimX: call.grid[0],
            gridDimY: call.grid[1],
            gridDimZ: call.grid[2],
            blockDimX: call.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: call.shared_bytes,
            hStream: self.stream,
            attrs: &raw mut attribute,
            numAttrs: u32::from(call.early),
        };
        // SAFETY: the arguments are as many and as wide as the kernel's, which are 8 bytes each; the driver copies them
        // before it returns. Where they point to is the caller's promise.
        unsafe {
            sys::cuLaunchKernelEx(&raw const config, function, pointers.as_mut_ptr(), std::ptr::null_mut())
        }
        .result()
    }
}

/// Lets a kernel start before the one before it has ended.
fn early_attribute() -> sys::CUlaunchAttribute_st {
    sys::CUlaunchAttribute_st {
        id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
        pad: [0; 4],
        value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
    }
}

impl Driver for Nvidia {
    fn about(&self) -> &About {
        &self.about
    }

    fn ranks(&self) -> usize {
        self.member.as_ref().map_or(1, nccl::Member::ranks)
    }

    fn leave(&self, why: &str) {
        self.member.iter().for_each(|member| member.leave(why));
    }

    fn part(&self) {
        // Where the context is lost, nothing runs in it.
        if let (Some(member), Ok(_held)) = (&self.member, self.enter()) {
            member.part();
        }
    }

    fn has_library(&self) -> bool {
        cublaslt::is_present()
    }

    fn free_bytes(&self) -> Result<u64, Fault> {
        let _held = self.enter()?;
        let (free, _) =
            result::mem_get_info().map_err(|error| failed("the device does not tell its memory", error))?;
        Ok(free as u64)
    }

    fn allocate(&self, bytes: usize) -> Result<Address, Fault> {
        let available = self.free_bytes()?;
        let _held = self.enter()?;
        // SAFETY: the context is current; the bytes are zeroed in the stream, before anything that uses them.
        let zeroed = unsafe {
            result::malloc_sync(bytes)
                .and_then(|at| result::memset_d8_async(at, 0, bytes, self.stream).map(|()| at))
        };
        zeroed.map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => Fault::Memory { needed: bytes as u64, available },
            _ => failed("memory cannot be had", error),
        })
    }

    unsafe fn release(&self, at: Address) {
        if let Ok(_held) = self.enter() {
            // SAFETY: the caller promises that `allocate` gave it and that nothing uses it.
            let _ = unsafe { result::free_sync(at) };
        }
    }

    unsafe fn write(&self, at: Address, bytes: &[u8]) -> Result<(), Fault> {
        // Through memory that the device reads by itself: from any other the driver copies first, one caller at a time. Here
        // each has a stage of its own, and the lock is held only to enqueue.
        let mut stage = match self.enter()?.stages.pop() {
            Some(stage) => stage,
            None => Stage::new().map_err(|error| failed("bytes cannot be written", error))?,
        };
        // SAFETY: the caller promises that the range is allocated.
        let written = unsafe { self.write_through(&mut stage, at, bytes) };
        self.enter()?.stages.push(stage);
        written.map_err(|error| failed("bytes cannot be written", error))
    }

    unsafe fn read(&self, at: Address, bytes: &mut [u8]) -> Result<(), Fault> {
        let _held = self.enter()?;
        // SAFETY: as for `write`.
        unsafe { result::memcpy_dtoh_async(bytes, at, self.stream) }
            .map_err(|error| failed("bytes cannot be read", error))?;
        self.synchronize()
    }

    unsafe fn copy(&self, to: Address, from: Address, bytes: usize) -> Result<(), Fault> {
        let _held = self.enter()?;
        // SAFETY: the caller promises that both ranges are allocated and apart.
        unsafe { result::memcpy_dtod_async(to, from, bytes, self.stream) }
            .map_err(|error| failed("bytes cannot be copied", error))
    }

    fn load(&self, source: &Source) -> Result<KernelId, Fault> {
        use sys::CUfunction_attribute_enum as Attribute;
        let code = self.code(source)?;
        let mut held = self.enter()?;
        let broken = |error| failed(&format!("the kernel {} cannot be loaded", source.label()), error);
        // SAFETY: the code is what NVRTC made, whole; the driver copies it.
        let module = unsafe { result::module::load_data(code.as_ptr().cast()) }.map_err(broken)?;
        let name = CString::new(source.kernel).expect("kernels' names have no zeros");
        // SAFETY: the module was just loaded and stays so.
        let function = unsafe { result::module::get_function(module, name) }.map_err(broken)?;
        // SAFETY: the function was just given to us.
        let own = unsafe {
            result::function::get_function_attribute(function, Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)
        };
        let most = self.about.shared_bytes.cast_signed() - own.map_err(broken)?;
        if most > SHARED_DEFAULT {
            let which = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: as above.
            unsafe { result::function::set_function_attribute(function, which, most) }.map_err(broken)?;
        }
        held.modules.push(module);
        held.functions.push(function);
        Ok(KernelId(held.functions.len() as u32 - 1))
    }

    unsafe fn play(&self, calls: &[Call]) -> Result<(), Fault> {
        let held = self.enter()?;
        // SAFETY: the caller promises the same.
        calls.iter().try_for_each(|call| unsafe { self.enqueue(&held, call) })
    }

    unsafe fn capture(&self, calls: &[Call]) -> Result<GraphId, Fault> {
        let mut held = self.enter()?;
        let broken = |error| failed("a step cannot be captured", error);
        // What the library does to choose is nothing that a capture may hold.
        for call in calls {
            if let Call::Matmul(call) = call {
                self.with_library(call.what, |library| library.know(call.what).map(drop))?;
            }
        }
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives as long as this, and no other thread enters meanwhile.
        unsafe { result::stream::begin_capture(self.stream, mode) }.map_err(broken)?;
        // SAFETY: the caller promises the same of whenever it is replayed.
        let launched = calls.iter().try_for_each(|call| unsafe { self.enqueue(&held, call) });
        // SAFETY: the capture just begun is ended whatever happened.
        let graph = unsafe { result::stream::end_capture(self.stream) };
        let graph = graph.map_err(broken)?;
        let mut exec = std::ptr::null_mut();
        let made = launched.and_then(|()| {
            // SAFETY: the graph was just captured; it is not needed once it is instantiated.
            unsafe { sys::cuGraphInstantiateWithFlags(&raw mut exec, graph, 0) }.result().map_err(broken)
        });
        // SAFETY: as above.
        let _ = unsafe { result::graph::destroy(graph) };
        made?;
        let id = held.next_graph;
        held.next_graph += 1;
        held.graphs.insert(id, exec);
        Ok(GraphId(id))
    }

    unsafe fn replay(&self, graph: GraphId) -> Result<(), Fault> {
        let held = self.enter()?;
        let Some(&exec) = held.graphs.get(&graph.0) else {
            return Err(Fault::Failed(format!("graph {} was never captured or is dropped", graph.0)));
        };
        // SAFETY: it is one of ours; what it runs on is the caller's promise.
        unsafe { result::graph::launch(exec, self.stream) }
            .map_err(|error| failed("a step cannot be replayed", error))
    }

    fn drop_graph(&self, graph: GraphId) {
        let Ok(mut held) = self.enter() else { return };
        if let Some(exec) = held.graphs.remove(&graph.0) {
            // A graph may still run; the driver's documentation lets it be destroyed only after.
            let _ = self.synchronize();
            // SAFETY: it is one of ours, and nobody has it any more.
            let _ = unsafe { result::graph::exec_destroy(exec) };
        }
    }

    fn add_slot(&self) -> Result<usize, Fault> {
        let mut held = self.enter()?;
        let event = || result::event::create(sys::CUevent_flags::CU_EVENT_DEFAULT);
        let events = event().and_then(|begun| event().map(|ended| (begun, ended)));
        let (begun, ended) = events.map_err(|error| failed("a step cannot be timed", error))?;
        held.slots.push(Some(Slot { sent: Pinned::none(), brought: Pinned::none(), bytes: 0, begun, ended }));
        Ok(held.slots.len() - 1)
    }

    fn drop_slot(&self, slot: usize) {
        let Ok(mut held) = self.enter() else { return };
        if let Some(mut slot) = held.slots[slot].take() {
            slot.release();
        }
    }

    unsafe fn send(&self, slot: usize, bytes: &[u8], to: Address) -> Result<(), Fault> {
        let mut held = self.enter()?;
        let slot = held.slots[slot].as_mut().expect("a slot that was dropped is not used again");
        let broken = |error| failed("a step's data cannot be sent", error);
        slot.sent.reserve(bytes.len()).map_err(broken)?;
        // The slot has no step on its way, so nobody reads these bytes.
        slot.sent.fill(bytes);
        // SAFETY: they stay until the step is waited for, and their destination is the caller's promise.
        unsafe {
            let recorded = result::event::record(slot.begun, self.stream);
            let bytes = slot.sent.first(bytes.len());
            recorded.and_then(|()| result::memcpy_htod_async(to, bytes, self.stream)).map_err(broken)
        }
    }

    unsafe fn bring(&self, slot: usize, ranges: &[(Address, usize)]) -> Result<(), Fault> {
        let mut held = self.enter()?;
        let slot = held.slots[slot].as_mut().expect("a slot that was dropped is not used again");
        let broken = |error| failed("a step's results cannot be brought", error);
        slot.bytes = ranges.iter().map(|(_, bytes)| bytes).sum();
        slot.brought.reserve(slot.bytes).map_err(broken)?;
        let mut at = 0;
        for &(from, bytes) in ranges {
            // SAFETY: nobody reads what was reserved before the step is waited for, and their source is the caller's promise.
            unsafe { result::memcpy_dtoh_async(slot.brought.part(at, bytes), from, self.stream) }
                .map_err(broken)?;
            at += bytes;
        }
        // SAFETY: event and stream live as long as this.
        unsafe { result::event::record(slot.ended, self.stream) }.map_err(broken)
    }

    fn wait(&self, slot: usize, out: &mut Vec<u8>) -> Result<u64, Fault> {
        let (begun, ended) = {
            let held = self.enter()?;
            let slot = held.slots[slot].as_ref().expect("a slot that was dropped is not used again");
            (slot.begun, slot.ended)
        };
        // Without the lock: who waits does not keep others from enqueueing.
        if self.member.is_some() {
            // SAFETY: events live as long as this.
            self.until("a step failed", || unsafe { sys::cuEventQuery(ended) })?;
        }
        // SAFETY: as above.
        let waited = unsafe { result::event::synchronize(ended) };
        waited.map_err(|error| failed("a step failed", error))?;
        // SAFETY: both events have happened.
        let ms = unsafe { result::event::elapsed(begun, ended) }.unwrap_or(0.0);
        let held = self.enter()?;
        let slot = held.slots[slot].as_ref().expect("a slot that was dropped is not used again");
        out.clear();
        // So many bytes were brought, and the copies are over.
        out.extend_from_slice(slot.brought.first(slot.bytes));
        Ok((f64::from(ms) * 1e6) as u64)
    }
}

impl Drop for Nvidia {
    fn drop(&mut self) {
        self.part();
        let member = self.member.take();
        let Ok(mut held) = self.enter() else { return };
        let _ = self.synchronize();
        let Held { modules, graphs, slots, stages, .. } = &mut *held;
        let mut library = self.library.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // SAFETY: all of these are ours, nothing runs any more, and nobody uses them after this.
        unsafe {
            library.iter_mut().for_each(|library| library.end());
            for (_, exec) in graphs.drain() {
                let _ = result::graph::exec_destroy(exec);
            }
            slots.iter_mut().flatten().for_each(Slot::release);
            stages.iter_mut().for_each(Stage::release);
            for module in modules.drain(..) {
                let _ = result::module::unload(module);
            }
            // After the captured steps that it is part of.
            drop(member);
            let _ = result::stream::destroy(self.stream);
            let _ = result::primary_ctx::release(self.device);
        }
    }
}

/// What the driver says of an error.
fn said(error: DriverError) -> String {
    let word = error
        .error_name()
        .map_or_else(|_| format!("{:?}", error.0), |name| name.to_string_lossy().into_owned());
    match error.error_string() {
        Ok(text) => format!("{word}, {}", text.to_string_lossy()),
        Err(_) => word,
    }
}

fn failed(what: &str, error: DriverError) -> Fault {
    Fault::Failed(format!("{what}: {}", said(error)))
}
