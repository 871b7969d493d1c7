//! The table of tensors that a reader has checked, and the one way to read their bytes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;

use tensor::{DType, File, Shape, SourceError, WeightInfo};

/// A tensor as a file stores it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StoredTensor<'a> {
    /// The name in the file.
    pub name: &'a str,
    /// The element type, or `None` where it is one that this program does not compute with.
    pub dtype: Option<DType>,
    /// What the file calls the element type.
    pub stored_as: &'a str,
    /// Lengths of the axes, outermost first.
    pub shape: Shape,
    /// Bytes it takes in the file.
    pub bytes: u64,
}

/// An element type as stored.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    Known(DType),
    Other(Box<str>),
}

/// Where a tensor lies. Readers promise that `bytes` fits type and shape, and that the range lies within the file.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub kind: Kind,
    pub shape: Shape,
    /// Which of the table's files.
    pub file: u32,
    pub offset: u64,
    pub bytes: u64,
}

/// The tensors of a model and the files they lie in.
pub(crate) struct Table {
    files: Vec<(String, File)>,
    tensors: BTreeMap<Box<str>, Entry>,
}

impl Table {
    pub fn new() -> Table {
        Table { files: Vec::new(), tensors: BTreeMap::new() }
    }

    /// Adds a file under the name that errors will call it, and returns its number.
    pub fn add_file(&mut self, name: String, file: File) -> u32 {
        self.files.push((name, file));
        u32::try_from(self.files.len() - 1).expect("readers open at most `limits::SHARDS` files")
    }

    /// Adds a tensor; false where there is one of that name.
    #[must_use]
    pub fn add(&mut self, name: String, entry: Entry) -> bool {
        match self.tensors.entry(name.into_boxed_str()) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
                true
            }
            Slot::Occupied(_) => false,
        }
    }

    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    pub fn tensors(&self) -> impl Iterator<Item = StoredTensor<'_>> {
        self.tensors.iter().map(|(name, entry)| {
            let (dtype, stored_as) = match &entry.kind {
                Kind::Known(dtype) => (Some(*dtype), dtype.name()),
                Kind::Other(stored_as) => (None, &**stored_as),
            };
            StoredTensor { name, dtype, stored_as, shape: entry.shape, bytes: entry.bytes }
        })
    }

    /// Where a tensor lies.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.tensors.get(name)
    }

    pub fn find(&self, name: &str) -> Option<WeightInfo> {
        let entry = self.entry(name)?;
        match entry.kind {
            Kind::Known(dtype) => Some(WeightInfo { dtype, shape: entry.shape }),
            Kind::Other(_) => None,
        }
    }

    pub fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        let entry = self.entry(name).ok_or_else(|| SourceError::Missing { name: name.to_owned() })?;
        let dtype = match &entry.kind {
            Kind::Known(dtype) => *dtype,
            Kind::Other(stored_as) => {
                let reason = format!("it is stored as {stored_as}, which this program does not compute with");
                return Err(SourceError::Convert { name: name.to_owned(), reason });
            }
        };
        let rows = RowRange::of(name, &WeightInfo { dtype, shape: entry.shape }, first, out.len())?;
        self.read_at(name, rows.first * rows.row_bytes, out)
    }

    /// Reads bytes of a tensor from byte `at` of it on, whatever they mean.
    pub fn read_at(&self, name: &str, at: usize, out: &mut [u8]) -> Result<(), SourceError> {
        let entry = self.entry(name).ok_or_else(|| SourceError::Missing { name: name.to_owned() })?;
        let (file_name, file) = &self.files[entry.file as usize];
        if at.checked_add(out.len()).is_none_or(|end| end as u64 > entry.bytes) {
            return Err(SourceError::Range { name: name.to_owned(), first: at, bytes: out.len() });
        }
        let offset = entry.offset + at as u64;
        file.read_at(offset, out).map_err(|error| SourceError::Read {
            name: name.to_owned(),
            file: file_name.clone(),
            offset,
            error,
        })
    }
}

/// The number of elements, or `None` where the bits they take could overflow. An axis of zero does not excuse the
/// others: whoever multiplies some of the axes must be safe too.
pub(crate) fn elements(shape: &Shape) -> Option<usize> {
    const WIDEST_BITS: usize = 64;
    shape.iter().try_fold(WIDEST_BITS, |bits, &axis| bits.checked_mul(axis.max(1)))?;
    shape.elements()
}

/// Rows of a weight that have been checked to exist.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RowRange {
    pub first: usize,
    pub count: usize,
    pub row_bytes: usize,
}

impl RowRange {
    /// The rows that `bytes` bytes from row `first` on are.
    pub fn of(name: &str, info: &WeightInfo, first: usize, bytes: usize) -> Result<RowRange, SourceError> {
        let too_large = || SourceError::TooLarge { name: name.to_owned() };
        let row_bytes = info.row_bytes().ok_or_else(too_large)?;
        let rows = info.shape.rows().ok_or_else(too_large)?;
        info.bytes().ok_or_else(too_large)?;
        let count = bytes.checked_div(row_bytes).unwrap_or(0);
        let exists = first.checked_add(count).is_some_and(|end| end <= rows);
        if !exists || count * row_bytes != bytes {
            return Err(SourceError::Range { name: name.to_owned(), first, bytes });
        }
        Ok(RowRange { first, count, row_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_rows_that_exist_are_read() {
        let mut table = Table::new();
        let file = table.add_file("memory".into(), File::from_static(&[1, 2, 3, 4, 5, 6, 7, 8]));
        let entry = |kind, bytes| Entry { kind, shape: Shape::from([3, 2]), file, offset: 1, bytes };
        assert!(table.add("w".into(), entry(Kind::Known(DType::U8), 6)));
        assert!(!table.add("w".into(), entry(Kind::Known(DType::U8), 6)));
        assert!(table.add("odd".into(), entry(Kind::Other("f64".into()), 48)));

        let mut out = [0; 4];
        table.read_rows("w", 1, &mut out).unwrap();
        assert_eq!(out, [4, 5, 6, 7]);
        assert!(matches!(table.read_rows("w", 2, &mut out), Err(SourceError::Range { .. })));
        assert!(matches!(table.read_rows("w", 0, &mut out[..3]), Err(SourceError::Range { .. })));
        assert!(matches!(table.read_rows("w", usize::MAX, &mut out), Err(SourceError::Range { .. })));
        assert!(matches!(table.read_rows("v", 0, &mut out), Err(SourceError::Missing { .. })));
        assert!(table.find("odd").is_none());
        assert!(table.read_rows("odd", 0, &mut out).unwrap_err().to_string().contains("f64"));
    }

    #[test]
    fn a_weight_with_no_elements_is_read_by_reading_nothing() {
        let info = WeightInfo { dtype: DType::F32, shape: Shape::from([4, 0]) };
        assert_eq!(RowRange::of("w", &info, 0, 0).unwrap().count, 0);
        assert!(RowRange::of("w", &info, 0, 4).is_err());
    }
}
