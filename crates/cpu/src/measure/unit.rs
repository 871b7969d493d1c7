//! What multiplies.

use std::fmt;
use std::str::FromStr;

/// What multiplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Vectors of f32, fused.
    F32,
    /// Vectors of bf16 pairs summed in f32. No kernel uses them: on many chips f32 is faster.
    Bf16,
    /// Vectors of bytes summed in i32.
    Int8,
    /// Tiles of bf16.
    Bf16Tiles,
    /// Tiles of bytes.
    Int8Tiles,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 5] = [Unit::F32, Unit::Bf16, Unit::Int8, Unit::Bf16Tiles, Unit::Int8Tiles];

    /// Its name, `int8_tiles`.
    pub fn name(self) -> &'static str {
        match self {
            Unit::F32 => "f32",
            Unit::Bf16 => "bf16",
            Unit::Int8 => "int8",
            Unit::Bf16Tiles => "bf16_tiles",
            Unit::Int8Tiles => "int8_tiles",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Unit {
    type Err = ();

    fn from_str(word: &str) -> Result<Unit, ()> {
        Unit::ALL.into_iter().find(|unit| unit.name() == word).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_named_as_they_are_printed() {
        for unit in Unit::ALL {
            assert_eq!(unit.to_string().parse(), Ok(unit));
        }
    }
}
