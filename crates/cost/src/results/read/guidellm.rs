//! `benchmarks.json` of GuideLLM: a benchmark for each load, each with its requests.

use serde_json::{Map, Value};

use super::super::{Point, Request, Results, SCHEMA};
use super::{Told, count, run, setup};

/// The benchmarks of a file.
pub fn read(object: &Map<String, Value>, model: Option<&str>) -> Result<Vec<Results>, String> {
    let empty = vec![];
    let benchmarks = object.get("benchmarks").and_then(Value::as_array).unwrap_or(&empty);
    if benchmarks.is_empty() {
        return Err("there is no benchmark in it".to_owned());
    }
    let named = |n: usize, reason: String| format!("its benchmark {}: {reason}", n + 1);
    let points = benchmarks.iter().enumerate();
    let points = points.map(|(n, benchmark)| point(benchmark).map_err(|reason| named(n, reason)));
    let points = points.collect::<Result<Vec<_>, _>>()?;
    let args = object.get("args").unwrap_or(&Value::Null);
    let asked = ["model", "backend_kwargs", "backend"].iter().find_map(|key| model_of(args.get(key)?));
    let model = model
        .map(str::to_owned)
        .or(asked)
        .unwrap_or_else(|| "a model that GuideLLM does not name".to_owned());
    let version = object.get("metadata").and_then(|of| of.get("guidellm_version")).and_then(Value::as_str);
    let by = format!("GuideLLM {}", version.unwrap_or("of a version that is not told"));
    Ok(vec![Results { schema: SCHEMA, setup: setup(by, model), points, kernels: vec![] }])
}

/// The model's name, or the one among a backend's arguments.
fn model_of(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("model")?.as_str()).map(str::to_owned)
}

fn point(benchmark: &Value) -> Result<Point, String> {
    let list = |status: &str| benchmark["requests"][status].as_array().map_or(&[][..], Vec::as_slice);
    let (successful, errored) = (list("successful"), list("errored"));
    // It may keep a sample of its requests, from which no rate follows.
    let made = benchmark["metrics"]["request_totals"]["successful"].as_u64();
    if let Some(made) = made.filter(|made| *made != successful.len() as u64) {
        return Err(format!(
            "it keeps {} of {made} requests, and no rate follows from some; run GuideLLM so that it keeps all",
            successful.len()
        ));
    }
    let lacks = |n: usize| {
        format!(
            "its request {} lacks when it was asked and ended, its tokens in and out, or the time to its first token",
            n + 1
        )
    };
    let told = successful.iter().enumerate().map(|(n, request)| answered(request).ok_or_else(|| lacks(n)));
    let mut told = told.collect::<Result<Vec<_>, _>>()?;
    told.extend(errored.iter().filter_map(failed));
    let strategy = &benchmark["config"]["strategy"];
    let concurrency = match strategy["type_"].as_str() {
        Some("synchronous") => Some(1),
        Some("concurrent") => count(strategy.get("streams")),
        _ => None,
    };
    let rate_per_s = strategy["rate"].as_f64().filter(|rate| concurrency.is_none() && *rate > 0.0);
    Ok(Point { concurrency, rate_per_s, cache: true, runs: vec![run(told)?], predicted: None })
}

fn answered(request: &Value) -> Option<Told> {
    let number = |key: &str| request.get(key)?.as_f64();
    let (start, end) = (number("request_start_time")?, number("request_end_time")?);
    let first = start + number("time_to_first_token_ms")? / 1e3;
    let request = Request {
        tokens_in: count(request.get("prompt_tokens"))?,
        tokens_out: count(request.get("output_tokens"))?,
        tokens_cached: count(request.get("cached_tokens")).unwrap_or(0),
        ..Request::default()
    };
    Some(Told { times: [start, first, end.max(first)], request })
}

fn failed(request: &Value) -> Option<Told> {
    let number = |key: &str| request.get(key)?.as_f64();
    let (start, end) = (number("request_start_time")?, number("request_end_time")?);
    let error = request["info"]["error"].as_str().unwrap_or("it failed").to_owned();
    Some(Told { times: [start, end, end], request: Request { error: Some(error), ..Request::default() } })
}
