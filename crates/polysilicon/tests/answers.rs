//! Several answers, the best of them, the likeliest, and what a model thinks of a prompt: held against the logits.

use polysilicon::{Beams, Error, FinishReason, Model, Sampling};

fn model() -> Result<Model, Error> {
    Model::open("embedded")?.threads(1).load()
}

/// `[T, V]` log-probabilities behind every position.
fn logprobs(model: &Model, ids: &[u32]) -> Result<Vec<Vec<f64>>, Error> {
    let logits = model.logits(ids)?;
    let row = |row: &[f32]| {
        let largest = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        let sum = row.iter().map(|&logit| (f64::from(logit) - largest).exp()).sum::<f64>();
        row.iter().map(|&logit| f64::from(logit) - largest - sum.ln()).collect()
    };
    Ok(logits.values.chunks_exact(logits.vocab).map(row).collect())
}

#[test]
fn what_is_told_of_a_prompt_is_what_the_logits_say() -> Result<(), Error> {
    let model = model()?;
    let ids = model.encode("Once upon a time there was a little dog who lived in a big house.")?;
    let known = logprobs(&model, &ids)?;
    let sampling = Sampling::default().prompt_logprobs(true).top_logprobs(3).max_tokens(0);
    let receipt = model.generate(ids.clone(), &sampling)?.finish()?;
    assert_eq!((receipt.completion_tokens, receipt.prompt_logprobs.len()), (0, ids.len() - 1));
    for (place, told) in receipt.prompt_logprobs.iter().enumerate() {
        assert_eq!(told.id, ids[place + 1]);
        assert!((f64::from(told.logprob) - known[place][told.id as usize]).abs() < 1e-4, "{place}");
        let best = known[place].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!(told.top.len() == 3 && (f64::from(told.top[0].1) - best).abs() < 1e-4, "{place}");
    }
    // The answer is the same, asked or not, and both are there.
    let sampling = sampling.max_tokens(5);
    let mut stream = model.generate(ids.clone(), &sampling)?;
    stream.next().transpose()?;
    assert_eq!(stream.prompt_logprobs(), receipt.prompt_logprobs);
    let plain = model.generate(ids, &Sampling::default().max_tokens(5))?.finish()?;
    assert_eq!(stream.finish()?.ids, plain.ids);
    Ok(())
}

#[test]
fn the_best_answers_are_those_of_the_highest_mean() -> Result<(), Error> {
    let model = model()?;
    let sampling = Sampling::default().temperature(1.0).max_tokens(12).seed(5);
    let best = model.generate_best("The cat", &sampling, 3, 8)?;
    let mut all = vec![];
    for stream in model.generate_answers("The cat", &sampling, 8)? {
        all.push(stream.finish()?);
    }
    let mean = |answer: &polysilicon::Receipt| answer.logprob / f64::from(answer.completion_tokens);
    all.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    let ids = |answers: &[polysilicon::Receipt]| answers.iter().map(|a| a.ids.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&best), ids(&all[..3]));
    let prompt = model.encode("The cat")?;
    let known = logprobs(&model, &[&prompt[..], &best[0].ids].concat())?;
    let sum = best[0].ids.iter().zip(&known[prompt.len() - 1..]).map(|(&id, row)| row[id as usize]);
    assert!((sum.sum::<f64>() - best[0].logprob).abs() < 1e-3);
    for (best, drawn) in [(0, 4), (5, 4), (1, 129)] {
        assert!(model.generate_best("The cat", &sampling, best, drawn).is_err());
    }
    Ok(())
}

/// A search in plain vectors, which computes everything anew.
fn search(model: &Model, prompt: &[u32], width: usize, tokens: usize) -> Result<Vec<(Vec<u32>, f64)>, Error> {
    let mut beams = vec![(vec![], 0.0)];
    for _ in 0..tokens {
        let mut next = vec![];
        for (ids, sum) in &beams {
            let known = logprobs(model, &[prompt, ids].concat())?;
            let row = known.last().expect("there is a prompt");
            next.extend((0..).zip(row).map(|(id, logprob)| ([&ids[..], &[id]].concat(), sum + logprob)));
        }
        next.sort_by(|a: &(Vec<u32>, f64), b| b.1.total_cmp(&a.1));
        next.truncate(width);
        beams = next;
    }
    Ok(beams)
}

#[test]
fn beams_find_what_a_plain_search_finds() -> Result<(), Error> {
    let model = model()?;
    let prompt = model.encode("Once upon a time, there was a")?;
    let known = search(&model, &prompt, 3, 7)?;
    let sampling = Sampling::default().max_tokens(7).ignore_end(true);
    let found = model.beam_search(prompt.clone(), &sampling, Beams::new(3))?;
    assert_eq!(found.len(), 3);
    for (found, (ids, logprob)) in found.iter().zip(&known) {
        assert_eq!(&found.ids, ids);
        assert!((found.logprob - logprob).abs() < 1e-3 && (found.score - logprob / 7.0).abs() < 1e-3);
        assert_eq!(found.finish_reason, FinishReason::Length);
        assert!(!found.text.is_empty());
    }
    // It is at least as likely as always taking the likeliest token.
    let greedy = model.generate(prompt.clone(), &sampling)?.finish()?;
    assert!(found[0].logprob >= greedy.logprob - 1e-3);
    // Answers end at their first end token.
    let ends = (0..1000).fold(sampling.clone(), Sampling::stop_id);
    for found in model.beam_search(prompt.clone(), &ends, Beams::new(4).length_penalty(0.0))? {
        let ended = found.ids.iter().position(|&id| id < 1000);
        assert!(ended.is_none_or(|place| place + 1 == found.ids.len()), "{:?}", found.ids);
        assert!((found.score - found.logprob).abs() < 1e-9);
    }
    for beams in [Beams::new(0), Beams::new(65), Beams::new(2).length_penalty(f64::NAN)] {
        assert!(model.beam_search(prompt.clone(), &sampling, beams).is_err());
    }
    for sampling in [sampling.clone().temperature(1.0), sampling.clone().stop("x"), sampling.max_tokens(0)] {
        assert!(model.beam_search(prompt.clone(), &sampling, Beams::new(2)).is_err());
    }
    Ok(())
}
