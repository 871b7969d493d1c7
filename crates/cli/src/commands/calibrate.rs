//! `calibrate`: from recorded runs, what this program takes on a machine beyond the machine's limits.

use std::path::PathBuf;

use clap::Args;
use polysilicon::Error;
use polysilicon::cost::predict::{Sample, fit, held_out, median_error};
use polysilicon::cost::table;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::output::{Sink, print, print_json};
use crate::prices::{read, today};

#[derive(Args)]
#[command(
    after_help = "Each model is predicted from the others, so that the error is of models that a fit has not seen. Run several models \
                  on a quiet machine first, each with its own file.\n\n\
                  Example: polysilicon bench path/to/model --depth 0,256 --concurrency 1,4 --json a.json\n\
                  Example: polysilicon calibrate a.json b.json c.json --name 'our server' --chip cpu_blocks --out ours.toml"
)]
pub struct Calibrate {
    /// What `polysilicon bench --json FILE` has written, without requests
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// What the calibration is called
    #[arg(long, value_name = "TEXT", default_value = "this machine")]
    name: String,
    /// The chip that it is for: a name of `polysilicon chips`, or cpu_blocks or cpu_dense, which bench takes for models whose weights
    /// are in blocks of integers and for others
    #[arg(long, value_name = "NAME", default_value = "cpu_blocks")]
    chip: String,
    /// Write the calibration to this file, for --calibration, with what it was fitted to
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Calibrate {
    /// Fits, and tells what the fit is worth.
    pub fn execute(self) -> Result<(), Failure> {
        let sink = self.out.as_deref().map(Sink::open).transpose()?;
        let mut samples = vec![];
        for path in &self.runs {
            samples.extend(self.samples(path)?);
        }
        let held = held_out(&samples);
        if held.is_empty() {
            return Err(Failure::Usage(
                "all runs are of one model, so that nothing tells what a fit is worth; add runs of another"
                    .to_owned(),
            ));
        }
        let (terms, error) = (fit(&samples), median_error(&held));
        let toml = self.toml(&terms, error, &samples);
        let printed = sink.as_ref().is_some_and(Sink::is_printed);
        sink.map_or(Ok(()), |sink| sink.write(&toml))?;
        if printed {
            return Ok(());
        }
        if self.json {
            let held = held.iter().map(|held| {
                json!({"model": held.sample.model, "what": held.sample.what, "measured_s": held.sample.seconds, "predicted_s": held.predicted_s, "error": held.error()})
            });
            return print_json(
                &json!({"terms": terms, "median_error": error, "held_out": held.collect::<Vec<_>>()}),
            );
        }
        let head = ["model, which the fit has not seen", "what", "measured ms", "predicted ms", "error"];
        let mut rows = vec![head.map(str::to_owned)];
        rows.extend(held.iter().map(|held| {
            [
                held.sample.model.clone(),
                held.sample.what.clone(),
                format!("{:.2}", 1e3 * held.sample.seconds),
                format!("{:.2}", 1e3 * held.predicted_s),
                format!("{:+.1} %", 100.0 * held.error()),
            ]
        }));
        let [weights, state, compute, layer, step, sequence] = terms;
        let told = format!(
            "half of the errors are within {:.1} %\nfitted to all: weights take {weights:.2} of their time at the bandwidth, keys and values {state:.2}, operations {compute:.2} of theirs at the peak; \
             {:.0} us a layer, {:.0} us a step, {:.0} us a sequence\n",
            100.0 * error,
            1e6 * layer,
            1e6 * step,
            1e6 * sequence
        );
        print(&(table(&rows, 2) + &told))
    }

    /// The samples of a file.
    fn samples(&self, path: &std::path::Path) -> Result<Vec<Sample>, Failure> {
        let wrong = |reason: &str| -> Failure {
            let error = std::io::Error::other(reason.to_owned());
            Error::File { path: path.to_owned(), error }.into()
        };
        let value: Value = serde_json::from_str(&read(path)?).map_err(|error| wrong(&error.to_string()))?;
        let figures = value["results"].as_array().map_or(&[][..], Vec::as_slice);
        let refused = figures.iter().find_map(|figure| figure["refused"].as_str());
        // What is no result is nothing to fit to.
        let told = figures.iter().filter(|figure| figure["refused"].is_null());
        let samples = told.filter_map(|figure| figure.get("sample"));
        let samples = samples.map(|sample| serde_json::from_value::<Sample>(sample.clone()));
        let samples = samples.collect::<Result<Vec<_>, _>>().map_err(|error| wrong(&error.to_string()))?;
        match samples.is_empty() || !samples.iter().all(Sample::is_sound) {
            true if refused.is_some() => {
                Err(wrong(&format!("none of its steps is a result: {}", refused.unwrap_or_default())))
            }
            true => Err(wrong(
                "it holds no steps that were timed; write it by `polysilicon bench MODEL --json FILE` on the cpu",
            )),
            false => Ok(samples),
        }
    }

    /// The calibration as a file, and what it was fitted to.
    fn toml(&self, terms: &[f64; 6], error: f64, samples: &[Sample]) -> String {
        let [weights, state, compute, layer, step, sequence] = terms;
        let quoted = |text: &str| Value::from(text).to_string();
        let mut models = samples.iter().map(|sample| sample.model.as_str()).collect::<Vec<_>>();
        models.dedup();
        let source =
            format!("fitted by polysilicon calibrate to {} runs of {}", samples.len(), models.join(", "));
        let mut text = format!(
            "[[calibrations]]\nname = {}\nchips = [{}]\nweights = {weights:.4}\nstate = {state:.4}\ncompute = {compute:.4}\nlayer_us = {:.2}\nstep_us = {:.1}\n\
             sequence_us = {:.1}\nerror = {error:.3}\nsource = {}\ndate = \"{}\"\n",
            quoted(&self.name),
            quoted(&self.chip),
            1e6 * layer,
            1e6 * step,
            1e6 * sequence,
            quoted(&source),
            today()
        );
        for sample in samples {
            text += &format!(
                "\n[[runs]]\nmodel = {}\nwhat = {}\nweights_s = {:.4e}\nstate_s = {:.4e}\ncompute_s = {:.4e}\nlayers = {}\nsequences = {}\nseconds = {:.4e}\n",
                quoted(&sample.model),
                quoted(&sample.what),
                sample.weights_s,
                sample.state_s,
                sample.compute_s,
                sample.layers,
                sample.sequences,
                sample.seconds
            );
        }
        text
    }
}
