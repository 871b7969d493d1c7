//! A step's data as the inputs of the main function: checked, and padded to the program's bucket.

use graph::{BackendError, Bucket, Feed, GroupFeed, Input, Token};

use crate::array::Array;
use crate::{failed, unsupported};

/// The inputs of one step.
pub(crate) struct Inputs<'a> {
    pub(crate) feed: &'a Feed<'a>,
    /// What the step before sampled, row by row.
    pub(crate) previous: &'a [u32],
    pub(crate) bucket: Bucket,
    /// Pages of each group.
    pub(crate) pages: &'a [u32],
    /// Slots per page.
    pub(crate) page_len: u32,
}

impl Inputs<'_> {
    /// Refuses a feed whose parts do not belong together, or that names pages which do not exist.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        let (feed, step) = (self.feed, self.feed.bucket());
        let refuse = |reason: String| Err(unsupported("this step", reason));
        if !self.bucket.holds(&step) {
            return refuse(format!("it needs {step:?} and its program is for {:?}", self.bucket));
        }
        let tokens = feed.tokens.len();
        if feed.positions.len() != tokens || feed.sequences.len() != tokens {
            return refuse(format!("{tokens} tokens do not all have a position and a sequence"));
        }
        if feed.rows.iter().any(|row| row.token as usize >= tokens) {
            return refuse(format!("a row asks for a token beyond the {tokens} it has"));
        }
        if feed.groups.len() != self.pages.len() {
            return refuse(format!("it feeds {} of {} groups", feed.groups.len(), self.pages.len()));
        }
        for (group, &pages) in feed.groups.iter().zip(self.pages) {
            if let Some(reason) = self.wrong(group, pages, step.seqs as usize) {
                return refuse(reason);
            }
        }
        match feed.copies.iter().find(|copy| {
            let pages = self.pages.get(copy.group.index()).copied().unwrap_or(0);
            copy.from.0 >= pages || copy.to.0 >= pages
        }) {
            Some(copy) => refuse(format!("{copy:?} names a page that does not exist")),
            None => Ok(()),
        }
    }

    fn wrong(&self, group: &GroupFeed<'_>, pages: u32, seqs: usize) -> Option<String> {
        let slots = u64::from(pages) * u64::from(self.page_len);
        if group.table.len() != seqs * group.width as usize || group.base.len() != seqs {
            return Some(format!("a table is not {seqs} sequences wide and {} pages long", group.width));
        }
        if group.slots.len() != self.feed.tokens.len() {
            return Some(format!(
                "{} slots are given for {} tokens",
                group.slots.len(),
                self.feed.tokens.len()
            ));
        }
        if group.table.iter().any(|page| page.0 >= pages) {
            return Some(format!("a table names a page beyond the {pages} there are"));
        }
        let outside = group.slots.iter().any(|&slot| u64::from(slot) >= slots);
        outside.then(|| format!("a slot lies beyond the {slots} there are"))
    }

    /// One input, as large as the bucket.
    pub(crate) fn array(&self, input: Input) -> Result<Array, BackendError> {
        let feed = self.feed;
        let of = |group: graph::GroupId| {
            let group = feed.groups.get(group.index());
            group.ok_or_else(|| unsupported("this step", format!("{input:?} is not fed")))
        };
        match input {
            Input::Tokens => self.per_token(&self.tokens()?, |_| 0),
            Input::Positions => self.per_token(feed.positions, |t| self.padding_position(t)),
            Input::Sequences => self.per_token(feed.sequences, |t| self.padding_sequence(t)),
            Input::Slots(group) => self.per_token(of(group)?.slots, |_| 0),
            Input::Rows => {
                let rows = feed.rows.iter().map(|row| row.token).collect::<Vec<_>>();
                padded(&rows, &[self.bucket.rows], |_| 0)
            }
            Input::Base(group) => padded(of(group)?.base, &[self.bucket.seqs], |_| 0),
            Input::Table(group) => {
                let (group, width) = (of(group)?, self.bucket.pages as usize);
                let mut table = vec![0; self.bucket.seqs as usize * width];
                let rows = group.table.chunks(group.width.max(1) as usize);
                for (wide, row) in table.chunks_mut(width.max(1)).zip(rows) {
                    wide.iter_mut().zip(row).for_each(|(wide, page)| *wide = page.0);
                }
                padded(&table, &[self.bucket.seqs, self.bucket.pages], |_| 0)
            }
        }
    }

    fn tokens(&self) -> Result<Vec<u32>, BackendError> {
        let resolve = |token: &Token| match *token {
            Token::Host(id) => Ok(id),
            Token::Previous(row) => self.previous.get(row as usize).copied().ok_or_else(|| {
                unsupported("this step", format!("the step before sampled no row {row} that it asks for"))
            }),
        };
        self.feed.tokens.iter().map(resolve).collect()
    }

    fn per_token(&self, values: &[u32], padding: impl Fn(u32) -> u32) -> Result<Array, BackendError> {
        padded(values, &[self.bucket.tokens], padding)
    }

    /// Padding belongs to the bucket's last sequence, or to its own where every sequence has as many tokens.
    fn padding_sequence(&self, token: u32) -> u32 {
        match self.bucket.queries {
            0 => self.bucket.seqs.saturating_sub(1),
            queries => token / queries,
        }
    }

    /// Padding must see something: a softmax over nothing is NaN, and the bin it would be written to is read by all.
    /// Padding of a real sequence stands where that sequence's last token does, since position 0 may have left its
    /// window; padding of no sequence sees the first slot of the bin.
    fn padding_position(&self, token: u32) -> u32 {
        let last = self.feed.sequences.last().zip(self.feed.positions.last());
        match last {
            Some((&sequence, &position)) if sequence == self.padding_sequence(token) => position,
            _ => 0,
        }
    }
}

/// These values, and then `padding` of each place that is left, in a tensor of this shape.
fn padded(values: &[u32], shape: &[u32], padding: impl Fn(u32) -> u32) -> Result<Array, BackendError> {
    let shape = shape.iter().map(|&axis| axis as usize).collect::<Vec<_>>();
    let left = values.len() as u32..shape.iter().product::<usize>() as u32;
    let all = values.iter().copied().chain(left.map(padding));
    let all = all.map(|value| {
        i32::try_from(value).map_err(|_| unsupported("this step", format!("{value} does not fit 31 bits")))
    });
    Array::from_i32s(&shape, all.collect::<Result<_, _>>()?).map_err(failed)
}
