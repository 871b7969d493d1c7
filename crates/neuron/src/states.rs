//! The pools that states live in: one tensor each, slots one behind another.

use std::io::{Read, Write};

use graph::parts::Pages;
use graph::{BackendError, Copy, Graph, GroupId, PageId};

use crate::Device;
use crate::emit::state_shape;

/// All states of a graph.
pub(crate) struct States<D: Device> {
    /// In the order of the graph's states.
    pub(crate) tensors: Vec<D::Tensor>,
    /// Pages of each group's pool.
    pub(crate) pages: Vec<u32>,
    /// Of each state: its group, and how its pages are spread over ranks.
    kinds: Vec<(GroupId, Pages)>,
}

impl<D: Device> States<D> {
    /// Zeroed pools of so many pages.
    pub(crate) fn open(graph: &Graph, pages: Vec<u32>, device: &mut D) -> Result<States<D>, BackendError> {
        let (mut tensors, mut kinds) = (vec![], vec![]);
        for state in &graph.states {
            let shape = state_shape(graph, state, &pages)?;
            tensors.push(device.allocate(&state.name, &shape)?);
            kinds.push((state.group, Pages::of(state, graph.page_len)));
        }
        Ok(States { tensors, pages, kinds })
    }

    /// Copies a page within its group, on each rank its own part.
    pub(crate) fn copy(&mut self, device: &mut D, copy: &Copy) -> Result<(), BackendError> {
        for (tensor, &(_, Pages { bytes, .. })) in
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

    /// Writes pages of a group, state by state, each put together from what ranks have of it.
    pub(crate) fn export(
        &self,
        device: &mut D,
        group: GroupId,
        pages: &[PageId],
        out: &mut dyn Write,
    ) -> Result<(), BackendError> {
        for (tensor, (_, kind)) in self.tensors.iter().zip(&self.kinds).filter(|(_, kind)| kind.0 == group) {
            let (mut slice, mut whole) = (vec![0; kind.bytes], vec![0; kind.whole]);
            for page in pages {
                for (place, rank) in kind.sources(device.ranks()).enumerate() {
                    device.read(tensor, rank, page.0 as usize * kind.bytes, &mut slice)?;
                    kind.join(place, &slice, &mut whole);
                }
                out.write_all(&whole)?;
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
        let ranks = device.ranks();
        for (tensor, (_, kind)) in
            self.tensors.iter_mut().zip(&self.kinds).filter(|(_, kind)| kind.0 == group)
        {
            let (mut slice, mut whole) = (vec![0; kind.bytes], vec![0; kind.whole]);
            for page in pages {
                from.read_exact(&mut whole)?;
                for (place, first) in kind.sources(ranks).enumerate() {
                    kind.part(place, &whole, &mut slice);
                    for rank in kind.holders(first) {
                        device.write(tensor, rank, page.0 as usize * kind.bytes, &slice)?;
                    }
                }
            }
        }
        Ok(())
    }
}
