//! Where the workers must meet: before a node that reads what another worker may still be writing, or writes what
//! another may still be reading.

use std::ops::Range;

/// Memory that nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Region {
    /// Bytes of the work space.
    Work(Range<usize>),
    /// A state.
    State(usize),
    /// The part of the work space that nodes use one after another.
    Shared,
}

/// How the workers divide a region among themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// In so many equal rows, each worker the same share of them in every node.
    Rows(usize),
    /// In a way of the node's own.
    Other,
}

/// What a node does to a region.
#[derive(Clone, Debug)]
pub struct Access {
    pub region: Region,
    pub split: Split,
    pub writes: bool,
}

impl Access {
    /// Whether order matters between the two.
    fn conflicts(&self, other: &Access) -> bool {
        let (meets, same) = match (&self.region, &other.region) {
            (Region::Work(a), Region::Work(b)) => (a.start < b.end && b.start < a.end, a == b),
            (a, b) => (a == b, a == b),
        };
        // Equal rows of the same bytes: each worker finds what it wrote itself.
        let own = same && self.split == other.split && self.split != Split::Other;
        meets && (self.writes || other.writes) && !own
    }
}

/// What has been accessed since the workers last met.
#[derive(Default)]
pub struct Hazards {
    open: Vec<Access>,
}

impl Hazards {
    /// Whether the workers must meet before a node with these accesses, which is noted.
    pub fn meets_before(&mut self, accesses: Vec<Access>) -> bool {
        let meets = accesses.iter().any(|new| self.open.iter().any(|old| new.conflicts(old)));
        if meets {
            self.open.clear();
        }
        self.open.extend(accesses);
        meets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(range: Range<usize>, split: Split, writes: bool) -> Access {
        Access { region: Region::Work(range), split, writes }
    }

    #[test]
    fn equal_rows_of_the_same_bytes_need_no_meeting() {
        let mut hazards = Hazards::default();
        assert!(!hazards.meets_before(vec![access(0..64, Split::Rows(4), true)]));
        assert!(!hazards.meets_before(vec![access(0..64, Split::Rows(4), false)]));
        assert!(hazards.meets_before(vec![access(0..64, Split::Other, false)]));
        // Reading alone never does.
        assert!(!hazards.meets_before(vec![access(0..32, Split::Rows(2), false)]));
        assert!(hazards.meets_before(vec![access(16..80, Split::Rows(4), true)]));
    }

    #[test]
    fn states_are_written_before_they_are_read() {
        let state = |writes, split| Access { region: Region::State(1), split, writes };
        let mut hazards = Hazards::default();
        assert!(!hazards.meets_before(vec![state(true, Split::Rows(7))]));
        assert!(hazards.meets_before(vec![state(false, Split::Other)]));
        assert!(!hazards.meets_before(vec![access(0..64, Split::Other, true)]));
    }
}
