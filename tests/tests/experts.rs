//! Experts that steps touch, as devices count them, held against the scores by which the reference chooses; and that whoever
//! was in a step is charged for the experts that were read, and for no others.

use std::collections::BTreeSet;
use std::ops::Range;

use graph::{Backend, Fetch, Graph, GroupCounts, StepCounts};
use polysilicon::{Device, Model, Precision, Sampling};
use polysilicon_tests::golden::{Golden, root};
use polysilicon_tests::prefill::Prefill;
use tensor::DType;

const MIXTURES: [&str; 3] = ["gpt-oss-bf16", "gpt-oss-mxfp4", "gpt-oss-mxfp4-full-first"];

fn golden(name: &str) -> Golden {
    Golden::open(&root().join("goldens").join(name))
}

fn chosen_per_token(golden: &Golden) -> usize {
    golden.config.count("num_experts_per_tok").expect("it has experts") as usize
}

/// The names of what experts are chosen by, one of each layer.
fn scores(graph: &Graph) -> Vec<String> {
    let mut names = vec![];
    graph.walk(&mut |path, _, _, _| names.extend(path.ends_with("mlp.router").then(|| path.to_owned())));
    names.dedup();
    assert_eq!(names.len() as u32, graph.mixtures());
    names
}

/// Experts whose score is among the highest of any token, each once a layer.
fn touched(fetch: &Fetch, chosen: usize) -> u32 {
    let of_layer = |(shape, scores): &(tensor::Shape, Vec<f32>)| {
        let rows = scores.chunks_exact(shape.row_len());
        let highest = rows.flat_map(|row| {
            let mut experts = (0..row.len()).collect::<Vec<_>>();
            experts.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            experts.truncate(chosen);
            experts
        });
        highest.collect::<BTreeSet<_>>().len() as u32
    };
    fetch.taps.iter().map(of_layer).sum()
}

/// Steps of a prompt: at once, in pieces, token by token.
fn pieces(ids: &[u32]) -> Vec<Vec<&[u32]>> {
    vec![vec![ids], ids.chunks(3).collect(), ids.chunks(1).collect()]
}

#[test]
fn devices_count_the_experts_that_the_reference_chooses() {
    let cpu = cpu::Options { threads: Some(2), precision: cpu::Precision::F32, isa: None };
    let cpu = cpu::Cpu::new(&cpu).expect("it is here");
    let backends: [&dyn Backend; 2] = [&reference::Reference::new(), &cpu];
    for name in MIXTURES {
        let golden = golden(name);
        let graph = golden.graph(DType::F32).expect("a graph");
        let (names, chosen) = (scores(&graph), chosen_per_token(&golden));
        let open = |backend| Prefill::open(backend, &graph, &*golden.source, golden.ids.len() as u32);
        for steps in pieces(&golden.ids) {
            let mut reference = open(backends[0]).expect("it opens");
            let told = steps.iter().map(|ids| reference.feed(ids, &names).expect("it runs"));
            let told = told.map(|fetch| touched(&fetch, chosen)).collect::<Vec<_>>();
            // Neither choices nor all experts, or counting those would do.
            let choices = graph.mixtures() * (chosen * steps[0].len()) as u32;
            assert!(told[0] <= choices && (steps[0].len() < 3 || told[0] < choices), "{name}: {told:?}");
            for backend in backends {
                let mut prefill = open(backend).expect("it opens");
                let counted =
                    steps.iter().map(|ids| prefill.feed(ids, &[]).expect("it runs").experts_touched);
                let counted = counted.collect::<Vec<_>>();
                assert_eq!(counted, told.iter().copied().map(Some).collect::<Vec<_>>(), "{name}");
            }
        }
    }
    let dense = golden("llama-biases");
    let graph = dense.graph(DType::F32).expect("a graph");
    for backend in backends {
        let mut prefill = Prefill::open(backend, &graph, &*dense.source, 8).expect("it opens");
        assert_eq!(prefill.feed(&[1, 2, 3], &[]).expect("it runs").experts_touched, None);
    }
}

/// What a step of one sequence holds.
fn counts(graph: &Graph, positions: Range<u32>, experts: u32) -> StepCounts {
    let count = positions.len() as u32;
    let group = |&graph::Group::Pages { window }: &graph::Group| {
        let sees = |position: u32| u64::from(position + 1).min(window.map_or(u64::MAX, u64::from));
        GroupCounts {
            attended: positions.clone().map(sees).sum(),
            positions: sees(positions.start) + u64::from(count) - 1,
        }
    };
    let groups = graph.groups.iter().map(group).collect();
    StepCounts { tokens: count, seqs: 1, rows: 1, groups, ..StepCounts::default() }
        .touching(graph, Some(experts))
}

#[test]
fn an_answer_is_charged_for_the_experts_that_it_touched() {
    let golden = golden("gpt-oss-mxfp4");
    let folder = root().join("goldens/gpt-oss-mxfp4");
    let model = Model::open(&folder.display().to_string()).expect("it opens");
    let model = model.device(Device::Cpu).precision(Precision::F32).kv(DType::F16).load().expect("it loads");
    let sampling = Sampling::default().max_tokens(9).ignore_end(true);
    let receipt =
        model.generate(golden.ids.clone(), &sampling).expect("it starts").finish().expect("it ends");

    // The same steps on the reference: the prompt, then every token but the last.
    let graph = model.graph();
    let (names, chosen) = (scores(graph), chosen_per_token(&golden));
    let mut reference =
        Prefill::open(&reference::Reference::new(), graph, &*golden.source, 64).expect("it opens");
    let mut steps = vec![&golden.ids[..]];
    steps.extend(receipt.ids[..receipt.ids.len() - 1].chunks(1));
    let (mut from, mut told) = (0, vec![]);
    for ids in steps {
        let fetch = reference.feed(ids, &names).expect("it runs");
        let to = from + ids.len() as u32;
        told.push((from..to, touched(&fetch, chosen)));
        from = to;
    }
    let bytes = |off: i32| {
        let of = |(positions, experts): &(Range<u32>, u32)| {
            graph.work(&counts(graph, positions.clone(), experts.saturating_add_signed(off))).memory_bytes()
        };
        told.iter().map(of).sum::<f64>()
    };
    let charged = receipt.cost.charge.bytes();
    let off = |bytes: f64| (charged / bytes - 1.0).abs();
    assert!(off(bytes(0)) < 1e-9, "{charged} bytes are charged, and {} were read", bytes(0));
    assert!(off(bytes(1)) > 1e-4 && off(bytes(-1)) > 1e-4, "an expert more or less shows");

    // And so it is told of steps of as many tokens.
    let counted = model.totals().expect("the thread lives").experts;
    let decoded = &told[1..];
    let mean = decoded.iter().map(|(_, experts)| f64::from(*experts)).sum::<f64>()
        / f64::from(graph.mixtures())
        / decoded.len() as f64;
    let single = counted.iter().find(|touched| touched.tokens == 1).expect("tokens were decoded");
    assert_eq!(single.steps, decoded.len() as u64);
    assert!((single.experts - mean).abs() < 1e-9, "{single:?} is not {mean}");
}
