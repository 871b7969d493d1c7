//! The commit that a working tree is at, and whether what programs are built of differs from it. The build script's own, in a
//! file that tests can take too.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What of a crate becomes part of a program; tests and benches do not.
const PARTS: [&str; 8] = ["src", "data", "built", "embedded", "cuda", "neuron", "build.rs", "Cargo.toml"];

/// What a program is built of.
#[derive(Debug, Default, PartialEq)]
pub struct Built {
    /// The commit; empty where there is none, or the tree is part of another repository.
    pub commit: String,
    /// Whether sources differ from it.
    pub dirty: bool,
    /// What to look at again when it changes: sources, which make the program be built anew anyway, and the log of commits.
    pub watched: Vec<String>,
}

impl Built {
    /// Of the sources under a folder.
    pub fn of(root: &Path) -> Built {
        let git = |args: &[&str]| {
            let mut git = Command::new("git");
            // Nobody else's index is written, and none of the caller's repository is taken for this one.
            git.arg("--no-optional-locks").arg("-C").arg(root);
            let ended = git.args(args).output().ok().filter(|ended| ended.status.success())?;
            Some(String::from_utf8_lossy(&ended.stdout).trim().to_owned())
        };
        // A copy within another repository is not of that one's commit.
        let own = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
        let commit = git(&["rev-parse", "--short=12", "HEAD"]).filter(|_| own).unwrap_or_default();
        if commit.is_empty() {
            return Built::default();
        }
        let sources = sources(root);
        let asked = ["status", "--porcelain", "--"].into_iter().chain(sources.iter().map(String::as_str));
        let dirty = git(&asked.collect::<Vec<_>>()).is_none_or(|lines| !lines.is_empty());
        // It changes with every commit and every checkout.
        let log = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"]);
        let log = log.filter(|log| Path::new(log).exists());
        let watched = sources.iter().map(|path| root.join(path).display().to_string());
        Built { commit, dirty, watched: watched.chain(log).collect() }
    }
}

/// Paths of sources, from the root.
fn sources(root: &Path) -> Vec<String> {
    let crates = fs::read_dir(root.join("crates")).into_iter().flatten().filter_map(Result::ok);
    let crates = crates.map(|entry| format!("crates/{}", entry.file_name().to_string_lossy()));
    let crates = crates.chain(["models", "kernels"].map(str::to_owned)).collect::<Vec<_>>();
    let parts = crates.iter().flat_map(|one| PARTS.iter().map(move |part| format!("{one}/{part}")));
    let whole = ["Cargo.toml", "Cargo.lock"].into_iter().map(str::to_owned);
    let mut all = parts.chain(whole).filter(|path| root.join(path).exists()).collect::<Vec<_>>();
    all.sort_unstable();
    all
}
