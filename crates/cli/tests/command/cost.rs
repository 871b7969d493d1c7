//! What answers cost, under load and on other chips, as the command tells it.

use std::fs;

use serde_json::{Value, json};

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
    let sentence = polysilicon(&["reprice", &fixture("Cargo.toml")]).sentence(1);
    assert!(sentence.contains("Cargo.toml: "), "{sentence}");
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

#[test]
fn several_devices_stand_in_one_table_each_with_its_price() {
    let small = ["bench", "--prompt", "8", "--output", "4", "--requests", "3", "--runs", "1", "--json", "-"];
    let run = |more: &[&str]| polysilicon(&[&small[..], &["--device", "cpu,reference"], more].concat());
    let result = run(&["--price", "1.0,2.0"]).json();
    let devices = result["summaries"].as_array().expect("a list");
    let told = |key: &str| devices.iter().map(|device| device[key].clone()).collect::<Vec<_>>();
    assert_eq!(told("device"), ["cpu", "reference"]);
    let hours = devices.iter().map(|device| device["price"]["usd_per_hour"].as_f64().expect("dollars"));
    assert_eq!(hours.collect::<Vec<_>>(), [1.0, 2.0]);
    let setup = &result["results"][0]["setup"];
    assert!(setup["like_reference"].as_f64().expect("a tiny model is held against it") > 0.8, "{setup}");
    assert!(setup["dirty"].is_boolean(), "{setup}");
    assert!(setup["commit"].is_string() && setup["operations_per_s"].as_f64().expect("a bound") > 0.0);
    let sentence = run(&["--price", "1.0,2.0,3.0"]).sentence(2);
    assert!(sentence.contains("2 devices and 3 prices"), "{sentence}");
}

#[test]
fn what_kernels_take_stands_on_the_page_and_what_was_predicted_in_the_result() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (json, html) = (path("a.json"), path("a.html"));
    bench(&["--device", "cpu", "--noise", "1", "--json", &json, "--html", &html]).text();
    let recorded: Value = serde_json::from_str(&fs::read_to_string(&json).expect("written")).expect("JSON");
    let kernels = recorded["results"][0]["kernels"].as_array().expect("a list");
    assert_eq!(kernels.len(), 2, "a prompt, and decoding");
    for steps in kernels {
        let times = steps["times"].as_array().expect("a list");
        let sum = times.iter().map(|time| time["seconds"].as_f64().expect("seconds")).sum::<f64>();
        assert!(sum > 0.0 && sum <= steps["step_s"].as_f64().expect("seconds") * 1.001, "{steps}");
    }
    for point in recorded["results"][0]["points"].as_array().expect("a list") {
        let predicted = &point["predicted"];
        assert!(predicted["out_per_s"].as_f64().expect("a rate") > 0.0, "{predicted}");
        assert!(predicted["error"].as_f64().expect("its error") > 0.0, "{predicted}");
    }
    let page = fs::read_to_string(&html).expect("written");
    assert!(page.contains("What each kernel took") && page.contains("beside kernels"), "{page}");
}

#[test]
fn plans_tell_the_average_and_the_next_million() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("plans.toml").display().to_string();
    let plan = "[plans.promised]\nkind = 'committed'\nusd_per_hour = 2.0\nusd_per_month = 1e6\n";
    fs::write(&file, plan).expect("written");
    let plans = format!("hourly,reserved,{file}");
    let result = bench(&["--json", "-", "--price", "2.0", "--plan", &plans, "--utilisation", "0.5"]).json();
    let months = result["plans"].as_array().expect("a list").clone();
    // On a busy machine there may be no result to be priced.
    for month in &months {
        let number = |key: &str| month[key].as_f64().expect("a number");
        match month["plan"].as_str().expect("a name") {
            "hourly" => {
                assert!((number("usd_per_million") / number("usd_of_next_million") - 1.0).abs() < 1e-6);
            }
            "promised" => assert_eq!((number("usd_per_month"), number("usd_of_next_million")), (1e6, 0.0)),
            other => assert_eq!(other, "reserved"),
        }
    }
    let predicted = ["predict", "shape:llama-3.1-8b@bf16", "--chip", "h100"];
    let text =
        polysilicon(&[&predicted[..], &["--plan", "reserved", "--tokens-per-month", "1e9"]].concat()).text();
    assert!(text.contains("$/M of the next million") && text.contains("reserved"), "{text}");
    // Ways to pay for the instance that was found, each at its own price and with its day.
    let text = polysilicon(&[&predicted[..], &["--plan", "on_demand,capacity_block"]].concat()).text();
    assert!(
        text.contains("on_demand: $6.8800 per hour") && text.contains("capacity_block: $5.1910"),
        "{text}"
    );
    assert!(text.contains("capacity block, 2026-07-22"), "{text}");
    // Nobody sells that instance so, but its chip.
    let text = polysilicon(&[&predicted[..], &["--plan", "rental_3y"]].concat()).text();
    assert!(text.contains("rental_3y: $1.3000 per hour, 1 chips of semianalysis h100 sxm"), "{text}");
    let sentence = polysilicon(&[&predicted[..], &["--plan", "bartering"]].concat()).sentence(1);
    assert!(sentence.contains("hourly, reserved"), "{sentence}");
}

#[test]
fn a_plan_that_needs_more_than_a_price_says_what_in_a_file_that_works() {
    let folder = tempfile::tempdir().expect("a folder");
    let predicted = ["predict", "shape:llama-3.1-8b@bf16", "--chip", "h100"];
    for (plan, field) in
        [("spot", "lost"), ("owned", "capex_usd"), ("committed", "tiers"), ("revenue_share", "cap_usd")]
    {
        let sentence = polysilicon(&[&predicted[..], &["--plan", plan]].concat()).sentence(1);
        assert!(sentence.contains(field), "{plan}: {sentence}");
        let example = sentence.find("plans.ours").map(|start| &sentence[start..]);
        let file = folder.path().join(format!("{plan}.toml")).display().to_string();
        fs::write(&file, example.expect("there is one")).expect("written");
        let text = polysilicon(&[&predicted[..], &["--plan", &file]].concat()).text();
        assert!(text.contains("$/M of the next million") && text.contains("ours"), "{text}");
    }
    let given = [&predicted[..], &["--price", "2.0", "--plan", "capacity_block"]].concat();
    let sentence = polysilicon(&given).sentence(1);
    assert!(sentence.contains("name one with --price, as in --price p5.48xlarge"), "{sentence}");
}

#[test]
fn experts_are_taken_from_what_was_counted_of_a_model() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (counted, model) = (path("a.json"), fixture("goldens/gpt-oss-mxfp4"));
    let steps = ["--prompt", "9", "--output", "4", "--rounds", "1", "--noise", "1", "--device", "cpu"];
    polysilicon(&[&["bench", &model, "--json", &counted][..], &steps].concat()).text();
    let result: Value = serde_json::from_str(&fs::read_to_string(&counted).expect("written")).expect("JSON");
    let experts = |figure: usize| result["results"][figure]["experts"][0].clone();
    assert_eq!((&experts(0)["tokens"], &experts(1)["tokens"]), (&json!(9), &json!(1)));
    assert_eq!(experts(1)["experts"], 4.0, "a token alone touches those that it chooses");
    assert!(result["program"]["dirty"].is_boolean() && result["noise"] == 1.0, "{result}");
    let predict = |more: &[&str]| {
        let args = ["predict", &model, "--chip", "h100", "--chips", "1", "--prompt", "9", "--json"];
        let loads = polysilicon(&[&args[..], more].concat()).json()["chips"][0]["loads"].clone();
        loads[0]["prefill_bound_s"].as_f64().expect("seconds")
    };
    // Nine tokens of a prompt, fewer experts than if they chose at random: or more, but not as many.
    assert_ne!(predict(&["--experts", &counted]), predict(&[]), "it goes by what was counted");
    let dense = ["predict", "embedded", "--chip", "h100", "--experts", &counted];
    assert!(polysilicon(&dense).sentence(1).contains("the model has none"));
}

#[test]
fn several_answers_cost_what_they_took_together() {
    for how in [["--answers", "3"], ["--best-of", "3"], ["--beams", "2"]] {
        let args = ["run", "-p", "The cat", "-n", "5", "--ignore-eos", "--json", "--price", "3600"];
        let cost = &polysilicon(&[&args[..], &how].concat()).json()["cost"];
        let seconds = cost["seconds"].as_f64().expect("seconds");
        assert!(seconds > 0.0, "{how:?}: {cost}");
        assert!((cost["usd"].as_f64().expect("dollars") / seconds - 1.0).abs() < 1e-9, "a dollar a second");
        assert_eq!(cost["price"]["kind"], "given");
    }
}

#[test]
fn a_calibration_is_fitted_to_runs_and_says_what_it_is_worth() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (one, two, out) = (path("a.json"), path("b.json"), path("ours.toml"));
    // What takes a tenth longer to read than it should, and a millisecond a step.
    let run = |model: &str, scale: u32| {
        let step = |n: u32| {
            let weights_s = 1e-3 * f64::from(n * scale);
            json!({"sample": {
                "model": model, "what": format!("decode {n}"), "weights_s": weights_s, "state_s": 0.0, "compute_s": 0.0,
                "layers": 0.0, "sequences": 0.0, "seconds": 1.1 * weights_s + 1e-3,
            }})
        };
        json!({"results": (1..5).map(step).collect::<Vec<_>>()}).to_string()
    };
    fs::write(&one, run("one", 3)).expect("written");
    fs::write(&two, run("two", 7)).expect("written");
    let sentence = polysilicon(&["calibrate", &one]).sentence(2);
    assert!(sentence.contains("runs of another"), "{sentence}");
    let text = polysilicon(&["calibrate", &one, &two, "--name", "ours", "--out", &out]).text();
    assert!(text.contains("half of the errors are within 0.0 %"), "{text}");
    assert!(text.contains("weights take 1.10 of their time") && text.contains("1000 us a step"), "{text}");
    let with = ["predict", "embedded", "--chip", "epyc_9654", "--calibration", &out];
    polysilicon(&with).text();
    let sentence = polysilicon(&["calibrate", &fixture("Cargo.toml")]).sentence(1);
    assert!(sentence.contains("could not be read"), "{sentence}");
}

#[test]
fn what_others_have_measured_is_priced() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("profile_export.jsonl");
    let line = |n: u64| {
        let start = 1_759_813_207_000_000_000 + n * 500_000_000;
        let tokens = |count: u32| format!(r#"{{"value": {count}, "unit": "tokens"}}"#);
        format!(
            r#"{{"metadata": {{"request_start_ns": {start}, "request_end_ns": {}, "benchmark_phase": "profiling"}}, "metrics": {{"input_sequence_length": {}, "output_sequence_length": {}, "time_to_first_token": {{"value": 100.0, "unit": "ms"}}}}, "error": null}}"#,
            start + 500_000_000,
            tokens(100),
            tokens(10)
        )
    };
    fs::write(&path, (0..8).map(line).collect::<Vec<_>>().join("\n")).expect("written");
    let file = path.display().to_string();
    let text = polysilicon(&["reprice", &file, "--price", "3.6", "--model", "llama-3.1-8b"]).text();
    // A thousandth of a dollar a second, for 20 tokens out and 200 in.
    assert!(text.contains("20.0") && text.contains("200.0") && text.contains("50.0"), "{text}");
    assert!(text.contains("bedrock"), "an API is found by the name: {text}");
    fs::write(&path, "{\"aiperf_version\": \"0.13.0\"}").expect("written");
    let sentence = polysilicon(&["reprice", &file]).sentence(1);
    assert!(sentence.contains("profile_export.jsonl beside it"), "{sentence}");
}
