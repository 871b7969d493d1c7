//! A prompt fed to an executor by hand, in chunks, with the logits of every position fetched: the step protocol
//! without the engine, so that a failing golden blames the backend or the model and nothing else.

use graph::{
    Backend, BackendError, Bucket, Budget, Executor, Feed, Fetch, Graph, Group, GroupCounts, GroupFeed,
    PageId, ProgramSpec, Row, Sampling, StepCounts, Token,
};
use tensor::WeightSource;

/// One sequence on one executor.
pub struct Prefill {
    executor: Box<dyn Executor>,
    groups: Vec<Group>,
    page_len: u32,
    pages: u32,
    position: u32,
}

impl Prefill {
    /// Loads the graph on a backend, with room for `context` positions.
    pub fn open(
        backend: &dyn Backend,
        graph: &Graph,
        source: &dyn WeightSource,
        context: u32,
    ) -> Result<Prefill, BackendError> {
        let pages = context.div_ceil(graph.page_len);
        let bucket = Bucket { tokens: context, seqs: 1, queries: context, pages, rows: context };
        let budget = Budget { bytes: None, bucket, pages: vec![pages + 1; graph.groups.len()] };
        let weights = backend.load(graph, source)?;
        let executor = backend.open(graph, weights, &budget)?;
        Ok(Prefill { executor, groups: graph.groups.clone(), page_len: graph.page_len, pages, position: 0 })
    }

    /// Feeds the next tokens and gives the logits of each, and the taps.
    pub fn feed(&mut self, ids: &[u32], taps: &[String]) -> Result<Fetch, BackendError> {
        let count = ids.len() as u32;
        let positions = (self.position..self.position + count).collect::<Vec<_>>();
        // Pages in reverse, so that nothing works by their order.
        let table = (1..=self.pages).rev().map(PageId).collect::<Vec<_>>();
        let slot = |&p: &u32| table[(p / self.page_len) as usize].0 * self.page_len + p % self.page_len;
        let slots = positions.iter().map(slot).collect::<Vec<_>>();
        let group = GroupFeed { table: &table, width: self.pages, base: &[0], slots: &slots };
        let sampling = Sampling::default();
        let row = |token| Row {
            token,
            sampling: &sampling,
            uniform: 0.0,
            seen: &[],
            bias: &[],
            mask: None,
            top: 0,
            logits: true,
        };
        let rows = (0..count).map(row).collect::<Vec<_>>();
        let counts = StepCounts {
            tokens: count,
            seqs: 1,
            rows: count,
            groups: self.groups.iter().map(|group| attended(group, &positions)).collect(),
            ..StepCounts::default()
        };
        let feed = Feed {
            tokens: &ids.iter().map(|&id| Token::Host(id)).collect::<Vec<_>>(),
            positions: &positions,
            sequences: &vec![0; ids.len()],
            rows: &rows,
            groups: &vec![group; self.groups.len()],
            copies: &[],
            patches: &[],
            counts: &counts,
        };
        let spec = ProgramSpec { bucket: feed.bucket(), taps: taps.to_vec(), patches: vec![] };
        let program = self.executor.compile(&spec)?;
        let step = self.executor.launch(program, &feed)?;
        let mut fetch = Fetch::default();
        self.executor.finish(step, &mut fetch)?;
        self.position += count;
        Ok(fetch)
    }
}

fn attended(group: &Group, positions: &[u32]) -> GroupCounts {
    let Group::Pages { window } = group;
    let sees = |&p: &u32| u64::from(p + 1).min(window.map_or(u64::MAX, u64::from));
    let last = positions.last().map_or(0, sees);
    GroupCounts { attended: positions.iter().map(sees).sum(), positions: last }
}
