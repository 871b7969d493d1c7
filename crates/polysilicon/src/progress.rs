//! Loading, told as it goes.

use std::sync::atomic::{AtomicU64, Ordering};

use tensor::{SourceError, WeightInfo, WeightSource};

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes, or whatever is counted, done.
    pub done: u64,
    /// And in all.
    pub total: u64,
}

/// A source that tells what is read from it.
pub(crate) struct Watched<'a> {
    pub source: &'a dyn WeightSource,
    pub total: u64,
    pub done: AtomicU64,
    pub tell: &'a (dyn Fn(Progress) + Send + Sync),
}

impl WeightSource for Watched<'_> {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        self.source.find(name)
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        self.source.read_rows(name, first, out)?;
        let done = self.done.fetch_add(out.len() as u64, Ordering::Relaxed) + out.len() as u64;
        (self.tell)(Progress { done, total: self.total });
        Ok(())
    }
}
