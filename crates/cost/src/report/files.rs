//! Results as lines for spreadsheets: a point each, or a request each.

use serde::Serialize;

use super::{Report, Row};
use crate::results::Request;

/// A request with the load it came in.
#[derive(Serialize)]
pub struct Line<'a> {
    /// The device.
    pub device: &'a str,
    /// The load.
    pub load: String,
    /// Whether prompts could share what they have in common.
    pub cache: bool,
    /// The run, counted from 0.
    pub run: usize,
    /// The request.
    #[serde(flatten)]
    pub request: &'a Request,
}

const HEAD: &str = "device,load,cache,refused,tokens_out_per_s,tokens_out_per_s_low,tokens_out_per_s_high,tokens_in_per_s,\
cached_per_s,ttft_s_p50,ttft_s_p90,ttft_s_p99,itl_s_p50,itl_s_p90,itl_s_p99,tpot_s_p50,tpot_s_p90,tpot_s_p99,e2e_s_p50,e2e_s_p90,\
e2e_s_p99,prefill_share_of_limit,decode_share_of_limit,good_share,goodput_per_s,utilisation,usd_per_million,usd_per_million_out,\
usd_per_million_in_split,usd_per_million_out_split,usd_per_hour,price_date\n";

impl Report<'_> {
    /// A line for each point, with a head. What is refused has its reason and no figures.
    pub fn csv(&self) -> String {
        let lines = self.rows.iter().map(|row| row.csv(self.terms.utilisation)).collect::<String>();
        HEAD.to_owned() + &lines
    }

    /// Every request of every point.
    pub fn requests(&self) -> impl Iterator<Item = Line<'_>> {
        self.devices.iter().flat_map(|(results, _)| {
            results.points.iter().flat_map(move |point| {
                point.runs.iter().enumerate().flat_map(move |(run, of_run)| {
                    of_run.requests.iter().map(move |request| Line {
                        device: &results.setup.device,
                        load: point.load(),
                        cache: point.cache,
                        run,
                        request,
                    })
                })
            })
        })
    }
}

impl Row<'_> {
    fn csv(&self, utilisation: f64) -> String {
        let summary = &self.summary;
        let mut cells = vec![
            quoted(&self.results.setup.device),
            quoted(&self.point.load()),
            self.point.cache.to_string(),
            quoted(summary.refused.as_deref().unwrap_or("")),
        ];
        if summary.refused.is_some() {
            return cells.join(",") + &",".repeat(HEAD.matches(',').count() - 3) + "\n";
        }
        let told = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
        let out = summary.out_per_s;
        cells.extend(
            [out.mid, out.low, out.high, summary.in_per_s, summary.cached_per_s].map(|x| x.to_string()),
        );
        for times in [summary.ttft, summary.itl, summary.tpot, summary.e2e] {
            cells.extend([times.p50, times.p90, times.p99].map(|x| x.to_string()));
        }
        cells.extend(summary.share_of_limit.map(told));
        cells.extend([summary.good_share, summary.goodput_per_s, Some(utilisation)].map(told));
        let dollars = summary.dollars.map_or([None; 4], |dollars| {
            [Some(dollars.total.mid), Some(dollars.out.mid), dollars.split_in, dollars.split_out]
        });
        cells.extend(dollars.map(told));
        cells.push(told(self.price.map(|price| price.usd_per_hour)));
        cells.push(self.price.map_or(String::new(), |price| price.date.to_string()));
        cells.join(",") + "\n"
    }
}

/// A cell with whatever it holds.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}
