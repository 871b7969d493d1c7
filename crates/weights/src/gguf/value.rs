//! Values of GGUF metadata. A vocabulary has hundreds of thousands of strings, so an array is one block of memory.

use super::cursor::Cursor;
use crate::error::FileError;

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the names are the format's own types")]
#[non_exhaustive]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    Str(Box<str>),
    Array(Array),
}

/// Values of one type: numbers as the file's own bytes, strings as one text with the places where each ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// The format's number for the type.
    pub(super) kind: u32,
    pub(super) items: Items,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Items {
    Fixed { bytes: Vec<u8>, width: usize },
    Strings { text: String, ends: Vec<u32> },
}

/// The format's numbers for types that are not like the others.
const BOOL: u32 = 7;
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;

/// Bytes of a value of a type of fixed size.
fn width(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}

/// What the format calls a type.
pub(super) fn kind_name(kind: u32) -> &'static str {
    const NAMES: [&str; 13] =
        ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"];
    NAMES.get(kind as usize).copied().unwrap_or("unknown")
}

impl Value {
    /// The format's number for the value's type.
    pub(super) fn kind(&self) -> u32 {
        match self {
            Value::U8(_) => 0,
            Value::I8(_) => 1,
            Value::U16(_) => 2,
            Value::I16(_) => 3,
            Value::U32(_) => 4,
            Value::I32(_) => 5,
            Value::F32(_) => 6,
            Value::Bool(_) => BOOL,
            Value::Str(_) => STRING,
            Value::Array(_) => ARRAY,
            Value::U64(_) => 10,
            Value::I64(_) => 11,
            Value::F64(_) => 12,
        }
    }

    /// What the type is called: `u32`, `array of string`, ...
    pub fn type_name(&self) -> String {
        match self {
            Value::Array(array) => format!("array of {}", kind_name(array.kind)),
            other => kind_name(other.kind()).to_owned(),
        }
    }

    /// The value as an integer, whatever the width it was written in.
    pub fn as_integer(&self) -> Option<i128> {
        match *self {
            Value::U8(v) => Some(v.into()),
            Value::I8(v) => Some(v.into()),
            Value::U16(v) => Some(v.into()),
            Value::I16(v) => Some(v.into()),
            Value::U32(v) => Some(v.into()),
            Value::I32(v) => Some(v.into()),
            Value::U64(v) => Some(v.into()),
            Value::I64(v) => Some(v.into()),
            _ => None,
        }
    }

    /// The value as a float, whatever the width it was written in.
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Value::F32(v) => Some(v.into()),
            Value::F64(v) => Some(v),
            _ => None,
        }
    }

    /// Reads a type and a value of at most `most` bytes.
    pub(super) fn read(cursor: &mut Cursor<'_>, most: u64) -> Result<Value, FileError> {
        let at = cursor.at();
        let kind = cursor.u32()?;
        match kind {
            STRING => cursor.string(most).map(|text| Value::Str(text.into_boxed_str())),
            ARRAY => Array::read(cursor, most).map(Value::Array),
            _ => {
                let Some(width) = width(kind) else {
                    return Err(cursor.damaged_at(
                        at,
                        &format!("has the type number {kind}, which is none of the format's"),
                    ));
                };
                let bytes = cursor.bytes(width as u64)?;
                let value = Value::of(kind, &bytes);
                value.ok_or_else(|| cursor.damaged_at(at, "is a bool that is neither 0 nor 1"))
            }
        }
    }

    /// A value of fixed size from its bytes; `None` for a bool that is neither true nor false.
    pub(super) fn of(kind: u32, bytes: &[u8]) -> Option<Value> {
        let mut wide = [0; 8];
        wide[..bytes.len()].copy_from_slice(bytes);
        let bits = u64::from_le_bytes(wide);
        Some(match kind {
            0 => Value::U8(bits as u8),
            1 => Value::I8(bits as i8),
            2 => Value::U16(bits as u16),
            3 => Value::I16(bits as i16),
            4 => Value::U32(bits as u32),
            5 => Value::I32(bits as i32),
            6 => Value::F32(f32::from_bits(bits as u32)),
            7 => Value::Bool(match bits {
                0 => false,
                1 => true,
                _ => return None,
            }),
            10 => Value::U64(bits),
            11 => Value::I64(bits as i64),
            12 => Value::F64(f64::from_bits(bits)),
            _ => return None,
        })
    }

    /// Appends type and value as the format writes them.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.kind().to_le_bytes());
        match self {
            Value::U8(v) => out.extend(v.to_le_bytes()),
            Value::I8(v) => out.extend(v.to_le_bytes()),
            Value::U16(v) => out.extend(v.to_le_bytes()),
            Value::I16(v) => out.extend(v.to_le_bytes()),
            Value::U32(v) => out.extend(v.to_le_bytes()),
            Value::I32(v) => out.extend(v.to_le_bytes()),
            Value::U64(v) => out.extend(v.to_le_bytes()),
            Value::I64(v) => out.extend(v.to_le_bytes()),
            Value::F32(v) => out.extend(v.to_le_bytes()),
            Value::F64(v) => out.extend(v.to_le_bytes()),
            Value::Bool(v) => out.push(u8::from(*v)),
            Value::Str(v) => write_str(v, out),
            Value::Array(array) => {
                out.extend(array.kind.to_le_bytes());
                out.extend((array.len() as u64).to_le_bytes());
                match &array.items {
                    Items::Fixed { bytes, .. } => out.extend(bytes),
                    Items::Strings { .. } => {
                        array.strs().into_iter().flatten().for_each(|s| write_str(s, out))
                    }
                }
            }
        }
    }
}

pub(super) fn write_str(text: &str, out: &mut Vec<u8>) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Array {
    /// The number of values.
    pub fn len(&self) -> usize {
        match &self.items {
            Items::Fixed { bytes, width } => bytes.len() / width,
            Items::Strings { ends, .. } => ends.len(),
        }
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The strings, if it is an array of strings.
    pub fn strs(&self) -> Option<Strs<'_>> {
        match &self.items {
            Items::Strings { text, ends } => Some(Strs { text, ends, start: 0 }),
            Items::Fixed { .. } => None,
        }
    }

    /// The values, if they are numbers or bools.
    pub fn values(&self) -> Option<impl Iterator<Item = Value> + '_> {
        match &self.items {
            Items::Fixed { bytes, width } => {
                Some(bytes.chunks_exact(*width).filter_map(|value| Value::of(self.kind, value)))
            }
            Items::Strings { .. } => None,
        }
    }

    fn read(cursor: &mut Cursor<'_>, most: u64) -> Result<Array, FileError> {
        let at = cursor.at();
        let kind = cursor.u32()?;
        let count = cursor.u64()?;
        let least = match (kind, width(kind)) {
            (STRING, _) => 8,
            (ARRAY, _) => return Err(cursor.damaged_at(at, "is an array of arrays, which no tool writes")),
            (_, Some(width)) => width,
            (_, None) => {
                return Err(cursor.damaged_at(at, &format!("is an array of the unknown type number {kind}")));
            }
        };
        let left = cursor.remaining().min(most);
        let Some(bytes) = count.checked_mul(least as u64).filter(|&bytes| bytes <= left) else {
            return Err(cursor.damaged_at(
                at,
                &format!(
                    "claims an array of {count} {}, where {left} bytes are left for it",
                    kind_name(kind)
                ),
            ));
        };
        if kind == STRING {
            return Array::read_strings(cursor, count, most);
        }
        let bytes = cursor.bytes(bytes)?;
        if kind == BOOL && bytes.iter().any(|&byte| byte > 1) {
            return Err(cursor.damaged_at(at, "has a bool that is neither 0 nor 1"));
        }
        Ok(Array { kind, items: Items::Fixed { bytes, width: least } })
    }

    fn read_strings(cursor: &mut Cursor<'_>, count: u64, most: u64) -> Result<Array, FileError> {
        let start = cursor.at();
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        if ends.try_reserve_exact(usize::try_from(count).unwrap_or(usize::MAX)).is_err() {
            return Err(
                cursor.damaged(&format!("claims {count} strings, which this machine's memory does not hold"))
            );
        }
        for number in 0..count {
            let at = cursor.at();
            let len = cursor.u64()?;
            if len > most.saturating_sub(at - start) {
                return Err(cursor
                    .damaged_at(at, &format!("has a string {number} of {len} bytes, more than is allowed")));
            }
            let begin = text.len();
            cursor.append(len, &mut text)?;
            if std::str::from_utf8(&text[begin..]).is_err() {
                return Err(cursor.damaged_at(at, &format!("has a string {number} that is not UTF-8")));
            }
            ends.push(u32::try_from(text.len()).expect("metadata is bounded far below 4 GiB"));
        }
        let text = String::from_utf8(text).expect("each string was checked, and so is their sequence");
        Ok(Array { kind: STRING, items: Items::Strings { text, ends } })
    }
}

/// The strings of an array, in order.
#[derive(Clone, Debug)]
pub struct Strs<'a> {
    text: &'a str,
    ends: &'a [u32],
    start: usize,
}

impl<'a> Iterator for Strs<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (&end, rest) = self.ends.split_first()?;
        let text = &self.text[self.start..end as usize];
        (self.ends, self.start) = (rest, end as usize);
        Some(text)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.ends.len(), Some(self.ends.len()))
    }
}

impl ExactSizeIterator for Strs<'_> {}

impl<'a> FromIterator<&'a str> for Array {
    /// # Panics
    /// Where the strings together take 4 GiB or more.
    fn from_iter<I: IntoIterator<Item = &'a str>>(strings: I) -> Array {
        let (mut text, mut ends) = (String::new(), Vec::new());
        for string in strings {
            text.push_str(string);
            ends.push(u32::try_from(text.len()).expect("the strings of an array take less than 4 GiB"));
        }
        Array { kind: STRING, items: Items::Strings { text, ends } }
    }
}

/// Arrays of numbers from slices, and values from what they hold.
macro_rules! from_numbers {
    ($($number:ty, $kind:literal, $variant:ident;)*) => {$(
        impl From<&[$number]> for Array {
            fn from(values: &[$number]) -> Array {
                let bytes = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                Array { kind: $kind, items: Items::Fixed { bytes, width: size_of::<$number>() } }
            }
        }

        impl From<$number> for Value {
            fn from(value: $number) -> Value {
                Value::$variant(value)
            }
        }
    )*};
}

from_numbers! {
    u8, 0, U8;
    i8, 1, I8;
    u16, 2, U16;
    i16, 3, I16;
    u32, 4, U32;
    i32, 5, I32;
    f32, 6, F32;
    u64, 10, U64;
    i64, 11, I64;
    f64, 12, F64;
}

impl From<&[bool]> for Array {
    fn from(values: &[bool]) -> Array {
        Array {
            kind: BOOL,
            items: Items::Fixed { bytes: values.iter().map(|&b| u8::from(b)).collect(), width: 1 },
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Str(value.into())
    }
}

impl From<Array> for Value {
    fn from(value: Array) -> Value {
        Value::Array(value)
    }
}
