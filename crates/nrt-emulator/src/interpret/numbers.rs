//! Elements as numbers: f32 for all that have a fraction, i64 for all others.

use std::borrow::Cow;
use std::sync::OnceLock;

use half::{bf16, f16};
use hlo::{Element, Shape};

use super::value::Value;

/// The elements of a floating-point array.
pub fn floats(value: &Value) -> Cow<'_, [f32]> {
    let bytes = value.bytes();
    match value.shape.element {
        Element::F32 => match value.view() {
            Some(view) => Cow::Borrowed(view),
            None => words(bytes).map(f32::from_le_bytes).collect(),
        },
        Element::BF16 => words(bytes).map(|pair| bf16::from_le_bytes(pair).to_f32()).collect(),
        Element::F16 => words(bytes).map(|pair| f16::from_le_bytes(pair).to_f32()).collect(),
        element => {
            let table = &Eight::of(element).values;
            bytes.iter().map(|&code| table[usize::from(code)]).collect()
        }
    }
}

/// An array of these numbers, each rounded to the nearest that the type has, ties to even.
pub fn of_floats(shape: Shape, values: &[f32]) -> Value {
    let mut value = Value::zeroed(shape);
    let element = value.shape.element;
    let bytes = value.bytes_mut();
    match element {
        Element::F32 => put(bytes, values, |x| x.to_le_bytes()),
        Element::BF16 => put(bytes, values, |x| bf16::from_f32(x).to_le_bytes()),
        Element::F16 => put(bytes, values, |x| f16::from_f32(x).to_le_bytes()),
        element => {
            let eight = Eight::of(element);
            put(bytes, values, |x| [eight.code(x)]);
        }
    }
    value
}

/// The elements of an array of whole numbers; true is 1.
pub fn whole(value: &Value) -> Vec<i64> {
    let bytes = value.bytes();
    match value.shape.element {
        Element::S32 => words(bytes).map(|word| i32::from_le_bytes(word).into()).collect(),
        Element::U32 => words(bytes).map(|word| u32::from_le_bytes(word).into()).collect(),
        Element::S8 => bytes.iter().map(|&byte| (byte as i8).into()).collect(),
        _ => bytes.iter().map(|&byte| byte.into()).collect(),
    }
}

/// An array of these numbers, each cut to the bits that the type has.
pub fn of_whole(shape: Shape, values: &[i64]) -> Value {
    let mut value = Value::zeroed(shape);
    let element = value.shape.element;
    let bytes = value.bytes_mut();
    match element {
        Element::S32 | Element::U32 => put(bytes, values, |x| (x as u32).to_le_bytes()),
        Element::Pred => put(bytes, values, |x| [u8::from(x != 0)]),
        _ => put(bytes, values, |x| [x as u8]),
    }
    value
}

/// The least and the greatest number of a type without fraction.
pub fn bounds(element: Element) -> (i64, i64) {
    match element {
        Element::S32 => (i32::MIN.into(), i32::MAX.into()),
        Element::U32 => (0, u32::MAX.into()),
        Element::S8 => (i8::MIN.into(), i8::MAX.into()),
        Element::U8 => (0, u8::MAX.into()),
        _ => (0, 1),
    }
}

fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|word| word.try_into().expect("chunks are of this length"))
}

fn put<T: Copy, const N: usize>(bytes: &mut [u8], values: &[T], encode: impl Fn(T) -> [u8; N]) {
    for (to, &value) in bytes.chunks_exact_mut(N).zip(values) {
        to.copy_from_slice(&encode(value));
    }
}

/// A type of eight bits, as the table of its values.
struct Eight {
    values: [f32; 256],
    /// The code of the greatest finite number.
    greatest: u8,
    /// What numbers beyond it become.
    beyond: u8,
}

impl Eight {
    fn of(element: Element) -> &'static Eight {
        static TABLES: OnceLock<[Eight; 3]> = OnceLock::new();
        let tables = TABLES.get_or_init(|| {
            let (e4m3, e4m3fn, e5m2) =
                (Eight::new(3, 7, 0x77, 0x78), Eight::new(3, 7, 0x7e, 0x7f), Eight::new(2, 15, 0x7b, 0x7c));
            [e4m3, e4m3fn, e5m2]
        });
        match element {
            Element::F8E4M3 => &tables[0],
            Element::F8E4M3FN => &tables[1],
            _ => &tables[2],
        }
    }

    /// A type with so many bits of mantissa and this bias. Behind the code `beyond` come values that are not numbers.
    fn new(mantissa: u32, bias: i32, greatest: u8, beyond: u8) -> Eight {
        let value = |code: u8| {
            let (sign, code) = (if code & 0x80 == 0 { 1.0 } else { -1.0 }, code & 0x7f);
            let (exponent, fraction) = (i32::from(code >> mantissa), f32::from(code & ((1 << mantissa) - 1)));
            let scale = (1u32 << mantissa) as f32;
            sign * match code {
                _ if code > greatest && code == beyond && beyond != 0x7f => f32::INFINITY,
                _ if code > greatest => f32::NAN,
                _ if exponent == 0 => fraction / scale * 2f32.powi(1 - bias),
                _ => (1.0 + fraction / scale) * 2f32.powi(exponent - bias),
            }
        };
        Eight { values: std::array::from_fn(|code| value(code as u8)), greatest, beyond }
    }

    fn code(&self, x: f32) -> u8 {
        let (sign, size) = (if x.is_sign_negative() { 0x80 } else { 0 }, x.abs());
        if x.is_nan() {
            return sign | 0x7f;
        }
        let finite = &self.values[..=usize::from(self.greatest)];
        let above = finite.partition_point(|&value| value < size);
        if above == finite.len() {
            // Halfway to the number that would come next, which an even code has, is beyond.
            let step = finite[above - 1] - finite[above - 2];
            let within = size < finite[above - 1] + step / 2.0
                || (size == finite[above - 1] + step / 2.0 && self.greatest.is_multiple_of(2));
            return sign | if within { self.greatest } else { self.beyond };
        }
        if above == 0 || finite[above] == size {
            return sign | above as u8;
        }
        let (down, up) = (size - finite[above - 1], finite[above] - size);
        let below = down < up || (down == up && (above - 1).is_multiple_of(2));
        sign | (if below { above - 1 } else { above }) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(element: Element, x: f32) -> f32 {
        floats(&of_floats(Shape::scalar(element), &[x]))[0]
    }

    #[test]
    fn eight_bits_reach_as_far_as_documented() {
        assert_eq!((round(Element::F8E4M3, 240.0), round(Element::F8E4M3, 250.0)), (240.0, f32::INFINITY));
        assert_eq!(round(Element::F8E4M3FN, 448.0), 448.0);
        assert_eq!(round(Element::F8E4M3FN, 464.0), 448.0);
        assert!(round(Element::F8E4M3FN, 470.0).is_nan());
        assert_eq!(
            (round(Element::F8E5M2, 57344.0), round(Element::F8E5M2, -1e9)),
            (57344.0, f32::NEG_INFINITY)
        );
        assert_eq!(round(Element::F8E4M3, 2f32.powi(-9)), 2f32.powi(-9));
        assert!(round(Element::F8E4M3, f32::NAN).is_nan());
    }

    #[test]
    fn halves_go_to_even() {
        assert_eq!((round(Element::F8E4M3, 17.0), round(Element::F8E4M3, 19.0)), (16.0, 20.0));
        assert_eq!(round(Element::F8E4M3, -17.0), -16.0);
        assert_eq!((round(Element::BF16, 257.0), round(Element::BF16, 259.0)), (256.0, 260.0));
    }

    #[test]
    fn e5m2_is_the_upper_half_of_f16() {
        let eight = Eight::of(Element::F8E5M2);
        for code in 0..=255u8 {
            let (ours, half) =
                (eight.values[usize::from(code)], f16::from_bits(u16::from(code) << 8).to_f32());
            assert!(ours == half || (ours.is_nan() && half.is_nan()), "{code:#x}");
            assert!(ours.is_nan() || eight.code(ours) == code, "{code:#x}");
        }
    }

    #[test]
    fn whole_numbers_wrap() {
        let wrap = |element, x| whole(&of_whole(Shape::scalar(element), &[x]))[0];
        assert_eq!((wrap(Element::U8, 257), wrap(Element::S8, 128)), (1, -128));
        assert_eq!((wrap(Element::S32, 1 << 31), wrap(Element::U32, -1)), (-(1 << 31), u32::MAX.into()));
        assert_eq!(wrap(Element::Pred, 2), 1);
    }
}
