//! The commit that a program says it is built of, by the build script's own code on a repository of a test's.

#[path = "../../built/commit.rs"]
mod commit;

use std::fs;
use std::path::Path;
use std::process::Command;

use commit::Built;

fn git(root: &Path, args: &[&str]) {
    let who = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"];
    let ended = Command::new("git").arg("-C").arg(root).args(who).args(args).output().expect("git is here");
    assert!(ended.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn a_tree_with_changes_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = folder.path();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(path, text).expect("written");
    };
    write("crates/one/src/lib.rs", "one");
    write("crates/one/tests/test.rs", "test");
    write("Cargo.toml", "whole");
    assert_eq!(Built::of(root), Built::default(), "there is no commit to name");
    git(root, &["init", "-q"]);
    git(root, &["add", "-A"]);
    git(root, &["commit", "-qm", "first"]);
    let told = |root: &Path| {
        let Built { commit, dirty, .. } = Built::of(root);
        assert_eq!(commit.len(), 12, "{commit}");
        dirty
    };
    assert!(!told(root));
    write("crates/one/tests/test.rs", "another test");
    assert!(!told(root), "no program is built of it");
    write("crates/one/src/lib.rs", "another");
    assert!(told(root), "a file was changed");
    git(root, &["commit", "-qam", "second"]);
    assert!(!told(root));
    write("crates/one/src/new.rs", "new");
    assert!(told(root), "a file is there that no commit has");
    let watched = Built::of(root).watched;
    assert!(watched.iter().any(|path| path.ends_with("crates/one/src")), "{watched:?}");
    assert!(watched.iter().any(|path| path.ends_with("logs/HEAD")), "{watched:?}");
    assert!(!watched.iter().any(|path| path.contains("/tests")), "{watched:?}");
    // Sources that were copied into somebody's repository are not of its commit.
    write("copy/crates/one/src/lib.rs", "one");
    assert_eq!(Built::of(&root.join("copy")), Built::default());
}
