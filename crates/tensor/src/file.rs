//! A file of weights: bytes by position, from disk, from a map, or from the binary itself.

use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How a file's bytes are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Access {
    /// Positioned reads: safe against files that change under us. The default.
    #[default]
    Read,
    /// A private memory map, for files that the user knows nobody will truncate while we run.
    Map,
}

/// An open file of known length.
pub struct File {
    bytes: Bytes,
    len: u64,
}

enum Bytes {
    Disk(std::fs::File),
    Map(memmap2::Mmap),
    Static(&'static [u8]),
}

impl File {
    /// Opens a regular file. Pipes and devices are refused: they have no length to check offsets against.
    pub fn open(path: &Path, access: Access) -> io::Result<File> {
        let meta = std::fs::metadata(path)?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let file = std::fs::File::open(path)?;
        let len = file.metadata()?.len();
        let bytes = match access {
            Access::Map if len > 0 => {
                // SAFETY: the map is read-only and private. That nobody truncates the file while it is mapped is the
                // promise the caller makes by asking for `Access::Map`; the default access does not map.
                Bytes::Map(unsafe { memmap2::Mmap::map(&file)? })
            }
            _ => Bytes::Disk(file),
        };
        Ok(File { bytes, len })
    }

    /// Bytes that are part of the program.
    pub fn from_static(bytes: &'static [u8]) -> File {
        File { bytes: Bytes::Static(bytes), len: bytes.len() as u64 }
    }

    /// The length when the file was opened.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file was empty when it was opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fills `out` from `offset`. A range beyond the end, now or when the file was opened, is an error.
    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let past = || io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends before these bytes");
        let end = offset.checked_add(out.len() as u64).filter(|&end| end <= self.len).ok_or_else(past)?;
        match &self.bytes {
            Bytes::Disk(file) => file.read_exact_at(out, offset).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::new(error.kind(), "the file has been truncated since it was opened")
                }
                _ => error,
            }),
            Bytes::Map(map) => {
                out.copy_from_slice(&map[offset as usize..end as usize]);
                Ok(())
            }
            Bytes::Static(bytes) => {
                out.copy_from_slice(&bytes[offset as usize..end as usize]);
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_access_reads_the_same_bytes_and_refuses_the_same_ranges() {
        let mut disk = tempfile::NamedTempFile::new().unwrap();
        disk.write_all(b"polysilicon").unwrap();
        for file in [
            File::open(disk.path(), Access::Read).unwrap(),
            File::open(disk.path(), Access::Map).unwrap(),
            File::from_static(b"polysilicon"),
        ] {
            let mut out = [0; 4];
            file.read_at(7, &mut out).unwrap();
            assert_eq!(&out, b"icon");
            assert!(file.read_at(8, &mut out).is_err());
            assert!(file.read_at(u64::MAX, &mut out).is_err());
        }
    }

    #[test]
    fn a_file_cut_after_opening_is_an_error() {
        let mut disk = tempfile::NamedTempFile::new().unwrap();
        disk.write_all(&[7; 4096]).unwrap();
        let file = File::open(disk.path(), Access::Read).unwrap();
        disk.as_file().set_len(100).unwrap();
        let error = file.read_at(1000, &mut [0; 64]).unwrap_err();
        assert!(error.to_string().contains("truncated"), "{error}");
    }

    #[test]
    fn devices_and_folders_are_refused() {
        assert!(File::open(Path::new("/dev/zero"), Access::Read).is_err());
        assert!(File::open(Path::new("/"), Access::Read).is_err());
    }
}
