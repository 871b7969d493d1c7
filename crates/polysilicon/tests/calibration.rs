//! What a calibration is worth on the machine it was made on: fitted to recorded runs of all models but one, and held against
//! that one. The runs are what `polysilicon bench --json` wrote.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use polysilicon::cost::Stretch;
use polysilicon::cost::predict::{Sample, counts, fit};
use polysilicon::{DType, Opened};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Each figure of each recorded run as a step and what its terms are multiplied by.
fn samples() -> Vec<Sample> {
    let folder = fs::read_dir(root().join("tests/runs")).expect("the runs");
    let mut paths = folder.map(|entry| entry.expect("a file").path()).collect::<Vec<_>>();
    paths.sort();
    paths.iter().flat_map(|path| of_run(&fs::read_to_string(path).expect("text"))).collect()
}

fn of_run(text: &str) -> Vec<Sample> {
    let run: Value = serde_json::from_str(text).expect("JSON");
    let model = run["model"].as_str().expect("a name").to_owned();
    let kv: DType = run["kv"].as_str().expect("a type").parse().expect("a type");
    let graph = Opened::find(&model, None).expect("a shape").graph(kv).expect("a graph");
    let mut layers = 0.0;
    graph.walk(&mut |_, op, _, _| layers += f64::from(u8::from(op.name() == "attention")));
    let sample = |figure: &Value| {
        let [tokens, depth, sequences] =
            ["tokens", "depth", "sequences"].map(|key| figure[key].as_u64().expect("a count") as u32);
        let rate = number(&figure["tokens_per_s"]);
        let whole = f64::from(tokens) * f64::from(sequences) / rate;
        let (stretch, steps) = match figure["what"].as_str() {
            Some("prefill") => (Stretch { from: 0, count: tokens, rows: 1 }, 1.0),
            _ => (Stretch { from: depth + tokens / 2, count: 1, rows: 1 }, f64::from(tokens)),
        };
        let work = graph.work(&counts(&graph, &stretch, sequences));
        let bandwidths = figure["bandwidths_bytes_per_s"].as_array().expect("a list");
        let mut bandwidths = bandwidths.iter().map(number).collect::<Vec<_>>();
        bandwidths.sort_by(f64::total_cmp);
        let bandwidth = bandwidths[bandwidths.len() / 2];
        let compute = number(&figure["share_of_peak"]) * whole / steps;
        let factors = [
            work.weight_bytes / bandwidth,
            work.state_bytes / bandwidth,
            compute,
            layers,
            1.0,
            f64::from(sequences),
        ];
        Sample { model: model.clone(), factors, seconds: whole / steps }
    };
    run["results"].as_array().expect("a list").iter().map(sample).collect()
}

#[test]
fn models_that_were_left_out_are_predicted_as_the_page_says() {
    let all = samples();
    let models = all.iter().map(|sample| sample.model.clone()).collect::<BTreeSet<_>>();
    let page = fs::read_to_string(root().join("../../docs/cost.md")).expect("the page");
    let mut missing = String::new();
    for model in &models {
        let (out, rest): (Vec<_>, Vec<_>) = all.iter().cloned().partition(|sample| sample.model == *model);
        let terms = fit(&rest);
        let mut errors = out
            .iter()
            .map(|sample| (sample.predicted(&terms) / sample.seconds - 1.0).abs())
            .collect::<Vec<_>>();
        errors.sort_by(f64::total_cmp);
        let (middle, worst) = (100.0 * errors[errors.len() / 2], 100.0 * errors[errors.len() - 1]);
        assert!(middle < 30.0, "{model} is off by {middle} %");
        let row = format!("| {model} | {} | {middle:.0} % | {worst:.0} % |", out.len());
        if !page.contains(&row) {
            missing += &format!("{row}\n");
        }
    }
    assert!(models.len() >= 3, "{models:?}");
    assert!(missing.is_empty(), "docs/cost.md lacks these rows:\n{missing}");
}
