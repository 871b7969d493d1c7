//! Results for people: tables on a terminal, files for spreadsheets, and one page with plots that needs nothing but itself.

mod charts;
mod files;
mod page;
mod text;

pub use files::Line;

use crate::results::{Question, Results, Summary};
use crate::{Api, Date, Price};

/// Results with all that they are told beside.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// What was measured, a device each, with what an hour of it costs.
    pub devices: Vec<(&'a Results, Option<Price>)>,
    /// The share of paid hours in which there is so much to do.
    pub utilisation: f64,
    /// What an answer must keep to.
    pub slo: Option<&'a crate::results::Slo>,
    /// What APIs charge for such a model.
    pub apis: Vec<&'a Api>,
    /// Today.
    pub today: Date,
}

/// A point of a device with what it comes to.
struct Row<'a> {
    device: usize,
    results: &'a Results,
    price: Option<&'a Price>,
    point: &'a crate::results::Point,
    summary: Summary,
}

impl<'a> Report<'a> {
    /// Every point of every device.
    fn rows(&'a self) -> Vec<Row<'a>> {
        let of_device = |(device, (results, price)): (usize, &'a (&'a Results, Option<Price>))| {
            let question = Question { price: price.as_ref(), utilisation: self.utilisation, slo: self.slo };
            let row = move |point: &'a crate::results::Point| Row {
                device,
                results,
                price: price.as_ref(),
                point,
                summary: results.summary(point, &question),
            };
            results.points.iter().map(row)
        };
        self.devices.iter().enumerate().flat_map(of_device).collect()
    }

    /// What it all comes to, in a sentence: the cheapest, or that there is no winner, or that an API is cheaper.
    pub fn verdict(&self) -> String {
        let rows = self.rows();
        let mut told = rows.iter().filter(|row| row.summary.refused.is_none());
        let Some(first) = told.next() else {
            let reason = rows.first().and_then(|row| row.summary.refused.clone());
            return format!("No result: {}.", reason.unwrap_or_else(|| "nothing was measured".to_owned()));
        };
        let cost = |row: &Row<'_>| row.summary.dollars.map_or(f64::INFINITY, |dollars| dollars.total.mid);
        let best = told.fold(first, |best, row| if cost(row) < cost(best) { row } else { best });
        let Some(dollars) = best.summary.dollars else {
            let summary = &best.summary;
            return format!(
                "{} makes {:.1} tokens per second with {}; name a price with --price to know what they cost.",
                best.results.setup.device,
                summary.out_per_s.mid,
                best.point.load()
            );
        };
        let total = dollars.total;
        let mut sentence = format!(
            "{} with {} is the cheapest here: ${} per million tokens, in and out together [${}, ${}], used {:.0} % of the time.",
            best.results.setup.device,
            best.point.load(),
            usd(total.mid),
            usd(total.low),
            usd(total.high),
            100.0 * self.utilisation
        );
        let others = rows.iter().filter(|row| row.device != best.device && row.summary.refused.is_none());
        let rival = others.min_by(|a, b| cost(a).total_cmp(&cost(b)));
        if let Some((rival, other)) = rival.and_then(|row| Some((row, row.summary.dollars?.total))) {
            let name = &rival.results.setup.device;
            sentence += &match other.overlaps(&total) {
                true => format!(" Against {name} there is no winner: their ranges overlap."),
                false => format!(" Next is {name}, {:.0} % dearer.", 100.0 * (other.mid / total.mid - 1.0)),
            };
        }
        let share = best.summary.share_in();
        let cheapest = self.apis.iter().min_by(|a, b| a.blended(share).total_cmp(&b.blended(share)));
        if let Some(api) = cheapest {
            let charges = api.blended(share);
            let even = best.summary.break_even(&dollars, self.utilisation, charges);
            let (provider, date) = (&api.provider, api.date);
            sentence += &if even > 1.0 {
                format!(
                    " Use the API: {provider} charges ${} for the same mix ({date}), less than this machine costs in full use.",
                    usd(charges)
                )
            } else {
                format!(
                    " It is cheaper than {provider} at ${} for the same mix ({date}) if it is used more than {:.0} % of the time.",
                    usd(charges),
                    100.0 * even
                )
            };
        }
        sentence
    }
}

/// Dollars with three digits that count.
fn usd(x: f64) -> String {
    match x {
        x if !x.is_finite() => "-".to_owned(),
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x if x >= 1.0 => format!("{x:.2}"),
        x if x >= 0.1 => format!("{x:.3}"),
        x => format!("{x:.4}"),
    }
}

/// Milliseconds with three digits that count.
fn ms(s: f64) -> String {
    match 1e3 * s {
        x if x >= 100.0 => format!("{x:.0}"),
        x if x >= 10.0 => format!("{x:.1}"),
        x => format!("{x:.2}"),
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.0} %", 100.0 * share))
}
