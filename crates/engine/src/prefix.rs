//! What the pages of ended and running sequences hold, found by the tokens that led to it.
//!
//! A node stands for one full page of a sequence and follows the node of the page before it. Nodes are found by a hash
//! over the whole chain, begun with the tenant's salt, and then compared: tenant, node before, and the page's tokens. So
//! two tenants never meet, and a hash that collides finds nothing wrong. A node remembers the page of each group; behind
//! a window the page may be gone while the node stays. The index holds no page: it knows what the pools keep, and is
//! told what they evict. All memory is taken when it is made.

use graph::{Group, GroupId, PageId};

use crate::PagePool;
use crate::page_table::first_seen;
use crate::random::mix;

/// No node, in links.
const NONE: u32 = u32::MAX;

/// Nodes per page where all groups are windows: nodes whose pages are gone link those that have some.
const NODES_PER_WINDOW_PAGE: usize = 4;

/// A node, while it lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct NodeId {
    place: u32,
    /// Counts the nodes that stood in this place.
    generation: u32,
}

/// The index over one engine's pages.
#[derive(Debug)]
pub(crate) struct PrefixIndex {
    groups: Vec<Group>,
    page_len: usize,
    hash: fn(u64, &[u32]) -> u64,
    /// The first node of each bucket; a power of two of them.
    buckets: Vec<u32>,
    nodes: Vec<Node>,
    /// `[nodes, S]`
    tokens: Vec<u32>,
    /// `[nodes, groups]`; the bin where there is none.
    pages: Vec<PageId>,
    /// Per group, the node of each page.
    nodes_of: Vec<Vec<u32>>,
    vacant: Vec<u32>,
    /// Nodes on the way of the last search.
    path: Vec<NodeId>,
    /// Per group, how many pages before each place of the path are there without a gap.
    runs: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    generation: u32,
    tenant: u64,
    /// Of all tokens up to the end of this page.
    hash: u64,
    /// The node of the page before.
    parent: u32,
    /// A node of a page behind; its siblings follow.
    child: u32,
    older: u32,
    younger: u32,
    /// The next node of the bucket.
    next: u32,
}

/// A prefix that was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Hit {
    /// Its last node.
    pub node: NodeId,
    /// Pages of the sequence that it spans.
    pub pages: u32,
}

impl PrefixIndex {
    /// An empty index over pools of so many pages.
    pub(crate) fn new(groups: &[Group], page_len: u32, pages: &[u32]) -> PrefixIndex {
        let most = pages.iter().copied().max().unwrap_or(0) as usize;
        let full = groups.contains(&Group::Pages { window: None });
        let nodes = if full { most } else { most * NODES_PER_WINDOW_PAGE };
        let page_len = page_len as usize;
        PrefixIndex {
            groups: groups.to_vec(),
            page_len,
            hash,
            buckets: vec![NONE; nodes.next_power_of_two()],
            nodes: Vec::with_capacity(nodes),
            tokens: Vec::with_capacity(nodes * page_len),
            pages: Vec::with_capacity(nodes * groups.len()),
            nodes_of: pages.iter().map(|&pages| vec![NONE; pages as usize]).collect(),
            vacant: Vec::with_capacity(nodes),
            path: Vec::with_capacity(nodes),
            runs: vec![0; groups.len()],
        }
    }

    /// The longest prefix of these tokens, in whole pages, behind which a sequence could go on: every page is there
    /// that the next token sees.
    pub(crate) fn longest(&mut self, tenant: u64, tokens: &[u32]) -> Option<Hit> {
        self.path.clear();
        let (mut before, mut chain) = (NONE, tenant);
        for page in tokens.chunks_exact(self.page_len) {
            chain = (self.hash)(chain, page);
            before = self.search(tenant, before, chain, page);
            if before == NONE {
                break;
            }
            self.path.push(self.id(before));
        }
        self.runs.fill(0);
        let mut hit = None;
        for (&node, pages) in self.path.iter().zip(1..) {
            let of_node = &self.pages[node.place as usize * self.groups.len()..][..self.groups.len()];
            for (run, page) in self.runs.iter_mut().zip(of_node) {
                *run = if *page == PageId(0) { 0 } else { *run + 1 };
            }
            let seen =
                |group: Group| pages - first_seen(group, pages * self.page_len as u32) / self.page_len as u32;
            if self.groups.iter().zip(&self.runs).all(|(&group, &run)| run >= seen(group)) {
                hit = Some(Hit { node, pages });
            }
        }
        hit
    }

    /// The node of one of the pages of the last search.
    pub(crate) fn on_path(&self, page: u32) -> NodeId {
        self.path[page as usize]
    }

    /// The node of a page of tokens behind a node, made where there is none. `None` where the node before is gone or
    /// there is no room.
    pub(crate) fn enter(&mut self, tenant: u64, before: Option<NodeId>, tokens: &[u32]) -> Option<NodeId> {
        let parent = match before {
            Some(id) if !self.lives(id) => return None,
            Some(id) => id.place,
            None => NONE,
        };
        let chain = before.map_or(tenant, |id| self.nodes[id.place as usize].hash);
        let chain = (self.hash)(chain, tokens);
        match self.search(tenant, parent, chain, tokens) {
            NONE => self.insert(tenant, parent, chain, tokens),
            found => Some(self.id(found)),
        }
    }

    /// The page of a group that a node remembers.
    pub(crate) fn page(&self, node: NodeId, group: usize) -> Option<PageId> {
        assert!(self.lives(node), "the node was just found");
        let page = self.pages[node.place as usize * self.groups.len() + group];
        (page != PageId(0)).then_some(page)
    }

    /// Remembers a page of a node that had none in this group. The pool is to keep it.
    pub(crate) fn put(&mut self, node: NodeId, group: usize, page: PageId) {
        assert!(self.lives(node), "the node was just found");
        self.pages[node.place as usize * self.groups.len() + group] = page;
        self.nodes_of[group][page.0 as usize] = node.place;
    }

    /// Forgets a page that its pool has evicted, and whatever cannot be reached without it.
    pub(crate) fn lose(&mut self, group: GroupId, page: PageId, pools: &mut [PagePool]) {
        let node = std::mem::replace(&mut self.nodes_of[group.index()][page.0 as usize], NONE);
        assert!(node != NONE, "a page that was kept has its node");
        self.pages[node as usize * self.groups.len() + group.index()] = PageId(0);
        match self.groups[group.index()] {
            Group::Pages { window: None } => self.remove_all(node, pools),
            Group::Pages { window: Some(_) } => self.prune(node),
        }
    }

    /// Forgets a node that leads to no page, where it still lives.
    pub(crate) fn prune_at(&mut self, node: NodeId) {
        if self.lives(node) {
            self.prune(node.place);
        }
    }

    /// Forgets the leaves on the way up from a node that remember no page.
    fn prune(&mut self, mut node: u32) {
        while node != NONE && self.nodes[node as usize].child == NONE && self.is_bare(node) {
            let parent = self.nodes[node as usize].parent;
            self.remove(node);
            node = parent;
        }
    }

    /// Removes a node and all behind it, leaves first.
    fn remove_all(&mut self, top: u32, pools: &mut [PagePool]) {
        let mut node = top;
        loop {
            let Node { child, parent, .. } = self.nodes[node as usize];
            if child != NONE {
                node = child;
                continue;
            }
            for (group, pool) in pools.iter_mut().enumerate() {
                let page = std::mem::take(&mut self.pages[node as usize * self.groups.len() + group]);
                if page != PageId(0) {
                    self.nodes_of[group][page.0 as usize] = NONE;
                    pool.forget(page);
                }
            }
            self.remove(node);
            if node == top {
                return self.prune(parent);
            }
            node = parent;
        }
    }

    fn insert(&mut self, tenant: u64, parent: u32, hash: u64, tokens: &[u32]) -> Option<NodeId> {
        let place = match self.vacant.pop() {
            Some(place) => place,
            None if self.nodes.len() == self.nodes.capacity() => return None,
            None => self.nodes.len() as u32,
        };
        let bucket = self.bucket(hash);
        let sibling = match parent {
            NONE => NONE,
            parent => std::mem::replace(&mut self.nodes[parent as usize].child, place),
        };
        if sibling != NONE {
            self.nodes[sibling as usize].younger = place;
        }
        let next = std::mem::replace(&mut self.buckets[bucket], place);
        let node = |generation| Node {
            generation,
            tenant,
            hash,
            parent,
            child: NONE,
            older: sibling,
            younger: NONE,
            next,
        };
        let first = place as usize * self.page_len;
        if place as usize == self.nodes.len() {
            self.nodes.push(node(0));
            self.tokens.extend_from_slice(tokens);
            self.pages.extend(self.groups.iter().map(|_| PageId(0)));
        } else {
            self.nodes[place as usize] = node(self.nodes[place as usize].generation);
            self.tokens[first..first + self.page_len].copy_from_slice(tokens);
        }
        Some(self.id(place))
    }

    /// Removes a node that has no children and no pages.
    fn remove(&mut self, node: u32) {
        let Node { hash, parent, older, younger, next, .. } = self.nodes[node as usize];
        let bucket = self.bucket(hash);
        if self.buckets[bucket] == node {
            self.buckets[bucket] = next;
        } else {
            let mut before = self.buckets[bucket];
            while self.nodes[before as usize].next != node {
                before = self.nodes[before as usize].next;
            }
            self.nodes[before as usize].next = next;
        }
        if older != NONE {
            self.nodes[older as usize].younger = younger;
        }
        match (younger, parent) {
            (NONE, NONE) => {}
            (NONE, parent) => self.nodes[parent as usize].child = older,
            (younger, _) => self.nodes[younger as usize].older = older,
        }
        let generation = &mut self.nodes[node as usize].generation;
        *generation = generation.wrapping_add(1);
        self.vacant.push(node);
    }

    fn search(&self, tenant: u64, parent: u32, hash: u64, tokens: &[u32]) -> u32 {
        let mut at = self.buckets[self.bucket(hash)];
        while at != NONE {
            let node = &self.nodes[at as usize];
            let of_node = &self.tokens[at as usize * self.page_len..][..self.page_len];
            if (node.tenant, node.parent) == (tenant, parent) && of_node == tokens {
                break;
            }
            at = node.next;
        }
        at
    }

    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }

    fn id(&self, place: u32) -> NodeId {
        NodeId { place, generation: self.nodes[place as usize].generation }
    }

    pub(crate) fn lives(&self, id: NodeId) -> bool {
        self.nodes[id.place as usize].generation == id.generation
    }

    fn is_bare(&self, node: u32) -> bool {
        let first = node as usize * self.groups.len();
        self.pages[first..first + self.groups.len()].iter().all(|page| *page == PageId(0))
    }
}

#[cfg(test)]
impl PrefixIndex {
    /// Panics where the index and the pools disagree about what is kept, or nodes about their neighbours.
    pub(crate) fn audit(&self, pools: &[PagePool]) {
        for (group, (pool, nodes)) in pools.iter().zip(&self.nodes_of).enumerate() {
            for (page, &node) in nodes.iter().enumerate() {
                let page = PageId(page as u32);
                assert_eq!(pool.is_kept(page), node != NONE, "page {} is kept where it has a node", page.0);
                if node != NONE {
                    let of_node = self.pages[node as usize * self.groups.len() + group];
                    assert_eq!(of_node, page, "a node remembers the page that it is the node of");
                    assert!(!self.vacant.contains(&node), "a node that is gone has no page");
                }
            }
        }
        for (place, node) in
            self.nodes.iter().enumerate().filter(|(place, _)| !self.vacant.contains(&(*place as u32)))
        {
            let alive = |link: u32| link == NONE || !self.vacant.contains(&link);
            let links = [node.parent, node.child, node.older, node.younger, node.next];
            assert!(links.into_iter().all(alive), "node {place} leads to one that is gone");
            assert!(node.child == NONE || self.nodes[node.child as usize].parent == place as u32);
        }
    }

    /// Hands the pages of a group round among the nodes; not where they are few.
    pub(crate) fn shuffle(&mut self, group: usize) -> bool {
        let groups = self.groups.len();
        let places = (0..self.nodes.len()).map(|node| node * groups + group);
        let places = places.filter(|&place| self.pages[place] != PageId(0)).collect::<Vec<_>>();
        if places.len() < 6 {
            return false;
        }
        for pair in places.windows(2) {
            self.pages.swap(pair[0], pair[1]);
        }
        for &place in &places {
            self.nodes_of[group][self.pages[place].0 as usize] = (place / groups) as u32;
        }
        true
    }
}

fn hash(chain: u64, tokens: &[u32]) -> u64 {
    tokens.iter().fold(mix(chain), |hash, &token| mix(hash ^ u64::from(token)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Group = Group::Pages { window: None };
    const WINDOW: Group = Group::Pages { window: Some(3) };

    /// Enters a chain of pages of two tokens; page `first + i` of the pool, in each group, is its i-th.
    fn enter(index: &mut PrefixIndex, pools: &mut [PagePool], tenant: u64, tokens: &[u32]) -> Vec<PageId> {
        let (mut before, mut pages) = (None, vec![]);
        for tokens in tokens.chunks_exact(2) {
            let node = index.enter(tenant, before, tokens).expect("there is room");
            for (group, pool) in pools.iter_mut().enumerate() {
                if index.page(node, group).is_none() {
                    let page = pool.take().expect("there is room").page;
                    pool.keep(page);
                    index.put(node, group, page);
                    pages.push(page);
                }
            }
            before = Some(node);
        }
        pages
    }

    fn made(groups: &[Group], pages: u32) -> (PrefixIndex, Vec<PagePool>) {
        let pages = vec![pages; groups.len()];
        (PrefixIndex::new(groups, 2, &pages), pages.iter().map(|&pages| PagePool::new(pages)).collect())
    }

    fn found(index: &mut PrefixIndex, tenant: u64, tokens: &[u32]) -> u32 {
        index.longest(tenant, tokens).map_or(0, |hit| hit.pages)
    }

    #[test]
    fn a_prefix_is_found_in_whole_pages_and_by_its_tenant_alone() {
        let (mut index, mut pools) = made(&[FULL], 10);
        enter(&mut index, &mut pools, 1, &[1, 2, 3, 4, 5, 6]);
        assert_eq!(found(&mut index, 1, &[1, 2, 3, 4, 5, 6, 7]), 3);
        assert_eq!(found(&mut index, 1, &[1, 2, 3, 4, 9, 6, 7]), 2);
        assert_eq!(found(&mut index, 1, &[1, 2, 3]), 1);
        assert_eq!(found(&mut index, 1, &[3, 4, 5, 6]), 0, "a page is known by all that led to it");
        assert_eq!(found(&mut index, 2, &[1, 2, 3, 4]), 0);
    }

    #[test]
    fn colliding_hashes_are_told_apart() {
        let (mut index, mut pools) = made(&[FULL], 10);
        index.hash = |_, _| 7;
        enter(&mut index, &mut pools, 1, &[1, 2, 3, 4]);
        enter(&mut index, &mut pools, 1, &[3, 4, 1, 2]);
        enter(&mut index, &mut pools, 2, &[1, 2]);
        assert_eq!(pools[0].taken(), 5);
        for (tenant, tokens, pages) in
            [(1, [1, 2, 3, 4], 2), (1, [3, 4, 1, 2], 2), (1, [3, 4, 3, 4], 1), (2, [1, 2, 3, 4], 1)]
        {
            assert_eq!(found(&mut index, tenant, &tokens), pages);
        }
    }

    #[test]
    fn what_lies_behind_an_evicted_page_goes_with_it() {
        let (mut index, mut pools) = made(&[FULL], 10);
        let long = enter(&mut index, &mut pools, 1, &[1, 2, 3, 4, 5, 6]);
        let other = enter(&mut index, &mut pools, 1, &[1, 2, 3, 4, 7, 8]);
        assert!(long.iter().chain(&other).rev().all(|&page| pools[0].release(page)));
        assert_eq!((pools[0].cached(), index.nodes.len()), (4, 4));
        pools[0].forget(long[1]);
        index.lose(GroupId(0), long[1], &mut pools);
        assert_eq!((pools[0].cached(), found(&mut index, 1, &[1, 2, 3, 4])), (1, 1));
        assert_eq!(index.vacant.len(), 3);
        enter(&mut index, &mut pools, 1, &[1, 2, 5, 6, 7, 8]);
        assert_eq!((found(&mut index, 1, &[1, 2, 5, 6, 7, 8]), index.nodes.len()), (3, 4));
    }

    #[test]
    fn a_window_needs_its_last_pages_alone() {
        let (mut index, mut pools) = made(&[WINDOW], 10);
        let pages = enter(&mut index, &mut pools, 1, &[1, 2, 3, 4, 5, 6, 7, 8]);
        let mut lose = |index: &mut PrefixIndex, page: usize| {
            pools[0].release(pages[page]);
            pools[0].forget(pages[page]);
            index.lose(GroupId(0), pages[page], &mut pools);
        };
        // A token at 8 sees 6 and 7; one at 6 sees 4 and 5.
        lose(&mut index, 1);
        assert_eq!(found(&mut index, 1, &[1, 2, 3, 4, 5, 6, 7, 8]), 4);
        assert_eq!(found(&mut index, 1, &[1, 2, 3, 4]), 1);
        lose(&mut index, 0);
        assert_eq!(found(&mut index, 1, &[1, 2, 3, 4, 5, 6]), 3);
        lose(&mut index, 3);
        assert_eq!(index.vacant.len(), 1, "a leaf without pages goes");
        lose(&mut index, 2);
        assert_eq!((index.vacant.len(), found(&mut index, 1, &[1, 2])), (4, 0));
    }

    #[test]
    fn a_node_that_is_gone_has_no_children() {
        let (mut index, mut pools) = made(&[FULL], 3);
        let node = index.enter(1, None, &[1, 2]).expect("there is room");
        let page = pools[0].take().expect("there is room").page;
        pools[0].keep(page);
        index.put(node, 0, page);
        pools[0].release(page);
        pools[0].forget(page);
        index.lose(GroupId(0), page, &mut pools);
        assert_eq!(index.enter(1, Some(node), &[3, 4]), None);
        let nodes = (0..9).filter_map(|token| index.enter(1, None, &[token, 0])).count();
        assert_eq!(nodes, 3, "there is an end to nodes");
    }
}
