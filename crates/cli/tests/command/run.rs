//! `run` on the model inside the program. Nothing here knows what that model writes.

use std::collections::HashSet;
use std::io::Read;

use serde_json::Value;

use crate::program::{polysilicon, polysilicon_on, program};

fn run(args: &[&str]) -> Value {
    polysilicon(&[&["run", "--json"], args].concat()).json()
}

fn text(answer: &Value) -> &str {
    answer["text"].as_str().expect("a text")
}

fn ids(answer: &Value, key: &str) -> String {
    let ids = answer[key].as_array().expect("a list of ids");
    ids.iter().map(Value::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn without_arguments_it_tells_a_story() {
    let ended = polysilicon(&[]);
    assert_eq!(ended.status, 0, "{}", ended.err);
    assert!(ended.out.starts_with("Once upon a time") && ended.out.ends_with('\n'), "{}", ended.out);
    assert!(ended.err.contains("tokens/s") && ended.err.contains("the first after"), "{}", ended.err);
    assert_eq!(ended.err.lines().count(), 1);
}

#[test]
fn the_json_object_has_the_promised_fields() {
    let answer = run(&["-p", "The cat", "-n", "4"]);
    assert_eq!(answer["ids"].as_array().map(Vec::len), Some(4));
    assert_eq!(answer["finish_reason"], "length");
    assert_eq!(answer["usage"]["completion_tokens"], 4);
    assert_eq!(answer["usage"]["cached_tokens"], 0);
    assert_eq!(
        answer["usage"]["prompt_tokens"].as_u64(),
        answer["prompt_ids"].as_array().map(|ids| ids.len() as u64)
    );
    for key in ["load_s", "ttft_s", "decode_tokens_per_s"] {
        assert!(answer["timing"][key].as_f64().is_some_and(|value| value > 0.0), "{key}: {answer}");
    }
    assert!(answer["cost"]["seconds"].is_f64() && answer["random_weights"] == false, "{answer}");
}

#[test]
fn text_ids_and_standard_input_give_the_same_answer() {
    let by_text = run(&["-p", "The cat", "-n", "8"]);
    let by_ids = run(&["--ids", &ids(&by_text, "prompt_ids"), "-n", "8"]);
    let piped = polysilicon_on("The cat\n", &["run", "--json", "-p", "-", "-n", "8"]).json();
    let one_thread = run(&["-p", "The cat", "-n", "8", "--threads", "1"]);
    for other in [&by_ids, &piped, &one_thread] {
        assert_eq!(by_text["ids"], other["ids"]);
        assert_eq!(text(&by_text), text(other));
    }
    let plain = polysilicon(&["run", "-p", "The cat", "-n", "8"]).text();
    assert_eq!(plain, format!("{}\n", text(&by_text)));
}

#[test]
fn a_seed_decides_the_answer() {
    let with = |seed: &str| run(&["-p", "The", "-n", "12", "--temperature", "1.5", "--seed", seed]);
    assert_eq!(with("3")["ids"], with("3")["ids"]);
    let answers = ["1", "2", "3", "4"].map(|seed| ids(&with(seed), "ids"));
    assert!(answers.iter().collect::<HashSet<_>>().len() > 1, "{answers:?}");
}

#[test]
fn narrow_choices_are_greedy() {
    let greedy = run(&["-p", "The", "-n", "8"]);
    for narrow in [["--top-k", "1"], ["--top-p", "1e-6"], ["--min-p", "1"]] {
        let answer = run(&[&["-p", "The", "-n", "8", "--temperature", "2"], &narrow[..]].concat());
        assert_eq!(answer["ids"], greedy["ids"], "{narrow:?}");
    }
}

#[test]
fn an_answer_ends_before_a_stop_string() {
    let whole = run(&["-p", "The cat", "-n", "24"]);
    let whole = text(&whole);
    let word = whole.split_whitespace().nth(6).expect("an answer of some words");
    let stopped = run(&["-p", "The cat", "-n", "24", "--stop", "no such words", "--stop", word]);
    assert_eq!(Some((text(&stopped), stopped["finish_reason"].as_str())), {
        let end = whole.find(word);
        end.map(|end| (&whole[..end], Some("stop")))
    });
}

#[test]
fn an_answer_ends_where_the_context_does() {
    let answer = run(&["-p", "The cat", "--context", "16", "--ignore-eos"]);
    let usage = |key: &str| answer["usage"][key].as_u64().expect("a number");
    assert_eq!(answer["finish_reason"], "length");
    assert_eq!(usage("prompt_tokens") + usage("completion_tokens"), 16);
}

#[test]
fn log_probabilities_come_with_each_token() {
    let answer = run(&["-p", "The cat", "-n", "3", "--logprobs", "2"]);
    let tokens = answer["logprobs"].as_array().expect("a list");
    assert_eq!(tokens.len(), 3);
    for (token, id) in tokens.iter().zip(answer["ids"].as_array().expect("a list")) {
        assert_eq!(&token["id"], id);
        assert!(token["logprob"].as_f64().is_some_and(|logprob| logprob <= 0.0), "{token}");
        // A greedy token is the likeliest.
        assert_eq!(token["top"][0]["id"], *id);
        assert_eq!(token["top"].as_array().map(Vec::len), Some(2));
    }
}

#[test]
fn log_probabilities_come_of_the_prompt_too() {
    let answer = run(&["-p", "The cat sat", "-n", "1", "--logprobs", "1", "--prompt-logprobs"]);
    let told = answer["prompt_logprobs"].as_array().expect("a list");
    let ids = answer["prompt_ids"].as_array().expect("a list");
    assert_eq!(told.iter().map(|told| &told["id"]).collect::<Vec<_>>(), ids[1..].iter().collect::<Vec<_>>());
    assert!(told.iter().all(|told| told["top"].as_array().is_some_and(|top| top.len() == 1)));
}

#[test]
fn several_answers_and_the_likeliest_can_be_asked_for() {
    let drawn = ["-p", "The cat", "-n", "8", "--temperature", "1", "--ignore-eos"];
    let answers =
        |args: &[&str]| run(&[&drawn[..], args].concat())["answers"].as_array().cloned().expect("a list");
    let all = answers(&["--answers", "4"]);
    assert_eq!(all.len(), 4);
    assert_eq!(answers(&["--best-of", "4", "--answers", "2"]), all[..2], "the best come first");
    let found = run(&["-p", "The cat", "-n", "8", "--ignore-eos", "--beams", "3", "--answers", "2"]);
    let logprob = |answer: &Value| answer["logprob"].as_f64().expect("a number");
    let found = found["answers"].as_array().expect("a list");
    assert!(found.len() == 2 && logprob(&found[0]) >= logprob(&found[1]));
    assert!(all.iter().all(|drawn| logprob(&found[0]) >= logprob(drawn)), "nothing drawn is likelier");
    let printed = polysilicon(&["run", "-p", "The cat", "-n", "4", "--beams", "2", "--answers", "2"]).text();
    assert!(printed.starts_with("[1] ") && printed.contains("\n[2] "), "{printed}");
}

#[test]
fn guesses_change_nothing() {
    let plain = run(&["-p", "The cat", "-n", "40", "--speculate", "off"]);
    assert_eq!(plain["usage"]["drafted_tokens"], 0);
    for who in [&["--speculate", "ngram"][..], &["--draft", "embedded"]] {
        let answer = run(&[&["-p", "The cat", "-n", "40"], who].concat());
        assert_eq!(answer["ids"], plain["ids"], "{who:?}");
    }
}

#[test]
fn weights_can_be_changed_and_caches_narrowed() {
    for options in [["--quantize", "q4_0"], ["--quantize", "f32"], ["--kv", "q8_0"], ["--precision", "f32"]] {
        let answer = run(&[&["-p", "The cat", "-n", "4"], &options[..]].concat());
        assert_eq!(answer["ids"].as_array().map(Vec::len), Some(4), "{options:?}");
    }
}

#[test]
fn a_model_without_tokenizer_prints_ids() {
    let golden = crate::program::fixture("goldens/qwen3-gqa-tied");
    let printed = polysilicon(&["run", &golden, "--ids", "1,2,3", "-n", "5", "--ignore-eos"]).text();
    let answer = polysilicon(&["run", &golden, "--ids", "1,2,3", "-n", "5", "--ignore-eos", "--json"]).json();
    assert_eq!(printed.trim_end(), ids(&answer, "ids"));
    assert_eq!(text(&answer), "");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let mut child = program(&["run", "--ignore-eos"]).spawn().expect("it starts");
    let mut first = [0];
    child.stdout.take().expect("piped").read_exact(&mut first).expect("it writes");
    let ended = child.wait_with_output().expect("it ends");
    assert_eq!((ended.status.code(), ended.stderr), (Some(0), vec![]));
}
