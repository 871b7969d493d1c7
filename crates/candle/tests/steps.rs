//! Whole steps on a small model with two groups of states: one layer sees all positions, two see a window.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashMap;
use std::sync::Arc;

use candle::Candle;
use graph::{
    Backend, BackendError, Bucket, Budget, Copy, Executor, Feed, Fetch, Graph, GraphBuilder, Group,
    GroupFeed, GroupId, Input, Op, PageId, ProgramSpec, Row, Sampling, StepCounts, Token, Var, verify,
};
use tensor::{DType, Shape, SourceError, WeightInfo, WeightSource};

const VOCAB: u32 = 11;
const WIDTH: u32 = 4;
const PAGE: u32 = 2;
const WINDOW: u32 = 3;

/// Made-up weights, the same at each run.
struct Made(HashMap<&'static str, Vec<usize>>);

impl WeightSource for Made {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        let shape = self.0.iter().find(|(known, _)| name.ends_with(*known))?.1;
        Some(WeightInfo { dtype: DType::F32, shape: Shape::new(shape) })
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        assert_eq!(first, 0, "weights are read whole");
        let mut seed = name.bytes().fold(17u32, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        for value in out.chunks_exact_mut(4) {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            value.copy_from_slice(&((seed >> 8) as f32 / (1 << 23) as f32 - 1.0).to_le_bytes());
        }
        Ok(())
    }
}

fn source() -> Made {
    let (vocab, width) = (VOCAB as usize, WIDTH as usize);
    Made(HashMap::from([
        ("table", vec![vocab, width]),
        ("q", vec![width, width]),
        ("k", vec![2, width]),
        ("v", vec![2, width]),
    ]))
}

fn model(kv: DType) -> Graph {
    let made = source();
    let source: &dyn WeightSource = &made;
    let mut g = GraphBuilder::new("small", VOCAB, PAGE, &source);
    let table = g.weight("table", &[VOCAB, WIDTH]);
    let tokens = g.input(Input::Tokens);
    let mut x = g.op(Op::Embed, &[tokens, table]);
    let windows = [None, Some(WINDOW), Some(WINDOW)];
    for (layer, window) in windows.into_iter().enumerate() {
        let group = g.group(Group::Pages { window });
        x = g.layer(&format!("layers.{layer}"), &[x], |f, args| {
            let [k, v] = ["k", "v"].map(|name| {
                let weight = f.weight(name, &[2, WIDTH]);
                let values = f.op(Op::Linear, &[args[0], weight]);
                let values = f.reshape(values, &[Var::Tokens.into(), 1.into(), 2.into()]);
                let state = f.state(name, group, kv, &[1, 2]);
                let slots = f.input(Input::Slots(group));
                f.write(state, slots, values);
                f.read(state)
            });
            let weight = f.weight("q", &[WIDTH, WIDTH]);
            let q = f.op(Op::Linear, &[args[0], weight]);
            let q = f.reshape(q, &[Var::Tokens.into(), 2.into(), 2.into()]);
            let inputs = [Input::Positions, Input::Sequences, Input::Table(group), Input::Base(group)];
            let [positions, sequences, table, base] = inputs.map(|input| f.input(input));
            let attention = Op::Attention { scale: 0.7, window };
            let out = f.op(attention, &[q, k, v, positions, sequences, table, base]);
            let out = f.reshape(out, &[Var::Tokens.into(), WIDTH.into()]);
            f.name(out, "attn");
            vec![f.add(args[0], out)]
        })[0];
    }
    let rows = g.input(Input::Rows);
    let x = g.gather(x, rows);
    let logits = g.op(Op::Linear, &[x, table]);
    g.name(logits, "logits");
    let graph = g.finish(logits).unwrap();
    verify(&graph).unwrap();
    graph
}

fn budget(pages: u32) -> Budget {
    Budget { bytes: None, bucket: Bucket::default(), pages: vec![pages; 2] }
}

fn open(kv: DType) -> Box<dyn Executor> {
    let (candle, graph) = (Candle::new(), model(kv));
    let weights = candle.load(&graph, &source()).unwrap();
    candle.open(&graph, weights, &budget(16)).unwrap()
}

/// Tokens of one sequence whose pages are `first_page..`, from `position` on.
struct Part<'a> {
    tokens: &'a [Token],
    position: u32,
    first_page: u32,
}

/// One step over these parts, giving what it fetched. The last token of each part is a row, where `rows`.
struct Step<'a> {
    parts: &'a [Part<'a>],
    /// Room beyond what the step needs.
    slack: u32,
    /// Whether pages behind the window are left out of the table.
    drop: bool,
    rows: bool,
    copies: &'a [Copy],
    taps: &'a [&'a str],
    patch: Option<(&'a str, &'a [f32])>,
}

impl Default for Step<'_> {
    fn default() -> Self {
        Step { parts: &[], slack: 0, drop: false, rows: true, copies: &[], taps: &[], patch: None }
    }
}

impl Step<'_> {
    fn run(&self, executor: &mut dyn Executor) -> Fetch {
        self.try_run(executor).unwrap()
    }

    fn try_run(&self, executor: &mut dyn Executor) -> Result<Fetch, BackendError> {
        let sampling = Sampling::default();
        let (mut tokens, mut positions, mut sequences, mut slots, mut rows) =
            (vec![], vec![], vec![], vec![], vec![]);
        for (sequence, part) in self.parts.iter().enumerate() {
            for (position, &token) in (part.position..).zip(part.tokens) {
                tokens.push(token);
                positions.push(position);
                sequences.push(sequence as u32);
                slots.push(part.first_page * PAGE + position);
            }
            rows.extend(self.rows.then(|| row(tokens.len() as u32 - 1, &sampling)));
        }
        let ends = self.parts.iter().map(|part| part.position + part.tokens.len() as u32);
        let width = ends.map(|end| end.div_ceil(PAGE)).max().unwrap();
        let group = |window: Option<u32>| {
            let behind = |part: &Part<'_>| match window {
                Some(window) if self.drop => (part.position + 1).saturating_sub(window) / PAGE,
                _ => 0,
            };
            let base = self.parts.iter().map(behind).collect::<Vec<_>>();
            let page = |part: &Part<'_>, page| {
                let last = (part.position + part.tokens.len() as u32 - 1) / PAGE;
                if page <= last { PageId(part.first_page + page) } else { PageId(0) }
            };
            let table = self.parts.iter().zip(&base);
            let table = table.flat_map(|(part, base)| (0..width).map(move |i| page(part, base + i)));
            (table.collect::<Vec<_>>(), base)
        };
        let groups = [group(None), group(Some(WINDOW))];
        let groups = groups.each_ref().map(|(table, base)| GroupFeed { table, width, base, slots: &slots });
        let patches = self.patch.iter().map(|(_, values)| *values).collect::<Vec<_>>();
        let counts = StepCounts::default();
        let feed = Feed {
            tokens: &tokens,
            positions: &positions,
            sequences: &sequences,
            rows: &rows,
            groups: &groups,
            copies: self.copies,
            patches: &patches,
            counts: &counts,
        };
        let mut bucket = feed.bucket();
        if self.slack > 0 {
            let (tokens, seqs) = (bucket.tokens + self.slack, bucket.seqs + self.slack - 1);
            let (pages, rows) = (bucket.pages + self.slack, bucket.rows + self.slack);
            bucket = Bucket { tokens, seqs, queries: 0, pages, rows };
        }
        let spec = ProgramSpec {
            bucket,
            taps: self.taps.iter().map(|&tap| tap.to_owned()).collect(),
            patches: self.patch.iter().map(|(name, _)| (*name).to_owned()).collect(),
            ..ProgramSpec::default()
        };
        let program = executor.compile(&spec)?;
        let step = executor.launch(program, &feed)?;
        let mut fetch = Fetch::default();
        executor.finish(step, &mut fetch)?;
        Ok(fetch)
    }
}

fn row(token: u32, sampling: &Sampling) -> Row<'_> {
    Row { logits: true, ..Row::new(token, sampling) }
}

fn host(ids: &[u32]) -> Vec<Token> {
    ids.iter().map(|&id| Token::Host(id)).collect()
}

fn assert_near(a: &[f32], b: &[f32]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert!((a - b).abs() <= 1e-5 * b.abs().max(1.0), "{a} is not {b}");
    }
}

const PROMPT: [u32; 7] = [3, 1, 4, 1, 5, 9, 2];

/// Logits after the prompt, in one step.
fn whole(kv: DType) -> Fetch {
    let tokens = host(&PROMPT);
    Step { parts: &[Part { tokens: &tokens, position: 0, first_page: 1 }], ..Step::default() }
        .run(&mut *open(kv))
}

#[test]
fn a_prompt_in_pieces_is_the_prompt_in_one_step() {
    for kv in [DType::F32, DType::F16, DType::BF16] {
        let wanted = whole(kv);
        assert!(wanted.logits.iter().all(|logit| logit.is_finite()));
        for (slack, drop) in [(0, false), (0, true), (1, true), (3, true)] {
            let mut executor = open(kv);
            let mut last = Fetch::default();
            for (position, token) in (0..).zip(host(&PROMPT)) {
                let part = Part { tokens: &[token], position, first_page: 1 };
                let step = Step { parts: &[part], slack, drop, rows: position == 6, ..Step::default() };
                last = step.run(&mut *executor);
            }
            assert_near(&last.logits, &wanted.logits);
            assert_eq!(last.sampled[0].id, wanted.sampled[0].id);
        }
    }
}

#[test]
fn a_sequence_does_not_see_its_neighbours() {
    let wanted = whole(DType::F32);
    for slack in [0, 1, 2] {
        let mut executor = open(DType::F32);
        let (mine, other) = (host(&PROMPT), host(&[8, 8, 8]));
        let parts = [
            Part { tokens: &other, position: 0, first_page: 1 },
            Part { tokens: &mine, position: 0, first_page: 4 },
        ];
        let fetch = Step { parts: &parts, slack, ..Step::default() }.run(&mut *executor);
        assert_near(&fetch.logits[VOCAB as usize..], &wanted.logits);
        assert_eq!(fetch.sampled.len(), 2);
    }
}

#[test]
fn a_token_may_be_what_the_step_before_sampled() {
    let prompt = host(&PROMPT);
    let mut executor = open(DType::F32);
    let first = Part { tokens: &prompt, position: 0, first_page: 1 };
    let sampled = Step { parts: &[first], ..Step::default() }.run(&mut *executor).sampled[0].id;
    let mut next = |token| {
        let part = Part { tokens: &[token], position: 7, first_page: 1 };
        Step { parts: &[part], ..Step::default() }.try_run(&mut *executor)
    };
    let previous = next(Token::Previous(0)).unwrap();
    assert_near(&next(Token::Host(sampled)).unwrap().logits, &previous.logits);
    assert!(next(Token::Previous(1)).is_err());
}

#[test]
fn pages_move_between_executors_and_are_copied() {
    let prompt = host(&PROMPT);
    let mut executor = open(DType::BF16);
    Step { parts: &[Part { tokens: &prompt, position: 0, first_page: 1 }], ..Step::default() }
        .run(&mut *executor);
    let next = |first_page, copies: &[Copy], executor: &mut dyn Executor| {
        let part = Part { tokens: &[Token::Host(6)], position: 7, first_page };
        Step { parts: &[part], copies, ..Step::default() }.run(executor).logits
    };
    let mut other = open(DType::BF16);
    for group in [GroupId(0), GroupId(1)] {
        let mut bytes = vec![];
        executor.export(group, &[1, 2, 3, 4].map(PageId), &mut bytes).unwrap();
        // Two or four states, four pages of two slots of two bf16.
        assert_eq!(bytes.len(), [2, 4][group.index()] * 4 * 2 * 2 * 2);
        other.import(group, &[7, 8, 9, 10].map(PageId), &mut &bytes[..]).unwrap();
        assert!(other.import(group, &[PageId(1)], &mut &bytes[..3]).is_err());
        assert!(other.export(group, &[PageId(16)], &mut vec![]).is_err());
    }
    let wanted = next(1, &[], &mut *executor);
    assert_eq!(next(7, &[], &mut *other), wanted);
    let copies = [GroupId(0), GroupId(1)]
        .iter()
        .flat_map(|&group| (0..4).map(move |i| Copy { group, from: PageId(7 + i), to: PageId(2 + i) }))
        .collect::<Vec<_>>();
    assert_eq!(next(2, &copies, &mut *other), wanted);
}

#[test]
fn values_are_brought_out_and_put_in() {
    let prompt = host(&PROMPT);
    let parts = [Part { tokens: &prompt, position: 0, first_page: 1 }];
    let taps = ["layers.1.attn", "layers.0", "logits"];
    let plain = Step { parts: &parts, taps: &taps, ..Step::default() }.run(&mut *open(DType::F32));
    assert_eq!(plain.taps[0].0[..], [7, WIDTH as usize]);
    assert_eq!(plain.taps[2].1, plain.logits);
    let zeros = vec![0.0; 7 * WIDTH as usize];
    let patch = Some(("layers.1.attn", &zeros[..]));
    let patched = Step { parts: &parts, taps: &taps, patch, ..Step::default() }.run(&mut *open(DType::F32));
    assert_eq!(patched.taps[0].1, zeros);
    assert_eq!(patched.taps[1].1, plain.taps[1].1);
    assert_ne!(patched.logits, plain.logits);

    let short = Step { parts: &parts, patch: Some(("logits", &[0.0])), ..Step::default() };
    assert!(
        short
            .try_run(&mut *open(DType::F32))
            .unwrap_err()
            .to_string()
            .contains("it has 1 elements, and the value has 11")
    );
    let unknown = Step { parts: &parts, taps: &["layers.9.attn"], ..Step::default() };
    assert!(matches!(unknown.try_run(&mut *open(DType::F32)), Err(BackendError::NoValue { .. })));
}

#[test]
fn feeds_that_do_not_fit_are_refused() {
    let mut executor = open(DType::F32);
    let mut refused =
        |part: Part<'_>| Step { parts: &[part], ..Step::default() }.try_run(&mut *executor).is_err();
    assert!(refused(Part { tokens: &host(&[1]), position: 0, first_page: 16 }));
    assert!(refused(Part { tokens: &host(&[VOCAB]), position: 0, first_page: 1 }));
    assert!(refused(Part { tokens: &host(&[u32::MAX]), position: 0, first_page: 1 }));
    assert!(!refused(Part { tokens: &host(&[1]), position: 0, first_page: 15 }));
}

#[test]
fn at_most_two_steps_are_in_flight() {
    let mut executor = open(DType::F32);
    let program = executor.compile(&ProgramSpec::default()).unwrap();
    let counts = StepCounts::default();
    let group = GroupFeed { table: &[], width: 0, base: &[], slots: &[] };
    let feed = Feed {
        tokens: &[],
        positions: &[],
        sequences: &[],
        rows: &[],
        groups: &[group, group],
        copies: &[],
        patches: &[],
        counts: &counts,
    };
    let steps = [executor.launch(program, &feed).unwrap(), executor.launch(program, &feed).unwrap()];
    assert!(executor.launch(program, &feed).is_err());
    let mut fetch = Fetch::default();
    executor.finish(steps[1], &mut fetch).unwrap();
    assert!(executor.finish(steps[1], &mut fetch).is_err());
    executor.finish(steps[0], &mut fetch).unwrap();
}

#[test]
fn pages_fit_the_budget() {
    let (candle, graph) = (Candle::new(), model(DType::F32));
    let weights = candle.load(&graph, &source()).unwrap();
    let pages = |bytes: u64| {
        let budget = Budget { bytes: Some(bytes), ..budget(100) };
        candle.open(&graph, Arc::clone(&weights), &budget).map(|executor| executor.pages().to_vec())
    };
    let page = graph.page_bytes(GroupId(0));
    assert_eq!((page, graph.page_bytes(GroupId(1))), (2 * 2 * 2 * 4, 2 * page));
    assert_eq!(weights.bytes(), graph.weight_bytes());
    assert_eq!(pages(weights.bytes() + 300 * page).unwrap(), [100, 100]);
    assert_eq!(pages(weights.bytes() + 150 * page).unwrap(), [50, 50]);
    assert_eq!(pages(weights.bytes() + 6 * page).unwrap(), [2, 2]);
    assert!(matches!(pages(weights.bytes() + 5 * page), Err(BackendError::Memory { .. })));
    assert!(matches!(pages(0), Err(BackendError::Memory { .. })));
}

#[test]
fn the_plan_names_every_kernel() {
    let mut executor = open(DType::F32);
    let bucket = Bucket { tokens: 1, seqs: 1, queries: 1, pages: 1, rows: 1 };
    let program = executor.compile(&ProgramSpec { bucket, ..ProgramSpec::default() }).unwrap();
    let lines = executor.report(program).lines;
    let logits = lines.iter().find(|line| line.path == "logits").unwrap();
    assert_eq!(logits.kernel, "candle::matmul");
    assert_eq!(logits.work.operations, f64::from(2 * WIDTH * VOCAB));
    assert!(lines.iter().any(|line| line.path == "layers.1.attn"));
}
