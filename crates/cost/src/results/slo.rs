//! What an answer must keep to if it is to count.

use std::fmt;
use std::str::FromStr;

use super::Request;
use crate::CostError;

/// Limits of latency.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// What they are called.
    pub name: String,
    /// Milliseconds to the first token.
    pub ttft_ms: f64,
    /// Milliseconds per token after it, on average.
    pub tpot_ms: f64,
}

/// MLPerf Inference's limits at the 99th percentile, from its loadgen's configuration of 2026-08-20: model, to the first token
/// and per token for the server scenario and for the interactive one.
const MLPERF: [(&str, [f64; 2], [f64; 2]); 5] = [
    ("llama3.1-8b", [2000.0, 100.0], [500.0, 30.0]),
    ("llama2-70b", [2000.0, 200.0], [450.0, 40.0]),
    ("llama3.1-405b", [6000.0, 175.0], [4500.0, 80.0]),
    ("deepseek-r1", [2000.0, 80.0], [1500.0, 15.0]),
    ("gpt-oss-120b", [3000.0, 80.0], [2000.0, 15.0]),
];

impl Slo {
    /// Whether a request kept to them.
    pub fn holds(&self, request: &Request) -> bool {
        request.error.is_none()
            && 1e3 * request.ttft_s() <= self.ttft_ms
            && (request.tokens_out < 2 || 1e3 * request.tpot_s() <= self.tpot_ms)
    }
}

impl FromStr for Slo {
    type Err = CostError;

    /// `mlperf-server` and `mlperf-interactive` (of its 8B model), `mlperf-server:gpt-oss-120b`, or milliseconds, `500/30`.
    fn from_str(word: &str) -> Result<Slo, CostError> {
        let named = |name: &str| {
            let (scenario, model) =
                name.strip_prefix("mlperf-")?.split_once(':').unwrap_or((&name[7..], MLPERF[0].0));
            let (_, server, interactive) = MLPERF.iter().find(|(known, ..)| *known == model)?;
            let [ttft_ms, tpot_ms] = match scenario {
                "server" => *server,
                "interactive" => *interactive,
                _ => return None,
            };
            Some(Slo { name: format!("mlperf-{scenario} ({model})"), ttft_ms, tpot_ms })
        };
        let numbers = |word: &str| {
            let (ttft, tpot) = word.split_once('/')?;
            let (ttft_ms, tpot_ms): (f64, f64) = (ttft.parse().ok()?, tpot.parse().ok()?);
            (ttft_ms > 0.0 && tpot_ms > 0.0).then(|| Slo { name: word.to_owned(), ttft_ms, tpot_ms })
        };
        named(word).or_else(|| numbers(word)).ok_or_else(|| {
            let models = MLPERF.map(|(model, ..)| model).join(", ");
            CostError::Word(format!(
                "`{word}` is no limit of latency; write milliseconds to the first token and per token, as 500/30, or mlperf-server or \
                 mlperf-interactive, with :MODEL of {models}"
            ))
        })
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ms to the first token, {} ms per token", self.name, self.ttft_ms, self.tpot_ms)
    }
}
