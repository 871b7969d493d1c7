//! In what form weights lie in the device's memory.

use std::sync::Arc;

use graph::{BackendError, Bucket, Graph, Op, Place, Plan, WeightSpec, Weights, bind, expand, fuse};
use rayon::prelude::*;
use tensor::{SourceError, WeightInfo, WeightSource};

use crate::driver::{Driver, Memory};
use crate::fault;
use crate::pack::{TILE_ROWS, pack, planes, tiles};

/// Bytes of a weight that a thread reads, packs and writes at once: few enough to stay in its caches.
const PIECE: usize = 2 << 20;

/// Weights on a device.
pub(crate) struct Loaded {
    /// In the order of the graph's weights.
    pub memory: Vec<Memory>,
    /// The form of each.
    pub forms: Vec<Form>,
}

impl Loaded {
    /// Reads, packs and writes every weight of a graph, in pieces side by side.
    pub fn load(
        graph: &Graph,
        source: &dyn WeightSource,
        driver: &Arc<dyn Driver>,
    ) -> Result<Loaded, BackendError> {
        let forms = forms(graph);
        let (mut memory, mut pieces) = (vec![], vec![]);
        for (weight, (spec, form)) in graph.weights.iter().zip(&forms).enumerate() {
            let bytes = form.bytes(&spec.info).ok_or_else(|| too_large(spec))?;
            memory.push(Memory::new(driver, bytes).map_err(fault)?);
            let row_bytes = spec.info.row_bytes().ok_or_else(|| too_large(spec))?;
            let rows = spec.info.shape.rows().ok_or_else(|| too_large(spec))?;
            let at_once = (PIECE / row_bytes.max(1)).max(1).next_multiple_of(TILE_ROWS);
            let starts = (0..rows).step_by(at_once);
            pieces.extend(starts.map(|first| (weight, first, at_once.min(rows - first) * row_bytes)));
        }
        pieces.par_iter().try_for_each_init(Vec::new, |found, &(weight, first, bytes)| {
            let spec = &graph.weights[weight];
            found.resize(bytes, 0);
            source.read_rows(&spec.name, first, found)?;
            forms[weight].write(&spec.info, first, found, &memory[weight])
        })?;
        Ok(Loaded { memory, forms })
    }
}

impl Weights for Loaded {
    fn bytes(&self) -> u64 {
        self.memory.iter().map(|memory| memory.bytes() as u64).sum()
    }
}

fn too_large(spec: &WeightSpec) -> SourceError {
    SourceError::TooLarge { name: spec.name.clone() }
}

/// The form of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it was found.
    Found,
    /// In tiles, so many along rows and columns.
    Tiles([usize; 2]),
}

impl Form {
    /// Bytes of a weight in this form.
    pub fn bytes(self, info: &WeightInfo) -> Option<usize> {
        match self {
            Form::Found => info.bytes(),
            Form::Tiles([rows, columns]) => planes(info.dtype)?.bytes(rows.checked_mul(columns)?),
        }
    }

    /// Writes rows of a weight, as they were found, from a row on that begins a tile.
    pub fn write(
        self,
        info: &WeightInfo,
        first: usize,
        found: &[u8],
        place: &Memory,
    ) -> Result<(), BackendError> {
        match self {
            Form::Found => {
                let row_bytes = info.row_bytes().unwrap_or(0);
                place.write(first * row_bytes, found).map_err(fault)
            }
            Form::Tiles(tiles) => {
                let runs = pack(info.dtype, tiles, first, found);
                runs.iter().try_for_each(|run| place.write(run.at, &run.bytes)).map_err(fault)
            }
        }
    }
}

/// The form of each weight of a graph: what it is used for does not depend on the step.
pub(crate) fn forms(graph: &Graph) -> Vec<Form> {
    let bucket = Bucket { tokens: 1, seqs: 1, queries: 1, pages: 1, rows: 1 };
    let lowered = expand(&fuse(&bind(graph, &bucket), &[]), &bucket, &|op| op.is_composite());
    let infos = graph.weights.iter().map(|spec| spec.info).collect::<Vec<_>>();
    forms_of(&Plan::of(&lowered, &[]), &infos)
}

/// The form of each weight of a plan: tiles where it is multiplied, and at most looked up in besides. Weights that one node
/// multiplies are all in tiles or all as they were found.
pub(crate) fn forms_of(plan: &Plan, infos: &[WeightInfo]) -> Vec<Form> {
    let tiled = |info: &WeightInfo| planes(info.dtype).and_then(|_| tiles(info));
    let (mut multiplied, mut fits) = (vec![false; infos.len()], vec![true; infos.len()]);
    let mut together = vec![];
    for node in &plan.nodes {
        let weights = |places: std::ops::Range<usize>| {
            let places = node.args[places].iter().map(|&arg| plan.place(arg));
            places.map(|place| if let Place::Weight(weight) = place { Some(weight) } else { None })
        };
        let matrices = match node.op {
            Op::Linear | Op::LinearAdd { .. } => 1..2,
            Op::GatedLinear { .. } => 1..3,
            Op::ExpertFfn { .. } => 3..6,
            _ => 0..0,
        };
        let others = weights(0..matrices.start).chain(weights(matrices.end..node.args.len()));
        others.flatten().filter(|_| node.op != Op::Embed).for_each(|weight| fits[weight] = false);
        let all = weights(matrices).collect::<Vec<_>>();
        all.iter().flatten().for_each(|&weight| multiplied[weight] = true);
        together.push(all);
    }
    fits.iter_mut().zip(infos).for_each(|(fits, info)| *fits &= tiled(info).is_some());
    let mut settled = false;
    while !settled {
        settled = true;
        for all in &together {
            // What is computed in the graph is in no tiles.
            let whole = all.iter().all(|weight| weight.is_some_and(|weight| fits[weight]));
            for &weight in all.iter().flatten().filter(|_| !whole) {
                settled &= !std::mem::replace(&mut fits[weight], false);
            }
        }
    }
    let form = |(weight, info): (usize, &WeightInfo)| match tiled(info) {
        Some(tiles) if multiplied[weight] && fits[weight] => Form::Tiles(tiles),
        _ => Form::Found,
    };
    infos.iter().enumerate().map(form).collect()
}
