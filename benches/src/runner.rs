//! Steps driven directly on a device, with page tables of their own: what a scheduler does, without one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use graph::{
    Backend, BackendError, Bucket, BucketPolicy, Budget, Executor, Feed, Fetch, Graph, GroupFeed, PageId,
    ProgramId, ProgramSpec, Row, Sampling, StepCounts, Token,
};
use polysilicon::Error;
use tensor::WeightSource;

use crate::schedule::{CHUNK, Part, Step};

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
    programs: HashMap<Bucket, ProgramId>,
    /// Pages of each sequence, in each group.
    pages: u32,
    fetch: Fetch,
}

impl Runner {
    /// Loads the weights and makes room. The threads are those this is called with.
    pub fn open(
        backend: &dyn Backend,
        graph: Graph,
        source: &dyn WeightSource,
        room: Room,
    ) -> Result<Runner, Error> {
        let weights = backend.load(&graph, source)?;
        let (buckets, pages) = (backend.caps().buckets, room.context.div_ceil(graph.page_len));
        let tokens = CHUNK.max(room.seqs);
        let bucket = Bucket { tokens, seqs: room.seqs, queries: 0, pages, rows: room.seqs };
        let wanted = pages.saturating_mul(room.seqs).saturating_add(1);
        let wanted = vec![wanted; graph.groups.len()];
        let budget = Budget { bytes: None, bucket: buckets.round(bucket), pages: wanted };
        let executor = backend.open(&graph, weights, &budget)?;
        if executor.pages().iter().zip(&budget.pages).any(|(given, wanted)| given < wanted) {
            let needed = (0..).zip(&budget.pages);
            let needed = needed
                .map(|(group, &pages)| graph.page_bytes(graph::GroupId(group)) * u64::from(pages))
                .sum();
            let (device, what) = (backend.caps().name, "keys and values of all sequences");
            return Err(BackendError::Memory { device, what, needed, available: 0 }.into());
        }
        Ok(Runner { graph, executor, buckets, programs: HashMap::new(), pages, fetch: Fetch::default() })
    }

    /// The graph that runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Runs steps one after another; how long they took, without what is done once per program.
    pub fn run(&mut self, steps: &[Step]) -> Result<Duration, Error> {
        steps.iter().map(|step| self.step(step)).sum()
    }

    fn step(&mut self, step: &Step) -> Result<Duration, Error> {
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
        let program = self.program(bucket)?;
        let start = Instant::now();
        let launched = self.executor.launch(program, &Feed { counts: &counts, ..feed })?;
        self.executor.finish(launched, &mut self.fetch)?;
        Ok(start.elapsed())
    }

    fn program(&mut self, bucket: Bucket) -> Result<ProgramId, Error> {
        if let Some(&program) = self.programs.get(&bucket) {
            return Ok(program);
        }
        let program = self.executor.compile(&ProgramSpec { bucket, ..ProgramSpec::default() })?;
        self.programs.insert(bucket, program);
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
    use polysilicon::{Choices, DType, Device};

    use super::*;
    use crate::{Layers, attention, decode, linear, prefill};

    fn runner(made: crate::Made, room: Room) -> Runner {
        let backend = Device::Reference.backend(&Choices::default()).unwrap();
        Runner::open(&*backend, made.graph, &made.source, room).unwrap()
    }

    #[test]
    fn sequences_keep_to_their_own_pages() {
        let layers = Layers { count: 1, heads: 2, kv_heads: 1, width: 8 };
        let room = Room { seqs: 3, context: 40 };
        let mut runner = runner(attention(layers, DType::F32), room);
        let mut slots = vec![];
        for step in decode(3, 0..40) {
            let vectors = runner.vectors(&step);
            slots.extend(vectors.tables[0].slots.clone());
            for (sequence, pages) in
                (0..).zip(vectors.tables[0].pages.chunks(vectors.tables[0].width as usize))
            {
                let own = 1 + 3 * sequence..4 + 3 * sequence;
                assert!(pages.iter().all(|page| own.contains(&page.0)), "{pages:?} of {sequence}");
            }
        }
        slots.sort_unstable();
        slots.dedup();
        assert_eq!(slots.len(), 3 * 40, "no slot is shared");
        assert!(slots.iter().all(|slot| (16..16 * 10).contains(slot)), "the bin is left alone");
        let time =
            [prefill(2, 0..37), decode(3, 37..40)].into_iter().map(|steps| runner.run(&steps).unwrap());
        assert!(time.sum::<Duration>() > Duration::ZERO);
    }

    #[test]
    fn a_chunk_ends_where_its_tokens_one_by_one_do() {
        let layers = Layers { count: 2, heads: 2, kv_heads: 2, width: 8 };
        let room = Room { seqs: 2, context: 64 };
        let mut sampled = vec![];
        for steps in [prefill(1, 0..33), (0..33).flat_map(|at| prefill(1, at..at + 1)).collect()] {
            let mut runner = runner(attention(layers, DType::F32), room);
            runner.run(&steps).unwrap();
            sampled.push(runner.fetch.sampled[0]);
        }
        assert_eq!(sampled[0].id, sampled[1].id);
    }

    #[test]
    fn products_of_every_weight_type_run() {
        for dtype in DType::weights() {
            let mut runner = runner(linear(dtype, 256, 2), Room { seqs: 1, context: 16 });
            runner.run(&prefill(0, 0..5)).unwrap();
            assert!(runner.fetch.sampled[0].logprob.is_finite(), "{dtype}");
        }
    }
}
