//! What a block format keeps where, as one table: packing, unpacking and the kernels all read it.

use tensor::DType;

/// Values that share one integer sum: the unit in which weights are packed and activations quantized.
pub const GROUP: usize = 256;

/// Values of a group that share a scale, or two scales of one half each.
pub const BLOCK: usize = 32;

/// A format's block as GGUF has it. Packed, a group has first what its blocks hold beside codes, field by field, sixteen
/// rows beside each other, then the codes in planes. So kernels, which want scales first, read memory from front to back.
#[derive(Clone, Copy)]
pub struct Fields {
    /// Where the bits of its codes are, the low ones first.
    pub codes: &'static [Bits],
    /// The places of f16 fields: scales, then mins.
    pub floats: &'static [usize],
    /// The place and the number of bytes that hold integer scales, exponents, or an f32.
    pub bytes: (usize, usize),
}

/// `width` bits of each code: of `run` bytes at a time, byte `i` holds those of values `i`, `i + run`, `i + 2 run`...
/// from its lowest bits on.
#[derive(Clone, Copy)]
pub struct Bits {
    /// The first byte.
    pub at: usize,
    /// 1, 2, 4 or 8.
    pub width: usize,
    /// How many bytes hold codes of neighbouring values.
    pub run: usize,
}

const fn bits(at: usize, width: usize, run: usize) -> Bits {
    Bits { at, width, run }
}

impl Fields {
    /// The table; `None` for types without blocks.
    pub const fn of(dtype: DType) -> Option<Fields> {
        let (codes, floats, bytes): (&[Bits], &[usize], _) = match dtype {
            DType::Q4_0 | DType::IQ4_NL => (const { &[bits(2, 4, 16)] }, &[0], (0, 0)),
            DType::Q4_1 => (const { &[bits(4, 4, 16)] }, &[0, 2], (0, 0)),
            DType::Q5_0 => (const { &[bits(6, 4, 16), bits(2, 1, 1)] }, &[0], (0, 0)),
            DType::Q5_1 => (const { &[bits(8, 4, 16), bits(4, 1, 1)] }, &[0, 2], (0, 0)),
            DType::Q8_0 => (const { &[bits(2, 8, 32)] }, &[0], (0, 0)),
            DType::Q2_K => (const { &[bits(16, 2, 32)] }, &[80, 82], (0, 16)),
            DType::Q3_K => (const { &[bits(32, 2, 32), bits(0, 1, 32)] }, &[108], (96, 12)),
            DType::Q4_K => (const { &[bits(16, 4, 32)] }, &[0, 2], (4, 12)),
            DType::Q5_K => (const { &[bits(48, 4, 32), bits(16, 1, 32)] }, &[0, 2], (4, 12)),
            DType::Q6_K => (const { &[bits(0, 4, 64), bits(128, 2, 32)] }, &[208], (192, 16)),
            DType::IQ4_XS => (const { &[bits(8, 4, 16)] }, &[0], (2, 6)),
            DType::MXFP4 => (const { &[bits(1, 4, 16)] }, &[], (0, 1)),
            DType::F8_E4M3 => (const { &[bits(4, 8, 32)] }, &[], (0, 4)),
            _ => return None,
        };
        Some(Fields { codes, floats, bytes })
    }

    /// Vectors of 64 bytes that hold the codes of a block of sixteen rows: as many as a code has bits.
    pub const fn vectors(&self) -> usize {
        let (mut vectors, mut i) = (0, 0);
        while i < self.codes.len() {
            vectors += self.codes[i].width;
            i += 1;
        }
        vectors
    }

    /// Bytes of a packed group's fields, of so many source blocks: whole lines. Its codes lie behind them.
    pub const fn field_bytes(&self, sources: usize) -> usize {
        ((32 * self.floats.len() + 16 * self.bytes.1) * sources).next_multiple_of(64)
    }

    /// Bytes of a packed group of so many source blocks, which hold so many blocks of [`BLOCK`] values: whole lines.
    pub const fn record_bytes(&self, sources: usize, blocks: usize) -> usize {
        self.field_bytes(sources) + 64 * self.vectors() * blocks
    }
}

/// How the bits of a block's codes lie in a plane, by width: bytes `4 i .. 4 i + 4` of a plane are word `i`, and word
/// `i` of sixteen rows is a vector. So whatever the width, shifting a vector to the right and masking it leaves four
/// neighbouring values of each row, which is what products of bytes take.
pub const fn plane(width: usize) -> Bits {
    match width {
        8 => bits(0, 8, 32),
        4 => bits(0, 4, 16),
        _ => bits(0, width, 4),
    }
}
