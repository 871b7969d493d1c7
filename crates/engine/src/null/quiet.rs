//! A device that does nothing, looks at nothing and costs nothing: what is measured on it is the engine.

use std::collections::VecDeque;
use std::io::{Read, Write};

use graph::{
    BackendError, Executor, Feed, Fetch, GroupId, PageId, PlanReport, ProgramId, ProgramSpec, Sampled, StepId,
};

use super::no_bytes;

/// The device: every row becomes the same token.
#[derive(Debug)]
pub struct Quiet {
    pages: Vec<u32>,
    token: u32,
    step_ns: u64,
    programs: u32,
    steps: u64,
    /// Rows of the steps in flight.
    rows: VecDeque<usize>,
}

impl Quiet {
    /// A device of these pages that makes this token.
    pub fn new(pages: Vec<u32>, token: u32) -> Quiet {
        let rows = VecDeque::with_capacity(2);
        Quiet { pages, token, step_ns: 0, programs: 0, steps: 0, rows }
    }

    /// The same, which says that each step takes so long, however many tokens it has.
    #[must_use]
    pub fn slow(mut self, step_ns: u64) -> Quiet {
        self.step_ns = step_ns;
        self
    }
}

impl Executor for Quiet {
    fn pages(&self) -> &[u32] {
        &self.pages
    }

    fn compile(&mut self, _spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        self.programs += 1;
        Ok(ProgramId(self.programs - 1))
    }

    fn forget(&mut self, _program: ProgramId) {}

    fn launch(&mut self, _program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        self.rows.push_back(feed.rows.len());
        self.steps += 1;
        Ok(StepId(self.steps - 1))
    }

    fn finish(&mut self, _step: StepId, fetch: &mut Fetch) -> Result<(), BackendError> {
        let rows = self.rows.pop_front().unwrap_or(0);
        fetch.device_ns = self.step_ns;
        fetch.sampled.extend((0..rows).map(|_| Sampled { id: self.token, logprob: 0.0 }));
        Ok(())
    }

    fn export(&self, _: GroupId, _: &[PageId], _: &mut dyn Write) -> Result<(), BackendError> {
        Err(no_bytes())
    }

    fn import(&mut self, _: GroupId, _: &[PageId], _: &mut dyn Read) -> Result<(), BackendError> {
        Err(no_bytes())
    }

    fn report(&self, _program: ProgramId) -> PlanReport {
        PlanReport::default()
    }
}
