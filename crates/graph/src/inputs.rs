//! A step's data as the inputs of the main function: checked, and padded to the program's bucket.

use crate::{BackendError, Bucket, Copy, Feed, Graph, GroupFeed, GroupId, Input, Token};

/// The inputs of one step.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What the program was made for.
    pub bucket: Bucket,
    /// The step's data.
    pub feed: &'a Feed<'a>,
    /// What the step before sampled, row by row.
    pub previous: &'a [u32],
}

impl Inputs<'_> {
    /// One input, as long as the bucket makes it, in place of what `out` held. Nothing is allocated once `out` has
    /// grown. The inputs have been checked.
    ///
    /// Padding writes to the bin. It belongs to the bucket's last sequence, or to its own where every sequence has as
    /// many tokens.
    pub fn fill(&self, input: Input, out: &mut Vec<i32>) {
        let Bucket { tokens, seqs, rows, .. } = self.bucket;
        let feed = self.feed;
        let group = |group: GroupId| &feed.groups[group.index()];
        out.clear();
        match input {
            Input::Tokens => pad(out, feed.tokens.iter().map(|token| self.id(token)), tokens, |_| 0),
            Input::Positions => pad(out, each(feed.positions), tokens, |t| self.padding_position(t)),
            Input::Sequences => pad(out, each(feed.sequences), tokens, |t| self.padding_sequence(t)),
            Input::Slots(of) => pad(out, each(group(of).slots), tokens, |_| 0),
            Input::Rows => pad(out, feed.rows.iter().map(|row| row.token), rows, |_| 0),
            Input::Base(of) => pad(out, each(group(of).base), seqs, |_| 0),
            Input::Table(of) => self.table(group(of), out),
        }
    }

    /// The table with rows as wide as the bucket; what is added is the bin.
    fn table(&self, group: &GroupFeed<'_>, out: &mut Vec<i32>) {
        let Bucket { seqs, pages, .. } = self.bucket;
        let rows = group.table.chunks_exact(group.width.max(1) as usize);
        for row in rows.take(seqs as usize) {
            let end = out.len() + pages as usize;
            pad(out, row.iter().map(|page| page.0), end as u32, |_| 0);
        }
        out.resize(seqs as usize * pages as usize, 0);
    }

    fn id(&self, token: &Token) -> u32 {
        match *token {
            Token::Host(id) => id,
            Token::Previous(row) => self.previous[row as usize],
        }
    }

    fn padding_sequence(&self, token: u32) -> u32 {
        let last = self.bucket.seqs.saturating_sub(1);
        match self.bucket.queries {
            0 => last,
            queries => (token / queries).min(last),
        }
    }

    /// Padding must see something: a softmax over nothing is no number, and the bin it would be written to is read by
    /// all. Padding of a real sequence stands where that sequence's last token does, since position 0 may have left
    /// its window; padding of no sequence sees the first slot of the bin.
    fn padding_position(&self, token: u32) -> u32 {
        match self.feed.sequences.last().zip(self.feed.positions.last()) {
            Some((&sequence, &position)) if sequence == self.padding_sequence(token) => position,
            _ => 0,
        }
    }

    /// Refuses a step that its program does not hold, whose parts do not belong together, or that names tokens, pages
    /// or slots which do not exist: after this, every index that a kernel is given is in range. `pages` are those of
    /// each group's pool.
    pub fn check(&self, device: &'static str, graph: &Graph, pages: &[u32]) -> Result<(), BackendError> {
        self.fault(graph, pages).map_or(Ok(()), |reason| {
            Err(BackendError::Unsupported { device, what: "this step".to_owned(), reason })
        })
    }

    fn fault(&self, graph: &Graph, pages: &[u32]) -> Option<String> {
        let (feed, step) = (self.feed, self.feed.bucket());
        let tokens = feed.tokens.len();
        if !self.bucket.holds(&step) {
            return Some(format!("it needs {step:?} and its program is for {:?}", self.bucket));
        }
        if feed.positions.len() != tokens || feed.sequences.len() != tokens {
            return Some(format!("{tokens} tokens do not all have a position and a sequence"));
        }
        if feed.sequences.iter().any(|&sequence| sequence >= step.seqs) {
            return Some(format!("a token is of none of its {} sequences", step.seqs));
        }
        if feed.rows.iter().any(|row| row.token as usize >= tokens) {
            return Some(format!("a row asks for a token beyond the {tokens} it has"));
        }
        if feed.groups.len() != pages.len() {
            return Some(format!("it feeds {} of {} groups", feed.groups.len(), pages.len()));
        }
        let copied = |copy: &Copy| {
            let pages = pages.get(copy.group.index()).copied().unwrap_or(0);
            copy.from.0 < pages && copy.to.0 < pages
        };
        if let Some(copy) = feed.copies.iter().find(|copy| !copied(copy)) {
            return Some(format!("{copy:?} names a page that does not exist"));
        }
        let mut groups = feed.groups.iter().zip(pages);
        let fault = feed.tokens.iter().find_map(|token| self.token_fault(token, graph.vocab));
        fault.or_else(|| groups.find_map(|(group, &pages)| self.group_fault(group, pages, graph.page_len)))
    }

    fn token_fault(&self, token: &Token, vocab: u32) -> Option<String> {
        match *token {
            Token::Host(id) if id >= vocab => Some(format!("token {id} is none of the {vocab} there are")),
            Token::Previous(row) if row as usize >= self.previous.len() => {
                Some(format!("the step before sampled no row {row} that it asks for"))
            }
            _ => None,
        }
    }

    fn group_fault(&self, group: &GroupFeed<'_>, pages: u32, page_len: u32) -> Option<String> {
        let (feed, seqs) = (self.feed, self.feed.bucket().seqs as usize);
        if group.table.len() != seqs * group.width as usize || group.base.len() != seqs {
            return Some(format!("a table is not {seqs} sequences long and {} pages wide", group.width));
        }
        if group.slots.len() != feed.tokens.len() {
            return Some(format!("{} slots are given for {} tokens", group.slots.len(), feed.tokens.len()));
        }
        if group.table.iter().any(|page| page.0 >= pages) {
            return Some(format!("a table names a page beyond the {pages} there are"));
        }
        let slots = u64::from(pages) * u64::from(page_len);
        if group.slots.iter().any(|&slot| u64::from(slot) >= slots || i32::try_from(slot).is_err()) {
            return Some(format!("a slot lies beyond the {slots} there are, or beyond 31 bits"));
        }
        let covered = |(&position, &sequence): (&u32, &u32)| {
            let column = (position / page_len.max(1)).checked_sub(group.base[sequence as usize]);
            i32::try_from(position).is_ok() && column.is_some_and(|column| column < group.width)
        };
        let position = feed.positions.iter().zip(feed.sequences).find(|&pair| !covered(pair));
        position.map(|(position, _)| format!("position {position} lies outside its sequence's table"))
    }
}

/// These values, and then `padding` of each place that is left, `len` in all.
fn pad(out: &mut Vec<i32>, values: impl Iterator<Item = u32>, len: u32, padding: impl Fn(u32) -> u32) {
    let room = len as usize - out.len();
    out.extend(values.take(room).map(|value| value as i32));
    out.extend((out.len() as u32..len).map(|place| padding(place) as i32));
}

fn each(values: &[u32]) -> impl Iterator<Item = u32> {
    values.iter().copied()
}
