//! Compiled kernels, kept in the user's cache directory: a file each, named by everything that decides its bytes.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A kernel is some tens of kilobytes.
const BYTES_MAX: u64 = 64 << 20;
/// The first bytes of a file; another form of file gets another number.
const MAGIC: &[u8; 16] = b"polysilicon k 1\n";

/// The cache.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// The user's: `polysilicon/kernels` below `XDG_CACHE_HOME` or `~/.cache`.
    pub fn of_user() -> Option<Cache> {
        let absolute = |variable: &str| {
            let path = PathBuf::from(std::env::var_os(variable)?);
            path.is_absolute().then_some(path)
        };
        let cache = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Cache::at(&cache.join("polysilicon").join("kernels")))
    }

    /// In a folder, which is made when something is written.
    pub fn at(folder: &Path) -> Cache {
        Cache { folder: folder.to_owned() }
    }

    /// What was kept under a key; nothing where that is not whole.
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.folder.join(key);
        // Opening a pipe would wait for its writer.
        if !fs::metadata(&path).ok()?.is_file() {
            return None;
        }
        let mut bytes = vec![];
        fs::File::open(&path).ok()?.take(BYTES_MAX).read_to_end(&mut bytes).ok()?;
        let rest = bytes.strip_prefix(MAGIC)?;
        let (sum, code) = rest.split_at_checked(32)?;
        (sum == key_of(code).as_bytes()).then(|| code.to_vec())
    }

    /// Keeps bytes: a reader finds the file before or the file after, whole.
    pub fn write(&self, key: &str, code: &[u8]) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let new = self.folder.join(format!(".{key}.{}", std::process::id()));
        // A process of this number may have left one behind.
        let _ = fs::remove_file(&new);
        let mut file = fs::File::create_new(&new)?;
        let bytes = [MAGIC.as_slice(), key_of(code).as_bytes(), code].concat();
        let kept = file.write_all(&bytes).and_then(|()| fs::rename(&new, self.folder.join(key)));
        if kept.is_err() {
            let _ = fs::remove_file(&new);
        }
        kept
    }
}

/// The key of what these texts decide together.
pub(super) fn key(parts: &[&str]) -> String {
    let lengths = parts.iter().map(|part| format!("{} ", part.len())).collect::<String>();
    key_of((lengths + &parts.concat()).as_bytes())
}

/// FNV-1a of 128 bits, as 32 digits.
fn key_of(bytes: &[u8]) -> String {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
    let step = |hash: u128, &byte: &u8| (hash ^ u128::from(byte)).wrapping_mul(PRIME);
    format!("{:032x}", bytes.iter().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_and_what_is_broken_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let cache = Cache::at(&folder.path().join("kernels"));
        let key = key(&["text", "options"]);
        assert_eq!(cache.read(&key), None);
        cache.write(&key, b"code").expect("it is written");
        assert_eq!(cache.read(&key).as_deref(), Some(&b"code"[..]));
        cache.write(&key, b"other").expect("it is replaced");
        assert_eq!(cache.read(&key).as_deref(), Some(&b"other"[..]));
        let path = folder.path().join("kernels").join(&key);
        let whole = fs::read(&path).expect("the file");
        for broken in [&whole[..whole.len() - 1], &whole[..20], b"", &[&whole[..], b"x"].concat()] {
            fs::write(&path, broken).expect("it is written");
            assert_eq!(cache.read(&key), None);
        }
    }

    #[test]
    fn keys_tell_parts_apart() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_ne!(key(&["a"]), key(&["a", ""]));
        assert_eq!(key(&["a"]).len(), 32);
    }
}
