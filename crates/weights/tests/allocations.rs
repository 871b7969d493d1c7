//! A file of a few hundred bytes that claims the world costs a few hundred bytes. One test to a process, because
//! what is watched is the process: the most address space it has ever had.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{array, claim, claims, file, gguf, gguf_head, open_gguf, open_safetensors, pair, tensor};
use tensor::Access;
use weights::{Gguf, SafeTensors};

/// What the claims below would cost if they were believed is a gigabyte or more each.
const ALLOWED_KIB: u64 = 64 << 10;

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn claims_are_not_believed() {
    assert!(
        open_gguf(&common::small_gguf()).is_ok() && open_safetensors(&common::small_safetensors()).is_ok()
    );
    let before = peak_kib();
    for count in [1u64 << 30, 1 << 31, 1 << 32, 1 << 40, 1 << 60, u64::MAX] {
        assert!(open_gguf(&gguf_head(3, count, 0)).is_err());
        assert!(open_gguf(&gguf_head(3, 0, count)).is_err());
        assert!(open_gguf(&gguf(&[pair("k", 8, &count.to_le_bytes())], &[], &[])).is_err());
        for kind in [0, 6, 8, 12] {
            assert!(open_gguf(&gguf(&[pair("k", 9, &array(kind, count, &[0; 64]))], &[], &[])).is_err());
        }
        assert!(open_gguf(&gguf(&[], &[tensor("a", &[count], 0, 0)], &[0; 64])).is_err());

        let shape = format!("[{count}]");
        assert!(open_safetensors(&claims(&[claim("a", "U8", &shape, 0, count)], &[0; 64])).is_err());
        let mut header = count.to_le_bytes().to_vec();
        header.extend(b"{\"a\":");
        assert!(open_safetensors(&header).is_err());
    }
    // A sparse file really has the bytes that it claims, and is still read no further than its head.
    let holes = [gguf_head(3, 1 << 19, 1 << 15), 99_000_000u64.to_le_bytes().to_vec()];
    for head in holes {
        let disk = file(&head);
        disk.as_file().set_len(1 << 42).unwrap();
        assert!(Gguf::open(disk.path(), Access::Read).is_err());
        assert!(SafeTensors::open(disk.path(), Access::Read).is_err());
    }
    let grown = peak_kib() - before;
    assert!(grown < ALLOWED_KIB, "opening small hostile files took {grown} KiB");
}
