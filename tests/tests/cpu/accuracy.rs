//! What the roundings of the CPU backend add, as divergence between its predictions with and without them on stories
//! that the embedded model writes itself. `docs/accuracy.md` holds the table that [`table`] prints.

use cpu::{Options, Precision};
use polysilicon_tests::divergence::Divergence;
use polysilicon_tests::embedded::{Embedded, VOCAB, stories};
use tensor::DType;

/// Weight types with the most that rounded activations may add to the mean divergence, in nats: about three times what
/// was measured.
const BOUNDS: [(DType, f64); 16] = [
    (DType::F32, 0.0),
    (DType::F16, 0.0),
    (DType::BF16, 1e-5),
    (DType::Q8_0, 1e-3),
    (DType::Q6_K, 1e-3),
    (DType::Q5_K, 1e-3),
    (DType::Q5_0, 1e-3),
    (DType::Q5_1, 1e-3),
    (DType::Q4_K, 1e-3),
    (DType::Q4_0, 1e-3),
    (DType::Q4_1, 1e-3),
    (DType::IQ4_NL, 1e-3),
    (DType::IQ4_XS, 1e-3),
    (DType::MXFP4, 1e-3),
    (DType::Q3_K, 1.3e-3),
    (DType::Q2_K, 3e-3),
];

/// The same of types of keys and values, attention's own rounding included.
const KV_BOUNDS: [(DType, f64); 3] = [(DType::BF16, 1.5e-5), (DType::F16, 2.5e-7), (DType::Q8_0, 7e-5)];

/// Logits of all positions of some stories, each a sequence of its own.
fn logits(model: &Embedded, precision: Precision, kv: DType, stories: &[Vec<u32>]) -> Vec<f32> {
    let options = Options { threads: None, precision, isa: None };
    let context = stories.iter().map(Vec::len).max().unwrap_or(0) as u32;
    let mut run = model.run(&options, kv, stories.len() as u32, context);
    let parts = stories.iter().map(Vec::as_slice).enumerate().collect::<Vec<_>>();
    run.feed_together(&parts, &[]).expect("the step runs").logits
}

/// What rounded activations add; keys and values are f32.
fn of_activations(model: &Embedded, stories: &[Vec<u32>]) -> Divergence {
    let base = logits(model, Precision::F32, DType::F32, stories);
    Divergence::of(&logits(model, Precision::Auto, DType::F32, stories), &base, VOCAB)
}

/// What a type of keys and values adds, with what attention rounds beside it; products round nothing.
fn of_kv(model: &Embedded, kv: DType, precision: Precision, stories: &[Vec<u32>]) -> Divergence {
    let base = logits(model, Precision::F32, DType::F32, stories);
    Divergence::of(&logits(model, precision, kv, stories), &base, VOCAB)
}

#[test]
fn rounded_activations_add_little() {
    let stories = stories(6, 120);
    let mut faults = vec![];
    for (dtype, bound) in BOUNDS {
        let found = of_activations(&Embedded::new(dtype), &stories);
        println!("{dtype}: {found:?}");
        if found.mean > bound {
            faults.push(format!("{dtype}: {:e}, and {bound:e} is allowed", found.mean));
        }
    }
    assert!(faults.is_empty(), "activations are rounded too far:\n{}", faults.join("\n"));
}

#[test]
fn rounded_keys_and_values_add_little() {
    let stories = stories(6, 120);
    let model = Embedded::new(DType::F32);
    for (kv, bound) in KV_BOUNDS {
        let found = of_kv(&model, kv, Precision::Auto, &stories);
        println!("{kv}: {found:?}");
        assert!(found.mean <= bound, "{kv}: {:e}, and {bound:e} is allowed", found.mean);
    }
}

/// `cargo test --release -p polysilicon-tests --test cpu -- --ignored --nocapture table`
#[test]
#[ignore = "prints the tables of docs/accuracy.md, and decides nothing"]
fn table() {
    let stories = stories(24, 256);
    let tokens = stories.iter().map(Vec::len).sum::<usize>();
    println!("{} stories, {tokens} tokens\n", stories.len());
    let exact = logits(&Embedded::new(DType::BF16), Precision::F32, DType::F32, &stories);
    println!("| Weights | mean | largest | same top | all roundings: mean | largest | same top |");
    println!("|---|---|---|---|---|---|---|");
    for (dtype, _) in BOUNDS {
        let model = Embedded::new(dtype);
        let rounded = of_activations(&model, &stories);
        let all = logits(&model, Precision::Auto, DType::BF16, &stories);
        let all = Divergence::of(&all, &exact, VOCAB);
        println!("| {dtype} | {} | {} |", cells(rounded), cells(all));
    }
    println!("\n| Keys and values | mean | largest | same top |\n|---|---|---|---|");
    let model = Embedded::new(DType::F32);
    for (kv, _) in KV_BOUNDS {
        println!("| {kv} | {} |", cells(of_kv(&model, kv, Precision::Auto, &stories)));
    }
    let kept = of_kv(&model, DType::BF16, Precision::F32, &stories);
    println!("| bf16 with `--precision f32` | {} |", cells(kept));
}

fn cells(found: Divergence) -> String {
    format!("{:.1e} | {:.1e} | {:.2} %", found.mean, found.max, 100.0 * found.same_top)
}
