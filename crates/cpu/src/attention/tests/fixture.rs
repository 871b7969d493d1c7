//! Sequences with random queries, keys and values, run step by step in every way there is.

use graph::GroupId;
use simd::Isa;
use tensor::{Buffer, DType, blocks};

use super::super::walk::{Way, unit_by};
use super::super::{Call, Shape, Step, Survey};
use crate::part::Part;
use crate::states::{Layout, PageShape, State};

/// What attends, and to what.
#[derive(Clone)]
pub struct Case {
    pub what: &'static str,
    pub shape: Shape,
    pub dtype: DType,
    pub cells: bool,
    pub sinks: bool,
    /// Positions before the first query, and queries.
    pub sequences: &'static [(usize, usize)],
}

/// How a case is run.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub isa: Isa,
    /// How units are computed; as they are by themselves where `None`.
    pub way: Option<Way>,
    /// Tokens of each sequence in a step.
    pub piece: usize,
    pub workers: usize,
}

/// Numbers that look random and do not change from run to run.
pub struct Random(pub u64);

impl Random {
    /// Between -1 and 1.
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 40) as f32 / 8_388_608.0 - 1.0
    }

    fn many(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// One sequence's numbers: `[positions, H or K, D]`.
pub struct Sequence {
    pub q: Vec<f32>,
    pub keys: Vec<f32>,
    pub values: Vec<f32>,
    pub history: usize,
    pub count: usize,
}

/// A case with its numbers.
pub struct Fixture {
    pub case: Case,
    pub sequences: Vec<Sequence>,
    pub sinks: Option<Vec<f32>>,
}

impl Fixture {
    pub fn new(case: &Case) -> Fixture {
        let mut random = Random(case.what.bytes().map(u64::from).sum());
        let Shape { heads, kv_heads, width, .. } = case.shape;
        let sequence = |&(history, count): &(usize, usize)| {
            let all = history + count;
            Sequence {
                q: random.many(all * heads * width).iter().map(|x| 3.0 * x).collect(),
                keys: random.many(all * kv_heads * width),
                values: random.many(all * kv_heads * width),
                history,
                count,
            }
        };
        let sequences = case.sequences.iter().map(sequence).collect();
        let sinks = case.sinks.then(|| (0..heads).map(|head| head as f32 / 4.0 - 0.5).collect());
        Fixture { case: case.clone(), sequences, sinks }
    }

    /// Results of all queries, sequence by sequence.
    pub fn run(&self, run: Run) -> Vec<f32> {
        let shape = &self.case.shape;
        let mut pools = Pools::new(self);
        let row = shape.heads * shape.width;
        let mut out =
            self.sequences.iter().map(|sequence| vec![f32::NAN; sequence.count * row]).collect::<Vec<_>>();
        let mut step = Step::default();
        let mut done = 0;
        while self.sequences.iter().any(|sequence| done < sequence.count) {
            let spans = self.sequences.iter().map(|s| done.min(s.count)..(done + run.piece).min(s.count));
            let spans = spans.collect::<Vec<_>>();
            pools.write(self, &spans);
            let results = self.step(&pools, &spans, run, &mut step);
            let mut results = results.chunks_exact(row);
            for (out, span) in out.iter_mut().zip(spans) {
                let rows = out[span.start * row..span.end * row].chunks_exact_mut(row);
                rows.zip(results.by_ref()).for_each(|(out, result)| out.copy_from_slice(result));
            }
            done += run.piece;
        }
        out.concat()
    }

    /// One step of some tokens of each sequence.
    fn step(&self, pools: &Pools, spans: &[std::ops::Range<usize>], run: Run, step: &mut Step) -> Vec<f32> {
        let shape = &self.case.shape;
        let row = shape.heads * shape.width;
        let (mut positions, mut sequences, mut q) = (vec![], vec![], vec![]);
        // A sequence without tokens in the step still has its row of the table, as padding has.
        for (index, (sequence, span)) in self.sequences.iter().zip(spans).enumerate() {
            let all = sequence.history + span.start..sequence.history + span.end;
            q.extend_from_slice(&sequence.q[all.start * row..all.end * row]);
            positions.extend(all.clone().map(|position| position as i32));
            sequences.extend(all.map(|_| index as i32));
        }
        let first_seen = |(sequence, span): (&Sequence, &std::ops::Range<usize>)| {
            let position = sequence.history + span.start;
            shape.window.map_or(0, |window| (position + 1).saturating_sub(window as usize))
        };
        let firsts = self.sequences.iter().zip(spans).map(first_seen);
        let base = firsts.map(|first| (first / shape.page_len) as i32).collect::<Vec<_>>();
        let needed = pools.tables.iter().zip(&base).map(|(table, base)| table.len() - *base as usize);
        let columns = needed.max().unwrap() + 1;
        let mut table = vec![0; base.len() * columns];
        for ((row, pages), &base) in table.chunks_exact_mut(columns).zip(&pools.tables).zip(&base) {
            row.iter_mut().zip(&pages[base as usize..]).for_each(|(to, &page)| *to = page);
        }
        let survey = Survey::new(shape, run.workers);
        survey.look(&positions, &sequences, step);
        let bucket = graph::Bucket {
            tokens: positions.len() as u32,
            seqs: base.len() as u32,
            queries: 0,
            pages: columns as u32 + *base.iter().max().unwrap() as u32,
            rows: 0,
        };
        let mut partials = Buffer::zeroed(survey.partial_bytes(&bucket));
        let mut own = Buffer::zeroed(shape.own_bytes());
        own.as_mut_slice::<u32>().fill(u32::MAX);
        partials.as_mut_slice::<u32>().fill(u32::MAX);
        let mut out = vec![f32::NAN; q.len()];
        let call = Call {
            shape: *shape,
            q: &q,
            keys: &pools.keys,
            values: &pools.values,
            positions: &positions,
            sequences: &sequences,
            table: &table,
            columns,
            base: &base,
            sinks: self.sinks.as_deref(),
            out: out.as_mut_ptr(),
            partials: partials.as_mut_slice::<f32>().as_mut_ptr(),
        };
        let mut next = 0;
        for index in (0..run.workers).map(|index| Part { index, of: run.workers }) {
            let units = step.share(index);
            assert_eq!(units.start, next, "shares follow one another");
            next = units.end;
            for unit in units {
                // SAFETY: one thread does all, and the buffers are as long as the shape and the survey say.
                unsafe {
                    match run.way {
                        None => call.unit(run.isa, step, unit, own.as_mut_slice()),
                        Some(way) => {
                            unit_by(way, run.isa, &call, &step.units()[unit], None, own.as_mut_slice())
                        }
                    }
                }
            }
        }
        assert_eq!(next, step.units().len(), "shares leave nothing out");
        for merge in 0..step.merges() {
            // SAFETY: as above, and all units are done.
            unsafe { call.merge(run.isa, step, merge) };
        }
        out
    }

    /// Results by definition, in f64, of queries, keys and values as they are rounded.
    pub fn oracle(&self) -> Vec<f64> {
        let Shape { heads, kv_heads, width, scale, window, rounded, .. } = self.case.shape;
        let mut out = vec![];
        for sequence in &self.sequences {
            let q = if rounded { round(DType::BF16, &sequence.q) } else { sequence.q.clone() };
            let (keys, values) =
                (round(self.case.dtype, &sequence.keys), round(self.case.dtype, &sequence.values));
            for position in sequence.history..sequence.history + sequence.count {
                let first = window.map_or(0, |window| (position + 1).saturating_sub(window as usize));
                for head in 0..heads {
                    let q = &q[(position * heads + head) * width..][..width];
                    let slot = |j: usize| (j * kv_heads + head / (heads / kv_heads)) * width;
                    let dot = |j: usize| {
                        let terms =
                            q.iter().zip(&keys[slot(j)..]).map(|(q, k)| f64::from(*q) * f64::from(*k));
                        terms.sum::<f64>() * f64::from(scale)
                    };
                    let scores = (first..=position).map(dot).collect::<Vec<_>>();
                    let sink = self.sinks.as_ref().map(|sinks| f64::from(sinks[head]));
                    let max = scores.iter().copied().chain(sink).fold(f64::NEG_INFINITY, f64::max);
                    let total = scores.iter().copied().chain(sink).map(|x| (x - max).exp()).sum::<f64>();
                    out.extend((0..width).map(|e| {
                        let terms = (first..).zip(&scores);
                        terms.map(|(j, x)| (x - max).exp() * f64::from(values[slot(j) + e])).sum::<f64>()
                            / total
                    }));
                }
            }
        }
        out
    }
}

fn round(dtype: DType, values: &[f32]) -> Vec<f32> {
    let mut bytes = vec![0; dtype.bytes_of(values.len()).unwrap()];
    blocks::encode(dtype, values, &mut bytes);
    let mut out = vec![0.0; values.len()];
    blocks::decode(dtype, &bytes, &mut out);
    out
}

/// Pages of all sequences. What was never written is no number.
struct Pools {
    keys: State,
    values: State,
    tables: Vec<Vec<i32>>,
}

impl Pools {
    /// Pages in no order, with every sequence's history.
    fn new(fixture: &Fixture) -> Pools {
        let shape = &fixture.case.shape;
        let pages = |s: &Sequence| (s.history + s.count).div_ceil(shape.page_len);
        let count = fixture.sequences.iter().map(pages).sum::<usize>() + 1;
        let state = |layout: Layout| {
            let layout = if fixture.case.cells { layout } else { Layout::Plain };
            let shape =
                PageShape::new(fixture.case.dtype, layout, shape.page_len, shape.kv_heads, shape.width);
            let state = State::zeroed(shape, GroupId(0), count).unwrap();
            // SAFETY: the pool is as long, and nobody else knows it.
            unsafe { state.page(0).write_bytes(0xff, count * shape.page_bytes()) };
            state
        };
        // Page 0 is the bin; every other page once, by steps that are prime to their number.
        let others = count - 1;
        let stride = [7, 5, 3, 2, 1].into_iter().find(|stride| others % stride != 0).unwrap_or(1);
        let mut next = (0..others).map(|i| (1 + i * stride % others) as i32);
        let tables = fixture.sequences.iter().map(|s| next.by_ref().take(pages(s)).collect()).collect();
        let mut pools = Pools { keys: state(Layout::Keys), values: state(Layout::Values), tables };
        let history = fixture.sequences.iter().map(|s| (0, s.history)).collect::<Vec<_>>();
        pools.write_positions(fixture, &history);
        pools
    }

    /// Writes the keys and values of a step's tokens.
    fn write(&mut self, fixture: &Fixture, spans: &[std::ops::Range<usize>]) {
        let positions = fixture.sequences.iter().zip(spans);
        let positions = positions.map(|(s, span)| (s.history + span.start, s.history + span.end));
        self.write_positions(fixture, &positions.collect::<Vec<_>>());
    }

    fn write_positions(&mut self, fixture: &Fixture, positions: &[(usize, usize)]) {
        let Shape { page_len, kv_heads, width, .. } = fixture.case.shape;
        for ((sequence, table), &(from, to)) in fixture.sequences.iter().zip(&self.tables).zip(positions) {
            let slot =
                |position: usize| table[position / page_len] * page_len as i32 + (position % page_len) as i32;
            let slots = (from..to).map(slot).collect::<Vec<_>>();
            let rows = from * kv_heads * width..to * kv_heads * width;
            // SAFETY: nobody else knows the pools.
            unsafe {
                self.keys.write(&slots, &sequence.keys[rows.clone()]);
                self.values.write(&slots, &sequence.values[rows]);
            }
        }
    }
}
