//! Programs that were made, by what they were made for, the least used dropped first.

use graph::{BackendError, Executor, ProgramId, ProgramSpec};

use crate::limits::PROGRAMS;

/// The programs of one executor, the one used last at the end.
#[derive(Debug)]
pub(crate) struct Programs {
    made: Vec<(ProgramSpec, ProgramId)>,
}

impl Programs {
    /// None yet.
    pub(crate) fn new() -> Programs {
        Programs { made: Vec::with_capacity(PROGRAMS) }
    }

    /// The program of a spec, made where there is none.
    pub(crate) fn find(
        &mut self,
        executor: &mut dyn Executor,
        spec: ProgramSpec,
    ) -> Result<ProgramId, BackendError> {
        if let Some(place) = self.made.iter().position(|(made, _)| *made == spec) {
            self.made[place..].rotate_left(1);
        } else {
            // Steps in flight run the programs used last, so the first is free to go.
            if self.made.len() == PROGRAMS {
                executor.forget(self.made.remove(0).1);
            }
            let program = executor.compile(&spec)?;
            self.made.push((spec, program));
        }
        Ok(self.made[self.made.len() - 1].1)
    }
}
