//! A budget that is too small is refused, before weights are read where that is known, and says what is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cpu::{Cpu, Options};
use graph::{Backend, BackendError, Bucket, Budget};
use polysilicon::{Error, Model, Shortage};
use polysilicon_tests::embedded::{CONTEXT, describe, source};
use tensor::DType;

/// What the embedded model lacks within so many bytes, if anything. Nothing of it may have been read.
fn lacks(bytes: u64) -> Option<Box<Shortage>> {
    let done = Arc::new(AtomicU64::new(0));
    let told = done.clone();
    let model = Model::open("embedded").expect("it is in the binary").threads(2).sequences(1);
    let error =
        model.memory(bytes).on_progress(move |progress| told.store(progress.done, Relaxed)).load().err()?;
    let Error::Memory(shortage) = error else { panic!("{error}") };
    assert_eq!(done.load(Relaxed), 0, "nothing was read");
    Some(shortage)
}

#[test]
fn what_does_not_hold_the_weights_is_refused_before_they_are_read() {
    let shortage = lacks(1 << 20).expect("a megabyte does not hold it");
    assert!(shortage.available == 1 << 20 && shortage.weights > 3 << 20, "{shortage:?}");
    assert_eq!((shortage.context, shortage.target), (None, None), "nothing would fit");
    assert!(shortage.to_string().contains("what fits: the model as it is with --memory"), "{shortage}");
}

#[test]
fn what_holds_the_weights_but_no_step_is_refused_with_what_would_fit() {
    let needed = lacks(1 << 20).expect("a megabyte does not hold it").needed;
    let weights = lacks(needed - 1).expect("a byte is missing").weights;
    assert!(lacks(needed).is_none(), "what is said to be needed suffices");
    let bytes = needed - (needed - weights) / 10;
    let shortage = lacks(bytes).expect("a tenth of the work space is missing");
    let (context, (target, narrower)) = shortage.context.zip(shortage.target).expect("both would fit");
    let text = shortage.to_string();
    for word in [format!("--context {context}"), format!("--quantize {target}"), "--memory ".to_owned()] {
        assert!(text.contains(&word), "{word}: {text}");
    }
    assert!(context < CONTEXT && narrower < weights, "{text}");
    let open = || Model::open("embedded").expect("it is in the binary").threads(2).sequences(1);
    let shorter = open().memory(bytes).context(context).load().expect("a shorter context fits");
    assert_eq!(shorter.context(), context, "all of it");
    let model = Model::open_quantized("embedded", target).expect("it is in the binary").threads(2);
    assert!(model.sequences(1).memory(bytes).load().expect("a narrower type fits").context() >= 512);
    assert!(open().memory(shortage.enough).load().expect("that much holds it").context() >= 512);
}

#[test]
fn what_is_needed_is_known_before_weights_are_read() {
    for dtype in DType::weights() {
        let (config, source) = source(dtype);
        let graph = describe(&config, &*source, DType::BF16);
        let cpu = Cpu::new(&Options { threads: Some(2), ..Options::default() }).expect("there is a CPU");
        let bucket = Bucket { tokens: 8, seqs: 1, queries: 0, pages: 4, rows: 1 };
        let needs = cpu.needs(&graph, &bucket).expect("it can be counted");
        let weights = cpu.load(&graph, &*source).expect("the model loads");
        assert_eq!(needs.weight_bytes, weights.bytes(), "{dtype}");
        assert!(needs.work_bytes > 0);
    }
}

#[test]
fn a_budget_is_divided_into_work_space_and_pages_or_refused() {
    let (config, source) = source(DType::Q8_0);
    let graph = describe(&config, &*source, DType::BF16);
    let cpu = Cpu::new(&Options { threads: Some(2), ..Options::default() }).expect("there is a CPU");
    let weights = cpu.load(&graph, &*source).expect("the model loads");
    let bucket = Bucket { tokens: 64, seqs: 1, queries: 0, pages: 64, rows: 1 };
    let open = |bytes| {
        let budget = Budget { bytes, bucket, pages: vec![65] };
        cpu.open(&graph, weights.clone(), &budget)
    };
    assert_eq!(open(None).expect("there is room").pages(), [65]);
    let Err(BackendError::Memory { needed, available, .. }) = open(Some(weights.bytes())) else {
        panic!("weights alone are not enough")
    };
    assert_eq!(available, weights.bytes());
    // What the error names is the least that will do, and the least is taken.
    assert_eq!(open(Some(needed)).expect("what is needed suffices").pages(), [2]);
    assert!(open(Some(needed - 1)).is_err());
    let page_bytes = graph.page_bytes(graph::GroupId(0));
    assert_eq!(open(Some(needed + 10 * page_bytes)).expect("there is room for more").pages(), [12]);
}
