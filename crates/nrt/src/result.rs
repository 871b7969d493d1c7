//! libnrt's functions with statuses as errors. Handles are still pointers: what they promise is the caller's to keep,
//! and the handles above this layer keep it.

use std::ffi::{c_char, c_int, c_void};
use std::ptr::{NonNull, null_mut};

use crate::error::Error;
use crate::status::Status;
use crate::sys::*;

/// Methods that call the functions of a table and check their statuses.
macro_rules! results {
    ($table:ident; $(fn $name:ident($($arg:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        /// # Safety
        /// Of every function: handles are alive and of this library, pointers point to what the documentation says for
        /// as long as it says, the tensors of a set live as long as the set, and nothing but the version and the counts
        /// of cores is asked for before the start or after the end.
        #[allow(missing_docs, clippy::missing_safety_doc, clippy::too_many_arguments, reason = "as in AWS's headers")]
        impl $table {
            $(pub unsafe fn $name(&self, $($arg: $type),*) -> Result<(), Error> {
                // SAFETY: the caller promises what is said above.
                unsafe { (self.$name)($($arg),*) }.check(stringify!($name))
            })*
        }
    };
}

functions!(results);
async_functions!(results);
emulator_functions!(results);

/// What a function returns: a status, or nothing.
pub(crate) trait Outcome {
    fn check(self, call: &'static str) -> Result<(), Error>;
}

impl Outcome for Code {
    fn check(self, call: &'static str) -> Result<(), Error> {
        Status::of(self).map_or(Ok(()), |status| Err(Error::Call { call, status }))
    }
}

impl Outcome for () {
    fn check(self, _: &'static str) -> Result<(), Error> {
        Ok(())
    }
}

/// What libnrt gave a name by its address.
#[derive(Clone, Copy)]
pub struct Handle<T>(NonNull<T>);

// SAFETY: it is an address that is only handed back to libnrt, which may be called from any thread.
unsafe impl<T> Send for Handle<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for Handle<T> {}

impl<T> Handle<T> {
    /// The handle that a function leaves where it is told to.
    pub fn made(make: impl FnOnce(&mut *mut T) -> Result<(), Error>) -> Result<Handle<T>, Error> {
        let mut handle = null_mut();
        make(&mut handle)?;
        let missing = Error::Call { call: "a function that makes a handle", status: Status::Failure };
        NonNull::new(handle).map(Handle).ok_or(missing)
    }

    /// As libnrt takes it.
    pub fn as_ptr(self) -> *mut T {
        self.0.as_ptr()
    }
}

/// The text in a field of C, up to its zero or its end.
pub fn text(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}
