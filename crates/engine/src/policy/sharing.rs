//! How the tokens of one step are shared: whoever decodes has its token first, prompts take what is left in order of
//! turn. So a long prompt slows the others down by a bounded step, and they never stop for it.

/// What a step is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Kind {
    /// Prompts and decoding together.
    #[default]
    Mixed,
    /// Decoding alone.
    Decode,
    /// Prompts alone.
    Prefill,
}

impl Kind {
    /// Of the next step, on a device that mixes or does not: there prompts and decoding take turns where both are
    /// ready, so that neither waits longer than one step.
    pub(crate) fn next(mixed: bool, last: Kind, decodes: bool, prefills: bool) -> Kind {
        match (mixed, decodes, prefills) {
            (true, ..) => Kind::Mixed,
            (_, true, true) if last != Kind::Prefill => Kind::Prefill,
            (_, true, _) => Kind::Decode,
            (_, false, _) => Kind::Prefill,
        }
    }

    /// Whether prompts have a part in it.
    pub(crate) fn prefills(self) -> bool {
        self != Kind::Decode
    }

    /// Whether decoding has a part in it.
    pub(crate) fn decodes(self) -> bool {
        self != Kind::Prefill
    }
}

/// What there is of a step for one sequence, or for all that are still to come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Share {
    /// Tokens.
    pub tokens: u32,
    /// Rows; of those still to come, beside the one that each has.
    pub rows: u32,
}

/// Tokens of a step that prompts may have, of `most` there may be, where so many are decoded.
pub(crate) fn left_for_prompts(most: u32, decoded: u32) -> u32 {
    most.saturating_sub(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_does_not_mix_takes_turns() {
        assert_eq!(Kind::next(true, Kind::Mixed, true, true), Kind::Mixed);
        let next = |last, decodes, prefills| Kind::next(false, last, decodes, prefills);
        assert_eq!(next(Kind::Decode, true, true), Kind::Prefill);
        assert_eq!(next(Kind::Prefill, true, true), Kind::Decode);
        assert_eq!(next(Kind::Prefill, false, true), Kind::Prefill);
        assert_eq!(next(Kind::Decode, true, false), Kind::Decode);
    }
}
