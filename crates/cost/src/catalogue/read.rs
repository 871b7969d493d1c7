//! Catalogues as files: those beside the code, and the user's own over them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Api, Catalogue, Chip, Instance, Source};
use crate::{CostError, Plan};

/// The files beside the code.
const BUILT_IN: [(&str, &str); 3] = [
    ("chips.toml", include_str!("../../data/chips.toml")),
    ("prices.toml", include_str!("../../data/prices.toml")),
    ("api.toml", include_str!("../../data/api.toml")),
];

/// The most bytes of a user's file.
const MAX_BYTES: usize = 4 << 20;

/// A file, any part of which may be absent.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    sources: BTreeMap<String, Source>,
    #[serde(default)]
    chips: BTreeMap<String, Chip>,
    #[serde(default)]
    instances: BTreeMap<String, Instance>,
    #[serde(default)]
    api: BTreeMap<String, Api>,
    #[serde(default)]
    plans: BTreeMap<String, Plan>,
}

impl Catalogue {
    /// What the program knows by itself.
    pub fn built_in() -> Result<Catalogue, CostError> {
        let mut catalogue = Catalogue::default();
        for (name, text) in BUILT_IN {
            catalogue.lay_over(name, text)?;
        }
        Ok(catalogue)
    }

    /// Lays what a file says over what is known: what bears a name that is known takes its place.
    pub fn lay_over(&mut self, name: &str, text: &str) -> Result<(), CostError> {
        let fail = |reason: String| CostError::File { file: name.to_owned(), reason };
        if text.len() > MAX_BYTES {
            return Err(fail(format!("it has more than {MAX_BYTES} bytes; a catalogue is shorter")));
        }
        let file: File =
            toml::from_str(text).map_err(|error| fail(error.to_string().trim_end().replace('\n', " ")))?;
        self.sources.extend(file.sources);
        self.chips.extend(file.chips);
        self.instances.extend(file.instances);
        self.api.extend(file.api);
        self.plans.extend(file.plans);
        self.check().map_err(fail)
    }

    /// What no type can say: numbers are sizes, and names are known.
    fn check(&self) -> Result<(), String> {
        let size = |what: &str, of: &str, x: f64| match x.is_finite() && x > 0.0 {
            true => Ok(()),
            false => Err(format!("{what} of {of} is {x}, and must be more than 0")),
        };
        for (name, chip) in &self.chips {
            size("bandwidth_gbs", name, chip.bandwidth_gbs)?;
            let told = [
                ("memory_gb", chip.memory_gb),
                ("tdp_w", chip.tdp_w),
                ("link_gbs", chip.link_gbs),
                ("all_in_kw", chip.all_in_kw),
            ];
            for (what, x) in told {
                x.map_or(Ok(()), |x| size(what, name, x))?;
            }
            chip.peak_tflops.iter().try_for_each(|(dtype, &peak)| size(dtype, name, peak))?;
        }
        for (name, instance) in &self.instances {
            if !self.chips.contains_key(&instance.chip) {
                return Err(format!(
                    "{name} holds the chip `{}`, which is not in the catalogue",
                    instance.chip
                ));
            }
            size("chips", name, f64::from(instance.chips))?;
            instance.prices.iter().try_for_each(|quote| size(quote.kind.name(), name, quote.usd_per_hour))?;
        }
        for (name, api) in &self.api {
            size("input", name, api.input)?;
            size("output", name, api.output)?;
        }
        self.plans
            .iter()
            .try_for_each(|(name, plan)| plan.check().map_err(|reason| format!("the plan {name}: {reason}")))
    }
}
