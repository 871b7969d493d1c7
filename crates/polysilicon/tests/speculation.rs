//! Guesses change no bit of an answer, whoever makes them.

use polysilicon::{Error, Model, Piece, Sampling, Speculation, Stream};

fn bits(stream: &mut Stream) -> Result<Vec<(u32, u32)>, Error> {
    let bits = |piece: Piece| (piece.id.expect("every piece is a token"), piece.logprob.to_bits());
    stream.map(|piece| piece.map(bits)).collect()
}

/// Greedy and drawn requests that repeat themselves.
fn requests() -> Vec<(Vec<u32>, Sampling)> {
    let request = |i: u32| {
        let prompt = (0..40 + i).map(|at| (at % (5 + i)) * 37 % 2000).collect();
        let sampling =
            Sampling::default().max_tokens(60 + i).ignore_end(true).seed(u64::from(i)).top_logprobs(1);
        let sampling = match i % 4 {
            0 | 1 => sampling,
            2 => sampling.temperature(0.5),
            _ => sampling.temperature(1.0).top_p(0.9),
        };
        (prompt, sampling)
    };
    (0..12).map(request).collect()
}

#[test]
fn answers_are_those_without_guesses() -> Result<(), Error> {
    let model = Model::open("embedded")?.threads(1).ids_only().draft(Model::open("embedded")?).load()?;
    let all = requests();
    let run = |who: Speculation| {
        let start = |(ids, sampling): &(Vec<u32>, Sampling)| {
            model.generate(ids.clone(), &sampling.clone().speculate(who))
        };
        let mut streams = all.iter().map(start).collect::<Result<Vec<_>, _>>()?;
        let answers = streams.iter_mut().map(bits).collect::<Result<Vec<_>, _>>()?;
        let receipts = streams.iter().filter_map(Stream::receipt);
        let count = receipts.map(|receipt| (receipt.drafted_tokens, receipt.accepted_tokens));
        let sum = count.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        Ok::<_, Error>((answers, sum))
    };
    let (plain, (none, _)) = run(Speculation::Off)?;
    assert_eq!(none, 0);
    for who in [Speculation::Ngram, Speculation::Draft, Speculation::Auto] {
        // Whether guesses pay is measured; where the machine is busy with something else, they may not at first.
        let mut guessed = 0;
        for _ in 0..50 {
            let (answers, (drafted, accepted)) = run(who)?;
            assert!(answers == plain, "{who:?} changes an answer");
            assert!(accepted <= drafted, "{who:?}: {accepted} of {drafted}");
            guessed += drafted;
            if guessed > 0 {
                break;
            }
        }
        assert!(guessed > 0, "{who:?} never guesses");
    }
    Ok(())
}

#[test]
fn acceptance_is_made_up_for_benches_alone() -> Result<(), Error> {
    let model = Model::open("embedded")?.threads(1).ids_only().load()?;
    let plain = Sampling::default().max_tokens(200).ignore_end(true);
    let made_up = plain.clone().speculate(Speculation::Ngram).synthetic_acceptance(1.0);
    let before = model.generate(vec![1, 2, 3], &plain)?.finish()?;
    let receipt = model.generate(vec![1, 2, 3], &made_up)?.finish()?;
    assert_eq!((receipt.completion_tokens, receipt.accepted_tokens), (200, receipt.drafted_tokens));
    // What was made up is left to nobody.
    assert_eq!(model.generate(vec![1, 2, 3], &plain)?.finish()?.ids, before.ids);
    assert!(model.generate(vec![1], &plain.synthetic_acceptance(2.0)).is_err());
    Ok(())
}

#[test]
fn a_draft_model_that_cannot_guess_is_refused() -> Result<(), Error> {
    let model = Model::open("embedded")?.threads(1).load()?;
    let asked = model.generate(vec![1], &Sampling::default().speculate(Speculation::Draft));
    let error = asked.err().expect("there is none").to_string();
    assert!(error.contains("--draft"), "{error}");
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens/qwen3-gqa-tied");
    // Without a tokenizer nobody can tell, and nothing is lost.
    let answer = Model::open("embedded")?.threads(1).draft(Model::open(golden)?).load()?;
    let sampling = Sampling::default().max_tokens(20).ignore_end(true);
    assert_eq!(
        answer.generate("The cat", &sampling)?.finish()?.ids,
        model.generate("The cat", &sampling)?.finish()?.ids
    );
    Ok(())
}
