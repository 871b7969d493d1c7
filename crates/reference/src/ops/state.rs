//! Pages: `state: [pool, S, ..]`, slot `n` is place `n % S` of page `n / S`.

use std::sync::Arc;

use tensor::{Shape, Value, blocks};

/// Writes row `t` of `values` to slot `slots[t]`, rounding to the state's type.
pub fn write(mut state: Arc<Value>, slots: &Value, values: &Value) -> Arc<Value> {
    let len: usize = state.shape[2..].iter().product();
    let dtype = state.dtype;
    let bytes = dtype.bytes_of(len).expect("a slot is whole blocks");
    // Nobody else holds a state that is threaded, so this copies nothing.
    let target = Arc::make_mut(&mut state).data.as_mut_slice::<u8>();
    for (&slot, row) in slots.as_i32s().iter().zip(values.as_f32s().chunks_exact(len)) {
        let at = slot as usize * bytes;
        blocks::encode(dtype, row, &mut target[at..at + bytes]);
    }
    state
}

/// The pages of each sequence, one behind another, as f32.
pub fn read(state: &Value, table: &Value, shape: Shape) -> Value {
    let page_bytes = state.data.len() / state.shape[0];
    let page_len: usize = state.shape[1..].iter().product();
    let bytes = state.data.as_slice::<u8>();
    let mut out = vec![0.0; shape.elements().unwrap_or(0)];
    for (out, &page) in out.chunks_exact_mut(page_len).zip(table.as_i32s()) {
        let at = page as usize * page_bytes;
        blocks::decode(state.dtype, &bytes[at..at + page_bytes], out);
    }
    Value::f32s(shape, &out)
}
