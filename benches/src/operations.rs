//! Graphs of one kind of operation, many times over: enough of it that no cache holds its weights.

use graph::{Catalogue, Dim, Graph, GraphBuilder, Group, GroupId, Input, Op, ValueId, Var};
use tensor::{DType, Shape, WeightInfo};
use weights::Random;

/// Positions per page.
const PAGE_LEN: u32 = 16;
/// The seed of the weights.
const SEED: u64 = 1;

/// A graph with weights for it.
pub struct Made {
    /// The graph.
    pub graph: Graph,
    /// Its weights, random.
    pub source: Random,
}

/// The shape of attention layers.
#[derive(Clone, Copy, Debug)]
pub struct Layers {
    /// How many.
    pub count: u32,
    /// Query heads.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Elements of a head.
    pub width: u32,
}

/// `count` products, one behind another, with square weights of a type, `width` by `width`.
///
/// # Panics
/// Where a row is not whole blocks of the type.
pub fn linear(dtype: DType, width: u32, count: u32) -> Made {
    make(&format!("linear {dtype}"), width, dtype, |g, mut x| {
        for layer in 0..count {
            x = g.layer(&format!("layers.{layer}"), &[x], |f, args| {
                let weight = f.weight("proj.weight", &[width, width]);
                vec![f.op(Op::Linear, &[args[0], weight])]
            })[0];
        }
        x
    })
}

/// Layers of nothing but attention: queries, keys and values are slices of what comes in, and what comes out is
/// added to it.
pub fn attention(layers: Layers, kv: DType) -> Made {
    let Layers { count, heads, kv_heads, width } = layers;
    let of = |n: u32| [Dim::Var(Var::Tokens), Dim::Fixed(n), Dim::Fixed(width)];
    make(&format!("attention {kv}"), heads * width, DType::F32, |g, mut x| {
        let group = g.group(Group::Pages { window: None });
        for layer in 0..count {
            x = g.layer(&format!("layers.{layer}"), &[x], |f, args| {
                let [k, v] = [("k", 0), ("v", 1)].map(|(name, place)| {
                    // With one head of keys per query, both are the same values.
                    let start = place * kv_heads * width % (heads * width);
                    let values = f.slice(args[0], 1, start, kv_heads * width);
                    let values = f.reshape(values, &of(kv_heads));
                    let state = f.state(name, group, kv, &[kv_heads, width]);
                    let slots = f.input(Input::Slots(group));
                    f.write(state, slots, values);
                    f.read(state)
                });
                let q = f.reshape(args[0], &of(heads));
                let [positions, sequences, table, base] = inputs(group).map(|input| f.input(input));
                let attention = Op::Attention { scale: 1.0 / (width as f32).sqrt(), window: None };
                let out = f.op(attention, &[q, k, v, positions, sequences, table, base]);
                let out = f.reshape(out, &[Dim::Var(Var::Tokens), Dim::Fixed(heads * width)]);
                vec![f.add(args[0], out)]
            })[0];
        }
        x
    })
}

fn inputs(group: GroupId) -> [Input; 4] {
    [Input::Positions, Input::Sequences, Input::Table(group), Input::Base(group)]
}

/// Rows of a table, what `body` makes of them, and the rows of that which the step wants.
fn make(
    name: &str,
    width: u32,
    dtype: DType,
    body: impl FnOnce(&mut GraphBuilder<'_>, ValueId) -> ValueId,
) -> Made {
    let catalogue = Every(dtype);
    // The rows that come out are taken for logits, so there are as many tokens as elements.
    let mut g = GraphBuilder::new(name, width, PAGE_LEN, &catalogue);
    let table = g.weight("embed_tokens.weight", &[width, width]);
    let tokens = g.input(Input::Tokens);
    let x = g.op(Op::Embed, &[tokens, table]);
    let x = body(&mut g, x);
    let rows = g.input(Input::Rows);
    let wanted = g.gather(x, rows);
    let graph = g.finish(wanted).expect("this graph's shapes fit each other");
    graph::verify(&graph).expect("this graph is sound");
    let specs = graph.weights.iter().map(|weight| (weight.name.clone(), weight.info));
    let source = Random::new(specs.collect::<Vec<_>>(), SEED);
    Made { graph, source }
}

/// Has every weight: the table in bf16, all else in one type.
struct Every(DType);

impl Catalogue for Every {
    fn find(&self, name: &str, dims: &[u32]) -> Option<WeightInfo> {
        let dtype = if name.starts_with("embed") { DType::BF16 } else { self.0 };
        let shape = Shape::new(&dims.iter().map(|&n| n as usize).collect::<Vec<_>>());
        Some(WeightInfo { dtype, shape })
    }
}

#[cfg(test)]
mod tests {
    use graph::StepCounts;
    use polysilicon::bench::{Room, Runner, prefill};
    use polysilicon::{Choices, Device};

    use super::*;

    #[test]
    fn a_product_reads_its_weight_once_and_multiplies_per_row() {
        let made = linear(DType::F32, 64, 3);
        let counts = |tokens| StepCounts { tokens, seqs: 1, rows: 1, ..StepCounts::default() };
        let (one, many) = (made.graph.work(&counts(1)), made.graph.work(&counts(8)));
        let weights = 3.0 * 64.0 * 64.0;
        assert_eq!(many.operations, 8.0 * 2.0 * weights);
        assert_eq!(one.operations, 2.0 * weights);
        // A row of the table, which is bf16, and the matrices.
        assert_eq!(one.weight_bytes, 4.0 * weights + 2.0 * 64.0);
    }

    fn runs(made: Made, what: DType) {
        let backend = Device::Reference.backend(&Choices::default()).unwrap();
        let room = Room { seqs: 1, context: 16 };
        let mut runner = Runner::open(&*backend, made.graph, &made.source, room).unwrap();
        runner.run(&prefill(0, 0..5)).unwrap();
        assert!(runner.fetch().sampled[0].logprob.is_finite(), "{what}");
    }

    #[test]
    fn products_of_every_weight_type_run() {
        DType::weights().for_each(|dtype| runs(linear(dtype, 256, 2), dtype));
    }

    #[test]
    fn attention_runs() {
        let layers = Layers { count: 2, heads: 2, kv_heads: 1, width: 8 };
        runs(attention(layers, DType::F32), DType::F32);
    }
}
