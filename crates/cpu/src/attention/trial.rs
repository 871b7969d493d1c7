//! Attention alone, timed: what `examples/attention_bench.rs` runs.

use std::time::Instant;

use graph::{BackendError, Bucket, GroupId};
use simd::Isa;
use tensor::{Buffer, DType};

use super::{Call, Shape, Step, Survey};
use crate::states::{Layout, PageShape, State};
use crate::team::{Team, Worker};

/// One sequence whose last tokens attend.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The level.
    pub isa: Isa,
    /// Threads.
    pub workers: usize,
    /// Query heads, kv heads, elements of a head.
    pub heads: [usize; 3],
    /// Type of keys and values.
    pub dtype: DType,
    /// Whether queries and weights are rounded to bf16.
    pub rounded: bool,
    /// Positions before the tokens.
    pub depth: usize,
    /// Tokens.
    pub tokens: usize,
}

/// What a trial took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    /// Bytes of keys and values per second, each counted once.
    pub bytes: f64,
    /// Multiplications and additions per second, of pairs that see each other.
    pub operations: f64,
}

/// Memory that pools take together, so that no cache holds what was read the time before.
const POOLS: usize = 3 << 29;
/// Slots of a page.
const PAGE_LEN: usize = 16;

impl Trial {
    /// The best of so many runs, each on keys and values of its own as far as the memory for them goes.
    pub fn run(&self, runs: usize) -> Result<Took, BackendError> {
        let [heads, kv_heads, width] = self.heads;
        let scale = (width as f32).powf(-0.5);
        let shape =
            Shape { heads, kv_heads, width, page_len: PAGE_LEN, scale, window: None, rounded: self.rounded };
        let context = self.depth + self.tokens;
        let pages = context.div_ceil(PAGE_LEN);
        let state = |layout: Layout, count: usize| {
            let shape = PageShape::new(self.dtype, layout, PAGE_LEN, kv_heads, width);
            let state = State::zeroed(shape, GroupId(0), count * pages + 1)?;
            // SAFETY: the pool is as long; small numbers of every type.
            unsafe { state.page(0).write_bytes(0x3c, (count * pages + 1) * shape.page_bytes()) };
            Ok::<_, BackendError>(state)
        };
        let bytes =
            2 * pages * PAGE_LEN * kv_heads * width * self.dtype.block_bytes() / self.dtype.block_len();
        let count = if self.tokens > 8 { 1 } else { (POOLS / bytes).clamp(1, runs) };
        let (keys, values) = (state(Layout::Keys, count)?, state(Layout::Values, count)?);
        let q =
            (0..self.tokens * heads * width).map(|i| (i * 37 % 101) as f32 / 50.0 - 1.0).collect::<Vec<_>>();
        let positions = (self.depth..context).map(|position| position as i32).collect::<Vec<_>>();
        let sequences = vec![0; self.tokens];
        let survey = Survey::new(&shape, self.workers);
        let mut step = Step::default();
        survey.look(&positions, &sequences, &mut step);
        let bucket = Bucket { tokens: self.tokens as u32, seqs: 1, queries: 0, pages: pages as u32, rows: 0 };
        let mut partials = Buffer::zeroed(survey.partial_bytes(&bucket));
        let mut own = Buffer::zeroed(shape.own_bytes() * self.workers);
        let mut out = vec![0.0; q.len()];
        let mut team = Team::new(self.workers);
        let own_at = Shared(own.as_mut_slice::<f32>().as_mut_ptr());
        let seconds = (0..runs).map(|run| {
            let table = (0..pages).map(|page| (1 + run % count * pages + page) as i32).collect::<Vec<_>>();
            let call = Shared(Call {
                shape,
                q: &q,
                keys: &keys,
                values: &values,
                positions: &positions,
                sequences: &sequences,
                table: &table,
                columns: pages,
                base: &[0],
                sinks: None,
                out: out.as_mut_ptr(),
                partials: partials.as_mut_slice::<f32>().as_mut_ptr(),
            });
            let start = Instant::now();
            team.run(&|worker: Worker<'_>| self.work(&call, &step, &own_at, worker));
            start.elapsed().as_secs_f64()
        });
        let best = seconds.fold(f64::INFINITY, f64::min);
        let pairs = positions.iter().map(|&position| f64::from(position) + 1.0).sum::<f64>();
        Ok(Took { bytes: bytes as f64 / best, operations: 4.0 * pairs * (heads * width) as f64 / best })
    }

    fn work(&self, call: &Shared<Call<'_>>, step: &Step, own: &Shared<*mut f32>, worker: Worker<'_>) {
        let call = &call.0;
        let floats = call.shape.own_bytes() / 4;
        // SAFETY: each worker has a region of its own, and its own units; nobody writes to the pools.
        unsafe {
            let own = std::slice::from_raw_parts_mut(own.0.add(worker.part.index * floats), floats);
            step.share(worker.part).for_each(|unit| call.unit(self.isa, step, unit, own));
            worker.meet();
            worker.part.share(step.merges()).for_each(|merge| call.merge(self.isa, step, merge));
        }
    }
}

/// Seen by all workers, who write to places of their own.
struct Shared<T>(T);

// SAFETY: what is shared is addresses; `work` says who writes where.
unsafe impl<T> Sync for Shared<T> {}
