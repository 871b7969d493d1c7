//! A budget that is too small is refused, before weights are read where that is known, and says what is needed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cpu::{Cpu, Options};
use graph::{Backend, BackendError, Bucket, Budget};
use polysilicon::{Error, Model};
use polysilicon_tests::embedded::{describe, source};
use tensor::DType;

#[test]
fn what_does_not_hold_the_weights_is_refused_before_they_are_read() {
    let done = Arc::new(AtomicU64::new(0));
    let told = done.clone();
    let model = Model::open("embedded").expect("it is in the binary").memory(1 << 20);
    let error = model.on_progress(move |progress| told.store(progress.done, Relaxed)).load();
    let error = error.err().expect("a megabyte does not hold it");
    assert!(error.to_string().contains("--memory"), "{error}");
    let Error::Backend(BackendError::Memory { needed, available, .. }) = error else { panic!("{error}") };
    assert!(available == 1 << 20 && needed > 3 << 20, "{needed} of {available}");
    assert_eq!(done.load(Relaxed), 0, "nothing was read");
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
