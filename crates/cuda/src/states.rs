//! The pools that states live in: one allocation each, slots one behind another.

use std::io::{Read, Write};
use std::sync::Arc;

use graph::{BackendError, Copy, Graph, GroupId, PageId, Ty};

use crate::driver::{Driver, Memory};
use crate::fault;

/// All states of a graph.
pub(crate) struct States {
    /// In the order of the graph's states.
    pub memory: Vec<Memory>,
    /// Pages of each group's pool.
    pub pages: Vec<u32>,
    /// Of each state: its group, and bytes of a page.
    kinds: Vec<(GroupId, usize)>,
}

impl States {
    /// Zeroed pools of so many pages.
    pub fn open(graph: &Graph, pages: Vec<u32>, driver: &Arc<dyn Driver>) -> Result<States, BackendError> {
        let (mut memory, mut kinds) = (vec![], vec![]);
        for state in &graph.states {
            let slot = Ty { dtype: state.dtype, dims: state.slot };
            let page_bytes = slot.bytes() as usize * graph.page_len as usize;
            let bytes = page_bytes.saturating_mul(pages[state.group.index()] as usize);
            memory.push(Memory::new(driver, bytes).map_err(fault)?);
            kinds.push((state.group, page_bytes));
        }
        Ok(States { memory, pages, kinds })
    }

    /// Enqueues the copy of a page within its group.
    pub fn copy(&self, copy: &Copy) -> Result<(), BackendError> {
        for (memory, bytes) in self.of(copy.group).filter(|_| copy.from != copy.to) {
            let (to, from) = (copy.to.0 as usize * bytes, copy.from.0 as usize * bytes);
            memory.copy_within(to, from, bytes).map_err(fault)?;
        }
        Ok(())
    }

    /// Writes pages of a group, state by state.
    pub fn export(&self, group: GroupId, pages: &[PageId], out: &mut dyn Write) -> Result<(), BackendError> {
        for (memory, bytes) in self.of(group) {
            let mut held = vec![0; bytes];
            for page in pages {
                memory.read(page.0 as usize * bytes, &mut held).map_err(fault)?;
                out.write_all(&held)?;
            }
        }
        Ok(())
    }

    /// Reads what `export` wrote.
    pub fn import(&self, group: GroupId, pages: &[PageId], from: &mut dyn Read) -> Result<(), BackendError> {
        for (memory, bytes) in self.of(group) {
            let mut held = vec![0; bytes];
            for page in pages {
                from.read_exact(&mut held)?;
                memory.write(page.0 as usize * bytes, &held).map_err(fault)?;
            }
        }
        Ok(())
    }

    fn of(&self, group: GroupId) -> impl Iterator<Item = (&Memory, usize)> {
        let states = self.memory.iter().zip(&self.kinds).filter(move |(_, kind)| kind.0 == group);
        states.map(|(memory, kind)| (memory, kind.1))
    }
}
