//! Prefixes that leave one engine and enter another.

mod common;

use common::{engine, engine_with, facts, prompt, run};
use engine::{Engine, EngineError, Request, pages_of};

fn fresh(windows: &[u32]) -> Engine {
    engine(facts(windows, 4, 64, 8), None).0
}

/// What an engine keeps of these tokens, and the bytes.
fn exported(engine: &mut Engine, tokens: &[u32]) -> (u32, Vec<u8>) {
    while engine.drain().is_some() {}
    let (positions, mut bytes) = (engine.kept(0, tokens), vec![]);
    engine.export(0, tokens, positions, &mut bytes).expect("it is kept");
    (positions, bytes)
}

#[test]
fn a_prefix_goes_on_elsewhere() {
    for windows in [&[0][..], &[0, 6], &[3], &[1, 0]] {
        let mut first = fresh(windows);
        let begun = run(&mut first, Request { max_tokens: 10, ..Request::new(prompt(21)) });
        let tokens = [prompt(21), begun.ids].concat();
        let (positions, bytes) = exported(&mut first, &tokens);
        assert_eq!(positions, 28, "{windows:?}");
        let pages = pages_of(&common::groups(windows), 4, 7).iter().sum::<u32>();
        assert_eq!(bytes.len() as u32, pages * 4 * 16);

        let mut second = fresh(windows);
        let prefix = &tokens[..positions as usize];
        assert!(second.import(0, prefix, &mut &bytes[..], |_| Ok(())).expect("the bytes are good"));
        let request = Request { made: 10, max_tokens: 9, ..Request::new(tokens.clone()) };
        let there = run(&mut second, request.clone());
        assert_eq!(there.ids, run(&mut first, request.clone()).ids);
        assert_eq!(there.ending.map(|ending| ending.usage.cached_tokens), Some(28));
        // Once more changes nothing, and another tenant finds nothing.
        assert!(second.import(0, prefix, &mut &bytes[..], |_| Ok(())).expect("the bytes are good"));
        let other = run(&mut second, Request { tenant: 1, ..request });
        assert_eq!(other.ending.map(|ending| ending.usage.cached_tokens), Some(0));
        assert_eq!(other.ids, there.ids);
    }
}

#[test]
fn what_is_damaged_leaves_nothing() {
    let mut first = fresh(&[0, 6]);
    run(&mut first, Request { max_tokens: 1, ..Request::new(prompt(21)) });
    let (positions, bytes) = exported(&mut first, &prompt(20));
    assert_eq!(positions, 20);
    let mut second = fresh(&[0, 6]);
    let short = second.import(0, &prompt(20), &mut &bytes[..bytes.len() - 1], |_| Ok(()));
    assert!(matches!(short, Err(EngineError::Backend(_))));
    let refused = |_: &mut &[u8]| Err(EngineError::Damaged("the sum is wrong".into()));
    assert!(second.import(0, &prompt(20), &mut &bytes[..], refused).is_err());
    assert!(second.import(0, &[1000; 20], &mut &bytes[..], |_| Ok(())).is_err());
    assert_eq!(second.kept(0, &prompt(20)), 0);
    let whole = run(&mut second, Request::new(prompt(40)));
    assert_eq!(whole.ids.len(), 24, "all pages are there");
    assert!(matches!(second.export(0, &prompt(60), 48, &mut vec![]), Err(EngineError::NotKept { .. })));
}

#[test]
fn what_does_not_fit_is_not_read() {
    let mut first = fresh(&[0]);
    run(&mut first, Request { max_tokens: 1, ..Request::new(prompt(40)) });
    let (_, bytes) = exported(&mut first, &prompt(40));
    let (mut small, _) = engine_with(facts(&[0], 4, 64, 8), vec![6], None);
    assert!(!small.import(0, &prompt(40), &mut &bytes[..], |_| Ok(())).expect("nothing is read"));
    assert_eq!(run(&mut small, Request::new(prompt(10))).ids.len(), 10);
}
