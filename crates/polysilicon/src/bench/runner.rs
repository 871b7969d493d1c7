//! Steps driven directly on a device, with page tables of their own: what a scheduler does, without one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use graph::{
    Backend, BackendError, Bucket, BucketPolicy, Budget, Caps, Executor, Feed, Fetch, Graph, GroupFeed,
    PageId, PlanReport, ProgramId, ProgramSpec, Row, Sampling, StepCounts, Token, Weights,
};
use tensor::WeightSource;

use super::{CHUNK, Part, Step};
use crate::Error;

/// What there must be room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Sequences in one step.
    pub seqs: u32,
    /// Positions of each.
    pub context: u32,
}

/// An executor whose sequences each own a fixed range of pages.
pub struct Runner {
    graph: Graph,
    executor: Box<dyn Executor>,
    buckets: BucketPolicy,
    /// The most tokens of a prompt in one step.
    chunk: u32,
    programs: HashMap<ProgramSpec, ProgramId>,
    /// Pages of each sequence, in each group.
    pages: u32,
    fetch: Fetch,
    /// Experts that each step of the last run touched, where the device counts them.
    touched: Vec<Option<u32>>,
    /// Whether time is what the device says, and not what passes.
    simulated: bool,
}

impl Room {
    /// What to open a device with. Pages behind a window are not given up.
    fn budget(self, graph: &Graph, backend: &dyn Backend, chunk: u32, bytes: Option<u64>) -> Budget {
        let Room { seqs, context } = self;
        let pages = context.div_ceil(graph.page_len);
        let tokens = chunk.min(context).max(seqs);
        let bucket = backend.caps().buckets.round(Bucket { tokens, seqs, queries: 0, pages, rows: seqs });
        let wanted = pages.saturating_mul(seqs).saturating_add(1);
        Budget { bytes, bucket, pages: vec![wanted; graph.groups.len()] }
    }
}

impl Runner {
    /// Loads the weights and makes room. The threads are those this is called with.
    pub fn open(
        backend: &dyn Backend,
        graph: Graph,
        source: &dyn WeightSource,
        room: Room,
    ) -> Result<Runner, Error> {
        Runner::within(backend, graph, room, None, |graph| Ok(backend.load(graph, source)?))
    }

    /// As [`Runner::open`], within so many bytes: what they do not hold is refused before weights are loaded.
    pub(crate) fn within(
        backend: &dyn Backend,
        graph: Graph,
        room: Room,
        bytes: Option<u64>,
        load: impl FnOnce(&Graph) -> Result<Arc<dyn Weights>, Error>,
    ) -> Result<Runner, Error> {
        let Caps { buckets, name: device, .. } = *backend.caps();
        let chunk = backend.chunk().unwrap_or(CHUNK);
        let budget = room.budget(&graph, backend, chunk, bytes);
        let needs = backend.needs(&graph, &budget.bucket)?.bytes();
        if budget.fit(&graph, needs, device)? != budget.pages {
            let (needed, available) =
                (needs.saturating_add(graph.pages_bytes(&budget.pages)), bytes.unwrap_or(0));
            let what = "weights, work space, and keys and values of all sequences";
            return Err(BackendError::Memory { device, what, needed, available }.into());
        }
        let executor = backend.open(&graph, load(&graph)?, &budget)?;
        let pages = room.context.div_ceil(graph.page_len);
        let (programs, fetch, simulated) = (HashMap::new(), Fetch::default(), backend.is_emulated());
        let touched = vec![];
        Ok(Runner { graph, executor, buckets, chunk, programs, pages, fetch, touched, simulated })
    }

    /// The graph that runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The most tokens of a prompt in one step.
    pub fn chunk(&self) -> u32 {
        self.chunk
    }

    /// What the last step gave.
    pub fn fetch(&self) -> &Fetch {
        &self.fetch
    }

    /// What steps hold, with the experts that they touched if it was they that ran last.
    pub fn counts(&self, steps: &[Step]) -> Vec<StepCounts> {
        let touched = self.touched.iter().copied().chain(std::iter::repeat(None));
        let counts = |(step, touched): (&Step, _)| step.counts(&self.graph).touching(&self.graph, touched);
        steps.iter().zip(touched).map(counts).collect()
    }

    /// Runs steps one after another; how long they took, without what is done once per program.
    pub fn run(&mut self, steps: &[Step]) -> Result<Duration, Error> {
        self.touched.clear();
        steps.iter().map(|step| Ok(self.step(step, false)?.1)).sum()
    }

    /// As [`Runner::run`], each kernel timed on its own; `told` is given what each step did.
    pub fn run_timed(&mut self, steps: &[Step], told: &mut dyn FnMut(PlanReport)) -> Result<Duration, Error> {
        self.touched.clear();
        let mut step = |step| {
            let (program, time) = self.step(step, true)?;
            told(self.executor.report(program));
            Ok(time)
        };
        steps.iter().map(&mut step).sum()
    }

    fn step(&mut self, step: &Step, timed: bool) -> Result<(ProgramId, Duration), Error> {
        let vectors = self.vectors(step);
        let sampling = Sampling::default();
        let row = |token| Row::new(token, &sampling);
        let Vectors { tokens, positions, sequences, last, tables } = &vectors;
        let rows = last.iter().filter(|_| step.sampled).map(|&token| row(token)).collect::<Vec<_>>();
        let groups = tables.iter().map(Table::feed).collect::<Vec<_>>();
        // Padding is known once the bucket is, and the bucket follows from all the rest.
        let unpadded = step.counts(&self.graph);
        let feed = Feed {
            tokens,
            positions,
            sequences,
            rows: &rows,
            groups: &groups,
            copies: &[],
            patches: &[],
            counts: &unpadded,
        };
        let bucket = self.buckets.round(feed.bucket());
        let counts = StepCounts { padding: bucket.tokens - unpadded.tokens, ..unpadded.clone() };
        let program = self.program(ProgramSpec { bucket, timed, ..ProgramSpec::default() })?;
        let start = Instant::now();
        let launched = self.executor.launch(program, &Feed { counts: &counts, ..feed })?;
        self.executor.finish(launched, &mut self.fetch)?;
        self.touched.push(self.fetch.experts_touched);
        let time = if self.simulated { Duration::from_nanos(self.fetch.device_ns) } else { start.elapsed() };
        Ok((program, time))
    }

    fn program(&mut self, spec: ProgramSpec) -> Result<ProgramId, Error> {
        if let Some(&program) = self.programs.get(&spec) {
            return Ok(program);
        }
        let program = self.executor.compile(&spec)?;
        self.programs.insert(spec, program);
        Ok(program)
    }

    fn vectors(&self, step: &Step) -> Vectors {
        let width = step.parts.iter().map(|part| part.positions.end.div_ceil(self.graph.page_len)).max();
        let table = Table { width: width.unwrap_or(0), ..Table::default() };
        let tables = vec![table; self.graph.groups.len()];
        let mut vectors = Vectors { tables, ..Vectors::default() };
        for (index, part) in (0..).zip(&step.parts) {
            self.push(&mut vectors, index, part);
        }
        vectors
    }

    fn push(&self, vectors: &mut Vectors, index: u32, part: &Part) {
        let page_len = self.graph.page_len;
        let first = 1 + part.sequence * self.pages;
        for position in part.positions.clone() {
            vectors.tokens.push(Token::Host(self.token(part.sequence, position)));
            vectors.positions.push(position);
            vectors.sequences.push(index);
        }
        vectors.last.push(vectors.tokens.len() as u32 - 1);
        for table in &mut vectors.tables {
            table.pages.extend((first..first + table.width).map(PageId));
            table.base.push(0);
            // A sequence's pages follow one another, so its slots do too.
            table.slots.extend(part.positions.clone().map(|position| first * page_len + position));
        }
    }

    /// Ids spread over the vocabulary, so that experts are chosen as variously as they ever are.
    fn token(&self, sequence: u32, position: u32) -> u32 {
        (u64::from(position + sequence) * 7919 + 13) as u32 % self.graph.vocab
    }
}

/// The vectors behind a feed.
#[derive(Default)]
struct Vectors {
    tokens: Vec<Token>,
    positions: Vec<u32>,
    sequences: Vec<u32>,
    /// The last token of each part.
    last: Vec<u32>,
    tables: Vec<Table>,
}

/// The vectors behind a group's part of a feed.
#[derive(Clone, Default)]
struct Table {
    width: u32,
    pages: Vec<PageId>,
    base: Vec<u32>,
    slots: Vec<u32>,
}

impl Table {
    fn feed(&self) -> GroupFeed<'_> {
        GroupFeed { table: &self.pages, width: self.width, base: &self.base, slots: &self.slots }
    }
}

#[cfg(test)]
mod tests {
    use tensor::DType;

    use super::*;
    use crate::bench::{decode, prefill};
    use crate::{Choices, Device, Opened};

    fn runner(device: Device, room: Room) -> Runner {
        let backend = device.backend(&Choices::default()).unwrap();
        let opened = Opened::find("embedded", None).unwrap();
        Runner::open(&*backend, opened.graph(DType::F32).unwrap(), &**opened.source(), room).unwrap()
    }

    #[test]
    fn sequences_keep_to_their_own_pages() {
        let mut runner = runner(Device::Cpu, Room { seqs: 3, context: 40 });
        let mut slots = vec![];
        for step in decode(3, 0..40) {
            let vectors = runner.vectors(&step);
            slots.extend(vectors.tables[0].slots.clone());
            let width = vectors.tables[0].width as usize;
            for (sequence, pages) in (0..).zip(vectors.tables[0].pages.chunks(width)) {
                let own = 1 + 3 * sequence..4 + 3 * sequence;
                assert!(pages.iter().all(|page| own.contains(&page.0)), "{pages:?} of {sequence}");
            }
        }
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 3 * 40, "no slot is shared");
        assert!(slots.iter().all(|slot| (16..16 * 10).contains(slot)), "the bin is left alone");
        for steps in [prefill(2, 0..37), decode(3, 37..40)] {
            assert!(runner.run(&steps).unwrap() > Duration::ZERO);
        }
    }

    #[test]
    fn a_chunk_ends_where_its_tokens_one_by_one_do() {
        let mut sampled = vec![];
        for steps in [prefill(1, 0..33), (0..33).flat_map(|at| prefill(1, at..at + 1)).collect()] {
            let mut runner = runner(Device::Reference, Room { seqs: 2, context: 64 });
            runner.run(&steps).unwrap();
            sampled.push(runner.fetch().sampled[0]);
        }
        assert_eq!(sampled[0].id, sampled[1].id);
    }

    #[test]
    fn only_a_timed_step_tells_its_times() {
        let mut runner = runner(Device::Cpu, Room { seqs: 1, context: 16 });
        let steps = decode(1, 0..2);
        let mut reports = vec![];
        let time = runner.run_timed(&steps, &mut |report| reports.push(report)).unwrap();
        assert_eq!(reports.len(), 2);
        for report in &reports {
            let times = report.lines.iter().map(|line| line.measured_ns.expect("each kernel is timed"));
            let sum = times.sum::<f64>();
            assert!(sum > 0.0 && sum <= time.as_nanos() as f64, "{sum} ns of {time:?}");
        }
        // The second step sees one position more.
        let read = |place: usize| reports[place].lines.iter().map(|line| line.work.state_bytes).sum::<f64>();
        assert!(read(1) > read(0));
        runner.run(&steps).unwrap();
        let timed = |spec: &ProgramSpec| spec.timed;
        assert_eq!(runner.programs.keys().filter(|spec| timed(spec)).count(), 1);
        assert_eq!(runner.programs.keys().filter(|spec| !timed(spec)).count(), 1);
    }
}
