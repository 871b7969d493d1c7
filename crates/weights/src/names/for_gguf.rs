//! The way back: canonical weights under the names, and in the order of rows, that GGUF files have.

use std::collections::HashMap;
use std::sync::Arc;

use tensor::{SourceError, WeightInfo, WeightSource};

use super::GgufLayout;
use super::heads::{self, Order};
use crate::stored::RowRange;

/// A source with canonical names as a GGUF file stores it: what [`super::Renamed`] undoes.
pub struct ForGguf {
    source: Arc<dyn WeightSource>,
    layout: GgufLayout,
    /// Canonical names by those in the file.
    canonical: HashMap<String, String>,
}

impl ForGguf {
    /// Over the weights of these names. A name for which files have none is left out.
    pub fn new<'a>(
        source: Arc<dyn WeightSource>,
        layout: GgufLayout,
        names: impl IntoIterator<Item = &'a str>,
    ) -> ForGguf {
        let named = |name: &str| Some((layout.stored_name(name)?, name.to_owned()));
        let canonical = names.into_iter().filter_map(named).collect();
        ForGguf { source, layout, canonical }
    }
}

impl WeightSource for ForGguf {
    fn find(&self, name: &str) -> Option<WeightInfo> {
        self.source.find(self.canonical.get(name)?)
    }

    fn read_rows(&self, name: &str, first: usize, out: &mut [u8]) -> Result<(), SourceError> {
        let missing = || SourceError::Missing { name: name.to_owned() };
        let canonical = self.canonical.get(name).ok_or_else(missing)?;
        let Some(heads) = self.layout.paired_heads(canonical) else {
            return self.source.read_rows(canonical, first, out);
        };
        let info = self.source.find(canonical).ok_or_else(missing)?;
        let rows = RowRange::of(name, &info, first, out.len())?;
        heads::read(&*self.source, canonical, &info, (heads, Order::Paired), rows, out)
    }
}
