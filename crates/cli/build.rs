//! Tells the program which commit it is built of; nothing where it is not built within its own repository.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let git = |args: &[&str]| {
        let ended = Command::new("git").arg("-C").arg(&root).args(args).output().ok()?;
        let text = String::from_utf8_lossy(&ended.stdout).trim().to_owned();
        (ended.status.success() && !text.is_empty()).then_some(text)
    };
    // A copy within another repository is not of that one's commit.
    let own =
        git(&["rev-parse", "--show-prefix"]).is_none() && git(&["rev-parse", "--show-toplevel"]).is_some();
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| own).unwrap_or_default();
    if !commit.is_empty() {
        let log = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]);
        // It changes with every commit and every checkout.
        if let Some(log) = log.filter(|log| Path::new(log).exists()) {
            println!("cargo:rerun-if-changed={log}");
        }
    }
    println!("cargo:rustc-env=POLYSILICON_COMMIT={commit}");
}
