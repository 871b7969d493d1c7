//! What one rendering may use. Steps are counted by minijinja's fuel; this counts the bytes that steps make, because a
//! step can double a string and forty steps would then fill the machine.

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, State, Value};

/// Bytes that all steps of one rendering may make together, kept or not: an upper bound of its memory.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// Deepest nesting of lists and maps.
pub(super) const MAX_DEPTH: usize = 128;

/// What an element of a list costs, bytes.
const ELEMENT_BYTES: usize = 32;

struct Budget {
    left: usize,
}

/// Takes `bytes` from the budget of this rendering, before they are made.
pub(super) fn spend(state: &mut State, bytes: usize) -> Result<(), Error> {
    let budget = state.get_or_insert_extension(Budget { left: MAX_BYTES });
    budget.left = budget.left.checked_sub(bytes).ok_or_else(|| {
        Error::new(
            ErrorKind::OutOfFuel,
            format!("it makes more than {} MiB of text and lists", MAX_BYTES >> 20),
        )
    })?;
    Ok(())
}

/// Roughly the memory that a value itself takes, bytes.
pub(super) fn size(value: &Value) -> usize {
    match value.as_str() {
        Some(text) => text.len(),
        None => value.len().unwrap_or(0).saturating_mul(ELEMENT_BYTES),
    }
}

/// Pays for a value that goes `depth` levels deep into another, by all that is inside it.
///
/// A list that holds another twice, which holds another twice, and so on, is small in memory, but comparing or writing
/// it never ends. Weighing it each time it is put into another one stops that early, and keeps nesting shallow.
pub(super) fn weigh(state: &mut State, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::new(
            ErrorKind::OutOfFuel,
            format!("values are nested deeper than {MAX_DEPTH} levels"),
        ));
    }
    spend(state, ELEMENT_BYTES)?;
    match value.kind() {
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.try_for_each(|item| weigh(state, &item, depth + 1))
        }
        ValueKind::Map => {
            for key in value.try_iter()? {
                weigh(state, &value.get_item(&key)?, depth + 1)?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
