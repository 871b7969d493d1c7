//! `bench`: figures of the embedded model, and where its time goes.

use serde_json::Value;

use crate::program::polysilicon;

/// A short run, with more arguments.
fn bench(more: &[&str]) -> Vec<String> {
    let short =
        ["bench", "--prompt", "24", "--output", "4", "--depth", "0,8", "--rounds", "1", "--noise", "1"];
    short.iter().chain(more).map(|&word| word.to_owned()).collect()
}

fn run(args: &[String]) -> crate::program::Ended {
    polysilicon(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn speeds_stand_beside_the_limits_in_text_and_in_json() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("results.json");
    let text = run(&bench(&["--concurrency", "1,2", "--json", path.to_str().unwrap()])).text();
    let lines = text.lines().collect::<Vec<_>>();
    assert!(lines[0].starts_with("embedded on "), "{text}");
    // A prompt, and two depths of one and of two sequences.
    assert_eq!(lines.len(), 6, "{text}");
    assert!(
        lines[1].starts_with("prefill ") && lines[1].contains("    24 tokens at      0,   1 seq"),
        "{text}"
    );
    assert!(
        lines[5].starts_with("decode ") && lines[5].contains("     4 tokens at      8,   2 seq"),
        "{text}"
    );
    assert!(
        lines[1..].iter().all(|line| line.contains("tokens/s, ") && line.contains(" % of peak")),
        "{text}"
    );
    let json: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let results = json["results"].as_array().unwrap();
    assert_eq!((json["model"].as_str(), results.len()), (Some("embedded"), 5));
    // The same model is called the same where requests are timed.
    let served =
        ["bench", "--prompt", "8", "--output", "2", "--requests", "1", "--runs", "1", "--noise", "1"];
    let served = polysilicon(&[&served[..], &["--json", "-"]].concat()).json();
    assert_eq!(json["model_digest"], served["results"][0]["setup"]["model_digest"], "{served}");
    assert!(json["model_digest"].as_str().is_some_and(|digest| digest.len() == 16), "{json}");
    for result in results {
        assert!(result["tokens_per_s"].as_f64().unwrap() > 0.0, "{result}");
        assert!(result["share_of_bandwidth"].as_f64().unwrap() > 0.0, "{result}");
        assert!(result.get("ops").is_none(), "{result}");
    }
}

#[test]
fn the_times_of_kernels_add_up_to_no_more_than_the_steps() {
    let json = run(&bench(&["--ops", "--json", "-"])).json();
    for result in json["results"].as_array().unwrap() {
        let ops = &result["ops"];
        let times = ops["times"].as_array().unwrap();
        let seconds = |of: &Value| of["seconds"].as_f64().unwrap();
        assert!(times.iter().map(seconds).sum::<f64>() <= seconds(ops), "{result}");
        assert!(times.is_sorted_by(|a, b| seconds(a) >= seconds(b)), "the most expensive first: {result}");
        let kernels = times.iter().map(|time| time["kernel"].as_str().unwrap());
        assert_eq!(kernels.clone().filter(|kernel| kernel.starts_with("attention[")).count(), 1, "{result}");
        let sum = |key: &str| times.iter().map(|time| time[key].as_f64().unwrap()).sum::<f64>();
        let bytes = result["bytes"].as_f64().unwrap();
        assert!((sum("weight_bytes") + sum("state_bytes") - bytes).abs() < 1e-6 * bytes, "{result}");
        assert!(sum("predicted_s") > 0.0, "{result}");
    }
}

#[test]
fn kernels_are_told_by_kind_or_by_node() {
    let kinds = run(&bench(&["--ops"])).text();
    assert!(kinds.lines().any(|line| line.trim_start().starts_with("kernel ")), "{kinds}");
    for word in ["beside kernels", "a step", "predicted", "reached"] {
        assert!(kinds.contains(word), "{word}: {kinds}");
    }
    let nodes = run(&bench(&["--ops", "--layers"])).text();
    assert!(nodes.contains("layers.0.self_attn.q_proj") && !kinds.contains("layers.0"), "{nodes}");
}

#[test]
fn what_cannot_be_timed_is_refused() {
    for (args, words) in [
        (&["--device", "reference", "--ops"][..], "does not tell how long its kernels take"),
        (&["--depth", "1022"], "the context is 1024"),
        (&["--context", "16"], "the context is 16"),
        (&["--concurrency", "4096", "--memory", "64MiB"], "keys and values of all sequences"),
        (&["--json", "/no/such/folder/file"], "/no/such/folder/file could not be written"),
    ] {
        let mut all = vec!["bench", "--prompt", "24", "--output", "4", "--rounds", "1"];
        all.extend(args);
        let sentence = polysilicon(&all).sentence(1);
        assert!(sentence.contains(words), "{args:?}: {sentence}");
    }
    for args in [&["bench", "--layers"][..], &["bench", "--rounds", "0"], &["bench", "--concurrency", "0"]] {
        assert_eq!(polysilicon(args).status, 2, "{args:?}");
    }
}
