//! What was measured on chips, and the points that predictions are held against: data beside the code, or a user's file.

use serde::Deserialize;

use super::Sample;
use crate::CostError;

const BUILT_IN: [(&str, &str); 3] = [
    ("calibrations.toml", include_str!("../../data/calibrations.toml")),
    ("cpu_blocks.toml", include_str!("../../data/cpu_blocks.toml")),
    ("cpu_dense.toml", include_str!("../../data/cpu_dense.toml")),
];

/// How chips of a kind differ from their sheets, for one program on them.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// What it is called.
    pub name: String,
    /// Chips that it is for.
    pub chips: Vec<String>,
    /// How much longer weights take to read than at the sheet's bandwidth.
    pub weights: f64,
    /// The same of keys and values.
    pub state: f64,
    /// How much longer operations take than at the sheet's peak.
    pub compute: f64,
    /// Microseconds of each layer beside that.
    pub layer_us: f64,
    /// And of each step.
    pub step_us: f64,
    /// And of each sequence.
    pub sequence_us: f64,
    /// How far it was off, as a share, on what it was not fitted to.
    pub error: f64,
    /// Where it comes from.
    pub source: String,
    /// The day.
    pub date: crate::Date,
}

/// Something measured that predictions are held against.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Point {
    /// Its name, with which the calibration is fitted that leaves it out.
    pub name: String,
    /// The model's shape, `llama-3.1-70b@bf16`.
    pub model: String,
    /// The chip.
    pub chip: String,
    /// How many share the model.
    pub chips: u32,
    /// Sequences.
    pub sequences: u32,
    /// Tokens before the one that is decoded.
    pub depth: u32,
    /// Milliseconds per token, as published.
    pub tpot_ms: f64,
    /// The calibration that predicts it; where it was fitted to the point itself, its layers' time is that of the others.
    pub calibration: String,
    /// Where it comes from.
    pub source: String,
}

/// Calibrations and points.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibrations {
    /// Calibrations, the first that names a chip being its own.
    #[serde(default)]
    pub calibrations: Vec<Calibration>,
    /// Points.
    #[serde(default)]
    pub points: Vec<Point>,
    /// What was timed here, and calibrations were fitted to.
    #[serde(default)]
    pub runs: Vec<Sample>,
}

impl Calibration {
    /// Its terms, as they are fitted: of weights, of keys and values and of operations, and seconds per layer, per step and per
    /// sequence.
    pub fn terms(&self) -> [f64; 6] {
        let Calibration { weights, state, compute, layer_us, step_us, sequence_us, .. } = *self;
        [weights, state, compute, 1e-6 * layer_us, 1e-6 * step_us, 1e-6 * sequence_us]
    }
}

impl Calibrations {
    /// What the program knows by itself.
    pub fn built_in() -> Result<Calibrations, CostError> {
        let mut all = Calibrations::default();
        for (name, text) in BUILT_IN {
            let more = Calibrations::read(name, text)?;
            all.calibrations.extend(more.calibrations);
            all.points.extend(more.points);
            all.runs.extend(more.runs);
        }
        Ok(all)
    }

    /// What a file says.
    pub fn read(name: &str, text: &str) -> Result<Calibrations, CostError> {
        let fail = |reason: String| CostError::File { file: name.to_owned(), reason };
        let all: Calibrations =
            toml::from_str(text).map_err(|error| fail(error.to_string().trim_end().replace('\n', " ")))?;
        for calibration in &all.calibrations {
            let Calibration { weights, state, compute, layer_us, step_us, sequence_us, error, .. } =
                calibration;
            let terms = [weights, state, compute, layer_us, step_us, sequence_us, error];
            if !terms.into_iter().all(|term| term.is_finite() && *term >= 0.0) {
                return Err(fail(format!("a term of `{}` is less than 0, or no number", calibration.name)));
            }
        }
        match all.runs.iter().find(|run| !run.is_sound()) {
            Some(run) => {
                Err(fail(format!("a time of the run of {} is less than 0, or no number", run.model)))
            }
            None => Ok(all),
        }
    }

    /// The calibration of a chip.
    pub fn of(&self, chip: &str) -> Option<&Calibration> {
        self.calibrations.iter().find(|calibration| calibration.chips.iter().any(|known| known == chip))
    }

    /// The calibration of a name.
    pub fn named(&self, name: &str) -> Option<&Calibration> {
        self.calibrations.iter().find(|calibration| calibration.name == name)
    }
}
