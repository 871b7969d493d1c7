//! The sequences that are alive, found by id in constant time.

use std::ops::Index;

use crate::sequence::Sequence;

/// A sequence of an engine; never used twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SequenceId {
    /// Counts sequences, so ids are ordered by start.
    number: u64,
    seat: u32,
}

/// The sequences that are alive. Seats are reused, numbers never: an id of a sequence that ended finds nothing.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    seats: Vec<Option<(u64, Sequence)>>,
    empty: Vec<u32>,
    started: u64,
}

impl Roster {
    /// Seats a sequence.
    pub(crate) fn insert(&mut self, sequence: Sequence) -> SequenceId {
        let seat = self.empty.pop().unwrap_or(self.seats.len() as u32);
        let number = self.started;
        self.started += 1;
        if seat as usize == self.seats.len() {
            self.seats.push(None);
        }
        self.seats[seat as usize] = Some((number, sequence));
        SequenceId { number, seat }
    }

    /// The sequence, where it is alive.
    pub(crate) fn find(&self, id: SequenceId) -> Option<&Sequence> {
        let (number, sequence) = self.seats.get(id.seat as usize)?.as_ref()?;
        (*number == id.number).then_some(sequence)
    }

    /// The sequence to change, where it is alive.
    pub(crate) fn find_mut(&mut self, id: SequenceId) -> Option<&mut Sequence> {
        let (number, sequence) = self.seats.get_mut(id.seat as usize)?.as_mut()?;
        (*number == id.number).then_some(sequence)
    }

    /// Takes a sequence out, where it is alive.
    pub(crate) fn remove(&mut self, id: SequenceId) -> Option<Sequence> {
        self.find(id)?;
        self.empty.push(id.seat);
        self.seats[id.seat as usize].take().map(|(_, sequence)| sequence)
    }

    /// Whether nobody is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.empty.len() == self.seats.len()
    }

    /// How many are there.
    pub(crate) fn len(&self) -> u32 {
        (self.seats.len() - self.empty.len()) as u32
    }

    /// All that are alive, with their ids.
    #[cfg(test)]
    pub(crate) fn iter(&self) -> impl Iterator<Item = (SequenceId, &Sequence)> {
        self.seats.iter().zip(0..).filter_map(|(taken, seat)| {
            taken.as_ref().map(|(number, sequence)| (SequenceId { number: *number, seat }, sequence))
        })
    }
}

/// For callers that know the sequence to be alive.
impl Index<SequenceId> for Roster {
    type Output = Sequence;

    fn index(&self, id: SequenceId) -> &Sequence {
        self.find(id).unwrap_or_else(|| panic!("sequence {} has ended", id.number))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Facts, Request};

    #[test]
    fn an_id_outlives_its_sequence_and_finds_nothing() {
        let sequence = || Sequence::new(Request::new(vec![1]), &Facts::tiny(), 8, Duration::ZERO);
        let mut roster = Roster::default();
        let (a, b) = (roster.insert(sequence()), roster.insert(sequence()));
        assert!(roster.remove(a).is_some() && roster.remove(a).is_none());
        let c = roster.insert(sequence());
        assert_eq!((c.seat, a.seat), (a.seat, 0));
        assert!(roster.find(a).is_none() && roster.find_mut(a).is_none());
        assert_eq!(roster.iter().map(|(id, _)| id).collect::<Vec<_>>(), [c, b]);
        assert!(a < b && b < c && !roster.is_empty());
    }
}
