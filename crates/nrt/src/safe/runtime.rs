//! The started runtime: its version, its cores, and whether it can still be trusted.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::core::Core;
use super::emulator::Emulator;
use super::options::Options;
use crate::error::Error;
use crate::lane::Lane;
use crate::library::Library;
use crate::result::text;
use crate::sys::{self, ASYNC_SINCE, AsyncFunctions, EmulatorFunctions, Functions};

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
    version: Version,
    cores: u32,
    library: Library,
    lane: Lane,
    /// Why nothing is called any more.
    poison: OnceLock<String>,
}

/// A version of the runtime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Major, minor, patch and maintenance numbers.
    pub numbers: [u64; 4],
    /// What the library says besides.
    pub detail: String,
}

/// The machine that the chips are part of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The family, as a number of AWS's list.
    pub family: u32,
    /// The size, as a number of AWS's list.
    pub size: u32,
    /// The architecture of the chips.
    pub architecture: String,
    /// The revision of the chips.
    pub revision: String,
}

impl Instance {
    /// What programs for these chips are compiled for, in neuronx-cc's words; `None` for chips that are not known.
    pub fn target(&self) -> Option<&'static str> {
        match self.family {
            2 => Some("trn1"),
            3 => Some("trn1n"),
            4 | 7 => Some("inf2"),
            5 | 6 | 8..=13 => Some("trn2"),
            14 | 15 => Some("trn3"),
            _ => None,
        }
    }
}

impl Runtime {
    /// Opens libnrt and starts it. There is one at a time in a process; its cores belong to the process until it ends.
    pub fn open(options: &Options) -> Result<Runtime, Error> {
        let library = Library::open(options.library.as_deref())?;
        let calls = Functions::find(&library)?;
        options.apply()?;
        let lane = Lane::start("neuron".to_owned())?;
        library.claim()?;
        let (mut version, mut cores) = (sys::Version::default(), 0);
        let started = lane.call(|| {
            // SAFETY: the version and the count of cores may be asked for before the start, and the claim says that
            // the runtime is not started yet.
            unsafe {
                calls.nrt_get_version(&mut version, size_of::<sys::Version>())?;
                calls.nrt_get_visible_vnc_count(&mut cores)?;
                calls.nrt_init(sys::NO_FRAMEWORK, c"".as_ptr(), c"".as_ptr())
            }
        });
        started.inspect_err(|_| library.release())?;
        let known = (version.major, version.minor) >= ASYNC_SINCE;
        let later = if known { AsyncFunctions::find(&library).ok() } else { None };
        let numbers = [version.major, version.minor, version.patch, version.maintenance];
        let version = Version { numbers, detail: text(&version.detail) };
        let emulator = EmulatorFunctions::find(&library).ok();
        let poison = OnceLock::new();
        let inner = Inner { calls, later, emulator, version, cores, library, lane, poison };
        Ok(Runtime { inner: Arc::new(inner) })
    }

    /// The version of the library.
    pub fn version(&self) -> &Version {
        &self.inner.version
    }

    /// Whether programs can be queued behind each other without a thread that waits.
    pub fn is_async(&self) -> bool {
        self.inner.later.is_some()
    }

    /// What the emulator offers besides, where this is no chip but the emulator.
    pub fn emulator(&self) -> Option<Emulator> {
        self.inner.emulator.map(|functions| Emulator { _runtime: self.clone(), functions })
    }

    /// The machine.
    pub fn instance(&self) -> Result<Instance, Error> {
        let mut info = sys::InstanceInfo::default();
        let size = size_of::<sys::InstanceInfo>();
        // SAFETY: the runtime is started as long as `inner` lives, and the size is that of what is pointed to.
        let ask = |calls: &Functions| unsafe { calls.nrt_get_instance_info(&mut info, size) };
        self.inner.call(&self.inner.lane, ask)?;
        let (architecture, revision) = (text(&info.arch_name), text(&info.device_revision));
        Ok(Instance { family: info.family, size: info.size, architecture, revision })
    }

    /// How many logical cores this process sees; they are numbered from 0.
    pub fn cores(&self) -> u32 {
        self.inner.cores
    }

    /// A core of this process.
    pub fn core(&self, core: u32) -> Result<Core, Error> {
        if core >= self.inner.cores {
            return Err(Error::NoCore { core, visible: self.inner.cores });
        }
        Core::new(&self.inner, core)
    }
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

    /// Frees something on a lane. After poisoning it is left to the end of the process, as all that was begun is.
    /// A failure to free leaves it there as well: nothing else can be done.
    pub fn release(&self, lane: &Lane, free: impl FnOnce(&Functions) -> Result<(), Error> + Send) {
        drop(self.call(lane, free));
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
        self.release(&self.lane, |calls| unsafe { calls.nrt_close() });
        if self.healthy().is_ok() {
            self.library.release();
        }
    }
}

/// Libraries that are started. There are several only where there are copies, each with variables of its own.
static STARTED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

impl Library {
    fn claim(&self) -> Result<(), Error> {
        let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
        if started.contains(&self.id()) {
            return Err(Error::InUse);
        }
        started.push(self.id());
        Ok(())
    }

    fn release(&self) {
        STARTED.lock().unwrap_or_else(PoisonError::into_inner).retain(|&id| id != self.id());
    }
}
