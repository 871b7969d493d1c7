//! What a token costs, on every chip, and how that is known.
//!
//! A [`Catalogue`] of chips, instances and prices, each with its date and its source; [`Plan`]s, by which a price becomes a
//! bill. A [`Ledger`] that divides the time of steps among the sequences in them. The crate asks nobody what day it is and measures nothing: dates, counts and times are passed in.

#![forbid(unsafe_code)]

mod catalogue;
mod date;
mod error;
mod experts;
mod ledger;
mod plan;
pub mod predict;
mod price;
pub mod report;
pub mod results;
mod table;
mod weigh;

pub use catalogue::{Api, Catalogue, Chip, Class, Confidence, Instance, Quote, Source};
pub use date::Date;
pub use error::CostError;
pub use experts::{Experts, Touched};
pub use ledger::{Charge, Ledger, PartUse, Phase, StepUse, Totals};
pub use plan::{Committed, Demand, Machine, Owned, Plan, Share, Tier};
pub use price::{Kind, OLD_DAYS, Price};
pub use table::table;
pub use weigh::{Rates, Scale, Stretch};
