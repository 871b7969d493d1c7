//! Limits of size: files that can be read at a sitting, functions that fit a screen, a repository that clones quickly.

use super::House;
use crate::source::{Function, Source};

/// Bytes of any one file.
const MAX_BYTES: usize = 6_500_000;
/// Lines of a Rust file.
const MAX_LINES: usize = 600;
/// Lines of a file of kernels, where one idea is written once per instruction set.
const MAX_KERNEL_LINES: usize = 1000;
/// Where kernels stand.
const KERNELS: &[&str] = &["crates/cpu/", "crates/simd/", "kernels/"];
/// Lines of a function.
pub const MAX_FUNCTION_LINES: usize = 70;
/// The percentage of functions that may be longer, because a long `match` is sometimes the clearest text.
const MAX_LONG_PERCENT: usize = 1;

/// Holds files and functions against the limits.
pub fn check(house: &House) -> Vec<String> {
    let bytes = house.tree.files.iter().filter_map(|file| too_many_bytes(&file.path, file.bytes));
    let lines = house.tree.rust().filter_map(|(file, source)| too_many_lines(&file.path, source));
    bytes.chain(lines).chain(too_many_long_functions(house)).collect()
}

/// Functions over the limit, each with its file.
pub fn long_functions(house: &House) -> Vec<(&str, Function)> {
    let all =
        house.tree.rust().flat_map(|(file, source)| source.functions().into_iter().map(|f| (&*file.path, f)));
    all.filter(|(_, function)| function.lines > MAX_FUNCTION_LINES).collect()
}

fn too_many_bytes(path: &str, bytes: usize) -> Option<String> {
    (bytes > MAX_BYTES)
        .then(|| format!("{path}: {bytes} bytes; no file of the repository is over {MAX_BYTES}"))
}

fn too_many_lines(path: &str, source: &Source) -> Option<String> {
    let lines = source.code.lines().count();
    let kernel = KERNELS.iter().any(|folder| path.starts_with(folder));
    let limit = if kernel { MAX_KERNEL_LINES } else { MAX_LINES };
    (lines > limit)
        .then(|| format!("{path}: {lines} lines; a file has at most {limit}, so split it by subject"))
}

fn too_many_long_functions(house: &House) -> Option<String> {
    let functions: usize = house.tree.rust().map(|(_, source)| source.functions().len()).sum();
    let long = long_functions(house);
    let over = long.len() * 100 > functions * MAX_LONG_PERCENT;
    let names = || {
        long.iter().map(|(path, f)| format!("{path}:{} {} ({})", f.line, f.name, f.lines)).collect::<Vec<_>>()
    };
    over.then(|| {
        format!(
            "{} of {functions} functions are over {MAX_FUNCTION_LINES} lines; at most {MAX_LONG_PERCENT} % may be: {}",
            long.len(),
            names().join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_limit_and_a_kernel_a_larger_one() {
        let text = "\n".repeat(MAX_LINES + 1);
        let source = Source::new(&text);
        assert!(too_many_lines("crates/graph/src/op.rs", &source).is_some_and(|s| s.contains("601 lines")));
        assert!(too_many_lines("crates/cpu/src/gemm.rs", &source).is_none());
        assert!(too_many_lines("crates/graph/src/op.rs", &Source::new(&text[1..])).is_none());
    }

    #[test]
    fn one_function_in_a_hundred_may_be_long() {
        let long = format!("fn long() {{{}}}\n", "\n".repeat(MAX_FUNCTION_LINES));
        let check =
            |short: usize| check(&House::of(&[("a.rs", &(long.clone() + &"fn f() {}\n".repeat(short)))]));
        assert!(check(98)[0].contains("a.rs:1 long (71)"));
        assert!(check(99).is_empty());
    }

    #[test]
    fn bytes_are_limited() {
        assert!(too_many_bytes("a.bin", MAX_BYTES + 1).is_some());
        assert!(too_many_bytes("a.bin", MAX_BYTES).is_none());
    }
}
