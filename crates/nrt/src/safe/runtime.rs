//! The started runtime: its version, its cores, and whether it can still be trusted.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use super::core::Core;
use super::options::Options;
use crate::error::Error;
use crate::lane::Lane;
use crate::library::Library;
use crate::result::text;
use crate::sys::{self, ASYNC_SINCE, AsyncFunctions, Counts, EmulatorFunctions, Functions};

/// Runtimes by their library, or why one cannot be used until the process ends. There are several only where there are
/// copies of libnrt, each with variables of its own.
static STARTED: Mutex<BTreeMap<usize, Result<Weak<Inner>, String>>> = Mutex::new(BTreeMap::new());

/// One of them was closed.
static CLOSED: Condvar = Condvar::new();

/// The Neuron runtime of this process. It is closed when the last handle that came from it is gone.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub calls: Functions,
    /// The asynchronous functions, where the version has them in the form that is known here.
    pub later: Option<AsyncFunctions>,
    emulator: Option<EmulatorFunctions>,
    seen: Seen,
    /// Its library's.
    number: usize,
    lane: Lane,
    /// Why nothing is called any more.
    poison: OnceLock<String>,
}

/// What a library says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its version, and more in words.
    pub version: String,
    /// Logical cores that this process sees; they are numbered from 0.
    pub cores: u32,
    /// Whether this is no chip but the emulator: its times are simulated, never measured.
    pub emulated: bool,
}

impl Runtime {
    /// Looks at the libnrt that would be opened, without starting it: its cores stay free for others.
    pub fn look(options: &Options) -> Result<Seen, Error> {
        let library = Library::open(options.library.as_deref())?;
        let calls = Functions::find(&library)?;
        Ok(Lane::start("neuron".to_owned())?.call(|| look(&library, &calls))?.0)
    }

    /// Opens libnrt and starts it. There is one at a time in a process, and who opens it again gets the same; its cores
    /// belong to the process until it ends.
    pub fn open(options: &Options) -> Result<Runtime, Error> {
        let library = Library::open(options.library.as_deref())?;
        let calls = Functions::find(&library)?;
        options.apply()?;
        let mut started = started();
        while let Some(there) = started.get(&library.number()) {
            let there = there.as_ref().map_err(|because| Error::Poisoned { because: because.clone() })?;
            if let Some(inner) = there.upgrade() {
                return inner.healthy().map(|()| Runtime { inner });
            }
            // It is being closed.
            started = CLOSED.wait(started).unwrap_or_else(PoisonError::into_inner);
        }
        let lane = Lane::start("neuron".to_owned())?;
        let (seen, version) = lane.call(|| {
            let seen = look(&library, &calls)?;
            // SAFETY: it is not among those that are started.
            unsafe { calls.nrt_init(sys::NO_FRAMEWORK, c"".as_ptr(), c"".as_ptr()) }?;
            Ok::<_, Error>(seen)
        })?;
        let later = if version >= ASYNC_SINCE { AsyncFunctions::find(&library).ok() } else { None };
        let (emulator, poison) = (EmulatorFunctions::find(&library).ok(), OnceLock::new());
        let number = library.number();
        let inner = Arc::new(Inner { calls, later, emulator, seen, number, lane, poison });
        started.insert(number, Ok(Arc::downgrade(&inner)));
        Ok(Runtime { inner })
    }

    /// What the library says of itself.
    pub fn seen(&self) -> &Seen {
        &self.inner.seen
    }

    /// What the emulator counted, where this is no chip but the emulator: its times are simulated, never measured.
    pub fn emulated(&self) -> Option<Counts> {
        let (functions, mut counts) = (self.inner.emulator.as_ref()?, Counts::default());
        // SAFETY: the size is that of what is pointed to.
        unsafe { functions.polysilicon_emulator_counts(&mut counts, size_of::<Counts>()).ok()? };
        Some(counts)
    }

    /// What programs for these chips are compiled for, in neuronx-cc's words; `None` for chips that are not known.
    pub fn target(&self) -> Result<Option<&'static str>, Error> {
        let (mut info, size) = (sys::InstanceInfo::default(), size_of::<sys::InstanceInfo>());
        // SAFETY: the runtime is started as long as `inner` lives, and the size is that of what is pointed to.
        self.inner.call(&self.inner.lane, |calls| unsafe { calls.nrt_get_instance_info(&mut info, size) })?;
        Ok(match info.family {
            2 | 3 => Some("trn1"),
            4 | 7 => Some("inf2"),
            5 | 6 | 8..=13 => Some("trn2"),
            14 | 15 => Some("trn3"),
            _ => None,
        })
    }

    /// A core of this process.
    pub fn core(&self, core: u32) -> Result<Core, Error> {
        let visible = self.inner.seen.cores;
        if core < visible { Core::new(&self.inner, core) } else { Err(Error::NoCore { core, visible }) }
    }
}

fn started() -> MutexGuard<'static, BTreeMap<usize, Result<Weak<Inner>, String>>> {
    STARTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a library says of itself, and the numbers of its version that count.
fn look(library: &Library, calls: &Functions) -> Result<(Seen, (u64, u64)), Error> {
    let (mut version, mut cores) = (MaybeUninit::<sys::Version>::zeroed(), 0);
    // SAFETY: both may be asked for before the start, and the size is that of what is pointed to. Zeros are a version,
    // whatever of it was written.
    let sys::Version { major, minor, patch, maintenance, detail, .. } = unsafe {
        calls.nrt_get_version(version.as_mut_ptr(), size_of::<sys::Version>())?;
        calls.nrt_get_visible_vnc_count(&mut cores)?;
        version.assume_init()
    };
    let version = format!("{major}.{minor}.{patch}.{maintenance} {}", text(&detail));
    let emulated = EmulatorFunctions::find(library).is_ok();
    Ok((Seen { version, cores, emulated }, (major, minor)))
}

impl Inner {
    /// Makes a call on a lane, unless the runtime is poisoned, and poisons it by a fatal status.
    pub fn call<R: Send>(
        &self,
        lane: &Lane,
        call: impl FnOnce(&Functions) -> Result<R, Error> + Send,
    ) -> Result<R, Error> {
        self.healthy()?;
        self.heed(lane.call(|| call(&self.calls)))
    }

    /// An error where an earlier call poisoned the runtime.
    pub fn healthy(&self) -> Result<(), Error> {
        self.poison.get().map_or(Ok(()), |because| Err(Error::Poisoned { because: because.clone() }))
    }

    /// Hands an outcome on, and poisons the runtime where it is a fatal one.
    pub fn heed<R>(&self, outcome: Result<R, Error>) -> Result<R, Error> {
        outcome.inspect_err(|error| {
            if error.is_fatal() {
                self.poison.get_or_init(|| error.to_string());
            }
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // SAFETY: every handle holds an `Inner`, so there is none left.
        let closed = self.call(&self.lane, |calls| unsafe { calls.nrt_close() });
        match (closed, self.poison.get()) {
            (Err(_), Some(because)) => drop(started().insert(self.number, Err(because.clone()))),
            _ => drop(started().remove(&self.number)),
        }
        CLOSED.notify_all();
    }
}
