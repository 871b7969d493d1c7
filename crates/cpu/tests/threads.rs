//! More workers than cores: steps are slower, give the same, and end.

mod common;

use common::{Steps, decoder};
use cpu::{Options, Precision};
use graph::Fetch;
use tensor::DType;

/// Logits and choices of short steps.
fn run(threads: usize) -> Vec<u32> {
    let graph = decoder(DType::Q8_0, DType::BF16);
    let options = Options { threads: Some(threads), precision: Precision::Auto, isa: None };
    let mut steps = Steps::open(&graph, &options, 3, 300);
    let mut fetch = Fetch::default();
    let mut bits = vec![];
    for position in 0..300 {
        let step = steps.at(position);
        steps.run(&step, &mut fetch).expect("a step runs");
        bits.extend(fetch.logits.iter().map(|x| x.to_bits()));
        bits.extend(fetch.sampled.iter().map(|sampled| sampled.id));
    }
    bits
}

#[test]
fn more_workers_than_cores_give_the_same() {
    let wanted = run(1);
    for threads in [8, 13] {
        assert!(run(threads) == wanted, "{threads} threads");
    }
}

#[test]
fn executors_share_the_cores() {
    let wanted = run(1);
    std::thread::scope(|scope| {
        let runs = (0..3).map(|_| scope.spawn(|| run(4))).collect::<Vec<_>>();
        runs.into_iter().for_each(|run| assert!(run.join().expect("it ends") == wanted));
    });
}
