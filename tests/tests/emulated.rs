//! The whole Neuron path without a chip: modules compiled by the stand-in, loaded and run by the emulator of libnrt, give
//! the tokens of the reference, whatever is asked for; what fails says what to do.

use std::time::Duration;

use graph::{Backend, Row};
use neuron::{Chip, ChipOptions, Neuron, Packed};
use polysilicon::{Compile, DType, Error, Model, Opened, Sampling, diff_models};
use polysilicon_tests::embedded::{describe, source};
use polysilicon_tests::emulated::{Emulated, OPTIONS, counts};
use polysilicon_tests::prefill::Prefill;
use reference::Reference;

const PROMPTS: [&str; 3] =
    ["Once upon a time", "The little dog", "Lily and her mom went to the park. They saw a big"];

/// The model inside the binary, with room for a few short answers at a time.
fn model(backend: &dyn Backend) -> Result<Model, Error> {
    Model::open("embedded")?.kv(DType::F32).sequences(4).context(128).load_on(backend)
}

fn ids(model: &Model, prompt: &str, sampling: &Sampling) -> Result<Vec<u32>, Error> {
    Ok(model.generate(prompt, sampling)?.finish()?.ids)
}

#[test]
fn greedy_tokens_are_the_references_and_nothing_is_copied() -> Result<(), Error> {
    let emulated = Emulated::default();
    let (backend, runtime) = emulated.backend();
    let (ours, theirs) = (model(&backend)?, model(&Reference::new())?);
    assert!(ours.is_emulated() && ours.device().contains("emulated") && !theirs.is_emulated());
    let greedy = Sampling::default().max_tokens(24);
    for prompt in PROMPTS {
        assert_eq!(ids(&ours, prompt, &greedy)?, ids(&theirs, prompt, &greedy)?, "{prompt}");
    }
    let counts = counts(&runtime);
    assert!(counts.executions > 50, "{counts:?}");
    assert_eq!(counts.alias_copies, 0, "keys and values stay where they are");
    Ok(())
}

#[test]
fn drawn_tokens_are_the_references() -> Result<(), Error> {
    let emulated = Emulated::default();
    let (ours, theirs) = (model(&emulated.backend().0)?, model(&Reference::new())?);
    let warm = Sampling::default().temperature(0.9).max_tokens(16);
    let all = [
        warm.clone(),
        warm.clone().top_k(40),
        warm.clone().top_p(0.9),
        warm.clone().min_p(0.05),
        warm.clone().top_k(100).typical(0.9).top_p(0.95),
        warm.clone().penalties(1.2, 0.1, 0.1),
        warm.top_k(20).top_logprobs(3),
    ];
    for (seed, sampling) in (1..).zip(&all) {
        let sampling = sampling.clone().seed(seed);
        assert_eq!(ids(&ours, PROMPTS[0], &sampling)?, ids(&theirs, PROMPTS[0], &sampling)?, "{sampling:?}");
    }
    Ok(())
}

#[test]
fn answers_that_run_together_are_the_references() -> Result<(), Error> {
    let emulated = Emulated::default();
    let (ours, theirs) = (model(&emulated.backend().0)?, model(&Reference::new())?);
    let sampling = |seed: u64| match seed % 2 {
        0 => Sampling::default().max_tokens(12),
        _ => Sampling::default().temperature(0.8).top_k(30).seed(seed).max_tokens(12),
    };
    let together = |model: &Model| {
        let prompts = (0..).zip(PROMPTS.iter().cycle()).take(4);
        let streams = prompts.map(|(seed, prompt)| model.generate(*prompt, &sampling(seed)));
        let streams = streams.collect::<Result<Vec<_>, _>>()?;
        streams.into_iter().map(|stream| Ok(stream.finish()?.ids)).collect::<Result<Vec<_>, Error>>()
    };
    assert_eq!(together(&ours)?, together(&theirs)?);
    Ok(())
}

#[test]
fn an_older_runtime_that_waits_for_each_program_gives_the_same() -> Result<(), Error> {
    let emulated = Emulated::with(&[("version", "2.30.8.0")]);
    let (ours, theirs) = (model(&emulated.backend().0)?, model(&Reference::new())?);
    let greedy = Sampling::default().max_tokens(8);
    assert_eq!(ids(&ours, PROMPTS[1], &greedy)?, ids(&theirs, PROMPTS[1], &greedy)?);
    Ok(())
}

#[test]
fn two_models_of_a_process_share_a_core() -> Result<(), Error> {
    let emulated = Emulated::default();
    let (one, another) = (model(&emulated.backend().0)?, model(&emulated.backend().0)?);
    let theirs = model(&Reference::new())?;
    let sampling = Sampling::default().temperature(0.8).top_k(30).seed(5).max_tokens(12);
    let (first, second) = (one.generate(PROMPTS[0], &sampling)?, another.generate(PROMPTS[1], &sampling)?);
    assert_eq!(first.finish()?.ids, ids(&theirs, PROMPTS[0], &sampling)?);
    drop(one);
    assert_eq!(second.finish()?.ids, ids(&theirs, PROMPTS[1], &sampling)?);
    Ok(())
}

#[test]
fn ranks_that_work_together_give_the_same() -> Result<(), Error> {
    let emulated = Emulated::default();
    let options = ChipOptions { ranks: 2, ..emulated.options() };
    let chip = Chip::open(&options)?;
    let runtime = chip.runtime().clone();
    let (ours, theirs) = (model(&Neuron::of_chip(chip, OPTIONS)?)?, model(&Reference::new())?);
    for sampling in [Sampling::default(), Sampling::default().temperature(0.8).top_k(50).seed(3)] {
        let sampling = sampling.max_tokens(12);
        assert_eq!(ids(&ours, PROMPTS[2], &sampling)?, ids(&theirs, PROMPTS[2], &sampling)?);
    }
    assert_eq!(counts(&runtime).alias_copies, 0);
    Ok(())
}

#[test]
fn a_bundle_is_served_without_a_compiler() -> Result<(), Error> {
    let emulated = Emulated::default();
    let ChipOptions { compiler, cache, .. } = emulated.options();
    let folder = cache.with_file_name("bundle");
    let compile = Compile::new(Opened::find("embedded", None)?, "trn2")?.kv(DType::F32).context(64);
    let written = compile.compiler(compiler).cache(cache).write(&folder)?;
    assert!(written.complete, "{:?}", written.notes);
    let options = Packed::open(&folder).expect("it was written to its end").options();
    let absent =
        ChipOptions { compiler: "no-such-compiler".into(), bundle: Some(folder), ..emulated.options() };
    let load = |chip: &ChipOptions| {
        let backend = Neuron::of_chip(Chip::open(chip)?, options)?;
        Model::open("embedded")?.kv(DType::F32).sequences(1).context(64).load_on(&backend)
    };
    let greedy = Sampling::default().max_tokens(20);
    let served = ids(&load(&absent)?, PROMPTS[2], &greedy)?;
    assert_eq!(served, ids(&load(&emulated.options())?, PROMPTS[2], &greedy)?);
    // Another model, or more than was compiled, is told.
    let backend = Neuron::of_chip(Chip::open(&absent)?, options)?;
    let other = Model::open("embedded")?.kv(DType::BF16).context(64).load_on(&backend).map(|_| ());
    assert!(other.expect_err("it was compiled for f32").to_string().contains("the type of keys and values"));
    drop(backend);
    let model = load(&absent)?;
    let told =
        ids(&model, PROMPTS[2], &greedy.prompt_logprobs(true)).expect_err("no such program").to_string();
    assert!(told.contains("the bundle has no program for it"), "{told}");
    Ok(())
}

/// Room for one sequence of the embedded model.
fn prefill(backend: &dyn Backend) -> Result<Prefill, graph::BackendError> {
    let (config, source) = source(DType::F32);
    Prefill::open(backend, &describe(&config, &*source, DType::F32), &*source, 64)
}

/// Nothing is executed until two steps are launched, so that no host can know the token between them.
fn the_next_step_takes_its_token_on_the_device(sampling: &graph::Sampling) {
    let emulated = Emulated::default();
    let (backend, runtime) = emulated.backend();
    let opening = [709, 777, 258, 478];
    let greedy = |prefill: &mut Prefill| {
        let rows = [Row::new(3, &graph::Sampling::GREEDY)];
        prefill.feed_rows(&[(0, &opening)], &rows, &[]).expect("the prompt runs").sampled[0].id
    };
    let rows = [0.2, 0.7, 0.4, 0.9, 0.1, 0.6].map(|uniform| Row { uniform, ..Row::new(0, sampling) });
    let mut theirs = prefill(&Reference::new()).expect("there is room");
    let first = greedy(&mut theirs);
    let wanted = theirs.follow_alone(first, &rows).expect("steps run");
    let mut ours = prefill(&backend).expect("there is room");
    assert_eq!(greedy(&mut ours), first);
    emulated.control().set("held", "true");
    let before = counts(&runtime).executions;
    let follow = ours.follow(first, &rows, &mut |launched| {
        if launched == 2 {
            assert_eq!(counts(&runtime).executions, before);
            emulated.control().set("held", "false");
        }
    });
    assert_eq!(follow.expect("the steps run"), wanted);
}

#[test]
fn the_next_step_takes_a_greedy_token_on_the_device() {
    the_next_step_takes_its_token_on_the_device(&graph::Sampling::GREEDY);
}

#[test]
fn the_next_step_takes_a_drawn_token_on_the_device() {
    let warm = graph::Sampling { temperature: 0.8, top_k: 40, top_p: 0.95, ..graph::Sampling::GREEDY };
    the_next_step_takes_its_token_on_the_device(&warm);
}

#[test]
fn every_value_of_ranks_that_work_together_is_the_references() -> Result<(), Error> {
    let emulated = Emulated::default();
    let options = ChipOptions { ranks: 2, ..emulated.options() };
    let ours = model(&Neuron::of_chip(Chip::open(&options)?, OPTIONS)?)?;
    let found = diff_models(&ours, &model(&Reference::new())?, &[709, 777, 258, 478], 1e-9)?;
    assert!(found.compared > 20 && found.first.is_none(), "{found}");
    Ok(())
}

/// What a generation says when a function of libnrt gives a status once, and what the next one says.
fn failing(function: &str, status: i32, skipped: u64) -> [Result<Vec<u32>, String>; 2] {
    let emulated = Emulated::default();
    let (backend, _) = emulated.backend();
    let model = model(&backend).expect("it loads");
    emulated.control().fail(function, status, skipped, 1);
    let greedy = Sampling::default().max_tokens(6);
    [(); 2].map(|()| ids(&model, PROMPTS[1], &greedy).map_err(|error| error.to_string()))
}

#[test]
fn a_failure_that_passes_is_told_and_the_next_answer_is_right() {
    let wanted =
        ids(&model(&Reference::new()).unwrap(), PROMPTS[1], &Sampling::default().max_tokens(6)).unwrap();
    for (function, status, skipped, advice) in [
        ("nrta_execute_schedule", 7, 2, "wait for what is under way"),
        ("nrta_execute_schedule", 1003, 3, "use a wider type"),
        ("nrta_execute_schedule", 1006, 0, "NEURON_RT_LOG_LEVEL"),
        ("nrt_load", 4, 1, "use fewer or smaller buckets"),
        ("nrt_load", 10, 0, "compile the model again"),
        ("nrt_tensor_allocate", 4, 3, "use fewer or smaller buckets"),
        ("nrt_tensor_read", 1, 4, "report what it logs"),
    ] {
        let [failed, next] = failing(function, status, skipped);
        let failed = failed.expect_err(function);
        assert!(failed.contains(function) && failed.contains(advice), "{failed}");
        assert_eq!(next.as_ref(), Ok(&wanted), "after {failed}");
    }
}

#[test]
fn a_failure_of_the_chip_is_told_until_the_process_ends() {
    for (function, status, skipped, advice) in [
        ("nrta_execute_schedule", 5, 2, "restart the process"),
        ("nrta_execute_schedule", 6, 0, "restart the process"),
        ("nrta_execute_schedule", 1201, 3, "replace the instance"),
        ("nrt_tensor_write", 101, 5, "restart the process"),
    ] {
        let [failed, next] = failing(function, status, skipped);
        let (failed, next) = (failed.expect_err(function), next.expect_err("nothing runs any more"));
        // A step that is under way may be the first to notice what happened to the chip.
        let names = failed.contains(function) || failed.contains("nrta_execute_schedule");
        assert!(names && failed.contains(advice), "{failed}");
        let refused = next.contains("not called any more") || next.contains("so it was not begun");
        assert!(refused && (next.contains("restart the process") || next.contains(advice)), "{next}");
    }
}

#[test]
fn a_program_that_does_not_end_is_given_up() -> Result<(), Error> {
    let emulated = Emulated::default();
    let options = ChipOptions { run_limit: Duration::from_millis(20), ..emulated.options() };
    let backend = Neuron::of_chip(Chip::open(&options)?, OPTIONS)?;
    let model = model(&backend)?;
    emulated.control().set("held", "true");
    let late = ids(&model, PROMPTS[0], &Sampling::default()).expect_err("it never ends").to_string();
    assert!(late.contains("did not end within 20ms") && late.contains("restart the process"), "{late}");
    Ok(())
}

#[test]
fn what_is_taken_is_given_back_after_a_failure_too() {
    let emulated = Emulated::default();
    let (backend, runtime) = emulated.backend();
    let core = runtime.core(0).expect("there is a core");
    let used = || core.memory().expect("it is told").used;
    let once = || {
        let mut prefill = prefill(&backend)?;
        prefill.feed(&[709, 777, 258], &[]).map(|_| ())
    };
    once().expect("it runs");
    // What programs share for intermediate values stays taken.
    let after_one = used();
    for skipped in [0, 7, 20] {
        emulated.control().fail("nrt_tensor_allocate", 4, skipped, 1);
        let failed = once().expect_err("there is no room").to_string();
        assert!(failed.contains("NRT_RESOURCE"), "{failed}");
        assert_eq!(used(), after_one);
    }
    emulated.control().fail("nrt_load", 4, 0, 1);
    once().expect_err("it is not loaded");
    assert_eq!(used(), after_one);
    once().expect("it runs");
    assert_eq!(used(), after_one);
}

#[test]
fn a_core_without_room_says_what_to_do() -> Result<(), Error> {
    let emulated = Emulated::with(&[("memory", "100000000")]);
    // There is room for weights and states, and none for the code of a program.
    let full = ids(&model(&emulated.backend().0)?, PROMPTS[0], &Sampling::default());
    let full = full.expect_err("there is no room").to_string();
    assert!(full.contains("nrt_load gave NRT_RESOURCE") && full.contains("a shorter context"), "{full}");
    let emulated = Emulated::with(&[("memory", "1000000")]);
    let refused = model(&emulated.backend().0).map(|_| ()).expect_err("there is no room").to_string();
    assert!(refused.starts_with("neuron (emulated) needs"), "{refused}");
    Ok(())
}

#[test]
fn programs_are_compiled_once() {
    let emulated = Emulated::default();
    let programs = || std::fs::read_dir(emulated.options().cache).expect("there are some").count();
    let feed = |options: &ChipOptions| {
        let backend =
            Neuron::of_chip(Chip::open(options).expect("it starts"), OPTIONS).expect("it has memory");
        prefill(&backend)?.feed(&[709, 777, 258], &[]).map(|fetch| fetch.sampled[2].id)
    };
    let made = feed(&emulated.options()).expect("it runs");
    assert_eq!(programs(), 1);
    assert_eq!(feed(&emulated.options()).expect("it is there already"), made);
    assert_eq!(programs(), 1);
    let absent = ChipOptions { compiler: "no-such-compiler".into(), ..emulated.options() };
    assert_eq!(feed(&absent).expect("it is there already"), made);
    std::fs::remove_dir_all(emulated.options().cache).expect("it goes");
    let missing = feed(&absent).expect_err("it is there no more").to_string();
    assert!(missing.contains("`no-such-compiler` does not run"), "{missing}");
}
