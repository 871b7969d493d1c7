//! What tells one model from another.

use graph::{Graph, WeightSpec};
use tensor::{Sum, WeightSource};

use crate::Error;

/// Bytes looked at from each end of a weight, or a row where that is more.
const SAMPLE: usize = 4096;

/// A sum over the graph as text, which has every operation, type and shape in it, and over the first and last rows of
/// each weight. Reading all weights would take as long as loading them; two models that agree in all that differ by
/// intent.
pub(crate) fn digest(graph: &Graph, source: &dyn WeightSource) -> Result<u64, Error> {
    let mut sum = Sum::default();
    // The name is what the user called it.
    let graph = Graph { name: String::new(), ..graph.clone() };
    sum.add(graph.to_string().as_bytes());
    for weight in &graph.weights {
        sum.add(weight.name.as_bytes());
        sample(weight, source, &mut sum)?;
    }
    Ok(sum.value())
}

fn sample(weight: &WeightSpec, source: &dyn WeightSource, sum: &mut Sum) -> Result<(), Error> {
    let (Some(row), Some(rows)) =
        (weight.info.row_bytes().filter(|&bytes| bytes > 0), weight.info.shape.rows())
    else {
        return Ok(());
    };
    let count = (SAMPLE / row).clamp(1, rows.max(1)).min(rows);
    let mut bytes = vec![0; count * row];
    for first in [0, rows - count] {
        source.read_rows(&weight.name, first, &mut bytes).map_err(graph::BackendError::from)?;
        sum.add(&bytes);
    }
    Ok(())
}
