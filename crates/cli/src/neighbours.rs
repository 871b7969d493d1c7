//! What an answer has cost here, beside what it would have cost on chips that are not here.

use polysilicon::cost::predict::{Calibrations, Load};
use polysilicon::cost::{Catalogue, Price, table};
use polysilicon::{Model, Receipt};

use crate::commands::Told;
use crate::failure::Failure;
use crate::output::LEFT;
use crate::prices::today;

/// Chips that most people compare with.
const NEIGHBOURS: [&str; 2] = ["h100_sxm", "trainium2"];

/// A table: this machine as it was measured, and its neighbours as they are estimated.
pub fn neighbours(model: &Model, receipt: &Receipt, catalogue: &Catalogue) -> Result<String, Failure> {
    let head = ["one answer at a time on", "", "tokens/s", "$ per million tokens out", "price"];
    let mut rows = vec![head.map(str::to_owned)];
    let per_million =
        receipt.cost.dollars().map(|usd| 1e6 * usd / f64::from(receipt.completion_tokens.max(1)));
    rows.push([
        "this machine".to_owned(),
        "measured".to_owned(),
        format!("{:.0}", receipt.decode_tokens_per_s()),
        per_million.map_or("unknown".to_owned(), |usd| format!("{usd:.3}")),
        told(receipt.cost.price.as_ref()),
    ]);
    let known = Calibrations::built_in()?;
    let load =
        Load { prompt: receipt.prompt_tokens.max(1), output: receipt.completion_tokens.max(1), sequences: 1 };
    for name in NEIGHBOURS {
        let chip = Told::new(catalogue, &known, model.graph(), name, Some(1), 0.0)?;
        let forecast = chip.forecast(model.graph(), load);
        let Some([usd, ..]) = chip.dollars(&forecast, 1.0) else { continue };
        let off = 100.0 * forecast.error.unwrap_or(0.0);
        rows.push([
            format!("1 x {name}"),
            format!("ESTIMATE, off by {off:.0} % or more"),
            format!("{:.0}", 1.0 / forecast.decode_s),
            format!("{usd:.3}"),
            told(chip.price.as_ref()),
        ]);
    }
    Ok(table(&rows, LEFT)
        + "An answer alone costs most: bench measures many at a time, predict estimates them, and --price names your own price.\n")
}

/// A price with its day.
fn told(price: Option<&Price>) -> String {
    price.map_or("name one with --price".to_owned(), |price| price.sentence(today()))
}
