//! Prompts fed to an executor by hand, in chunks, with the logits of every position fetched: the step protocol
//! without the engine, so that a failing golden blames the backend or the model and nothing else.

use std::sync::Arc;

use graph::{
    Backend, BackendError, Bucket, Budget, Executor, Feed, Fetch, Graph, Group, GroupCounts, GroupFeed,
    PageId, ProgramId, ProgramSpec, Row, Sampling, StepCounts, StepId, Token, Weights,
};
use tensor::WeightSource;

/// Sequences on one executor.
pub struct Prefill {
    executor: Box<dyn Executor>,
    programs: Vec<(ProgramSpec, ProgramId)>,
    groups: Vec<Group>,
    page_len: u32,
    /// Pages of each sequence.
    pages: u32,
    /// The next position of each sequence.
    positions: Vec<u32>,
}

/// The tokens of a step, with all that a feed says of them.
#[derive(Default)]
struct Step {
    tokens: Vec<Token>,
    positions: Vec<u32>,
    sequences: Vec<u32>,
    slots: Vec<u32>,
    table: Vec<PageId>,
}

impl Prefill {
    /// Loads the graph on a backend, with room for one sequence of `context` positions.
    pub fn open(
        backend: &dyn Backend,
        graph: &Graph,
        source: &dyn WeightSource,
        context: u32,
    ) -> Result<Prefill, BackendError> {
        Prefill::on(backend, graph, backend.load(graph, source)?, 1, context)
    }

    /// Room for some sequences of `context` positions each, on weights that are loaded already.
    pub fn on(
        backend: &dyn Backend,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        sequences: u32,
        context: u32,
    ) -> Result<Prefill, BackendError> {
        let pages = context.div_ceil(graph.page_len);
        let tokens = sequences * context;
        let bucket = Bucket { tokens, seqs: sequences, queries: context, pages, rows: tokens };
        let budget = Budget { bytes: None, bucket, pages: vec![sequences * pages + 1; graph.groups.len()] };
        let executor = backend.open(graph, weights, &budget)?;
        let (groups, page_len) = (graph.groups.clone(), graph.page_len);
        let positions = vec![0; sequences as usize];
        Ok(Prefill { executor, programs: vec![], groups, page_len, pages, positions })
    }

    /// Feeds the next tokens of the first sequence and gives the logits of each, and the taps.
    pub fn feed(&mut self, ids: &[u32], taps: &[String]) -> Result<Fetch, BackendError> {
        self.feed_together(&[(0, ids)], taps)
    }

    /// Feeds the next tokens of some sequences in one step and gives the logits of each token, part after part, and
    /// the taps.
    pub fn feed_together(
        &mut self,
        parts: &[(usize, &[u32])],
        taps: &[String],
    ) -> Result<Fetch, BackendError> {
        let sampling = Sampling::default();
        let row = |token| Row { logits: true, ..Row::new(token, &sampling) };
        let tokens = parts.iter().map(|(_, ids)| ids.len() as u32).sum();
        self.feed_rows(parts, &(0..tokens).map(row).collect::<Vec<_>>(), taps)
    }

    /// As [`Prefill::feed_together`], with rows of the caller's.
    pub fn feed_rows(
        &mut self,
        parts: &[(usize, &[u32])],
        rows: &[Row<'_>],
        taps: &[String],
    ) -> Result<Fetch, BackendError> {
        let tokens = parts.iter().map(|(_, ids)| ids.iter().map(|&id| Token::Host(id)).collect::<Vec<_>>());
        let tokens = tokens.collect::<Vec<_>>();
        let parts = parts.iter().zip(&tokens).map(|(&(sequence, _), tokens)| (sequence, &tokens[..]));
        let step = self.launch(&parts.collect::<Vec<_>>(), rows, taps)?;
        self.fetch(step)
    }

    /// Tokens of the first sequence behind this one, each chosen as a row says. Each step is launched before the one before
    /// it is fetched, and takes its token from that one; `launched` hears of each.
    pub fn follow(
        &mut self,
        id: u32,
        rows: &[Row<'_>],
        launched: &mut dyn FnMut(usize),
    ) -> Result<Vec<u32>, BackendError> {
        let (mut ids, mut before, mut token) = (vec![], None, Token::Host(id));
        for (number, &row) in (1..).zip(rows) {
            let step = self.launch(&[(0, &[token])], &[row], &[])?;
            launched(number);
            if let Some(before) = before.replace(step) {
                ids.push(self.fetch(before)?.sampled[0].id);
            }
            token = Token::Previous(0);
        }
        if let Some(last) = before {
            ids.push(self.fetch(last)?.sampled[0].id);
        }
        Ok(ids)
    }

    /// As [`Prefill::follow`], one step after another, each token brought from the host.
    pub fn follow_alone(&mut self, id: u32, rows: &[Row<'_>]) -> Result<Vec<u32>, BackendError> {
        let (mut ids, mut last) = (vec![], id);
        for &row in rows {
            last = self.feed_rows(&[(0, &[last])], &[row], &[])?.sampled[0].id;
            ids.push(last);
        }
        Ok(ids)
    }

    fn fetch(&mut self, step: StepId) -> Result<Fetch, BackendError> {
        let mut fetch = Fetch::default();
        self.executor.finish(step, &mut fetch)?;
        Ok(fetch)
    }

    fn launch(
        &mut self,
        parts: &[(usize, &[Token])],
        rows: &[Row<'_>],
        taps: &[String],
    ) -> Result<StepId, BackendError> {
        let step = self.step(parts);
        let group = GroupFeed {
            table: &step.table,
            width: self.pages,
            base: &vec![0; parts.len()],
            slots: &step.slots,
        };
        let tokens = step.tokens.len() as u32;
        let counts = StepCounts {
            tokens,
            seqs: parts.len() as u32,
            rows: rows.len() as u32,
            groups: self.groups.iter().map(|group| attended(group, &step)).collect(),
            ..StepCounts::default()
        };
        let feed = Feed {
            tokens: &step.tokens,
            positions: &step.positions,
            sequences: &step.sequences,
            rows,
            groups: &vec![group; self.groups.len()],
            copies: &[],
            patches: &[],
            counts: &counts,
        };
        let program = self.program(feed.bucket(), taps)?;
        let launched = self.executor.launch(program, &feed)?;
        for (sequence, tokens) in parts {
            self.positions[*sequence] += tokens.len() as u32;
        }
        Ok(launched)
    }

    /// Where the tokens of a step stand, and where their states go.
    fn step(&self, parts: &[(usize, &[Token])]) -> Step {
        let mut step = Step::default();
        for (place, &(sequence, tokens)) in (0..).zip(parts) {
            // Pages in reverse, so that nothing works by their order.
            let first = sequence as u32 * self.pages + 1;
            let pages = (first..first + self.pages).rev();
            for (position, &token) in (self.positions[sequence]..).zip(tokens) {
                let page = first + self.pages - 1 - position / self.page_len;
                step.tokens.push(token);
                step.positions.push(position);
                step.sequences.push(place);
                step.slots.push(page * self.page_len + position % self.page_len);
            }
            step.table.extend(pages.map(PageId));
        }
        step
    }

    /// The program for a bucket, made if there is none.
    fn program(&mut self, bucket: Bucket, taps: &[String]) -> Result<ProgramId, BackendError> {
        let spec = ProgramSpec { bucket, taps: taps.to_vec(), ..ProgramSpec::default() };
        if let Some((_, program)) = self.programs.iter().find(|(known, _)| *known == spec) {
            return Ok(*program);
        }
        let program = self.executor.compile(&spec)?;
        self.programs.push((spec, program));
        Ok(program)
    }
}

fn attended(group: &Group, step: &Step) -> GroupCounts {
    let Group::Pages { window } = group;
    let sees = |&p: &u32| u64::from(p + 1).min(window.map_or(u64::MAX, u64::from));
    let mut counts = GroupCounts { attended: step.positions.iter().map(sees).sum(), positions: 0 };
    for (place, position) in step.positions.iter().enumerate() {
        if step.sequences.get(place + 1) != Some(&step.sequences[place]) {
            counts.positions += sees(position);
        }
    }
    counts
}
