//! Two small models as graphs, described without the crate of models: a plain decoder, and one with windows, sinks
//! and experts.

#![allow(dead_code)] // Each test file uses a part of this.

use graph::{
    Act, BuildError, Catalogue, Dim, FuncBuilder, Graph, GraphBuilder, Group, GroupId, Input, Op, ValueId,
    Var,
};
use tensor::{DType, Shape, WeightInfo};

/// Has every weight, in the type that its name gets here.
pub struct Made(pub fn(&str) -> DType);

impl Catalogue for Made {
    fn find(&self, name: &str, dims: &[u32]) -> Option<WeightInfo> {
        let shape = Shape::new(&dims.iter().map(|&n| n as usize).collect::<Vec<_>>());
        Some(WeightInfo { dtype: self.0(name), shape })
    }
}

pub const PAGE_LEN: u32 = 4;
pub const VOCAB: u32 = 40;
pub const WIDTH: u32 = 32;
const HEADS: u32 = 4;
const KV_HEADS: u32 = 2;
const HEAD: u32 = 8;
const INNER: u32 = 64;

/// A plain decoder of two layers.
pub fn plain(catalogue: &Made) -> Graph {
    decoder("plain", catalogue, &[None, None], |f, x| {
        let (gate, up) = (linear(f, "gate", x, INNER), linear(f, "up", x, INNER));
        let inner = f.op(Op::GatedAct(Act::Silu), &[gate, up]);
        linear(f, "down", inner, WIDTH)
    })
    .expect("a graph")
}

/// Four layers with windows in every other, sinks, and two of four experts.
pub fn mixture(catalogue: &Made) -> Graph {
    decoder("mixture", catalogue, &[Some(6), None, Some(6), None], |f, x| {
        let scores = linear(f, "router", x, 4);
        let mut args = vec![x];
        args.extend(f.ops(Op::Route { k: 2 }, &[scores]));
        for (name, out, of) in [("gate", INNER, WIDTH), ("up", INNER, WIDTH), ("down", WIDTH, INNER)] {
            args.push(f.weight(&format!("experts.{name}"), &[4, out, of]));
        }
        for (name, out) in [("gate", INNER), ("up", INNER), ("down", WIDTH)] {
            args.push(f.weight(&format!("experts.{name}.bias"), &[4, out]));
        }
        let act = Act::Clamped { alpha: 1.702, limit: 7.0 };
        let x = f.op(Op::ExpertFfn { act, biased: true }, &args);
        f.name(x, "experts")
    })
    .expect("a graph")
}

/// Layers with these windows, each with attention and what follows it.
pub fn decoder(
    name: &str,
    catalogue: &Made,
    windows: &[Option<u32>],
    mut after: impl FnMut(&mut FuncBuilder<'_>, ValueId) -> ValueId,
) -> Result<Graph, BuildError> {
    let mut g = GraphBuilder::new(name, VOCAB, PAGE_LEN, catalogue);
    let table = g.weight("embed", &[VOCAB, WIDTH]);
    let tokens = g.input(Input::Tokens);
    let mut x = g.op(Op::Embed, &[tokens, table]);
    g.name(x, "embed");
    for (i, &window) in windows.iter().enumerate() {
        let group = g.group(Group::Pages { window });
        x = g.layer(&format!("layers.{i}"), &[x], |f, args| {
            let normed = norm(f, "attn_norm", args[0]);
            let attended = attention(f, normed, group, window);
            let x = f.add(args[0], attended);
            let normed = norm(f, "after_norm", x);
            let more = after(f, normed);
            let x = f.add(x, more);
            vec![f.name(x, "out")]
        })[0];
    }
    let rows = g.input(Input::Rows);
    let x = g.gather(x, rows);
    let x = norm(&mut g, "norm", x);
    let logits = g.op(Op::Linear, &[x, table]);
    g.name(logits, "logits");
    g.finish(logits)
}

fn norm(f: &mut FuncBuilder<'_>, name: &str, x: ValueId) -> ValueId {
    let w = f.weight(name, &[WIDTH]);
    f.op(Op::RmsNorm { eps: 1e-5 }, &[x, w])
}

fn linear(f: &mut FuncBuilder<'_>, name: &str, x: ValueId, width: u32) -> ValueId {
    let w = f.weight(name, &[width, f.width(x)]);
    f.op(Op::Linear, &[x, w])
}

fn attention(f: &mut FuncBuilder<'_>, x: ValueId, group: GroupId, window: Option<u32>) -> ValueId {
    let tokens = Dim::Var(Var::Tokens);
    let positions = f.input(Input::Positions);
    let frequencies = f.vector(vec![1.0, 0.1, 0.01, 0.001]);
    let [q, k, v] = [("q", HEADS), ("k", KV_HEADS), ("v", KV_HEADS)].map(|(name, heads)| {
        let x = linear(f, name, x, heads * HEAD);
        f.reshape(x, &[tokens, heads.into(), HEAD.into()])
    });
    let [q, k] = [q, k].map(|x| f.op(Op::Rope { scale: 1.0 }, &[x, positions, frequencies]));
    let slots = f.input(Input::Slots(group));
    let states = [("k_state", k), ("v_state", v)].map(|(name, value)| {
        let state = f.state(name, group, DType::F16, &[KV_HEADS, HEAD]);
        f.write(state, slots, value);
        f.read(state)
    });
    let mut args = vec![q, states[0], states[1], positions];
    args.extend([Input::Sequences, Input::Table(group), Input::Base(group)].map(|input| f.input(input)));
    if window.is_some() {
        args.push(f.weight("sinks", &[HEADS]));
    }
    let x = f.op(Op::Attention { scale: 0.25, window }, &args);
    f.name(x, "attention");
    let x = f.reshape(x, &[tokens, (HEADS * HEAD).into()]);
    linear(f, "o", x, WIDTH)
}
