//! Every second of the machine is on somebody's account: receipts, waiting and the rest come to what the clock says.

use std::ops::RangeInclusive;
use std::thread;
use std::time::{Duration, Instant};

use polysilicon::cost::{Price, Totals};
use polysilicon::{Device, FinishReason, Model, Sampling};

/// How far the parts may be from the clock.
const TOLERANCE: f64 = 1e-3;

fn price() -> Price {
    Price::given(3.6, "2026-11-28".parse().expect("a date")).expect("a price")
}

fn model() -> Model {
    let builder = Model::open("embedded").expect("it is there").device(Device::Cpu).price(price());
    builder.load().expect("it loads")
}

fn sampling(tokens: u32) -> Sampling {
    Sampling::default().max_tokens(tokens).ignore_end(true)
}

/// What was done between two looks at the totals, and how long that was by another clock: the shortest and the
/// longest, since asking for totals takes as long as a busy machine lets it.
fn between(model: &Model, work: impl FnOnce()) -> (Totals, Totals, RangeInclusive<f64>) {
    let asked = Instant::now();
    let before = model.totals().expect("the thread lives");
    let start = Instant::now();
    work();
    let shortest = start.elapsed();
    let after = model.totals().expect("the thread lives");
    (before, after, shortest.as_secs_f64()..=asked.elapsed().as_secs_f64())
}

#[test]
fn receipts_and_waiting_come_to_the_clock_times_the_price() {
    let model = model();
    let mut receipts = vec![];
    let (before, after, wall) = between(&model, || {
        thread::scope(|scope| {
            let ask = |n: u32| {
                let model = &model;
                move || {
                    let prompt = format!("Once upon a time there were {n} cats");
                    model
                        .generate(prompt, &sampling(60 + 20 * n))
                        .expect("it starts")
                        .finish()
                        .expect("it ends")
                }
            };
            let threads = (0..4).map(|n| scope.spawn(ask(n))).collect::<Vec<_>>();
            receipts.extend(threads.into_iter().map(|thread| thread.join().expect("it ends")));
        });
        // Nobody asks for anything for a while, and then for what no request pays for.
        let (waiting, end) = (Instant::now(), Duration::from_millis(60));
        while waiting.elapsed() < end {
            thread::yield_now();
        }
        model.logits(&[1, 2, 3, 4]).expect("logits");
        let broken_off = model.generate("The cat", &sampling(300)).expect("it starts").take(20).count();
        assert_eq!(broken_off, 20);
    });
    let dollars =
        receipts.iter().map(|receipt| receipt.cost.dollars().expect("there is a price")).sum::<f64>();
    let on_receipts = after.receipts_s - before.receipts_s;
    assert!((price().dollars(on_receipts) - dollars).abs() < 1e-12, "totals are the receipts'");
    let told = after.seconds() - before.seconds();
    let (shortest, longest) = (wall.start() * (1.0 - TOLERANCE), wall.end() * (1.0 + TOLERANCE));
    assert!((shortest..=longest).contains(&told), "{told} s are told of {wall:?}");
    assert!((0.06..longest).contains(&(after.idle_s - before.idle_s)), "{after:?}");
    assert!(after.aside_s > before.aside_s && after.dropped_s > before.dropped_s, "{after:?}");
    assert_eq!(after.receipts - before.receipts, 4);
    for receipt in &receipts {
        let charge = &receipt.cost.charge;
        assert!(charge.device_s() > 0.0 && charge.device_s() <= charge.seconds());
        assert!(
            charge.prefill.tokens > 0 && charge.decode.tokens == u64::from(receipt.completion_tokens) - 1
        );
        assert!(charge.bytes() > 0.0 && charge.operations() > 0.0);
    }
}

#[test]
fn what_was_kept_is_not_charged_again() {
    let model = model();
    let prompt = "Once upon a time there was a cat who lived in a small house by the sea. ".repeat(4);
    let ask = || model.generate(prompt.as_str(), &sampling(2)).expect("it starts").finish().expect("it ends");
    let (first, second) = (ask(), ask());
    assert!(first.cached_tokens == 0 && second.cached_tokens > 0);
    let computed = |receipt: &polysilicon::Receipt| receipt.cost.charge.prefill.tokens;
    assert_eq!(computed(&first), u64::from(first.prompt_tokens));
    assert_eq!(computed(&second), u64::from(second.prompt_tokens - second.cached_tokens));
    assert!(second.cost.charge.prefill.operations < first.cost.charge.prefill.operations);
    assert!(second.cost.charge.saved_s(second.cached_tokens).expect("some were computed") > 0.0);
}

#[test]
fn an_answer_that_ends_at_a_stop_text_has_its_receipt_too() {
    let model = model();
    let whole = model.generate("The cat", &sampling(40)).expect("it starts").finish().expect("it ends");
    let stop = whole.text.split_whitespace().nth(5).expect("it says something").to_owned();
    let before = model.totals().expect("totals").receipts_s;
    let asked = sampling(40).stop(&stop);
    let receipt = model.generate("The cat", &asked).expect("it starts").finish().expect("it ends");
    assert_eq!(receipt.finish_reason, FinishReason::Stop);
    assert!(receipt.cost.charge.seconds() > 0.0);
    let told = model.totals().expect("totals").receipts_s - before;
    // What was made before the engine heard of it is on nobody's receipt, unless it had made all.
    assert!(told >= receipt.cost.charge.seconds() - 1e-9, "{told} for {receipt:?}");
}
