//! Steps as the inputs of programs larger than they are.

use graph::{
    BackendError, Bucket, Copy, Feed, Graph, GroupFeed, GroupId, Input, Inputs, Op, PageId, ProgramSpec, Row,
    Sampling, StepCounts, Token, Ty,
};
use tensor::DType;

const G: GroupId = GroupId(0);
const POOL: u32 = 8;
const PAGE_LEN: u32 = 4;

/// Two sequences, of two tokens and one, the second behind a window.
struct Step {
    tokens: Vec<Token>,
    positions: Vec<u32>,
    sequences: Vec<u32>,
    slots: Vec<u32>,
    table: Vec<PageId>,
    base: Vec<u32>,
    rows: Vec<u32>,
    copies: Vec<Copy>,
}

fn step() -> Step {
    Step {
        tokens: vec![Token::Host(5), Token::Host(6), Token::Previous(1)],
        positions: vec![3, 4, 9],
        sequences: vec![0, 0, 1],
        slots: vec![4 + 3, 8, 12 + 1],
        table: [1, 2, 3, 0].map(PageId).to_vec(),
        base: vec![0, 2],
        rows: vec![1, 2],
        copies: vec![],
    }
}

const BUCKET: Bucket = Bucket { tokens: 5, seqs: 2, queries: 0, pages: 3, rows: 4 };

/// A graph of twenty tokens; which operations it has does not matter here.
fn graph() -> Graph {
    let graph = Graph::of_op(&Op::Softmax, &[Ty::new(DType::F32, [1])], PAGE_LEN).expect("legal");
    Graph { vocab: 20, ..graph }
}

impl Step {
    fn with<T>(&self, bucket: Bucket, then: impl FnOnce(&Inputs<'_>) -> T) -> T {
        let sampling = Sampling::default();
        let row = |&token: &u32| Row::new(token, &sampling);
        let group = GroupFeed { table: &self.table, width: 2, base: &self.base, slots: &self.slots };
        let feed = Feed {
            tokens: &self.tokens,
            positions: &self.positions,
            sequences: &self.sequences,
            rows: &self.rows.iter().map(row).collect::<Vec<_>>(),
            groups: &[group],
            copies: &self.copies,
            patches: &[],
            counts: &StepCounts::default(),
        };
        then(&Inputs { bucket, feed: &feed, previous: &[7, 8] })
    }

    fn filled(&self, bucket: Bucket, input: Input) -> Vec<i32> {
        let mut out = vec![-1; 3];
        self.with(bucket, |inputs| inputs.fill(input, &mut out));
        out
    }

    fn told(&self, bucket: Bucket) -> String {
        match self.with(bucket, |inputs| inputs.check("test", &graph(), &[POOL])) {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        }
    }
}

#[test]
fn a_step_is_padded_to_its_bucket() {
    let filled = |input| step().filled(BUCKET, input);
    assert_eq!(filled(Input::Tokens), [5, 6, 8, 0, 0]);
    assert_eq!(filled(Input::Slots(G)), [7, 8, 13, 0, 0]);
    assert_eq!(filled(Input::Rows), [1, 2, 0, 0]);
    assert_eq!(filled(Input::Base(G)), [0, 2]);
    assert_eq!(filled(Input::Table(G)), [1, 2, 0, 3, 0, 0]);
    // Padding is of the last sequence, which is a real one here: it stands where that one's last token does.
    assert_eq!(filled(Input::Sequences), [0, 0, 1, 1, 1]);
    assert_eq!(filled(Input::Positions), [3, 4, 9, 9, 9]);
}

#[test]
fn padding_of_no_sequence_sees_the_bin() {
    let wide = Bucket { seqs: 3, ..BUCKET };
    assert_eq!(step().filled(wide, Input::Sequences), [0, 0, 1, 2, 2]);
    assert_eq!(step().filled(wide, Input::Positions), [3, 4, 9, 0, 0]);
    assert_eq!(step().filled(wide, Input::Table(G)), [1, 2, 0, 3, 0, 0, 0, 0, 0]);
}

#[test]
fn padding_of_a_uniform_step_is_of_sequences_of_its_own() {
    let one_each = Step {
        tokens: vec![Token::Host(1); 2],
        positions: vec![4, 9],
        sequences: vec![0, 1],
        slots: vec![8, 13],
        ..step()
    };
    let bucket = Bucket { tokens: 4, seqs: 4, queries: 1, pages: 2, rows: 4 };
    assert_eq!(one_each.filled(bucket, Input::Sequences), [0, 1, 2, 3]);
    assert_eq!(one_each.filled(bucket, Input::Positions), [4, 9, 0, 0]);
}

#[test]
fn what_has_grown_is_used_again() {
    let mut out = Vec::with_capacity(6);
    let memory = out.as_ptr();
    for input in [Input::Table(G), Input::Tokens, Input::Rows, Input::Table(G)] {
        step().with(BUCKET, |inputs| inputs.fill(input, &mut out));
        assert_eq!(out.as_ptr(), memory);
    }
}

#[test]
fn steps_that_name_what_is_not_there_are_refused() {
    assert_eq!(step().told(BUCKET), "");
    type Break = fn(&mut Step);
    let faults: [(&str, Break); 11] = [
        ("token 20 is none of the 20", |step| step.tokens[0] = Token::Host(20)),
        ("sampled no row 2", |step| step.tokens[0] = Token::Previous(2)),
        ("do not all have a position", |step| step.positions.truncate(2)),
        ("a token is of none of its 2 sequences", |step| step.sequences[0] = 9),
        ("a row asks for a token beyond the 3", |step| step.rows[0] = 3),
        ("a table is not 2 sequences long", |step| step.table.truncate(3)),
        ("2 slots are given for 3 tokens", |step| step.slots.truncate(2)),
        ("a page beyond the 8", |step| step.table[3] = PageId(POOL)),
        ("a slot lies beyond the 32", |step| step.slots[0] = POOL * PAGE_LEN),
        ("position 8 lies outside", |step| step.positions[1] = 8),
        ("position 7 lies outside", |step| step.positions[2] = 7),
    ];
    for (wanted, break_it) in faults {
        let mut step = step();
        break_it(&mut step);
        let told = step.told(BUCKET);
        assert!(told.contains(wanted), "`{told}` does not say `{wanted}`");
    }
    let copies = vec![Copy { group: G, from: PageId(1), to: PageId(POOL) }];
    assert!(Step { copies, ..step() }.told(BUCKET).contains("names a page that does not exist"));
    assert!(step().told(Bucket { tokens: 2, ..BUCKET }).contains("its program is for"));
}

#[test]
fn patches_fit_what_they_replace() {
    let mut graph = graph();
    graph.funcs[0].nodes[1].name = Some("softmax".to_owned());
    let spec = |patches: &[&str]| ProgramSpec {
        patches: patches.iter().map(|&name| name.to_owned()).collect(),
        ..ProgramSpec::default()
    };
    spec(&["softmax"]).check(&graph).expect("a value of the graph");
    assert!(matches!(spec(&["nothing"]).check(&graph), Err(BackendError::NoValue { .. })));
    let told = |patches: &[&[f32]]| {
        spec(&["softmax"]).check_patches("test", &graph, patches).err().map(|error| error.to_string())
    };
    assert_eq!(told(&[&[1.0]]), None);
    assert!(told(&[&[1.0, 2.0]]).is_some_and(|told| told.contains("it has 2 elements, and the value has 1")));
    assert!(told(&[]).is_some_and(|told| told.contains("the program takes 1")));
}
