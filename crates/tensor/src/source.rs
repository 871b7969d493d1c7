//! How weights arrive: by name, with a type and a shape, as bytes read row by row.

use crate::{DType, Shape};

/// What a weight is before anyone reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightInfo {
    /// Type of the stored elements.
    pub dtype: DType,
    /// Shape, outermost axis first.
    pub shape: Shape,
}

impl WeightInfo {
    /// Bytes of one row (the innermost axis).
    pub fn row_bytes(&self) -> Option<usize> {
        self.dtype.bytes_of(self.shape.row_len())
    }

    /// Bytes of the whole weight.
    pub fn bytes(&self) -> Option<usize> {
        self.row_bytes()?.checked_mul(self.shape.rows()?)
    }
}

/// Where weights come from: a file, a generator, the binary itself.
///
/// A source hands out bounded reads only. Backends pack weights from these reads, so a file that shrinks while it is
/// read is an error and never a bus fault.
pub trait WeightSource: Send + Sync {
    /// Type and shape of a weight, or `None` where the source has no weight of that name.
    fn find(&self, name: &str) -> Option<WeightInfo>;

    /// Reads `count` rows from row `first` on into `out`, which is exactly as long as they are.
    ///
    /// Rows are counted over all axes but the innermost.
    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError>;

    /// Reads a whole weight.
    fn read(&self, name: &str) -> Result<Vec<u8>, SourceError> {
        let info = self.find(name).ok_or_else(|| SourceError::Missing { name: name.to_owned() })?;
        let bytes = info.bytes().ok_or_else(|| SourceError::TooLarge { name: name.to_owned() })?;
        let mut out = Vec::new();
        out.try_reserve_exact(bytes).map_err(|_| SourceError::TooLarge { name: name.to_owned() })?;
        out.resize(bytes, 0);
        self.read_rows(name, 0, &mut out)?;
        Ok(out)
    }
}

/// Why a weight could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// The caller asked for a weight that is not there.
    #[error("there is no weight named `{name}`")]
    Missing {
        /// The name asked for.
        name: String,
    },
    /// The weight does not fit this machine's address space or memory.
    #[error("weight `{name}` is too large to be read on this machine")]
    TooLarge {
        /// The weight.
        name: String,
    },
    /// The rows asked for do not exist, or `out` is not a whole number of them.
    #[error("rows {first}.. ({bytes} bytes) do not lie in weight `{name}`")]
    Range {
        /// The weight.
        name: String,
        /// First row asked for.
        first: usize,
        /// Length of the buffer to fill.
        bytes: usize,
    },
    /// The file was cut or could not be read: the operator should look at the file.
    #[error("weight `{name}` could not be read at offset {offset} of {file}: {error}")]
    Read {
        /// The weight.
        name: String,
        /// The file's name.
        file: String,
        /// Offset in the file.
        offset: u64,
        /// What the system said.
        error: std::io::Error,
    },
    /// The stored values cannot be turned into the type asked for.
    #[error("weight `{name}` cannot be converted: {reason}")]
    Convert {
        /// The weight.
        name: String,
        /// Why not.
        reason: String,
    },
}
