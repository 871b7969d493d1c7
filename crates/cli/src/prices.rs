//! The catalogue that commands look prices up in, and what day it is.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use polysilicon::cost::{Catalogue, CostError, Date, Price};
use polysilicon::{Device, Error};
use serde_json::{Value, json};

use crate::failure::Failure;

/// Names files of prices, separated as paths are.
const VARIABLE: &str = "POLYSILICON_PRICES";

/// The most bytes of a file of prices that are read.
const BYTES_MAX: u64 = 5 << 20;

/// Files of prices over those that the program knows.
#[derive(Args)]
pub struct CatalogueArgs {
    /// Lay the chips, instances, prices and plans of this file over those known; may be given several times, and
    /// POLYSILICON_PRICES names such files too
    #[arg(long, value_name = "FILE")]
    prices: Vec<PathBuf>,
}

impl CatalogueArgs {
    /// What is known, the user's own over the program's.
    pub fn catalogue(&self) -> Result<Catalogue, Failure> {
        let mut catalogue = Catalogue::built_in()?;
        let variable = std::env::var_os(VARIABLE).unwrap_or_default();
        let named = std::env::split_paths(&variable).filter(|path| !path.as_os_str().is_empty());
        for path in named.chain(self.prices.iter().cloned()) {
            catalogue.lay_over(&path.display().to_string(), &read(&path)?)?;
        }
        Ok(catalogue)
    }
}

/// What an hour of the machine costs.
#[derive(Args)]
#[command(next_help_heading = "Price")]
pub struct PriceArgs {
    /// What an hour costs: dollars, an instance, or INSTANCE:KIND, as `polysilicon chips` lists them [default: of the cpu, its
    /// share of an instance that can be rented]
    #[arg(long, value_name = "PRICE")]
    price: Option<String>,
    #[command(flatten)]
    catalogue: CatalogueArgs,
}

/// A price, and whether nobody has named it.
#[derive(Clone)]
pub struct Known {
    pub price: Price,
    pub assumed: bool,
}

impl PriceArgs {
    /// The price that was named; else of this machine's processor what its share of an instance would cost.
    pub fn known(&self, catalogue: &Catalogue, device: Device) -> Result<Option<Known>, Failure> {
        if let Some(word) = &self.price {
            return Ok(Some(Known { price: catalogue.price(word, today())?, assumed: false }));
        }
        Ok(device.rented(catalogue).map(|price| Known { price, assumed: true }))
    }

    /// Whether anybody named one.
    pub fn is_named(&self) -> bool {
        self.price.is_some()
    }

    /// What is known of prices.
    pub fn catalogue(&self) -> Result<Catalogue, Failure> {
        self.catalogue.catalogue()
    }
}

impl Known {
    /// The same, for scripts.
    pub fn report(&self) -> Value {
        let Price { usd_per_hour, of, kind, date, source, confidence } = &self.price;
        json!({
            "usd_per_hour": usd_per_hour,
            "of": of,
            "kind": kind.name(),
            "date": date.to_string(),
            "age_days": self.price.age_days(today()),
            "old": self.price.is_old(today()),
            "source": source,
            "confidence": confidence.letter().to_string(),
            "assumed": self.assumed,
        })
    }
}

/// Today.
pub fn today() -> Date {
    Date::of(SystemTime::now())
}

/// The text of a file of prices, or of calibrations.
pub fn read(path: &Path) -> Result<String, Failure> {
    let fail = |error| Error::File { path: path.to_owned(), error };
    let mut bytes = vec![];
    File::open(path).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes)).map_err(fail)?;
    let not_text = || CostError::Word(format!("{} is not text in UTF-8", path.display()));
    Ok(String::from_utf8(bytes).map_err(|_| not_text())?)
}
