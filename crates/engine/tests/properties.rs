//! Whatever the sizes, the device sees a lawful protocol and the tokens are those of the prompt alone.

mod common;

use common::{continued, engine, facts, prompt, run};
use engine::{Facts, Request};
use graph::BucketPolicy;
use proptest::prelude::*;

fn policy() -> impl Strategy<Value = BucketPolicy> {
    prop_oneof![Just(BucketPolicy::Exact), Just(BucketPolicy::PowersOfTwo)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn generation_does_not_depend_on_sizes(
        windows in prop::collection::vec(0u32..20, 1..4),
        page_len in 1u32..9,
        context in 2u32..90,
        chunk in 1u32..40,
        buckets in policy(),
        requests in prop::collection::vec((1u32..90, 0u32..60, 0u64..8), 1..5),
    ) {
        let facts = Facts { buckets, ..facts(&windows, page_len, context, chunk) };
        let (mut engine, _) = engine(facts, None);
        prop_assert_eq!(engine.context(), context);
        for (len, max_tokens, steps) in requests {
            let len = len.min(context - 1);
            let request = Request { max_tokens, ..Request::new(prompt(len)) };
            // Some are cancelled after a few steps, with others of their own in flight.
            if steps < 4 {
                let id = engine.start(request.clone()).expect("the request is good");
                (0..steps).for_each(|_| engine.step().for_each(drop));
                engine.cancel(id);
            }
            let run = run(&mut engine, request);
            let count = max_tokens.min(context - len) as usize;
            prop_assert_eq!(run.ids, continued(&windows, &prompt(len), count));
        }
    }

    #[test]
    fn window_pages_are_reused_however_long_the_answer(
        window in 1u32..12,
        page_len in 1u32..6,
        chunk in 1u32..6,
        len in 1u32..300,
    ) {
        let facts = facts(&[window], page_len, 400, chunk);
        let pages = facts.budget(None).pages[0];
        prop_assert!(pages <= (window + 2 * chunk).div_ceil(page_len) + 2, "{} pages", pages);
        let (mut engine, _) = engine(facts, None);
        let run = run(&mut engine, Request::new(prompt(len)));
        prop_assert_eq!(run.ids, continued(&[window], &prompt(len), 400 - len as usize));
    }

    #[test]
    fn few_pages_shorten_the_context_and_break_nothing(
        windows in prop::collection::vec(0u32..20, 1..4),
        page_len in 1u32..6,
        chunk in 1u32..12,
        pages in 3u32..30,
    ) {
        let facts = facts(&windows, page_len, 90, chunk);
        let (mut engine, _) = common::engine_with(facts, vec![pages; windows.len()], None);
        let context = engine.context();
        prop_assume!(context >= 2);
        let run = run(&mut engine, Request::new(prompt(1)));
        prop_assert_eq!(run.ids, continued(&windows, &prompt(1), context as usize - 1));
    }
}
