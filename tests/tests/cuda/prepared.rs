//! Kernels that are compiled while a model loads.

use std::sync::Arc;
use std::sync::Mutex;

use cuda::{Cuda, Options, Recorder};
use graph::{Backend, Bucket, Row, Sampling};
use polysilicon_tests::embedded;
use polysilicon_tests::prefill::Prefill;
use tensor::DType;

#[test]
fn steps_need_no_kernel_that_was_not_prepared() {
    let (config, source) = embedded::source(DType::Q8_0);
    let graph = embedded::describe(&config, &*source, DType::BF16);
    for invariant in [false, true] {
        let recorder = Arc::new(Recorder::new(80 << 30));
        let options = Options { invariant, ..Options::default() };
        let backend = Cuda::new(recorder.clone(), options);
        let most = Bucket { tokens: 64, seqs: 4, queries: 0, pages: 64, rows: 4 };
        let heard = Mutex::new(vec![]);
        let tell = |done, total| heard.lock().expect("nobody panics").push((done, total));
        backend.prepare(&graph, &most, &tell).expect("everything is lowered");
        let known = recorder.sources().len();
        let mut heard = heard.into_inner().expect("nobody panics");
        heard.sort_unstable();
        let counted = (1..=known as u64).map(|done| (done, known as u64)).collect::<Vec<_>>();
        assert!(known > 10 && heard == counted, "{known} kernels, and it told of {heard:?}");

        let weights = backend.load(&graph, &*source).expect("there is room");
        let mut run = Prefill::on(&backend, &graph, weights, 4, 1000).expect("there is room");
        let (sampling, ids) = (Sampling::default(), [7; 64]);
        let mut feed = |parts: &[(usize, &[u32])], rows: &[u32]| {
            let rows = rows.iter().map(|&token| Row::new(token, &sampling)).collect::<Vec<_>>();
            run.feed_rows(parts, &rows, &[]).expect("it is recorded");
        };
        for count in [64, 32, 16, 2, 1] {
            feed(&[(0, &ids[..count])], &[count as u32 - 1]);
        }
        // More of one sequence, and several, at the ends of short contexts and of long ones.
        for _ in 0..12 {
            feed(&[(0, &ids)], &[63]);
            feed(&[(0, &[1]), (1, &[2])], &[0, 1]);
            feed(&[(0, &[1]), (1, &[2]), (2, &[3]), (3, &[4])], &[0, 1, 2, 3]);
        }
        assert_eq!(recorder.sources().len(), known, "a step compiled something");
    }
}
