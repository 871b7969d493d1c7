//! Every block type, bit for bit against values decoded by the `gguf` Python package (`scripts/block_vectors.py`).

use std::path::Path;

use safetensors::SafeTensors;
use tensor::{DType, blocks};

#[test]
fn blocks_decode_to_the_bit() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/blocks.safetensors");
    let file = std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let vectors = SafeTensors::deserialize(&file).expect("a safetensors file");
    // f32 has no vectors: its bytes are its values. Nor has F8_E4M3, which the package does not know: its own tests go through
    // all codes.
    for dtype in DType::weights().filter(|t| ![DType::F32, DType::F8_E4M3].contains(t)) {
        let tensor = |part: &str| {
            let name = format!("{dtype}.{part}");
            vectors.tensor(&name).unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        let (stored, wanted) = (tensor("blocks"), tensor("values"));
        let wanted: Vec<u32> = wanted.data().as_chunks().0.iter().map(|b| u32::from_le_bytes(*b)).collect();
        assert!(wanted.len() >= 10 * dtype.block_len(), "too few blocks of {dtype} to prove anything");

        let mut values = vec![f32::NAN; wanted.len()];
        blocks::decode(dtype, stored.data(), &mut values);
        for (i, (value, wanted)) in values.iter().zip(wanted).enumerate() {
            assert_eq!(
                value.to_bits(),
                wanted,
                "{dtype}: value {i} is {value}, not {}",
                f32::from_bits(wanted)
            );
        }
    }
}
