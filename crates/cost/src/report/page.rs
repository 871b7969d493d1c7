//! One page that needs nothing but itself: no script, no font and no picture is fetched.

use std::fmt::Write;

use super::charts::{PARTS, SERIES};
use super::{Report, Row, ms, percent, usd};
use crate::results::Percentiles;

const STYLE: &str = include_str!("page.css");

impl Report<'_> {
    /// The page.
    pub fn html(&self) -> String {
        let rows = self.rows();
        let model = self.devices.first().map_or("nothing", |(results, _)| &results.setup.model);
        let mut page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>What {0} costs</title><style>{STYLE}</style></head><body>\n<h1>What a token of {0} costs</h1>\n\
             <p class=\"verdict\">{1}</p>\n",
            escaped(model),
            escaped(&self.verdict())
        );
        self.notes(&mut page);
        self.figures(&rows, &mut page);
        let plot = |title: &str, caption: &str, svg: Option<String>| {
            svg.map_or(String::new(), |svg| {
                format!("<figure><h2>{title}</h2>{svg}<figcaption>{caption}</figcaption></figure>\n")
            })
        };
        page += &plot(
            "Cost against speed",
            "Lower is cheaper, further right is faster for each reader. Bars are the range that holds nineteen of twenty draws of stretches of time; \
             the line joins what nothing else is both faster and cheaper than. What an API charges is told per token out, with the tokens in that go with it.",
            self.cost_against_speed(&rows),
        );
        page += &plot(
            "Cost against use",
            "A machine that waits is paid for too. Dots are where it costs what an API charges for the same mix of tokens.",
            self.cost_against_use(&rows),
        );
        page += &plot("Where the time went", &legend(), self.time(&rows));
        self.price_list(&mut page);
        self.reproduction(&mut page);
        page + "</body></html>\n"
    }

    fn notes(&self, page: &mut String) {
        if self.devices.iter().any(|(results, _)| results.setup.random_weights) {
            *page += "<p class=\"note\">The weights are random numbers in the shape of a known model: times and costs are real, the text means nothing.</p>\n";
        }
        for (_, price) in &self.devices {
            if let Some(price) = price.as_ref().filter(|price| price.is_old(self.today)) {
                let days = price.age_days(self.today);
                let _ = writeln!(
                    page,
                    "<p class=\"note\">The price of {} is {days} days old ({}). Prices of accelerators have moved by a third in less.</p>",
                    escaped(&price.of),
                    price.date
                );
            }
        }
    }

    fn figures(&self, rows: &[Row<'_>], page: &mut String) {
        *page += "<h2>What was measured</h2>\n<div class=\"wide\"><table><thead><tr><th>device<th>load<th>cache<th>tokens/s out<th>tokens/s in\
                  <th>first token, ms<br><small>p50 / p90 / p99</small><th>between tokens, ms<br><small>p50 / p90 / p99</small>\
                  <th>whole, ms<br><small>p50 / p99</small><th>share of limit<br><small>prompts / answers</small><th>within limits\
                  <th>$/M tokens<br><small>[range]</small><th>$/M out<th>split<br><small>$/M in + $/M out</small></tr></thead><tbody>\n";
        for row in rows {
            *page += &self.row(row);
        }
        *page += "</tbody></table></div>\n";
        let slo = self
            .slo
            .map_or("No limits of latency were asked for.".to_owned(), |slo| format!("Limits: {slo}."));
        let _ = writeln!(
            page,
            "<p><small>{} Costs are of a machine that is used {:.0} % of the time it is paid for. The split divides the bill by the machine's time, so that \
             both parts together are the whole; $/M out has tokens in for free. Energy: {}.</small></p>",
            escaped(&slo),
            100.0 * self.utilisation,
            energy(rows)
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
                format!("{} + {}", usd(dollars.split_in), usd(dollars.split_out)),
            ]
        });
        format!(
            "<tr><td>{device}<td>{load}<td>{cache}<td>{:.1}<br><small>[{:.1}, {:.1}]</small><td>{:.1}<td>{}<td>{}<td>{} / {}<td>{} / {}<td>{}<td>{whole}<td>{out}<td>{split}</tr>\n",
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
            let _ = writeln!(
                page,
                "<tr><td>{} API, {}<td>{} in, {} out per million<td>by the token<td>{}<td>{}<td>b</tr>",
                escaped(&api.provider),
                escaped(&api.model),
                usd(api.input),
                usd(api.output),
                api.date,
                escaped(&api.source)
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
            let lags = results.points.iter().flat_map(|point| &point.runs).map(|run| run.generator_lag_s_p99);
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
                ("tokens", same.to_owned()),
                ("load generator", format!("late by {} ms at most (p99)", ms(lags.fold(0.0, f64::max)))),
                ("program", format!("polysilicon {}, seed {}, {}", setup.version, setup.seed, setup.date)),
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
