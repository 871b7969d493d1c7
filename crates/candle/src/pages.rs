//! The states of a graph in pages: made, copied, written out and read in.

use std::io::{Read, Write};

use candle_core::{Device, Tensor};
use graph::{BackendError, Graph, PageId, StateSpec};

use crate::array::Array;
use crate::{failed, unsupported};

/// Every state, all zeros: `[pages, S, slot..]`.
pub(crate) fn open(graph: &Graph, pages: &[u32]) -> Result<Vec<Array>, BackendError> {
    let open_one = |state: &StateSpec| {
        if !state.dtype.is_float() {
            return Err(unsupported(format!("state `{}`", state.name), format!("it is of {}", state.dtype)));
        }
        let slot = state.slot.shape();
        let slot =
            slot.ok_or_else(|| unsupported(format!("state `{}`", state.name), "its slots have no size"))?;
        let pages = pages[state.group.index()] as usize;
        Array::zeros(state.dtype, &[&[pages, graph.page_len as usize], &slot[..]].concat()).map_err(failed)
    };
    graph.states.iter().map(open_one).collect()
}

/// Copies one page over another.
pub(crate) fn copy(state: &Array, from: PageId, to: PageId) -> candle_core::Result<()> {
    let from = Tensor::from_slice(&[from.0], 1, &Device::Cpu)?;
    state.tensor.slice_set(&state.tensor.index_select(&from, 0)?, 0, to.0 as usize)
}

/// Writes one page's slots as they are stored.
pub(crate) fn export(state: &Array, page: PageId, out: &mut dyn Write) -> Result<(), BackendError> {
    let page = state.tensor.narrow(0, page.0 as usize, 1).map_err(failed)?;
    let bytes = Array::new(state.dtype, page).and_then(|page| page.to_bytes()).map_err(failed)?;
    Ok(out.write_all(&bytes)?)
}

/// Reads what `export` wrote.
pub(crate) fn import(state: &Array, page: PageId, from: &mut dyn Read) -> Result<(), BackendError> {
    let mut shape = state.shape().to_vec();
    shape[0] = 1;
    let mut bytes = vec![0; shape.iter().product::<usize>() * state.dtype.block_bytes()];
    from.read_exact(&mut bytes)?;
    let values = Array::from_bytes(state.dtype, &shape, &bytes).map_err(failed)?;
    state.tensor.slice_set(&values.tensor, 0, page.0 as usize).map_err(failed)
}
