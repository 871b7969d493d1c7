//! The files that the rules read: all that git tracks, and all that it would track.

use std::path::Path;
use std::process::Command;

use crate::source::Source;

/// The working tree.
pub struct Tree {
    /// Its files, by path.
    pub files: Vec<File>,
}

/// One file.
pub struct File {
    /// The path from the root, with slashes.
    pub path: String,
    /// Length in bytes.
    pub bytes: usize,
    /// The contents, where they are text.
    pub text: Option<String>,
    /// The scanned contents of a `.rs` file.
    pub rust: Option<Source>,
}

impl Tree {
    /// Reads the tree at a root from disk. A tracked file that has been deleted is left out.
    pub fn read(root: &Path) -> Result<Tree, String> {
        let list = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .map_err(|error| format!("git could not be started to list the files: {error}"))?;
        if !list.status.success() {
            return Err(format!(
                "git could not list the files: {}",
                String::from_utf8_lossy(&list.stderr).trim()
            ));
        }
        let paths = String::from_utf8_lossy(&list.stdout);
        let mut paths: Vec<&str> = paths.split_terminator('\0').collect();
        paths.sort_unstable();
        paths.dedup();
        let read = |path: &str| std::fs::read(root.join(path)).ok().map(|bytes| File::new(path, bytes));
        Ok(Tree::of(paths.into_iter().filter_map(read).collect()))
    }

    /// A tree of these files.
    pub fn of(mut files: Vec<File>) -> Tree {
        let outlined: Vec<String> = files.iter().flat_map(File::outlined_tests).collect();
        for file in &mut files {
            let inside = |stem: &String| {
                file.path == format!("{stem}.rs") || file.path.starts_with(&format!("{stem}/"))
            };
            if is_test_path(&file.path) || outlined.iter().any(inside) {
                file.rust.iter_mut().for_each(Source::all_tests);
            }
        }
        Tree { files }
    }

    /// A tree written in a test.
    #[cfg(test)]
    pub fn sample(files: &[(&str, &str)]) -> Tree {
        Tree::of(files.iter().map(|(path, text)| File::new(path, text.as_bytes().to_vec())).collect())
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.iter().find(|file| file.path == path)?.text.as_deref()
    }

    /// Every file that is text.
    pub fn texts(&self) -> impl Iterator<Item = (&File, &str)> {
        self.files.iter().filter_map(|file| Some((file, file.text.as_deref()?)))
    }

    /// Every Rust file.
    pub fn rust(&self) -> impl Iterator<Item = (&File, &Source)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// Whether a path is a file of the tree, or a folder with one.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty() || self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }
}

impl File {
    fn new(path: &str, bytes: Vec<u8>) -> File {
        let len = bytes.len();
        let text = String::from_utf8(bytes).ok();
        let rust = text.as_deref().filter(|_| path.ends_with(".rs")).map(Source::new);
        File { path: path.to_owned(), bytes: len, text, rust }
    }

    /// Paths, less `.rs`, of the modules that this file declares for tests only.
    fn outlined_tests(&self) -> Vec<String> {
        let Some(source) = &self.rust else { return Vec::new() };
        let (folder, name) = self.path.rsplit_once('/').unwrap_or((".", &self.path));
        let folder = match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
        };
        source.outlined_tests().into_iter().map(|module| format!("{folder}/{module}")).collect()
    }
}

/// Whether cargo compiles a file only for tests, going by where it stands.
fn is_test_path(path: &str) -> bool {
    path.split('/').any(|part| matches!(part, "tests" | "benches" | "fuzz"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_files_are_known_by_place_and_by_declaration() {
        let tree = Tree::sample(&[
            ("crates/a/src/lib.rs", "mod b;\n#[cfg(test)]\nmod cases;"),
            ("crates/a/src/b.rs", "fn f() {}\n#[cfg(test)]\nmod more;"),
            ("crates/a/src/b/more.rs", "fn f() {}"),
            ("crates/a/src/cases/deep.rs", "fn f() {}"),
            ("crates/a/tests/all.rs", "fn f() {}"),
        ]);
        let product: Vec<_> =
            tree.rust().filter(|(_, source)| !source.is_test(1)).map(|(file, _)| &file.path).collect();
        assert_eq!(product, ["crates/a/src/lib.rs", "crates/a/src/b.rs"]);
    }

    #[test]
    fn files_and_folders_are_found() {
        let tree = Tree::sample(&[("docs/a.md", "text")]);
        assert!(tree.has("docs/a.md") && tree.has("docs") && tree.has("") && !tree.has("doc"));
        assert_eq!(tree.text("docs/a.md"), Some("text"));
    }
}
