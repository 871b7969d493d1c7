//! Graphs divided among ranks mean what the whole graph means.

use graph::{Part, Shard, ShardError, shard, verify};
use models::{Options, shapes};
use polysilicon_tests::golden::Golden;
use polysilicon_tests::lockstep::Lockstep;
use polysilicon_tests::prefill::Prefill;
use tensor::{DType, ErrorStats, WeightSource};

/// Normalised squared error: sums are made of as many parts as there are ranks, and else nothing differs.
const NMSE: f64 = 1e-9;

#[test]
fn every_golden_is_itself_on_two_ranks_and_on_four() {
    let mut faults = vec![];
    for golden in Golden::all() {
        for ranks in [2, 4] {
            if let Err(fault) = check(&golden, ranks) {
                faults.push(format!("{} on {ranks} ranks: {fault}", golden.name));
            }
        }
    }
    assert!(faults.is_empty(), "{} fail:\n{}", faults.len(), faults.join("\n"));
}

fn check(golden: &Golden, ranks: u32) -> Result<(), String> {
    let graph = shard(&golden.graph(DType::F32)?, ranks).map_err(|error| error.to_string())?;
    verify(&graph).map_err(|error| error.to_string())?;
    let context = (golden.ids.len() + golden.greedy.len()) as u32;
    let mut prefill = Prefill::open(&Lockstep::new(), &graph, &*golden.source, context)
        .map_err(|error| error.to_string())?;
    let fetch = prefill.feed(&golden.ids, &[]).map_err(|error| error.to_string())?;
    let stats = ErrorStats::new(&fetch.logits, &golden.logits);
    if !stats.within(NMSE) {
        return Err(format!("{stats}"));
    }
    let mut last = fetch.sampled.last().expect("a row per token").id;
    for (place, &want) in golden.greedy.iter().take(4).enumerate() {
        if last != want {
            return Err(format!("greedy token {place} is {last}, not {want}"));
        }
        last = prefill.feed(&[last], &[]).map_err(|error| error.to_string())?.sampled[0].id;
    }
    Ok(())
}
