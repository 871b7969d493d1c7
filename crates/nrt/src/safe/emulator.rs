//! What the emulator offers besides libnrt's functions: counts, simulated time, and failures on demand.

use super::runtime::Runtime;
use super::tensor::c_name;
use crate::error::Error;
use crate::status::Status;
pub use crate::sys::Counts;
use crate::sys::EmulatorFunctions;

/// The emulator behind a runtime. Times that it gives are simulated, never measured.
pub struct Emulator {
    /// Kept, so that the emulator is not closed.
    pub(crate) _runtime: Runtime,
    pub(crate) functions: EmulatorFunctions,
}

impl Emulator {
    /// What was counted since the library was opened.
    pub fn counts(&self) -> Result<Counts, Error> {
        let mut counts = Counts::default();
        // SAFETY: the size is that of what is pointed to.
        unsafe { self.functions.polysilicon_emulator_counts(&mut counts, size_of::<Counts>())? };
        Ok(counts)
    }

    /// Has a function of libnrt give a status: `skip` calls of it go well, then so many `times` it fails. A status that
    /// an execution ends with comes as the outcome of one.
    pub fn fail(&self, function: &str, status: Status, skip: u64, times: u64) -> Result<(), Error> {
        let function = c_name(function)?;
        // SAFETY: the name ends in a zero and outlives the call.
        unsafe { self.functions.polysilicon_emulator_fail(function.as_ptr(), status.code(), skip, times) }
    }

    /// Changes a setting of the emulator.
    pub fn set(&self, setting: &str, value: &str) -> Result<(), Error> {
        let (setting, value) = (c_name(setting)?, c_name(value)?);
        // SAFETY: as in `fail`.
        unsafe { self.functions.polysilicon_emulator_set(setting.as_ptr(), value.as_ptr()) }
    }
}
