//! Once warm, a decode step allocates nothing, on no thread. One test to a process, because what is watched is the
//! process: its allocator.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use common::{Steps, decoder};
use cpu::{Options, Precision};
use graph::Fetch;
use simd::Isa;
use tensor::DType;

/// The system's allocator, which counts what is asked of it while it watches.
struct Counting;

static WATCHES: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static LARGEST: AtomicUsize = AtomicUsize::new(0);

impl Counting {
    fn count(&self, bytes: usize) {
        if WATCHES.load(SeqCst) {
            ALLOCATIONS.fetch_add(1, SeqCst);
            LARGEST.fetch_max(bytes, SeqCst);
        }
    }
}

// SAFETY: the system's allocator does it all.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: as the caller says.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        // SAFETY: as the caller says.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        self.count(bytes);
        // SAFETY: as the caller says.
        unsafe { System.realloc(start, layout, bytes) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as the caller says.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Positions of a sequence: more than attention takes at once, so that its division into units changes on the way.
const CONTEXT: u32 = 600;

#[test]
fn a_decode_step_allocates_nothing() {
    let mut faults = vec![];
    for (matrices, kv) in [(DType::Q8_0, DType::BF16), (DType::BF16, DType::F16), (DType::F32, DType::Q8_0)] {
        let graph = decoder(matrices, kv);
        for threads in [1, 2] {
            for sequences in [1, 4] {
                let options = Options { threads: Some(threads), precision: Precision::Auto, isa: None };
                // Threads of the team before may still be ending, which takes memory of its own. What steps take they
                // take each time.
                let attempt = || allocations(&mut Steps::open(&graph, &options, sequences, CONTEXT));
                let (count, largest) =
                    (0..3).map(|_| attempt()).find(|(count, _)| *count == 0).unwrap_or_else(attempt);
                if count > 0 {
                    faults.push(format!(
                        "{matrices}, {kv}, {threads} threads, {sequences} sequences: {count}, up to {largest} bytes"
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "steps allocate at {:?}:\n{}", Isa::detect(), faults.join("\n"));
}

/// What steps across the whole context allocate once one of each bucket has run.
fn allocations(steps: &mut Steps) -> (usize, usize) {
    let (mut fetches, mut next) = ([Fetch::default(), Fetch::default()], 0);
    let mut run = |steps: &mut Steps, position: u32| {
        let step = steps.at(position);
        ALLOCATIONS.store(0, SeqCst);
        LARGEST.store(0, SeqCst);
        WATCHES.store(true, SeqCst);
        let result = steps.run(&step, &mut fetches[next]);
        WATCHES.store(false, SeqCst);
        result.expect("a step runs");
        next = 1 - next;
        (ALLOCATIONS.load(SeqCst), LARGEST.load(SeqCst))
    };
    // Once in each bucket, whose tables double: what is made with a program, it makes no later step wait for, though
    // attention is divided otherwise at other depths.
    for position in [0, 256, 512] {
        run(steps, position);
    }
    let all = (0..CONTEXT).step_by(7).map(|position| run(steps, position));
    all.fold((0, 0), |(count, largest), (more, bytes)| (count + more, largest.max(bytes)))
}
