//! `predict`: what a model would take and cost on chips that are not here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, value_parser};
use polysilicon::cost::predict::{Calibration, Calibrations, Forecast, Load, OpBound, Sheet, counts};
use polysilicon::cost::report::{Month, ways_to_pay};
use polysilicon::cost::{Catalogue, Demand, Experts, Machine, Price, Stretch, table};
use polysilicon::graph::StepCounts;
use polysilicon::{DType, Graph};
use serde_json::{Value, json};

use crate::args::ModelArgs;
use crate::failure::Failure;
use crate::output::{LEFT, print, print_json};
use crate::prices::{CatalogueArgs, PlanArgs, read, today};
use crate::units::bytes;

#[derive(Args)]
#[command(
    after_help = "No weights are read. Where a chip has a calibration the figures are estimates; where it has none they are what \
                  its data sheet allows at best, and no cost is told.\n\n\
                  Example: polysilicon predict shape:llama-3.1-8b@bf16 --chip h100,trainium2 --concurrency 1,16"
)]
pub struct Predict {
    /// Chips, as `polysilicon chips` lists them, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',', required = true)]
    chip: Vec<String>,
    /// Chips that share the model [default: as many as hold it]
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=4096))]
    chips: Option<u32>,
    /// Take calibrations from this file before those that are known
    #[arg(long, value_name = "FILE")]
    calibration: Option<PathBuf>,
    /// Take from this file, which `polysilicon bench MODEL --json FILE` has written, how many experts of a mixture steps touch;
    /// for steps of other sizes tokens are taken to choose at random
    #[arg(long, value_name = "FILE")]
    experts: Option<PathBuf>,
    /// Tokens of each prompt
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = value_parser!(u32).range(1..=10_000_000))]
    prompt: u32,
    /// Tokens of each answer
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = value_parser!(u32).range(1..=10_000_000))]
    output: u32,
    /// Requests under way at a time; several separated by commas
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,4,16",
          value_parser = value_parser!(u32).range(1..=65_536))]
    concurrency: Vec<u32>,
    /// The share of paid hours in which there is so much to do
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = parse_share)]
    utilisation: f64,
    /// What an hour of all the chips costs: dollars, an instance, or INSTANCE:KIND [default: as a part of what can be
    /// rented]
    #[arg(long, value_name = "PRICE")]
    price: Option<String>,
    /// Print what each kind of operation takes in a step that decodes
    #[arg(long)]
    ops: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    catalogue: CatalogueArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    plans: PlanArgs,
}

/// What is told of one chip.
pub struct Told {
    pub sheet: Sheet,
    pub calibration: Option<Calibration>,
    pub price: Option<Price>,
    pub experts: Experts,
    pub forecasts: Vec<Forecast>,
}

impl Predict {
    /// Tells it.
    pub fn execute(self) -> Result<(), Failure> {
        let catalogue = self.catalogue.catalogue()?;
        let mut known = Calibrations::built_in()?;
        if let Some(path) = &self.calibration {
            let own = read_calibrations(path)?;
            known.calibrations = [own.calibrations, known.calibrations].concat();
        }
        let opened = self.model.open()?;
        let graph = opened.graph(DType::F16)?;
        let experts =
            self.experts.as_deref().map(|path| counted(path, &graph)).transpose()?.unwrap_or_default();
        let told = self.chip.iter().map(|name| self.told(&catalogue, &known, &graph, &experts, name));
        let told = told.collect::<Result<Vec<_>, _>>()?;
        if self.json {
            let report = |told: &Told| {
                let mut report = told.report(self.utilisation);
                report["plans"] = json!(self.months(&catalogue, told)?);
                Ok(report)
            };
            let chips = told.iter().map(report).collect::<Result<Vec<_>, Failure>>()?;
            return print_json(&json!({
                "model": opened.name(), "weight_bytes": graph.weight_bytes(), "prompt": self.prompt, "output": self.output,
                "utilisation": self.utilisation, "measured": false, "chips": chips,
            }));
        }
        let mut text = format!(
            "{}, {} of weights, prompts of {} and answers of {} tokens\n",
            opened.name(),
            bytes(graph.weight_bytes()),
            self.prompt,
            self.output
        );
        for told in &told {
            text += &format!("\n{}", told.text(self.utilisation));
            text += &ways_to_pay(&self.months(&catalogue, told)?);
            if self.ops {
                text += &self.operations(told, &graph);
            }
        }
        print(&text)
    }

    fn told(
        &self,
        catalogue: &Catalogue,
        known: &Calibrations,
        graph: &Graph,
        experts: &Experts,
        name: &str,
    ) -> Result<Told, Failure> {
        let load = |&sequences: &u32| Load { prompt: self.prompt, output: self.output, sequences };
        let most = self.concurrency.iter().map(|n| Forecast::bytes(graph, load(n))).fold(0.0, f64::max);
        let mut told = Told::new(catalogue, known, graph, name, self.chips, most)?;
        told.experts = experts.clone();
        if let Some(word) = &self.price {
            told.price = Some(catalogue.price(word, today())?);
        }
        told.forecasts = self.concurrency.iter().map(|n| told.forecast(graph, load(n))).collect();
        Ok(told)
    }

    /// What a month comes to under each plan, at the load that costs least; nothing where all that is known is a bound.
    fn months(&self, catalogue: &Catalogue, told: &Told) -> Result<Vec<Month>, Failure> {
        let rate = |forecast: &&Forecast| forecast.in_per_s() + forecast.out_per_s();
        let best = told.forecasts.iter().max_by(|a, b| rate(a).total_cmp(&rate(b)));
        let Some(best) = best.filter(|_| told.calibration.is_some()) else { return Ok(vec![]) };
        let machine = Machine { tokens_per_s: rate(&best), utilisation: self.utilisation };
        let demand = Demand::of(machine, self.plans.tokens_per_month());
        let plans = self.plans.plans(catalogue, told.price.as_ref())?;
        Ok(plans.iter().map(|(name, plan)| Month::of(name, plan, &demand)).collect())
    }

    /// What each kind of operation takes at best, in a step of as many sequences as were asked for first.
    fn operations(&self, told: &Told, graph: &Graph) -> String {
        let token = Stretch { from: self.prompt + self.output / 2, count: 1, rows: 1 };
        let sequences = self.concurrency.first().copied().unwrap_or(1);
        let mut kinds = BTreeMap::<&str, (u32, OpBound)>::new();
        let counts = told.experts.fill(&counts(graph, &token, sequences));
        for op in told.sheet.operations(graph, &counts) {
            match kinds.get_mut(op.op) {
                Some((count, sum)) => {
                    *count += 1;
                    sum.work += op.work;
                    (sum.memory_s, sum.compute_s) =
                        (sum.memory_s + op.memory_s, sum.compute_s + op.compute_s);
                }
                None => drop(kinds.insert(op.op, (1, op))),
            }
        }
        let head = ["operation", "times", "bytes", "operations", "at best", "bound by"];
        let mut kinds = kinds.into_values().filter(|(_, op)| op.seconds() > 0.0).collect::<Vec<_>>();
        kinds.sort_by(|a, b| b.1.seconds().total_cmp(&a.1.seconds()));
        let row = |(count, op): &(u32, OpBound)| {
            let (work, best) = (&op.work, op.seconds());
            let moved = bytes(work.memory_bytes() as u64);
            [
                op.op.to_owned(),
                count.to_string(),
                moved,
                format!("{:.3e}", work.operations),
                seconds(best),
                op.bound().to_owned(),
            ]
        };
        let rows = [head.map(str::to_owned)].into_iter().chain(kinds.iter().map(row)).collect::<Vec<_>>();
        format!("\na step that decodes {sequences}, kind by kind:\n{}", table(&rows, LEFT))
    }
}

impl Told {
    /// A chip with its calibration and its price, as many of it as hold so many bytes.
    pub fn new(
        catalogue: &Catalogue,
        known: &Calibrations,
        graph: &Graph,
        name: &str,
        chips: Option<u32>,
        least: f64,
    ) -> Result<Told, Failure> {
        let (key, chip) = catalogue.chip(name)?;
        let sheet = match chips {
            Some(chips) => Sheet::of(key, chip, chips),
            None => Sheet::holding(key, chip, least.max(graph.weight_bytes() as f64))?,
        };
        let price = catalogue.chip_hour(key, sheet.chips);
        Ok(Told {
            sheet,
            calibration: known.of(key).cloned(),
            price,
            experts: Experts::default(),
            forecasts: vec![],
        })
    }

    /// What a load comes to.
    pub fn forecast(&self, graph: &Graph, load: Load) -> Forecast {
        let bound = |counts: &StepCounts| self.sheet.bound(graph, &self.experts.fill(counts));
        Forecast::new(graph, &bound, self.calibration.as_ref(), load)
    }

    /// Dollars per million tokens out, and per million tokens in and out where the bill is split by the device's time;
    /// nothing where all that is known is what the chip cannot exceed.
    pub fn dollars(&self, forecast: &Forecast, utilisation: f64) -> Option<[f64; 3]> {
        self.calibration.as_ref()?;
        let per_s = self.price.as_ref()?.usd_per_hour / 3600.0 / utilisation;
        let share = forecast.prefill_share();
        let million = |share: f64, rate: f64| 1e6 * per_s * share / rate;
        let out = forecast.out_per_s();
        Some([million(1.0, out), million(share, forecast.in_per_s()), million(1.0 - share, out)])
    }

    fn text(&self, utilisation: f64) -> String {
        let Sheet { name, chips, .. } = &self.sheet;
        let mut text = match &self.calibration {
            Some(Calibration { name: by, error, .. }) => format!(
                "{chips} x {name}: an estimate, by the calibration `{by}`, for which its source gives an error of {:.0} %\n",
                100.0 * error
            ),
            None => format!(
                "{chips} x {name}: an UPPER BOUND by its data sheet, which no chip reaches; there is no calibration, so no cost is told\n"
            ),
        };
        if !self.sheet.knows_peaks() {
            text += "its peaks are not published, so that reading alone is counted\n";
        }
        let head = [
            "at a time",
            "first token",
            "per token",
            "tokens/s out",
            "tokens/s in",
            "$/M out",
            "split: $/M in",
            "$/M out",
        ];
        let mut rows = vec![head.map(str::to_owned)];
        for forecast in &self.forecasts {
            let dollars = self.dollars(forecast, utilisation);
            let dollars =
                dollars.map_or(Default::default(), |dollars| dollars.map(|usd| format!("{usd:.3}")));
            let [whole, split_in, split_out] = dollars;
            rows.push([
                forecast.load.sequences.to_string(),
                seconds(forecast.prefill_s),
                seconds(forecast.tpot_s()),
                format!("{:.0}", forecast.out_per_s()),
                format!("{:.0}", forecast.in_per_s()),
                whole,
                split_in,
                split_out,
            ]);
        }
        text += &table(&rows, LEFT);
        let known = |forecast: &&Forecast| self.experts.knows(forecast.load.sequences);
        let known = self.forecasts.iter().filter(known).map(|forecast| forecast.load.sequences.to_string());
        let known = known.collect::<Vec<_>>();
        if !known.is_empty() {
            text +=
                &format!("experts that {} at a time touch are as they were counted\n", known.join(" and "));
        }
        if let (Some(price), Some(_)) = (&self.price, &self.calibration) {
            text +=
                &format!("at {}, used {:.0} % of the time\n", price.sentence(today()), 100.0 * utilisation);
        }
        text
    }

    fn report(&self, utilisation: f64) -> Value {
        let row = |forecast: &Forecast| {
            let dollars = self.dollars(forecast, utilisation);
            json!({
                "sequences": forecast.load.sequences,
                "first_token_s": forecast.prefill_s,
                "per_token_s": forecast.tpot_s(),
                "decode_step_s": forecast.decode_s,
                "decode_step_bound_s": forecast.decode.seconds,
                "prefill_bound_s": forecast.prefill.seconds,
                "tokens_out_per_s": forecast.out_per_s(),
                "tokens_in_per_s": forecast.in_per_s(),
                "relative_error": forecast.error,
                "usd_per_million_out": dollars.map(|usd| usd[0]),
                "usd_per_million_in_split": dollars.map(|usd| usd[1]),
                "usd_per_million_out_split": dollars.map(|usd| usd[2]),
            })
        };
        json!({
            "chip": self.sheet.name,
            "chips": self.sheet.chips,
            "kind": if self.calibration.is_some() { "estimate" } else { "upper bound" },
            "calibration": self.calibration.as_ref().map(|calibration| json!({
                "name": calibration.name, "date": calibration.date.to_string(), "source": calibration.source,
            })),
            "peaks_known": self.sheet.knows_peaks(),
            "price": self.price.as_ref().map(|price| json!({
                "usd_per_hour": price.usd_per_hour, "of": price.of, "kind": price.kind.name(),
                "date": price.date.to_string(), "old": price.is_old(today()), "source": price.source,
            })),
            "loads": self.forecasts.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn counted(path: &Path, graph: &Graph) -> Result<Experts, Failure> {
    let name = path.display().to_string();
    let experts = Experts::read(&name, &read(path)?)?;
    experts.check(&name, graph)?;
    Ok(experts)
}

fn read_calibrations(path: &Path) -> Result<Calibrations, Failure> {
    Ok(Calibrations::read(&path.display().to_string(), &read(path)?)?)
}

/// Seconds, as people say them.
pub fn seconds(s: f64) -> String {
    match s {
        s if s < 1e-3 => format!("{:.0} us", 1e6 * s),
        s if s < 1.0 => format!("{:.2} ms", 1e3 * s),
        s => format!("{s:.2} s"),
    }
}

/// A share of more than nothing.
pub fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| format!("`{text}` is no share; write a number above 0 and up to 1, as in 0.6"))
}
