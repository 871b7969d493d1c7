//! The emulator's remote control, for tests: failures on demand and settings of a library that is open.

use std::ffi::{CString, c_char, c_int, c_void};
use std::mem::transmute;
use std::path::Path;

use crate::abi::Code;

type Fail = unsafe extern "C" fn(*const c_char, Code, u64, u64) -> Code;
type Set = unsafe extern "C" fn(*const c_char, *const c_char) -> Code;

/// A library of the emulator.
pub struct Control {
    fail: Fail,
    set: Set,
}

impl Control {
    /// The library at a path: the very one that others have opened by that path.
    ///
    /// # Panics
    /// Where there is none, or it is not the emulator: a test cannot go on without.
    pub fn open(path: &Path) -> Control {
        let name = CString::new(path.to_string_lossy().as_bytes()).expect("a path holds no zero");
        // SAFETY: the name ends in a zero; what is opened is the emulator, which has no initializers.
        let library = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
        assert!(!library.is_null(), "{} cannot be opened", path.display());
        let find = |symbol: &std::ffi::CStr| {
            // SAFETY: the library is open and the name ends in a zero.
            let found = unsafe { libc::dlsym(library, symbol.as_ptr()) };
            assert!(!found.is_null(), "{} is not the emulator", path.display());
            found
        };
        let (fail, set) = (find(c"polysilicon_emulator_fail"), find(c"polysilicon_emulator_set"));
        // SAFETY: the emulator's functions of these names have these types.
        unsafe {
            Control { fail: transmute::<*mut c_void, Fail>(fail), set: transmute::<*mut c_void, Set>(set) }
        }
    }

    /// Has a function of libnrt give a status: `skip` calls of it go well, then so many `times` it fails. A status that
    /// an execution ends with comes as the outcome of one.
    pub fn fail(&self, function: &str, status: c_int, skip: u64, times: u64) {
        let name = CString::new(function).expect("a function's name holds no zero");
        // SAFETY: the name ends in a zero and outlives the call.
        let code = unsafe { (self.fail)(name.as_ptr(), status, skip, times) };
        assert_eq!(code, 0, "{status} is no failure");
    }

    /// Changes a setting; those of the machine itself count when it is started next.
    pub fn set(&self, setting: &str, value: &str) {
        let text = |text: &str| CString::new(text).expect("a setting holds no zero");
        let (name, value_text) = (text(setting), text(value));
        // SAFETY: both texts end in a zero and outlive the call.
        let code = unsafe { (self.set)(name.as_ptr(), value_text.as_ptr()) };
        assert_eq!(code, 0, "{setting} cannot be {value}");
    }
}
