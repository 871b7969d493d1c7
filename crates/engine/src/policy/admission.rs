//! Whether a request may begin: capacity is decided here, so that no stream meets an error in its middle.

use crate::RefuseError;
use crate::limits::SEQUENCES;

/// What is decided of a request at the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// It may begin now.
    Admit,
    /// It may begin when others have ended.
    Wait,
}

/// One group's pages, as the request at the head of the line finds them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Room {
    /// Pages that can be granted.
    pub free: u32,
    /// Pages that running sequences still need for the tokens they have.
    pub promised: u32,
    /// Pages that the request needs for its tokens and the first one to come.
    pub needed: u32,
}

/// Decides of the request at the head of the line: it begins where its tokens fit beside those of all others, and a
/// page more for each that runs, since running ones that grow would soon push it out again. Where nobody runs it
/// begins as soon as it fits, which it does: a pool holds a whole context.
pub(crate) fn verdict(rooms: &[Room], running: u32) -> Verdict {
    let fits = |room: &Room| {
        let wanted = u64::from(room.promised) + u64::from(room.needed) + u64::from(running);
        wanted <= u64::from(room.free)
    };
    if rooms.iter().all(fits) { Verdict::Admit } else { Verdict::Wait }
}

/// Refuses more answers where too many sequences are alive.
pub(crate) fn check(alive: u32, answers: u32) -> Result<(), RefuseError> {
    if u64::from(alive) + u64::from(answers) > u64::from(SEQUENCES) {
        return Err(RefuseError::Full { alive, limit: SEQUENCES });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_runs_has_what_it_needs_before_another_begins() {
        let room = |free, promised, needed| Room { free, promised, needed };
        assert_eq!(verdict(&[room(5, 0, 5)], 0), Verdict::Admit);
        assert_eq!(verdict(&[room(5, 0, 5)], 1), Verdict::Wait);
        assert_eq!(verdict(&[room(9, 3, 5)], 1), Verdict::Admit);
        assert_eq!(verdict(&[room(9, 3, 5), room(1, 0, 1)], 1), Verdict::Wait);
        assert_eq!(verdict(&[room(9, u32::MAX, u32::MAX)], 1), Verdict::Wait);
        assert!(check(SEQUENCES - 2, 2).is_ok() && check(SEQUENCES - 2, 3).is_err());
    }
}
