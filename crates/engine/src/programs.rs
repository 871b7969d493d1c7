//! Programs that were made, by what they were made for.

use std::collections::HashMap;

use graph::{BackendError, Executor, ProgramId, ProgramSpec};

/// The programs of one executor.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    made: HashMap<ProgramSpec, ProgramId>,
}

impl Programs {
    /// The program of a spec, made where there is none.
    pub(crate) fn find(
        &mut self,
        executor: &mut dyn Executor,
        spec: ProgramSpec,
    ) -> Result<ProgramId, BackendError> {
        if let Some(&program) = self.made.get(&spec) {
            return Ok(program);
        }
        let program = executor.compile(&spec)?;
        self.made.insert(spec, program);
        Ok(program)
    }
}
