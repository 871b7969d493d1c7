//! A file that is not there until it is whole.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::Error;

/// A file under a name of its own, which gets the wanted one at the end and is deleted where that never comes.
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
}

impl Partial {
    /// Beside `target`, which must not be there unless it is to be replaced.
    pub fn create(target: &Path, replace: bool) -> Result<Partial, Error> {
        refuse_present(target, replace)?;
        let fail = |error| Error::Write { path: target.to_owned(), error };
        let name = target.file_name().ok_or_else(|| fail(std::io::ErrorKind::InvalidFilename.into()))?;
        let path =
            target.with_file_name(format!("{}.{}.partial", name.to_string_lossy(), std::process::id()));
        // A program that is killed leaves it behind: its name is one that people see.
        // Never through a link that somebody has put there.
        let file = File::options().read(true).write(true).create_new(true).open(&path).map_err(fail)?;
        Ok(Partial { file, path, target: target.to_owned() })
    }

    /// Where it is written.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name it has meanwhile.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name it will have.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Gives it its name, and says how many bytes it has.
    pub fn finish(self, replace: bool) -> Result<u64, Error> {
        let fail = |error| Error::Write { path: self.target.clone(), error };
        self.file.sync_all().map_err(fail)?;
        let bytes = self.file.metadata().map_err(fail)?.len();
        refuse_present(&self.target, replace)?;
        fs::rename(&self.path, &self.target).map_err(fail)?;
        Ok(bytes)
    }
}

impl Drop for Partial {
    /// After [`Partial::finish`] there is nothing of that name.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

fn refuse_present(target: &Path, replace: bool) -> Result<(), Error> {
    // A link that leads nowhere is there too.
    match target.symlink_metadata() {
        Ok(_) if !replace => Err(Error::Exists { path: target.to_owned() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder");
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole_and_not_before() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("model.gguf");
        let partial = Partial::create(&target, false).expect("nothing is there");
        partial.file().write_all(b"half").expect("it is ours");
        assert!(!target.exists());
        drop(partial);
        assert_eq!(names(folder.path()), [""; 0]);

        let partial = Partial::create(&target, false).expect("nothing is there");
        partial.file().write_all(b"whole").expect("it is ours");
        assert_eq!(partial.finish(false).expect("it gets its name"), 5);
        assert_eq!(names(folder.path()), ["model.gguf"]);
    }

    #[test]
    fn what_is_there_is_replaced_on_request_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("model.gguf");
        let late = Partial::create(&target, false).expect("nothing is there");
        fs::write(&target, "old").expect("the folder is ours");
        assert!(matches!(late.finish(false), Err(Error::Exists { .. })));
        assert!(matches!(Partial::create(&target, false), Err(Error::Exists { .. })));
        assert_eq!(fs::read(&target).expect("it is there"), b"old");
        Partial::create(&target, true).expect("asked for").finish(true).expect("asked for");
        assert_eq!(fs::read(&target).expect("it is there"), b"");
        assert_eq!(names(folder.path()), ["model.gguf"]);
    }
}
