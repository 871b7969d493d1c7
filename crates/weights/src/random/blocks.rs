//! Random quantized blocks: random bits everywhere, then scales that give the values the spread asked for.

use half::f16;
use tensor::DType;
use tensor::blocks::e4m3_is_nan;

use super::bits::Bits;

/// Fills a row with blocks whose values have mean zero and this standard deviation.
pub(super) fn fill(dtype: DType, std: f32, bits: &mut Bits, out: &mut [u8]) {
    bits.fill(out);
    match dtype {
        DType::MXFP4 => return mxfp4(std, bits, out),
        DType::F8_E4M3 => return f8_e4m3(std, out),
        _ => {}
    }
    // Types with a minimum are centred by it. The others reach one step further down than up; their scale keeps the
    // random sign it has, so that what one block leans to, another makes good.
    let d = std / unit(dtype);
    let scale = f16::from_f32(d).to_le_bytes();
    let minimum = f16::from_f32(d * centre(dtype)).to_le_bytes();
    for block in out.chunks_exact_mut(dtype.block_bytes()) {
        match dtype {
            DType::Q4_1 | DType::Q5_1 => put(block, 0, scale, minimum),
            DType::Q2_K => {
                for scale in &mut block[..16] {
                    // The minimum's factor is the scale's.
                    *scale = (*scale & 0x0f) * 0x11;
                }
                put(block, 80, scale, minimum);
            }
            DType::Q4_K | DType::Q5_K => {
                twin_scales(block);
                put(block, 0, scale, minimum);
            }
            DType::Q3_K => put_signed(block, 108, scale),
            DType::Q6_K => put_signed(block, 208, scale),
            _ => put_signed(block, 0, scale),
        }
    }
}

/// What makes a type's minimum of its scale, so that the values lie about zero. The oldest types add it, the others
/// subtract it.
fn centre(dtype: DType) -> f32 {
    match dtype {
        DType::Q4_1 => -7.5,
        DType::Q5_1 => -15.5,
        DType::Q2_K => 1.5,
        DType::Q4_K => 7.5,
        DType::Q5_K => 15.5,
        _ => 0.0,
    }
}

/// The standard deviation of a block type's values under a scale of one, its bits being random.
fn unit(dtype: DType) -> f32 {
    // For `n` equally likely neighbouring integers, the variance is `(n^2 - 1) / 12`; where they run from `-n/2` to
    // `n/2 - 1`, the mean square is 1/4 more. Factors that are independent multiply their mean squares.
    let variance = |n: f32| (n * n - 1.0) / 12.0;
    let square = |n: f32| variance(n) + 0.25;
    // Scales of 4 and 6 bits without sign.
    let scale = |n: f32| variance(n) + (n - 1.0) * (n - 1.0) / 4.0;
    let mean_square = match dtype {
        DType::Q4_0 => square(16.0),
        DType::Q4_1 => variance(16.0),
        DType::Q5_0 => square(32.0),
        DType::Q5_1 => variance(32.0),
        DType::Q8_0 => square(256.0),
        DType::Q2_K => scale(16.0) * variance(4.0),
        DType::Q3_K => square(64.0) * square(8.0),
        DType::Q4_K => scale(64.0) * variance(16.0),
        DType::Q5_K => scale(64.0) * variance(32.0),
        DType::Q6_K => square(256.0) * square(64.0),
        DType::IQ4_NL => IQ4_SQUARE,
        DType::IQ4_XS => square(64.0) * IQ4_SQUARE,
        _ => 1.0,
    };
    mean_square.sqrt()
}

/// The mean square of the sixteen values of the IQ4 types.
const IQ4_SQUARE: f32 = 4548.0;

/// Writes a scale, an f16, at `at`, under the sign that is there.
fn put_signed(block: &mut [u8], at: usize, [low, high]: [u8; 2]) {
    block[at] = low;
    block[at + 1] = high | (block[at + 1] & 0x80);
}

/// Writes a scale and a minimum, both f16, at `at`.
fn put(block: &mut [u8], at: usize, scale: [u8; 2], minimum: [u8; 2]) {
    block[at..at + 2].copy_from_slice(&scale);
    block[at + 2..at + 4].copy_from_slice(&minimum);
}

/// Makes each of a K block's eight 6-bit minima equal to its scale.
///
/// Bytes 4 to 16 hold both: four scales and the high bits of four more, four minima likewise, and then the low bits
/// of the later scales and minima side by side.
fn twin_scales(block: &mut [u8]) {
    block.copy_within(4..8, 8);
    for byte in &mut block[12..16] {
        *byte = (*byte & 0x0f) * 0x11;
    }
}

/// The mean square of the values of a 4-bit float with two exponent bits: 0, 1/2, 1, 3/2, 2, 3, 4 and 6.
const FP4_SQUARE: f64 = 68.5 / 8.0;

/// Scales of MXFP4 are powers of two: the two nearest are mixed so that the mean square is right.
fn mxfp4(std: f32, bits: &mut Bits, out: &mut [u8]) {
    let wanted = f64::from(std) * f64::from(std) / FP4_SQUARE;
    // The square of the scale 2^(exponent - 127).
    let (mut exponent, mut square) = (0u8, 2f64.powi(-254));
    while exponent < 253 && square * 4.0 <= wanted {
        (exponent, square) = (exponent + 1, square * 4.0);
    }
    let share_of_larger = ((wanted / square - 1.0) / 3.0).clamp(0.0, 1.0);
    let threshold = (share_of_larger * 256.0) as u64;
    for block in out.chunks_exact_mut(DType::MXFP4.block_bytes()) {
        block[0] = exponent + u8::from(bits.next() % 256 < threshold);
    }
}

/// The mean square of the codes of an 8-bit float of four exponent bits, those that are no numbers taken for the largest.
const E4M3_SQUARE: f32 = 11_501.333;

/// Codes stay as they are but for those that are no numbers, which no file may have.
fn f8_e4m3(std: f32, out: &mut [u8]) {
    let scale = std / E4M3_SQUARE.sqrt();
    for block in out.chunks_exact_mut(DType::F8_E4M3.block_bytes()) {
        let (head, codes) = block.split_at_mut(4);
        head.copy_from_slice(&scale.to_le_bytes());
        codes.iter_mut().filter(|code| e4m3_is_nan(**code)).for_each(|code| *code ^= 1);
    }
}
