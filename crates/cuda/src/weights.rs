//! In what form weights lie in the device's memory.

use std::sync::Arc;

use graph::{BackendError, Graph, WeightSpec, Weights};
use tensor::{SourceError, WeightInfo, WeightSource};

use crate::driver::{Driver, Memory};
use crate::fault;

/// Bytes of a weight that are read and written at once.
const PIECE: usize = 32 << 20;

/// Weights on a device.
pub(crate) struct Loaded {
    /// In the order of the graph's weights.
    pub memory: Vec<Memory>,
    /// The form of each.
    pub forms: Vec<Form>,
}

impl Loaded {
    /// Reads and writes every weight of a graph, in pieces.
    pub fn load(
        graph: &Graph,
        source: &dyn WeightSource,
        driver: &Arc<dyn Driver>,
    ) -> Result<Loaded, BackendError> {
        let forms = forms(graph);
        let mut memory = vec![];
        for (spec, form) in graph.weights.iter().zip(&forms) {
            let bytes = form.bytes(&spec.info).ok_or_else(|| too_large(spec))?;
            let place = Memory::new(driver, bytes).map_err(fault)?;
            load_one(spec, *form, source, &place)?;
            memory.push(place);
        }
        Ok(Loaded { memory, forms })
    }
}

impl Weights for Loaded {
    fn bytes(&self) -> u64 {
        self.memory.iter().map(|memory| memory.bytes() as u64).sum()
    }
}

fn load_one(
    spec: &WeightSpec,
    form: Form,
    source: &dyn WeightSource,
    place: &Memory,
) -> Result<(), BackendError> {
    let row_bytes = spec.info.row_bytes().ok_or_else(|| too_large(spec))?;
    let rows = spec.info.shape.rows().ok_or_else(|| too_large(spec))?;
    let at_once = (PIECE / row_bytes.max(1)).max(1);
    for first in (0..rows).step_by(at_once) {
        let mut piece = vec![0; at_once.min(rows - first) * row_bytes];
        source.read_rows(&spec.name, first, &mut piece)?;
        match form {
            Form::Found => place.write(first * row_bytes, &piece).map_err(fault)?,
        }
    }
    Ok(())
}

fn too_large(spec: &WeightSpec) -> SourceError {
    SourceError::TooLarge { name: spec.name.clone() }
}

/// The form of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it was found.
    Found,
}

/// The form of each weight of a graph.
pub(crate) fn forms(graph: &Graph) -> Vec<Form> {
    graph.weights.iter().map(|_| Form::Found).collect()
}

impl Form {
    /// Bytes of a weight in this form.
    pub fn bytes(self, info: &WeightInfo) -> Option<usize> {
        match self {
            Form::Found => info.bytes(),
        }
    }
}
