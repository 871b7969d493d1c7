//! What decoder layers are composed of. Names given here are those of the weights below the layer, and the names
//! under which values can be probed.

use graph::{Act, BinaryOp, Dim, FuncBuilder, GroupId, Input, Op, Shard, ValueId};

use crate::decoder::Decoder;
use crate::rope::Rope;

/// Grouped-query attention over pages.
#[derive(Clone, Debug)]
pub struct Attention<'a> {
    /// Query heads, kv heads, head width and kv type are the decoder's.
    pub dims: &'a Decoder,
    /// How positions turn queries and keys.
    pub rope: &'a Rope,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether the output has one.
    pub out_bias: bool,
    /// Whether each query and key head is normed.
    pub head_norm: bool,
    /// Whether each head has a sink.
    pub sinks: bool,
    /// Positions visible to a token.
    pub window: Option<u32>,
    /// The group of states with that window.
    pub group: GroupId,
}

impl Decoder {
    /// The group of states that a layer's keys and values are in: one per window, in the order they are met.
    pub fn group(&self, layer: u32) -> GroupId {
        let mut met: Vec<Option<u32>> = vec![];
        for window in &self.windows[..=layer as usize] {
            if !met.contains(window) {
                met.push(*window);
            }
        }
        let place = met.iter().position(|window| *window == self.windows[layer as usize]);
        GroupId(place.unwrap_or(0) as u32)
    }

    /// Plain attention of a layer: no biases, no norms, no sinks.
    pub fn attention(&self, layer: u32) -> Attention<'_> {
        let window = self.windows[layer as usize];
        Attention {
            dims: self,
            rope: &self.rope,
            qkv_bias: false,
            out_bias: false,
            head_norm: false,
            sinks: false,
            window,
            group: self.group(layer),
        }
    }
}

/// The blocks, as words of a layer.
pub trait Blocks {
    /// `x / rms(x) * w`.
    fn rms_norm(&mut self, name: &str, x: ValueId, eps: f32) -> ValueId;

    /// `x w^T`, plus a bias where there is one. `shard` says how several ranks divide the weight, and thereby the bias.
    fn linear(&mut self, name: &str, x: ValueId, width: u32, bias: bool, shard: Shard) -> ValueId;

    /// Attention of a layer, from its normed input to its output.
    fn attention(&mut self, name: &str, x: ValueId, attention: &Attention<'_>) -> ValueId;

    /// `down(act(gate(x), up(x)))`.
    fn gated_mlp(&mut self, name: &str, x: ValueId, inner: u32, act: Act, bias: bool) -> ValueId;

    /// `a + b`, named.
    fn residual(&mut self, name: &str, a: ValueId, b: ValueId) -> ValueId;
}

impl Blocks for FuncBuilder<'_> {
    #[track_caller]
    fn rms_norm(&mut self, name: &str, x: ValueId, eps: f32) -> ValueId {
        let width = self.width(x);
        let w = self.weight(&format!("{name}.weight"), &[width]);
        let x = self.op(Op::RmsNorm { eps }, &[x, w]);
        self.name(x, name)
    }

    #[track_caller]
    fn linear(&mut self, name: &str, x: ValueId, width: u32, bias: bool, shard: Shard) -> ValueId {
        let of = self.width(x);
        let mut args = vec![x, self.weight_by(&format!("{name}.weight"), &[width, of], shard)];
        if bias {
            args.push(self.weight_by(&format!("{name}.bias"), &[width], of_bias(shard)));
        }
        let y = self.op(Op::Linear, &args);
        self.name(y, name)
    }

    #[track_caller]
    fn attention(&mut self, name: &str, x: ValueId, attention: &Attention<'_>) -> ValueId {
        let &Attention { dims, rope, group, window, .. } = attention;
        let (heads, kv_heads, width) = (dims.heads, dims.kv_heads, dims.head_width);
        let tokens = self.dims(x)[0];
        let split = |f: &mut Self, part: &str, heads: u32, shard| {
            let x = f.linear(&format!("{name}.{part}_proj"), x, heads * width, attention.qkv_bias, shard);
            f.reshape(x, &[tokens, Dim::Fixed(heads), Dim::Fixed(width)])
        };
        let mut q = split(self, "q", heads, Shard::Heads { axis: 0, width });
        let of_kv = Shard::KvHeads { axis: 0, width };
        let (mut k, v) = (split(self, "k", kv_heads, of_kv), split(self, "v", kv_heads, of_kv));
        if attention.head_norm {
            q = self.rms_norm(&format!("{name}.q_norm"), q, dims.eps);
            k = self.rms_norm(&format!("{name}.k_norm"), k, dims.eps);
        }
        let positions = self.input(Input::Positions);
        let frequencies = self.vector(rope.frequencies.clone());
        let mut turn = |x, part: &str| {
            let x = self.op(Op::Rope { scale: rope.scale }, &[x, positions, frequencies]);
            self.name(x, &format!("{name}.{part}_rope"))
        };
        let (q, k) = (turn(q, "q"), turn(k, "k"));

        let slots = self.input(Input::Slots(group));
        let [keys, values] = ["k", "v"].map(|part| {
            let shard = Shard::KvHeads { axis: 0, width: 1 };
            self.state_by(&format!("{name}.{part}"), group, dims.kv, &[kv_heads, width], shard)
        });
        self.write(keys, slots, k);
        self.write(values, slots, v);
        let inputs =
            [Input::Sequences, Input::Table(group), Input::Base(group)].map(|input| self.input(input));
        let mut args = vec![q, self.read(keys), self.read(values), positions];
        args.extend(inputs);
        if attention.sinks {
            let shard = Shard::Heads { axis: 0, width: 1 };
            args.push(self.weight_by(&format!("{name}.sinks"), &[heads], shard));
        }
        let x = self.op(Op::Attention { scale: 1.0 / (width as f32).sqrt(), window }, &args);
        self.name(x, &format!("{name}.heads"));
        let x = self.reshape(x, &[tokens, Dim::Fixed(heads * width)]);
        let shard = Shard::Heads { axis: 1, width };
        let x = self.linear(&format!("{name}.o_proj"), x, dims.width, attention.out_bias, shard);
        self.name(x, "attn")
    }

    #[track_caller]
    fn gated_mlp(&mut self, name: &str, x: ValueId, inner: u32, act: Act, bias: bool) -> ValueId {
        let width = self.width(x);
        let gate = self.linear(&format!("{name}.gate_proj"), x, inner, bias, Shard::Even(0));
        let up = self.linear(&format!("{name}.up_proj"), x, inner, bias, Shard::Even(0));
        let x = self.op(Op::GatedAct(act), &[gate, up]);
        self.name(x, &format!("{name}.act"));
        let x = self.linear(&format!("{name}.down_proj"), x, width, bias, Shard::Even(1));
        self.name(x, "mlp")
    }

    #[track_caller]
    fn residual(&mut self, name: &str, a: ValueId, b: ValueId) -> ValueId {
        let x = self.op(Op::Binary(BinaryOp::Add), &[a, b]);
        self.name(x, name)
    }
}

/// How a bias is divided beside its weight: outputs are divided alike, and what is added to a sum is added once.
fn of_bias(weight: Shard) -> Shard {
    match weight {
        Shard::Even(0) | Shard::Heads { axis: 0, .. } | Shard::KvHeads { axis: 0, .. } => weight,
        Shard::Even(_) | Shard::Heads { .. } | Shard::KvHeads { .. } => Shard::Once,
        Shard::Whole | Shard::Once | Shard::Vocabulary => Shard::Whole,
    }
}
