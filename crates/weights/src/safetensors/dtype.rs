//! The element types of safetensors.

use tensor::DType;

use crate::stored::Kind;

/// Bits per element of the types that the format names but this program does not compute with.
const OTHERS: [(&str, u64); 13] = [
    ("I8", 8),
    ("I16", 16),
    ("U16", 16),
    ("I64", 64),
    ("U64", 64),
    ("F64", 64),
    ("C64", 64),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
];

/// A type by its name in a header, with the bits of an element; `None` bits for a name that is new to us.
pub(super) fn parse(name: &str) -> (Kind, Option<u64>) {
    let dtype = match name {
        "F32" => DType::F32,
        "F16" => DType::F16,
        "BF16" => DType::BF16,
        "I32" => DType::I32,
        "U32" => DType::U32,
        "U8" => DType::U8,
        "BOOL" => DType::Bool,
        _ => {
            let bits = OTHERS.iter().find(|(other, _)| *other == name).map(|&(_, bits)| bits);
            return (Kind::Other(name.into()), bits);
        }
    };
    (Kind::Known(dtype), Some(8 * dtype.block_bytes() as u64))
}
