//! Answers of a form, and forms that no answer can have.

use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{Ended, polysilicon, polysilicon_on};

/// A flat draw, so that it is the form and not the model that makes the text what it is.
const WILD: [&str; 6] = ["run", "-p", "Tom", "--temperature", "20", "--seed"];

fn wild(seed: &str, form: &[&str]) -> Ended {
    polysilicon(&[&WILD, &[seed][..], form].concat())
}

/// A folder, and the path of a file with this text in it.
fn file(text: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("form");
    fs::write(&path, text).expect("it is written");
    let path = path.to_str().expect("a path in text").to_owned();
    (folder, path)
}

#[test]
fn answers_have_the_form_that_was_asked_for() {
    let schema = json!({
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": 3, "maximum": 9}},
        "required": ["name", "age"],
        "additionalProperties": false,
    });
    let (_kept, schema) = file(&schema.to_string());
    let (_kept, lark) = file("start: \"<\" /[a-f]{2}/ \">\"\n");
    for seed in ["1", "2", "3"] {
        let answer = wild(seed, &["--schema", &schema]).json();
        let keys = answer.as_object().expect("an object").keys().collect::<Vec<_>>();
        assert_eq!(keys, ["name", "age"], "{answer}");
        assert!(answer["age"].as_u64().is_some_and(|age| (3..=9).contains(&age)), "{answer}");
        assert!(answer["name"].as_str().is_some_and(|name| name.chars().count() <= 8), "{answer}");
        let tag = wild(seed, &["--grammar", &lark]).text();
        assert!(tag.len() == 5 && tag.starts_with('<') && tag.ends_with(">\n"), "{tag:?}");
        let date = wild(seed, &["--regex", "-?[0-9]{4}-[0-9]{2}"]).text();
        assert!(date.trim_start_matches('-').trim_end().split('-').map(str::len).eq([4, 2]), "{date:?}");
        let choice = wild(seed, &["--choice", "yes", "--choice", "-no"]).text();
        assert!(choice == "yes\n" || choice == "-no\n", "{choice:?}");
    }
    let chat = ["chat", "--choice", "Good day.", "--temperature", "20"];
    assert_eq!(polysilicon_on("Hello\nHello\n", &chat).text().matches("Good day.").count(), 2);
}

#[test]
fn the_end_of_the_form_is_why_an_answer_ends() {
    let run =
        |rest: &[&str]| -> Value { polysilicon(&[&["run", "-p", "Tom", "--json"], rest].concat()).json() };
    let whole = run(&["--regex", "[a-c]{12}", "--ignore-eos"]);
    assert_eq!(whole["finish_reason"], "stop", "{whole}");
    let cut = run(&["--regex", "[a-c]{200}", "-n", "2"]);
    assert_eq!(cut["finish_reason"], "length", "{cut}");
}

#[test]
fn forms_that_cannot_be_used_say_why() {
    let deep = format!("{}true{}", "{\"items\":".repeat(100), "}".repeat(100));
    for (option, text, words) in [
        ("--schema", "{\"type\": ", "JSON schema cannot be used"),
        ("--schema", "{\"$ref\": \"#\"}", "it allows no text"),
        ("--schema", &deep, "flatten it"),
        ("--schema", &"1".repeat(200_000), "make it smaller"),
        ("--grammar", "root ::= \"a\"", "it is GBNF"),
    ] {
        let (_kept, path) = file(text);
        let sentence = polysilicon(&["run", option, &path]).sentence(1);
        assert!(sentence.contains(words), "{option}: {sentence}");
    }
    for (args, words) in [
        (&["--schema", "no-such-file"][..], "no-such-file could not be read"),
        (&["--regex", "(a"], "unclosed group"),
        (&["--regex", "(((a{1000}){1000}){1000}){1000}"], "make it simpler"),
        (&["--choice", ""], "list of choices cannot be used"),
        (&["--logit-bias", "99999999=1"], "99999999"),
        (&["--typical-p", "0"], "typical"),
        (&["--dry-multiplier", "-1"], "dry"),
    ] {
        let sentence = polysilicon(&[&["run"], args].concat()).sentence(1);
        assert!(sentence.to_lowercase().contains(words), "{args:?}: {sentence}");
    }
    for (args, words) in [
        (&["--regex", "a", "--choice", "a"][..], "cannot be used with"),
        (&["--logit-bias", "5"], "15043=-2.5"),
        (&["--logit-bias", "5=much"], "15043=-2.5"),
    ] {
        let ended = polysilicon(&[&["run"], args].concat());
        assert!(ended.status == 2 && ended.err.contains(words), "{args:?}: {ended:?}");
    }
}

#[test]
fn biases_move_tokens_in_and_out() {
    let run = |rest: &[&str]| -> Value {
        polysilicon(&[&["run", "-p", "The", "-n", "4", "--json"], rest].concat()).json()
    };
    let plain = run(&[])["ids"].clone();
    let first = plain[0].as_u64().expect("an id");
    assert_ne!(run(&["--logit-bias", &format!("{first}=-100")])["ids"][0], plain[0]);
    let other = (first + 1).to_string();
    let moved = run(&["--logit-bias", &format!("{other}=100"), "--logit-bias", "3=-1.5"]);
    assert_eq!(moved["ids"][0], first + 1, "{moved}");
}
