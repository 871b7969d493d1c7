//! Chat templates against Jinja2 (`scripts/template_vectors.py`), and what hostile templates lead to.

#![allow(clippy::unwrap_used)] // A failed look-up in a vector is a failed test.

use serde_json::{Map, Value, json};
use text::{ChatTemplate, Clock, Conversation, MAX_TEMPLATE_BYTES, TemplateError};

fn clock() -> Clock {
    Clock::at("2024-07-06T09:05:00".parse().unwrap())
}

fn template(source: &str) -> Result<ChatTemplate, TemplateError> {
    let special = [("bos_token", "<s>"), ("eos_token", "</s>")];
    ChatTemplate::new(source, special.map(|(name, text)| (name.to_owned(), text.to_owned())).to_vec())
}

fn render(source: &str) -> Result<String, TemplateError> {
    template(source)?.render(&Conversation::default(), &clock())
}

fn conversation(given: &Value) -> Conversation {
    let mut extra: Map<String, Value> = given.as_object().unwrap().clone();
    let mut take = |name: &str| extra.remove(name);
    Conversation {
        messages: serde_json::from_value(take("messages").unwrap()).unwrap(),
        tools: serde_json::from_value(take("tools").unwrap()).unwrap(),
        add_generation_prompt: take("add_generation_prompt").unwrap().as_bool().unwrap(),
        extra,
    }
}

#[test]
fn renders_as_jinja2_does() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/templates.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    for case in vectors["cases"].as_array().unwrap() {
        let name = case["template"].as_str().unwrap();
        let template = template(vectors["templates"][name].as_str().unwrap()).unwrap();
        let rendered = template.render(&conversation(&case["given"]), &clock());
        match case["refused"].as_str() {
            Some(reason) => {
                let refused =
                    matches!(&rendered, Err(TemplateError::Refused { message, .. }) if message == reason);
                assert!(refused, "{name}: {rendered:?}");
            }
            None => {
                let expected = case["rendered"].as_str().unwrap();
                for (ours, theirs) in rendered.as_ref().unwrap().lines().zip(expected.lines()) {
                    assert_eq!(ours, theirs, "{name}");
                }
                assert_eq!(rendered.unwrap(), expected, "{name}");
            }
        }
    }
}

#[test]
fn errors_name_the_line() {
    let message = template("one\n{% if %}").unwrap_err().to_string();
    assert!(message.starts_with("the chat template is not valid at line 2: syntax error"), "{message}");
    let message = render("one\ntwo\n{{ raise_exception('no such role') }}").unwrap_err().to_string();
    assert_eq!(message, "the chat template refused the conversation at line 3: no such role");
    let message = render("one\n{{ missing.field }}").unwrap_err().to_string();
    assert!(message.starts_with("the chat template failed at line 2: undefined value"), "{message}");
    let message = render("{{ strftime_now('%Q%!') }}").unwrap_err().to_string();
    assert!(message.contains("strftime_now"), "{message}");
}

#[test]
fn nothing_outside_is_reached() {
    for source in [
        "{% include 'x' %}",
        "{% include 'chat template' %}",
        "{% extends 'x' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% block a %}{% endblock %}",
    ] {
        assert!(matches!(template(source), Err(TemplateError::Syntax { .. })), "{source}");
    }
    assert!(render("{{ debug() }}").is_err());
}

/// Each would take hours or all memory if it were let.
#[test]
fn hostile_templates_run_out_of_their_budget() {
    let loops = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}";
    let forty = |body: &str| {
        format!("{{% set n = namespace(x='ab', l=[1]) %}}{{% for i in range(40) %}}{body}{{% endfor %}}")
    };
    let text = "x".repeat(50_000);
    let sources = [
        loops.to_owned(),
        "{{ 'a' * 10**9 }}".into(),
        "{{ 'a' * 100000000 }}".into(),
        "{{ 100000000 * 'a' }}".into(),
        "{{ ['a'] * 100000000 }}".into(),
        "{% set x = 'a' * 90000000 ~ 'a' * 90000000 %}".into(),
        forty("{% set n.x = n.x ~ n.x %}"),
        forty("{% set n.x = n.x + n.x %}"),
        forty("{% set n.x = n.x * 2 %}"),
        forty("{% set n.l = n.l + n.l %}"),
        forty("{% set n.l = [n.l, n.l] %}") + "{{ n.l }}",
        forty("{% set n.l = [n.l, n.l] %}") + "{{ n.l | tojson }}",
        forty("{% set n.l = [n.l, n.l] %}") + "{{ n.l ~ '' }}",
        forty("{% set n.l = [n.l, n.l] %}{% set n.x = [n.x, n.x] %}") + "{{ n.l == n.x }}",
        forty("{% set n.l = {'a': n.l, 'b': n.l} %}"),
        forty("{% set n.l = (n.l, n.l) %}"),
        forty("{% set n.l = [n.l] * 2 %}"),
        forty("{% set n.x = n.x.replace('a', 'aaaa') | replace('b', 'bbbb') %}"),
        forty("{% set n.x = [n.x, n.x, n.x] | join(n.x) %}"),
        forty("{% set n.x = n.x.join([n.x, n.x, n.x]) %}"),
        forty("{% set y %}{{ n.x }}{{ n.x }}{% endset %}{% set n.x = y %}"),
        format!("{{% set x %}}{{% for i in range(90000) %}}{text}{{% endfor %}}{{% endset %}}"),
        format!("{{% for i in range(90000) %}}{text}{{% endfor %}}"),
        "{% set n = namespace(l=[]) %}{% for i in range(90000) %}{% set n.l = [n.l, range(99999) | list] %}{% endfor %}".into(),
        "{{ [1] | tojson(indent=1000000000) }}".into(),
        "{{ 'a\nb' | indent(1000000000) }}".into(),
    ];
    for source in sources {
        let outcome = render(&source);
        assert!(matches!(outcome, Err(TemplateError::Budget { .. })), "{:.80}: {outcome:.200?}", source);
    }
}

#[test]
fn other_hostile_templates_are_errors_too() {
    let deep = "(".repeat(50_000);
    let sources = [
        "{{ range(10**12) }}".to_owned(),
        "{{ range(10**12) | list }}".into(),
        "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}".into(),
        "{% for x in [[[]]] recursive %}{{ loop([[[]]]) }}{% endfor %}".into(),
        "{{ 'a' | batch(1000000000) }}".into(),
        "{{ '{:>1000000000}'.format('a') }}".into(),
        "{{ '%1000000000d' % 3 }}".into(),
        "{{ 'a'.replace('a', 'b', 1) }}".into(),
        format!("{{{{ {deep} }}}}"),
        "{% if x %}".repeat(5_000),
        "x".repeat(MAX_TEMPLATE_BYTES + 1),
        "{{ messages".into(),
        "{% generation".into(),
    ];
    for source in sources {
        assert!(render(&source).is_err(), "{:.80}", source);
    }
}

#[test]
fn deeply_nested_values_do_not_exhaust_the_stack() {
    let nest = "{% set n = namespace(l=[]) %}{% for i in range(60000) %}{% set n.l = [n.l] %}{% endfor %}";
    assert!(matches!(render(nest), Err(TemplateError::Budget { .. })));
    let maps = nest.replace("[n.l]", "{'a': n.l}");
    assert!(matches!(render(&maps), Err(TemplateError::Budget { .. })));
}

#[test]
fn arguments_may_be_spread_and_numbers_multiplied() {
    let source = "{% macro f(a, b) %}{{ a * b }}{% endmacro %}{{ f(*[6, 7]) }} {{ f(**{'a': 2, 'b': 3}) }} {{ 2*3*'ab' }}";
    assert_eq!(render(source).unwrap(), "42 6 abababababab");
}

#[test]
fn long_conversations_fit_the_budget() {
    let source =
        "{% for m in messages %}<|im_start|>{{ m.role + '\n' + m.content | trim }}<|im_end|>\n{% endfor %}";
    let message = json!({"role": "user", "content": "word ".repeat(50)});
    let conversation = Conversation { messages: vec![message; 3_000], ..Conversation::default() };
    let rendered = template(source).unwrap().render(&conversation, &clock()).unwrap();
    assert_eq!(rendered.matches("<|im_end|>").count(), 3_000);
}
