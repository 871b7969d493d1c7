//! Tells the program which commit it is built of, and whether sources had been changed since; nothing where it is not built
//! within its own repository.

#[path = "built/commit.rs"]
mod commit;

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=built/commit.rs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let built = commit::Built::of(&root);
    for path in &built.watched {
        println!("cargo:rerun-if-changed={path}");
    }
    println!("cargo:rustc-env=POLYSILICON_COMMIT={}", built.commit);
    println!("cargo:rustc-env=POLYSILICON_DIRTY={}", built.dirty);
}
