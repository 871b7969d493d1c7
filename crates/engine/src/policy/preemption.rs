//! Who gives up its pages where there are too few: it loses no token, and is computed again when its turn comes.

use super::order::Turn;

/// A running sequence as this policy sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Holder {
    /// Its turn.
    pub turn: Turn,
    /// Whether its reader has stalled, so that it makes no use of its pages now.
    pub paused: bool,
}

/// Which of the running sequences, in order of their turns, gives way to the one at `place`: the last that is paused,
/// else the last of all, which may be that one itself.
pub(crate) fn gives_way(
    running: impl DoubleEndedIterator<Item = Holder> + ExactSizeIterator,
    place: usize,
) -> usize {
    let last = running.len() - 1;
    let mut paused = running.enumerate().rev().filter(|(at, holder)| holder.paused && *at != place);
    paused.next().map_or(last, |(at, _)| at)
}

/// Which of the running sequences gives way to one that waits for pages or a seat: the last that is paused, else the
/// last of all where the waiting one is a level of priority more urgent. Turns are fixed, so nobody is pushed out by
/// whom it pushed out.
pub(crate) fn makes_room(
    running: impl DoubleEndedIterator<Item = Holder> + ExactSizeIterator,
    waiting: Turn,
) -> Option<usize> {
    let last = running.len().checked_sub(1)?;
    let mut pushed = None;
    for (at, holder) in running.enumerate().rev() {
        if holder.paused {
            return Some(at);
        }
        if at == last && waiting.is_far_before(holder.turn) {
            pushed = Some(at);
        }
    }
    pushed
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn running(paused: &[bool]) -> Vec<Holder> {
        let turn = |at: usize| Turn::new(Duration::from_secs(at as u64), 0);
        paused.iter().enumerate().map(|(at, &paused)| Holder { turn: turn(at), paused }).collect()
    }

    #[test]
    fn the_last_gives_way_and_stalled_ones_before() {
        assert_eq!(gives_way(running(&[false, false, false]).into_iter(), 0), 2);
        assert_eq!(gives_way(running(&[true, false, false]).into_iter(), 1), 0);
        assert_eq!(gives_way(running(&[true, true, false]).into_iter(), 2), 1);
        assert_eq!(gives_way(running(&[false]).into_iter(), 0), 0);
    }

    #[test]
    fn only_the_far_more_urgent_push_others_out() {
        let waiting = |priority| Turn::new(Duration::from_secs(3), priority);
        assert_eq!(makes_room(running(&[]).into_iter(), waiting(9)), None);
        assert_eq!(makes_room(running(&[false, false]).into_iter(), waiting(0)), None);
        assert_eq!(makes_room(running(&[false, false]).into_iter(), waiting(2)), Some(1));
        assert_eq!(makes_room(running(&[true, false]).into_iter(), waiting(0)), Some(0));
    }
}
