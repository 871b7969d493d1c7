//! `chips`: what is known of chips and of what they cost.

use clap::Args;
use polysilicon::cost::{Catalogue, Chip, Date, Instance, Price, table};
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::output::{LEFT, print, print_json};
use crate::prices::{CatalogueArgs, today};

#[derive(Args)]
#[command(
    after_help = "Peaks are dense, prices are US dollars per hour, and each price has its date; what is older than 90 days is \
                  marked by !.\n\nExample: polysilicon chips trainium2"
)]
pub struct Chips {
    /// A chip or an instance; all chips where left out
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    catalogue: CatalogueArgs,
}

impl Chips {
    /// Tells what is known.
    pub fn execute(self) -> Result<(), Failure> {
        let (catalogue, today) = (self.catalogue.catalogue()?, today());
        let Some(name) = &self.name else {
            let all = || catalogue.chips.keys().map(|name| report(&catalogue, name, today));
            let apis = || catalogue.api.iter().map(|(name, api)| (name.clone(), api_report(api)));
            return match self.json {
                true => print_json(&json!({
                    "chips": all().collect::<Vec<_>>(),
                    "api": apis().collect::<Map<_, _>>(),
                })),
                false => print(&overview(&catalogue, today)),
            };
        };
        let chip = match catalogue.instance(name) {
            Ok((_, instance)) => instance.chip.clone(),
            Err(_) => catalogue.chip(name)?.0.to_owned(),
        };
        match self.json {
            true => print_json(&report(&catalogue, &chip, today)),
            false => print(&sheet(&catalogue, &chip, today)),
        }
    }
}

/// A row for each chip, with the firmest price of one for an hour.
fn overview(catalogue: &Catalogue, today: Date) -> String {
    let head =
        ["chip", "class", "memory", "bandwidth", "bf16", "8 bit", "power", "one hour", "paid", "price of"];
    let mut rows = vec![head.map(str::to_owned)];
    for (name, chip) in &catalogue.chips {
        let peak = |names: &[&str]| {
            let peak = names.iter().find_map(|name| chip.peak_tflops.get(*name));
            told(peak.copied(), "TFLOPS").replace("TFLOPS", "T")
        };
        let price = catalogue.chip_hour(name, 1);
        let [usd, kind, date] = price.map_or(Default::default(), |price| {
            [format!("${:.3}", price.usd_per_hour), price.kind.to_string(), dated(&price, today)]
        });
        rows.push([
            name.clone(),
            chip.class.name().to_owned(),
            told(chip.memory_gb, "GB"),
            told(Some(chip.bandwidth_gbs), "GB/s"),
            peak(&["bf16", "fp16"]),
            peak(&["fp8", "int8"]),
            told(chip.tdp_w, "W"),
            usd,
            kind,
            date,
        ]);
    }
    let old = "\n! is older than 90 days. `polysilicon chips NAME` tells all prices of a chip, --prices FILE lays yours over them.\n";
    table(&rows, LEFT) + old
}

/// All that is known of a chip.
fn sheet(catalogue: &Catalogue, name: &str, today: Date) -> String {
    let Some(chip) = catalogue.chips.get(name) else { return String::new() };
    let peaks =
        chip.peak_tflops.iter().map(|(dtype, peak)| format!("{dtype} {peak}")).collect::<Vec<_>>().join(", ");
    let sources = chip.sources.iter().map(|key| source(catalogue, key)).collect::<Vec<_>>().join("; ");
    let facts = [
        ("memory", told(chip.memory_gb, "GB")),
        ("bandwidth", told(Some(chip.bandwidth_gbs), "GB/s")),
        (
            "peaks",
            if peaks.is_empty() { "not published".to_owned() } else { format!("{peaks} x 10^12/s, dense") },
        ),
        ("link", told(chip.link_gbs, "GB/s in one direction")),
        ("power", told(chip.tdp_w, "W")),
        ("as of", format!("{}, confidence {}", chip.as_of, chip.confidence.letter())),
        ("source", sources),
    ];
    let mut text = format!("{name}: {}\n\n", chip.name);
    let known = facts.iter().filter(|(_, fact)| !fact.is_empty());
    text += &table(&known.map(|(what, fact)| [(*what).to_owned(), fact.clone()]).collect::<Vec<_>>(), LEFT);
    let head = ["instance", "chips", "paid", "an hour", "a chip", "date", "confidence", "source"];
    let mut rows = vec![head.map(str::to_owned)];
    for (key, instance) in catalogue.with_chip(name) {
        rows.extend(prices(catalogue, key, instance).map(|price| row(key, instance, &price, today)));
    }
    match rows.len() {
        1 => text + "\nNo price is known; lay one over with --prices FILE.\n",
        _ => text + "\n" + &table(&rows, LEFT),
    }
}

fn prices<'a>(
    catalogue: &'a Catalogue,
    key: &'a str,
    instance: &'a Instance,
) -> impl Iterator<Item = Price> + 'a {
    instance.prices.iter().map(move |quote| catalogue.told(key, quote))
}

fn row(key: &str, instance: &Instance, price: &Price, today: Date) -> [String; 8] {
    let about = if instance.chips_inferred { "~" } else { "" };
    [
        key.to_owned(),
        format!("{about}{}", instance.chips),
        price.kind.to_string(),
        format!("${:.4}", price.usd_per_hour),
        format!("${:.4}", price.usd_per_hour / f64::from(instance.chips)),
        dated(price, today),
        price.confidence.letter().to_string(),
        price.source.clone(),
    ]
}

fn report(catalogue: &Catalogue, name: &str, today: Date) -> Value {
    let Some(chip) = catalogue.chips.get(name) else { return Value::Null };
    let Chip { memory_gb, bandwidth_gbs, cores, peak_tflops, tdp_w, link_gbs, all_in_kw, as_of, .. } = chip;
    let instance = |(key, instance): (&str, &Instance)| {
        let price = |price: Price| {
            json!({
                "kind": price.kind.name(),
                "usd_per_hour": price.usd_per_hour,
                "date": price.date.to_string(),
                "age_days": price.age_days(today),
                "old": price.is_old(today),
                "source": price.source,
                "confidence": price.confidence.letter().to_string(),
            })
        };
        json!({
            "name": key,
            "chips": instance.chips,
            "chips_inferred": instance.chips_inferred,
            "vcpus": instance.vcpus,
            "region": instance.region,
            "prices": prices(catalogue, key, instance).map(price).collect::<Vec<_>>(),
        })
    };
    json!({
        "name": name,
        "description": chip.name,
        "class": chip.class.name(),
        "memory_gb": memory_gb,
        "bandwidth_gb_per_s": bandwidth_gbs,
        "cores": cores,
        "peak_tera_ops_per_s": peak_tflops,
        "power_w": tdp_w,
        "link_gb_per_s": link_gbs,
        "all_in_kw": all_in_kw,
        "as_of": as_of,
        "confidence": chip.confidence.letter().to_string(),
        "sources": chip.sources.iter().map(|key| source(catalogue, key)).collect::<Vec<_>>(),
        "instances": catalogue.with_chip(name).into_iter().map(instance).collect::<Vec<_>>(),
    })
}

fn api_report(api: &polysilicon::cost::Api) -> Value {
    json!({
        "provider": api.provider,
        "model": api.model,
        "input_usd_per_million": api.input,
        "output_usd_per_million": api.output,
        "cached_input_usd_per_million": api.cached_input,
        "date": api.date.to_string(),
        "source": api.source,
    })
}

/// The day of a price, marked where that is long ago.
fn dated(price: &Price, today: Date) -> String {
    format!("{}{}", price.date, if price.is_old(today) { " !" } else { "" })
}

fn source(catalogue: &Catalogue, key: &str) -> String {
    catalogue.sources.get(key).map_or(key, |source| &source.name).to_owned()
}

fn told(x: Option<f64>, unit: &str) -> String {
    x.map_or(String::new(), |x| format!("{x} {unit}"))
}
