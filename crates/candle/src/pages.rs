//! The states of a graph in pages: made, copied, written out and read in.

use std::io::{Read, Write};

use candle_core::{Device, Tensor};
use graph::{BackendError, Budget, Graph, GroupId, PageId, StateSpec};

use crate::array::Array;
use crate::{NAME, failed, unsupported};

/// Pages per group that the budget holds beside the weights: as many as asked, or the same share of each.
pub(crate) fn fitting(graph: &Graph, weight_bytes: u64, budget: &Budget) -> Result<Vec<u32>, BackendError> {
    if budget.pages.len() != graph.groups.len() {
        let reason = format!("the graph has {} groups of states", graph.groups.len());
        return Err(unsupported(format!("a budget for {} groups", budget.pages.len()), reason));
    }
    let page_bytes = (0..).map(|group| graph.page_bytes(GroupId(group)));
    let page_bytes = page_bytes.take(graph.groups.len()).collect::<Vec<_>>();
    let bytes = |pages: &dyn Fn(u32) -> u64| {
        let of_groups = budget.pages.iter().zip(&page_bytes);
        of_groups.map(|(&asked, &bytes)| u128::from(pages(asked)) * u128::from(bytes)).sum::<u128>()
    };
    let asked = bytes(&|asked| u64::from(asked.max(2)));
    let left = u128::from(budget.bytes.unwrap_or(u64::MAX).saturating_sub(weight_bytes));
    if asked <= left {
        return Ok(budget.pages.iter().map(|&pages| pages.max(2)).collect());
    }
    let share = |pages: u32| u32::try_from(u128::from(pages) * left / asked).unwrap_or(pages);
    let pages = budget.pages.iter().map(|&pages| share(pages)).collect::<Vec<_>>();
    if pages.iter().all(|&pages| pages >= 2) {
        return Ok(pages);
    }
    let needed = u64::try_from(bytes(&|_| 2)).unwrap_or(u64::MAX).saturating_add(weight_bytes);
    let available = budget.bytes.unwrap_or(u64::MAX);
    Err(BackendError::Memory { device: NAME, what: "weights and two pages of each group", needed, available })
}

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
