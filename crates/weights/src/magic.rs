//! What a file is by its first bytes, for files that are not what they were opened as.

use tensor::File;

/// A kind of file that is often found where weights should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Foreign {
    /// A Python pickle, which runs code when it is loaded.
    Pickle,
    /// A zip archive, as `torch.save` writes it around a pickle.
    Zip,
    /// A tape archive or a gzip stream.
    Archive,
    /// A GGUF file opened as something else.
    Gguf,
    /// A safetensors file opened as something else.
    SafeTensors,
    /// The stand-in that git leaves where a large file was not fetched.
    GitLfs,
    /// A web page, as a failed download leaves it.
    Html,
    /// An HDF5 container.
    Hdf5,
}

impl Foreign {
    /// What to call it, with its article.
    pub fn what(self) -> &'static str {
        match self {
            Foreign::Pickle => "a Python pickle (a PyTorch checkpoint), which can run code when it is loaded",
            Foreign::Zip => "a zip archive (a PyTorch checkpoint), which can run code when it is loaded",
            Foreign::Archive => "a compressed or tape archive",
            Foreign::Gguf => "a GGUF file",
            Foreign::SafeTensors => "a safetensors file",
            Foreign::GitLfs => "a git-lfs pointer",
            Foreign::Html => "a web page",
            Foreign::Hdf5 => "an HDF5 file",
        }
    }

    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Foreign::Pickle | Foreign::Zip | Foreign::Hdf5 => {
                "convert it to safetensors on a machine where you trust it"
            }
            Foreign::Archive => "unpack it first",
            Foreign::Gguf | Foreign::SafeTensors => "give it the ending that says so",
            Foreign::GitLfs => "fetch the real file with `git lfs pull`",
            Foreign::Html => "download it again",
        }
    }

    /// The kind that the file's first bytes show, if it is one of those known here.
    pub(crate) fn of(file: &File) -> Option<Foreign> {
        let mut head = [0; 265];
        let len = usize::try_from(file.len()).unwrap_or(usize::MAX).min(head.len());
        file.read_at(0, &mut head[..len]).ok()?;
        Foreign::of_head(&head[..len])
    }

    fn of_head(head: &[u8]) -> Option<Foreign> {
        const STARTS: [(&[u8], Foreign); 10] = [
            (b"PK\x03\x04", Foreign::Zip),
            (b"PK\x05\x06", Foreign::Zip),
            (b"GGUF", Foreign::Gguf),
            (b"version https://git-lfs", Foreign::GitLfs),
            (b"\x89HDF", Foreign::Hdf5),
            (b"\x1f\x8b", Foreign::Archive),
            (b"<!DOCTYPE", Foreign::Html),
            (b"<!doctype", Foreign::Html),
            (b"<html", Foreign::Html),
            (b"<HTML", Foreign::Html),
        ];
        if let Some((_, kind)) = STARTS.iter().find(|(start, _)| head.starts_with(start)) {
            return Some(*kind);
        }
        match head {
            [_, _, _, _, _, _, _, _, b'{', ..] => Some(Foreign::SafeTensors),
            [0x80, 2..=5, ..] => Some(Foreign::Pickle),
            _ if head.get(257..262) == Some(b"ustar") => Some(Foreign::Archive),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_told_apart() {
        assert_eq!(Foreign::of_head(b"PK\x03\x04...."), Some(Foreign::Zip));
        assert_eq!(Foreign::of_head(b"\x80\x02}q\x00."), Some(Foreign::Pickle));
        assert_eq!(Foreign::of_head(b"GGUF\x03\0\0\0"), Some(Foreign::Gguf));
        assert_eq!(Foreign::of_head(b"\x80\x02\0\0\0\0\0\0{\"a"), Some(Foreign::SafeTensors));
        assert_eq!(Foreign::of_head(b""), None);
    }
}
