//! JSON: every text that is allowed is valid, whatever the schema and the tokenizer.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use text::GrammarSource;

use crate::validate::is_valid;
use crate::{BYTE_LEVEL, PIECES, Words};

/// Schemas of bounded texts, so that every walk comes to an end.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "null"})),
        Just(json!({"type": "boolean"})),
        (-500..500i32, 0..900i32)
            .prop_map(|(low, more)| json!({"type": "integer", "minimum": low, "maximum": low + more})),
        (0..4u32, 0..6u32)
            .prop_map(|(low, more)| json!({"type": "string", "minLength": low, "maxLength": low + more})),
        vec(
            prop_oneof![
                Just(json!(null)),
                any::<i16>().prop_map(|n| json!(n)),
                ".{0,8}".prop_map(|t| json!(t))
            ],
            1..4
        )
        .prop_map(|values| json!({"enum": values})),
        "[a-zäöü\"\\\\/ \n\u{1F600}-\u{1F640}]{0,9}".prop_map(|text| json!({"const": text})),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let names = prop::sample::subsequence(vec!["a", "b c", "naïve", "\"q\"", "type", "🙂"], 0..5);
        prop_oneof![
            (inner.clone(), 0..3u32, 0..3u32).prop_map(|(items, low, more)| {
                json!({"type": "array", "items": items, "minItems": low, "maxItems": low + more})
            }),
            (names, vec(inner.clone(), 6), vec(any::<bool>(), 6)).prop_map(|(names, parts, required)| {
                let known = names.iter().zip(parts).map(|(name, part)| ((*name).to_owned(), part));
                let required = names.iter().zip(required).filter_map(|(name, needed)| needed.then_some(name));
                json!({
                    "type": "object",
                    "properties": known.collect::<Map<_, _>>(),
                    "required": required.collect::<Vec<_>>(),
                    "additionalProperties": false,
                })
            }),
            vec(inner, 1..4).prop_map(|options| json!({"anyOf": options})),
        ]
    })
}

fn assert_walks_are_valid(words: &Words, schema: &Value, seeds: std::ops::Range<u64>) {
    let grammar = words.compile(&GrammarSource::JsonSchema(schema.to_string())).unwrap();
    for seed in seeds {
        let text = words.text(&words.walk(&grammar, seed));
        let value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
        assert!(is_valid(&value, schema, schema), "{text} is not of {schema}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_is_allowed_is_valid(schema in schemas(), seed in 0..1_000_000u64) {
        assert_walks_are_valid(&BYTE_LEVEL, &schema, seed..seed + 3);
        assert_walks_are_valid(&PIECES, &schema, seed..seed + 3);
    }
}

#[test]
fn schemas_may_refer_to_themselves() {
    let schema = json!({
        "$ref": "#/$defs/node",
        "$defs": {"node": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "maxLength": 3},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}, "maxItems": 1},
            },
            "required": ["name"],
            "additionalProperties": false,
        }},
    });
    assert_walks_are_valid(&BYTE_LEVEL, &schema, 0..20);
    assert_walks_are_valid(&PIECES, &schema, 0..20);
}

#[test]
fn rules_that_meet_hold_together() {
    let schema = json!({
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3}}, "required": ["a"]},
            {"properties": {"a": {"type": "integer", "maximum": 12}}, "additionalProperties": false},
        ],
    });
    assert_walks_are_valid(&BYTE_LEVEL, &schema, 0..20);
}

#[test]
fn any_object_is_an_object() {
    let text = "{\"a\":[1, -2.5e3,{\"b\":null}],\n  \"ü\": \"\\n\"}";
    for words in [&*BYTE_LEVEL, &*PIECES] {
        let grammar = words.compile(&GrammarSource::JsonObject).unwrap();
        let mut matcher = grammar.matcher();
        for byte in text.bytes() {
            let is_byte =
                |id: &u32| !words.tokenizer.is_control(*id) && words.tokenizer.bytes(*id) == Some(&[byte]);
            matcher.accept((0..700).find(is_byte).unwrap()).unwrap();
        }
        assert!(matcher.is_complete().unwrap());
        let number = grammar.matcher().accept(words.tokenizer.id("1").unwrap());
        assert!(number.is_err(), "a number is no object");
    }
}
