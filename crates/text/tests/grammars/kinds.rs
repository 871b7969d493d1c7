//! Regular expressions, Lark, choices, and what a matcher can do.

use text::{Grammar, GrammarError, GrammarSource, Lexicon, Matcher};

use crate::{BYTE_LEVEL, ENDS, PIECES, Words};

fn choice(words: &Words, choices: &[&str]) -> Grammar {
    let choices = choices.iter().map(|&choice| choice.to_owned()).collect();
    words.compile(&GrammarSource::Choice(choices)).unwrap()
}

fn push(words: &Words, matcher: &mut Matcher, ids: &mut Vec<u32>, id: u32) {
    matcher.accept(id).unwrap_or_else(|error| panic!("{:?} then {id}: {error}", words.text(ids)));
    ids.push(id);
}

#[test]
fn a_mask_is_what_can_go_on() {
    let choices = ["yes", "yesterday", "no", "naïve", "\"quoted\\\"\n", " space"];
    for words in [&*BYTE_LEVEL, &*PIECES] {
        let grammar = choice(words, &choices);
        for seed in 0..200 {
            let ids = words.walk(&grammar, seed);
            assert!(choices.contains(&&*words.text(&ids)), "{:?}", words.text(&ids));
            // At every step: the tokens that are the start of a rest, all of them unless one is forced.
            let mut matcher = grammar.matcher();
            let mut said = vec![];
            for &id in &ids {
                let allowed = words.allowed(&mut matcher);
                let goes_on = |id: u32| {
                    let bytes = words.tokenizer.bytes(id).filter(|_| !words.tokenizer.is_control(id));
                    let all = [&said[..], bytes.unwrap_or(b"\xff")].concat();
                    choices.iter().any(|choice| choice.as_bytes().starts_with(&all))
                };
                let want = (0..700).filter(|&id| goes_on(id)).collect::<Vec<_>>();
                let text = allowed.iter().copied().filter(|id| !ENDS.contains(id)).collect::<Vec<_>>();
                match matcher.forced().first() {
                    Some(forced) => assert!(text == [*forced] && want.contains(forced)),
                    None => assert_eq!(text, want, "after {:?}", String::from_utf8_lossy(&said)),
                }
                matcher.accept(id).unwrap();
                said.extend(words.tokenizer.bytes(id).unwrap());
            }
        }
    }
}

#[test]
fn a_regular_expression_matches_all_of_the_text() {
    let source = GrammarSource::Regex(r"[0-9]{4}-(0[1-9]|1[0-2])( [a-c]+)?".to_owned());
    for words in [&*BYTE_LEVEL, &*PIECES] {
        let grammar = words.compile(&source).unwrap();
        for seed in 0..100 {
            let text = words.text(&words.walk(&grammar, seed));
            let (date, rest) = text.split_at(7);
            assert!(date[..4].bytes().all(|byte| byte.is_ascii_digit()) && &date[4..5] == "-", "{text}");
            assert!((1..=12).contains(&date[5..].parse::<u32>().unwrap()), "{text}");
            let letters = rest
                .strip_prefix(' ')
                .map(|rest| !rest.is_empty() && rest.bytes().all(|b| b"abc".contains(&b)));
            assert!(letters.unwrap_or(rest.is_empty()), "{text}");
        }
    }
}

#[test]
fn lark_balances_brackets() {
    let source = GrammarSource::Lark("start: \"(\" start \")\" | \"x\"".to_owned());
    for words in [&*BYTE_LEVEL, &*PIECES] {
        let grammar = words.compile(&source).unwrap();
        for seed in 0..50 {
            let text = words.text(&words.walk(&grammar, seed));
            let depth = text.find('x').unwrap();
            assert_eq!(text, format!("{}x{}", "(".repeat(depth), ")".repeat(depth)));
        }
    }
}

#[test]
fn what_is_forced_is_cut_as_the_tokenizer_cuts() {
    let text = "the whole of this text is forced";
    let grammar = choice(&BYTE_LEVEL, &[text]);
    let mut matcher = grammar.matcher();
    let want = BYTE_LEVEL.tokenizer.encode(text, false).unwrap();
    assert_eq!(matcher.forced(), want);
    let mut ids = vec![];
    for &id in &want {
        assert_eq!(BYTE_LEVEL.allowed(&mut matcher), [id]);
        push(&BYTE_LEVEL, &mut matcher, &mut ids, id);
    }
    assert!(matcher.is_finished() && matcher.forced().is_empty());
    assert_eq!(BYTE_LEVEL.allowed(&mut matcher), ENDS);
    // This one would begin with a space that nobody asked for.
    let mut matcher = choice(&PIECES, &[text]).matcher();
    let forced = matcher.forced();
    assert!(!forced.is_empty() && forced.len() < text.len() && text.starts_with(&PIECES.text(&forced)));
}

#[test]
fn a_matcher_forks_and_goes_back() {
    let grammar = BYTE_LEVEL.compile(&GrammarSource::Regex("(ab|cd)*e".to_owned())).unwrap();
    let id = |text: &str| BYTE_LEVEL.tokenizer.id(text).unwrap();
    let mut matcher = grammar.matcher();
    matcher.accept(id("a")).unwrap();
    let mut fork = matcher.fork();
    fork.accept(id("b")).unwrap();
    fork.accept(id("c")).unwrap();
    assert_eq!(matcher.accept(id("c")), Err(GrammarError::NotAllowed { token: id("c") }));
    matcher.accept(id("b")).unwrap();
    fork.rewind(1).unwrap();
    assert_eq!(BYTE_LEVEL.allowed(&mut fork), BYTE_LEVEL.allowed(&mut matcher));
    // Also from behind the end, and to the beginning.
    matcher.accept(id("e")).unwrap();
    matcher.accept(ENDS[1]).unwrap();
    assert!(matcher.accept(id("a")).is_err());
    matcher.rewind(2).unwrap();
    assert_eq!(BYTE_LEVEL.allowed(&mut fork), BYTE_LEVEL.allowed(&mut matcher));
    matcher.rewind(2).unwrap();
    assert_eq!(BYTE_LEVEL.allowed(&mut matcher), BYTE_LEVEL.allowed(&mut grammar.matcher()));
    assert!(matcher.rewind(1).is_err(), "there is nothing before the beginning");
}

#[test]
fn only_text_is_accepted_and_ends_only_at_the_end() {
    let mut matcher = choice(&BYTE_LEVEL, &["ab"]).matcher();
    for token in [0, 1, 3, ENDS[0], ENDS[1], 560, 10_000] {
        assert_eq!(matcher.accept(token), Err(GrammarError::NotAllowed { token }), "{token}");
    }
    assert!(matcher.accept(BYTE_LEVEL.tokenizer.id("a").unwrap()).is_ok(), "nothing was taken by mistake");
}

#[test]
fn without_end_tokens_an_answer_ends_where_nothing_can_follow() {
    let lexicon = Lexicon::new(BYTE_LEVEL.tokenizer.clone(), 522, &[]).unwrap();
    let grammar = lexicon.compile(&GrammarSource::Choice(vec!["a".to_owned()]), &Default::default()).unwrap();
    let mut matcher = grammar.matcher();
    matcher.accept(BYTE_LEVEL.tokenizer.id("a").unwrap()).unwrap();
    let mut mask = vec![u32::MAX; grammar.mask_len()];
    matcher.mask(&mut mask).unwrap();
    assert!(matcher.is_finished() && mask.iter().all(|&word| word == 0));
}

#[test]
fn grammars_and_matchers_go_between_threads() {
    fn shared<T: Send + Sync>() {}
    fn moved<T: Send>() {}
    shared::<Lexicon>();
    shared::<Grammar>();
    moved::<Matcher>();
}
