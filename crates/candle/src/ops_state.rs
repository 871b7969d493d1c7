//! Reading and writing pages of states.

use candle_core::{Result, bail};
use tensor::DType;

use crate::array::{Array, stored};

/// The pages of each sequence one behind another, as f32.
pub(crate) fn read([state, table]: &[Array; 2]) -> Result<Array> {
    let (&[_, page_len, ref slot @ ..], &[seqs, pages]) = (state.tensor.dims(), table.tensor.dims()) else {
        bail!("{} is no state, or {} no table", state.shape(), table.shape())
    };
    check(state)?;
    let pages_read = state.tensor.index_select(&table.to_ids()?, 0)?;
    let values = pages_read.to_dtype(candle_core::DType::F32)?;
    Array::new(DType::F32, values.reshape([&[seqs, pages * page_len], slot].concat())?)
}

/// Each row into its slot. The state is written where it lies: the graph never looks at what it was before.
pub(crate) fn write([state, slots, values]: &[Array; 3]) -> Result<Array> {
    let &[pages, page_len, ref slot @ ..] = state.tensor.dims() else {
        bail!("{} is no state", state.shape())
    };
    check(state)?;
    let (rows, width) = (slots.tensor.elem_count(), slot.iter().product::<usize>());
    let values = values.tensor.to_dtype(stored(state.dtype))?.reshape((rows, width))?;
    let places = slots.to_ids()?.reshape((rows, 1))?.broadcast_as((rows, width))?.contiguous()?;
    // A reshaped contiguous tensor is a view: this writes into the state itself.
    state.tensor.reshape((pages * page_len, width))?.scatter_set(&places, &values, 0)?;
    Ok(state.clone())
}

fn check(state: &Array) -> Result<()> {
    match state.dtype.is_float() {
        true => Ok(()),
        false => bail!("states of {} are not kept here: only dense floats are", state.dtype),
    }
}
