//! The emulator's NEFF: the header that AWS documents, and behind it a module where theirs has an archive.
//!
//! Fields of the header: `u64` package version, header size, data size, major and minor version; 128 bytes of build
//! version; `u32` cores; 32 bytes of hash; 16 of identity; 256 of name; `u32` requested cores; 64 bytes of cores per
//! node; `u64` features; `u32` size of a logical core; zeros up to 1024 bytes.

use crate::abi::{Code, INVALID, UNSUPPORTED_NEFF_VERSION};
use crate::settings::Chip;

/// Bytes of the header.
const HEADER: usize = 1024;
/// What stands in front of the module.
const MAGIC: &[u8; 16] = b"polysilicon-hlo\n";
/// The version of the container.
const VERSION: u64 = 2;

/// Where fields stand.
mod at {
    pub const PACKAGE: usize = 0;
    pub const HEADER_SIZE: usize = 8;
    pub const DATA_SIZE: usize = 16;
    pub const MAJOR: usize = 24;
    pub const BUILD: usize = 40;
    pub const CORES: usize = 168;
    pub const HASH: usize = 172;
    pub const NAME: usize = 220;
    pub const REQUESTED: usize = 476;
    pub const LOGICAL: usize = 552;
}

/// What a NEFF of the emulator says.
#[derive(Clone, Debug, PartialEq)]
pub struct Neff {
    /// The chips it was compiled for.
    pub chip: Chip,
    /// Cores in the logical core it was compiled for.
    pub logical: u32,
    /// An `HloModuleProto`.
    pub module: Vec<u8>,
}

impl Neff {
    /// The file.
    pub fn encode(&self, name: &str) -> Vec<u8> {
        let mut data = MAGIC.to_vec();
        data.extend(field::<8>(self.chip.facts().name));
        data.extend(&self.module);
        let mut file = vec![0; HEADER];
        let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
        put(at::PACKAGE, &VERSION.to_le_bytes());
        put(at::HEADER_SIZE, &(HEADER as u64).to_le_bytes());
        put(at::DATA_SIZE, &(data.len() as u64).to_le_bytes());
        put(at::MAJOR, &VERSION.to_le_bytes());
        put(at::BUILD, &field::<128>(concat!("polysilicon emulator ", env!("CARGO_PKG_VERSION"))));
        put(at::CORES, &1u32.to_le_bytes());
        put(at::HASH, &hash(&data));
        put(at::NAME, &field::<256>(name));
        put(at::REQUESTED, &1u32.to_le_bytes());
        put(at::LOGICAL, &self.logical.to_le_bytes());
        file.extend(data);
        file
    }

    /// What a file says: `NRT_INVALID` where it is none, `NRT_UNSUPPORTED_NEFF_VERSION` where it is one of another
    /// kind, real ones included.
    pub fn decode(file: &[u8]) -> Result<Neff, Code> {
        let word =
            |at: usize| file.get(at..at + 8).map(|b| u64::from_le_bytes(b.try_into().expect("8 bytes")));
        let half =
            |at: usize| file.get(at..at + 4).map(|b| u32::from_le_bytes(b.try_into().expect("4 bytes")));
        if word(at::HEADER_SIZE) != Some(HEADER as u64) || file.len() < HEADER {
            return Err(INVALID);
        }
        let data = &file[HEADER..];
        if word(at::DATA_SIZE) != Some(data.len() as u64) {
            return Err(INVALID);
        }
        let Some(rest) = data.strip_prefix(MAGIC) else { return Err(UNSUPPORTED_NEFF_VERSION) };
        if word(at::MAJOR) != Some(VERSION) {
            return Err(UNSUPPORTED_NEFF_VERSION);
        }
        if file[at::HASH..][..32] != hash(data) {
            return Err(INVALID);
        }
        let (chip, module) = rest.split_at_checked(8).ok_or(INVALID)?;
        let chip = std::str::from_utf8(chip).map_err(|_| INVALID)?;
        let chip = Chip::of_name(chip.trim_end_matches('\0')).ok_or(UNSUPPORTED_NEFF_VERSION)?;
        let logical = half(at::LOGICAL).ok_or(INVALID)?;
        Ok(Neff { chip, logical, module: module.to_vec() })
    }
}

fn field<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [0; N];
    let len = text.len().min(N - 1);
    field[..len].copy_from_slice(&text.as_bytes()[..len]);
    field
}

/// Enough to notice damage: FNV-1a from four beginnings.
fn hash(data: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (seed, out) in hash.chunks_exact_mut(8).enumerate() {
        let start = 0xcbf2_9ce4_8422_2325 ^ seed as u64;
        let folded =
            data.iter().fold(start, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        out.copy_from_slice(&folded.to_le_bytes());
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neff() -> Neff {
        Neff { chip: Chip::Trn2, logical: 2, module: b"module".to_vec() }
    }

    #[test]
    fn files_read_back() {
        let file = neff().encode("step");
        assert_eq!(Neff::decode(&file), Ok(neff()));
        assert_eq!(&file[at::NAME..][..5], b"step\0");
        assert_eq!(file[at::LOGICAL], 2);
    }

    #[test]
    fn what_is_damaged_or_of_another_kind_is_refused() {
        let good = neff().encode("step");
        for at in [8, 16, at::HASH, HEADER + 29] {
            let mut file = good.clone();
            file[at] ^= 1;
            assert_eq!(Neff::decode(&file), Err(INVALID), "byte {at}");
        }
        for at in [at::MAJOR, HEADER] {
            let mut file = good.clone();
            file[at] ^= 1;
            assert_eq!(Neff::decode(&file), Err(UNSUPPORTED_NEFF_VERSION), "byte {at}");
        }
        assert!((0..good.len()).all(|len| Neff::decode(&good[..len]).is_err()));
    }
}
