//! The table on a terminal.

use std::fmt::Write;

use super::{Report, Row, ms, percent, usd};

/// Columns of the table: their heads, and what a row has in them.
const COLUMNS: [&str; 15] = [
    "device", "load", "cache", "out/s", "in/s", "ttft p50", "p99 ms", "itl p50", "p99 ms", "prefill",
    "decode", "$/M", "$/M out", "in +", "out",
];

impl Report<'_> {
    /// A table with a row for each point, what it means, and where its prices are from.
    pub fn text(&self) -> String {
        let rows = self.rows();
        let mut table = vec![COLUMNS.map(str::to_owned)];
        table.extend(rows.iter().filter(|row| row.summary.refused.is_none()).map(Row::cells));
        let mut text = aligned(&table);
        for row in &rows {
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
        self.limits(&rows, &mut text);
        self.prices(&rows, &mut text);
        text + &self.verdict() + "\n"
    }

    fn limits(&self, rows: &[Row<'_>], text: &mut String) {
        let Some(slo) = self.slo else { return };
        let _ = writeln!(text, "within {slo}:");
        for row in rows.iter().filter(|row| row.summary.refused.is_none()) {
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

    fn prices(&self, rows: &[Row<'_>], text: &mut String) {
        for (results, price) in &self.devices {
            let energy = rows
                .iter()
                .find(|row| std::ptr::eq(row.results, *results))
                .and_then(|row| row.summary.joules_per_token);
            let energy = energy
                .map_or("energy: unavailable".to_owned(), |joules| format!("{joules:.2} J per token out"));
            let device = &results.setup.device;
            let _ = match price {
                Some(price) => {
                    writeln!(text, "{device}: {} ({}); {energy}", price.sentence(self.today), price.source)
                }
                None => writeln!(text, "{device}: no price is known; name one with --price; {energy}"),
            };
        }
        let best = rows.iter().filter(|row| row.summary.refused.is_none()).min_by(|a, b| {
            let cost = |row: &Row<'_>| row.summary.dollars.map_or(f64::INFINITY, |dollars| dollars.total.mid);
            cost(a).total_cmp(&cost(b))
        });
        let Some((row, dollars)) = best.and_then(|row| Some((row, row.summary.dollars?))) else { return };
        let at = [1.0, 0.6, 0.3, 0.1].map(|share| {
            format!("${} at {:.0} %", usd(dollars.total.mid * self.utilisation / share), 100.0 * share)
        });
        let _ = writeln!(text, "used less, a million tokens cost more: {}", at.join(", "));
        for api in &self.apis {
            let charges = api.blended(row.summary.share_in());
            let even = row.summary.break_even(&dollars, self.utilisation, charges);
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

impl Row<'_> {
    fn cells(&self) -> [String; 15] {
        let summary = &self.summary;
        let [whole, out, split_in, split_out] = summary.dollars.map_or(Default::default(), |dollars| {
            [dollars.total.mid, dollars.out.mid, dollars.split_in, dollars.split_out].map(usd)
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

fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].len()).max().unwrap_or(0));
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate();
        let cells = cells.map(
            |(column, (cell, width))| {
                if column < 3 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
            },
        );
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
}
