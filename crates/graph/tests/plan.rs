//! Plans played with stamps for values: every node must find in each argument's place what was made for it.

mod common;

use std::collections::HashMap;

use common::{Made, WIDTH, decoder, mixture, plain};
use graph::{
    ARENA_ALIGN, Bucket, Func, Graph, Input, Op, Param, Place, Placed, Plan, Ty, ValueId, bind, expand, fuse,
};
use proptest::prelude::*;
use proptest::sample::subsequence;
use tensor::DType;

const F32: Made = Made(|_| DType::F32);
const DECODE: Bucket = Bucket { tokens: 2, seqs: 2, queries: 1, pages: 3, rows: 2 };

/// What a value is, whoever computes it and wherever it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stamp {
    Nothing,
    /// Something that is there before the step.
    Given(Place),
    /// The state as it was after this node.
    Written(usize, usize),
    /// A result of a node.
    Made(usize, usize),
}

/// The graph run on stamps, function by function, giving the arguments of each node that a plan keeps.
struct Walk<'a> {
    graph: &'a Graph,
    keep: &'a [String],
    args: Vec<Vec<Stamp>>,
}

impl Walk<'_> {
    fn of(graph: &Graph, keep: &[String]) -> (Vec<Vec<Stamp>>, Vec<Stamp>) {
        let (mut weights, mut states) = (0.., 0..);
        let given = graph.main().params.iter().map(|param| match param {
            Param::Input(input) => Place::Input(*input),
            Param::Weight(_) => Place::Weight(weights.next().expect("without end")),
            Param::State(..) => Place::State(states.next().expect("without end")),
            Param::Value => unreachable!("main takes no values"),
        });
        let mut walk = Walk { graph, keep, args: vec![] };
        let results = walk.func(graph.main(), given.map(Stamp::Given).collect(), "");
        (walk.args, results)
    }

    fn func(&mut self, func: &Func, given: Vec<Stamp>, path: &str) -> Vec<Stamp> {
        let mut values = vec![];
        for node in &func.nodes {
            let args = node.args.iter().map(|arg| values[arg.index()]).collect::<Vec<_>>();
            let here = format!("{path}{}", node.name.as_deref().unwrap_or_default());
            let mut made = match &node.op {
                Op::Param(place) => vec![given[*place as usize]],
                Op::Call(callee) => self.func(self.graph.func(*callee), args, &format!("{here}.")),
                Op::Reshape(_) => vec![args[0]],
                Op::Constant(_) => vec![Stamp::Given(Place::Constant(0))],
                Op::StateWrite => {
                    let Stamp::Given(Place::State(state)) = args[0] else { panic!("written once") };
                    self.args.push(args);
                    vec![Stamp::Written(state, self.args.len() - 1)]
                }
                _ => {
                    self.args.push(args);
                    (0..node.results as usize).map(|i| Stamp::Made(self.args.len() - 1, i)).collect()
                }
            };
            let vanishes = matches!(node.op, Op::Param(_) | Op::Call(_) | Op::Reshape(_) | Op::Constant(_));
            if vanishes && node.name.is_some() && self.keep.contains(&here) {
                self.args.push(vec![made[0]]);
                made[0] = Stamp::Made(self.args.len() - 1, 0);
            }
            values.extend(made);
        }
        func.results.iter().map(|value| values[value.index()]).collect()
    }
}

/// The memory that a plan runs in, in lines as wide as its alignment.
struct Memory<'a> {
    plan: &'a Plan,
    arena: Vec<Stamp>,
    states: HashMap<usize, usize>,
}

impl Memory<'_> {
    fn lines(&self, value: ValueId) -> Option<std::ops::Range<usize>> {
        let Placed { ty, place: Place::Arena { offset } } = self.plan.values[value.index()] else {
            return None;
        };
        assert!(offset.is_multiple_of(ARENA_ALIGN));
        Some(offset / ARENA_ALIGN..(offset + ty.bytes() as usize).div_ceil(ARENA_ALIGN))
    }

    /// What lies in a value's place; `Nothing` where its bytes do not hold one thing.
    fn read(&self, value: ValueId) -> Stamp {
        match self.plan.place(value) {
            Place::Arena { .. } => {
                let lines = &self.arena[self.lines(value).expect("in the arena")];
                let first = lines.first().copied().unwrap_or(Stamp::Nothing);
                if lines.iter().all(|line| *line == first) { first } else { Stamp::Nothing }
            }
            Place::Constant(_) => Stamp::Given(Place::Constant(0)),
            Place::State(state) => match self.states.get(&state) {
                Some(&node) => Stamp::Written(state, node),
                None => Stamp::Given(Place::State(state)),
            },
            place => Stamp::Given(place),
        }
    }

    fn write(&mut self, node: usize, results: &[ValueId]) {
        for (i, &result) in results.iter().enumerate() {
            match (self.plan.place(result), self.lines(result)) {
                (_, Some(lines)) => self.arena[lines].fill(Stamp::Made(node, i)),
                (Place::State(state), _) => drop(self.states.insert(state, node)),
                (place, _) => panic!("{place:?} cannot be written"),
            }
        }
    }
}

fn check(graph: &Graph, keep: &[String]) -> Plan {
    let plan = Plan::of(graph, keep);
    let (wanted, results) = Walk::of(graph, keep);
    let nothing = vec![Stamp::Nothing; plan.arena_bytes / ARENA_ALIGN];
    let mut memory = Memory { plan: &plan, arena: nothing, states: HashMap::new() };
    assert_eq!(plan.nodes.len(), wanted.len());
    for (place, (node, wanted)) in plan.nodes.iter().zip(&wanted).enumerate() {
        let found = node.args.iter().map(|&arg| memory.read(arg)).collect::<Vec<_>>();
        assert_eq!(&found, wanted, "node {place}, {} in {}", node.op, node.path);
        // A kernel reads its arguments while it writes its results.
        memory.write(place, &node.results);
        for arg in node.args.iter().filter(|arg| memory.lines(**arg).is_some()) {
            assert_eq!(memory.read(*arg), found[node.args.iter().position(|a| a == arg).expect("its own")]);
        }
    }
    let found = plan.results.iter().map(|&value| memory.read(value)).collect::<Vec<_>>();
    assert_eq!(found, results, "what main gives");
    for name in keep {
        let place = plan.nodes.iter().position(|node| node.named && node.path == *name);
        let place = place.unwrap_or_else(|| panic!("{name} is no node"));
        let value = plan.nodes[place].results[0];
        assert_eq!(memory.read(value), Stamp::Made(place, 0), "{name} lives to the end");
    }
    plan
}

fn any_bucket() -> impl Strategy<Value = Bucket> {
    (1u32..5, 1u32..7, 1u32..5, any::<bool>()).prop_map(|(seqs, queries, pages, uniform)| {
        let (tokens, queries) = if uniform { (seqs * queries, queries) } else { (seqs + queries, 0) };
        Bucket { tokens, seqs, queries, pages, rows: seqs }
    })
}

fn any_graph() -> impl Strategy<Value = (Graph, Vec<String>)> {
    let blocks = Made(|name| match name {
        name if name.contains("experts") && !name.contains("bias") => DType::MXFP4,
        name if name.contains("norm") || name.contains("sinks") || name.contains("bias") => DType::F32,
        _ => DType::Q8_0,
    });
    let built = (any::<bool>(), any_bucket()).prop_map(move |(windows, bucket)| {
        (bind(&if windows { mixture(&blocks) } else { plain(&blocks) }, &bucket), bucket)
    });
    let kept = built.prop_flat_map(|(graph, bucket)| {
        let names = graph.names();
        let count = names.len();
        (Just(graph), Just(bucket), subsequence(names, 0..=count), any::<bool>(), any::<bool>())
    });
    kept.prop_map(|(graph, bucket, keep, fused, expanded)| {
        let graph = if fused { fuse(&graph, &keep) } else { graph };
        (if expanded { expand(&graph, &bucket, &|_| false) } else { graph }, keep)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn nothing_alive_is_written_over((graph, keep) in any_graph()) {
        check(&graph, &keep);
    }
}

#[test]
fn the_arena_is_as_large_as_what_lives_at_once() {
    // Of two tokens: values of 32, 64 and 40 numbers. What lives at once at its largest is a layer's normed input,
    // its residual, gate and up: 32 + 32 + 64 + 64 numbers; while gate and up become the product, 64 more than the
    // residual and the two.
    let plan = check(&bind(&plain(&F32), &DECODE), &[]);
    assert_eq!(plan.arena_bytes, 2 * 4 * (32 + 3 * 64));
}

#[test]
fn layers_have_nodes_of_their_own() {
    let plan = check(&bind(&plain(&F32), &DECODE), &[]);
    let of = |path: &str| plan.named(path).unwrap_or_else(|| panic!("{path} is a node"));
    assert!(matches!(of("layers.0.attention").op, Op::Attention { .. }));
    assert_ne!(of("layers.0.attention").args[1], of("layers.1.attention").args[1]);
    assert_eq!(plan.place(of("layers.0.attention").args[1]), Place::State(0));
    assert_eq!(plan.place(of("layers.1.attention").args[2]), Place::State(3));
    assert_eq!(plan.place(of("embed").args[0]), Place::Input(Input::Tokens));
    assert_eq!(of("embed").args[1], of("logits").args[1], "a tied table");
    assert_eq!(plan.place(of("embed").args[1]), Place::Weight(0));
    assert_eq!(plan.results[0], of("logits").results[0]);
    assert_eq!(plan.constants.len(), 1, "both layers turn by the same frequencies");
    assert!(!plan.nodes.iter().any(|node| matches!(node.op, Op::Reshape(_))));
    assert!(plan.nodes.iter().any(|node| !node.named && node.path == "layers.1"));
}

#[test]
fn a_name_whose_node_vanishes_is_copied_where_it_is_kept() {
    let graph = decoder("named", &F32, &[None], |f, x| {
        let dims = f.dims(x);
        let y = f.reshape(x, &[dims[0], 4.into(), (WIDTH / 4).into()]);
        f.name(y, "split");
        f.reshape(y, &dims)
    });
    let graph = bind(&graph.expect("a graph"), &DECODE);
    let keep = ["layers.0.split", "layers.0"].map(str::to_owned);
    let plan = check(&graph, &keep);
    let copies = plan.nodes.iter().filter(|node| matches!(node.op, Op::Reshape(_))).collect::<Vec<_>>();
    assert_eq!(copies.iter().map(|node| &node.path[..]).collect::<Vec<_>>(), ["layers.0.split", "layers.0"]);
    assert_eq!(check(&graph, &[]).nodes.len(), plan.nodes.len() - 2);
}

#[test]
fn single_operations_take_arguments() {
    let args = [Ty::new(DType::F32, [3, 4]), Ty::new(DType::F32, [5, 4])];
    let graph = Graph::of_op(&Op::Linear, &args, 4).expect("legal");
    let plan = Plan::of(&graph, &[]);
    let places = plan.nodes[0].args.iter().map(|&arg| plan.place(arg)).collect::<Vec<_>>();
    assert_eq!(places, [Place::Argument(0), Place::Argument(1)]);
    assert_eq!((plan.results.len(), plan.arena_bytes), (1, 64));
}
