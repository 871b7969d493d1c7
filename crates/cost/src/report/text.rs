//! The table on a terminal.

use std::fmt::Write;

use super::{Month, Report, Row, ms, percent, usd};
use crate::table;

/// Columns of the table: their heads, and what a row has in them.
const COLUMNS: [&str; 15] = [
    "device", "load", "cache", "out/s", "in/s", "ttft p50", "p99 ms", "itl p50", "p99 ms", "prefill",
    "decode", "$/M", "$/M out", "in +", "out",
];

impl Report<'_> {
    /// A table with a row for each point, what it means, and where its prices are from.
    pub fn text(&self) -> String {
        let mut rows = vec![COLUMNS.map(str::to_owned)];
        rows.extend(self.told().map(Row::cells));
        let mut text = table(&rows, 3);
        for row in &self.rows {
            if let Some(reason) = &row.summary.refused {
                let _ = writeln!(
                    text,
                    "{} with {} is no result: {reason}",
                    row.results.setup.device,
                    row.point.load()
                );
            }
            if row.summary.failed > 0 {
                let _ = writeln!(text, "{}: {} requests failed", row.point.load(), row.summary.failed);
            }
        }
        text +=
            "prefill, decode: share of the physical limit; in + out: the bill split by the device's time\n";
        self.predictions(&mut text);
        self.limits(&mut text);
        self.prices(&mut text);
        text += &ways_to_pay(&self.plans());
        text + &self.verdict() + "\n"
    }

    /// What was predicted, beside what was measured.
    fn predictions(&self, text: &mut String) {
        for row in self.told() {
            let (Some(told), Some([rate, itl])) = (&row.point.predicted, row.errors()) else { continue };
            let _ = writeln!(
                text,
                "predicted of {}: {:.1} out/s ({rate:+.0} %), {} ms between tokens ({itl:+.0} %), by `{}`, which is off by {:.0} % on models it has not seen",
                row.load(),
                told.out_per_s,
                ms(told.itl_s),
                told.calibration,
                100.0 * told.error
            );
        }
    }

    fn limits(&self, text: &mut String) {
        let Some(slo) = self.terms.slo else { return };
        let _ = writeln!(text, "within {slo}:");
        for row in self.told() {
            let summary = &row.summary;
            let good = summary.dollars.and_then(|dollars| dollars.good).map_or("-".to_owned(), usd);
            let _ = writeln!(
                text,
                "  {} with {}: {} of requests, {:.2} per second, ${good} per million good tokens out",
                row.results.setup.device,
                row.point.load(),
                percent(summary.good_share),
                summary.goodput_per_s.unwrap_or(0.0)
            );
        }
    }

    fn prices(&self, text: &mut String) {
        for (results, price) in &self.devices {
            let energy = self
                .rows
                .iter()
                .find(|row| std::ptr::eq(row.results, *results))
                .and_then(|row| row.summary.joules_per_token);
            let energy = energy
                .map_or("energy: unavailable".to_owned(), |joules| format!("{joules:.2} J per token out"));
            let device = &results.setup.device;
            let _ = match price {
                Some(price) => {
                    writeln!(
                        text,
                        "{device}: {} ({}); {energy}",
                        price.sentence(self.terms.today),
                        price.source
                    )
                }
                None => writeln!(text, "{device}: no price is known; name one with --price; {energy}"),
            };
        }
        let Some((row, dollars)) = self.best().and_then(|row| Some((row, row.summary.dollars?))) else {
            return;
        };
        let used = self.terms.utilisation;
        let at = [1.0, 0.6, 0.3, 0.1]
            .map(|share| format!("${} at {:.0} %", usd(dollars.total.mid * used / share), 100.0 * share));
        let _ = writeln!(text, "used less, a million tokens cost more: {}", at.join(", "));
        for api in &self.apis {
            let charges = api.blended(row.summary.share_in());
            let even = row.summary.break_even(&dollars, used, charges);
            let told = if even > 1.0 { "never".to_owned() } else { format!("at {:.0} %", 100.0 * even) };
            let _ = writeln!(
                text,
                "  {} charges ${} for this mix ({}): even {told}",
                api.provider,
                usd(charges),
                api.date
            );
        }
    }
}

/// A table of what a month comes to under each way to pay; nothing where there is none.
pub fn ways_to_pay(months: &[Month]) -> String {
    if months.is_empty() {
        return String::new();
    }
    let head = ["plan", "$ a month", "$/M on average", "$/M of the next million"];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(months.iter().map(|month| {
        let Month { plan, usd_per_month, usd_per_million, usd_of_next_million } = month;
        [plan.clone(), usd(*usd_per_month), usd(*usd_per_million), usd(*usd_of_next_million)]
    }));
    table(&rows, 1)
}

impl Row<'_> {
    /// How far predictions were off, in percent: of tokens out per second, and of the median time between two.
    pub(super) fn errors(&self) -> Option<[f64; 2]> {
        let (told, summary) = (self.point.predicted.as_ref()?, &self.summary);
        let error = |predicted: f64, measured: f64| 100.0 * (predicted / measured - 1.0);
        let errors = [error(told.out_per_s, summary.out_per_s.mid), error(told.itl_s, summary.itl.p50)];
        errors.iter().all(|error| error.is_finite()).then_some(errors)
    }

    fn cells(&self) -> [String; 15] {
        let summary = &self.summary;
        let [whole, out, split_in, split_out] = summary.dollars.map_or(Default::default(), |dollars| {
            let split = [dollars.split_in, dollars.split_out].map(|usd| usd.unwrap_or(f64::NAN));
            [dollars.total.mid, dollars.out.mid, split[0], split[1]].map(usd)
        });
        [
            self.results.setup.device.clone(),
            self.point.load(),
            if self.point.cache { "on" } else { "off" }.to_owned(),
            format!("{:.1}", summary.out_per_s.mid),
            format!("{:.1}", summary.in_per_s),
            ms(summary.ttft.p50),
            ms(summary.ttft.p99),
            ms(summary.itl.p50),
            ms(summary.itl.p99),
            percent(summary.share_of_limit[0]),
            percent(summary.share_of_limit[1]),
            whole,
            out,
            split_in,
            split_out,
        ]
    }
}
