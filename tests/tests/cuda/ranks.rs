//! Devices that compute together: hosts that meet in this process, and recorders that tell what each is given.

use std::sync::Arc;

use cuda::{Call, Collective, CollectiveCall, Cuda, Driver, Event, Options, Recorder, acquaint};
use cuda_host::{Host, Order};
use graph::{Backend, Row, Sampling as RowSampling};
use polysilicon::{Error, Model, Sampling, Session};
use polysilicon_tests::cuda_host::{self as host, EXACTLY};
use polysilicon_tests::embedded;
use polysilicon_tests::golden::{Golden, root};
use polysilicon_tests::prefill::Prefill;
use tensor::{DType, ErrorStats};

/// Normalised squared error: what ranks compute is computed in f32.
const NMSE: f64 = 1e-9;

/// So many hosts that compute together.
fn hosts(ranks: usize) -> Vec<Arc<Host>> {
    Host::together(Order::Forwards, ranks).into_iter().map(Arc::new).collect()
}

fn backend(hosts: &[Arc<Host>], options: Options) -> Cuda {
    Cuda::together(hosts.iter().map(|host| Arc::clone(host) as Arc<dyn Driver>).collect(), options)
}

fn golden(name: &str) -> Golden {
    Golden::open(&root().join("goldens").join(name))
}

/// The kernels of a golden take seconds to compile, so there is one of each kind: experts, biases, one head of keys for all
/// ranks, rows and columns that do not divide, a window.
#[test]
fn ranks_give_the_logits_of_transformers() {
    if !host::is_present() {
        return;
    }
    let mut faults = vec![];
    for (name, ranks) in [
        ("gpt-oss-mxfp4", 2),
        ("llama-biases", 2),
        ("llama-gqa-tied-odd-vocab", 4),
        ("mistral-window-in-decode", 2),
        ("qwen2-untied", 2),
        ("qwen3-mqa-untied", 4),
    ] {
        if let Err(fault) = gives_the_logits(&golden(name), &backend(&hosts(ranks), EXACTLY)) {
            faults.push(format!("{name} on {ranks} ranks: {fault}"));
        }
    }
    assert!(faults.is_empty(), "{} fail:\n{}", faults.len(), faults.join("\n"));
}

fn gives_the_logits(golden: &Golden, backend: &Cuda) -> Result<(), String> {
    let graph = golden.graph(DType::F32)?;
    let context = (golden.ids.len() + golden.greedy.len()) as u32;
    let mut run =
        Prefill::open(backend, &graph, &*golden.source, context).map_err(|error| error.to_string())?;
    let fetch = run.feed(&golden.ids, &[]).map_err(|error| error.to_string())?;
    let stats = ErrorStats::new(&fetch.logits, &golden.logits);
    if !stats.within(NMSE) {
        return Err(stats.to_string());
    }
    let mut last = fetch.sampled.last().expect("a row per token").id;
    for (place, &want) in golden.greedy.iter().enumerate() {
        if last != want {
            return Err(format!("greedy token {place} is {last}, not {want}"));
        }
        last = run.feed(&[last], &[]).map_err(|error| error.to_string())?.sampled[0].id;
    }
    Ok(())
}

/// The model inside the binary.
fn model(backend: &dyn Backend) -> Result<Model, Error> {
    Model::open("embedded")?.kv(DType::F32).context(128).load_on(backend)
}

#[test]
fn ranks_write_what_the_reference_writes() -> Result<(), Error> {
    if !host::is_present() {
        return Ok(());
    }
    let (ours, theirs) = (model(&backend(&hosts(2), EXACTLY))?, model(&reference::Reference::new())?);
    let greedy = Sampling::default().temperature(0.0);
    for sampling in
        [greedy, Sampling::default().temperature(0.9).seed(3), Sampling::default().top_k(9).seed(5)]
    {
        let ids = |model: &Model| {
            Ok::<_, Error>(model.generate("The cat", &sampling.clone().max_tokens(12))?.finish()?.ids)
        };
        assert_eq!(ids(&ours)?, ids(&theirs)?, "{sampling:?}");
    }
    Ok(())
}

/// What one device remembers, two go on with, and the other way round: pages are put together and cut.
#[test]
fn a_session_goes_on_with_other_ranks() -> Result<(), Error> {
    if !host::is_present() {
        return Ok(());
    }
    let (one, two) = (model(&host::backend(EXACTLY))?, model(&backend(&hosts(2), EXACTLY))?);
    let greedy = Sampling::default().temperature(0.0).max_tokens(20).ignore_end(true);
    let whole = one.session();
    let wanted = [whole.generate("The cat", &greedy)?.finish()?.ids, whole.resume(&greedy)?.finish()?.ids];
    let folder = tempfile::tempdir().expect("a folder");
    for (from, to) in [(&one, &two), (&two, &one)] {
        let path = folder.path().join("kept.pss");
        let session = from.session();
        assert_eq!(session.generate("The cat", &greedy)?.finish()?.ids, wanted[0]);
        session.save(&path)?;
        let restored = Session::restore(to, &path)?;
        let mut stream = restored.resume(&greedy)?;
        let ids = stream
            .by_ref()
            .map(|piece| Ok(piece?.id.expect("every piece is a token")))
            .collect::<Result<Vec<_>, Error>>()?;
        assert_eq!(ids, wanted[1]);
        // Nothing was computed again but what fills no page.
        let usage = stream.finish()?;
        assert!(
            usage.cached_tokens + 16 > usage.prompt_tokens,
            "{} of {}",
            usage.cached_tokens,
            usage.prompt_tokens
        );
    }
    Ok(())
}

/// Values that each rank has a part of are told whole.
#[test]
fn values_of_ranks_are_told_whole() {
    if !host::is_present() {
        return;
    }
    let golden = golden("qwen2-untied");
    let graph = golden.graph(DType::F32).expect("a graph");
    let names = graph.names().into_iter().filter(|name| !name.contains("kv")).collect::<Vec<_>>();
    let tapped = |backend: &dyn Backend| {
        let mut run = Prefill::open(backend, &graph, &*golden.source, 16).expect("there is room");
        run.feed(&golden.ids[..8], &names).expect("it runs").taps
    };
    let (whole, joined) = (tapped(&reference::Reference::new()), tapped(&backend(&hosts(2), EXACTLY)));
    assert_eq!((whole.len(), joined.len()), (names.len(), names.len()));
    for (name, ((shape, wanted), (told, values))) in names.iter().zip(whole.iter().zip(&joined)) {
        assert_eq!(shape, told, "{name}");
        let stats = ErrorStats::new(values, wanted);
        assert!(stats.within(NMSE), "{name}: {stats}");
    }
}

/// A prompt at once and a token at a time, where rows are to depend on themselves alone.
#[test]
fn ranks_that_were_asked_to_give_a_row_the_same_bits() {
    if !host::is_present() {
        return;
    }
    let golden = golden("qwen2-untied");
    let graph = golden.graph(DType::F32).expect("a graph");
    let backend = backend(&hosts(2), Options { invariant: true, ..Options::default() });
    let ids = &golden.ids[..9];
    let open = || Prefill::open(&backend, &graph, &*golden.source, 16).expect("there is room");
    let together = open().feed(ids, &[]).expect("it runs").logits;
    let mut run = open();
    let alone = ids.iter().flat_map(|&id| run.feed(&[id], &[]).expect("it runs").logits).collect::<Vec<_>>();
    let bits = |logits: &[f32]| logits.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&together), bits(&alone));
}

/// A captured step of each rank is the same calls on memory of its own: two sums a layer, one row of the table and one of the
/// logits put together.
#[test]
fn what_ranks_do_together_is_captured() {
    let (config, source) = embedded::source(DType::Q8_0);
    let graph = embedded::describe(&config, &*source, DType::BF16);
    let layers = config.count("num_hidden_layers").expect("it counts its layers") as usize;
    let width = config.count("hidden_size").expect("it has a width") as usize;
    let recorders = Recorder::together(80 << 30, 2).into_iter().map(Arc::new).collect::<Vec<_>>();
    let drivers = recorders.iter().map(|recorder| Arc::clone(recorder) as Arc<dyn Driver>);
    let backend = Cuda::together(drivers.collect(), Options::default());
    let mut run = Prefill::open(&backend, &graph, &*source, 64).expect("there is room");
    let sampling = RowSampling::default();
    run.feed_rows(&[(0, &[1])], &[Row::new(0, &sampling)], &[]).expect("it is recorded");
    let captured = recorders.iter().map(|recorder| {
        let events = recorder.take();
        let brought = events
            .iter()
            .filter(|event| matches!(event, Event::Bring(_, ranges) if !ranges.is_empty()))
            .count();
        let captured = events.into_iter().find_map(|event| match event {
            Event::Capture(_, calls) => Some(calls),
            _ => None,
        });
        (captured.expect("a step of one token is captured"), brought)
    });
    let captured = captured.collect::<Vec<_>>();
    // Ranks take as much in the same order, so that even the addresses of these two devices are the same.
    assert_eq!(captured[0].0, captured[1].0);
    // The first tells what became of the row.
    assert_eq!((captured[0].1, captured[1].1), (1, 0));
    let shares = captured[0].0.iter().filter_map(|call| match call {
        Call::Collective(CollectiveCall { what, count, .. }) => Some((*what, *count)),
        Call::Kernel(_) | Call::Matmul(_) => None,
    });
    let shares = shares.collect::<Vec<_>>();
    let mut wanted = vec![(Collective::Gather, width / 2)];
    wanted.extend(vec![(Collective::Sum, width); 2 * layers]);
    wanted.push((Collective::Gather, embedded::VOCAB / 2));
    assert_eq!(shares, wanted);
}

/// Wherever one rank fails, all of them end the step with an error that names it, and so does every step after.
#[test]
fn a_rank_that_fails_ends_the_step_of_all() {
    if !host::is_present() {
        return;
    }
    let golden = golden("qwen2-untied");
    let graph = golden.graph(DType::F32).expect("a graph");
    for (rank, launches) in [(0, 0), (1, 0), (1, 7), (0, 15)] {
        let hosts = hosts(2);
        let backend = backend(&hosts, EXACTLY);
        let mut run = Prefill::open(&backend, &graph, &*golden.source, 16).expect("there is room");
        run.feed(&golden.ids[..4], &[]).expect("all of them are there");
        hosts[rank].break_after(launches);
        for _ in 0..3 {
            let failed = run.feed(&[1], &[]).map(|_| ()).expect_err("one of them is lost").to_string();
            let names = failed.contains(&format!("rank {rank}")) && failed.contains("the device is lost");
            assert!(names, "rank {rank} after {launches}: {failed}");
        }
    }
}

#[test]
fn a_rank_that_is_gone_ends_the_step_of_all() {
    if !host::is_present() {
        return;
    }
    for ranks in 1..5 {
        let drivers = hosts(ranks).into_iter().map(|host| host as Arc<dyn Driver>).collect::<Vec<_>>();
        acquaint(&drivers).expect("all of them are there, and their sums are right");
    }
    let hosts = hosts(3);
    let drivers = hosts.iter().map(|host| Arc::clone(host) as Arc<dyn Driver>).collect::<Vec<_>>();
    acquaint(&drivers).expect("all of them are there");
    drivers[2].leave("it was unplugged");
    let failed = acquaint(&drivers).expect_err("one of them is gone").to_string();
    assert_eq!(failed, "rank 2 left: it was unplugged");
}
