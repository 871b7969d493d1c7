//! Once warm, a step of decoding allocates nothing, whoever decodes and however many wait.

mod common;

use allocation_counter::measure;
use common::{facts, prompt};
use engine::null::Quiet;
use engine::{Engine, Facts, Request};
use graph::BucketPolicy;

/// Steps before and while it is watched; pages fill up and enter the index in both.
const WARM: u32 = 100;
const WATCHED: u32 = 400;

#[test]
fn a_step_of_decoding_allocates_nothing() {
    for (seqs, waiting) in [(1, 0), (64, 0), (64, 2000)] {
        let context = 2 * (WARM + WATCHED);
        let facts =
            Facts { max_seqs: seqs, buckets: BucketPolicy::RoundedPages, ..facts(&[0, 20], 4, context, 64) };
        let pages = facts.budget(None).pages;
        let mut engine = Engine::new(Box::new(Quiet::new(pages, 5)), facts).expect("there are pages");
        for seed in 0..seqs + waiting {
            let request = Request { seed: u64::from(seed), ..Request::new(prompt(3 + seed % 7)) };
            engine.start(request).expect("the request is good");
        }
        (0..WARM).for_each(|_| engine.step().for_each(drop));
        let mut tokens = 0;
        let allocated = measure(|| (0..WATCHED).for_each(|_| tokens += engine.step().count() as u32));
        assert_eq!(tokens, seqs * WATCHED, "all decode and none ends");
        assert_eq!(allocated.count_total, 0, "{seqs} sequences, {waiting} waiting");
    }
}
