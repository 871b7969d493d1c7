//! The catalogue that commands look prices up in, and what day it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use clap::Args;
use polysilicon::cost::{Catalogue, CostError, Date, Kind, Plan, Price};
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
    /// What an hour costs: dollars, an instance, or INSTANCE:KIND, as `polysilicon chips` lists them; of several devices one for
    /// each, separated by commas [default: of the cpu, its share of an instance that can be rented]
    #[arg(long, value_name = "PRICE", value_delimiter = ',')]
    price: Vec<String>,
    #[command(flatten)]
    catalogue: CatalogueArgs,
}

/// Ways to pay that are compared.
#[derive(Args)]
#[command(next_help_heading = "Ways to pay")]
pub struct PlanArgs {
    /// Tell what a month comes to under this plan: hourly or reserved (at --price), a way to pay for the instance of --price
    /// (on_demand, capacity_block, reserved_1y, ri_effective, rental_3y, owned_neocloud, owned_hyperscaler or spot), a plan of
    /// --prices FILE, or a file of plans; several separated by commas
    #[arg(long, value_name = "NAME|FILE", value_delimiter = ',')]
    plan: Vec<String>,
    /// Tokens of a month, in and out, that plans are of [default: what one machine makes in the use that is assumed]
    #[arg(long, value_name = "N", value_parser = parse_count)]
    tokens_per_month: Option<f64>,
}

impl PlanArgs {
    /// Whether anything here is asked for.
    pub fn is_asked(&self) -> bool {
        !self.plan.is_empty() || self.tokens_per_month.is_some()
    }

    /// Tokens of a month, where they were named.
    pub fn tokens_per_month(&self) -> Option<f64> {
        self.tokens_per_month
    }

    /// The plans, by name; those that go by the hour at a price.
    pub fn plans(
        &self,
        catalogue: &Catalogue,
        price: Option<&Price>,
    ) -> Result<Vec<(String, Plan)>, Failure> {
        let named = self.plan.iter().map(|word| named(word, catalogue, price));
        Ok(named.collect::<Result<Vec<_>, _>>()?.concat())
    }
}

/// The plan of a name, or those of a file.
fn named(word: &str, catalogue: &Catalogue, price: Option<&Price>) -> Result<Vec<(String, Plan)>, Failure> {
    let lacks_price = || Failure::Usage(format!("the plan {word} is of a price; name one with --price"));
    let at = || price.map(|price| price.usd_per_hour).ok_or_else(lacks_price);
    let one = |plan| Ok(vec![(word.to_owned(), plan)]);
    let kind = Kind::all().into_iter().find(|kind| kind.name() == word && *kind != Kind::Given);
    match (word, catalogue.plans.get(word), kind, Plan::example(word)) {
        (_, Some(plan), ..) => one(plan.clone()),
        ("hourly", ..) => one(Plan::Hourly { usd_per_hour: at()? }),
        ("reserved", ..) => one(Plan::Reserved { usd_per_hour: at()? }),
        (_, _, Some(kind), example) => {
            let price = price.ok_or_else(lacks_price)?;
            match (catalogue.paid_so(price, kind), example) {
                (Ok(paid), _) => Ok(vec![(format!("{word}: {}", paid.sentence(today())), Plan::of(&paid))]),
                (Err(error), Some(example)) => Err(lacking(&format!("{error}; "), word, example)),
                (Err(error), None) => Err(error.into()),
            }
        }
        (_, _, None, Some(example)) => Err(lacking("", word, example)),
        (path, ..) if Path::new(path).is_file() => {
            let mut own = Catalogue { plans: BTreeMap::new(), ..catalogue.clone() };
            own.lay_over(path, &read(Path::new(path))?)?;
            Ok(own.plans.into_iter().collect())
        }
        _ => {
            let known = catalogue.plans.keys().map(|name| format!(", {name}")).collect::<String>();
            Err(CostError::Word(format!(
                "`{word}` is no plan and no file; the plans are hourly, reserved, ways to pay for an instance such as capacity_block{known}, and --prices FILE adds others"
            ))
            .into())
        }
    }
}

/// What is said of a plan that needs figures which no list of prices has.
fn lacking(why: &str, word: &str, (needs, example): (&str, &str)) -> Failure {
    CostError::Word(format!(
        "{why}the plan {word} needs {needs}: write them to a file and name that with --plan FILE, as the line {example}"
    ))
    .into()
}

fn parse_count(text: &str) -> Result<f64, String> {
    let count = text.parse::<f64>().ok().filter(|count| (1.0..=1e18).contains(count));
    count.ok_or_else(|| format!("`{text}` is no number of tokens; write for example 5e9"))
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
        Ok(self.known_each(catalogue, &[device])?.pop().flatten())
    }

    /// The same for each of several devices. One price is all of theirs only where all are this machine's processor.
    pub fn known_each(
        &self,
        catalogue: &Catalogue,
        devices: &[Device],
    ) -> Result<Vec<Option<Known>>, Failure> {
        let named = |word: &String| -> Result<Option<Known>, Failure> {
            Ok(Some(Known { price: catalogue.price(word, today())?, assumed: false }))
        };
        let rented = |device: &Device| device.rented(catalogue).map(|price| Known { price, assumed: true });
        match self.price.as_slice() {
            [] => Ok(devices.iter().map(rented).collect()),
            [word] if devices.len() < 2 || devices.iter().all(|device| device.runs_here()) => {
                devices.iter().map(|_| named(word)).collect()
            }
            words if words.len() == devices.len() => words.iter().map(named).collect(),
            words => Err(Failure::Usage(format!(
                "there are {} devices and {} prices; name a price for each with --price, separated by commas",
                devices.len(),
                words.len()
            ))),
        }
    }

    /// Whether anything of prices is asked for.
    pub fn is_asked(&self) -> bool {
        self.is_named() || !self.catalogue.prices.is_empty()
    }

    /// Whether anybody named one.
    pub fn is_named(&self) -> bool {
        !self.price.is_empty()
    }

    /// What is known of prices.
    pub fn catalogue(&self) -> Result<Catalogue, Failure> {
        self.catalogue.catalogue()
    }
}

impl Known {
    /// The same, for scripts.
    pub fn report(&self) -> Value {
        let Price { usd_per_hour, of, kind, date, source, confidence, .. } = &self.price;
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
