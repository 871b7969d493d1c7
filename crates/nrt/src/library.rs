//! Finding and opening libnrt.
//!
//! `libc` is a dependency already, so `dlopen` is called directly; what a crate for it would add, unloading with
//! lifetimes, is not wanted: libnrt has threads of its own and is never unloaded.

use std::ffi::{CStr, CString, c_void};
use std::path::Path;

use crate::error::Error;

/// Where libnrt is looked for where no path is given: where AWS's package puts it, then wherever the loader looks.
pub const PLACES: [&str; 2] = ["/opt/aws/neuron/lib/libnrt.so.1", "libnrt.so.1"];

/// An opened libnrt.
#[derive(Debug)]
pub struct Library {
    handle: *mut c_void,
    name: String,
}

// SAFETY: a handle of the loader is an address that any thread may look symbols up with.
unsafe impl Send for Library {}
// SAFETY: as above; the loader locks for itself.
unsafe impl Sync for Library {}

impl Library {
    /// Opens libnrt at a path, or in the first of [`PLACES`] that has it.
    pub fn open(path: Option<&Path>) -> Result<Library, Error> {
        let given = path.map(|path| path.to_string_lossy().into_owned());
        let places = given.map_or(PLACES.map(str::to_owned).to_vec(), |path| vec![path]);
        let mut tried = Vec::new();
        for name in places {
            match load(&name) {
                Ok(handle) => return Ok(Library { handle, name }),
                Err(why) => tried.push(why),
            }
        }
        Err(Error::NoLibrary { tried: tried.join("; ") })
    }

    /// The same for all who opened the same library.
    pub(crate) fn number(&self) -> usize {
        self.handle.addr()
    }

    /// A pointer to the function of a name.
    ///
    /// # Safety
    /// `F` must be the type of a pointer to that function.
    pub unsafe fn find<F: Copy>(&self, symbol: &'static str) -> Result<F, Error> {
        assert_eq!(size_of::<F>(), size_of::<*mut c_void>(), "a function's address is as wide as a pointer");
        let name = CString::new(symbol).expect("no function's name holds a zero");
        // SAFETY: the handle is open for the life of the process and the name ends in a zero.
        let address = unsafe { libc::dlsym(self.handle, name.as_ptr()) };
        if address.is_null() {
            return Err(Error::NoFunction { library: self.name.clone(), symbol });
        }
        // SAFETY: the sizes agree, and the caller promises the type.
        Ok(unsafe { std::mem::transmute_copy(&address) })
    }
}

#[cfg(target_os = "linux")]
fn load(name: &str) -> Result<*mut c_void, String> {
    let c_name = CString::new(name).map_err(|_| format!("{name:?} holds a zero byte"))?;
    // SAFETY: the name ends in a zero. The library's initializers run; it is AWS's runtime or what the user named.
    let handle = unsafe { libc::dlopen(c_name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    if !handle.is_null() {
        return Ok(handle);
    }
    // SAFETY: the text that `dlerror` gives stays until this thread calls the loader again, and is copied before.
    let text = unsafe {
        let text = libc::dlerror();
        if text.is_null() { name.into() } else { CStr::from_ptr(text).to_string_lossy() }
    };
    Err(text.into_owned())
}

#[cfg(not(target_os = "linux"))]
fn load(_: &str) -> Result<*mut c_void, String> {
    Err("libnrt is made for Linux alone".to_owned())
}
