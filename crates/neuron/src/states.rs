//! The pools that states live in: one tensor each, slots one behind another.

use std::io::{Read, Write};

use graph::{BackendError, Copy, Graph, GroupId, PageId, Ty};

use crate::Device;
use crate::emit::state_shape;

/// All states of a graph.
pub(crate) struct States<D: Device> {
    /// In the order of the graph's states.
    pub(crate) tensors: Vec<D::Tensor>,
    /// Pages of each group's pool.
    pub(crate) pages: Vec<u32>,
    /// Of each state: its group, and bytes of a page.
    kinds: Vec<(GroupId, usize)>,
}

impl<D: Device> States<D> {
    /// Zeroed pools of so many pages.
    pub(crate) fn open(graph: &Graph, pages: Vec<u32>, device: &mut D) -> Result<States<D>, BackendError> {
        let (mut tensors, mut kinds) = (vec![], vec![]);
        for state in &graph.states {
            let shape = state_shape(graph, state, &pages)?;
            tensors.push(device.allocate(&state.name, &shape)?);
            let slot = Ty { dtype: state.dtype, dims: state.slot };
            kinds.push((state.group, slot.bytes() as usize * graph.page_len as usize));
        }
        Ok(States { tensors, pages, kinds })
    }

    /// Copies a page within its group, on each rank its own part.
    pub(crate) fn copy(&mut self, device: &mut D, copy: &Copy) -> Result<(), BackendError> {
        for (tensor, &(_, bytes)) in
            self.tensors.iter_mut().zip(&self.kinds).filter(|(_, kind)| kind.0 == copy.group)
        {
            let mut page = vec![0; bytes];
            for rank in 0..device.ranks() {
                device.read(tensor, rank, copy.from.0 as usize * bytes, &mut page)?;
                device.write(tensor, Some(rank), copy.to.0 as usize * bytes, &page)?;
            }
        }
        Ok(())
    }

    /// Writes pages of a group, state by state.
    pub(crate) fn export(
        &self,
        device: &mut D,
        group: GroupId,
        pages: &[PageId],
        out: &mut dyn Write,
    ) -> Result<(), BackendError> {
        for (tensor, &(_, bytes)) in self.tensors.iter().zip(&self.kinds).filter(|(_, kind)| kind.0 == group)
        {
            let mut held = vec![0; bytes];
            for page in pages {
                device.read(tensor, 0, page.0 as usize * bytes, &mut held)?;
                out.write_all(&held)?;
            }
        }
        Ok(())
    }

    /// Reads what `export` wrote.
    pub(crate) fn import(
        &mut self,
        device: &mut D,
        group: GroupId,
        pages: &[PageId],
        from: &mut dyn Read,
    ) -> Result<(), BackendError> {
        for (tensor, &(_, bytes)) in
            self.tensors.iter_mut().zip(&self.kinds).filter(|(_, kind)| kind.0 == group)
        {
            let mut held = vec![0; bytes];
            for page in pages {
                from.read_exact(&mut held)?;
                device.write(tensor, None, page.0 as usize * bytes, &held)?;
            }
        }
        Ok(())
    }
}
