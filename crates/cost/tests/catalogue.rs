//! The project's own data file, and files over it.

use cost::{Catalogue, Class, CostError, Date, Kind};

fn built_in() -> Catalogue {
    Catalogue::built_in().expect("the files beside the code are good")
}

fn day(text: &str) -> Date {
    text.parse().expect("a date")
}

fn overlaid(text: &str) -> Result<Catalogue, CostError> {
    let mut catalogue = built_in();
    catalogue.lay_over("mine.toml", text).map(|()| catalogue)
}

/// Shortens an overlay that is refused to its reason.
fn refused(text: &str) -> String {
    overlaid(text).expect_err("it is refused").to_string()
}

#[test]
fn every_price_has_a_day_a_source_and_a_chip() {
    let catalogue = built_in();
    let quotes = catalogue.instances.values().flat_map(|instance| &instance.prices).collect::<Vec<_>>();
    assert!(quotes.len() > 80 && catalogue.chips.len() > 25 && catalogue.api.len() > 15);
    let today = day("2026-11-28");
    for quote in quotes {
        assert!(quote.date > day("2023-01-01") && quote.date <= today, "{quote:?}");
        assert!(catalogue.sources.contains_key(&quote.source), "{quote:?}");
    }
    for chip in catalogue.chips.values() {
        assert!(chip.sources.iter().all(|source| catalogue.sources.contains_key(source)), "{chip:?}");
    }
    for api in catalogue.api.values() {
        assert!(catalogue.sources.contains_key(&api.source) && api.date <= today);
    }
}

#[test]
fn a_price_without_a_day_is_refused() {
    let with = |date: &str| {
        format!(
            "[instances.mine]\nchip = 'l4'\nchips = 1\nprices = [{{kind = 'spot', usd_per_hour = 1.0, {date} source = 'me', confidence = 'a'}}]"
        )
    };
    assert!(overlaid(&with("date = '2026-11-01',")).is_ok());
    assert!(refused(&with("")).contains("missing field `date`"));
    assert!(refused(&with("date = 'mid-2026',")).contains("`mid-2026` is no date"));
    assert!(refused(&with("date = '2026-02-30',")).contains("no date"));
    let api = "[api.mine]\nprovider = 'me'\nmodel = 'mine'\ninput = 1\noutput = 1\nsource = 'me'";
    assert!(refused(api).contains("missing field `date`"));
}

#[test]
fn what_nobody_told_has_no_figure() {
    let catalogue = built_in();
    assert!(catalogue.with_chip("trainium3").is_empty(), "nobody sells it by the hour");
    let mut neuron = catalogue.chips.values().filter(|chip| chip.class == Class::Neuron).peekable();
    assert!(neuron.peek().is_some() && neuron.all(|chip| chip.tdp_w.is_none()));
}

#[test]
fn names_are_found_as_people_write_them() {
    let catalogue = built_in();
    let today = day("2026-11-28");
    assert_eq!(catalogue.chip("h100").expect("a beginning").0, "h100_sxm");
    assert_eq!(catalogue.chip("Trainium2").expect("in any case").1.class, Class::Neuron);
    let price = catalogue.price("p5.48xlarge", today).expect("a price");
    assert_eq!((price.usd_per_hour, price.kind, price.date), (55.04, Kind::OnDemand, day("2026-07-20")));
    assert!(price.is_old(today) && price.sentence(today).contains("aws p5.48xlarge"));
    assert_eq!(catalogue.price("p5.48xlarge:capacity_block", today).expect("a price").usd_per_hour, 41.528);
    assert_eq!(catalogue.price("2.5", today).expect("dollars").date, today);
    let sentence = |word: &str| catalogue.price(word, today).expect_err("no price").to_string();
    assert!(sentence("p5.48xlarge:free").contains("it has on_demand, capacity_block"));
    assert!(
        sentence("p99").contains("`polysilicon chips`") && sentence("p5.47xlarge").contains("like it are")
    );
    assert!(catalogue.chip("a100").is_err(), "that is two chips");
}

#[test]
fn chips_and_hosts_are_priced_as_parts_of_what_can_be_had() {
    let catalogue = built_in();
    let h100 = catalogue.chip_hour("h100_sxm", 2).expect("it is sold");
    assert!((h100.usd_per_hour - 13.76).abs() < 1e-9, "{h100:?}");
    let trainium = catalogue.chip_hour("trainium2", 1).expect("it is sold");
    assert_eq!((trainium.usd_per_hour, trainium.kind), (2.235, Kind::CapacityBlock));
    // Chips that compute together are of one instance, where one has so many.
    let twelve = catalogue.chip_hour("inferentia2", 12).expect("it is sold");
    assert_eq!((twelve.usd_per_hour, &*twelve.of), (12.98127, "aws inf2.48xlarge"));
    let sixteen = catalogue.chip_hour("h100_sxm", 16).expect("it is sold");
    assert!((sixteen.usd_per_hour - 2.0 * 8.0 * 6.88).abs() < 1e-9, "{sixteen:?}");
    assert_eq!(sixteen.of, "2 x aws p5.48xlarge");
    let price = catalogue.host("AMD EPYC 9R14 96-Core Processor", 4).expect("there are hosts");
    assert!(price.of.starts_with("4 of 192 cores of aws") && !price.of.contains("another"), "{}", price.of);
    assert!((price.usd_per_hour - 4.0 * 9.85344 / 192.0).abs() < 1e-9, "the cheapest of those with it");
    let alike = catalogue.host("AMD EPYC", 4).expect("there are hosts");
    assert_eq!(alike.usd_per_hour, price.usd_per_hour, "of its make, and not the cheapest of all");
    assert!(alike.of.ends_with("which has another processor"), "{}", alike.of);
    let other = catalogue.host("a processor nobody knows", 4).expect("there are hosts");
    assert!(other.usd_per_hour > 0.0 && other.of.ends_with("which has another processor"), "{}", other.of);
}

#[test]
fn a_file_of_the_users_own_takes_the_place_of_what_is_known() {
    let text = "[instances.aws_p5_48xlarge]\nchip = 'h100_sxm'\nchips = 8\nprices = [{kind = 'on_demand', usd_per_hour = 20.0, date = '2026-11-01', source = 'our contract', confidence = 'a'}]";
    let price = overlaid(text).expect("good").price("p5.48xlarge", day("2026-11-28")).expect("a price");
    assert_eq!((price.usd_per_hour, &*price.source), (20.0, "our contract"));
    assert!(!price.is_old(day("2026-11-28")));
    assert!(refused("[instances.x]\nchip = 'l5'\nchips = 1\nprices = []").contains("the chip `l5`"));
    assert!(refused("[chips.l4]\nbandwidth = 3").starts_with("mine.toml: "));
    assert!(refused(&text.replace("20.0", "-1.0")).contains("must be more than 0"));
    assert!(refused(&"#".repeat(5 << 20)).contains("a catalogue is shorter"));
}

#[test]
fn a_gpu_is_found_by_what_its_maker_calls_it() {
    let catalogue = Catalogue::built_in().expect("good");
    for (told, name) in [
        ("NVIDIA H100 80GB HBM3", Some("h100_sxm")),
        ("NVIDIA H200, sm_90a", Some("h200_sxm")),
        ("NVIDIA A100-SXM4-40GB", Some("a100_40_sxm")),
        ("NVIDIA A100-SXM4-80GB", Some("a100_80_sxm")),
        ("NVIDIA L4", Some("l4")),
        ("NVIDIA L40S", Some("l40s")),
        // Other boards of the same chip have other memory.
        ("NVIDIA H100 PCIe", None),
        ("NVIDIA H100 NVL", None),
        ("Tesla T4", None),
        ("this machine's cores, by avx512 kernels", None),
        ("", None),
    ] {
        assert_eq!(catalogue.gpu(told).map(|(name, _)| name), name, "{told}");
    }
}
