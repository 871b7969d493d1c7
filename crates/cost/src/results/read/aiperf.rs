//! `profile_export.jsonl` of NVIDIA's AIPerf: a request a line, each metric with its unit.

use serde_json::Value;

use super::super::{Point, Request, Results, SCHEMA};
use super::{Told, count, run, setup};

/// Whether the first line is a record of a request.
pub fn is_record(text: &str) -> bool {
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    let value = serde_json::from_str::<Value>(first).unwrap_or_default();
    value.get("metadata").is_some_and(|of| of.get("request_start_ns").is_some())
        && value.get("metrics").is_some()
}

/// The requests of a file, but for those that warmed up.
pub fn read(text: &str, model: Option<&str>) -> Result<Vec<Results>, String> {
    let mut told = vec![];
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let wrong = |reason: &str| format!("line {number}: {reason}");
        let record: Value = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
        if record["metadata"]["benchmark_phase"] == "warmup" {
            continue;
        }
        told.push(request(&record).ok_or_else(|| {
            wrong("it lacks when it was asked and ended, its tokens in and out, or the time to its first token; AIPerf tells that with --streaming")
        })?);
    }
    let model = model.unwrap_or("a model that AIPerf does not name").to_owned();
    let point =
        Point { concurrency: None, rate_per_s: None, cache: true, runs: vec![run(told)?], predicted: None };
    let setup = setup("AIPerf".to_owned(), model);
    Ok(vec![Results { schema: SCHEMA, setup, points: vec![point], kernels: vec![] }])
}

fn request(record: &Value) -> Option<Told> {
    let moment = |key: &str| Some(record["metadata"].get(key)?.as_f64()? / 1e9);
    let metric = |key: &str| record["metrics"].get(key);
    let (start, end) = (moment("request_start_ns")?, moment("request_end_ns")?);
    if let Some(error) = record.get("error").filter(|error| !error.is_null()) {
        let error = error.get("message").and_then(Value::as_str).unwrap_or("it failed").to_owned();
        let request = Request { error: Some(error), ..Request::default() };
        return Some(Told { times: [start, end, end], request });
    }
    let first = seconds(metric("time_to_first_token")?)?;
    let tokens_out = count(metric("output_sequence_length").or(metric("output_token_count"))?.get("value"))?;
    let mut request = Request {
        tokens_in: count(metric("input_sequence_length")?.get("value"))?,
        tokens_out,
        ..Request::default()
    };
    // A piece of text need not be a token; where it is not, only the mean is known.
    let gaps = metric("inter_chunk_latency").and_then(|gaps| Some((unit(gaps)?, gaps["value"].as_array()?)));
    if let Some((unit, gaps)) = gaps.filter(|(_, gaps)| gaps.len() as u64 + 1 == u64::from(tokens_out)) {
        let gaps = gaps.iter().map(|gap| Some((gap.as_f64().filter(|gap| *gap >= 0.0)? * unit) as f32));
        request.between_s = gaps.collect::<Option<_>>()?;
    }
    Some(Told { times: [start, start + first, end.max(start + first)], request })
}

/// A metric of time, in seconds.
fn seconds(metric: &Value) -> Option<f64> {
    Some(metric["value"].as_f64()? * unit(metric)?)
}

/// Seconds of its unit.
fn unit(metric: &Value) -> Option<f64> {
    match metric["unit"].as_str()? {
        "ns" => Some(1e-9),
        "us" => Some(1e-6),
        "ms" => Some(1e-3),
        "sec" | "s" => Some(1.0),
        _ => None,
    }
}
