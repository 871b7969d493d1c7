//! Functions that return before the work is done: bytes are moved in the order of their queue, statuses come later, and
//! a runtime of before 2.31 has none of them.
#![allow(clippy::unwrap_used, reason = "a test that cannot prepare fails")]

mod lab;

use std::ptr::null_mut;

use lab::{Lab, bytes};
use nrt::sys::{AsyncFunctions, Functions, NO_FRAMEWORK, Sequence, Tensor};
use nrt::{Error, Status};

/// Functions of a library that is started, and two tensors of 16 bytes.
struct Bare {
    calls: Functions,
    later: AsyncFunctions,
    a: *mut Tensor,
    b: *mut Tensor,
}

impl Bare {
    fn new(lab: &Lab) -> Bare {
        let library = lab.library();
        let (calls, later) = (Functions::find(&library).unwrap(), AsyncFunctions::find(&library).unwrap());
        let tensor = |calls: &Functions| {
            let mut tensor = null_mut();
            // SAFETY: the library is started, and what is pointed to is alive.
            unsafe { calls.nrt_tensor_allocate(0, 0, 16, c"".as_ptr(), &mut tensor).unwrap() };
            tensor
        };
        // SAFETY: nobody started this copy of the library.
        unsafe { calls.nrt_init(NO_FRAMEWORK, c"".as_ptr(), c"".as_ptr()).unwrap() };
        Bare { a: tensor(&calls), b: tensor(&calls), calls, later }
    }

    fn write(&self, queue: i32, from: &[u8; 16], outcome: &mut i32) -> Result<Sequence, Error> {
        let mut sequence = 0;
        let start = from.as_ptr().cast();
        // SAFETY: the test waits for the end before it lets go of what is pointed to.
        unsafe { self.later.nrta_tensor_write(self.a, start, 0, 16, queue, outcome, &mut sequence)? };
        Ok(sequence)
    }

    fn is_done(&self, sequence: Sequence) -> bool {
        let mut done = false;
        // SAFETY: the place is alive.
        unsafe { self.later.nrta_is_completed(sequence, &mut done).unwrap() };
        done
    }

    fn wait(&self, sequence: Sequence) {
        while !self.is_done(sequence) {
            std::thread::yield_now();
        }
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // SAFETY: nothing is used after this.
        unsafe { self.calls.nrt_close().unwrap() };
    }
}

#[test]
fn bytes_are_moved_in_the_order_of_their_queue() {
    let lab = Lab::with(&[("held", "true"), ("queue", "3")]);
    let bare = Bare::new(&lab);
    let (from, mut to, mut outcomes) = ([7u8; 16], [0u8; 16], [-1; 4]);
    let (mut copied, mut read) = (0, 0);
    let written = bare.write(1, &from, &mut outcomes[0]).unwrap();
    // SAFETY: the test waits for the end before it lets go of what is pointed to.
    unsafe {
        let Bare { later, a, b, .. } = &bare;
        later.nrta_tensor_copy(*a, 0, *b, 4, 8, 1, &mut outcomes[1], &mut copied).unwrap();
        later.nrta_tensor_read(to.as_mut_ptr().cast(), *b, 0, 16, 1, &mut outcomes[2], &mut read).unwrap();
    }
    let full = bare.write(1, &from, &mut outcomes[3]).unwrap_err();
    assert_eq!(full.status(), Some(Status::QueueFull));
    assert!(bare.write(0, &from, &mut outcomes[3]).is_ok(), "the other queue has room");
    let none = bare.write(2, &from, &mut -1).unwrap_err();
    assert_eq!(none.status(), Some(Status::Invalid), "there are two queues");
    assert!(!bare.is_done(written) && written < copied && copied < read);
    lab.control().set("held", "false");
    bare.wait(read);
    assert_eq!(outcomes[..3], [0; 3]);
    let mut expected = [0; 16];
    expected[4..12].fill(7);
    assert_eq!(to, expected);
    let mut done = true;
    // SAFETY: the place is alive.
    let never = unsafe { bare.later.nrta_is_completed(read + 1, &mut done) };
    assert_eq!(never.unwrap_err().status(), Some(Status::Invalid), "no such work was queued");
}

#[test]
fn bytes_out_of_bounds_are_told_later() {
    let bare = Bare::new(&Lab::new());
    let (from, mut outcome, mut sequence) = (bytes(&[0.0; 4]), -1, 0);
    // SAFETY: the test waits for the end before it lets go of what is pointed to.
    unsafe {
        let start = from.as_ptr().cast();
        bare.later.nrta_tensor_write(bare.a, start, 4, 16, 0, &mut outcome, &mut sequence).unwrap();
    }
    bare.wait(sequence);
    assert_eq!(Status::of(outcome), Some(Status::Invalid));
}

#[test]
fn every_status_is_seen_at_once_or_later() {
    for &status in Status::ALL {
        let lab = Lab::new();
        let bare = Bare::new(&lab);
        lab.control().fail("nrta_tensor_write", status.code(), 0, 1);
        let (from, mut outcome) = ([0; 16], 0);
        match bare.write(0, &from, &mut outcome) {
            Ok(sequence) => {
                bare.wait(sequence);
                assert_eq!(Status::of(outcome), Some(status));
            }
            Err(error) => assert_eq!(error.status(), Some(status)),
        }
    }
}

#[test]
fn before_2_31_they_are_not_these() {
    let lab = Lab::with(&[("version", "2.30")]);
    let bare = Bare::new(&lab);
    let refused = bare.write(0, &[0; 16], &mut 0).unwrap_err();
    assert_eq!(refused.status(), Some(Status::Failure));
}
