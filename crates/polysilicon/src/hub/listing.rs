//! The hub's list of a model's files: checked, and reduced to those a model is opened from.

use serde_json::Value;

/// Files that are taken wherever they are listed.
const SMALL: [&str; 6] = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "model.safetensors.index.json",
];

/// What to download.
pub(super) struct Listing {
    /// The commit that `main` stands for, fit to be the name of a folder.
    pub commit: String,
    pub files: Vec<File>,
}

/// A file to download.
pub(super) struct File {
    /// Its name, fit for a path and for an address.
    pub name: String,
    /// Its length in bytes.
    pub size: u64,
    /// The hash the cache files it under, fit to be the name of a file.
    pub blob: String,
}

/// Why a listing cannot be used.
pub(super) enum Fault {
    /// It is damaged or hostile.
    Damaged(String),
    /// The model is not of a kind that is downloaded.
    Unsupported(&'static str),
}

impl Listing {
    /// Reads the JSON of the hub's answer to `/api/models/ID/revision/main?blobs=true`.
    pub fn parse(json: &[u8]) -> Result<Listing, Fault> {
        let answer: Value = serde_json::from_slice(json)
            .map_err(|error| Fault::Damaged(format!("it is not the JSON of a hub ({error})")))?;
        let commit = answer["sha"].as_str().filter(|sha| is_hash(sha));
        let commit = commit.ok_or_else(|| Fault::Damaged("its `sha` is no commit".to_owned()))?;
        let siblings = answer["siblings"].as_array();
        let siblings = siblings.ok_or_else(|| Fault::Damaged("it has no `siblings`".to_owned()))?;

        let names: Vec<&str> = siblings.iter().filter_map(|sibling| sibling["rfilename"].as_str()).collect();
        check_paths(&names)?;
        check_kind(&names)?;
        // Where weights go by their usual name, other safetensors are the same model once more, in another layout.
        let usual = names.iter().any(|name| is_weights(name) && name.starts_with("model"));
        let is_wanted =
            |name: &str| SMALL.contains(&name) || (is_weights(name) && (!usual || name.starts_with("model")));
        let wanted = siblings.iter().filter(|sibling| sibling["rfilename"].as_str().is_some_and(is_wanted));
        Ok(Listing { commit: commit.to_owned(), files: wanted.map(File::parse).collect::<Result<_, _>>()? })
    }
}

impl File {
    fn parse(sibling: &Value) -> Result<File, Fault> {
        let name = sibling["rfilename"].as_str().unwrap_or_default();
        let damaged = |what: &str| Fault::Damaged(format!("{} {what}", show(name)));
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return Err(damaged("has characters other than letters, digits, `-`, `_` and `.`"));
        }
        // Large files stand in the repository as pointers; their size and hash are those of what is pointed to.
        let large = &sibling["lfs"];
        let (size, blob) = match large.is_object() {
            true => (&large["size"], &large["sha256"]),
            false => (&sibling["size"], &sibling["blobId"]),
        };
        let size = size.as_u64().ok_or_else(|| damaged("has no size"))?;
        let blob = blob.as_str().filter(|blob| is_hash(blob)).ok_or_else(|| damaged("has no hash"))?;
        Ok(File { name: name.to_owned(), size, blob: blob.to_owned() })
    }
}

/// Whether a word can be a hash: letters and digits only, so that as a path it names one entry of its folder.
pub(super) fn is_hash(word: &str) -> bool {
    (1..=64).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Refuses the whole listing for one path that leaves its folder: a hub that sends one means no good.
fn check_paths(names: &[&str]) -> Result<(), Fault> {
    let leaves = |name: &str| {
        let is_step = |part: &str| part.is_empty() || part == "." || part == "..";
        name.split('/').any(is_step) || name.chars().any(|char| char == '\\' || char.is_control())
    };
    match names.iter().find(|name| leaves(name)) {
        Some(name) => Err(Fault::Damaged(format!("{} is no path inside the model's folder", show(name)))),
        None => Ok(()),
    }
}

/// Says what to do about a model that is not stored as safetensors.
fn check_kind(names: &[&str]) -> Result<(), Fault> {
    let any = |endings: &[&str]| names.iter().any(|name| endings.iter().any(|ending| name.ends_with(ending)));
    let reason = match names.iter().any(|name| is_weights(name)) {
        true if names.contains(&"config.json") => return Ok(()),
        true => "it has no config.json, which says how its weights are to be read",
        false if any(&[".gguf"]) => {
            "it holds GGUF instead of safetensors; download the one file you want from its page and give its path"
        }
        false if any(&[".bin", ".pt", ".pth", ".pickle", ".pkl"]) => {
            "its weights are pickles, which can run code when they are opened; convert them to safetensors first"
        }
        false => "it holds no safetensors",
    };
    Err(Fault::Unsupported(reason))
}

/// Whether a file holds weights at the top of the repository; folders such as `onnx/` hold them once more.
fn is_weights(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains('/')
}

/// A name out of a listing, made fit for a sentence.
fn show(name: &str) -> String {
    format!("{:?}", name.chars().take(80).collect::<String>())
}
