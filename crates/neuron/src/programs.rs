//! Where a chip finds the program of a module: in a bundle, among those that were compiled here before, or with the
//! compiler.

use std::path::{Path, PathBuf};

use graph::BackendError;
use hlo::Module;
use neuronx::{Compiler, Job, kept_by_any};

use crate::bundle::{BundleError, Packed};
use crate::{NAME, Target, uncompiled};

/// Where programs come from.
pub(crate) enum Programs {
    /// They are made here, unless they were before.
    Compiled(Compiler),
    /// There is no compiler, and why; what any version made before is taken.
    Kept { folder: PathBuf, absent: String },
    /// They were made elsewhere.
    Packed(Packed),
}

impl Programs {
    /// Those of a compiler and of the folder that it keeps programs in.
    pub(crate) fn of_compiler(command: &Path, folder: &Path, limit: std::time::Duration) -> Programs {
        match Compiler::open(command, folder, limit) {
            Ok(compiler) => Programs::Compiled(compiler),
            Err(absent) => Programs::Kept { folder: folder.to_owned(), absent: absent.to_string() },
        }
    }

    /// The file of a module's program.
    pub(crate) fn find(&self, module: &Module, target: &Target) -> Result<PathBuf, BackendError> {
        let bytes = module.encode();
        let job = Job { name: &module.name, module: &bytes, target };
        match self {
            Programs::Packed(packed) => Ok(packed.program(&bytes)?),
            Programs::Compiled(compiler) => Ok(compiler.compile(&job).map_err(uncompiled)?.path),
            Programs::Kept { folder, absent } => kept_by_any(folder, &job).ok_or_else(|| {
                let reason = format!("a program must be compiled, and {absent}");
                BackendError::Device { device: NAME, reason }
            }),
        }
    }
}

impl From<BundleError> for BackendError {
    fn from(error: BundleError) -> BackendError {
        BackendError::Device { device: NAME, reason: error.to_string() }
    }
}
