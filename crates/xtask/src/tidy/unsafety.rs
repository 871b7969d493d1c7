//! Unsafe code stays in the crates that are made for it, and every site says why it is sound.

use super::House;
use crate::source::{Source, line_of, words};

/// The folders under `crates/` (or at the root) whose crates may hold unsafe code.
const MAY: &[&str] = &["tensor", "simd", "cpu", "cuda", "cuda-host", "nrt", "nrt-emulator", "python", "fuzz"];

/// Every Rust file keeps to its crate's side of the line.
pub fn check(house: &House) -> Vec<String> {
    house.tree.rust().flat_map(|(file, source)| faults(&file.path, source)).collect()
}

fn faults(path: &str, source: &Source) -> Vec<String> {
    let sites: Vec<usize> = words(&source.code, "unsafe").filter(|&at| is_site(&source.code[at..])).collect();
    if may(path) {
        return undocumented(path, source, sites.len()).into_iter().collect();
    }
    let mut faults: Vec<String> = words(&source.code, "unsafe")
        .map(|at| {
            format!("{path}:{}: unsafe code outside the crates {}", line_of(&source.code, at), MAY.join(", "))
        })
        .collect();
    if is_root(path) && !source.code.contains("#![forbid(unsafe_code)]") {
        faults
            .push(format!("{path}: a crate without unsafe code says `#![forbid(unsafe_code)]` at its root"));
    }
    faults
}

fn may(path: &str) -> bool {
    let inside = path.strip_prefix("crates/").unwrap_or(path);
    inside.split_once('/').is_some_and(|(folder, _)| MAY.contains(&folder))
}

fn is_root(path: &str) -> bool {
    path.ends_with("src/lib.rs") || path.ends_with("src/main.rs")
}

/// Whether the word at the start of this code makes something unsafe: a block, an implementation, a trait. An unsafe
/// function is none: what its callers promise stands at its declaration, which is a trait's for the functions of an
/// implementation (clippy asks for it), and what it does with the promise is in blocks.
fn is_site(code: &str) -> bool {
    let after = code["unsafe".len()..].trim_start();
    let after = after.strip_prefix("extern").unwrap_or(after).trim_start();
    !after.starts_with("fn")
}

/// Clippy finds every block without a note of its own. This counts besides, so that nothing is lost to macros; a file
/// whose blocks are all alike may say so once, with clippy's own attribute and a reason.
fn undocumented(path: &str, source: &Source, sites: usize) -> Option<String> {
    if source.code.contains("allow(clippy::undocumented_unsafe_blocks") {
        return None;
    }
    let notes = source.comments.matches("SAFETY:").count() + source.comments.matches("# Safety").count();
    (notes < sites)
        .then(|| format!("{path}: {sites} unsafe sites but {notes} notes that say why they are sound"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(path: &str, text: &str) -> Vec<String> {
        faults(path, &Source::new(text))
    }

    #[test]
    fn elsewhere_the_word_is_a_fault_but_not_in_prose() {
        assert!(faults_of("crates/graph/src/a.rs", "// unsafe\nfn f() { g(\"unsafe\") }").is_empty());
        let found = faults_of("crates/graph/src/a.rs", "fn f() {\n    unsafe { g() }\n}");
        assert!(found[0].starts_with("crates/graph/src/a.rs:2: "), "{found:?}");
    }

    #[test]
    fn other_crates_forbid_it_at_the_root() {
        assert!(faults_of("models/src/lib.rs", "#![forbid(unsafe_code)]").is_empty());
        assert_eq!(faults_of("models/src/lib.rs", "//! #![forbid(unsafe_code)]").len(), 1);
        assert!(faults_of("models/src/blocks.rs", "").is_empty());
    }

    #[test]
    fn sites_are_counted_against_notes() {
        let path = "crates/tensor/src/lib.rs";
        assert_eq!(faults_of(path, "fn f() { unsafe { g() } }").len(), 1);
        assert!(faults_of(path, "// SAFETY: g asks nothing.\nfn f() { unsafe { g() } }").is_empty());
        assert!(faults_of(path, "/// # Safety\n/// Never.\npub unsafe trait T {}").is_empty());
        assert!(
            faults_of(path, "struct Table { dot: unsafe extern \"C\" fn(*const u8), mul: unsafe fn(u8) }")
                .is_empty()
        );
    }
}
