//! What results come to, under a price: rates, latencies, what limits were kept, dollars; and what is not told because it
//! cannot be true.

use serde::Serialize;

use super::{Disturbed, Interval, Point, Request, Results, Setup, Slo, bootstrap};
use crate::Price;

/// Runs whose rates differ by more than this share of their middle are noise.
const NOISE: f64 = 0.5;

/// Above so much of it a bound is told to be exceeded: memory gives a little more or less from one moment to the next.
const ABOVE: f64 = 1.05;

/// More of the processors' time than this, taken by other programs or by other machines, is noise, unless somebody says how much
/// is.
pub const TAKEN: f64 = 0.1;

/// Fewer tokens than this share that the reference finds likeliest too, and the device computes something else.
const ALIKE: f64 = 0.8;

/// The load generator is the limit where it is late by more than this share of the time between tokens.
const LATE: f64 = 0.5;

/// What is asked of results.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What an hour of the machine costs.
    pub price: Option<&'a Price>,
    /// The share of paid hours in which there is so much to do.
    pub utilisation: f64,
    /// What an answer must keep to if it is to count.
    pub slo: Option<&'a Slo>,
    /// The share of the processors' time that others may have taken; [`TAKEN`] unless there is a reason.
    pub taken: f64,
}

/// The 50th, 90th and 99th percentile, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half are faster.
    pub p50: f64,
    /// Nine of ten are.
    pub p90: f64,
    /// All but one of a hundred are.
    pub p99: f64,
}

/// Dollars per million tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Dollars {
    /// Of tokens in and out together.
    pub total: Interval,
    /// Of tokens out, those in being free.
    pub out: Interval,
    /// Of tokens in, where the bill is split by the machine's time: with `split_out` it comes to the whole. `None` where
    /// nobody told whose that was.
    pub split_in: Option<f64>,
    /// Of tokens out, where it is split so.
    pub split_out: Option<f64>,
    /// Of tokens out of answers that kept to the limits; infinite where none did.
    pub good: Option<f64>,
}

/// What a point comes to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Tokens out per second.
    pub out_per_s: Interval,
    /// Tokens in per second.
    pub in_per_s: f64,
    /// Those among them that needed no computation.
    pub cached_per_s: f64,
    /// To the first token.
    pub ttft: Percentiles,
    /// Between tokens.
    pub itl: Percentiles,
    /// Per token after the first, by request.
    pub tpot: Percentiles,
    /// Of whole requests.
    pub e2e: Percentiles,
    /// Tokens per second that one reader sees.
    pub interactivity: f64,
    /// Requests that went wrong.
    pub failed: usize,
    /// The share of requests that kept to the limits.
    pub good_share: Option<f64>,
    /// Requests per second that did.
    pub goodput_per_s: Option<f64>,
    /// The share of time that prompts took, where that is known.
    pub prefill_share: Option<f64>,
    /// What was reached of the physical limit, for prompts and for answers. A step that holds both does so in less time than one
    /// after the other, so that one of them alone may be above it.
    pub share_of_limit: [Option<f64>; 2],
    /// What both reached of it together, which is never above it.
    pub share_of_limit_together: Option<f64>,
    /// The share of time in which there was something to do, where that is known.
    pub busy_share: Option<f64>,
    /// Joules per token out.
    pub joules_per_token: Option<f64>,
    /// What it costs.
    pub dollars: Option<Dollars>,
    /// Why none of this is a result.
    pub refused: Option<String>,
}

impl Results {
    /// What each point comes to.
    pub fn summaries(&self, question: &Question<'_>) -> Vec<Summary> {
        self.points.iter().map(|point| self.summary(point, question)).collect()
    }

    /// What a point comes to.
    pub fn summary(&self, point: &Point, question: &Question<'_>) -> Summary {
        let wall = point.runs.iter().map(|run| run.wall_s).sum::<f64>();
        let all = || point.runs.iter().flat_map(|run| &run.requests);
        let good = || all().filter(|request| request.error.is_none());
        let sum = |of: &dyn Fn(&Request) -> f64| good().map(of).fold(0.0, |sum, x| sum + x);
        let rate = |sum: f64| if wall > 0.0 { sum / wall } else { 0.0 };
        let times = |of: &dyn Fn(&Request) -> f64| percentiles(good().map(of).collect());
        let between = good().flat_map(gaps).collect();
        let (prefill, decode) = (sum(&|r| r.prefill_s), sum(&|r| r.decode_s));
        let kept = question.slo.map(|slo| all().filter(|request| slo.holds(request)).count() as f64);
        let tpot = times(&Request::tpot_s);
        let tokens = sum(&|r| f64::from(r.tokens_out));
        let charged = prefill + decode > 0.0;
        let joules = good().map(|request| request.joules).sum::<Option<f64>>();
        let mut summary = Summary {
            out_per_s: bootstrap::tokens_per_s(&point.runs),
            in_per_s: rate(sum(&|r| f64::from(r.tokens_in))),
            cached_per_s: rate(sum(&|r| f64::from(r.tokens_cached))),
            ttft: times(&Request::ttft_s),
            itl: percentiles(between),
            tpot,
            e2e: times(&Request::e2e_s),
            interactivity: if tpot.p50 > 0.0 { 1.0 / tpot.p50 } else { 0.0 },
            failed: all().count() - good().count(),
            good_share: kept.map(|kept| kept / all().count().max(1) as f64),
            goodput_per_s: kept.map(rate),
            prefill_share: charged.then(|| prefill / (prefill + decode)),
            share_of_limit: [0, 1].map(|phase| self.share_of_limit(point, &[phase])),
            share_of_limit_together: self.share_of_limit(point, &[0, 1]),
            busy_share: charged.then(|| 1.0 - rate(point.runs.iter().map(|run| run.idle_s).sum())),
            joules_per_token: joules.filter(|_| tokens > 0.0).map(|joules| joules / tokens),
            dollars: None,
            refused: None,
        };
        summary.dollars = question.price.map(|price| dollars(&summary, point, price, question));
        summary.refused = self.refusal(point, &summary, question.taken);
        summary
    }

    /// What was reached of the limit in phases: the longer of reading their bytes and doing their operations, over the time that
    /// the device worked on them; on all of them, all that it worked.
    fn share_of_limit(&self, point: &Point, phases: &[usize]) -> Option<f64> {
        let Setup { bytes_per_s, operations_per_s, .. } = self.setup;
        bytes_per_s.or(operations_per_s)?;
        let requests = || point.runs.iter().flat_map(|run| &run.requests);
        let sum = |of: &dyn Fn(&Request) -> [f64; 2]| {
            requests().map(of).map(|both| phases.iter().map(|&phase| both[phase]).sum::<f64>()).sum::<f64>()
        };
        let memory = bytes_per_s.map_or(0.0, |rate| sum(&|r| r.bytes) / rate);
        let compute = operations_per_s.map_or(0.0, |peak| sum(&|r| r.operations) / peak);
        let whole = if phases.len() > 1 { point.runs.iter().map(|run| run.device_s).sum() } else { 0.0 };
        let device = sum(&|r| r.device_s).max(whole);
        (device > 0.0).then(|| memory.max(compute) / device)
    }

    /// Why a point is not told as a result.
    fn refusal(&self, point: &Point, summary: &Summary, taken: f64) -> Option<String> {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        if self.setup.same_tokens_alone == Some(false) {
            return Some(
                "a request had other tokens under load than alone: fast and wrong is no result".to_owned(),
            );
        }
        if summary.out_per_s.mid <= 0.0 {
            return Some(format!("no token was made, and {} requests failed", summary.failed));
        }
        if let Some(reason) = summary.share_of_limit_together.and_then(above) {
            return Some(reason);
        }
        if let Some(share) = self.setup.like_reference.filter(|share| *share < ALIKE) {
            let told = percent(share);
            return Some(format!(
                "only {told} of its tokens are those of the reference: fast and wrong is no result"
            ));
        }
        if let Some(reason) = point.runs.iter().find_map(|run| run.disturbed.refusal(taken)) {
            return Some(reason);
        }
        let rates = point.runs.iter().map(|run| bootstrap::tokens_per_s(std::slice::from_ref(run)).mid);
        let (least, most) =
            rates.fold((f64::INFINITY, 0.0), |(least, most), rate| (rate.min(least), rate.max(most)));
        let spread = (most - least) / summary.out_per_s.mid;
        if let Some(reason) = unlike(spread) {
            return Some(reason);
        }
        let lag = point.runs.iter().map(|run| run.generator_lag_s_p99).fold(0.0, f64::max);
        if summary.itl.p50 > 0.0 && lag > LATE * summary.itl.p50 {
            return Some(format!(
                "the load generator was late by {:.1} ms where tokens are {:.1} ms apart, so that it was the limit",
                1e3 * lag,
                1e3 * summary.itl.p50
            ));
        }
        None
    }
}

/// Why what reaches such a share of the physical limit is no result; `None` where it may be one.
pub fn above(share: f64) -> Option<String> {
    (share > ABOVE).then(|| {
        format!(
            "it reaches {:.0} % of the physical limit, so that a clock or a count is wrong",
            100.0 * share
        )
    })
}

/// Why runs that are apart by such a share of their middle are no result; `None` where they may be one.
pub fn unlike(spread: f64) -> Option<String> {
    (spread > NOISE).then(|| {
        format!(
            "its runs differ by {:.0} %: something else used the machine; run it again when it is quiet",
            100.0 * spread
        )
    })
}

impl Disturbed {
    /// Why what was measured meanwhile is no result, where others may take such a share of the processors' time.
    pub fn refusal(&self, taken: f64) -> Option<String> {
        let Disturbed { others, stolen, throttled } = *self;
        let much = |share: Option<f64>| share.filter(|share| *share > taken).map(|share| 100.0 * share);
        if let Some(share) = much(others) {
            return Some(format!(
                "other programs took {share:.0} % of the processors' time; run it again when they are done"
            ));
        }
        if let Some(share) = much(stolen) {
            return Some(format!("the host gave {share:.0} % of the processors' time to other machines"));
        }
        throttled.filter(|times| *times > 0).map(|times| {
            format!(
                "processors were slowed down {times} times because they were hot; cool them, and run it again"
            )
        })
    }
}

/// Seconds between one token and the next; where only their mean is known, that.
fn gaps(request: &Request) -> Vec<f64> {
    match request.between_s.as_slice() {
        [] if request.tokens_out > 1 => vec![request.tpot_s()],
        gaps => gaps.iter().map(|&gap| f64::from(gap)).collect(),
    }
}

fn dollars(summary: &Summary, point: &Point, price: &Price, question: &Question<'_>) -> Dollars {
    let per_s = price.usd_per_hour / 3600.0 / question.utilisation;
    let million = |rate: f64| 1e6 * per_s / rate;
    let (out, share) = (summary.out_per_s, summary.prefill_share);
    let good = question.slo.map(|slo| {
        let wall = point.runs.iter().map(|run| run.wall_s).sum::<f64>();
        let kept = point.runs.iter().flat_map(|run| &run.requests).filter(|request| slo.holds(request));
        // The sum of nothing is less than nothing, by a sign.
        million(
            kept.map(|request| f64::from(request.tokens_out)).fold(0.0, |sum, tokens| sum + tokens) / wall,
        )
    });
    Dollars {
        // More tokens out come with more tokens in, as many for each.
        total: out.map(|rate| million(rate * (1.0 + summary.in_per_s / out.mid))),
        out: out.map(million),
        split_in: share.map(|share| share * million(summary.in_per_s)),
        split_out: share.map(|share| (1.0 - share) * million(out.mid)),
        good,
    }
}

impl Summary {
    /// The share of hours in which there must be so much to do if a token is to cost no more than an API that charges so
    /// much per million tokens of this mix; above 1 it never does. `utilisation` is what the dollars are of.
    pub fn break_even(&self, dollars: &Dollars, utilisation: f64, api: f64) -> f64 {
        dollars.total.mid * utilisation / api
    }

    /// The share of tokens that are tokens in.
    pub fn share_in(&self) -> f64 {
        let all = self.in_per_s + self.out_per_s.mid;
        if all > 0.0 { self.in_per_s / all } else { 0.0 }
    }
}

fn percentiles(mut values: Vec<f64>) -> Percentiles {
    values.sort_by(f64::total_cmp);
    let at = |share| percentile(&values, share);
    Percentiles { p50: at(0.5), p90: at(0.9), p99: at(0.99) }
}

/// The least value that so large a share of sorted values does not exceed; zero where there is none.
pub fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(place.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or(0.0)
}
