//! Fusing changes how a model is computed and nothing of what it computes.

use std::collections::HashMap;

use graph::{Graph, fuse, fuse_counted, verify};
use polysilicon_tests::golden::Golden;
use polysilicon_tests::prefill::Prefill;
use tensor::DType;

/// Logits of the prompt and these values, as the reference computes them: fused operations as their expansions.
fn computed(golden: &Golden, graph: &Graph, taps: &[String]) -> (Vec<f32>, Vec<Vec<f32>>) {
    let context = golden.ids.len() as u32;
    let prefill = Prefill::open(&reference::Reference::new(), graph, &*golden.source, context);
    let fetch = prefill.and_then(|mut prefill| prefill.feed(&golden.ids, taps));
    let fetch = fetch.unwrap_or_else(|error| panic!("{}: {error}", golden.name));
    (fetch.logits, fetch.taps.into_iter().map(|(_, values)| values).collect())
}

#[test]
fn a_fused_model_gives_the_same_bits() {
    let mut applied = HashMap::<_, usize>::new();
    for golden in Golden::all() {
        let graph = golden.graph(DType::F32).unwrap_or_else(|error| panic!("{}: {error}", golden.name));
        // Some inner values are kept, which fusing them away would lose.
        let names = graph.names();
        let keep = names.iter().step_by(7).cloned().collect::<Vec<_>>();
        let plain = computed(&golden, &graph, &keep);
        let (fused, counts) = fuse_counted(&graph, &keep);
        verify(&fused).unwrap_or_else(|error| panic!("{}: {error}", golden.name));
        assert!(computed(&golden, &fused, &keep) == plain, "{}: with {keep:?} kept", golden.name);
        assert!(computed(&golden, &fuse(&graph, &[]), &[]).0 == plain.0, "{}", golden.name);
        for (rewrite, count) in counts {
            *applied.entry(rewrite).or_default() += count;
        }
    }
    for rewrite in ["gated_linear", "linear_add", "norm_rope"] {
        assert!(applied[rewrite] > 0, "no golden is fused by {rewrite}");
    }
}

#[test]
fn everything_kept_is_everything_as_it_was() {
    for golden in Golden::all() {
        let graph = golden.graph(DType::F32).unwrap_or_else(|error| panic!("{}: {error}", golden.name));
        assert_eq!(fuse(&graph, &graph.names()).names(), graph.names(), "{}", golden.name);
    }
}
