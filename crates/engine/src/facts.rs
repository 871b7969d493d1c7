//! What the engine must know of a model and a device, and the sizes that follow from it.

use graph::{Bucket, BucketPolicy, Budget, Group};

use crate::EngineError;
use crate::limits::{LOGITS_PER_STEP, SLOTS, STEPS_IN_FLIGHT};

/// A model and a device in integers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Groups of states, in the graph's order.
    pub groups: Vec<Group>,
    /// Positions per page, in every group.
    pub page_len: u32,
    /// The most tokens of a sequence, prompt and answer together. The engine takes less where the pages do not suffice.
    pub context: u32,
    /// Token ids are below this.
    pub vocab: u32,
    /// Which buckets the device wants programs for.
    pub buckets: BucketPolicy,
    /// The most tokens of a prompt in one step; [`crate::limits::CHUNK`] unless there is a reason.
    pub chunk: u32,
    /// The most sequences in one step.
    pub max_seqs: u32,
    /// Tokens that a sequence usually has: pages are asked for so many of each sequence, and for one whole context.
    pub usual: u32,
    /// Whether the device works on a step while the next one is launched.
    pub overlap: bool,
    /// Whether prompts and decoding may share a step.
    pub mixed_steps: bool,
}

impl Facts {
    /// What to open the device with, so that every step of the engine fits.
    pub fn budget(&self, bytes: Option<u64>) -> Budget {
        let bucket = Bucket {
            tokens: self.step_tokens(),
            seqs: self.max_seqs,
            queries: 0,
            pages: self.groups.iter().map(|&group| self.sequence_pages(group)).max().unwrap_or(0),
            rows: self.step_rows(),
        };
        let pages = |&group: &Group| {
            let whole = self.sequence_pages(group);
            let usual = whole.min(self.usual.div_ceil(self.page_len));
            usual.saturating_mul(self.max_seqs - 1).saturating_add(whole).saturating_add(1)
        };
        Budget { bytes, bucket: self.buckets.round(bucket), pages: self.groups.iter().map(pages).collect() }
    }

    /// # Panics
    /// Where a size is zero: facts come from a verified graph.
    pub(crate) fn check(&self) {
        assert!(self.page_len > 0 && self.chunk > 0, "pages and chunks hold at least one token");
        assert!(self.vocab > 0 && self.context > 0 && self.max_seqs > 0, "there is a token, and room for it");
    }

    /// The most tokens of one step.
    pub(crate) fn step_tokens(&self) -> u32 {
        self.chunk.max(self.max_seqs)
    }

    /// The most rows of one step.
    pub(crate) fn step_rows(&self) -> u32 {
        self.logit_rows().max(self.max_seqs)
    }

    /// Steps that are launched before the first of them is waited for.
    pub(crate) fn steps_in_flight(&self) -> usize {
        if self.overlap { STEPS_IN_FLIGHT } else { 1 }
    }

    /// Rows of one step that may bring their logits back.
    pub(crate) fn logit_rows(&self) -> u32 {
        (LOGITS_PER_STEP / self.vocab).clamp(1, self.chunk)
    }

    /// Pages of a pool that the engine uses: no slot may exceed what a device can address.
    pub(crate) fn usable(&self, pages: u32) -> u32 {
        pages.min(SLOTS / self.page_len)
    }

    /// The context that these pages hold, the bin counted among them.
    pub fn context_within(&self, pages: &[u32]) -> Result<u32, EngineError> {
        if pages.len() != self.groups.len() {
            let (given, wanted) = (pages.len(), self.groups.len());
            return Err(EngineError::Answer { what: "page pools", given, wanted });
        }
        // A window holds any context, but positions are signed 32-bit integers on devices too.
        let mut context = self.context.min(SLOTS);
        for (group, &pages) in pages.iter().enumerate() {
            let granted = self.usable(pages).saturating_sub(1);
            if granted == 0 {
                return Err(EngineError::NoRoom { group, pages });
            }
            if granted < self.sequence_pages(self.groups[group]) {
                context = context.min(granted * self.page_len);
            }
        }
        Ok(context)
    }

    /// The most pages one sequence ever holds in a group, those included that steps in flight still name.
    pub(crate) fn sequence_pages(&self, group: Group) -> u32 {
        let whole = self.context.div_ceil(self.page_len);
        match group {
            Group::Pages { window: None } => whole,
            Group::Pages { window: Some(window) } => {
                let steps = self.chunk.saturating_mul(STEPS_IN_FLIGHT as u32);
                // A stretch of positions that does not start on a page touches one more.
                whole.min(window.saturating_add(steps).div_ceil(self.page_len).saturating_add(1))
            }
        }
    }
}

#[cfg(test)]
impl Facts {
    /// Of a model without layers.
    pub(crate) fn tiny() -> Facts {
        Facts {
            groups: vec![],
            page_len: 4,
            context: 8,
            vocab: 100,
            buckets: BucketPolicy::Exact,
            chunk: 4,
            max_seqs: 1,
            usual: 8,
            overlap: false,
            mixed_steps: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            groups: vec![Group::Pages { window: None }, Group::Pages { window: Some(8) }],
            page_len: 4,
            context: 100,
            vocab: 1 << 20,
            buckets: BucketPolicy::Exact,
            chunk: 16,
            max_seqs: 2,
            usual: 40,
            overlap: true,
            mixed_steps: true,
        }
    }

    #[test]
    fn a_window_needs_few_pages() {
        let budget = facts().budget(None);
        assert_eq!(budget.pages, [25 + 10 + 1, 11 + 10 + 1]);
        assert_eq!(budget.bucket, Bucket { tokens: 16, seqs: 2, queries: 0, pages: 25, rows: 16 });
        assert_eq!(Facts { vocab: 1 << 24, ..facts() }.budget(None).bucket.rows, 2);
    }

    #[test]
    fn the_context_is_what_the_pages_hold() {
        let within = |pages: &[u32]| facts().context_within(pages).map_err(|error| error.to_string());
        assert_eq!(within(&[26, 12]), Ok(100));
        assert_eq!(within(&[11, 12]), Ok(40));
        assert_eq!(within(&[26, 11]), Ok(40), "too few pages for the window: none may be dropped");
        let endless = Facts { groups: vec![Group::Pages { window: Some(8) }], context: u32::MAX, ..facts() };
        assert_eq!(endless.context_within(&[12]).ok(), Some(SLOTS));
        assert!(within(&[26, 1]).is_err_and(|text| text.contains("room for 1 pages of state in group 1")));
        assert!(within(&[26]).is_err_and(|text| text.contains("gave 1 page pools")));
    }
}
