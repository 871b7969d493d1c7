//! What a token costs, on every chip, and how that is known.
//!
//! A [`Catalogue`] of chips, instances and prices, each with its date and its source; [`Plan`]s, by which a price becomes a
//! bill. The crate asks nobody what day it is and measures nothing: dates, counts and times are passed in.

#![forbid(unsafe_code)]

mod catalogue;
mod date;
mod error;
mod plan;
mod price;

pub use catalogue::{Api, Catalogue, Chip, Class, Confidence, Instance, Quote, Source};
pub use date::Date;
pub use error::CostError;
pub use plan::{Committed, Demand, Machine, Owned, Plan, Share, Tier};
pub use price::{Kind, OLD_DAYS, Price};
