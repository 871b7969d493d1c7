//! Chips and prices, as they are told.

use std::fs;

use crate::program::polysilicon;

#[test]
fn every_price_is_told_with_its_day() {
    let text = polysilicon(&["chips", "h100"]).text();
    assert!(text.starts_with("h100_sxm: NVIDIA H100") && text.contains("aws_p5_48xlarge"), "{text}");
    let rows = text.lines().filter(|line| line.contains('$'));
    assert!(rows.clone().count() >= 7);
    for row in rows {
        assert!(row.split_whitespace().any(|word| word.len() == 10 && word.starts_with("202")), "{row}");
    }
    let chip = polysilicon(&["chips", "p5.48xlarge", "--json"]).json();
    assert_eq!(chip["name"], "h100_sxm");
    let prices = chip["instances"]
        .as_array()
        .expect("a list")
        .iter()
        .flat_map(|i| i["prices"].as_array().expect("a list"));
    assert!(
        prices.clone().count() >= 7
            && prices.clone().all(|price| price["date"].is_string() && price["old"].is_boolean())
    );
}

#[test]
fn all_chips_are_listed_and_files_lie_over_them() {
    let all = polysilicon(&["chips"]).text();
    assert!(["trainium2", "h100_sxm", "graviton4", "tpu_v7"].iter().all(|name| all.contains(name)), "{all}");
    assert!(
        polysilicon(&["chips", "--json"]).json()["chips"].as_array().is_some_and(|chips| chips.len() > 25)
    );
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mine.toml");
    let with = |date: &str| {
        format!(
            "[instances.ours]\nchip = 'trainium2'\nchips = 4\nprices = [{{kind = 'reserved_1y', usd_per_hour = 4.0, {date} source = 'contract', confidence = 'a'}}]"
        )
    };
    let name = file.display().to_string();
    fs::write(&file, with("date = '2026-11-01',")).expect("written");
    let text = polysilicon(&["chips", "trainium2", "--prices", &name]).text();
    assert!(text.contains("ours") && text.contains("$1.0000") && text.contains("contract"), "{text}");
    fs::write(&file, with("")).expect("written");
    let sentence = polysilicon(&["chips", "--prices", &name]).sentence(1);
    assert!(sentence.contains("missing field `date`"), "{sentence}");
    let sentence = polysilicon(&["chips", "b100"]).sentence(1);
    assert!(sentence.contains("`b100` is not in the catalogue"), "{sentence}");
}
