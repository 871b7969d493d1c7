//! Kernels compiled by NVRTC, to the device's own code.

use std::ffi::{CString, c_char};

use cudarc::nvrtc::{result, sys};

use super::library;

/// A compiler for one architecture.
#[derive(Clone, Debug)]
pub(super) struct Compiler {
    options: Vec<String>,
    version: (i32, i32),
}

impl Compiler {
    /// The compiler, where there is one.
    pub fn start(arch: &str) -> Result<Compiler, String> {
        library::nvrtc()?;
        let (mut major, mut minor) = (0, 0);
        // SAFETY: it writes two numbers.
        let status = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
        status.result().map_err(|error| format!("NVRTC does not say its version: {error}"))?;
        let options = vec![format!("--gpu-architecture={arch}"), "--std=c++17".to_owned()];
        Ok(Compiler { options, version: (major, minor) })
    }

    /// What decides the code beside the text.
    pub fn identity(&self) -> String {
        format!("nvrtc {}.{} {}", self.version.0, self.version.1, self.options.join(" "))
    }

    /// The code of a text.
    pub fn compile(&self, label: &str, text: &str) -> Result<Vec<u8>, String> {
        let text = CString::new(text).map_err(|_| format!("the text of {label} holds a zero"))?;
        let program =
            result::create_program(&text, None).map_err(|error| format!("NVRTC takes no text: {error}"))?;
        // SAFETY: the program was just made, and is destroyed after its last use.
        let compiled = unsafe { result::compile_program(program, &self.options) };
        let compiled = compiled.map_err(|error| {
            // SAFETY: as above.
            let log = unsafe { result::get_program_log(program) }.unwrap_or_default();
            let log = log.iter().map(|&c| c.cast_unsigned()).take_while(|&c| c != 0).collect::<Vec<_>>();
            format!("{} refuses {label}: {error}\n{}", self.identity(), String::from_utf8_lossy(&log))
        });
        let made = compiled.and_then(|()| {
            // SAFETY: it was compiled just now.
            unsafe { code(program) }.map_err(|error| format!("NVRTC gives no code for {label}: {error}"))
        });
        // SAFETY: as above.
        let _ = unsafe { result::destroy_program(program) };
        made
    }
}

/// # Safety
/// The program was compiled.
unsafe fn code(program: sys::nvrtcProgram) -> Result<Vec<u8>, result::NvrtcError> {
    let mut bytes = 0;
    // SAFETY: the caller promises a program; one number is written.
    unsafe { sys::nvrtcGetCUBINSize(program, &raw mut bytes) }.result()?;
    let mut code = vec![0u8; bytes];
    // SAFETY: so many bytes are written.
    unsafe { sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast::<c_char>()) }.result()?;
    Ok(code)
}
