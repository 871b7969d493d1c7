//! Sources that mean harm: each ends in an error that says what to do, or in a grammar that can be followed.

use std::time::Duration;

use text::{GrammarError, GrammarLimits, GrammarSource, MAX_GRAMMAR_BYTES};

use crate::{BYTE_LEVEL, Random};

fn schema(text: String) -> GrammarSource {
    GrammarSource::JsonSchema(text)
}

fn lark(text: String) -> GrammarSource {
    GrammarSource::Lark(text)
}

fn regex(text: &str) -> GrammarSource {
    GrammarSource::Regex(text.to_owned())
}

fn joined(count: usize, separator: &str, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(separator)
}

fn refusal(source: &GrammarSource) -> String {
    BYTE_LEVEL.compile(source).expect_err("the grammar is bad").to_string()
}

#[test]
fn errors_say_what_is_wrong() {
    for (source, words) in [
        (schema("{\"type\": ".to_owned()), ["JSON schema cannot be used", "EOF"]),
        (schema("{\"type\": \"sting\"}".to_owned()), ["JSON schema cannot be used", "sting"]),
        (schema("{\"not\": {}}".to_owned()), ["JSON schema cannot be used", "not"]),
        (schema("[]".to_owned()), ["JSON schema cannot be used", "object or boolean"]),
        (schema("false".to_owned()), ["JSON schema cannot be used", "false"]),
        (schema("{\"$ref\": \"http://x/y\"}".to_owned()), ["JSON schema cannot be used", "http://x/y"]),
        (schema("{\"$ref\": \"#\"}".to_owned()), ["JSON schema cannot be used", "it allows no text"]),
        (schema("{\"$ref\": \"a.json\"}".to_owned()), ["it cannot be 'a.json'", "#/$defs/part"]),
        (schema("{\"uniqueItems\": true}".to_owned()), ["not supported, leave them out", "uniqueItems"]),
        (schema("{\"oneOf\": [{\"maximum\": 5}, {}]}".to_owned()), ["oneOf", "write anyOf"]),
        (schema("{\"multipleOf\": 1000003}".to_owned()), ["multipleOf", "10000"]),
        (regex("(a"), ["regular expression cannot be used", "unclosed group"]),
        (lark("begin: \"a\"".to_owned()), ["Lark grammar cannot be used", "start"]),
        (lark("root ::= \"a\"".to_owned()), ["Lark grammar cannot be used", "it is GBNF"]),
        (lark("start: a".to_owned()), ["Lark grammar cannot be used", "a"]),
        (lark("start: <[1]>".to_owned()), ["Lark grammar cannot be used", "no token"]),
        (lark("start: <|im_start|>".to_owned()), ["Lark grammar cannot be used", "special token"]),
        (GrammarSource::Choice(vec![]), ["list of choices cannot be used", "empty"]),
        (GrammarSource::Choice(vec!["a".into(), String::new()]), ["list of choices cannot be used", "empty"]),
        (GrammarSource::Choice(vec!["a".into(); 10_001]), ["list of choices cannot be used", "10001"]),
    ] {
        let error = refusal(&source);
        assert!(words.iter().all(|word| error.contains(word)), "{source:?}: {error}");
        assert!(!error.contains('\n') && error.len() < 400, "{error}");
    }
}

#[test]
fn size_depth_and_time_are_limited() {
    let long = regex(&"a".repeat(MAX_GRAMMAR_BYTES + 1));
    assert!(refusal(&long).contains("131073 bytes, more than the 131072 allowed"));
    let deep = schema(format!("{}true{}", "{\"items\":".repeat(64), "}".repeat(64)));
    assert!(refusal(&deep).contains("nests more than 64 levels deep"));
    let deeper = schema(format!("{}true{}", "{\"items\":".repeat(10_000), "}".repeat(10_000)));
    assert!(refusal(&deeper).contains("recursion limit"));
    let limits = GrammarLimits { time: Duration::ZERO, ..GrammarLimits::default() };
    let slow = schema(format!("{{\"properties\": {{{}}}}}", joined(400, ",", |i| format!("\"p{i}\": {{}}"))));
    let late = BYTE_LEVEL.lexicon.compile(&slow, &limits).expect_err("there was no time");
    assert_eq!(late, GrammarError::TooSlow { kind: "JSON schema", limit: Duration::ZERO });
}

/// Follows a grammar for a while; an error is as good as an answer, as long as it comes.
fn follow(source: &GrammarSource) -> Option<String> {
    try_follow(source).err().map(|error| error.to_string())
}

fn try_follow(source: &GrammarSource) -> Result<(), GrammarError> {
    let grammar = BYTE_LEVEL.compile(source)?;
    let mut matcher = grammar.matcher();
    let mut mask = vec![0; grammar.mask_len()];
    let mut random = Random(7);
    for _ in 0..120 {
        if matcher.is_finished() {
            break;
        }
        matcher.mask(&mut mask)?;
        let allowed = (0..32 * mask.len() as u32).filter(|id| mask[*id as usize / 32] >> (id % 32) & 1 == 1);
        let allowed = allowed.collect::<Vec<_>>();
        matcher.accept(allowed[random.next() as usize % allowed.len()])?;
    }
    Ok(())
}

/// Definitions of which each names the one before it ten times.
fn laughs(levels: usize, level: impl Fn(usize) -> String) -> GrammarSource {
    let defs = joined(levels, ",", |i| match i {
        0 => "\"r0\": {\"type\": \"string\"}".to_owned(),
        _ => format!("\"r{i}\": {}", level(i - 1)),
    });
    schema(format!("{{\"$ref\": \"#/$defs/r{}\", \"$defs\": {{{defs}}}}}", levels - 1))
}

#[test]
fn schemas_that_multiply_end() {
    let named = |i: usize| format!("{{\"$ref\": \"#/$defs/r{i}\"}}");
    let ten = |part: String| vec![part; 10].join(",");
    follow(&laughs(40, |i| format!("{{\"type\": \"array\", \"prefixItems\": [{}]}}", ten(named(i)))));
    follow(&laughs(40, |i| format!("{{\"allOf\": [{}]}}", ten(named(i)))));
    follow(&laughs(40, |i| {
        let part = |k| format!("{{\"type\": \"object\", \"properties\": {{\"p{k}\": {}}}}}", named(i));
        format!("{{\"anyOf\": [{}]}}", joined(10, ",", part))
    }));
    // Ten to the fifth combinations.
    let options = |i| joined(10, ",", |k| format!("{{\"properties\": {{\"a{i}\": {{\"const\": {k}}}}}}}"));
    let all = joined(5, ",", |i| format!("{{\"type\": \"object\", \"anyOf\": [{}]}}", options(i)));
    follow(&schema(format!("{{\"allOf\": [{all}]}}")));
    // An object that is copied for each of many options.
    let properties = joined(2500, ",", |i| format!("\"p{i}\": {{}}"));
    let nulls = vec!["{\"type\": \"null\"}"; 2500].join(",");
    follow(&schema(format!(
        "{{\"allOf\": [{{\"type\": \"object\", \"properties\": {{{properties}}}}}, {{\"anyOf\": [{nulls}]}}]}}"
    )));
    follow(&schema("{\"allOf\": [{\"$ref\": \"#\"}, {\"type\": \"object\"}]}".to_owned()));
    follow(&schema(format!("{{\"multipleOf\": 0.{}1}}", "0".repeat(30))));
    follow(&schema("{\"type\": \"integer\", \"multipleOf\": 9973}".to_owned()));
}

#[test]
fn schemas_of_many_parts_end() {
    let many = |count, part: &dyn Fn(usize) -> String| joined(count, ",", part);
    let property = |i| format!("\"p{i}\": {{\"type\": \"string\"}}");
    follow(&schema(format!("{{\"type\": \"object\", \"properties\": {{{}}}}}", many(1500, &property))));
    let wide = schema(format!("{{\"type\": \"object\", \"properties\": {{{}}}}}", many(3000, &property)));
    assert!(follow(&wide).is_some_and(|error| error.contains("8000 ways to go on are the most")));
    follow(&schema(format!("{{\"enum\": [{}]}}", many(10_000, &|i| format!("\"p{i}\"")))));
    follow(&schema(format!("{{\"oneOf\": [{}]}}", many(2000, &|i| format!("{{\"const\": \"p{i}\"}}")))));
    follow(&schema(format!(
        "{{\"type\": \"object\", \"patternProperties\": {{{}}}}}",
        many(12, &|i| format!("\"^a.{{{i}}}b$\": {{}}"))
    )));
    for bound in [1000u64, 1_000_000, u64::MAX] {
        follow(&schema(format!("{{\"type\": \"array\", \"minItems\": {bound}}}")));
        follow(&schema(format!(
            "{{\"type\": \"string\", \"minLength\": {bound}, \"pattern\": \"(a|bc)*\"}}"
        )));
        follow(&schema(format!("{{\"type\": \"object\", \"minProperties\": {bound}}}")));
    }
    follow(&GrammarSource::Choice((0..10_000).map(|i| format!("choice {i}")).collect()));
}

#[test]
fn expressions_that_explode_end() {
    for source in [
        "(((a{1000}){1000}){1000}){1000}",
        "(a|b)*a(a|b){300}",
        "(a*)*b",
        "(x+x+)+y",
        "((a{0,100}){0,100}){0,100}",
        "(\\p{L}\\p{N}){1000}",
        &"(".repeat(60_000),
        &format!("{}a{}", "(".repeat(240), ")".repeat(240)),
        &format!("({})*", joined(1000, "|", |i| format!(".*x{i}y.*"))),
        &"\\p{L}?".repeat(1000),
        &"x".repeat(100_000),
    ] {
        follow(&regex(source));
    }
    let and = |count| joined(count, " & ", |i| format!("/.*a.{{{i}}}b.*/"));
    follow(&lark(format!("start: T\nT: {}", and(6))));
    follow(&lark(format!("start: T\nT: {}", and(20))));
    follow(&lark(format!("start: T\nT: {}", joined(10, " & ", |i| format!("~/.*a.{{{i}}}b.*/")))));
}

#[test]
fn rules_that_go_deep_end() {
    follow(&lark(format!("start: {}\"a\"{}", "(".repeat(20_000), ")".repeat(20_000))));
    follow(&lark("start: start start | \"x\" | \"\"".to_owned()));
    follow(&lark("start: a\na: b\nb: a".to_owned()));
    // As many rules as fit, each named by the one before it.
    let count = 9000;
    let chain = joined(count, "\n", |i| format!("r{i}: r{}", i + 1));
    follow(&lark(format!("start: r0\n{chain}\nr{count}: \"x\"")));
    let doubling = joined(40, "\n", |i| format!("r{i}: r{} r{}", i + 1, i + 1));
    follow(&lark(format!("start: r0\n{doubling}\nr40: \"x\"")));
    let terminals = joined(40, "\n", |i| format!("T{i}: T{} T{}", i + 1, i + 1));
    follow(&lark(format!("start: T0\n{terminals}\nT40: \"x\"")));
    follow(&lark("start: a{100000}\na: b{100000}\nb: \"x\"".to_owned()));
}
