//! Options become variables of the environment. One test, since the environment is the process's.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use lab::Lab;
use nrt::{Error, LogicalCore, Options, Runtime};

#[test]
fn options_are_checked_then_set_then_seen() {
    let mut lab = Lab::new();
    let wrong = [
        Options { cores: Some(vec![]), ..Options::default() },
        Options { cores: Some(vec![1, 1]), ..Options::default() },
        Options { cores: Some(vec![5000]), ..Options::default() },
        Options { collectives_root: Some("0.0.0.0:8000".parse().unwrap()), ..Options::default() },
        Options { collectives_root: Some("10.0.0.1:0".parse().unwrap()), ..Options::default() },
    ];
    for options in wrong {
        let options = Options { library: lab.options.library.clone(), ..options };
        assert!(matches!(Runtime::open(&options), Err(Error::Option { .. })), "{options:?}");
    }

    lab.options.cores = Some(vec![4, 6]);
    lab.options.logical_core = Some(LogicalCore::One);
    lab.options.collectives_root = Some("127.0.0.1:62182".parse().unwrap());
    let runtime = lab.runtime();
    assert_eq!(runtime.seen().cores, 2);
    assert_eq!(runtime.core(0).unwrap().memory().unwrap().limit, 12 << 30, "half of what two cores have");
    let set = lab.options.variables().unwrap();
    assert_eq!(set.len(), 3);
    for (name, value) in set {
        assert_eq!(std::env::var(name), Ok(value));
    }
    drop(runtime);

    // The same again is fine, something else is not.
    drop(lab.runtime());
    for cores in [vec![0], vec![4, 6, 7]] {
        let clash =
            Runtime::open(&Options { cores: Some(cores), ..lab.options.clone() }).map(drop).unwrap_err();
        let text = clash.to_string();
        assert!(
            matches!(clash, Error::Environment { .. }) && text.contains("NEURON_RT_VISIBLE_CORES=4,6"),
            "{text}"
        );
    }
}

#[test]
fn a_library_that_is_not_there_is_named() {
    let options = Options { library: Some("nowhere/libnrt.so".into()), ..Options::default() };
    let text = Runtime::open(&options).map(drop).unwrap_err().to_string();
    assert!(text.contains("nowhere/libnrt.so") && text.contains("aws-neuronx-runtime-lib"), "{text}");
}
