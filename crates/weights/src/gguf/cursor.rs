//! A reader that walks a file's head and never takes more than what remains.

use tensor::File;

use crate::error::{FileError, show};

/// Bytes fetched at a time.
const WINDOW: u64 = 1 << 16;

/// A position in a file, with a window of its bytes in memory.
pub(super) struct Cursor<'a> {
    name: &'a str,
    file: &'a File,
    /// Where the next byte will come from.
    at: u64,
    window: Vec<u8>,
    window_at: u64,
    /// What is being read, for errors.
    reading: String,
}

impl<'a> Cursor<'a> {
    pub fn new(name: &'a str, file: &'a File) -> Cursor<'a> {
        Cursor { name, file, at: 0, window: Vec::new(), window_at: 0, reading: "the file's head".to_owned() }
    }

    pub fn at(&self) -> u64 {
        self.at
    }

    /// Bytes from here to the end of the file.
    pub fn remaining(&self) -> u64 {
        self.file.len() - self.at
    }

    /// Says what is read next, so that an error can.
    pub fn reading(&mut self, what: String) {
        self.reading = what;
    }

    /// An error at this place.
    pub fn damaged(&self, reason: &str) -> FileError {
        self.damaged_at(self.at, reason)
    }

    /// An error at another place.
    pub fn damaged_at(&self, offset: u64, reason: &str) -> FileError {
        FileError::Damaged {
            file: self.name.to_owned(),
            offset,
            reason: format!("{} {reason}", self.reading),
        }
    }

    pub fn u32(&mut self) -> Result<u32, FileError> {
        self.array().map(u32::from_le_bytes)
    }

    pub fn u64(&mut self) -> Result<u64, FileError> {
        self.array().map(u64::from_le_bytes)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], FileError> {
        let mut out = [0; N];
        self.fill(&mut out)?;
        Ok(out)
    }

    /// The next `len` bytes.
    pub fn bytes(&mut self, len: u64) -> Result<Vec<u8>, FileError> {
        let mut out = Vec::new();
        self.append(len, &mut out)?;
        Ok(out)
    }

    /// Appends the next `len` bytes to `out`.
    pub fn append(&mut self, len: u64, out: &mut Vec<u8>) -> Result<(), FileError> {
        if len > self.remaining() {
            let left = self.remaining();
            return Err(self.damaged(&format!("claims {len} bytes, but only {left} remain in the file")));
        }
        let start = out.len();
        let more = usize::try_from(len).ok().filter(|&more| out.try_reserve(more).is_ok());
        let Some(more) = more else {
            return Err(
                self.damaged(&format!("claims {len} bytes, which this machine's memory does not hold"))
            );
        };
        out.resize(start + more, 0);
        self.fill(&mut out[start..])
    }

    /// A string: its length in eight bytes, then that many bytes, at most `most`, which must be UTF-8.
    pub fn string(&mut self, most: u64) -> Result<String, FileError> {
        let at = self.at;
        let len = self.u64()?;
        if len > most {
            return Err(self.damaged_at(
                at,
                &format!("claims a string of {len} bytes, where at most {most} are allowed"),
            ));
        }
        let bytes = self.bytes(len)?;
        String::from_utf8(bytes).map_err(|_| self.damaged_at(at, "has a string that is not UTF-8"))
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), FileError> {
        let len = out.len() as u64;
        if len > self.remaining() {
            return Err(self.damaged("is cut short by the end of the file"));
        }
        if len > WINDOW {
            self.fetch(self.at, out)?;
        } else {
            if self.at < self.window_at || self.at + len > self.window_at + self.window.len() as u64 {
                self.refill()?;
            }
            let start = (self.at - self.window_at) as usize;
            out.copy_from_slice(&self.window[start..start + out.len()]);
        }
        self.at += len;
        Ok(())
    }

    fn refill(&mut self) -> Result<(), FileError> {
        let mut window = std::mem::take(&mut self.window);
        window.resize(self.remaining().min(WINDOW) as usize, 0);
        self.fetch(self.at, &mut window)?;
        self.window = window;
        self.window_at = self.at;
        Ok(())
    }

    fn fetch(&self, offset: u64, out: &mut [u8]) -> Result<(), FileError> {
        let failed = |error| FileError::Read { file: show(self.name), offset, error };
        self.file.read_at(offset, out).map_err(failed)
    }
}
