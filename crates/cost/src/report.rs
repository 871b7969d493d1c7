//! Results for people: tables on a terminal, files for spreadsheets, and one page with plots that needs nothing but itself.

mod charts;
mod files;
mod kernels;
mod page;
mod text;
mod verdict;

pub use files::Line;
pub use text::ways_to_pay;

use serde::Serialize;

use crate::results::{Interval, Point, Question, Results, Slo, Summary};
use crate::{Api, Catalogue, Date, Demand, Machine, Plan, Price};

/// What results are told under.
#[derive(Clone, Debug)]
pub struct Terms<'a> {
    /// Prices of APIs, and who says what.
    pub catalogue: &'a Catalogue,
    /// The share of paid hours in which there is so much to do.
    pub utilisation: f64,
    /// What an answer must keep to.
    pub slo: Option<&'a Slo>,
    /// The share of the processors' time that others may have taken.
    pub taken: f64,
    /// Ways to pay that are to be compared, by name.
    pub plans: Vec<(String, Plan)>,
    /// Tokens of a month, in and out; as many as one machine makes in so much use where nobody says.
    pub tokens_per_month: Option<f64>,
    /// Today.
    pub today: Date,
}

/// Results with all that they are told beside.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// What was measured, a device each, with what an hour of it costs.
    devices: Vec<(&'a Results, Option<&'a Price>)>,
    terms: Terms<'a>,
    /// What APIs charge for such a model.
    apis: Vec<&'a Api>,
    /// Every point of every device.
    rows: Vec<Row<'a>>,
}

/// A point of a device with what it comes to.
#[derive(Clone, Debug)]
struct Row<'a> {
    device: usize,
    results: &'a Results,
    price: Option<&'a Price>,
    point: &'a Point,
    summary: Summary,
}

/// What a month comes to under a way to pay.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Month {
    /// The plan's name.
    pub plan: String,
    /// Dollars of the month.
    pub usd_per_month: f64,
    /// Dollars per million tokens: the month's bill over its tokens.
    pub usd_per_million: f64,
    /// Dollars that the next million tokens add.
    pub usd_of_next_million: f64,
}

impl<'a> Report<'a> {
    /// Sums everything up, once.
    pub fn new(devices: Vec<(&'a Results, Option<&'a Price>)>, terms: Terms<'a>) -> Report<'a> {
        let mut rows = vec![];
        for (device, &(results, price)) in devices.iter().enumerate() {
            let Terms { utilisation, slo, taken, .. } = terms;
            let question = Question { price, utilisation, slo, taken };
            rows.extend(results.points.iter().map(|point| Row {
                device,
                results,
                price,
                point,
                summary: results.summary(point, &question),
            }));
        }
        let model = devices.first().map_or("", |(results, _)| &results.setup.model);
        let apis = terms.catalogue.apis(model);
        Report { devices, terms, apis, rows }
    }

    /// What each point of a device comes to.
    pub fn summaries(&self, device: usize) -> Vec<&Summary> {
        self.rows.iter().filter(|row| row.device == device).map(|row| &row.summary).collect()
    }

    /// Points that are results.
    fn told(&self) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(|row| row.summary.refused.is_none())
    }

    /// The result that costs least: of tokens of answers within the limits, where there are limits.
    fn best(&self) -> Option<&Row<'a>> {
        self.told().min_by(|a, b| a.cost_mid().total_cmp(&b.cost_mid()))
    }

    /// What a month comes to under each way to pay, on machines as the cheapest result uses them.
    pub fn plans(&self) -> Vec<Month> {
        let Some(best) = self.best() else { return vec![] };
        let tokens_per_s = best.summary.in_per_s + best.summary.out_per_s.mid;
        let machine = Machine { tokens_per_s, utilisation: self.terms.utilisation };
        let demand = Demand::of(machine, self.terms.tokens_per_month);
        self.terms.plans.iter().map(|(name, plan)| Month::of(name, plan, &demand)).collect()
    }
}

impl Month {
    /// What a demand comes to under a plan.
    pub fn of(name: &str, plan: &Plan, demand: &Demand) -> Month {
        Month {
            plan: name.to_owned(),
            usd_per_month: plan.usd_per_month(demand),
            usd_per_million: plan.average(demand),
            usd_of_next_million: plan.marginal(demand),
        }
    }
}

impl Row<'_> {
    /// Dollars per million tokens in and out together; where limits were asked for, of answers that kept to them. Infinite
    /// where none did.
    fn cost(&self) -> Option<Interval> {
        let dollars = self.summary.dollars?;
        let dearer = dollars.good.map_or(1.0, |good| good / dollars.out.mid);
        Some(dollars.total.map(|usd| usd * dearer))
    }

    fn cost_mid(&self) -> f64 {
        self.cost().map_or(f64::INFINITY, |cost| cost.mid)
    }

    /// The load in words.
    fn load(&self) -> String {
        if self.point.cache { self.point.load() } else { self.point.load() + ", no cache" }
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
