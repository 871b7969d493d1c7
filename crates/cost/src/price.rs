//! What an hour costs. A price without a day does not exist.

use std::fmt;

use serde::Deserialize;

use crate::{Confidence, CostError, Date};

/// Days after which a price is told to be old: those of GPUs have moved by a third in half a year.
pub const OLD_DAYS: i64 = 90;

/// How an hour is paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// By the hour, at the list price.
    OnDemand,
    /// Reserved for a year, paid in advance.
    #[serde(rename = "reserved_1y")]
    Reserved1y,
    /// What reserved hours come to, for a term that is not told.
    RiEffective,
    /// A block of days, booked ahead.
    CapacityBlock,
    /// While nobody pays more.
    Spot,
    /// What a chip of its own costs a hyperscaler.
    OwnedHyperscaler,
    /// What a chip of its own costs a smaller cloud.
    OwnedNeocloud,
    /// Rented for three years, a quarter paid at once.
    #[serde(rename = "rental_3y")]
    Rental3y,
    /// As the user says.
    Given,
}

impl Kind {
    /// Its name, as files and commands write it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::OnDemand => "on_demand",
            Kind::Reserved1y => "reserved_1y",
            Kind::RiEffective => "ri_effective",
            Kind::CapacityBlock => "capacity_block",
            Kind::Spot => "spot",
            Kind::OwnedHyperscaler => "owned_hyperscaler",
            Kind::OwnedNeocloud => "owned_neocloud",
            Kind::Rental3y => "rental_3y",
            Kind::Given => "given",
        }
    }

    /// Every kind there is.
    pub fn all() -> [Kind; 9] {
        use Kind::{
            CapacityBlock, Given, OnDemand, OwnedHyperscaler, OwnedNeocloud, Rental3y, Reserved1y,
            RiEffective, Spot,
        };
        [
            OnDemand,
            CapacityBlock,
            Reserved1y,
            RiEffective,
            Rental3y,
            OwnedNeocloud,
            OwnedHyperscaler,
            Spot,
            Given,
        ]
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name().replace('_', " "))
    }
}

/// What an hour of something costs, whose price that is, and of which day.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// US dollars per hour.
    pub usd_per_hour: f64,
    /// Of what: an instance, or a part of one.
    pub of: String,
    /// How it is paid for.
    pub kind: Kind,
    /// The day on which it was so.
    pub date: Date,
    /// Who says so.
    pub source: String,
    /// How far that is to be believed.
    pub confidence: Confidence,
    /// The instance that it is a price of, as the catalogue names it, where it is one's.
    pub instance: Option<String>,
    /// How many of that it is of, or which part.
    pub share: f64,
}

impl Price {
    /// What the user says that an hour costs, on the day on which that is said.
    pub fn given(usd_per_hour: f64, today: Date) -> Result<Price, CostError> {
        if !(usd_per_hour.is_finite() && usd_per_hour >= 0.0) {
            return Err(CostError::Word(format!(
                "{usd_per_hour} is no price; write dollars per hour, as 2.50"
            )));
        }
        let (of, source) = ("this machine".to_owned(), "given by the user".to_owned());
        Ok(Price {
            usd_per_hour,
            of,
            kind: Kind::Given,
            date: today,
            source,
            confidence: Confidence::A,
            instance: None,
            share: 1.0,
        })
    }

    /// Dollars of so many seconds.
    pub fn dollars(&self, seconds: f64) -> f64 {
        self.usd_per_hour * seconds / 3600.0
    }

    /// The same price for a part of the thing, which a sentence describes.
    #[must_use]
    pub fn part(&self, share: f64, of: String) -> Price {
        Price { usd_per_hour: self.usd_per_hour * share, share: self.share * share, of, ..self.clone() }
    }

    /// Days since it was so.
    pub fn age_days(&self, today: Date) -> i64 {
        today.days_since(self.date)
    }

    /// Whether it is too old to be repeated without saying so.
    pub fn is_old(&self, today: Date) -> bool {
        self.age_days(today) > OLD_DAYS
    }

    /// What it is, in words: never without its day, and with its age where that is much.
    pub fn sentence(&self, today: Date) -> String {
        let old = match self.age_days(today) {
            days if days > OLD_DAYS => format!(", {days} days old"),
            _ => String::new(),
        };
        let Price { of, kind, date, usd_per_hour, .. } = self;
        match kind {
            Kind::Given => format!("${usd_per_hour:.4} per hour as given, {date}"),
            _ => format!("${usd_per_hour:.4} per hour, {of}, {kind}, {date}{old}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_tells_its_day_and_when_it_is_old() {
        let day = |text: &str| text.parse::<Date>().expect("a date");
        let price = Price {
            of: "a box".to_owned(),
            kind: Kind::Spot,
            ..Price::given(3.6, day("2026-07-20")).expect("a price")
        };
        assert!((price.dollars(1000.0) - 1.0).abs() < 1e-12);
        assert!(!price.is_old(day("2026-10-18")) && price.is_old(day("2026-10-19")));
        assert!(price.sentence(day("2026-08-01")).ends_with("2026-07-20"));
        assert!(price.sentence(day("2026-11-28")).ends_with("2026-07-20, 131 days old"));
        for wrong in [-1.0, f64::NAN, f64::INFINITY] {
            assert!(Price::given(wrong, day("2026-07-20")).is_err());
        }
    }

    #[test]
    fn kinds_are_read_by_their_names() {
        #[derive(Deserialize)]
        struct Row {
            kind: Kind,
        }
        for kind in Kind::all() {
            let row: Row = toml::from_str(&format!("kind = '{}'", kind.name())).expect("a kind");
            assert_eq!(row.kind, kind);
        }
    }
}
