//! Every status that is documented is seen as our error, says what to do, and poisons the runtime where it must.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use lab::{Bench, Lab, adding};
use nrt::{Error, Status};

/// What a call gives that fails on demand, and what the next one gives.
fn outcomes(function: &str, status: Status) -> (Error, Result<(), Error>) {
    let lab = Lab::new();
    let runtime = lab.runtime();
    let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&adding()));
    lab.control().fail(function, status.code(), 0, 1);
    let act = || match function {
        "nrt_tensor_write" => bench.inputs.tensor("a").unwrap().write(0, &[0; 16]),
        _ => bench.run(),
    };
    (act().unwrap_err(), act())
}

#[test]
fn every_status_of_a_call_is_seen() {
    for &status in Status::ALL {
        let (error, next) = outcomes("nrt_tensor_write", status);
        assert_eq!(error.status(), Some(status));
        let text = error.to_string();
        assert!(text.starts_with("nrt_tensor_write gave NRT_"), "{text}");
        assert!(
            text.contains(&status.code().to_string()) && text.contains(&status.remedy().to_string()),
            "{text}"
        );
        match status.remedy().is_fatal() {
            true => assert!(matches!(next, Err(Error::Poisoned { because }) if because == text), "{text}"),
            false => next.unwrap(),
        }
    }
}

#[test]
fn every_status_of_an_execution_is_seen() {
    for &status in Status::ALL {
        let (error, next) = outcomes("nrta_execute_schedule", status);
        assert_eq!(error.status(), Some(status), "{error}");
        assert_eq!(next.is_err(), status.remedy().is_fatal(), "{error}");
    }
}

#[test]
fn every_status_of_a_blocking_execution_is_seen() {
    for &status in Status::ALL {
        let lab = Lab::with(&[("version", "2.30")]);
        let runtime = lab.runtime();
        let bench = Bench::new(&runtime.core(0).unwrap(), &lab.neff(&adding()));
        lab.control().fail("nrt_execute", status.code(), 1, 1);
        bench.run().unwrap();
        assert_eq!(bench.run().unwrap_err().status(), Some(status));
        assert_eq!(bench.run().is_err(), status.remedy().is_fatal(), "{status}");
    }
}

#[test]
fn numbers_and_statuses_are_each_others() {
    assert_eq!(Status::ALL.len(), 27);
    for &status in Status::ALL {
        assert_eq!(Status::of(status.code()), Some(status));
        assert!(status.name().starts_with("NRT_"));
    }
    assert_eq!((Status::of(0), Status::of(8)), (None, Some(Status::Unknown(8))));
}

#[test]
fn a_start_that_fails_can_be_tried_again() {
    let lab = Lab::with(&[("fail", "nrt_init:6")]);
    let failed = nrt::Runtime::open(&lab.options).map(drop).unwrap_err();
    assert_eq!(failed.status(), Some(Status::HwError));
    lab.runtime().core(0).unwrap();
}
