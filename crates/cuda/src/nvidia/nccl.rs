//! NCCL, by which GPUs do things together, opened when several are asked for. Nobody has run it on more than one GPU yet.
//!
//! The declarations are our own: cudarc opens it as `libnccl.so` alone, a name that only packages for developers bring.
//!
//! All ranks are threads of one process. Each uses its communicator from its own thread, and from no two at a time. A rank
//! that fails says so to the others, who look while they wait; then each gives up its own.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cudarc::driver::sys::CUstream;

use super::library;
use crate::driver::{Collective, CollectiveCall, Fault};

/// A communicator.
type Comm = *mut c_void;
/// What a function says; zero is good.
type Status = c_int;

/// `ncclFloat32`.
const F32: c_int = 7;
/// `ncclSum`.
const SUM: c_int = 0;
/// The first version whose work can be captured.
const VERSION_MIN: c_int = 20900;

/// `ncclGetVersion`.
type Version = unsafe extern "C" fn(*mut c_int) -> Status;
/// `ncclGetErrorString`.
type Said = unsafe extern "C" fn(Status) -> *const c_char;
/// `ncclCommInitAll`: of so many GPUs, by their numbers.
type Init = unsafe extern "C" fn(*mut Comm, c_int, *const c_int) -> Status;
/// `ncclCommDestroy`, `ncclCommAbort`.
type End = unsafe extern "C" fn(Comm) -> Status;
/// `ncclCommGetAsyncError`.
type Failed = unsafe extern "C" fn(Comm, *mut Status) -> Status;
/// `ncclAllReduce`: from, to, elements, their type, how, by whom, where.
type Reduce = unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, c_int, Comm, CUstream) -> Status;
/// `ncclAllGather`: from, to, elements of a rank, their type, by whom, where.
type Gather = unsafe extern "C" fn(*const c_void, *mut c_void, usize, c_int, Comm, CUstream) -> Status;

/// The library's functions that are used; they have had these types since version 2.4.
struct Nccl {
    said: Said,
    init: Init,
    destroy: End,
    abort: End,
    failed: Failed,
    reduce: Reduce,
    gather: Gather,
}

impl Nccl {
    /// The library, where there is one.
    fn open() -> Result<&'static Nccl, String> {
        static OPENED: OnceLock<Result<Nccl, String>> = OnceLock::new();
        OPENED.get_or_init(Nccl::load).as_ref().map_err(Clone::clone)
    }

    fn load() -> Result<Nccl, String> {
        let library = library::nccl()?;
        let symbol = |name: &CStr| {
            // SAFETY: the library is open and stays so, and the name ends with a zero.
            let symbol = unsafe { libc::dlsym(library.as_ptr(), name.as_ptr()) };
            if symbol.is_null() {
                return Err(format!("this NCCL has no {}; install a newer one", name.to_string_lossy()));
            }
            Ok(symbol)
        };
        let version = symbol(c"ncclGetVersion")?;
        // SAFETY: functions of these names have these types in NCCL's header nccl.h.
        let (version, nccl) = unsafe {
            (
                mem::transmute::<*mut c_void, Version>(version),
                Nccl {
                    said: mem::transmute::<*mut c_void, Said>(symbol(c"ncclGetErrorString")?),
                    init: mem::transmute::<*mut c_void, Init>(symbol(c"ncclCommInitAll")?),
                    destroy: mem::transmute::<*mut c_void, End>(symbol(c"ncclCommDestroy")?),
                    abort: mem::transmute::<*mut c_void, End>(symbol(c"ncclCommAbort")?),
                    failed: mem::transmute::<*mut c_void, Failed>(symbol(c"ncclCommGetAsyncError")?),
                    reduce: mem::transmute::<*mut c_void, Reduce>(symbol(c"ncclAllReduce")?),
                    gather: mem::transmute::<*mut c_void, Gather>(symbol(c"ncclAllGather")?),
                },
            )
        };
        let mut number = 0;
        // SAFETY: it writes one number.
        let known = unsafe { version(&raw mut number) };
        match known == 0 && number >= VERSION_MIN {
            true => Ok(nccl),
            false => Err(format!("this NCCL says it is version {number}; 2.9 or later is needed (20900)")),
        }
    }

    fn check(&self, what: &str, status: Status) -> Result<(), Fault> {
        if status == 0 {
            return Ok(());
        }
        // SAFETY: it gives a string of the library's own, which ends with a zero and stays.
        let said = unsafe { CStr::from_ptr((self.said)(status)) };
        let said = said.to_string_lossy();
        Err(Fault::Failed(format!("{what}: NCCL says {said}; NCCL_DEBUG=WARN lets it say more")))
    }
}

/// A GPU among those that compute together.
pub(super) struct Member {
    nccl: &'static Nccl,
    comm: Mutex<Held>,
    /// Why one of them left.
    left: Arc<OnceLock<String>>,
    rank: usize,
    ranks: usize,
}

/// A communicator, until it is given up.
struct Held(Option<Comm>);

// SAFETY: a communicator may be used by any thread, one at a time; a lock sees to that.
unsafe impl Send for Held {}

/// Makes GPUs of these numbers, whose contexts are there, compute together; in their order they are the ranks.
pub(super) fn join(numbers: &[u32]) -> Result<Vec<Member>, Fault> {
    let nccl = Nccl::open().map_err(Fault::Failed)?;
    let devices = numbers.iter().map(|&number| number.cast_signed()).collect::<Vec<_>>();
    let mut comms = vec![std::ptr::null_mut(); devices.len()];
    // SAFETY: there are as many numbers, and places for communicators, as it is told.
    let status = unsafe { (nccl.init)(comms.as_mut_ptr(), devices.len() as c_int, devices.as_ptr()) };
    nccl.check("the GPUs cannot compute together", status)?;
    let left = Arc::new(OnceLock::new());
    let member = |(rank, comm)| Member {
        nccl,
        comm: Mutex::new(Held(Some(comm))),
        left: Arc::clone(&left),
        rank,
        ranks: numbers.len(),
    };
    Ok(comms.into_iter().enumerate().map(member).collect())
}

impl Member {
    /// How many compute together.
    pub fn ranks(&self) -> usize {
        self.ranks
    }

    /// Enqueues a share of what ranks do together.
    ///
    /// # Safety
    /// The device's context is current, and the stream is its; the ranges lie within allocations.
    pub unsafe fn enqueue(&self, call: &CollectiveCall, stream: CUstream) -> Result<(), Fault> {
        let held = self.held();
        let (None, Some(comm)) = (self.left.get(), held.0) else { return Err(self.gone()) };
        let (from, to, count) = (call.from as *const c_void, call.to as *mut c_void, call.count);
        // SAFETY: the communicator is whole, and the lock keeps others from it; the rest is the caller's promise.
        let status = unsafe {
            match call.what {
                Collective::Sum => (self.nccl.reduce)(from, to, count, F32, SUM, comm, stream),
                Collective::Gather => (self.nccl.gather)(from, to, count, F32, comm, stream),
            }
        };
        self.nccl.check("a step cannot be shared with other GPUs", status)
    }

    /// Whether all of them are still there, as far as is known here.
    pub fn check(&self) -> Result<(), Fault> {
        let held = self.held();
        let (None, Some(comm)) = (self.left.get(), held.0) else { return Err(self.gone()) };
        let mut failed = 0;
        // SAFETY: the communicator is whole, and one number is written.
        let status = unsafe { (self.nccl.failed)(comm, &raw mut failed) };
        self.nccl.check("the links between GPUs are lost", if status == 0 { failed } else { status })
    }

    /// Says why this rank cannot go on.
    pub fn leave(&self, why: &str) {
        self.left.get_or_init(|| format!("rank {} left: {why}", self.rank));
    }

    /// Ends what is on its way, once somebody left.
    pub fn part(&self) {
        if self.left.get().is_some()
            && let Some(comm) = self.held().0.take()
        {
            // SAFETY: nobody has it any more.
            let _ = unsafe { (self.nccl.abort)(comm) };
        }
    }

    fn gone(&self) -> Fault {
        Fault::Left(self.left.get().cloned().unwrap_or_else(|| "it was given up".to_owned()))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.comm.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.part();
        if let Some(comm) = self.held().0.take() {
            // SAFETY: nobody has it any more, and nothing runs on its device.
            let _ = unsafe { (self.nccl.destroy)(comm) };
        }
        self.leave("it was dropped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_nccl_it_is_said_what_to_do() {
        if let Err(reason) = Nccl::open() {
            assert!(reason.contains("POLYSILICON_NCCL") || reason.contains("install"), "{reason}");
        }
    }
}
