//! The ledger over a simulated engine, by a clock that only moves when somebody moves it: so the sum is exact, and whatever
//! is counted twice or not at all shows.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cost::{Ledger, PartUse, Price, Rates, StepUse, Stretch, Totals};
use engine::null::{Null, NullExecutor};
use engine::{Account, Clock, Engine, Event, Facts, Request, SequenceId};
use graph::{BucketPolicy, Graph};
use tensor::DType;

const VOCAB: u32 = 100;

fn graph() -> Graph {
    polysilicon::Opened::find("embedded", None).expect("it is there").graph(DType::F16).expect("a graph")
}

/// What becomes of an account on its way to the ledger.
type Change = fn(&mut StepUse<'_, SequenceId>);

/// Runs a small world; the totals of its ledger, what the receipts come to, and what the clock says.
fn run(change: Change) -> (Totals, f64, f64) {
    let graph = graph();
    let hands = Arc::new(AtomicU64::new(0));
    let null = Null {
        step_ns: 20_000,
        hands: Some(hands.clone()),
        ..Null::new(graph.groups.clone(), 16, vec![65], VOCAB)
    };
    let facts = Facts {
        groups: graph.groups.clone(),
        page_len: 16,
        context: 512,
        vocab: VOCAB,
        buckets: BucketPolicy::PowersOfTwo,
        chunk: 32,
        max_seqs: 4,
        usual: 256,
        overlap: true,
        mixed_steps: true,
    };
    let clock = Clock::by_hand(hands.clone());
    let executor = Box::new(NullExecutor::new(null));
    let mut engine = Engine::with_clock(executor, facts, clock.clone()).expect("there are pages");
    let mut ledger = Ledger::new(&graph, Rates { bytes_per_s: 1e10, operations_per_s: 1e11 });
    let mut receipts = 0.0;
    for round in 0..20 {
        // Nobody asks for anything for a while.
        hands.fetch_add(50_000, Ordering::Relaxed);
        for n in 0..6 {
            let prompt = (0..5 + 17 * n).map(|id| (id * 7 + n) % VOCAB).collect();
            let request = Request { max_tokens: 3 + 5 * n, ..Request::new(prompt) };
            ledger.open(engine.start(request).expect("it is good"));
        }
        let mut steps = 0;
        while !engine.is_idle() {
            let events = engine.step();
            enter(&mut ledger, &events.account(), change);
            let ended = events.filter_map(|event| match event {
                Event::Finished { sequence, .. } => Some(sequence),
                _ => None,
            });
            receipts += ended.filter_map(|id| ledger.close(id)).map(|charge| charge.seconds()).sum::<f64>();
            steps += 1;
            if steps == 9 && round % 3 == 0 {
                engine.aside(|_| hands.fetch_add(3_000, Ordering::Relaxed));
            }
        }
    }
    enter(&mut ledger, &engine.read_meter(), change);
    (ledger.totals(), receipts, clock.now().as_secs_f64())
}

fn enter(ledger: &mut Ledger<SequenceId>, account: &Account<'_>, change: Change) {
    let part = |ran: &engine::Ran| PartUse {
        owner: ran.sequence,
        stretch: Stretch { from: ran.from, count: ran.count, rows: ran.rows },
        prefill: ran.prefill,
    };
    let parts = account.parts.iter().map(part).collect::<Vec<_>>();
    let seconds = Duration::as_secs_f64;
    let mut step = StepUse {
        busy_s: seconds(&account.busy),
        device_s: seconds(&account.device),
        idle_s: seconds(&account.idle),
        aside_s: seconds(&account.aside),
        padding: account.padding,
        experts_touched: account.experts_touched,
        parts: &parts,
    };
    change(&mut step);
    ledger.step(&step);
}

/// How far the bill of all parts is from the clock times the price.
fn fault(change: Change) -> f64 {
    let price = Price::given(7.2, "2026-11-28".parse().expect("a date")).expect("a price");
    let (totals, _, clock) = run(change);
    (price.dollars(totals.seconds()) / price.dollars(clock) - 1.0).abs()
}

#[test]
fn receipts_and_waiting_come_to_the_clock_times_the_price() {
    let (totals, receipts, clock) = run(|_| {});
    assert!((totals.seconds() - clock).abs() < 1e-9 * clock, "{totals:?} in {clock} s");
    assert!((totals.receipts_s - receipts).abs() < 1e-9 * clock && totals.receipts == 120);
    assert!((totals.idle_s - 20.0 * 5e-5).abs() < 1e-12, "waiting is what it was: {totals:?}");
    assert!((totals.aside_s - 7.0 * 3e-6).abs() < 1e-12, "{totals:?}");
    assert!(totals.padding_s > 0.0 && totals.open_s == 0.0, "{totals:?}");
}

#[test]
fn an_account_that_is_wrong_shows_in_the_sum() {
    // Idle time is not what is left over: time that is lost on the way is missing.
    let broken: [Change; 3] =
        [|step| step.busy_s *= 0.99, |step| step.idle_s = 0.0, |step| step.busy_s += step.device_s];
    assert!(fault(|_| {}) < 1e-3);
    for change in broken {
        assert!(fault(change) > 1e-3);
    }
}

/// A step of which these sequences have these stretches.
fn step_of(parts: &[PartUse<u32>], padding: u32) -> StepUse<'_, u32> {
    StepUse { busy_s: 1.0, device_s: 0.8, idle_s: 0.0, aside_s: 0.0, padding, experts_touched: None, parts }
}

#[test]
fn a_sequence_pays_for_its_own_work_and_its_share_of_the_weights() {
    let graph = graph();
    let mut ledger = Ledger::new(&graph, Rates { bytes_per_s: 1e10, operations_per_s: 1e11 });
    let part =
        |owner, from, count| PartUse { owner, stretch: Stretch { from, count, rows: 1 }, prefill: from == 0 };
    let parts = [part(0, 10, 1), part(1, 10, 1), part(2, 400, 1), part(3, 0, 64)];
    (0..4).for_each(|owner| ledger.open(owner));
    ledger.step(&step_of(&parts, 16));
    ledger.energy(10.0);
    let [a, b, long, prompt] = [0, 1, 2, 3].map(|owner| ledger.close(owner).expect("it was open"));
    assert_eq!(a, b, "who does the same pays the same");
    assert!(a.seconds() < long.seconds() && long.seconds() < prompt.seconds());
    assert!(long.bytes() > a.bytes());
    // To the last operation what the graph says of such a step: the prompt's tokens see one position more each.
    let seen = graph::GroupCounts { attended: 64 * 65 / 2, positions: 64 };
    let groups = vec![seen; graph.groups.len()];
    let alone = graph::StepCounts { tokens: 64, seqs: 1, rows: 1, groups, ..Default::default() };
    let alone = graph.work(&alone).operations;
    assert!((prompt.operations() / alone - 1.0).abs() < 1e-9, "{} of {alone}", prompt.operations());
    assert_eq!((prompt.prefill.tokens, prompt.decode.tokens, a.decode.tokens), (64, 0, 1));
    let weights = graph.work(&graph::StepCounts { tokens: 67, seqs: 1, ..Default::default() }).weight_bytes;
    assert!(a.bytes() > weights / 4.0 && a.bytes() < weights / 4.0 + 1e5);
    let totals = ledger.totals();
    assert!(totals.padding_s > 0.0 && (totals.receipts_s + totals.padding_s - 1.0).abs() < 1e-12);
    let joules = [a, b, long, prompt].map(|charge| charge.joules.expect("they were counted"));
    assert!(totals.joules.is_some_and(|all| (all - 10.0).abs() < 1e-9) && joules[3] > joules[0]);
    assert!(ledger.close(0).is_none(), "it is closed once");
    ledger.step(&step_of(&[part(0, 11, 1)], 0));
    assert!((ledger.totals().dropped_s - 1.0).abs() < 1e-12, "it has ended");
}
