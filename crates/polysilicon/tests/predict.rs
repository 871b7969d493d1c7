//! Predictions held against what others have published of chips that are not here, misses included.

use std::fs;
use std::path::PathBuf;

use polysilicon::cost::predict::{Calibration, Calibrations, Point, Sheet, StepBound, counts};
use polysilicon::cost::{Catalogue, Stretch};
use polysilicon::{DType, Opened};

struct Held {
    point: Point,
    bound: StepBound,
}

fn held(catalogue: &Catalogue, point: &Point) -> Held {
    let model = format!("shape:{}", point.model);
    let graph = Opened::find(&model, None).expect("a shape").graph(DType::F16).expect("a graph");
    let (name, chip) = catalogue.chip(&point.chip).expect("a chip");
    let sheet = Sheet::of(name, chip, point.chips);
    let token = Stretch { from: point.depth, count: 1, rows: 1 };
    let bound = sheet.bound(&graph, &counts(&graph, &token, point.sequences));
    Held { point: point.clone(), bound }
}

/// Milliseconds of each layer that are left beyond the bound: what a calibration of layers alone is made of.
fn layer_us(held: &Held) -> f64 {
    (1e3 * held.point.tpot_ms - 1e6 * held.bound.seconds) / f64::from(held.bound.layers)
}

/// What is predicted of a point by a calibration that has not seen it.
fn predicted_ms(known: &Calibrations, all: &[Held], held: &Held) -> f64 {
    let named = known.named(&held.point.calibration).expect("its calibration");
    // Those that were fitted to points are fitted again, to the others.
    let fitted = named.step_us == 0.0 && named.weights == 1.0;
    let others = all.iter().filter(|other| {
        other.point.calibration == held.point.calibration && other.point.name != held.point.name
    });
    let others = others.map(layer_us).collect::<Vec<_>>();
    let calibration = match fitted {
        true => Calibration { layer_us: others.iter().sum::<f64>() / others.len() as f64, ..named.clone() },
        false => named.clone(),
    };
    1e3 * calibration.seconds(&held.bound, held.point.sequences)
}

#[test]
fn published_points_are_told_with_what_was_predicted_of_them() {
    let (catalogue, known) = (Catalogue::built_in().expect("good"), Calibrations::built_in().expect("good"));
    let all = known.points.iter().map(|point| held(&catalogue, point)).collect::<Vec<_>>();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/cost.md")).expect("the page");
    let (mut within, mut missing) = (0, String::new());
    for held in &all {
        let Point { name, tpot_ms, .. } = &held.point;
        let predicted = predicted_ms(&known, &all, held);
        let (bound, error) = (1e3 * held.bound.seconds, 100.0 * (predicted / tpot_ms - 1.0));
        assert!(bound < *tpot_ms, "{name}: what was measured is above its bound");
        within += u32::from(error.abs() <= 20.0);
        let row = format!("| {name} | {tpot_ms:.2} | {bound:.2} | {predicted:.2} | {error:+.0} % |");
        if !page.contains(&row) {
            missing += &format!("{row}\n");
        }
    }
    assert!(missing.is_empty(), "docs/cost.md lacks these rows:\n{missing}");
    assert!(all.len() == 4 && within >= 2, "{within} of {} points are within 20 %", all.len());
}

#[test]
fn what_is_committed_is_the_mean_of_what_it_was_made_of() {
    let (catalogue, known) = (Catalogue::built_in().expect("good"), Calibrations::built_in().expect("good"));
    let neuron = known.named("neuron nxd").expect("a calibration");
    let points = known.points.iter().filter(|point| point.calibration == neuron.name);
    let left = points.map(|point| layer_us(&held(&catalogue, point))).collect::<Vec<_>>();
    let mean = left.iter().sum::<f64>() / left.len() as f64;
    assert!((neuron.layer_us / mean - 1.0).abs() < 0.01, "{mean:.1} us of {left:?}");
}

#[test]
fn a_sheet_alone_is_a_bound_and_no_calibration_goes_below_it() {
    let (catalogue, known) = (Catalogue::built_in().expect("good"), Calibrations::built_in().expect("good"));
    let graph =
        Opened::find("shape:llama-3.1-8b@bf16", None).expect("a shape").graph(DType::F16).expect("a graph");
    let (name, chip) = catalogue.chip("h100").expect("a chip");
    let sheet = Sheet::holding(name, chip, graph.weight_bytes() as f64).expect("it holds it");
    assert_eq!(sheet.chips, 1);
    let token = Stretch { from: 1000, count: 1, rows: 1 };
    for sequences in [1, 8, 64, 512] {
        let bound = sheet.bound(&graph, &counts(&graph, &token, sequences));
        let reading = graph.weight_bytes() as f64 * 0.9 / 3.35e12;
        assert!(bound.seconds > reading && bound.seconds >= bound.memory_s.max(bound.compute_s));
        let calibrated = known.of(name).expect("a calibration").seconds(&bound, sequences);
        assert!(calibrated >= bound.seconds);
        let cheat = Calibration {
            weights: 0.1,
            state: 0.0,
            compute: 0.0,
            layer_us: 0.0,
            ..known.calibrations[0].clone()
        };
        assert_eq!(cheat.seconds(&bound, 0), bound.seconds, "what no chip can do is not predicted");
    }
    let ops = sheet.operations(&graph, &counts(&graph, &token, 1));
    assert!(ops.iter().filter(|op| op.op == "linear").all(|op| op.bound() == "memory"));
}
