//! Steps, one after another on the caller's thread: a launched step is done when `launch` returns.

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Instant;

use graph::{
    BackendError, Budget, Executor, Feed, Fetch, Graph, GroupId, Inputs, PageId, Place, PlanReport,
    ProgramId, ProgramSpec, Sampler, StepId,
};

use crate::array::Array;
use crate::program::Program;
use crate::run::run;
use crate::weights::CandleWeights;
use crate::{NAME, failed, pages, unsupported};

/// Most steps launched and not yet finished.
const IN_FLIGHT: usize = 2;

/// Runs one graph.
pub(crate) struct CandleExecutor {
    graph: Graph,
    weights: Arc<CandleWeights>,
    pages: Vec<u32>,
    states: Vec<Array>,
    programs: Vec<Option<Program>>,
    sampler: Sampler,
    /// Steps done and not yet fetched.
    done: Vec<(StepId, Fetch)>,
    /// What the step launched last sampled.
    previous: Vec<u32>,
    steps: u64,
}

impl CandleExecutor {
    pub(crate) fn open(
        graph: &Graph,
        weights: Arc<CandleWeights>,
        budget: &Budget,
    ) -> Result<CandleExecutor, BackendError> {
        if weights.arrays.len() != graph.weights.len() {
            let reason = format!("the graph reads {}", graph.weights.len());
            return Err(unsupported(format!("these {} weights", weights.arrays.len()), reason));
        }
        let taken = graph::Weights::bytes(&*weights).saturating_add(graph.value_bytes(&budget.bucket));
        let pages = budget.fit(graph, taken, NAME)?;
        Ok(CandleExecutor {
            graph: graph.clone(),
            weights,
            states: pages::open(graph, &pages)?,
            pages,
            programs: vec![],
            sampler: Sampler::default(),
            done: vec![],
            previous: vec![],
            steps: 0,
        })
    }

    fn program(&self, id: ProgramId) -> Result<&Program, BackendError> {
        let program = self.programs.get(id.0 as usize).and_then(Option::as_ref);
        program.ok_or_else(|| unsupported(format!("program {}", id.0), "it was never compiled here"))
    }

    /// What main takes, in the order of its parameters.
    fn arguments(&self, program: &Program, inputs: &Inputs<'_>) -> Result<Vec<Array>, BackendError> {
        let mut filled = vec![];
        let mut argument = |place| match place {
            Place::Input(input) => {
                inputs.fill(input, &mut filled);
                let shape = input.ty().bind(&inputs.bucket).dims.shape();
                let shape = shape.expect("a bucket binds every input");
                Array::from_i32s(&shape, filled.clone()).map_err(failed)
            }
            Place::Weight(place) => Ok(self.weights.arrays[place].clone()),
            Place::State(place) => Ok(self.states[place].clone()),
            place => Err(unsupported(&self.graph.name, format!("its main function takes {place:?}"))),
        };
        program.graph.given().map(&mut argument).collect()
    }

    /// Samples every row of `[R, V]` logits.
    fn sample(&mut self, logits: &Array, feed: &Feed<'_>, fetch: &mut Fetch) -> Result<(), BackendError> {
        let (vocab, logits) = (logits.shape().row_len(), logits.to_f32s().map_err(failed)?);
        for (row, logits) in feed.rows.iter().zip(logits.chunks(vocab.max(1))) {
            self.sampler.sample(logits, row, fetch);
        }
        Ok(())
    }

    fn states_of(&self, group: GroupId) -> impl Iterator<Item = &Array> {
        let states = self.graph.states.iter().zip(&self.states);
        states.filter(move |(spec, _)| spec.group == group).map(|(_, state)| state)
    }

    fn check_pages(&self, group: GroupId, pages: &[PageId]) -> Result<(), BackendError> {
        let count = self.pages.get(group.index()).copied().unwrap_or(0);
        match pages.iter().find(|page| page.0 >= count) {
            Some(page) => {
                Err(unsupported(format!("page {}", page.0), format!("the group has {count} pages")))
            }
            None => Ok(()),
        }
    }
}

impl Executor for CandleExecutor {
    fn pages(&self) -> &[u32] {
        &self.pages
    }

    fn compile(&mut self, spec: &ProgramSpec) -> Result<ProgramId, BackendError> {
        self.programs.push(Some(Program::compile(&self.graph, spec)?));
        Ok(ProgramId(self.programs.len() as u32 - 1))
    }

    fn forget(&mut self, program: ProgramId) {
        self.programs[program.0 as usize] = None;
    }

    fn launch(&mut self, program: ProgramId, feed: &Feed<'_>) -> Result<StepId, BackendError> {
        let start = Instant::now();
        if self.done.len() == IN_FLIGHT {
            return Err(unsupported("a third step", "two are in flight; finish one first"));
        }
        let program = self.program(program)?;
        let inputs = Inputs { bucket: program.spec.bucket, feed, previous: &self.previous };
        inputs.check(NAME, &self.graph, &self.pages)?;
        program.spec.check_patches(NAME, &program.graph, feed.patches)?;
        let args = self.arguments(program, &inputs)?;
        for copy in feed.copies {
            for state in self.states_of(copy.group) {
                pages::copy(state, copy.from, copy.to).map_err(failed)?;
            }
        }
        let (mut results, taps) = run(program, args, feed.patches).map_err(failed)?;
        if results.len() != 1 + self.states.len() {
            return Err(unsupported(
                &self.graph.name,
                "its main function does not give logits and all states",
            ));
        }
        self.states = results.split_off(1);
        let mut fetch = Fetch { taps, ..Fetch::default() };
        self.sample(&results[0], feed, &mut fetch)?;
        self.previous = fetch.sampled.iter().map(|sampled| sampled.id).collect();
        fetch.device_ns = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.steps += 1;
        self.done.push((StepId(self.steps), fetch));
        Ok(StepId(self.steps))
    }

    fn finish(&mut self, step: StepId, fetch: &mut Fetch) -> Result<(), BackendError> {
        let place = self.done.iter().position(|(id, _)| *id == step);
        let reason = || format!("step {} is not in flight", step.0);
        let place = place.ok_or_else(|| BackendError::Device { device: NAME, reason: reason() })?;
        *fetch = self.done.remove(place).1;
        Ok(())
    }

    fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError> {
        self.check_pages(group, pages)?;
        for state in self.states_of(group) {
            pages.iter().try_for_each(|&page| pages::export(state, page, out))?;
        }
        Ok(())
    }

    fn import(&mut self, group: GroupId, pages: &[PageId], from: &mut dyn Read) -> Result<(), BackendError> {
        self.check_pages(group, pages)?;
        for state in self.states_of(group) {
            pages.iter().try_for_each(|&page| pages::import(state, page, from))?;
        }
        Ok(())
    }

    fn report(&self, program: ProgramId) -> PlanReport {
        let program = self.programs[program.0 as usize].as_ref();
        program.expect("a program that was dropped is not used again").report.clone()
    }
}
