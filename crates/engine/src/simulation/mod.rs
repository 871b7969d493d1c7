//! The engine in a small world of its own, run from one seed under a virtual clock: requests that come at random, share
//! prefixes, fork, are cancelled, stall and time out, on a device with too few pages whose steps are slow or fail.
//!
//! After every step the invariants hold (`audit.rs`), and every answer is the one that its request has alone. What each
//! check is worth is shown by breaking the engine on purpose (`sabotage.rs`). `cargo xtask simulate` runs more seeds.

mod audit;
mod lone;
mod plan;
mod sabotage;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::World;

/// Seeds of a run that nobody asked more of.
const SEEDS: u64 = 300;

/// A number from the environment, as `cargo xtask simulate` sets it.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn seeds() {
    let first = asked("POLYSILICON_SEED").unwrap_or(0);
    let count = asked("POLYSILICON_SEEDS").unwrap_or(SEEDS);
    let mut sum = world::Tally::default();
    for seed in first..first.saturating_add(count) {
        match catch_unwind(AssertUnwindSafe(|| World::new(seed).run())) {
            Ok(tally) => sum.add(&tally),
            Err(panic) => {
                eprintln!("seed {seed} fails; `cargo xtask simulate --seed {seed}` replays it");
                resume_unwind(panic);
            }
        }
    }
    println!("{count} seeds from {first}: {sum:?}");
    // A world in which nothing happens would find nothing either.
    if count >= SEEDS {
        sum.assert_lively();
    }
}

#[test]
fn a_seed_is_a_world() {
    assert_eq!(World::new(7).run(), World::new(7).run());
}
