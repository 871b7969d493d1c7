//! What only a GPU can say; nothing where there is none.

use std::sync::Arc;
use std::thread;

use cuda::{Driver, Fault, Nvidia, acquaint};
use polysilicon_tests::conformance::{RUNNERS, cases, faults};
use polysilicon_tests::skip;

/// Conformance on the GPU alone: a text is compiled for almost every case, so they are shared out among threads.
#[test]
fn a_gpu_agrees_with_the_reference_on_every_case() {
    let runner = RUNNERS.iter().find(|runner| runner.name == "cuda").expect("it is a runner");
    if !(runner.present)() {
        return skip::say("ran on no GPU: there is none here");
    }
    let cases = cases::all();
    let share = cases.len().div_ceil(thread::available_parallelism().map_or(1, usize::from));
    let told = thread::scope(|scope| {
        let threads = cases.chunks(share).map(|cases| scope.spawn(|| faults(runner, cases)));
        let threads = threads.collect::<Vec<_>>().into_iter();
        threads.flat_map(|thread| thread.join().expect("faults are caught")).collect::<Vec<_>>()
    });
    let told = told.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert!(told.is_empty(), "{} of {} cases fail:\n{}", told.len(), cases.len(), told.join("\n"));
}

/// NCCL with one rank sums and gathers, played and captured, as ranks that meet in a process do. More ranks want more GPUs.
#[test]
fn a_gpu_meets_itself_through_nccl() {
    let Some(number) = cuda::find().ok().and_then(|gpus| Some(gpus.first()?.number)) else {
        return skip::say("asked no NCCL: there is no GPU here");
    };
    let gpus = match Nvidia::together(&[number]) {
        // One GPU does without it.
        Err(Fault::Failed(reason)) if reason.contains("POLYSILICON_NCCL") => {
            return skip::say(&format!("asked no NCCL: {reason}"));
        }
        gpus => gpus.expect("NCCL opens"),
    };
    let drivers = gpus.into_iter().map(|gpu| Arc::new(gpu) as Arc<dyn Driver>).collect::<Vec<_>>();
    acquaint(&drivers).expect("it knows itself");
    drivers[0].leave("it was unplugged");
    assert_eq!(
        acquaint(&drivers).map_err(|fault| fault.to_string()),
        Err("rank 0 left: it was unplugged".to_owned())
    );
}
