//! What a plan says that its kernels read is what the graph says that a step reads, however operations were joined.

use cpu::{Cpu, Options};
use graph::{Backend, Bucket, Budget, Graph, ProgramSpec, StepCounts, Work};
use polysilicon_tests::golden::Golden;
use tensor::{DType, WeightSource};

/// The work of a plan's kernels together.
fn planned(graph: &Graph, source: &dyn WeightSource, bucket: Bucket) -> Work {
    let cpu = Cpu::new(&Options { threads: Some(2), ..Options::default() }).expect("there is a CPU");
    let weights = cpu.load(graph, source).expect("the model loads");
    let pages = vec![bucket.pages * bucket.seqs + 1; graph.groups.len()];
    let mut executor =
        cpu.open(graph, weights, &Budget { bytes: None, bucket, pages }).expect("there is room");
    let program = executor.compile(&ProgramSpec { bucket, ..ProgramSpec::default() }).expect("it runs");
    let mut work = Work::default();
    executor.report(program).lines.iter().for_each(|line| work += line.work);
    work
}

#[test]
fn kernels_read_together_what_the_graph_reads() {
    let one = Bucket { tokens: 1, seqs: 1, queries: 1, pages: 16, rows: 1 };
    let many = Bucket { tokens: 14, seqs: 2, queries: 7, pages: 8, rows: 14 };
    let close = |a: f64, b: f64| (a - b).abs() <= 1e-9 * a;
    for golden in Golden::all() {
        let graph = golden.graph(DType::F16).expect("the architecture is known");
        for bucket in [one, many] {
            let (found, wanted) =
                (planned(&graph, &*golden.source, bucket), graph.work(&StepCounts::largest(&graph, &bucket)));
            let name = &golden.name;
            assert!(wanted.weight_bytes > 0.0 && wanted.state_bytes > 0.0, "{name}");
            assert!(close(wanted.weight_bytes, found.weight_bytes), "{name}: {found:?} and not {wanted:?}");
            assert!(close(wanted.state_bytes, found.state_bytes), "{name}: {found:?} and not {wanted:?}");
            assert!(found.operations >= 0.99 * wanted.operations, "{name}: {found:?} and not {wanted:?}");
        }
    }
}
