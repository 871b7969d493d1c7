//! Many requests at once on the model inside the binary: each gives what it gives alone, bit for bit, however little room
//! there is.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use futures_core::Stream as _;
use graph::{Backend, BackendError, Budget, Caps, Executor, Graph, Weights};
use polysilicon::{Choices, Device, Dry, Error, Model, Piece, Sampling, Stream, graph};

/// The model on one thread: tests run side by side, and workers that spin for each other would fight for the cores.
fn model(device: Device) -> Result<Model, Error> {
    Model::open("embedded")?.device(device).threads(1).ids_only().load()
}

/// A device that gives fewer pages than were asked for.
struct Tight {
    backend: Box<dyn Backend>,
    pages: u32,
}

impl Backend for Tight {
    fn caps(&self) -> &Caps {
        self.backend.caps()
    }

    fn load(
        &self,
        graph: &Graph,
        source: &dyn tensor::WeightSource,
    ) -> Result<Arc<dyn Weights>, BackendError> {
        self.backend.load(graph, source)
    }

    fn open(
        &self,
        graph: &Graph,
        weights: Arc<dyn Weights>,
        budget: &Budget,
    ) -> Result<Box<dyn Executor>, BackendError> {
        let pages = budget.pages.iter().map(|&pages| pages.min(self.pages)).collect();
        self.backend.open(graph, weights, &Budget { pages, ..budget.clone() })
    }
}

fn tight(device: Device, pages: u32) -> Result<Model, Error> {
    let backend = device.backend(&Choices { threads: Some(1), ..Choices::default() })?;
    Model::open("embedded")?.threads(1).ids_only().load_on(&Tight { backend, pages })
}

/// Requests of every kind: short and long, greedy and drawn, with penalties, with a common beginning and without.
fn requests(count: u32, tokens: u32) -> Vec<(Vec<u32>, Sampling)> {
    let request = |i: u32| {
        let len = 1 + i * 37 % 70;
        let shared = if i.is_multiple_of(3) { len } else { i * 11 % len };
        let id = |at: u32| if at < shared { at * 7919 % 2000 } else { (at * 31 + i * 977) % 2000 };
        let sampling =
            Sampling::default().max_tokens(1 + i * 13 % tokens).ignore_end(true).seed(u64::from(i));
        let sampling = match i % 6 {
            0 => sampling,
            1 => sampling.temperature(1.0).top_logprobs(2),
            2 => sampling.temperature(0.8).top_k(40).top_p(0.9).priority((i % 3) as i8),
            3 => sampling.temperature(1.2).penalties(1.1, 0.2, 0.2),
            4 => sampling.temperature(1.0).typical(0.8).min_p(0.01).bias(7, 2.0),
            _ => sampling.temperature(0.5).dry(Dry { multiplier: 1.0, allowed_length: 1, ..Dry::NONE }),
        };
        ((0..len).map(id).collect(), sampling)
    };
    (0..count).map(request).collect()
}

/// What an answer says, bit for bit.
fn bits(pieces: impl Iterator<Item = Result<Piece, Error>>) -> Result<Vec<(u32, u32)>, Error> {
    let bits = |piece: Piece| (piece.id.expect("every piece is a token"), piece.logprob.to_bits());
    pieces.map(|piece| piece.map(bits)).collect()
}

/// All requests together, and each alone with nothing before it.
fn compare(model: &Model, requests: &[(Vec<u32>, Sampling)]) -> Result<u32, Error> {
    let start = |(ids, sampling): &(Vec<u32>, Sampling)| model.generate(ids.clone(), sampling);
    let mut streams = requests.iter().map(start).collect::<Result<Vec<_>, _>>()?;
    let mut cached = 0;
    for (place, stream) in streams.iter_mut().enumerate() {
        let together = bits(&mut *stream)?;
        let (ids, sampling) = &requests[place];
        // A tenant of its own finds nothing that others have left.
        let alone = model.generate(ids.clone(), &sampling.clone().tenant(1 + place as u64))?;
        assert!(together == bits(alone)?, "request {place} is another in company");
        cached += stream.receipt().expect("it has ended").cached_tokens;
    }
    Ok(cached)
}

#[test]
fn sixty_four_together_are_sixty_four_alone() -> Result<(), Error> {
    let model = model(Device::Cpu)?;
    let cached = compare(&model, &requests(64, 40))?;
    assert!(cached > 0, "prefixes are shared");
    Ok(())
}

#[test]
fn the_reference_agrees_that_company_changes_nothing() -> Result<(), Error> {
    let model = model(Device::Reference)?;
    compare(&model, &requests(64, 12))?;
    Ok(())
}

#[test]
fn a_tenth_of_the_room_changes_nothing() -> Result<(), Error> {
    let all = requests(200, 60);
    let demand = all.iter().map(|(ids, _)| (ids.len() as u32 + 30).div_ceil(16)).sum::<u32>();
    let model = tight(Device::Cpu, demand / 10)?;
    assert!(model.context() > 130, "the longest fits alone");
    compare(&model, &all)?;
    Ok(())
}

#[test]
fn threads_share_a_model() -> Result<(), Error> {
    let model = model(Device::Auto)?;
    let all = requests(12, 30);
    let run = |(ids, sampling): &(Vec<u32>, Sampling)| bits(model.generate(ids.clone(), sampling)?);
    let together = std::thread::scope(|scope| {
        let threads = all.iter().map(|request| scope.spawn(|| run(request))).collect::<Vec<_>>();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"))
            .collect::<Result<Vec<_>, _>>()
    })?;
    assert_eq!(together, all.iter().map(run).collect::<Result<Vec<_>, _>>()?);
    Ok(())
}

#[test]
fn whoever_does_not_read_holds_up_nobody() -> Result<(), Error> {
    let model = tight(Device::Cpu, 80)?;
    let long = |seed| Sampling::default().temperature(1.0).seed(seed).ignore_end(true).max_tokens(700);
    let alone = bits(model.generate(vec![5, 6, 7], &long(0))?)?;
    let unread = model.generate(vec![5, 6, 7], &long(0))?;
    for seed in 1..4 {
        assert_eq!(model.generate(vec![1, 2, 3], &long(seed))?.finish()?.completion_tokens, 700);
    }
    // It was paused, gave up its pages, and goes on where it was.
    assert!(bits(unread)? == alone);
    Ok(())
}

#[test]
fn logits_come_between_the_steps_of_others() -> Result<(), Error> {
    let model = tight(Device::Cpu, 50)?;
    let ids = (0..700).map(|i| i * 7919 % 2000).collect::<Vec<_>>();
    let logits = model.logits(&ids)?;
    let alone = bits(model.generate(vec![1, 2, 3], &Sampling::default().max_tokens(300).ignore_end(true))?)?;
    let mut stream = model.generate(vec![1, 2, 3], &Sampling::default().max_tokens(300).ignore_end(true))?;
    assert!(stream.next().is_some());
    assert!(model.logits(&ids)?.values == logits.values);
    assert!(bits(stream)? == alone[1..]);
    Ok(())
}

#[test]
fn several_answers_are_those_of_their_numbers() -> Result<(), Error> {
    let model = model(Device::Auto)?;
    let drawn = Sampling::default().temperature(1.0).ignore_end(true).max_tokens(20).seed(3);
    let prompt = (0..40).collect::<Vec<u32>>();
    let answers = model.generate_answers(prompt.clone(), &drawn, 4)?;
    let answers = answers.into_iter().map(Stream::finish).collect::<Result<Vec<_>, _>>()?;
    assert_eq!(answers[0].ids, model.generate(prompt, &drawn)?.finish()?.ids);
    assert!(answers[1..].iter().all(|answer| answer.cached_tokens == 39), "the prompt is computed once");
    assert!(answers.windows(2).all(|pair| pair[0].ids != pair[1].ids));
    for wrong in [0, 1000] {
        assert!(model.generate_answers(vec![1], &drawn, wrong).is_err());
    }
    Ok(())
}

#[test]
fn time_ends_an_answer() -> Result<(), Error> {
    let sampling = Sampling::default().deadline(std::time::Duration::ZERO);
    let receipt = model(Device::Auto)?.generate(vec![1, 2], &sampling)?.finish()?;
    assert_eq!((receipt.finish_reason.as_str(), receipt.completion_tokens), ("deadline", 0));
    Ok(())
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn tasks_are_woken() -> Result<(), Error> {
    let model = model(Device::Auto)?;
    let all = requests(8, 30);
    let start = |(ids, sampling): &(Vec<u32>, Sampling)| Ok((model.generate(ids.clone(), sampling)?, vec![]));
    let mut streams = all.iter().map(start).collect::<Result<Vec<_>, Error>>()?;
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut ended = 0;
    while ended < streams.len() {
        let mut heard = false;
        for (stream, pieces) in &mut streams {
            while let Poll::Ready(piece) = std::pin::Pin::new(&mut *stream).poll_next(&mut context) {
                heard = true;
                match piece {
                    Some(piece) => pieces.push(piece),
                    None => break,
                }
            }
        }
        ended = streams.iter().filter(|(stream, _)| stream.receipt().is_some()).count();
        if !heard {
            std::thread::park();
        }
    }
    for ((_, pieces), (ids, sampling)) in streams.into_iter().zip(&all) {
        assert_eq!(bits(pieces.into_iter())?, bits(model.generate(ids.clone(), sampling)?)?);
    }
    Ok(())
}
