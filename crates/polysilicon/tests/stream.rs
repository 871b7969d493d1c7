//! Generations as a program that embeds the library sees them, on the model inside the binary.

use polysilicon::{Error, FinishReason, Model, Sampling};

fn model() -> Model {
    Model::open("embedded").and_then(|builder| builder.load()).expect("it is part of the program")
}

/// As many tokens as asked for, end tokens or not.
fn long(tokens: u32) -> Sampling {
    Sampling::default().max_tokens(tokens).ignore_end(true)
}

#[test]
fn a_stream_outlives_its_model() -> Result<(), Error> {
    let stream = model().generate("Once", &long(600))?;
    assert_eq!(stream.finish()?.completion_tokens, 600);
    Ok(())
}

#[test]
fn a_stream_that_nobody_reads_holds_up_nobody() -> Result<(), Error> {
    let model = model();
    let mut unread = model.generate("Once", &long(1000))?;
    assert!(unread.next().is_some());
    drop(unread);
    assert_eq!(model.generate("Once", &long(3))?.finish()?.completion_tokens, 3);
    Ok(())
}

#[test]
fn a_model_can_go_while_a_stream_is_full() -> Result<(), Error> {
    let model = model();
    let stream = model.generate("Once", &long(1000))?;
    drop(model);
    drop(stream);
    Ok(())
}

#[test]
fn the_seed_decides() -> Result<(), Error> {
    let model = model();
    let with = |seed| -> Result<_, Error> {
        let sampling = long(40).temperature(1.0).top_p(0.95).seed(seed);
        Ok(model.generate("The", &sampling)?.finish()?.ids)
    };
    assert_eq!(with(1)?, with(1)?);
    assert_ne!(with(1)?, with(2)?);
    Ok(())
}

#[test]
fn text_ends_before_a_stop_string() -> Result<(), Error> {
    let model = model();
    let whole = model.generate("Once upon a time", &long(60))?.finish()?.text;
    let stop = whole.chars().skip(40).take(5).collect::<String>();
    let cut = model.generate("Once upon a time", &long(60).stop(stop.as_str()))?.finish()?;
    assert_eq!(cut.finish_reason, FinishReason::Stop);
    assert_eq!(Some(cut.text.as_str()), whole.split(stop.as_str()).next());
    Ok(())
}

#[test]
fn a_prompt_of_several_chunks_is_one_prompt() -> Result<(), Error> {
    let model = model();
    let ids = (0..700u32).map(|i| i * 7919 % 2000).collect::<Vec<_>>();
    let logits = model.logits(&ids)?;
    let last = &logits.values[logits.values.len() - logits.vocab..];
    let best = (0..last.len()).max_by(|&a, &b| last[a].total_cmp(&last[b])).map(|id| id as u32);
    let mut stream = model.generate(ids.as_slice(), &long(2).top_logprobs(3))?;
    let first = stream.next().expect("two tokens were asked for")?;
    assert_eq!(first.id, best);
    assert_eq!(first.top.len(), 3);
    assert_eq!(first.top[0].0, first.id.expect("a token"));
    assert!((first.top[0].1 - first.logprob).abs() < 1e-6 && first.logprob <= 0.0);
    Ok(())
}

#[test]
fn what_cannot_be_served_is_refused_with_its_numbers() {
    let model = model();
    let refused = |ids: Vec<u32>| model.generate(ids, &long(1)).err().expect("refused").to_string();
    let too_long = refused(vec![1; 2000]);
    assert!(too_long.contains("2000") && too_long.contains("1024"), "{too_long}");
    assert!(refused(vec![]).contains("empty"));
    assert!(refused(vec![1, 99_999]).contains("99999"));
}
