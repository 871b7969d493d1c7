//! Answers of a form, on the model inside the binary: whatever it would rather say, however its tokens are drawn.

use polysilicon::{Beams, Dry, Error, FinishReason, GrammarSource, Model, Piece, Sampling, Stream};
use serde_json::{Value, json};

fn model() -> Result<Model, Error> {
    Model::open("embedded")?.threads(1).load()
}

/// Ways to draw that a form must stand: greedy, the model's own, nearly flat, and with all that changes logits.
fn way(seed: u64) -> Sampling {
    let sampling = Sampling::default().max_tokens(600).seed(seed);
    match seed % 6 {
        0 => sampling,
        1 => sampling.temperature(1.0),
        2 => sampling.temperature(30.0),
        3 => sampling.temperature(0.8).top_k(40).top_p(0.9).min_p(0.01),
        4 => sampling.temperature(2.0).typical(0.9).penalties(1.3, 0.5, 0.5),
        _ => sampling.temperature(1.0).dry(Dry { multiplier: 3.0, allowed_length: 1, ..Dry::NONE }),
    }
}

fn character() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "maxLength": 12},
            "age": {"type": "integer", "minimum": 0, "maximum": 130},
            "mood": {"enum": ["happy", "sad", null]},
            "friends": {"type": "array", "maxItems": 2, "items": {"type": "string", "maxLength": 6}},
        },
        "required": ["name", "age", "friends"],
        "additionalProperties": false,
    })
}

fn assert_character(text: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"));
    let object = value.as_object().expect("an object");
    let is_short = |value: &Value, most| value.as_str().is_some_and(|text| text.chars().count() <= most);
    for key in ["name", "age", "friends"] {
        assert!(object.contains_key(key), "{key} is missing in {text}");
    }
    for (key, value) in object {
        let holds = match key.as_str() {
            "name" => is_short(value, 12),
            "age" => value.as_u64().is_some_and(|age| age <= 130),
            "mood" => value.is_null() || value == "happy" || value == "sad",
            "friends" => {
                value.as_array().is_some_and(|all| all.len() <= 2 && all.iter().all(|name| is_short(name, 6)))
            }
            _ => false,
        };
        assert!(holds, "{key} is wrong in {text}");
    }
}

#[test]
fn json_is_of_its_schema_however_it_is_drawn() -> Result<(), Error> {
    let model = model()?;
    let grammar = model.grammar(&GrammarSource::JsonSchema(character().to_string()))?;
    let start = |seed| model.generate("Tom was a boy.", &way(seed).grammar(&grammar));
    let mut texts = std::collections::BTreeSet::new();
    for seeds in [0..40, 40..80, 80..120u64] {
        for stream in seeds.map(start).collect::<Result<Vec<_>, _>>()? {
            let receipt = stream.finish()?;
            assert_eq!(receipt.finish_reason, FinishReason::Stop, "{}", receipt.text);
            assert_character(&receipt.text);
            texts.insert(receipt.text);
        }
    }
    assert!(texts.len() > 60, "seeds make a difference: {} texts", texts.len());
    Ok(())
}

/// What an answer says, bit for bit.
fn bits(stream: Stream) -> Result<Vec<(Option<u32>, u32, String)>, Error> {
    let bits = |piece: Piece| (piece.id, piece.logprob.to_bits(), piece.text);
    stream.map(|piece| piece.map(bits)).collect()
}

#[test]
fn forms_do_not_change_who_else_is_served() -> Result<(), Error> {
    let model = model()?;
    let json = model.grammar(&GrammarSource::JsonSchema(character().to_string()))?;
    let date = model.grammar(&GrammarSource::Regex("[0-9]{4}-[0-9]{2}-[0-9]{2}".to_owned()))?;
    let sampling = |seed: u64| match seed % 3 {
        0 => way(seed).grammar(&json),
        1 => way(seed).grammar(&date),
        _ => way(seed).max_tokens(40),
    };
    let start = |seed| model.generate("Once upon a time", &sampling(seed));
    let together = (0..18).map(start).collect::<Result<Vec<_>, _>>()?;
    for (seed, stream) in (0..).zip(together) {
        assert_eq!(bits(stream)?, bits(start(seed)?)?, "request {seed} differs alone");
    }
    // Several answers to one prompt each have a place in the grammar of their own.
    let sampling = way(1).grammar(&json);
    for (answer, stream) in model.generate_answers("Tom", &sampling, 4)?.into_iter().enumerate() {
        let text = stream.finish()?.text;
        assert_character(&text);
        assert!(answer > 0 || text == model.generate("Tom", &sampling)?.finish()?.text);
    }
    Ok(())
}

#[test]
fn a_session_goes_on_within_its_form() -> Result<(), Error> {
    let model = model()?;
    let grammar = model.grammar(&GrammarSource::JsonSchema(character().to_string()))?;
    let sampling = way(3).grammar(&grammar);
    let whole = model.generate("Tom", &sampling)?.finish()?;
    let session = model.session();
    let mut broken = session.generate("Tom", &sampling)?;
    let mut text = String::new();
    for _ in 0..7 {
        text += &broken.next().expect("it is longer")?.text;
    }
    drop(broken);
    text += &session.resume(&sampling)?.finish()?.text;
    assert_eq!(text, whole.text);
    Ok(())
}

#[test]
fn expressions_rules_and_choices_hold() -> Result<(), Error> {
    let model = model()?;
    let lark = GrammarSource::Lark("start: \"(\" start \")\" | /[a-c]{1,3}/".to_owned());
    let lark = model.grammar(&lark)?;
    let choice = model.grammar(&GrammarSource::Choice(vec!["yes".to_owned(), " no\n".to_owned()]))?;
    for seed in 0..24 {
        let nested = model.generate("Tom", &way(seed).max_tokens(40).grammar(&lark))?.finish()?;
        let open = nested.text.chars().take_while(|&c| c == '(').count();
        let inner = nested.text[open..].trim_end_matches(')');
        let closed = nested.text.len() - open - inner.len();
        assert!(inner.len() <= 3 && inner.bytes().all(|b| b"abc".contains(&b)), "{}", nested.text);
        assert!(closed == open || nested.finish_reason == FinishReason::Length, "{}", nested.text);
        let chosen = model.generate("Tom", &way(seed).grammar(&choice))?.finish()?.text;
        assert!(chosen == "yes" || chosen == " no\n", "{chosen:?}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_followed_is_refused() -> Result<(), Error> {
    let (model, other) = (model()?, model()?);
    let grammar = other.grammar(&GrammarSource::JsonObject)?;
    let said = |result: Result<Stream, Error>| result.err().expect("it is refused").to_string();
    let foreign = said(model.generate("Tom", &Sampling::default().grammar(&grammar)));
    assert!(foreign.contains("made for another model"), "{foreign}");
    let own = model.grammar(&GrammarSource::JsonObject)?;
    let search = model.beam_search("Tom", &Sampling::default().max_tokens(4).grammar(&own), Beams::new(2));
    assert!(search.expect_err("beams know no grammar").to_string().contains("grammars"));
    let mute = Model::open("embedded")?.ids_only().load()?;
    let error = mute.grammar(&GrammarSource::JsonObject).expect_err("it has no text").to_string();
    assert!(error.contains("tokenizer: it has none"), "{error}");
    let dry = Sampling::default().dry(Dry { multiplier: 1.0, ..Dry::NONE });
    assert!(said(mute.generate(vec![1, 2], &dry.clone().dry_breakers(["x"]))).contains("no tokenizer"));
    assert!(
        said(model.generate("Tom", &dry.dry_breakers(["x"; 65]))).contains("65 texts that end repetitions")
    );
    Ok(())
}

#[test]
fn dry_ends_a_loop_unless_a_breaker_is_in_it() -> Result<(), Error> {
    let model = model()?;
    let again = *model.encode("Tom ran to the tree")?.last().expect("it has tokens");
    // A bias makes a loop of any model: one token, again and again.
    let long = Sampling::default().max_tokens(40).ignore_end(true).bias(again, 60.0);
    let dry = long.clone().dry(Dry { multiplier: 4.0, ..Dry::NONE });
    let loops = |sampling: &Sampling| -> Result<bool, Error> {
        let pieces = model.generate("Tom", sampling)?.collect::<Result<Vec<_>, _>>()?;
        let mut ids = pieces.iter().filter_map(|piece| piece.id);
        Ok(ids.all(|id| id == again))
    };
    assert!(loops(&long)? && !loops(&dry)?);
    let tokenizer = model.tokenizer().expect("it has one");
    let text = String::from_utf8_lossy(tokenizer.bytes(again).expect("it is text")).into_owned();
    assert!(!loops(&dry.clone().dry_breakers(["\n", "~"]))?, "neither is in the loop");
    assert!(loops(&dry.dry_breakers(["\n", text.as_str()]))?, "the loop is a breaker");
    Ok(())
}
