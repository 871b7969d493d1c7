//! The header: JSON read as a stream, so that it costs what it says and no more, and refused at the first thing that
//! does not belong there.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::{self, BufReader, Read};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use tensor::{File, MAX_AXES};

use crate::error::FileError;
use crate::limits;
use crate::magic::Foreign;

/// What the header says about one tensor.
pub(super) struct Claim {
    pub dtype: String,
    pub shape: Vec<u64>,
    /// First byte and the byte after the last, counted from the start of the data.
    pub offsets: (u64, u64),
}

/// Reads the header: the tensors by name, and where the data starts.
pub(super) fn read(name: &str, file: &File) -> Result<(HashMap<String, Claim>, u64), FileError> {
    let end = 8 + length(name, file)?;
    let tensors = parse(name, file, 8, end, TensorsVisitor)?;
    Ok((tensors, end))
}

/// The length of the header, once it is known to be one.
fn length(name: &str, file: &File) -> Result<u64, FileError> {
    let damaged = |offset, reason: String| match Foreign::of(file) {
        Some(foreign) if foreign != Foreign::SafeTensors => {
            FileError::Foreign { file: name.to_owned(), wanted: "safetensors", foreign }
        }
        _ => FileError::Damaged { file: name.to_owned(), offset, reason },
    };
    let mut head = [0; 9];
    if file.len() < head.len() as u64 {
        return Err(damaged(0, format!("a safetensors file is longer than its {} bytes", file.len())));
    }
    file.read_at(0, &mut head).map_err(|error| FileError::Read {
        file: name.to_owned(),
        offset: 0,
        error,
    })?;
    let [length @ .., first] = head;
    let length = u64::from_le_bytes(length);
    if length > limits::HEADER_BYTES {
        let most = limits::HEADER_BYTES;
        return Err(damaged(
            0,
            format!("it claims a header of {length} bytes, where the format allows {most}"),
        ));
    }
    if length > file.len() - 8 {
        let left = file.len() - 8;
        return Err(damaged(
            0,
            format!("it claims a header of {length} bytes, but only {left} bytes follow"),
        ));
    }
    if first != b'{' {
        return Err(damaged(8, "its header does not start with `{`".to_owned()));
    }
    Ok(length)
}

/// Reads bytes `start..end` as one JSON value, and nothing after it.
pub(super) fn parse<'de, S: DeserializeSeed<'de>>(
    name: &str,
    file: &File,
    start: u64,
    end: u64,
    seed: S,
) -> Result<S::Value, FileError> {
    let section = BufReader::with_capacity(1 << 16, Section { file, at: start, end });
    let mut json = serde_json::Deserializer::from_reader(section);
    let value = seed.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    value.map_err(|error| match error.io_error_kind() {
        Some(kind) => FileError::Read { file: name.to_owned(), offset: start, error: kind.into() },
        None => FileError::Damaged {
            file: name.to_owned(),
            offset: start,
            reason: format!("its JSON is refused: {error}"),
        },
    })
}

/// Part of a file as a stream.
struct Section<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Section<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(out.len());
        self.file.read_at(self.at, &mut out[..len])?;
        self.at += len as u64;
        Ok(len)
    }
}

/// Names and claims, each name once.
struct TensorsVisitor;

impl<'de> DeserializeSeed<'de> for TensorsVisitor {
    type Value = HashMap<String, Claim>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for TensorsVisitor {
    type Value = HashMap<String, Claim>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut tensors = HashMap::new();
        let mut noted = false;
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if std::mem::replace(&mut noted, true) {
                    return Err(A::Error::custom("`__metadata__` appears twice"));
                }
                map.next_value_seed(NotesVisitor)?;
                continue;
            }
            if name.len() as u64 > limits::NAME_BYTES {
                return Err(A::Error::custom(format!("a tensor's name has {} bytes", name.len())));
            }
            if tensors.len() as u64 == limits::TENSORS {
                return Err(A::Error::custom(format!("there are more than {} tensors", limits::TENSORS)));
            }
            let claim = map.next_value_seed(ClaimVisitor { tensor: &name })?;
            if tensors.contains_key(&name) {
                return Err(A::Error::custom(format!("tensor `{name}` appears twice")));
            }
            tensors.insert(name, claim);
        }
        Ok(tensors)
    }
}

/// `__metadata__`: strings by name, of no consequence here, but held to the format.
struct NotesVisitor;

impl<'de> DeserializeSeed<'de> for NotesVisitor {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for NotesVisitor {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some((key, _)) = map.next_entry::<String, String>()? {
            if seen.len() == limits::HEADER_NOTES {
                return Err(A::Error::custom("`__metadata__` has too many entries"));
            }
            if !seen.insert(key) {
                return Err(A::Error::custom("`__metadata__` has a key twice"));
            }
        }
        Ok(())
    }
}

/// One tensor's `dtype`, `shape` and `data_offsets`, each once and nothing else.
struct ClaimVisitor<'a> {
    tensor: &'a str,
}

impl<'de> DeserializeSeed<'de> for ClaimVisitor<'_> {
    type Value = Claim;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Claim, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ClaimVisitor<'_> {
    type Value = Claim;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with dtype, shape and data_offsets for tensor `{}`", self.tensor)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claim, A::Error> {
        let (mut dtype, mut shape, mut offsets) = (None, None, None);
        while let Some(field) = map.next_key::<String>()? {
            let twice = match field.as_str() {
                "dtype" => dtype.replace(map.next_value::<String>()?).is_some(),
                "shape" => shape.replace(map.next_value_seed(AxesVisitor)?).is_some(),
                "data_offsets" => offsets.replace(map.next_value::<(u64, u64)>()?).is_some(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    return Err(A::Error::custom(format!("tensor `{}` has an unknown field", self.tensor)));
                }
            };
            if twice {
                return Err(A::Error::custom(format!("tensor `{}` has its {field} twice", self.tensor)));
            }
        }
        match (dtype, shape, offsets) {
            (Some(dtype), Some(shape), Some(offsets)) => Ok(Claim { dtype, shape, offsets }),
            _ => {
                Err(A::Error::custom(format!("tensor `{}` lacks dtype, shape or data_offsets", self.tensor)))
            }
        }
    }
}

/// A shape of at most as many axes as a tensor may have.
struct AxesVisitor;

impl<'de> DeserializeSeed<'de> for AxesVisitor {
    type Value = Vec<u64>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Vec<u64>, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for AxesVisitor {
    type Value = Vec<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list of at most {MAX_AXES} lengths")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<u64>, A::Error> {
        let mut axes = Vec::new();
        while let Some(axis) = list.next_element::<u64>()? {
            if axes.len() == MAX_AXES {
                return Err(A::Error::invalid_length(axes.len() + 1, &self));
            }
            axes.push(axis);
        }
        Ok(axes)
    }
}
