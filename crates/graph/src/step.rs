//! What one step is given and what it gives back.
//!
//! The shapes of a program are maxima; everything here is the truth of one step. Two steps may be in flight, so a
//! token may be one that the step before has not told the host yet.

use crate::{Bucket, Graph, Group, GroupId, Sampling};

/// A page of a group's pool. Page 0 of each group is a bin: padding writes there and nobody reads it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct PageId(pub u32);

/// A step that was launched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct StepId(pub u64);

/// A token of a step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Token {
    /// An id the host knows.
    Host(u32),
    /// What the step launched before this one samples in this row.
    Previous(u32),
}

/// One step's data. Slices are as long as the step needs; the executor pads them to its bucket.
#[derive(Clone, Copy, Debug)]
pub struct Feed<'a> {
    /// `[T]` tokens, those of one sequence together and in order.
    pub tokens: &'a [Token],
    /// `[T]` position of each token in its sequence.
    pub positions: &'a [u32],
    /// `[T]` index of each token's sequence within the step.
    pub sequences: &'a [u32],
    /// `[R]` what is wanted, of which tokens.
    pub rows: &'a [Row<'a>],
    /// Page tables and slots of each group.
    pub groups: &'a [GroupFeed<'a>],
    /// Pages to copy before anything else (copy-on-write).
    pub copies: &'a [Copy],
    /// Values to put in place of the program's own, in the order of [`crate::ProgramSpec::patches`].
    pub patches: &'a [&'a [f32]],
    /// What the step holds, for pricing.
    pub counts: &'a StepCounts,
}

/// One group's part of a feed.
#[derive(Clone, Copy, Debug)]
pub struct GroupFeed<'a> {
    /// `[B, width]` pages of each sequence, the rest of a row filled with page 0.
    pub table: &'a [PageId],
    /// Columns of the table.
    pub width: u32,
    /// `[B]` which page of the sequence the first column is: pages behind a window may be gone.
    pub base: &'a [u32],
    /// `[T]` where each token's state goes: page * S + place.
    pub slots: &'a [u32],
}

/// A page copied within a group, in all its states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copy {
    /// The group.
    pub group: GroupId,
    /// Copied from here,
    pub from: PageId,
    /// over this one.
    pub to: PageId,
}

/// A row of the step that is sampled: rows are sampled, not sequences.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Index of the token whose logits these are.
    pub token: u32,
    /// How to choose.
    pub sampling: &'a Sampling,
    /// In `[0, 1)`; decides a random choice. The same number gives the same token on every backend whose logits agree.
    pub uniform: f64,
    /// Tokens seen so far, each once, for penalties that count them.
    pub seen: &'a [Seen],
    /// The sequence's tokens so far, the newest last, for DRY; those before its window may be left out.
    pub recent: &'a [u32],
    /// One bit per token id, set where it ends what DRY takes for a repetition.
    pub breakers: &'a [u32],
    /// Added to single logits.
    pub bias: &'a [(u32, f32)],
    /// One bit per token id, set where it is allowed; everything is where `None`.
    pub mask: Option<&'a [u32]>,
    /// How many of the likeliest tokens to tell.
    pub top: u32,
    /// Whether the logits themselves are wanted.
    pub logits: bool,
}

impl<'a> Row<'a> {
    /// A token chosen in a way that needs no numbers and no past, and nothing told but itself.
    pub fn new(token: u32, sampling: &'a Sampling) -> Row<'a> {
        Row {
            token,
            sampling,
            uniform: 0.0,
            seen: &[],
            recent: &[],
            breakers: &[],
            bias: &[],
            mask: None,
            top: 0,
            logits: false,
        }
    }

    /// Whether its token is chosen by the logits as they come: nothing is added, taken or forbidden.
    pub fn is_plain(&self) -> bool {
        self.sampling.penalties.is_none() && self.bias.is_empty() && self.mask.is_none()
    }

    /// Whether it is the likeliest token that is wanted, and nothing besides.
    pub fn is_greedy(&self) -> bool {
        self.sampling.temperature <= 0.0 && self.is_plain() && self.top == 0 && !self.logits
    }
}

/// How often a token has been seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// The token.
    pub id: u32,
    /// Times in what the model generated; 0 where it stands in the prompt only.
    pub generated: u32,
}

/// What a step really holds; work is priced from this and never from bucket maxima.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepCounts {
    /// Tokens, without padding.
    pub tokens: u32,
    /// Sequences.
    pub seqs: u32,
    /// Rows sampled.
    pub rows: u32,
    /// Tokens added to fill the bucket.
    pub padding: u32,
    /// Per group.
    pub groups: Vec<GroupCounts>,
    /// Experts that at least one token chose, per layer on average, where it is known.
    pub experts_touched: Option<f64>,
}

/// One group's counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    /// Pairs of a token and a position that it attends to.
    pub attended: u64,
    /// Positions whose keys and values are read at least once, summed over sequences.
    pub positions: u64,
}

impl StepCounts {
    /// The counts of the largest step that a bucket holds, each token at the end of its sequence.
    pub fn largest(graph: &Graph, bucket: &Bucket) -> StepCounts {
        let context = u64::from(bucket.pages) * u64::from(graph.page_len);
        let seen = |group: &Group| {
            let Group::Pages { window } = *group;
            let seen = context.min(window.map_or(u64::MAX, u64::from));
            GroupCounts {
                attended: u64::from(bucket.tokens) * seen,
                positions: u64::from(bucket.seqs) * seen,
            }
        };
        StepCounts {
            tokens: bucket.tokens,
            seqs: bucket.seqs,
            rows: bucket.rows,
            groups: graph.groups.iter().map(seen).collect(),
            ..StepCounts::default()
        }
    }

    /// The same with what a step has touched of a graph's experts, as [`Fetch::experts_touched`] tells it.
    #[must_use]
    pub fn touching(self, graph: &Graph, experts: Option<u32>) -> StepCounts {
        let per_layer = |sum| f64::from(sum) / f64::from(graph.mixtures().max(1));
        StepCounts { experts_touched: experts.map(per_layer), ..self }
    }

    /// The counts of a group; zero where there are none.
    pub fn group(&self, group: GroupId) -> GroupCounts {
        self.groups.get(group.index()).copied().unwrap_or_default()
    }
}

impl Feed<'_> {
    /// The smallest bucket that holds this step.
    pub fn bucket(&self) -> Bucket {
        let seqs = self.sequences.last().map_or(0, |last| last + 1);
        let tokens = self.tokens.len() as u32;
        let queries = if seqs > 0 && tokens.is_multiple_of(seqs) { tokens / seqs } else { 0 };
        let each = |(t, &s): (usize, &u32)| queries > 0 && s == t as u32 / queries;
        let uniform = self.sequences.iter().enumerate().all(each);
        Bucket {
            tokens,
            seqs,
            queries: if uniform { queries } else { 0 },
            pages: self.groups.iter().map(|g| g.width).max().unwrap_or(0),
            rows: self.rows.len() as u32,
        }
    }
}

/// What a step gave. The caller keeps one and hands it in again: nothing is allocated once it has grown.
#[derive(Clone, Debug, Default)]
pub struct Fetch {
    /// One per row.
    pub sampled: Vec<Sampled>,
    /// The likeliest tokens of each row that asked, row after row, with their log-probabilities.
    pub top: Vec<(u32, f32)>,
    /// Logits of the rows that asked, row after row.
    pub logits: Vec<f32>,
    /// Values of the program's taps, in their order, each with its shape.
    pub taps: Vec<(tensor::Shape, Vec<f32>)>,
    /// Time the device worked on the step, in nanoseconds.
    pub device_ns: u64,
    /// Experts that at least one token chose, each counted once in each layer, of all layers together; `None` where there are
    /// none, or the device does not count them.
    pub experts_touched: Option<u32>,
}

impl Fetch {
    /// Forgets the last step's results and keeps their memory.
    pub fn clear(&mut self) {
        self.sampled.clear();
        self.top.clear();
        self.logits.clear();
        self.taps.clear();
        self.device_ns = 0;
        self.experts_touched = None;
    }
}

/// The token a row became.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampled {
    /// The token.
    pub id: u32,
    /// Its log-probability under the model's own distribution, before penalties, temperature and cuts.
    pub logprob: f32,
}
