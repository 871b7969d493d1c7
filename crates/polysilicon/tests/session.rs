//! Sessions that are kept, forked, taken back, and files of them in every state.

use std::path::{Path, PathBuf};

use polysilicon::{DType, Device, Error, Model, Piece, Precision, Sampling, Session, SessionError};

fn open(device: Device, kv: DType) -> Result<Model, Error> {
    let builder = Model::open("embedded")?.device(device).threads(1).kv(kv).precision(Precision::F32);
    builder.ids_only().load()
}

fn cpu() -> Result<Model, Error> {
    open(Device::Cpu, DType::BF16)
}

fn prompt(len: u32) -> Vec<u32> {
    (0..len).map(|i| i * 7919 % 2000).collect()
}

/// Everything that an interrupted answer's state depends on.
fn drawn(tokens: u32) -> Sampling {
    let sampling = Sampling::default().temperature(0.9).top_p(0.95).penalties(1.1, 0.3, 0.2).seed(11);
    sampling.max_tokens(tokens).ignore_end(true)
}

/// The bits of what tokens are told with.
fn logprobs(pieces: impl Iterator<Item = Result<Piece, Error>>) -> Result<Vec<u32>, Error> {
    let bits = |piece: Piece| piece.id.map(|_| piece.logprob.to_bits());
    pieces.filter_map(|piece| piece.map(bits).transpose()).collect()
}

fn in_folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("talk.pss");
    (folder, path)
}

/// A session of 100 tokens asked and 50 made, and its file.
fn saved(path: &Path) -> Result<Vec<u32>, Error> {
    let mut session = cpu()?.session();
    session.generate(prompt(100), &drawn(50))?.finish()?;
    session.set_notes("{\"said\": \"ü\"}");
    session.save(path)?;
    Ok(session.tokens())
}

#[test]
fn an_answer_goes_on_in_another_process_as_if_unbroken() -> Result<(), Error> {
    let (_folder, path) = in_folder();
    let whole = cpu()?.session();
    let unbroken = logprobs(whole.generate(prompt(100), &drawn(90))?)?;

    let model = cpu()?;
    let mut session = model.session();
    let mut stream = session.generate(prompt(100), &drawn(90))?;
    let mut told = logprobs(stream.by_ref().take(50))?;
    drop(stream);
    session.set_notes("notes");
    session.save(&path)?;

    let other = cpu()?;
    let restored = Session::restore(&other, &path)?;
    assert_eq!((restored.notes(), restored.tokens().len()), ("notes", 150));
    let mut stream = restored.resume(&drawn(40))?;
    told.extend(logprobs(stream.by_ref())?);
    assert_eq!((restored.tokens(), told), (whole.tokens(), unbroken));
    // Whole pages of 16 are kept, and the last token was not fed.
    assert_eq!(stream.finish()?.cached_tokens, 144);
    Ok(())
}

#[test]
fn the_same_file_opens_on_another_device() -> Result<(), Error> {
    let (_folder, path) = in_folder();
    let greedy = Sampling::default().max_tokens(20).ignore_end(true);
    let model = open(Device::Cpu, DType::F32)?;
    let session = model.session();
    session.generate(prompt(60), &greedy)?.finish()?;
    session.save(&path)?;
    let unbroken = session.resume(&greedy)?.finish()?;

    let reference = open(Device::Reference, DType::F32)?;
    let restored = Session::restore(&reference, &path)?;
    let receipt = restored.resume(&greedy)?.finish()?;
    assert_eq!(receipt.ids, unbroken.ids);
    assert!(
        (receipt.logprob - unbroken.logprob).abs() < 1e-3,
        "{} and {}",
        receipt.logprob,
        unbroken.logprob
    );
    assert!(receipt.cached_tokens >= 64);

    let narrow = open(Device::Reference, DType::BF16)?;
    let refused = Session::restore(&narrow, &path).err().expect("keys and values differ").to_string();
    assert!(refused.contains("f32") && refused.contains("bf16"), "{refused}");
    Ok(())
}

#[test]
fn forks_part_and_going_back_forgets() -> Result<(), Error> {
    let model = cpu()?;
    let session = model.session();
    session.generate(prompt(40), &drawn(10))?.finish()?;
    let (fork, before) = (session.fork(), session.tokens());
    fork.generate(vec![5, 6, 7], &drawn(10))?.finish()?;
    assert_eq!(session.tokens(), before);
    assert_eq!(fork.tokens()[..53], [&before[..], &[5, 6, 7]].concat());

    // As if the end had never been.
    fork.rewind(45)?;
    let again = model.session();
    again.generate(prompt(40), &drawn(5))?.finish()?;
    assert_eq!(fork.tokens(), again.tokens());
    assert_eq!(fork.resume(&drawn(5))?.finish()?.ids, again.resume(&drawn(5))?.finish()?.ids);
    fork.rewind(1000)?;
    assert_eq!(fork.tokens().len(), 50);

    let open = session.resume(&drawn(500))?;
    assert!(matches!(session.rewind(1), Err(Error::Session(SessionError::Open))));
    assert!(matches!(session.resume(&drawn(1)), Err(Error::Session(SessionError::Open))));
    drop(open);
    session.resume(&drawn(1))?.finish()?;
    Ok(())
}

#[test]
fn a_refused_prompt_leaves_the_session_as_it_was() -> Result<(), Error> {
    let session = cpu()?.session();
    session.generate(prompt(10), &drawn(2))?.finish()?;
    let before = session.tokens();
    assert!(session.generate(prompt(2000), &drawn(2)).is_err());
    assert!(session.generate(vec![99_999], &drawn(2)).is_err());
    assert_eq!(session.tokens(), before);
    assert!(cpu()?.session().resume(&drawn(1)).is_err(), "there is nothing to go on with");
    Ok(())
}

#[test]
fn a_damaged_file_gives_an_error_and_nothing_else() -> Result<(), Error> {
    let (_folder, path) = in_folder();
    let tokens = saved(&path)?;
    let good = std::fs::read(&path).expect("written");
    let model = cpu()?;
    let refused = |bytes: &[u8]| {
        std::fs::write(&path, bytes).expect("written");
        match Session::restore(&model, &path) {
            Err(Error::Session(
                SessionError::Damaged(_) | SessionError::Model(_) | SessionError::Long { .. },
            )) => true,
            Err(error) => panic!("{error}"),
            Ok(_) => false,
        }
    };
    let last = good.len() - 1;
    let places = (0..700).chain((700..last).step_by(997)).chain([last]);
    for place in places {
        let mut bad = good.clone();
        bad[place] ^= 1 << (place % 8);
        assert!(refused(&bad), "byte {place} of {last}");
    }
    for length in (0..900).step_by(7).chain([good.len() / 2, last]) {
        assert!(refused(&good[..length]), "cut after {length}");
    }
    assert!(refused(&[&good[..], &[0]].concat()), "something follows");

    let cached =
        |model: &Model| Ok::<_, Error>(model.generate(tokens.clone(), &drawn(1))?.finish()?.cached_tokens);
    assert_eq!(cached(&model)?, 0, "nothing of a damaged file is used");
    std::fs::write(&path, &good).expect("written");
    let other = cpu()?;
    Session::restore(&other, &path)?;
    assert_eq!(cached(&other)?, 144);
    Ok(())
}

#[test]
fn another_model_is_refused_by_name() -> Result<(), Error> {
    let (_folder, path) = in_folder();
    saved(&path)?;
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/qwen3-gqa-tied");
    let other = Model::open(&golden.to_string_lossy())?.device(Device::Cpu).threads(1).load()?;
    let refused = Session::restore(&other, &path).err().expect("it is another's").to_string();
    assert!(refused.contains("embedded") && refused.contains("qwen3-gqa-tied"), "{refused}");
    let quantized = Model::open_quantized("embedded", "q4_0".parse().expect("a type"))?;
    let quantized = quantized.device(Device::Cpu).threads(1).load()?;
    assert!(matches!(Session::restore(&quantized, &path), Err(Error::Session(SessionError::Model(_)))));
    let short = Model::open("embedded")?.device(Device::Cpu).threads(1).context(100).load()?;
    assert!(matches!(Session::restore(&short, &path), Err(Error::Session(SessionError::Long { .. }))));
    assert!(matches!(Session::restore(&short, path.with_extension("none")), Err(Error::File { .. })));
    Ok(())
}

#[test]
fn a_file_is_replaced_whole_or_not_at_all() -> Result<(), Error> {
    let (folder, path) = in_folder();
    let tokens = saved(&path)?;
    let mut session = Session::restore(&cpu()?, &path)?;
    session.set_notes("x".repeat((16 << 20) + 1));
    assert!(matches!(session.save(&path), Err(Error::Session(SessionError::Notes { .. }))));
    assert_eq!(Session::restore(&cpu()?, &path)?.tokens(), tokens);
    session.set_notes("");
    session.save(&path)?;
    assert_eq!(Session::restore(&cpu()?, &path)?.notes(), "");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "nothing is left beside it");
    assert!(session.save(folder.path().join("none").join("talk.pss")).is_err());
    Ok(())
}
