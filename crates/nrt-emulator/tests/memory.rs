//! Memory ends where a core's share ends, and what was freed is not found again.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use std::ptr::null_mut;

use lab::{Bench, Lab, adding, bytes, read};
use nrt::{Error, Status, sys};

#[test]
fn a_core_gives_what_it_has_and_takes_it_back() {
    let lab = Lab::with(&[("memory", "1000")]);
    let runtime = lab.runtime();
    let core = runtime.core(0).unwrap();
    let tensor = core.allocate("a", 600).unwrap();
    let refused = core.allocate("b", 401).map(drop).unwrap_err();
    assert_eq!(refused.status(), Some(Status::Resource));
    assert!(refused.to_string().contains("smaller buckets"), "{refused}");
    let same = tensor.clone();
    drop(tensor);
    assert_eq!(core.memory().unwrap(), nrt::MemoryStats { used: 600, limit: 1000 }, "a clone keeps it");
    drop(same);
    assert_eq!(core.memory().unwrap().used, 0);
    core.allocate("b", 1000).unwrap();
    assert_eq!(core.load(&lab.neff(&adding()), None).map(drop).unwrap_err().status(), Some(Status::Resource));
}

#[test]
fn a_logical_core_has_its_share_of_the_chip() {
    for (chip, cores, gib) in [("trn1", 2, 16), ("inf2", 2, 16), ("trn2", 4, 24), ("trn3", 4, 36)] {
        let runtime = Lab::with(&[("chip", chip)]).runtime();
        assert_eq!(runtime.seen().cores, cores);
        assert_eq!(runtime.core(0).unwrap().memory().unwrap().limit, gib << 30);
        assert_eq!(runtime.target().unwrap(), Some(chip));
    }
    let runtime = Lab::with(&[("chips", "16")]).runtime();
    assert_eq!(runtime.seen().cores, 64);
    assert!(matches!(runtime.core(64), Err(Error::NoCore { core: 64, visible: 64 })));
}

#[test]
fn bytes_are_written_read_and_filled() {
    let runtime = Lab::new().runtime();
    let core = runtime.core(0).unwrap();
    let (a, b) = (core.allocate("a", 16).unwrap(), core.allocate("b", 16).unwrap());
    a.write(4, &bytes(&[1.0, 2.0])).unwrap();
    assert_eq!(read(&a), [0.0, 1.0, 2.0, 0.0]);
    b.write(8, &bytes(&[1.0, 2.0])).unwrap();
    let mut end = [0; 4];
    b.read(12, &mut end).unwrap();
    assert_eq!(f32::from_le_bytes(end), 2.0);
    b.fill(0).unwrap();
    assert_eq!(read(&b), [0.0; 4]);
    assert!(matches!(a.write(12, &[0; 5]), Err(Error::Bounds { range, bytes: 16, .. }) if range == (12..17)));
    assert!(matches!(a.read(14, &mut end), Err(Error::Bounds { .. })));
    assert!(matches!(core.allocate("a\0", 4), Err(Error::Name(_))));
    let counts = runtime.emulated().unwrap();
    assert_eq!((counts.written_bytes, counts.read_bytes), (16, 16 * 2 + 4));
}

/// The functions of C as they are, to do what the handles do not allow.
#[test]
fn what_was_freed_is_not_found_again() {
    let lab = Lab::new();
    let functions = sys::Functions::find(&lab.library()).unwrap();
    let status = |outcome: Result<(), Error>| outcome.unwrap_err().status().unwrap();
    // SAFETY: the emulator never follows a handle, so that wrong ones are what this test may give it; the pointers
    // point to what is alive.
    unsafe {
        let (mut tensor, mut set) = (null_mut(), null_mut());
        let allocate =
            |tensor: &mut *mut sys::Tensor| functions.nrt_tensor_allocate(0, 0, 16, c"".as_ptr(), tensor);
        assert_eq!(status(allocate(&mut tensor)), Status::Uninitialized);
        functions.nrt_init(sys::NO_FRAMEWORK, c"".as_ptr(), c"".as_ptr()).unwrap();
        allocate(&mut tensor).unwrap();
        functions.nrt_allocate_tensor_set(&mut set).unwrap();
        functions.nrt_add_tensor_to_tensor_set(set, c"a".as_ptr(), tensor).unwrap();
        let freed = tensor;
        functions.nrt_tensor_free(&mut tensor).unwrap();
        assert!(tensor.is_null());
        assert_eq!(
            status(functions.nrt_tensor_write(freed, [0u8; 4].as_ptr().cast(), 0, 4)),
            Status::InvalidHandle
        );
        let add = functions.nrt_add_tensor_to_tensor_set(set, c"b".as_ptr(), freed);
        assert_eq!(status(add), Status::InvalidHandle);
        assert_eq!(status(functions.nrt_unload(null_mut())), Status::InvalidHandle);
        let (neff, mut model) = (lab.neff(&adding()), null_mut());
        functions.nrt_load(neff.as_ptr().cast(), neff.len(), 0, -1, &mut model).unwrap();
        // The set holds a name for what is freed.
        functions.nrt_tensor_allocate(0, 0, 16, c"".as_ptr(), &mut tensor).unwrap();
        functions.nrt_add_tensor_to_tensor_set(set, c"b".as_ptr(), tensor).unwrap();
        functions.nrt_add_tensor_to_tensor_set(set, c"sum".as_ptr(), tensor).unwrap();
        assert_eq!(status(functions.nrt_execute(model, set, set)), Status::InvalidHandle);
        functions.nrt_unload(model).unwrap();
        assert_eq!(status(functions.nrt_unload(model)), Status::InvalidHandle);
        let mut infos = null_mut();
        assert_eq!(status(functions.nrt_get_model_tensor_info(model, &mut infos)), Status::InvalidHandle);
        functions.nrt_close().unwrap();
        assert_eq!(status(functions.nrt_allocate_tensor_set(&mut set)), Status::Closed);
    }
}

#[test]
fn programs_of_another_kind_are_refused() {
    let lab = Lab::new();
    let runtime = lab.runtime();
    let core = runtime.core(0).unwrap();
    let status = |neff: &[u8]| core.load(neff, None).map(drop).unwrap_err().status().unwrap();
    assert_eq!(status(b"no program"), Status::Invalid);
    assert_eq!(status(&lab.neff_for(&adding(), "trn3")), Status::UnsupportedNeffVersion);
    let mut damaged = lab.neff(&adding());
    *damaged.last_mut().unwrap() ^= 1;
    assert_eq!(status(&damaged), Status::Invalid);
    let bench = Bench::new(&core, &lab.neff(&adding()));
    bench.run().unwrap();
}
