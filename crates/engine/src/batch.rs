//! Fills the feed of a step over several sequences, in vectors that are kept: nothing is allocated once they have grown.

use std::mem;

use graph::{
    Bucket, BucketPolicy, Copy, Feed, Group, GroupCounts, GroupFeed, PageId, Row, StepCounts, Token,
};

use crate::page_table::first_seen;
use crate::policy::admission::Room;
use crate::random::uniform;
use crate::roster::Roster;
use crate::sequence::Sequence;
use crate::{Facts, SequenceId};

/// What one sequence does in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// Which.
    pub sequence: SequenceId,
    /// Position of its first token in the step.
    pub from: u32,
    /// Its tokens in the step, at least one.
    pub count: u32,
    /// How many of them, the last ones, are sampled.
    pub rows: u32,
    /// The row of the step before that makes the token, where the host does not know it; there is one token then.
    pub previous: Option<u32>,
}

impl Part {
    /// The position after its last token.
    pub(crate) fn end(&self) -> u32 {
        self.from + self.count
    }
}

/// What a step does.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// Its parts, whose pages have been granted.
    pub parts: Vec<Part>,
    /// Pages copied first, for sequences that are to write into what others read.
    pub copies: Vec<Copy>,
    /// Pages that it copies from and that their holders have given up.
    pub releases: Vec<(usize, PageId)>,
    /// Kept for its memory.
    pub rooms: Vec<Room>,
}

impl Plan {
    /// Begins another.
    pub(crate) fn clear(&mut self) {
        self.parts.clear();
        self.copies.clear();
        self.releases.clear();
    }
}

/// Entries of page tables that there is room for from the start.
const TABLE: usize = 1 << 20;

/// The vectors behind a feed.
#[derive(Debug)]
pub(crate) struct Batch {
    groups: Vec<Group>,
    page_len: u32,
    buckets: BucketPolicy,
    tokens: Vec<Token>,
    positions: Vec<u32>,
    sequences: Vec<u32>,
    pages: Vec<GroupPages>,
    counts: StepCounts,
    /// Empty between steps; kept for their memory.
    rows: Vec<Row<'static>>,
    group_feeds: Vec<GroupFeed<'static>>,
}

/// The vectors behind one group's feed.
#[derive(Debug)]
struct GroupPages {
    table: Vec<PageId>,
    width: u32,
    base: Vec<u32>,
    slots: Vec<u32>,
}

impl Batch {
    /// An empty batch, with room for steps that are not out of the ordinary.
    pub(crate) fn new(facts: &Facts) -> Batch {
        let (tokens, seqs) = (facts.step_tokens() as usize, facts.max_seqs as usize);
        let pages = |&group: &Group| {
            let table = seqs.saturating_mul(facts.sequence_pages(group) as usize).min(TABLE);
            GroupPages {
                table: Vec::with_capacity(table),
                width: 0,
                base: Vec::with_capacity(seqs),
                slots: Vec::with_capacity(tokens),
            }
        };
        Batch {
            groups: facts.groups.clone(),
            page_len: facts.page_len,
            buckets: facts.buckets,
            tokens: Vec::with_capacity(tokens),
            positions: Vec::with_capacity(tokens),
            sequences: Vec::with_capacity(tokens),
            pages: facts.groups.iter().map(pages).collect(),
            counts: StepCounts::default(),
            rows: vec![],
            group_feeds: vec![],
        }
    }

    /// Fills the feed of a plan and hands it on with the bucket it runs in. Every position of its parts must have its
    /// page.
    pub(crate) fn feed<T>(
        &mut self,
        plan: &Plan,
        roster: &Roster,
        patches: &[&[f32]],
        run: impl FnOnce(&Feed<'_>, Bucket) -> T,
    ) -> T {
        self.clear();
        let parts = &plan.parts;
        for (part, index) in parts.iter().zip(0..) {
            self.push_tokens(part, index, &roster[part.sequence]);
        }
        self.push_tables(parts, roster);
        let mut rows = recycle(mem::take(&mut self.rows));
        push_rows(&mut rows, parts, roster);
        let mut groups = recycle(mem::take(&mut self.group_feeds));
        groups.extend(self.pages.iter().map(GroupPages::feed));
        self.counts.rows = rows.len() as u32;
        // Padding is known once the bucket is, and the bucket follows from all the rest.
        let unpadded = StepCounts::default();
        let feed = Feed {
            tokens: &self.tokens,
            positions: &self.positions,
            sequences: &self.sequences,
            rows: &rows,
            groups: &groups,
            copies: &plan.copies,
            patches,
            counts: &unpadded,
        };
        let bucket = self.buckets.round(feed.bucket());
        self.counts.padding = bucket.tokens - self.counts.tokens;
        let result = run(&Feed { counts: &self.counts, ..feed }, bucket);
        self.rows = recycle(rows);
        self.group_feeds = recycle(groups);
        result
    }

    /// Tokens that were added to fill the bucket of the feed before.
    pub(crate) fn padding(&self) -> u32 {
        self.counts.padding
    }

    fn clear(&mut self) {
        self.tokens.clear();
        self.positions.clear();
        self.sequences.clear();
        let mut groups = mem::take(&mut self.counts.groups);
        groups.clear();
        groups.resize(self.groups.len(), GroupCounts::default());
        self.counts = StepCounts { groups, ..StepCounts::default() };
        for pages in &mut self.pages {
            pages.table.clear();
            pages.width = 0;
            pages.base.clear();
            pages.slots.clear();
        }
    }

    fn push_tokens(&mut self, part: &Part, index: u32, sequence: &Sequence) {
        match part.previous {
            Some(row) => self.tokens.push(Token::Previous(row)),
            None => {
                let known = sequence.tokens()[part.from as usize..].iter().chain(sequence.drafts());
                self.tokens.extend(known.take(part.count as usize).map(|&id| Token::Host(id)));
            }
        }
        self.positions.extend(part.from..part.end());
        self.sequences.extend((0..part.count).map(|_| index));
        self.counts.tokens += part.count;
        self.counts.seqs += 1;
        for (g, (table, pages)) in sequence.tables().iter().zip(&mut self.pages).enumerate() {
            pages.slots.extend((part.from..part.end()).map(|position| table.slot(position, self.page_len)));
            pages.base.push(table.base());
            let held = table.pages_before(part.end(), self.page_len);
            pages.width = pages.width.max(held.len() as u32);
            self.counts.groups[g].attended += attended(self.groups[g], part);
            let first = first_seen(self.groups[g], part.from);
            self.counts.groups[g].positions += u64::from(part.end() - first);
        }
    }

    /// Tables are as wide as the longest, so they follow when all parts are known.
    fn push_tables(&mut self, parts: &[Part], roster: &Roster) {
        for (row, part) in parts.iter().enumerate() {
            for (table, pages) in roster[part.sequence].tables().iter().zip(&mut self.pages) {
                pages.table.extend_from_slice(table.pages_before(part.end(), self.page_len));
                pages.table.resize((row + 1) * pages.width as usize, PageId(0));
            }
        }
    }
}

impl GroupPages {
    fn feed(&self) -> GroupFeed<'_> {
        GroupFeed { table: &self.table, width: self.width, base: &self.base, slots: &self.slots }
    }
}

fn push_rows<'a>(rows: &mut Vec<Row<'a>>, parts: &[Part], roster: &'a Roster) {
    let mut end = 0;
    for part in parts {
        end += part.count;
        let sequence = &roster[part.sequence];
        let request = sequence.request();
        for back in (0..part.rows).rev() {
            // The token drawn stands one after the token it is drawn from.
            let position = u64::from(part.end() - back);
            let row = Row {
                token: end - 1 - back,
                sampling: &request.sampling,
                uniform: uniform(request.seed, request.answer, position),
                seen: sequence.seen(),
                recent: sequence.tokens(),
                breakers: &request.breakers,
                bias: &request.bias,
                mask: sequence.mask(),
                top: request.top_logprobs,
                logits: request.logits,
            };
            rows.push(match sequence.score(part.end() - 1 - back) {
                Some((sampling, bias)) => Row { sampling, bias, seen: &[], mask: None, ..row },
                None => row,
            });
        }
    }
}

/// Pairs of a token of the part and a position it attends to.
fn attended(group: Group, part: &Part) -> u64 {
    (part.from..part.end()).map(|position| u64::from(position + 1 - first_seen(group, position))).sum()
}

/// The memory of a vector for elements of another lifetime: an empty vector is mapped in place.
fn recycle<A, B>(mut vector: Vec<A>) -> Vec<B> {
    vector.clear();
    vector.into_iter().map(|_| unreachable!("the vector is empty")).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Request;

    fn facts() -> Facts {
        Facts {
            groups: vec![Group::Pages { window: None }, Group::Pages { window: Some(3) }],
            page_len: 4,
            context: 64,
            vocab: 100,
            buckets: BucketPolicy::PowersOfTwo,
            chunk: 8,
            max_seqs: 4,
            overlap: true,
            mixed_steps: true,
            usual: 64,
        }
    }

    /// A sequence whose pages in both groups are these; the window group has dropped `base` pages.
    fn seat(roster: &mut Roster, tokens: Vec<u32>, pages: [&[u32]; 2], base: u32) -> SequenceId {
        let request = Request { seed: 7, top_logprobs: 2, ..Request::new(tokens) };
        let mut sequence = Sequence::new(request, &facts(), 64, Duration::ZERO);
        for (table, pages) in sequence.tables_mut().iter_mut().zip(pages) {
            pages.iter().for_each(|&page| table.push(PageId(page)));
        }
        let group = facts().groups[1];
        assert_eq!(sequence.tables_mut()[1].drop_unseen(group, base * 4 + 2, 4).count(), base as usize);
        roster.insert(sequence)
    }

    #[test]
    fn a_chunk_and_two_decode_rows_share_a_step() {
        let mut roster = Roster::default();
        let chunk = seat(&mut roster, vec![10, 11, 12, 13, 14, 15], [&[1, 2], &[1, 2]], 0);
        let known = seat(&mut roster, (20..31).collect(), [&[3, 4, 5], &[9, 9, 5]], 2);
        let made = seat(&mut roster, vec![30; 4], [&[6, 7], &[6, 7]], 0);
        let part = |sequence, from, count, rows, previous| Part { sequence, from, count, rows, previous };
        let parts = [part(chunk, 1, 3, 0, None), part(known, 10, 1, 1, None), part(made, 4, 1, 1, Some(1))];
        let copy = Copy { group: graph::GroupId(0), from: PageId(8), to: PageId(5) };
        let plan = Plan { parts: parts.to_vec(), copies: vec![copy], ..Plan::default() };
        let mut batch = Batch::new(&facts());
        batch.feed(&plan, &roster, &[], |feed, bucket| {
            assert_eq!(feed.copies, [copy]);
            let hosts = [11, 12, 13, 30].map(Token::Host);
            assert_eq!(feed.tokens, [&hosts[..], &[Token::Previous(1)]].concat());
            assert_eq!(feed.positions, [1, 2, 3, 10, 4]);
            assert_eq!(feed.sequences, [0, 0, 0, 1, 2]);
            assert_eq!(feed.rows.iter().map(|row| row.token).collect::<Vec<_>>(), [3, 4]);
            assert_eq!(feed.rows[0].uniform, uniform(7, 0, 11));
            assert_eq!((feed.rows[0].top, feed.rows[0].logits), (2, false));
            let [full, window] = feed.groups else { panic!("there are two groups") };
            assert_eq!(full.table, [1, 0, 0, 3, 4, 5, 6, 7, 0].map(PageId), "as far as tokens reach");
            assert_eq!((full.width, full.base), (3, &[0, 0, 0][..]));
            assert_eq!(full.slots, [5, 6, 7, 5 * 4 + 2, 7 * 4]);
            assert_eq!(window.table, [1, 0, 5, 0, 6, 7].map(PageId));
            assert_eq!((window.width, window.base), (2, &[0, 2, 0][..]));
            assert_eq!(window.slots, [5, 6, 7, 5 * 4 + 2, 7 * 4]);
            let counts = feed.counts;
            assert_eq!((counts.tokens, counts.seqs, counts.rows, counts.padding), (5, 3, 2, 3));
            assert_eq!(counts.groups[0], GroupCounts { attended: 2 + 3 + 4 + 11 + 5, positions: 4 + 11 + 5 });
            assert_eq!(counts.groups[1], GroupCounts { attended: 2 + 3 + 3 + 3 + 3, positions: 4 + 3 + 3 });
            assert_eq!(bucket, Bucket { tokens: 8, seqs: 4, queries: 0, pages: 4, rows: 2 });
        });
    }

    #[test]
    fn all_tokens_may_have_rows_and_memory_is_kept() {
        let mut roster = Roster::default();
        let id = seat(&mut roster, vec![1, 2, 3], [&[1], &[1]], 0);
        let part = Part { sequence: id, from: 0, count: 3, rows: 3, previous: None };
        let plan = Plan { parts: vec![part], ..Plan::default() };
        let mut batch = Batch::new(&facts());
        let tokens = |feed: &Feed<'_>, bucket: Bucket| {
            assert_eq!(bucket, Bucket { tokens: 4, seqs: 1, queries: 0, pages: 1, rows: 4 });
            feed.rows.iter().map(|row| row.token).collect::<Vec<_>>()
        };
        assert_eq!(batch.feed(&plan, &roster, &[], tokens), [0, 1, 2]);
        let memory = (batch.rows.as_ptr(), batch.group_feeds.as_ptr(), batch.rows.capacity());
        assert_eq!(batch.feed(&plan, &roster, &[], tokens), [0, 1, 2]);
        assert_eq!(memory, (batch.rows.as_ptr(), batch.group_feeds.as_ptr(), batch.rows.capacity()));
        assert!(memory.2 >= 3);
    }
}
