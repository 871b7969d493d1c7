//! Chips, the instances that hold them, and what those cost; and what public APIs charge. All of it is data: files beside
//! the code, over which users lay their own.

mod read;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{CostError, Date, Kind, Plan, Price};

/// Everything that is known of chips and prices.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Who says so, by short names.
    pub sources: BTreeMap<String, Source>,
    /// Chips by name.
    pub chips: BTreeMap<String, Chip>,
    /// Instances by name.
    pub instances: BTreeMap<String, Instance>,
    /// What APIs charge, by name.
    pub api: BTreeMap<String, Api>,
    /// Ways to pay that the user describes.
    pub plans: BTreeMap<String, Plan>,
}

/// Where a fact comes from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// In words.
    pub name: String,
    /// How far it is to be believed.
    pub confidence: Confidence,
}

/// How far a source is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// A vendor's documentation, or its price list.
    A,
    /// A maintained, open catalogue.
    B,
    /// A third party's page.
    C,
    /// One weak source.
    D,
}

impl Confidence {
    /// Its letter.
    pub fn letter(self) -> char {
        match self {
            Confidence::A => 'a',
            Confidence::B => 'b',
            Confidence::C => 'c',
            Confidence::D => 'd',
        }
    }
}

/// What sort of chip it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// A socket of a host.
    Cpu,
    /// A GPU.
    Gpu,
    /// An AWS Neuron chip.
    Neuron,
    /// A Google TPU.
    Tpu,
    /// A chip whose processors share one memory.
    Unified,
}

impl Class {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Class::Cpu => "cpu",
            Class::Gpu => "gpu",
            Class::Neuron => "neuron",
            Class::Tpu => "tpu",
            Class::Unified => "unified",
        }
    }
}

/// A chip's sheet. Peaks are dense.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chip {
    /// In words.
    pub name: String,
    /// What sort.
    pub class: Class,
    /// Memory, in 10^9 bytes; of CPUs what is plugged in.
    pub memory_gb: Option<f64>,
    /// Memory bandwidth, in 10^9 bytes per second.
    pub bandwidth_gbs: f64,
    /// Cores.
    pub cores: Option<u32>,
    /// Peaks by type, in 10^12 operations per second.
    #[serde(default)]
    pub peak_tflops: BTreeMap<String, f64>,
    /// Watts that it is made for.
    pub tdp_w: Option<f64>,
    /// To other chips, in 10^9 bytes per second in one direction.
    pub link_gbs: Option<f64>,
    /// Kilowatts per chip with all that is around it.
    pub all_in_kw: Option<f64>,
    /// When that was so; of some only about.
    pub as_of: String,
    /// How far it is to be believed.
    pub confidence: Confidence,
    /// Who says so.
    pub sources: Vec<String>,
}

/// A machine to rent.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// The chip in it.
    pub chip: String,
    /// How many.
    pub chips: u32,
    /// Whether they were counted from its cores, and not told.
    #[serde(default)]
    pub chips_inferred: bool,
    /// Virtual cores.
    pub vcpus: Option<u32>,
    /// What its processors call themselves.
    pub cpu_model: Option<String>,
    /// Where.
    pub region: Option<String>,
    /// What it costs.
    pub prices: Vec<Quote>,
}

/// A price of an instance.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quote {
    /// How it is paid for.
    pub kind: Kind,
    /// US dollars per hour for the whole instance.
    pub usd_per_hour: f64,
    /// The day on which it was so.
    pub date: Date,
    /// Who says so.
    pub source: String,
    /// How far it is to be believed.
    pub confidence: Confidence,
}

/// What an API charges, in US dollars per million tokens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Whose.
    pub provider: String,
    /// The model.
    pub model: String,
    /// Tokens in.
    pub input: f64,
    /// Tokens out.
    pub output: f64,
    /// Tokens in that it has in its cache.
    pub cached_input: Option<f64>,
    /// Tokens in, when there is time.
    pub batch_input: Option<f64>,
    /// Tokens out, when there is time.
    pub batch_output: Option<f64>,
    /// The day on which it was so.
    pub date: Date,
    /// Who says so.
    pub source: String,
}

impl Api {
    /// Dollars per million tokens of a mix, of which `share_in` are tokens in.
    pub fn blended(&self, share_in: f64) -> f64 {
        self.input * share_in + self.output * (1.0 - share_in)
    }
}

impl Instance {
    /// What it costs, paid for so.
    pub fn quote(&self, kind: Kind) -> Option<&Quote> {
        self.prices.iter().find(|quote| quote.kind == kind)
    }

    /// The first price there is, in the order of how firmly one can have it.
    pub fn usual(&self) -> Option<&Quote> {
        Kind::all().into_iter().find_map(|kind| self.quote(kind))
    }
}

impl Catalogue {
    /// The chip of a name.
    pub fn chip(&self, name: &str) -> Result<(&str, &Chip), CostError> {
        let key = normal(name);
        let found = self.chips.get_key_value(&key).or_else(|| {
            let mut like = self.chips.iter().filter(|(known, _)| known.starts_with(&key));
            // A beginning will do where it is one chip's alone.
            like.next().filter(|_| like.next().is_none() && !key.is_empty())
        });
        let found = found.map(|(key, chip)| (key.as_str(), chip));
        found.ok_or_else(|| self.unknown("the chip", name, self.chips.keys()))
    }

    /// The GPU that a description names, as `NVIDIA H100 80GB HBM3` does: the one whose model is a word of it, and of several
    /// sizes the one that is told.
    pub fn gpu(&self, description: &str) -> Option<(&str, &Chip)> {
        let words = |text: &str| {
            let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
            words.map(str::to_lowercase).collect::<Vec<_>>()
        };
        let told = words(description);
        // Boards that are slower or faster than those that the catalogue has.
        if ["nvl", "pcie", "max"].iter().any(|word| told.iter().any(|told| told == word)) {
            return None;
        }
        let named = self.chips.iter().filter(|(key, chip)| {
            let model = words(key).into_iter().next();
            chip.class == Class::Gpu && model.is_some_and(|model| told.contains(&model))
        });
        let alike = |chip: &Chip| words(&chip.name).iter().filter(|word| told.contains(word)).count();
        named.max_by_key(|(_, chip)| alike(chip)).map(|(key, chip)| (key.as_str(), chip))
    }

    /// The instance of a name.
    pub fn instance(&self, name: &str) -> Result<(&str, &Instance), CostError> {
        let key = normal(name);
        let found = self
            .instances
            .get_key_value(&key)
            .or_else(|| self.instances.get_key_value(&format!("aws_{key}")));
        let found = found.map(|(key, instance)| (key.as_str(), instance));
        found.ok_or_else(|| self.unknown("the instance", name, self.instances.keys()))
    }

    /// The price that a word names: dollars per hour, `INSTANCE`, or `INSTANCE:KIND`.
    pub fn price(&self, word: &str, today: Date) -> Result<Price, CostError> {
        if let Ok(usd) = word.trim_start_matches('$').parse::<f64>() {
            return Price::given(usd, today);
        }
        let (name, kind) = word.split_once(':').map_or((word, None), |(name, kind)| (name, Some(kind)));
        let (key, instance) = self.instance(name)?;
        let quote = match kind {
            None => instance.usual(),
            Some(kind) => instance.prices.iter().find(|quote| quote.kind.name() == normal(kind)),
        };
        let quote = quote.ok_or_else(|| {
            let known = instance.prices.iter().map(|quote| quote.kind.name()).collect::<Vec<_>>().join(", ");
            CostError::Word(format!("{key} has no such price; it has {known}"))
        })?;
        Ok(self.told(key, quote))
    }

    /// A quote as a price that tells whose it is.
    pub fn told(&self, instance: &str, quote: &Quote) -> Price {
        let Quote { kind, usd_per_hour, date, source, confidence } = quote;
        let source = self.sources.get(source).map_or(source, |source| &source.name).clone();
        Price {
            usd_per_hour: *usd_per_hour,
            of: spoken(instance),
            kind: *kind,
            date: *date,
            source,
            confidence: *confidence,
            instance: Some(instance.to_owned()),
            share: 1.0,
        }
    }

    /// What the same costs where it is paid for in another way: the same instance, or as many chips of the same kind where another
    /// is sold so. The error says what ways there are.
    pub fn paid_so(&self, price: &Price, kind: Kind) -> Result<Price, CostError> {
        let word = |sentence: String| CostError::Word(sentence);
        let known = price.instance.as_ref().and_then(|key| Some((key, self.instances.get(key)?)));
        let (key, instance) = known.ok_or_else(|| {
            word(format!(
                "{} is a price of an instance, and no instance was named; name one with --price, as in --price p5.48xlarge",
                kind.name()
            ))
        })?;
        if let Some(quote) = instance.quote(kind) {
            return Ok(self.told(key, quote).part(price.share, price.of.clone()));
        }
        let alike = self.with_chip(&instance.chip);
        let other = alike.iter().find_map(|(key, other)| Some((*key, other.chips, other.quote(kind)?)));
        if let Some((key, chips, quote)) = other {
            let count = price.share * f64::from(instance.chips);
            let of = format!("{count} chips of {}", spoken(key));
            return Ok(self.told(key, quote).part(count / f64::from(chips.max(1)), of));
        }
        let quotes = alike.iter().flat_map(|(_, other)| &other.prices);
        let mut ways = quotes.map(|quote| quote.kind.name()).collect::<Vec<_>>();
        ways.sort_unstable();
        ways.dedup();
        Err(word(format!("{} has no price {}; there are {}", instance.chip, kind.name(), ways.join(", "))))
    }

    /// Instances with a chip, the cheapest per chip first.
    pub fn with_chip<'a>(&'a self, chip: &str) -> Vec<(&'a str, &'a Instance)> {
        let mut found =
            self.instances.iter().filter(|(_, instance)| instance.chip == chip).collect::<Vec<_>>();
        let rate = |instance: &Instance| {
            instance.usual().map_or(f64::INFINITY, |quote| quote.usd_per_hour / f64::from(instance.chips))
        };
        found.sort_by(|a, b| rate(a.1).total_cmp(&rate(b.1)));
        found.into_iter().map(|(key, instance)| (key.as_str(), instance)).collect()
    }

    /// What an hour of so many chips costs: a part of an instance that holds them, or several instances where none does. Of
    /// those on demand where that can be had, else by whatever comes first in the order of [`Kind::all`], and there the
    /// cheapest. What only one weak source says comes last.
    pub fn chip_hour(&self, chip: &str, count: u32) -> Option<Price> {
        let quotes = self.with_chip(chip).into_iter().flat_map(|(key, instance)| {
            instance.prices.iter().map(move |quote| (key, instance.chips, quote))
        });
        let order = |chips: u32, quote: &Quote| {
            let weak = quote.confidence == Confidence::D;
            // Where none holds them, the fewer instances the better.
            let short = if chips < count { count.div_ceil(chips) } else { 0 };
            (weak, short, Kind::all().iter().position(|kind| *kind == quote.kind))
        };
        // Among equals the first is kept, and the cheapest come first.
        let (key, chips, quote) = quotes.min_by_key(|(_, chips, quote)| order(*chips, quote))?;
        let (share, of) = match count.div_ceil(chips.max(1)) {
            0 | 1 if count == chips => (1.0, spoken(key)),
            0 | 1 => {
                (f64::from(count) / f64::from(chips), format!("{count} of {chips} chips of {}", spoken(key)))
            }
            several => (f64::from(several), format!("{several} x {}", spoken(key))),
        };
        Some(self.told(key, quote).part(share, of))
    }

    /// What this machine would cost as a part of an instance: one whose processors bear its name, else one of the same
    /// make, else any; of several the one whose core is cheapest. The price says where the names do not agree.
    pub fn host(&self, processor: &str, cores: usize) -> Option<Price> {
        let cheapest = |fits: &dyn Fn(&str) -> bool| {
            let hosts = self.instances.iter().filter(|(_, instance)| {
                let chip = self.chips.get(&instance.chip);
                chip.is_some_and(|chip| chip.class == Class::Cpu)
                    && fits(instance.cpu_model.as_deref().unwrap_or_default())
            });
            let rates = hosts.filter_map(|(key, instance)| {
                let (quote, vcpus) = (instance.usual()?, instance.vcpus?);
                Some((key, quote, vcpus, quote.usd_per_hour / f64::from(vcpus)))
            });
            rates.min_by(|a, b| a.3.total_cmp(&b.3))
        };
        let of_make = |model: &str| model.split(' ').next().is_some_and(|make| processor.contains(make));
        let named = |model: &str| !model.is_empty() && model.split(' ').all(|word| processor.contains(word));
        let exactly = cheapest(&named);
        let another = if exactly.is_some() { "" } else { ", which has another processor" };
        let same_make = || cheapest(&|model| !model.is_empty() && of_make(model));
        let (key, quote, vcpus, _) = exactly.or_else(same_make).or_else(|| cheapest(&|_| true))?;
        let of = format!("{cores} of {vcpus} cores of {}{another}", spoken(key));
        Some(self.told(key, quote).part(cores as f64 / f64::from(vcpus), of))
    }

    /// What APIs charge for a model, the cheapest output first. Names of files and of types behind it do not matter.
    pub fn apis(&self, model: &str) -> Vec<&Api> {
        let model = model.to_lowercase().replace('_', "-");
        let mut found = self.api.values().filter(|api| model.contains(&api.model)).collect::<Vec<_>>();
        found.sort_by(|a, b| a.output.total_cmp(&b.output));
        found
    }

    fn unknown<'a>(
        &self,
        what: &'static str,
        name: &str,
        known: impl Iterator<Item = &'a String>,
    ) -> CostError {
        let word = normal(name);
        let start = word.split('_').next().unwrap_or("");
        let like = known.filter(|known| !start.is_empty() && known.contains(start)).take(6).cloned();
        let near = match like.collect::<Vec<_>>() {
            like if like.is_empty() => String::new(),
            like => format!("; like it are {}", like.join(", ")),
        };
        CostError::Unknown { what, name: name.to_owned(), near }
    }
}

/// A name as the catalogue writes it.
fn normal(name: &str) -> String {
    name.to_lowercase().replace(['.', '-', ' '], "_")
}

/// `aws_m7a_48xlarge` as people say it.
fn spoken(instance: &str) -> String {
    let words = instance.split('_').collect::<Vec<_>>();
    match words.as_slice() {
        ["aws", rest @ .., size] if !rest.is_empty() => format!("aws {}.{size}", rest.join("-")),
        _ => words.join(" "),
    }
}
