//! The header of a NEFF, the file that Neuron cores run: what can be known of a program without libnrt.
//!
//! Fields (the SDK's page on working with NEFF files): `u64` package version, header size, data size, major and minor
//! version; 128 bytes of build version; `u32` cores; 32 bytes of hash; 16 of identity; 256 of name; `u32` requested
//! cores; 64 bytes of cores per node; `u64` features; `u32` size of a logical core; zeros up to 1024 bytes.

use std::io::Read;
use std::path::Path;

/// Bytes of the header.
pub const HEADER_BYTES: usize = 1024;

/// What a NEFF says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neff {
    /// Version of the format, major and minor.
    pub version: [u64; 2],
    /// The compiler's own words on its version.
    pub build: String,
    /// What the program is called.
    pub name: String,
    /// A hash over what follows the header, as the compiler made it.
    pub hash: [u8; 32],
    /// Physical cores in the logical core it was compiled for.
    pub logical: u32,
}

/// Why a file is no NEFF, or not a whole one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NeffError {
    /// Shorter than a header.
    #[error("it has {bytes} bytes, and the header of a NEFF alone has {HEADER_BYTES}")]
    Short {
        /// Bytes it has.
        bytes: usize,
    },
    /// The header says another size of itself.
    #[error("its header says that it has {said} bytes where a NEFF's has {HEADER_BYTES}: it is no NEFF")]
    Header {
        /// What it says.
        said: u64,
    },
    /// What follows the header is shorter or longer than it says.
    #[error("{found} bytes follow its header, which says {said}: it was cut, or written to since")]
    Data {
        /// What it says.
        said: u64,
        /// What there is.
        found: u64,
    },
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Io(String),
}

impl Neff {
    /// What the header of a file's bytes says; `file_bytes` are all there are.
    pub fn parse(header: &[u8], file_bytes: u64) -> Result<Neff, NeffError> {
        let short = || NeffError::Short { bytes: header.len() };
        let field = |at: usize, len: usize| header.get(at..at + len).ok_or_else(short);
        let word = |at: usize| {
            field(at, 8).map(|b| u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]))
        };
        let text = |at: usize, len: usize| {
            let bytes = field(at, len)?;
            let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(len);
            Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
        };
        field(0, HEADER_BYTES)?;
        let said = word(8)?;
        if said != HEADER_BYTES as u64 {
            return Err(NeffError::Header { said });
        }
        let (said, found) = (word(16)?, file_bytes.saturating_sub(HEADER_BYTES as u64));
        if said != found {
            return Err(NeffError::Data { said, found });
        }
        let logical = field(552, 4)?;
        Ok(Neff {
            version: [word(24)?, word(32)?],
            build: text(40, 128)?,
            hash: field(172, 32)?.try_into().map_err(|_| short())?,
            name: text(220, 256)?,
            logical: u32::from_le_bytes([logical[0], logical[1], logical[2], logical[3]]),
        })
    }

    /// What the header of a file says. Nothing behind the header is read.
    pub fn of_file(path: &Path) -> Result<Neff, NeffError> {
        let io = |error: std::io::Error| NeffError::Io(error.to_string());
        // A pipe is not even opened, which would wait for who writes to it.
        if !std::fs::metadata(path).map_err(io)?.is_file() {
            return Err(NeffError::Io("it is no file".to_owned()));
        }
        let file = std::fs::File::open(path).map_err(io)?;
        let bytes = file.metadata().map_err(io)?.len();
        let mut header = Vec::with_capacity(HEADER_BYTES);
        file.take(HEADER_BYTES as u64).read_to_end(&mut header).map_err(io)?;
        Neff::parse(&header, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with its fields where the documentation puts them.
    fn header(data: u64) -> Vec<u8> {
        let mut header = vec![0; HEADER_BYTES];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &2u64.to_le_bytes());
        put(8, &1024u64.to_le_bytes());
        put(16, &data.to_le_bytes());
        put(24, &2u64.to_le_bytes());
        put(32, &1u64.to_le_bytes());
        put(40, b"2.27.1\0rest");
        put(172, &[7; 32]);
        put(220, b"decode");
        put(552, &2u32.to_le_bytes());
        header
    }

    #[test]
    fn fields_stand_where_they_are_documented() {
        let neff = Neff::parse(&header(10), 1034).unwrap();
        let wanted = Neff {
            version: [2, 1],
            build: "2.27.1".to_owned(),
            name: "decode".to_owned(),
            hash: [7; 32],
            logical: 2,
        };
        assert_eq!(neff, wanted);
    }

    #[test]
    fn what_is_cut_or_no_neff_is_refused() {
        let good = header(10);
        assert_eq!(Neff::parse(&good, 1033), Err(NeffError::Data { said: 10, found: 9 }));
        assert_eq!(Neff::parse(&good, 3), Err(NeffError::Data { said: 10, found: 0 }));
        for len in 0..good.len() {
            assert_eq!(Neff::parse(&good[..len], 1034), Err(NeffError::Short { bytes: len }));
        }
        let mut other = good;
        other[8] = 1;
        assert_eq!(Neff::parse(&other, 1034), Err(NeffError::Header { said: 1025 }));
        assert!(matches!(Neff::of_file(Path::new("/nowhere/at.all")), Err(NeffError::Io(_))));
        assert_eq!(Neff::of_file(Path::new("/dev/zero")), Err(NeffError::Io("it is no file".to_owned())));
    }
}
