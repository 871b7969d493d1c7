//! What the fuzzers call, and what the replay of their seeds calls: open some bytes, and use what opens.

use tensor::WeightSource;

use crate::{Gguf, SafeTensors, StoredTensor};

/// Bytes read of each tensor at most.
const MOST: usize = 1 << 16;

/// Opens the bytes as safetensors and reads from every tensor.
pub fn safetensors(bytes: &'static [u8]) {
    if let Ok(model) = SafeTensors::from_static(bytes) {
        model.tensors().for_each(|tensor| touch(&model, &tensor));
    }
}

/// Opens the bytes as GGUF and reads every value and from every tensor.
pub fn gguf(bytes: &'static [u8]) {
    if let Ok(model) = Gguf::from_static(bytes) {
        for (key, _) in model.metadata().iter() {
            let metadata = model.metadata();
            let _ = (metadata.u32(key), metadata.f32(key), metadata.str(key), metadata.bool(key));
            let _ = (metadata.i32s(key), metadata.f32s(key), metadata.bools(key));
            let _ = metadata.strs(key).map(|strs| strs.map(str::len).sum::<usize>());
        }
        model.tensors().for_each(|tensor| touch(&model, &tensor));
    }
}

fn touch(source: &dyn WeightSource, tensor: &StoredTensor<'_>) {
    let Some(info) = source.find(tensor.name) else { return };
    // What is put together as it is read has another size, and what it is made of may be wrong.
    let is_whole = tensor.dtype.is_some();
    assert!(
        !is_whole || info.bytes().map(|bytes| bytes as u64) == Some(tensor.bytes),
        "a checked tensor has the size it claims"
    );
    let row = info.row_bytes().unwrap_or(0);
    if row <= MOST && info.shape.rows().is_some_and(|rows| rows > 0) {
        let last = info.shape.rows().map_or(0, |rows| rows - 1);
        let read = source.read_rows(tensor.name, last, &mut vec![0; row]);
        assert!(read.is_ok() || !is_whole, "a checked tensor lies within its file");
    }
}
