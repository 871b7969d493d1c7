//! One page that needs nothing but itself: no script, no font and no picture is fetched.

use std::fmt::Write;

use super::charts::{PARTS, SERIES};
use super::{Report, Row, ms, percent, usd};
use crate::results::{Percentiles, Setup};

const STYLE: &str = include_str!("page.css");

impl Report<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let model = self.devices.first().map_or("nothing", |(results, _)| &results.setup.model);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>What {0} costs</title><style>{STYLE}</style></head><body>\n<h1>What a token of {0} costs</h1>\n\
             <p class=\"verdict\">{1}</p>\n",
            escaped(model),
            escaped(&self.verdict())
        );
        self.notes(&mut page);
        self.figures(&mut page);
        let plot = |title: &str, caption: &str, svg: Option<String>| {
            svg.map_or(String::new(), |svg| {
                format!("<figure><h2>{title}</h2>{svg}<figcaption>{caption}</figcaption></figure>\n")
            })
        };
        page += &plot(
            "Cost against speed",
            "Lower is cheaper, further right is faster for each reader. Bars are the range that holds nineteen of twenty draws of stretches of time; \
             the line joins what nothing else is both faster and cheaper than. What an API charges is told per token out, with the tokens in that go with it.",
            self.cost_against_speed(),
        );
        page += &plot(
            "Cost against use",
            "A machine that waits is paid for too. Dots are where it costs what an API charges for the same mix of tokens.",
            self.cost_against_use(),
        );
        page += &plot("Where the time went", &legend(), self.time());
        for (title, svg) in self.kernels() {
            page += &plot(
                &format!("What each kernel took: {}", escaped(&title)),
                "Bars are what was measured, marks what reading and multiplying take at best by what was measured of the machine. A bar that ends at \
                 its mark is as fast as the machine.",
                Some(svg),
            );
        }
        self.prediction_table(&mut page);
        self.ways_to_pay(&mut page);
        self.price_list(&mut page);
        self.reproduction(&mut page);
        page + "</body></html>\n"
    }

    fn notes(&self, page: &mut String) {
        if self.devices.iter().any(|(results, _)| results.setup.random_weights) {
            *page += "<p class=\"note\">The weights are random numbers in the shape of a known model: times and costs are real, the text means nothing.</p>\n";
        }
        for (_, price) in &self.devices {
            if let Some(price) = price.filter(|price| price.is_old(self.terms.today)) {
                let days = price.age_days(self.terms.today);
                let _ = writeln!(
                    page,
                    "<p class=\"note\">The price of {} is {days} days old ({}). Prices of accelerators have moved by a third in less.</p>",
                    escaped(&price.of),
                    price.date
                );
            }
        }
    }

    fn figures(&self, page: &mut String) {
        *page += "<h2>What was measured</h2>\n<div class=\"wide\"><table><thead><tr><th>device<th>load<th>cache\
                  <th>$/M tokens<br><small>[range]</small><th>$/M out<th>split<br><small>$/M in + $/M out</small><th>tokens/s out<th>tokens/s in\
                  <th>first token, ms<br><small>p50 / p90 / p99</small><th>between tokens, ms<br><small>p50 / p90 / p99</small>\
                  <th>whole, ms<br><small>p50 / p99</small><th>share of limit<br><small>prompts / answers</small><th>within limits</tr></thead><tbody>\n";
        for row in &self.rows {
            *page += &self.row(row);
        }
        *page += "</tbody></table></div>\n";
        let slo = self
            .terms
            .slo
            .map_or("No limits of latency were asked for.".to_owned(), |slo| format!("Limits: {slo}."));
        let _ = writeln!(
            page,
            "<p><small>{} Costs are of a machine that is used {:.0} % of the time it is paid for. The split divides the bill by the machine's time, so that \
             both parts together are the whole; $/M out has tokens in for free. Energy: {}.</small></p>",
            escaped(&slo),
            100.0 * self.terms.utilisation,
            energy(&self.rows)
        );
    }

    fn row(&self, row: &Row<'_>) -> String {
        let (device, load, summary) =
            (escaped(&row.results.setup.device), escaped(&row.point.load()), &row.summary);
        let cache = if row.point.cache { "on" } else { "off" };
        if let Some(reason) = &summary.refused {
            let reason = escaped(reason);
            return format!(
                "<tr class=\"refused\"><td>{device}<td>{load}<td>{cache}<td colspan=\"10\">no result: {reason}</tr>\n"
            );
        }
        let three = |times: Percentiles| format!("{} / {} / {}", ms(times.p50), ms(times.p90), ms(times.p99));
        let [whole, out, split] = summary.dollars.map_or(["-", "-", "-"].map(str::to_owned), |dollars| {
            let total = dollars.total;
            [
                format!(
                    "<b>{}</b><br><small>[{}, {}]</small>",
                    usd(total.mid),
                    usd(total.low),
                    usd(total.high)
                ),
                usd(dollars.out.mid),
                match (dollars.split_in, dollars.split_out) {
                    (Some(of_in), Some(of_out)) => format!("{} + {}", usd(of_in), usd(of_out)),
                    _ => "-".to_owned(),
                },
            ]
        });
        format!(
            "<tr><td>{device}<td>{load}<td>{cache}<td>{whole}<td>{out}<td>{split}<td>{:.1}<br><small>[{:.1}, {:.1}]</small><td>{:.1}<td>{}<td>{}<td>{} / {}<td>{} / {}<td>{}</tr>\n",
            summary.out_per_s.mid,
            summary.out_per_s.low,
            summary.out_per_s.high,
            summary.in_per_s,
            three(summary.ttft),
            three(summary.itl),
            ms(summary.e2e.p50),
            ms(summary.e2e.p99),
            percent(summary.share_of_limit[0]),
            percent(summary.share_of_limit[1]),
            percent(summary.good_share),
        )
    }

    /// What was predicted of each load, beside what it took.
    fn prediction_table(&self, page: &mut String) {
        let told = self.told().filter_map(|row| Some((row, row.point.predicted.as_ref()?, row.errors()?)));
        let told = told.collect::<Vec<_>>();
        let Some((_, first, _)) = told.first() else { return };
        let _ = writeln!(
            page,
            "<h2>Predicted and measured</h2>\n<p><small>By the calibration {}, which is off by {:.0} % on models that it has not seen.</small></p>\n\
             <table><thead><tr><th>load<th>predicted tokens/s out<th>measured<th>error<th>predicted ms between tokens<th>measured, median<th>error</tr></thead><tbody>",
            escaped(&first.calibration),
            100.0 * first.error
        );
        for (row, predicted, [rate, itl]) in told {
            let summary = &row.summary;
            let _ = writeln!(
                page,
                "<tr><td>{}<td>{:.1}<td>{:.1}<td>{rate:+.0} %<td>{}<td>{}<td>{itl:+.0} %</tr>",
                escaped(&row.load()),
                predicted.out_per_s,
                summary.out_per_s.mid,
                ms(predicted.itl_s),
                ms(summary.itl.p50)
            );
        }
        *page += "</tbody></table>\n";
    }

    /// What a month comes to under each way to pay.
    fn ways_to_pay(&self, page: &mut String) {
        let months = self.plans();
        if months.is_empty() {
            return;
        }
        *page += "<h2>Ways to pay</h2>\n<table><thead><tr><th>plan<th>$ a month<th>$/M on average<th>$/M of the next million</tr></thead><tbody>\n";
        for month in months {
            let _ = writeln!(
                page,
                "<tr><td>{}<td>{}<td>{}<td>{}</tr>",
                escaped(&month.plan),
                usd(month.usd_per_month),
                usd(month.usd_per_million),
                usd(month.usd_of_next_million)
            );
        }
        *page += "</tbody></table>\n";
    }

    fn price_list(&self, page: &mut String) {
        *page += "<h2>Prices</h2>\n<table><thead><tr><th>of<th>$<th>paid<th>date<th>source<th>confidence</tr></thead><tbody>\n";
        for (results, price) in &self.devices {
            let device = escaped(&results.setup.device);
            *page += &match price {
                None => format!("<tr><td>{device}<td colspan=\"5\">no price is known</tr>\n"),
                Some(price) => format!(
                    "<tr><td>{device}: {}<td>{} per hour<td>{}<td>{}<td>{}<td>{}</tr>\n",
                    escaped(&price.of),
                    usd(price.usd_per_hour),
                    price.kind,
                    price.date,
                    escaped(&price.source),
                    price.confidence.letter()
                ),
            };
        }
        for api in &self.apis {
            let source = self.terms.catalogue.sources.get(&api.source);
            let _ = writeln!(
                page,
                "<tr><td>{} API, {}<td>{} in, {} out per million<td>by the token<td>{}<td>{}<td>{}</tr>",
                escaped(&api.provider),
                escaped(&api.model),
                usd(api.input),
                usd(api.output),
                api.date,
                escaped(source.map_or(&api.source, |source| &source.name)),
                source.map_or('-', |source| source.confidence.letter())
            );
        }
        *page += "</tbody></table>\n";
    }

    fn reproduction(&self, page: &mut String) {
        *page += "<h2>To do it again</h2>\n<table><tbody>\n";
        for (results, _) in &self.devices {
            let setup = &results.setup;
            let bandwidth = setup
                .bytes_per_s
                .map_or("not a bound here".to_owned(), |rate| format!("{:.1} GB/s", rate / 1e9));
            let same = match setup.same_tokens_alone {
                Some(true) => "the same under load as alone",
                Some(false) => "OTHERS under load than alone",
                None => "not compared",
            };
            let alike = match setup.like_reference {
                Some(share) => format!("{:.0} % are the reference's", 100.0 * share),
                None => "not held against the reference, which takes too long".to_owned(),
            };
            let same = format!("{same}; {alike}");
            let lags = results.points.iter().flat_map(|point| &point.runs).map(|run| run.generator_lag_s_p99);
            let latest = lags.fold(0.0, f64::max);
            let (lag, program) = match &setup.measured_by {
                Some(other) => {
                    ("another program's; how late it was it does not tell".to_owned(), other.clone())
                }
                None => {
                    let commit = match (setup.commit.as_str(), setup.dirty) {
                        ("", _) => "not known".to_owned(),
                        (commit, false) => commit.to_owned(),
                        (commit, true) => format!("{commit}, dirty: sources had been changed since"),
                    };
                    let Setup { version, seed, date, .. } = setup;
                    (
                        format!("late by {} ms at most (p99)", ms(latest)),
                        format!("polysilicon {version}, commit {commit}, seed {seed}, {date}"),
                    )
                }
            };
            let rows = [
                (
                    "device",
                    format!("{}: {}, {} threads", setup.device, setup.device_description, setup.threads),
                ),
                (
                    "model",
                    format!(
                        "{}, {:.2} GB of weights, digest {}",
                        setup.model,
                        setup.weight_bytes as f64 / 1e9,
                        setup.model_digest
                    ),
                ),
                ("memory reads", bandwidth),
                ("tokens", same),
                ("load generator", lag),
                ("program", program),
                ("command", setup.command.join(" ")),
            ];
            for (what, told) in rows {
                let _ = writeln!(page, "<tr><th>{what}<td><code>{}</code></tr>", escaped(&told));
            }
        }
        *page += "</tbody></table>\n<p><small>Rented: $/M = 10<sup>6</sup> x price per hour / (3600 x tokens per second x use). Times are those of \
                  the engine's thread; a token counts when the engine has it. Text is not decoded.</small></p>\n";
    }
}

fn energy(rows: &[Row<'_>]) -> String {
    let told = rows.iter().filter_map(|row| {
        Some(format!("{:.2} J per token out with {}", row.summary.joules_per_token?, row.point.load()))
    });
    let told = told.collect::<Vec<_>>();
    if told.is_empty() { "unavailable, the machine shows no counter".to_owned() } else { told.join(", ") }
}

fn legend() -> String {
    let part = |(name, colour): (&&str, plotters::style::RGBColor)| {
        let plotters::style::RGBColor(r, g, b) = colour;
        format!(
            "<span class=\"key\"><svg width=\"12\" height=\"12\"><rect width=\"12\" height=\"12\" fill=\"#{r:02X}{g:02X}{b:02X}\"/></svg> {name}</span>"
        )
    };
    PARTS.iter().zip(SERIES).map(part).collect()
}

/// Text as HTML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
