//! What answers cost, under load and on other chips, as the command tells it.

use std::fs;

use serde_json::Value;

use crate::program::{fixture, polysilicon};

/// A short bench of the model inside the program.
fn bench(more: &[&str]) -> crate::program::Ended {
    let small = [
        "bench",
        "--prompt",
        "24",
        "--output",
        "8",
        "--concurrency",
        "1,3",
        "--requests",
        "8",
        "--runs",
        "2",
    ];
    polysilicon(&[&small[..], more].concat())
}

#[test]
fn a_receipt_tells_what_an_answer_took_and_costs() {
    let args = ["run", "-p", "The cat", "-n", "6", "--ignore-eos"];
    let report = polysilicon(&[&args[..], &["--json", "--price", "3600"]].concat()).json();
    let cost = &report["cost"];
    let number = |value: &Value| value.as_f64().expect("a number");
    assert!((number(&cost["usd"]) - number(&cost["seconds"])).abs() < 1e-12, "a dollar a second");
    assert!(
        number(&cost["device_s"]) > 0.0 && number(&cost["bytes"]) > 0.0 && number(&cost["operations"]) > 0.0
    );
    assert_eq!(cost["prefill"]["tokens"], report["usage"]["prompt_tokens"]);
    assert_eq!(cost["price"]["kind"], "given");
    assert!(cost["joules"] == "unavailable" || cost["joules"].is_number());
    let ended = polysilicon(&args);
    assert!(ended.err.contains("per million tokens out, at $"), "{}", ended.err);
    let assumed = polysilicon(&[&args[..], &["--json"]].concat()).json();
    assert_eq!(assumed["cost"]["price"]["assumed"], true);
}

#[test]
fn the_program_alone_ends_with_what_its_answer_would_cost_elsewhere() {
    let text = polysilicon(&["run"]).text();
    let table = text.lines().rev().take(6).collect::<Vec<_>>();
    for word in ["this machine", "measured", "h100_sxm", "trainium2", "ESTIMATE", "2026-07-2"] {
        assert!(table.iter().any(|line| line.contains(word)), "{word} is not in {table:?}");
    }
}

#[test]
fn requests_are_served_and_results_priced_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (json, html, csv, jsonl) = (path("a.json"), path("a.html"), path("a.csv"), path("a.jsonl"));
    let files = ["--json", &json, "--html", &html, "--csv", &csv, "--jsonl", &jsonl];
    let text =
        bench(&[&files[..], &["--price", "2.0", "--slo", "60000/60000", "--cache", "both"]].concat()).text();
    assert!(text.contains("$/M") && text.contains("$2.0000 per hour as given"), "{text}");
    let read = |path: &str| {
        serde_json::from_str::<Value>(&fs::read_to_string(path).expect("written")).expect("JSON")
    };
    let recorded = read(&json);
    let points = recorded["summaries"][0]["points"].as_array().expect("a list").clone();
    assert_eq!(points.len(), 4);
    // Prompts of one run are no prompts of another.
    for point in recorded["results"][0]["points"].as_array().expect("a list") {
        for run in point["runs"].as_array().expect("a list") {
            for request in run["requests"].as_array().expect("a list") {
                assert_eq!(request["tokens_cached"], 0, "{request}");
            }
        }
    }
    assert_eq!(fs::read_to_string(&jsonl).expect("written").lines().count(), 4 * 2 * 8);
    assert_eq!(fs::read_to_string(&csv).expect("written").lines().count(), 5);
    // On a busy machine nothing may be a result, and the page says why in place of plots.
    let page = fs::read_to_string(&html).expect("written");
    assert!(page.contains("<svg") || page.contains("no result"), "{page}");
    let again = path("b.json");
    polysilicon(&["reprice", &json, "--price", "4.0", "--slo", "60000/60000", "--json", &again]).text();
    let dearer = read(&again);
    assert_eq!(dearer["results"], recorded["results"], "what was measured stays");
    for (old, new) in points.iter().zip(dearer["summaries"][0]["points"].as_array().expect("a list")) {
        let (mut old, mut new) = (old.clone(), new.clone());
        let mid = |point: &Value| point["dollars"]["total"]["mid"].as_f64().expect("dollars");
        assert!((mid(&new) / mid(&old) - 2.0).abs() < 1e-9);
        (old["dollars"], new["dollars"]) = (Value::Null, Value::Null);
        assert_eq!(old, new, "another price changes dollars and nothing else");
    }
    let same = path("c.json");
    polysilicon(&["reprice", &json, "--price", "2.0", "--slo", "60000/60000", "--json", &same]).text();
    assert_eq!(read(&same)["summaries"], recorded["summaries"]);
}

#[test]
fn requests_come_from_traces_and_at_random() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace.jsonl");
    let lines = [
        r#"{"prompt": "The cat sat", "max_tokens": 3}"#,
        r#"{"messages": [{"role": "user", "content": "Tell me"}], "max_completion_tokens": 4}"#,
        r#"{"custom_id": "a", "body": {"prompt": [1, 2, 3], "max_tokens": 5}}"#,
    ];
    fs::write(&trace, lines.join("\n")).expect("written");
    let trace = trace.display().to_string();
    let small =
        ["bench", "--trace", &trace, "--requests", "6", "--runs", "1", "--rate", "200", "--json", "-"];
    let result = polysilicon(&small).json();
    let requests =
        result["results"][0]["points"][0]["runs"][0]["requests"].as_array().expect("a list").clone();
    let lengths =
        requests.iter().map(|request| request["tokens_out"].as_u64().expect("a number")).collect::<Vec<_>>();
    assert_eq!(lengths, [3, 4, 5, 3, 4, 5]);
    assert_eq!(requests[2]["tokens_in"], 3);
    fs::write(&trace, "{\"prompt\": 3}").expect("written");
    let sentence = polysilicon(&small).sentence(1);
    assert!(sentence.contains("line 1: it has neither `prompt`"), "{sentence}");
    let sentence = polysilicon(&["bench", "--ops", "--slo", "1/1"]).sentence(2);
    assert!(sentence.contains("leave out --ops"), "{sentence}");
    let sentence = polysilicon(&["reprice", &fixture("Cargo.toml")]).sentence(1);
    assert!(sentence.contains("could not be read"), "{sentence}");
}

#[test]
fn a_prediction_says_what_it_is() {
    let model = "shape:llama-3.1-8b@bf16";
    let text = polysilicon(&["predict", model, "--chip", "h100,b200,trainium2", "--ops"]).text();
    assert!(text.contains("1 x h100_sxm: an estimate, by the calibration `h100 vllm`"), "{text}");
    assert!(text.contains("1 x b200_sxm: an UPPER BOUND") && text.contains("bound by"), "{text}");
    let report =
        polysilicon(&["predict", model, "--chip", "h100,b200", "--concurrency", "1,64", "--json"]).json();
    assert_eq!(report["measured"], false);
    let chips = report["chips"].as_array().expect("a list");
    assert_eq!([&chips[0]["kind"], &chips[1]["kind"]], ["estimate", "upper bound"]);
    let loads = chips[0]["loads"].as_array().expect("a list");
    let number = |load: &Value, key: &str| load[key].as_f64().expect("a number");
    for load in loads {
        assert!(number(load, "decode_step_s") >= number(load, "decode_step_bound_s"));
        // Both parts of the bill come to the bill.
        let per_out = number(load, "tokens_in_per_s") / number(load, "tokens_out_per_s");
        let parts =
            number(load, "usd_per_million_in_split") * per_out + number(load, "usd_per_million_out_split");
        assert!((parts / number(load, "usd_per_million_out") - 1.0).abs() < 1e-9);
    }
    assert!(number(&loads[1], "usd_per_million_out") < number(&loads[0], "usd_per_million_out") / 5.0);
    assert!(chips[1]["loads"][0]["usd_per_million_out"].is_null(), "a bound is no cost");
    let sentence = polysilicon(&["predict", model, "--chip", "h900"]).sentence(1);
    assert!(sentence.contains("`h900` is not in the catalogue"), "{sentence}");
}
