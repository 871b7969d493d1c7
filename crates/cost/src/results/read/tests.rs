//! Files of others, in the shape that their documents give.

use super::*;
use crate::results::{Question, TAKEN};

/// A line of AIPerf: asked after so many milliseconds, four tokens.
fn record(start_ms: u64) -> String {
    let start = 1_759_813_207_000_000_000 + start_ms * 1_000_000;
    format!(
        r#"{{"metadata": {{"session_num": 0, "request_start_ns": {start}, "request_end_ns": {}, "benchmark_phase": "profiling", "was_cancelled": false}},
        "metrics": {{"input_sequence_length": {{"value": 550, "unit": "tokens"}}, "time_to_first_token": {{"value": 200.0, "unit": "ms"}},
        "inter_chunk_latency": {{"value": [100.0, 150.0, 50.0], "unit": "ms"}}, "output_sequence_length": {{"value": 4, "unit": "tokens"}}}}, "error": null}}"#,
        start + 500_000_000
    )
    .replace('\n', " ")
}

const GUIDELLM: &str = r#"{
  "metadata": {"version": 1, "guidellm_version": "0.8.1"},
  "args": {"target": "http://localhost:8000", "model": "meta-llama/Llama-3.1-8B-Instruct"},
  "benchmarks": [{
    "type_": "generative_benchmark",
    "config": {"strategy": {"type_": "concurrent", "streams": 2}},
    "metrics": {"request_totals": {"successful": 2, "incomplete": 0, "errored": 1, "total": 3}},
    "requests": {
      "successful": [
        {"request_id": "a", "request_start_time": 1000.0, "request_end_time": 1002.0, "prompt_tokens": 100, "output_tokens": 11,
         "cached_tokens": 64, "time_to_first_token_ms": 1000.0, "inter_token_latency_ms": 100.0},
        {"request_id": "b", "request_start_time": 1001.0, "request_end_time": 1004.0, "prompt_tokens": 100, "output_tokens": 21,
         "cached_tokens": null, "time_to_first_token_ms": 1000.0, "inter_token_latency_ms": 100.0}],
      "incomplete": [],
      "errored": [{"request_id": "c", "request_start_time": 1001.0, "request_end_time": 1001.5, "info": {"error": "busy"}}],
      "total": null}
  }]
}"#;

fn summary(results: &Results) -> crate::results::Summary {
    let question = Question { price: None, utilisation: 1.0, slo: None, taken: TAKEN };
    results.summaries(&question).remove(0)
}

fn reason(text: &str) -> String {
    read("a file", text, None).expect_err("it is refused").to_string()
}

#[test]
fn requests_of_aiperf_are_read_line_by_line() {
    let failed = r#"{"metadata": {"request_start_ns": 1759813207000000000, "request_end_ns": 1759813207000000000}, "metrics": {}, "error": {"message": "cancelled"}}"#;
    let warmup = record(0).replace("profiling", "warmup");
    let text = [warmup, record(0), record(500), failed.to_owned()].join("\n");
    for text in [text.clone(), text + "\n\n"] {
        let results = read("a file", &text, Some("llama-3.1-8b")).expect("it is read").remove(0);
        assert_eq!((results.setup.model.as_str(), results.points.len()), ("llama-3.1-8b", 1));
        let summary = summary(&results);
        // Eight tokens in a second.
        assert!((summary.out_per_s.mid - 8.0).abs() < 1e-6, "{summary:?}");
        assert!(
            (summary.ttft.p50 - 0.2).abs() < 1e-6 && (summary.itl.p99 - 0.15).abs() < 1e-6,
            "{summary:?}"
        );
        assert_eq!((summary.failed, summary.prefill_share), (1, None));
    }
    assert_eq!(read("a file", &record(0), None).expect("one line").len(), 1);
}

#[test]
fn benchmarks_of_guidellm_are_read() {
    let results = read("a file", GUIDELLM, None).expect("it is read").remove(0);
    assert_eq!(results.setup.model, "meta-llama/Llama-3.1-8B-Instruct");
    assert_eq!(results.setup.measured_by.as_deref(), Some("GuideLLM 0.8.1"));
    assert_eq!(results.points[0].load(), "2 at a time");
    let summary = summary(&results);
    // 32 tokens in four seconds; when each of them came nobody tells, only the mean.
    assert!((summary.out_per_s.mid - 8.0).abs() < 1e-6, "{summary:?}");
    assert!(
        (summary.in_per_s - 50.0).abs() < 1e-6 && (summary.cached_per_s - 16.0).abs() < 1e-6,
        "{summary:?}"
    );
    assert!((summary.itl.p50 - 0.1).abs() < 1e-6 && summary.failed == 1, "{summary:?}");
}

#[test]
fn what_cannot_be_is_refused_with_a_sentence() {
    let summary = r#"{"schema_version": "1.5", "aiperf_version": "0.13.0", "request_latency": {"unit": "ms", "avg": 2620.71}}"#;
    assert!(reason(summary).contains("profile_export.jsonl beside it"));
    for text in [
        "",
        "{",
        "[]",
        "3",
        "{}",
        "{\"schema\": 2}",
        "{\"schema\": 1, \"results\": 3}",
        "{\"benchmarks\": []}",
        "{\"benchmarks\": 3}",
    ] {
        assert!(reason(text).starts_with("a file: "), "{text}: {}", reason(text));
    }
    let broken = [
        record(0).replace("550", "-1"),
        record(0).replace("550", "1e300"),
        record(0).replace("200.0", "-200.0"),
        record(0).replace("200.0, \"unit\": \"ms\"", "200.0, \"unit\": \"fortnights\""),
        record(0).replace("time_to_first_token", "something_else"),
        format!("{}\n{{\"metadata\"", record(0)),
        record(0).replace("profiling", "warmup"),
    ];
    for text in broken {
        assert!(reason(&text).starts_with("a file: "), "{text}: {}", reason(&text));
    }
    assert!(reason(&GUIDELLM.replace("\"successful\": 2", "\"successful\": 900")).contains("keeps 2 of 900"));
    let late = GUIDELLM.replace("\"request_start_time\": 1000.0", "\"request_start_time\": -1e308");
    let endless = late.replace("\"request_end_time\": 1002.0", "\"request_end_time\": 1e308");
    assert!(reason(&endless).contains("no number"), "{}", reason(&endless));
    // A count of tokens takes no memory.
    let many = GUIDELLM.replace("\"output_tokens\": 11", "\"output_tokens\": 4294967295");
    assert!(read("a file", &many, None).is_ok());
}
