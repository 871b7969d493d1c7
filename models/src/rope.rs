//! The frequencies by which positions turn queries and keys, with the ways of stretching them to longer contexts.

use std::f64::consts::PI;

use crate::config::{Config, ConfigError};

/// Frequencies and the factor on cosine and sine.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Radians per position, one per pair of elements.
    pub frequencies: Vec<f32>,
    /// YaRN's attention factor; 1 elsewhere.
    pub scale: f32,
}

/// What a family assumes where its configuration is silent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RopeDefaults {
    /// Base of the frequencies.
    pub theta: f64,
    /// Whether absent scaling means YaRN as gpt-oss was trained with it.
    pub gpt_oss_yarn: bool,
}

impl Rope {
    /// Reads either layout: `rope_theta` beside `rope_scaling`, or both within `rope_parameters`.
    pub fn from_config(config: &Config, width: u32, defaults: RopeDefaults) -> Result<Rope, ConfigError> {
        if !width.is_multiple_of(2) {
            return Err(
                config.wrong("head_dim", "heads that are turned by pairs must have an even width".to_owned())
            );
        }
        let scaling = match config.object("rope_parameters")? {
            Some(parameters) => Some(parameters),
            None => config.object("rope_scaling")?,
        };
        let theta = config.number_or("rope_theta", defaults.theta)?;
        let theta = scaling.as_ref().map_or(Ok(theta), |s| s.number_or("rope_theta", theta))?;
        let plain =
            (0..width / 2).map(|i| theta.powf(-2.0 * f64::from(i) / f64::from(width))).collect::<Vec<_>>();
        let (frequencies, scale) = match scaling {
            Some(scaling) => stretched(config, &scaling, plain, theta, width)?,
            None if defaults.gpt_oss_yarn => yarn(&Yarn::GPT_OSS, plain, theta, width),
            None => (plain, 1.0),
        };
        let frequencies = match config.numbers("rope_factors")? {
            // What GGUF files hold in place of the llama3 scaling: a divisor per frequency.
            Some(factors) if factors.len() == frequencies.len() => {
                frequencies.iter().zip(factors).map(|(f, factor)| f / factor).collect()
            }
            Some(_) => {
                return Err(config.wrong("rope_factors", format!("there must be {} of them", width / 2)));
            }
            None => frequencies,
        };
        Ok(Rope { frequencies: frequencies.iter().map(|&f| f as f32).collect(), scale: scale as f32 })
    }
}

fn stretched(
    config: &Config,
    scaling: &Config,
    plain: Vec<f64>,
    theta: f64,
    width: u32,
) -> Result<(Vec<f64>, f64), ConfigError> {
    let kind = scaling.word_or("rope_type", scaling.word_or("type", "default")?)?;
    match kind {
        // Dynamic scaling changes nothing up to the context that the model declares, and we never go beyond it.
        "default" | "dynamic" => Ok((plain, 1.0)),
        "linear" => {
            let factor = scaling.number("factor")?;
            Ok((plain.iter().map(|f| f / factor).collect(), 1.0))
        }
        "llama3" => Ok((llama3(scaling, plain)?, 1.0)),
        "yarn" => Ok(yarn(&Yarn::from_config(config, scaling)?, plain, theta, width)),
        _ => {
            let known = "the ways known are default, dynamic, linear, llama3 and yarn";
            let key = if scaling.has("rope_type") { "rope_type" } else { "type" };
            Err(scaling.wrong(key, known.to_owned()))
        }
    }
}

/// Llama 3.1: long waves are stretched, short ones kept, those between blended.
fn llama3(scaling: &Config, plain: Vec<f64>) -> Result<Vec<f64>, ConfigError> {
    let factor = scaling.number("factor")?;
    let (low, high) = (scaling.number("low_freq_factor")?, scaling.number("high_freq_factor")?);
    let original = f64::from(scaling.count("original_max_position_embeddings")?);
    let stretch = |f: &f64| {
        let wave = 2.0 * PI / f;
        if wave < original / high {
            *f
        } else if wave > original / low {
            f / factor
        } else {
            let keep = (original / wave - low) / (high - low);
            (1.0 - keep) * f / factor + keep * f
        }
    };
    Ok(plain.iter().map(stretch).collect())
}

/// The parameters of YaRN (arXiv 2309.00071).
struct Yarn {
    factor: f64,
    original: f64,
    beta_fast: f64,
    beta_slow: f64,
    truncate: bool,
    attention: f64,
}

impl Yarn {
    /// What gpt-oss means where its configuration says nothing.
    const GPT_OSS: Yarn = Yarn {
        factor: 32.0,
        original: 4096.0,
        beta_fast: 32.0,
        beta_slow: 1.0,
        truncate: false,
        attention: 1.346_573_590_279_972_7, // 0.1 ln 32 + 1
    };

    fn from_config(config: &Config, scaling: &Config) -> Result<Yarn, ConfigError> {
        let declared = config.count("max_position_embeddings")?;
        let factor = scaling.number("factor")?;
        // 0.1 k ln(factor) + 1, and 1 where nothing is stretched.
        let softened = |k: f64| if factor <= 1.0 { 1.0 } else { 0.1 * k * factor.ln() + 1.0 };
        let attention = if scaling.has("attention_factor") {
            scaling.number("attention_factor")?
        } else if scaling.has("mscale") && scaling.has("mscale_all_dim") {
            softened(scaling.number("mscale")?) / softened(scaling.number("mscale_all_dim")?)
        } else {
            softened(1.0)
        };
        Ok(Yarn {
            factor,
            original: f64::from(scaling.count_or("original_max_position_embeddings", declared)?),
            beta_fast: scaling.number_or("beta_fast", 32.0)?,
            beta_slow: scaling.number_or("beta_slow", 1.0)?,
            truncate: scaling.flag_or("truncate", true)?,
            attention,
        })
    }
}

/// Frequencies that turn often within the original context are kept, those that never complete a turn are stretched,
/// with a ramp between.
fn yarn(yarn: &Yarn, plain: Vec<f64>, theta: f64, width: u32) -> (Vec<f64>, f64) {
    let width = f64::from(width);
    let turning = |turns: f64| width * (yarn.original / (turns * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (turning(yarn.beta_fast), turning(yarn.beta_slow));
    if yarn.truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(width - 1.0));
    if low == high {
        high += 0.001;
    }
    let ramp = |i: usize| ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
    let blend = |(i, f): (usize, &f64)| f / yarn.factor * ramp(i) + f * (1.0 - ramp(i));
    (plain.iter().enumerate().map(blend).collect(), yarn.attention)
}
