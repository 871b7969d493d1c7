//! What must hold of a feed whatever was fed before.

use graph::{Feed, Group, GroupCounts, GroupFeed, PageId, ProgramSpec, Token};

use super::Null;
use crate::page_table::first_seen;

/// Panics where a feed breaks the step protocol.
pub(super) fn feed(null: &Null, spec: &ProgramSpec, feed: &Feed<'_>) {
    let tokens = feed.tokens.len();
    assert!(tokens > 0, "a step has a token");
    assert_eq!((feed.positions.len(), feed.sequences.len()), (tokens, tokens), "each token has its place");
    assert_eq!(feed.groups.len(), null.groups.len(), "each group has its feed");
    assert_eq!(feed.patches.len(), spec.patches.len(), "each patch has its values");
    order(feed);
    bucket(spec, feed);
    rows(feed);
    counts(null, spec, feed);
    for group in feed.groups {
        table(null, feed, group);
    }
}

/// Tokens of a sequence stand together, in order, and sequences are numbered as they come.
fn order(feed: &Feed<'_>) {
    assert_eq!(feed.sequences[0], 0, "sequences are numbered from 0");
    for t in 1..feed.tokens.len() {
        match feed.sequences[t] - feed.sequences[t - 1] {
            0 => assert_eq!(feed.positions[t], feed.positions[t - 1] + 1, "positions follow each other"),
            step => assert_eq!(step, 1, "sequences are numbered without gaps"),
        }
    }
}

fn bucket(spec: &ProgramSpec, feed: &Feed<'_>) {
    let bucket = &spec.bucket;
    assert!(bucket.holds(&feed.bucket()), "{bucket:?} holds {:?}", feed.bucket());
    if bucket.queries > 0 {
        let uniform = (0..).zip(feed.sequences).all(|(t, &s)| s == t / bucket.queries);
        assert!(uniform, "a uniform bucket has uniform steps");
    }
}

fn rows(feed: &Feed<'_>) {
    assert!(feed.rows.windows(2).all(|pair| pair[0].token < pair[1].token), "rows are in order");
    for row in feed.rows {
        assert!((row.token as usize) < feed.tokens.len(), "a row is of a token of the step");
        assert!((0.0..1.0).contains(&row.uniform), "the uniform number is in [0, 1)");
        assert!(row.seen.windows(2).all(|pair| pair[0].id < pair[1].id), "a seen token is counted once");
        // Penalties count every token, so all must be known to the host.
        let known = !matches!(feed.tokens[row.token as usize], Token::Previous(_));
        assert!(known || row.sampling.penalties.is_none(), "a penalty counts a token nobody knows yet");
        assert!(known || row.mask.is_none(), "a mask follows a token nobody knows yet");
    }
}

fn counts(null: &Null, spec: &ProgramSpec, feed: &Feed<'_>) {
    let counts = feed.counts;
    let tokens = feed.tokens.len() as u32;
    let seqs = feed.sequences.last().map_or(0, |last| last + 1);
    assert_eq!((counts.tokens, counts.seqs, counts.rows), (tokens, seqs, feed.rows.len() as u32), "counts");
    assert_eq!(counts.padding, spec.bucket.tokens - tokens, "padding is what the bucket adds");
    let of_group = |&group: &Group| {
        let mut sum = GroupCounts::default();
        for (t, &position) in feed.positions.iter().enumerate() {
            let new = u64::from(position + 1 - first_seen(group, position));
            sum.attended += new;
            let first = t == 0 || feed.sequences[t] != feed.sequences[t - 1];
            sum.positions += if first { new } else { 1 };
        }
        sum
    };
    assert_eq!(counts.groups, null.groups.iter().map(of_group).collect::<Vec<_>>(), "counts of the groups");
}

/// Tables cover what is attended, and slots are where the tables say.
fn table(null: &Null, feed: &Feed<'_>, group: &GroupFeed<'_>) {
    let seqs = feed.counts.seqs as usize;
    let width = group.width as usize;
    assert_eq!((group.table.len(), group.base.len()), (seqs * width, seqs), "the table has its shape");
    assert_eq!(group.slots.len(), feed.tokens.len(), "each token has its slot");
    for ((&slot, &position), &sequence) in group.slots.iter().zip(feed.positions).zip(feed.sequences) {
        let page = page_of(group, null.page_len, sequence, position);
        assert_eq!(
            slot,
            page.0 * null.page_len + position % null.page_len,
            "the slot is where the table says"
        );
    }
    let mut slots = group.slots.to_vec();
    slots.sort_unstable();
    assert!(slots.windows(2).all(|pair| pair[0] < pair[1]), "a slot is written once in a step");
}

/// The page of a position, which must be a granted one.
pub(super) fn page_of(group: &GroupFeed<'_>, page_len: u32, sequence: u32, position: u32) -> PageId {
    let column = (position / page_len).checked_sub(group.base[sequence as usize]);
    let column = column.filter(|&column| column < group.width);
    let column = column.unwrap_or_else(|| panic!("the table does not cover position {position}"));
    let page = group.table[(sequence * group.width + column) as usize];
    assert_ne!(page, PageId(0), "position {position} lies in the bin");
    page
}
