//! Recorded results, whoever measured them: what `polysilicon bench --json` writes, `profile_export.jsonl` of AIPerf, and
//! `benchmarks.json` of GuideLLM. A file may say anything, so nothing is taken whose times cannot be.

mod aiperf;
mod guidellm;

use serde_json::{Map, Value};

use super::{Request, Results, Run, SCHEMA, Setup};
use crate::CostError;

/// What a file holds; it is named in errors. `model` is what the model is called where the file does not say.
pub fn read(file: &str, text: &str, model: Option<&str>) -> Result<Vec<Results>, CostError> {
    let told = |results: Result<Vec<Results>, String>| {
        results.map_err(|reason| CostError::File { file: file.to_owned(), reason })
    };
    let value = match serde_json::from_str::<Value>(text) {
        Ok(value) => value,
        // One record a line is no JSON as a whole.
        Err(_) if aiperf::is_record(text) => return told(aiperf::read(text, model)),
        Err(error) => return told(Err(error.to_string())),
    };
    told(match &value {
        Value::Object(object) if object.contains_key("aiperf_version") => Err(
            "it is a summary of AIPerf's, which does not tell single requests; give the profile_export.jsonl beside it".to_owned(),
        ),
        Value::Object(_) if aiperf::is_record(text) => aiperf::read(text, model),
        Value::Object(object) if object.contains_key("benchmarks") => guidellm::read(object, model),
        Value::Object(object) => own(object),
        _ => Err(wanted()),
    })
}

/// What this program has written.
fn own(object: &Map<String, Value>) -> Result<Vec<Results>, String> {
    if object.get("schema").and_then(Value::as_u64) != Some(u64::from(SCHEMA)) {
        return Err(wanted());
    }
    let results = object.get("results").cloned().unwrap_or_default();
    let results: Vec<Results> = serde_json::from_value(results).map_err(|error| error.to_string())?;
    let runs = || results.iter().flat_map(|results| &results.points).flat_map(|point| &point.runs);
    let sound = |run: &Run| run.wall_s.is_finite() && run.wall_s >= 0.0 && run.requests.iter().all(is_sound);
    match runs().all(sound) {
        true => Ok(results),
        false => Err("it has a request that ends before it begins, or a time that is no number".to_owned()),
    }
}

fn wanted() -> String {
    format!(
        "it is no result of `polysilicon bench` with requests, of schema {SCHEMA}, no profile_export.jsonl of AIPerf, and no benchmarks.json of GuideLLM"
    )
}

/// Whether its times follow one another.
fn is_sound(request: &Request) -> bool {
    let times = [0.0, request.start_s, request.first_s, request.end_s];
    request.error.is_some() || (times.iter().all(|time| time.is_finite()) && times.is_sorted())
}

/// A request as others tell it.
struct Told {
    /// Seconds since some moment: when it was asked, when its first token came, when its last did.
    times: [f64; 3],
    request: Request,
}

/// All of them as one run, whose clock begins with the first.
fn run(told: Vec<Told>) -> Result<Run, String> {
    let begin = told.iter().map(|told| told.times[0]).fold(f64::INFINITY, f64::min);
    let requests = told.into_iter().map(|Told { times, request }| {
        let [start_s, first_s, end_s] = times.map(|time| time - begin);
        Request { start_s, first_s, end_s, ..request }
    });
    let requests = requests.collect::<Vec<_>>();
    if requests.is_empty() {
        return Err("there is no request in it".to_owned());
    }
    if let Some(place) = requests.iter().position(|request| !is_sound(request)) {
        return Err(format!("its request {} ends before it begins, or a time is no number", place + 1));
    }
    let wall_s =
        requests.iter().map(|request| request.end_s).filter(|end| end.is_finite()).fold(0.0, f64::max);
    Ok(Run { wall_s, requests, ..Run::default() })
}

/// What is known of what others have measured.
fn setup(by: String, model: String) -> Setup {
    Setup { model, device: "measured elsewhere".to_owned(), measured_by: Some(by), ..Setup::default() }
}

/// A count of tokens.
fn count(value: Option<&Value>) -> Option<u32> {
    let number = value?.as_f64()?;
    (number >= 0.0 && number <= f64::from(u32::MAX)).then_some(number as u32)
}

#[cfg(test)]
mod tests;
