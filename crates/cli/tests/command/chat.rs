//! `chat` through a pipe: each line a turn.

use polysilicon::{Conversation, Model, Sampling};
use serde_json::{Value, json};

use crate::program::{polysilicon, polysilicon_on};

/// What the library answers to a conversation, as the command prints it.
fn answer(model: &Model, messages: &[Value]) -> String {
    let conversation =
        Conversation { messages: messages.to_vec(), add_generation_prompt: true, ..Conversation::default() };
    let sampling = Sampling::default().max_tokens(24);
    let stream = model.chat(&conversation, &sampling).expect("the conversation is short");
    stream.finish().expect("nothing fails").text
}

#[test]
fn turns_are_remembered_until_reset() {
    let model = Model::open("embedded").unwrap().load().unwrap();
    let (first, second) = ("What is 2 plus 3?", "Tell me a story.");
    let mut messages = vec![json!({"role": "user", "content": first})];
    let first_answer = answer(&model, &messages);
    messages.push(json!({"role": "assistant", "content": first_answer}));
    messages.push(json!({"role": "user", "content": second}));
    let second_answer = answer(&model, &messages);

    let input = format!("{first}\n\n{second}\n/reset\n{first}\n/quit\n{second}\n");
    let printed = polysilicon_on(&input, &["chat", "-n", "24"]).text();
    assert_eq!(printed, format!("{first_answer}\n{second_answer}\n{first_answer}\n"));
}

#[test]
fn a_system_prompt_comes_first() {
    let model = Model::open("embedded").unwrap().load().unwrap();
    let told = "You are a poet.";
    let messages = [json!({"role": "system", "content": told}), json!({"role": "user", "content": "Hello."})];
    let printed = polysilicon_on("Hello.\n", &["chat", "-n", "24", "--system", told]).text();
    assert_eq!(printed, answer(&model, &messages) + "\n");
}

#[test]
fn a_conversation_that_is_too_long_is_refused_with_both_numbers() {
    let sentence = polysilicon_on(&"word ".repeat(100), &["chat", "--context", "32"]).sentence(1);
    assert!(sentence.contains("the context holds 32"), "{sentence}");
}

#[test]
fn a_model_without_template_says_so() {
    let golden = crate::program::fixture("goldens/qwen3-gqa-tied");
    assert!(polysilicon(&["chat", &golden]).sentence(1).contains("no chat template"));
}

#[test]
fn a_session_goes_on_in_another_process() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("talk.pss");
    let file = file.to_str().expect("a path of this test");
    let turns = ["What is 2 plus 3?", "Tell me a story.", "And then?"];
    let whole = polysilicon_on(&turns.map(|turn| format!("{turn}\n")).concat(), &["chat", "-n", "24"]).text();
    let turn =
        |turn: &str| polysilicon_on(&format!("{turn}\n"), &["chat", "-n", "24", "--session", file]).text();
    assert_eq!(turns.map(turn).concat(), whole);
    // Whoever begins anew replaces it with the next answer, and no sooner.
    let again = polysilicon_on("/reset\n", &["chat", "--session", file]).text() + &turn(turns[0]);
    assert!(!again.is_empty() && again != whole);

    let damaged = std::fs::read(file).unwrap();
    std::fs::write(file, &damaged[..damaged.len() / 2]).unwrap();
    let sentence = polysilicon_on("Hello.\n", &["chat", "--session", file]).sentence(1);
    assert!(sentence.contains("damaged"), "{sentence}");
    let other = Model::open("embedded").unwrap().load().unwrap().session();
    other.save(file).unwrap();
    let sentence = polysilicon_on("Hello.\n", &["chat", "--session", file]).sentence(2);
    assert!(sentence.contains("no conversation"), "{sentence}");
}
