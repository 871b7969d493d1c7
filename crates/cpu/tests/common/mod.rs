//! A small decoder with grouped heads, windows and a mixture of experts, its weights, and steps of it.

#![allow(dead_code, reason = "each test file uses a part of this")]

use std::sync::Arc;

use cpu::{Cpu, Options};
use graph::{
    Act, Backend, BackendError, Bucket, Budget, Catalogue, Dim, Executor, Feed, Fetch, FuncBuilder, Graph,
    GraphBuilder, Group, GroupCounts, GroupFeed, GroupId, Input, Op, PageId, ProgramId, ProgramSpec, Row,
    Sampling, StepCounts, Token, ValueId, Var, Weights,
};
use tensor::{DType, Shape, SourceError, WeightInfo, WeightSource, blocks};

const PAGE_LEN: u32 = 16;
const VOCAB: u32 = 96;
const WIDTH: u32 = 64;
const HEADS: u32 = 4;
const KV_HEADS: u32 = 2;
const HEAD: u32 = 32;
const INNER: u32 = 96;
const EXPERTS: u32 = 4;

/// Has every weight: matrices of a type, vectors of f32.
pub struct Made(pub DType);

impl Made {
    fn info(&self, name: &str, dims: &[u32]) -> WeightInfo {
        let shape = Shape::new(&dims.iter().map(|&n| n as usize).collect::<Vec<_>>());
        let dtype = if name.ends_with("norm") || name.ends_with("bias") { DType::F32 } else { self.0 };
        WeightInfo { dtype, shape }
    }
}

impl Catalogue for Made {
    fn find(&self, name: &str, dims: &[u32]) -> Option<WeightInfo> {
        Some(self.info(name, dims))
    }
}

/// Numbers that look random, for every weight of a graph.
struct Source<'a>(&'a Graph);

impl WeightSource for Source<'_> {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        self.0.weights.iter().find(|spec| spec.name == name).map(|spec| spec.info)
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        let info = WeightSource::find(self, name).ok_or(SourceError::Missing { name: name.to_owned() })?;
        let count = out.len() / info.dtype.block_bytes() * info.dtype.block_len();
        let seed = name.bytes().fold(first, |seed, byte| seed * 31 % 65_537 + usize::from(byte));
        let values = (0..count).map(|i| ((seed + i) * 7919 % 2003) as f32 / 4000.0 - 0.25);
        blocks::encode(info.dtype, &values.collect::<Vec<_>>(), out);
        Ok(())
    }
}

/// The graph of a step, with keys and values in `kv`.
pub fn decoder(matrices: DType, kv: DType) -> Graph {
    let made = Made(matrices);
    let mut g = GraphBuilder::new("small", VOCAB, PAGE_LEN, &made);
    let table = g.weight("embed", &[VOCAB, WIDTH]);
    let tokens = g.input(Input::Tokens);
    let mut x = g.op(Op::Embed, &[tokens, table]);
    for (i, window) in [None, Some(20)].into_iter().enumerate() {
        let group = g.group(Group::Pages { window });
        x = g.layer(&format!("layers.{i}"), &[x], |f, args| {
            let normed = norm(f, "attn_norm", args[0]);
            let attended = attention(f, normed, kv, group, window);
            let x = f.add(args[0], attended);
            let normed = norm(f, "after_norm", x);
            let more = if window.is_none() { gated(f, normed) } else { mixture(f, normed) };
            vec![f.add(x, more)]
        })[0];
    }
    let rows = g.input(Input::Rows);
    let x = g.gather(x, rows);
    let x = norm(&mut g, "norm", x);
    let logits = g.op(Op::Linear, &[x, table]);
    g.finish(logits).expect("a graph")
}

fn norm(f: &mut FuncBuilder<'_>, name: &str, x: ValueId) -> ValueId {
    let w = f.weight(name, &[WIDTH]);
    f.op(Op::RmsNorm { eps: 1e-5 }, &[x, w])
}

fn linear(f: &mut FuncBuilder<'_>, name: &str, x: ValueId, width: u32) -> ValueId {
    let w = f.weight(name, &[width, f.width(x)]);
    f.op(Op::Linear, &[x, w])
}

fn gated(f: &mut FuncBuilder<'_>, x: ValueId) -> ValueId {
    let (gate, up) = (linear(f, "gate", x, INNER), linear(f, "up", x, INNER));
    let inner = f.op(Op::GatedAct(Act::Silu), &[gate, up]);
    linear(f, "down", inner, WIDTH)
}

fn mixture(f: &mut FuncBuilder<'_>, x: ValueId) -> ValueId {
    let scores = linear(f, "router", x, EXPERTS);
    let mut args = vec![x];
    args.extend(f.ops(Op::Route { k: 2 }, &[scores]));
    let sizes = [("gate", INNER, WIDTH), ("up", INNER, WIDTH), ("down", WIDTH, INNER)];
    for (name, out, of) in sizes {
        args.push(f.weight(&format!("experts.{name}"), &[EXPERTS, out, of]));
    }
    for (name, out, _) in sizes {
        args.push(f.weight(&format!("experts.{name}.bias"), &[EXPERTS, out]));
    }
    f.op(Op::ExpertFfn { act: Act::Silu, biased: true }, &args)
}

fn attention(f: &mut FuncBuilder<'_>, x: ValueId, kv: DType, group: GroupId, window: Option<u32>) -> ValueId {
    let tokens = Dim::Var(Var::Tokens);
    let positions = f.input(Input::Positions);
    let frequencies = f.vector(vec![1.0, 0.1, 0.01, 0.001, 0.5, 0.05, 0.005, 0.0005]);
    let [q, k, v] = [("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)].map(|(name, heads)| {
        let x = linear(f, name, x, heads * HEAD);
        f.reshape(x, &[tokens, heads.into(), HEAD.into()])
    });
    let [q, k] = [q, k].map(|x| f.op(Op::Rope { scale: 1.0 }, &[x, positions, frequencies]));
    let slots = f.input(Input::Slots(group));
    let states = [("k_state", k), ("v_state", v)].map(|(name, value)| {
        let state = f.state(name, group, kv, &[KV_HEADS, HEAD]);
        f.write(state, slots, value);
        f.read(state)
    });
    let mut args = vec![q, states[0], states[1], positions];
    args.extend([Input::Sequences, Input::Table(group), Input::Base(group)].map(|input| f.input(input)));
    let x = f.op(Op::Attention { scale: 0.25, window }, &args);
    let x = f.reshape(x, &[tokens, (HEADS * HEAD).into()]);
    linear(f, "o", x, WIDTH)
}

/// The decoder on an executor, with room for some sequences of so many positions.
pub struct Steps {
    executor: Box<dyn Executor>,
    program: ProgramId,
    groups: usize,
    sequences: u32,
    pages: u32,
}

/// One token of each sequence, all at the same position.
pub struct Step {
    tokens: Vec<Token>,
    positions: Vec<u32>,
    sequences: Vec<u32>,
    slots: Vec<u32>,
    table: Vec<PageId>,
    base: Vec<u32>,
    counts: StepCounts,
    sampling: Sampling,
}

impl Steps {
    /// Loads the weights and makes the program for steps of one token of each sequence.
    pub fn open(graph: &Graph, options: &Options, sequences: u32, context: u32) -> Steps {
        let (cpu, weights) = load(graph, options);
        let pages = context.div_ceil(PAGE_LEN);
        let bucket = Bucket { tokens: sequences, seqs: sequences, queries: 1, pages, rows: sequences };
        let groups = graph.groups.len();
        let budget = Budget { bytes: None, bucket, pages: vec![sequences * pages + 1; groups] };
        let mut executor = cpu.open(graph, weights, &budget).expect("there is room");
        let spec = ProgramSpec { bucket, ..ProgramSpec::default() };
        let program = executor.compile(&spec).expect("there are kernels for all of it");
        Steps { executor, program, groups, sequences, pages }
    }

    /// The step at a position, to be run by [`Steps::run`].
    pub fn at(&self, position: u32) -> Step {
        let all = 0..self.sequences;
        let random = Sampling { temperature: 0.7, ..Sampling::GREEDY };
        let ways = [
            random,
            Sampling { top_k: 20, top_p: 0.9, ..random },
            Sampling { top_p: 0.9, ..random },
            Sampling { typical: 0.9, min_p: 0.01, ..random },
        ];
        let page = |sequence: u32| 1 + sequence * self.pages + position / PAGE_LEN;
        let group = GroupCounts {
            attended: u64::from(self.sequences * (position + 1)),
            positions: u64::from(self.sequences * (position + 1)),
        };
        Step {
            tokens: all.clone().map(|s| Token::Host((position * 7 + s * 13) % VOCAB)).collect(),
            positions: all.clone().map(|_| position).collect(),
            sequences: all.clone().collect(),
            slots: all.clone().map(|s| page(s) * PAGE_LEN + position % PAGE_LEN).collect(),
            table: (1..=self.sequences * self.pages).map(PageId).collect(),
            base: all.map(|_| 0).collect(),
            counts: StepCounts {
                tokens: self.sequences,
                seqs: self.sequences,
                rows: self.sequences,
                groups: vec![group; self.groups],
                ..StepCounts::default()
            },
            sampling: ways[position as usize % ways.len()],
        }
    }

    /// Launches a step and fetches what it gave. It allocates nothing itself.
    pub fn run(&mut self, step: &Step, fetch: &mut Fetch) -> Result<(), BackendError> {
        const MOST: usize = 8;
        let row = |token: usize| Row {
            uniform: 0.5,
            top: 5,
            logits: true,
            ..Row::new(token as u32, &step.sampling)
        };
        let rows: [Row<'_>; MOST] = std::array::from_fn(row);
        let group = GroupFeed { table: &step.table, width: self.pages, base: &step.base, slots: &step.slots };
        let feed = Feed {
            tokens: &step.tokens,
            positions: &step.positions,
            sequences: &step.sequences,
            rows: &rows[..self.sequences as usize],
            groups: &[group; MOST][..self.groups],
            copies: &[],
            patches: &[],
            counts: &step.counts,
        };
        let launched = self.executor.launch(self.program, &feed)?;
        self.executor.finish(launched, fetch)
    }
}

/// A CPU, and the graph's weights on it.
pub fn load(graph: &Graph, options: &Options) -> (Cpu, Arc<dyn Weights>) {
    let cpu = Cpu::new(options).expect("there is a CPU");
    let weights = cpu.load(graph, &Source(graph)).expect("weights of every type load");
    (cpu, weights)
}
