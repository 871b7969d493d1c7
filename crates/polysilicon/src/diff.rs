//! Two devices on the same prompt: the first value in which they differ.

use std::fmt;

use cpu::Precision;
use tensor::{DType, ErrorStats};

use crate::{Builder, Device, Error, Model, Opened};

/// Values compared in one pass over the prompt.
const AT_ONCE: usize = 32;

/// Normalised squared error above which a value counts as different.
pub const TOLERANCE: f64 = 1e-6;

/// What a comparison found.
#[derive(Clone, Debug, PartialEq)]
pub struct Diff {
    /// Values compared.
    pub compared: usize,
    /// The value with the largest error among those within the tolerance.
    pub worst: Option<Divergence>,
    /// The first value beyond it.
    pub first: Option<Divergence>,
}

/// A value and how far the devices are apart in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Divergence {
    /// Its name, `layers.0.attn`.
    pub name: String,
    /// The operation that made it, as the graph prints it.
    pub op: String,
    /// The error of the first device against the second.
    pub stats: ErrorStats,
}

/// Compares every named value of a prompt on two devices, in the order in which they are made, up to the first that
/// differs beyond `tolerance`. Keys and values are kept in f32 on both, and activations are not rounded.
pub fn diff(model: &str, a: Device, b: Device, ids: &[u32], tolerance: f64) -> Result<Diff, Error> {
    let load = |device: Device| -> Result<Model, Error> {
        let opened = Opened::find(model, None)?;
        let context = opened.context()?.min(ids.len() as u32 + 1);
        let builder = Builder::new(opened).device(device).kv(DType::F32).precision(Precision::F32);
        builder.context(context).ids_only().load()
    };
    diff_models(&load(a)?, &load(b)?, ids, tolerance)
}

/// As [`diff`], of two loaded models that have one graph.
pub fn diff_models(a: &Model, b: &Model, ids: &[u32], tolerance: f64) -> Result<Diff, Error> {
    let ops = ops(a);
    let mut diff = Diff { compared: 0, worst: None, first: None };
    for names in ops.chunks(AT_ONCE) {
        let taps = names.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        let (got, want) = (a.probe(ids, &taps)?, b.probe(ids, &taps)?);
        for ((name, op), (got, want)) in names.iter().zip(got.iter().zip(&want)) {
            let stats = ErrorStats::new(&got.values, &want.values);
            let found = Divergence { name: name.clone(), op: op.clone(), stats };
            diff.compared += 1;
            if !found.stats.within(tolerance) {
                diff.first = Some(found);
                return Ok(diff);
            }
            if diff.worst.as_ref().is_none_or(|worst| found.stats.nmse > worst.stats.nmse) {
                diff.worst = Some(found);
            }
        }
    }
    Ok(diff)
}

/// Every named value with the operation that makes it.
fn ops(model: &Model) -> Vec<(String, String)> {
    let graph = model.graph();
    let names = graph.names();
    let op = |name: &String| graph.op_of(name).map_or(String::new(), |op| op.to_string());
    names.iter().map(|name| (name.clone(), op(name))).collect()
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Divergence { name, op, stats }) = &self.first {
            return write!(f, "{name} ({op}) is the first value that differs: {stats}");
        }
        write!(f, "{} values agree", self.compared)?;
        match &self.worst {
            Some(worst) => write!(f, "; the largest error is in {}: {}", worst.name, worst.stats),
            None => Ok(()),
        }
    }
}
