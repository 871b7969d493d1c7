//! The pools that states live in: on each device one allocation each, slots one behind another.

use std::io::{Read, Write};
use std::sync::Arc;

use graph::parts::Pages;
use graph::{BackendError, Copy, Graph, GroupId, PageId};

use crate::driver::{Driver, Fault, Memory};
use crate::fault;

/// All states of a graph on one device.
pub(crate) struct States {
    /// In the order of the graph's states.
    pub memory: Vec<Memory>,
    /// Of each state: its group, and how its pages are spread over ranks.
    kinds: Vec<(GroupId, Pages)>,
}

impl States {
    /// Zeroed pools of so many pages.
    pub fn open(graph: &Graph, pages: &[u32], driver: &Arc<dyn Driver>) -> Result<States, Fault> {
        let (mut memory, mut kinds) = (vec![], vec![]);
        for state in &graph.states {
            let kind = Pages::of(state, graph.page_len);
            let bytes = kind.bytes.saturating_mul(pages[state.group.index()] as usize);
            memory.push(Memory::new(driver, bytes)?);
            kinds.push((state.group, kind));
        }
        Ok(States { memory, kinds })
    }

    /// Enqueues the copy of a page within its group.
    pub fn copy(&self, copy: &Copy) -> Result<(), Fault> {
        for (state, &Pages { bytes, .. }) in of_group(self, copy.group).filter(|_| copy.from != copy.to) {
            let (to, from) = (copy.to.0 as usize * bytes, copy.from.0 as usize * bytes);
            self.memory[state].copy_within(to, from, bytes)?;
        }
        Ok(())
    }
}

/// Writes pages of a group, state by state, each put together from what ranks have of it.
pub(crate) fn export(
    ranks: &[&States],
    group: GroupId,
    pages: &[PageId],
    out: &mut dyn Write,
) -> Result<(), BackendError> {
    for (state, kind) in of_group(ranks[0], group) {
        let (mut slice, mut whole) = (vec![0; kind.bytes], vec![0; kind.whole]);
        for page in pages {
            for (place, rank) in kind.sources(ranks.len() as u32).enumerate() {
                let memory = &ranks[rank as usize].memory[state];
                memory.read(page.0 as usize * kind.bytes, &mut slice).map_err(fault)?;
                kind.join(place, &slice, &mut whole);
            }
            out.write_all(&whole)?;
        }
    }
    Ok(())
}

/// Reads what `export` wrote.
pub(crate) fn import(
    ranks: &[&States],
    group: GroupId,
    pages: &[PageId],
    from: &mut dyn Read,
) -> Result<(), BackendError> {
    for (state, kind) in of_group(ranks[0], group) {
        let (mut slice, mut whole) = (vec![0; kind.bytes], vec![0; kind.whole]);
        for page in pages {
            from.read_exact(&mut whole)?;
            for (place, first) in kind.sources(ranks.len() as u32).enumerate() {
                kind.part(place, &whole, &mut slice);
                for holder in kind.holders(first) {
                    let holders = holder.map_or(ranks, |rank| &ranks[rank as usize..=rank as usize]);
                    let at = page.0 as usize * kind.bytes;
                    holders
                        .iter()
                        .try_for_each(|rank| rank.memory[state].write(at, &slice))
                        .map_err(fault)?;
                }
            }
        }
    }
    Ok(())
}

/// The places of a group's states among all, and how their pages are spread.
fn of_group(states: &States, group: GroupId) -> impl Iterator<Item = (usize, &Pages)> {
    let kinds = states.kinds.iter().enumerate().filter(move |(_, kind)| kind.0 == group);
    kinds.map(|(place, kind)| (place, &kind.1))
}
