//! Attention over pages: steps of every kind that a scheduler makes.

use graph::{Bucket, Op};
use tensor::{DType, Value};

use crate::conformance::{Case, Data, PAGE_LEN};

/// One sequence of a step.
#[derive(Clone, Copy)]
struct Seq {
    /// Position of its first token in the step.
    at: usize,
    /// Its tokens in the step.
    count: usize,
    /// Its pages that are gone.
    dropped: usize,
}

/// A step, and the heads that attend in it.
struct Step<'a> {
    what: &'a str,
    seqs: &'a [Seq],
    /// Query heads, kv heads, head width.
    heads: [usize; 3],
    window: Option<u32>,
    kv: DType,
    sinks: Option<DType>,
    /// Whether the bucket says that every sequence has as many tokens.
    uniform: bool,
    /// Tokens that only fill the bucket, in a sequence of their own.
    padding: usize,
}

const PLAIN: Step<'static> = Step {
    what: "",
    seqs: &[seq(0, 6)],
    heads: [4, 4, 8],
    window: None,
    kv: DType::F32,
    sinks: None,
    uniform: false,
    padding: 0,
};

const fn seq(at: usize, count: usize) -> Seq {
    Seq { at, count, dropped: 0 }
}

/// A sequence in a window of 5 whose pages behind the window are gone.
const fn windowed(at: usize, count: usize) -> Seq {
    Seq { at, count, dropped: (at + 1 - 5) / PAGE_LEN as usize }
}

pub fn cases() -> Vec<Case> {
    let decode = &[seq(5, 1), seq(0, 1), seq(12, 1)];
    let alike = &[seq(0, 3), seq(7, 3)];
    let mixed = &[seq(9, 1), seq(0, 5), seq(3, 2), seq(16, 1)];
    let slid = &[windowed(21, 1), windowed(8, 4), windowed(30, 2)];
    let kinds = [
        Step { what: "prefill", ..PLAIN },
        Step { what: "prefill, continued", seqs: &[seq(6, 5)], ..PLAIN },
        Step { what: "one token of one sequence", seqs: &[seq(11, 1)], ..PLAIN },
        Step { what: "decode", seqs: decode, uniform: true, ..PLAIN },
        Step { what: "several tokens each", seqs: alike, uniform: true, ..PLAIN },
        Step { what: "mixed", seqs: mixed, ..PLAIN },
        Step { what: "padded", seqs: mixed, padding: 3, ..PLAIN },
        Step { what: "padded decode", seqs: decode, uniform: true, padding: 1, ..PLAIN },
        Step { what: "grouped heads", seqs: mixed, heads: [6, 2, 5], ..PLAIN },
        Step { what: "grouped heads, decode", seqs: decode, heads: [6, 2, 5], uniform: true, ..PLAIN },
        Step { what: "one kv head", seqs: mixed, heads: [4, 1, 16], ..PLAIN },
        Step { what: "one kv head, prefill", heads: [4, 1, 16], ..PLAIN },
        Step { what: "window shorter than the context", seqs: mixed, window: Some(3), ..PLAIN },
        Step { what: "window longer than the context", seqs: mixed, window: Some(100), ..PLAIN },
        Step { what: "window of one", window: Some(1), ..PLAIN },
        Step { what: "window, prefill", seqs: &[seq(2, 9)], window: Some(4), ..PLAIN },
        Step { what: "dropped pages", seqs: slid, window: Some(5), ..PLAIN },
        Step { what: "dropped pages, one sequence", seqs: &slid[2..], window: Some(5), ..PLAIN },
        Step { what: "dropped pages, padded", seqs: slid, window: Some(5), padding: 2, ..PLAIN },
    ];
    let mut cases = vec![];
    for step in kinds {
        cases.push(step.case(""));
        cases.push(Step { sinks: Some(DType::F32), ..step }.case(", sinks"));
        // The bucket need not say that all sequences have as many tokens.
        if step.uniform {
            cases.push(Step { uniform: false, ..step }.case(", as if ragged"));
        }
    }
    for kv in [DType::F16, DType::BF16, DType::Q8_0] {
        let step = Step { seqs: mixed, heads: [4, 2, 32], kv, sinks: Some(DType::BF16), ..PLAIN };
        cases.push(Step { what: kv.name(), ..step }.case(" keys and values"));
    }
    cases
}

impl Step<'_> {
    fn case(&self, more: &str) -> Case {
        let [_, _, width] = self.heads;
        let op = Op::Attention { scale: 1.0 / (width as f32).sqrt(), window: self.window };
        let name = format!("attention/{}{more}", self.what);
        Case::new(name, op, |data| self.args(data)).in_bucket(self.bucket())
    }

    /// The sequences and, where there is padding, one that is nothing else: at position 0, in the bin.
    fn padded(&self) -> Vec<Seq> {
        let padding = (self.padding > 0).then(|| seq(0, self.padding));
        self.seqs.iter().copied().chain(padding).collect()
    }

    /// Pages that are left of a sequence; none where it is padding.
    fn pages(&self, place: usize) -> usize {
        let of = |seq: &Seq| (seq.at + seq.count).div_ceil(PAGE_LEN as usize) - seq.dropped;
        self.seqs.get(place).map_or(0, of)
    }

    /// One column more than the longest sequence needs.
    fn columns(&self) -> usize {
        (0..self.seqs.len()).map(|place| self.pages(place)).max().unwrap_or(0) + 1
    }

    fn bucket(&self) -> Bucket {
        let seqs = self.padded();
        let tokens = seqs.iter().map(|seq| seq.count as u32).sum();
        let queries = if self.uniform { seqs[0].count as u32 } else { 0 };
        Bucket { tokens, seqs: seqs.len() as u32, queries, pages: self.columns() as u32, rows: tokens }
    }

    fn args(&self, data: &mut Data) -> Vec<Value> {
        let [heads, kv_heads, width] = self.heads;
        let seqs = self.padded();
        let used = (0..seqs.len()).map(|place| self.pages(place)).sum::<usize>();
        // Pages lie in the pool in no order, with others between them that belong to nobody.
        let pool = used + 3;
        let mut free = data.shuffled(1, pool - 1).into_iter();
        let mut table = vec![0; seqs.len() * self.columns()];
        for (place, row) in table.chunks_exact_mut(self.columns()).enumerate() {
            row.iter_mut().zip(free.by_ref().take(self.pages(place))).for_each(|(to, page)| *to = page);
        }
        let (mut positions, mut sequences) = (vec![], vec![]);
        for (place, seq) in (0..).zip(&seqs) {
            let is_padding = place as usize >= self.seqs.len();
            positions.extend((0..seq.count).map(|i| if is_padding { 0 } else { (seq.at + i) as i32 }));
            sequences.extend(std::iter::repeat_n(place, seq.count));
        }
        let base = seqs.iter().map(|seq| seq.dropped as i32).collect::<Vec<_>>();
        let state = [pool, PAGE_LEN as usize, kv_heads, width];
        let mut args = vec![
            data.f32s(&[positions.len(), heads, width]),
            data.rounded(self.kv, &state),
            data.rounded(self.kv, &state),
            Value::i32s([positions.len()], &positions),
            Value::i32s([positions.len()], &sequences),
            Value::i32s([seqs.len(), self.columns()], &table),
            Value::i32s([seqs.len()], &base),
        ];
        args.extend(self.sinks.map(|dtype| data.rounded(dtype, &[heads])));
        args
    }
}
