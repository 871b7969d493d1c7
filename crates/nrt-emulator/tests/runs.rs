//! Programs run, wait for each other, are late, and leave what they replace where it lies.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use std::time::Duration;

use lab::{Bench, LONG, Lab, adding, replacing};
use nrt::{Direction, Error, Status};

/// Versions on both sides of the gate.
const VERSIONS: [&str; 2] = ["2.30.8.0", "2.31.0.0"];

#[test]
fn a_program_gives_what_it_computes_on_every_runtime() {
    for version in VERSIONS {
        let lab = Lab::with(&[("version", version)]);
        let runtime = lab.runtime();
        let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&adding()));
        bench.write("a", &[1.0, 2.0, 3.0, 4.0]);
        bench.write("b", &[0.5; 4]);
        bench.run().unwrap();
        assert_eq!(bench.read("sum"), [1.5, 2.5, 3.5, 4.5]);
    }
}

#[test]
fn a_program_describes_its_tensors() {
    let lab = Lab::new();
    let runtime = lab.runtime();
    let model = runtime.core(0).unwrap().load(&lab.neff(&replacing()), None).unwrap();
    let found: Vec<_> = model.tensors().iter().map(|t| (t.name.as_str(), t.direction, t.bytes)).collect();
    let expected = [
        ("table.must_alias_input", Direction::Input, 128),
        ("at", Direction::Input, 8),
        ("rows", Direction::Input, 32),
        ("table", Direction::Output, 128),
        ("read", Direction::Output, 32),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_aliased_table_is_changed_where_it_lies() {
    let lab = Lab::new();
    let runtime = lab.runtime();
    let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&replacing()));
    bench.write("table.must_alias_input", &[1.0; 32]);
    bench.write("rows", &[2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]);
    bench.write_whole("at", &[7, 0]);
    bench.run().unwrap();
    let mut expected = [1.0; 32];
    expected[28..].fill(2.0);
    expected[..4].fill(3.0);
    assert_eq!(bench.read("table"), expected);
    assert_eq!(bench.read("read"), [2.0, 2.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]);
    let counts = runtime.emulated().unwrap();
    assert_eq!((counts.executions, counts.alias_copies), (1, 0));
    assert!(counts.simulated_ns > 437_000, "a start alone takes that long");
}

#[test]
fn an_index_out_of_bounds_is_an_error_and_changes_nothing() {
    let lab = Lab::new();
    let runtime = lab.runtime();
    let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&replacing()));
    bench.write("rows", &[2.0; 8]);
    for at in [[0, 8], [-1, 0]] {
        bench.write_whole("at", &at);
        assert_eq!(bench.run().unwrap_err().status(), Some(Status::ExecOob));
        assert_eq!(bench.read("table"), [0.0; 32]);
    }
}

#[test]
fn a_program_that_makes_no_number_says_so_and_goes_on() {
    let lab = Lab::new();
    let runtime = lab.runtime();
    let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&adding()));
    bench.write("a", &[f32::INFINITY; 4]);
    bench.write("b", &[f32::NEG_INFINITY; 4]);
    assert_eq!(bench.run().unwrap_err().status(), Some(Status::ExecCompletedWithNumErr));
    bench.write("b", &[0.0; 4]);
    bench.run().unwrap();
}

#[test]
fn runs_queue_in_order_until_the_queue_is_full() {
    let lab = Lab::with(&[("queue", "3"), ("held", "true")]);
    let runtime = lab.runtime();
    let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&adding()));
    let start = || bench.model.start(&bench.inputs, &bench.outputs);
    let runs: Vec<_> = (0..3).map(|_| start().unwrap()).collect();
    let full = start().map(drop).unwrap_err();
    assert_eq!(full.status(), Some(Status::QueueFull));
    assert!(full.to_string().contains("wait for what is under way"), "{full}");
    lab.control().set("held", "false");
    runs.into_iter().for_each(|run| run.wait(LONG).unwrap());
    start().unwrap().wait(LONG).unwrap();
    let counts = runtime.emulated().unwrap();
    assert!(
        counts.executions == 4 && counts.simulated_ns < 3 * 437_000,
        "only two runs began on an idle core"
    );
}

#[test]
fn a_run_that_is_late_poisons_the_runtime() {
    for version in VERSIONS {
        let lab = Lab::with(&[("version", version), ("held", "true")]);
        let runtime = lab.runtime();
        let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&adding()));
        let late = bench.model.execute(&bench.inputs, &bench.outputs, Duration::from_millis(1)).unwrap_err();
        assert!(
            matches!(late, Error::Late { .. }) && late.to_string().contains("restart the process"),
            "{late}"
        );
        let refused = bench.run().unwrap_err();
        assert!(matches!(&refused, Error::Poisoned { because } if *because == late.to_string()), "{refused}");
        assert!(runtime.core(0).unwrap().allocate("x", 4).is_err_and(|error| error.is_fatal()));
        // Nothing hangs on what does not end.
        drop((bench, runtime));
    }
}

#[test]
fn what_a_run_uses_lives_until_it_is_done() {
    for version in VERSIONS {
        let lab = Lab::with(&[("version", version), ("held", "true")]);
        let runtime = lab.runtime();
        let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&adding()));
        let sum = bench.outputs.tensor("sum").unwrap().clone();
        bench.write("a", &[1.0; 4]);
        let run = bench.model.start(&bench.inputs, &bench.outputs).unwrap();
        drop((bench, runtime));
        lab.control().set("held", "false");
        run.wait(LONG).unwrap();
        assert_eq!(lab::read(&sum), [1.0; 4]);
        // And one that nobody waits for.
        let bench = Bench::new(&sum_core(&lab, sum), &lab.neff(&adding()));
        drop(bench.model.start(&bench.inputs, &bench.outputs).unwrap());
    }
}

/// A core of a runtime that is opened anew, when the last handle of the one before is gone.
fn sum_core(lab: &Lab, last: nrt::Tensor) -> nrt::Core {
    drop(last);
    lab.runtime().core(0).unwrap()
}

#[test]
fn whoever_opens_it_again_gets_the_same_until_it_is_closed() {
    let lab = Lab::new();
    let (first, second) = (lab.runtime(), lab.runtime());
    let ours = Bench::new(&first.core(0).unwrap(), &lab.neff(&adding()));
    let theirs = Bench::new(&second.core(0).unwrap(), &lab.neff(&adding()));
    drop(first);
    for bench in [&ours, &theirs] {
        bench.write("a", &[2.0; 4]);
        bench.run().unwrap();
        assert_eq!(bench.read("sum"), [2.0; 4]);
    }
    assert_eq!(second.emulated().unwrap().executions, 2);
    drop((ours, theirs, second));
    // All is forgotten: it is closed, and started anew.
    assert_eq!(lab.runtime().core(0).unwrap().memory().unwrap().used, 0);
    // What failed for good stays so, whoever asks.
    let runtime = lab.runtime();
    let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&adding()));
    lab.control().fail("nrta_execute_schedule", 101, 0, 1);
    bench.run().unwrap_err();
    let poisoned = |opened: Result<nrt::Runtime, Error>| match opened.map(drop) {
        Err(Error::Poisoned { because }) => {
            assert!(because.contains("NRT_EXEC_UNIT_UNRECOVERABLE"), "{because}")
        }
        other => panic!("{other:?}"),
    };
    poisoned(nrt::Runtime::open(&lab.options));
    drop((bench, runtime));
    poisoned(nrt::Runtime::open(&lab.options));
}

#[test]
fn a_run_may_be_waited_for_without_end() {
    let lab = Lab::new();
    let bench = Bench::new(&lab.runtime().core(0).unwrap(), &lab.neff(&adding()));
    let run = bench.model.start(&bench.inputs, &bench.outputs).unwrap();
    run.wait(std::time::Duration::MAX).unwrap();
}

#[test]
fn tensors_are_taken_by_name_size_and_core() {
    let lab = Lab::new();
    let runtime = lab.runtime();
    let core = runtime.core(0).unwrap();
    let status = |change: &dyn Fn(&mut Bench)| {
        let mut bench = Bench::new(&core, &lab.neff(&adding()));
        change(&mut bench);
        bench.run().map_err(|error| error.status().unwrap())
    };
    let small = core.allocate("a", 12).unwrap();
    let elsewhere = runtime.core(1).unwrap().allocate("a", 16).unwrap();
    assert_eq!(status(&|_| ()), Ok(()));
    assert_eq!(status(&|bench| bench.inputs = nrt::TensorSet::new(&core).unwrap()), Err(Status::Invalid));
    assert_eq!(status(&|bench| bench.inputs.insert("a", &small).unwrap()), Err(Status::Invalid));
    assert_eq!(status(&|bench| bench.inputs.insert("a", &elsewhere).unwrap()), Err(Status::ExecBadInput));
    let shared = |bench: &mut Bench| {
        let sum = bench.outputs.tensor("sum").unwrap().clone();
        bench.inputs.insert("b", &sum).unwrap();
    };
    assert_eq!(status(&shared), Err(Status::ExecBadInput));
}

#[test]
fn a_result_that_is_to_take_a_place_must_be_bound_there() {
    let lab = Lab::new();
    let runtime = lab.runtime();
    let core = runtime.core(0).unwrap();
    let mut bench = Bench::new(&core, &lab.neff(&replacing()));
    bench.outputs.insert("table", &core.allocate("table", 128).unwrap()).unwrap();
    assert_eq!(bench.run().unwrap_err().status(), Some(Status::ExecBadInput));
}
