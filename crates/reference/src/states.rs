//! The pools that states live in, and how pages of them are copied, written out and read in.

use std::io::{Read, Write};
use std::ops::Range;
use std::sync::Arc;

use graph::{BackendError, Budget, Copy, Graph, GroupId, PageId, Ty};
use tensor::{Shape, Value};

use crate::NAME;

/// All states of a graph.
pub struct States {
    /// In the order of the graph's states; each is `[pages, S, slot..]`.
    pub values: Vec<Arc<Value>>,
    /// Pages of each group's pool.
    pub pages: Vec<u32>,
    groups: Vec<GroupId>,
}

impl States {
    /// As many zeroed pages as are wanted and fit.
    pub fn new(graph: &Graph, budget: &Budget, weight_bytes: u64) -> Result<States, BackendError> {
        let taken = weight_bytes.saturating_add(graph.value_bytes(&budget.bucket));
        let pages = budget.fit(graph, taken, NAME)?;
        let zeroed = |state: &graph::StateSpec| {
            let shape = pool_shape(pages[state.group.index()], graph.page_len, &state.slot);
            let slot = Ty { dtype: state.dtype, dims: state.slot };
            let bytes = slot.bytes() as usize * graph.page_len as usize * pages[state.group.index()] as usize;
            let data = tensor::Buffer::try_zeroed(bytes)
                .ok_or_else(|| crate::no_memory("keys and values", bytes))?;
            Ok(Arc::new(Value { dtype: state.dtype, shape, data }))
        };
        let values = graph.states.iter().map(zeroed).collect::<Result<_, BackendError>>()?;
        let groups = graph.states.iter().map(|state| state.group).collect();
        Ok(States { values, pages, groups })
    }

    /// Copies pages within their group.
    pub fn copy(&mut self, copies: &[Copy]) {
        for copy in copies {
            for (value, _) in
                self.values.iter_mut().zip(&self.groups).filter(|(_, group)| **group == copy.group)
            {
                let (from, to) = (page_range(value, copy.from), page_range(value, copy.to));
                let value = Arc::make_mut(value);
                value.data.as_mut_slice::<u8>().copy_within(from, to.start);
            }
        }
    }

    /// Writes pages of a group, state by state.
    pub fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError> {
        for value in self.of(group) {
            for &page in pages {
                out.write_all(&value.data.as_slice::<u8>()[page_range(value, page)])?;
            }
        }
        Ok(())
    }

    /// Reads what `export` wrote.
    pub fn import(
        &mut self,
        group: GroupId,
        pages: &[PageId],
        from: &mut dyn Read,
    ) -> Result<(), BackendError> {
        for (value, _) in self.values.iter_mut().zip(&self.groups).filter(|(_, of)| **of == group) {
            for &page in pages {
                let range = page_range(value, page);
                from.read_exact(&mut Arc::make_mut(value).data.as_mut_slice::<u8>()[range])?;
            }
        }
        Ok(())
    }

    fn of(&self, group: GroupId) -> impl Iterator<Item = &Arc<Value>> {
        self.values.iter().zip(&self.groups).filter(move |(_, of)| **of == group).map(|(value, _)| value)
    }
}

fn pool_shape(pages: u32, page_len: u32, slot: &graph::Dims) -> Shape {
    let mut axes = vec![pages as usize, page_len as usize];
    axes.extend(slot.iter().filter_map(|dim| dim.number()).map(|n| n as usize));
    Shape::new(&axes)
}

fn page_range(value: &Value, page: PageId) -> Range<usize> {
    let bytes = value.data.len() / value.shape[0];
    page.0 as usize * bytes..(page.0 as usize + 1) * bytes
}
