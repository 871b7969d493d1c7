//! Models by their hub id (`org/name`): found in the cache that the Hugging Face tools share, or downloaded into it.
//!
//! The hub, or whatever mirror stands in for it, is not trusted with this machine's files: every word of its listing
//! that becomes part of a path is checked first, no file grows beyond its listed size, and a silent server is left.

mod error;
mod listing;
mod transfer;

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hf_hub::Repo;

pub use error::HubError;
use transfer::Remote;

/// Whether `model` looks like a hub id: `org/name` in the hub's characters, at most 96 of them.
///
/// `models/tiny` looks like one too, so callers look for a file or folder of that name first.
pub fn is_id(model: &str) -> bool {
    let is_word = |word: &str| {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !word.is_empty()
            && word.bytes().all(legal)
            && !word.starts_with(['-', '.'])
            && !word.ends_with(['-', '.'])
    };
    let is_pair = model.split_once('/').is_some_and(|(org, name)| is_word(org) && is_word(name));
    // The cache writes `--` for the slash, so an id with `--` could take the folder of another model.
    is_pair && model.len() <= 96 && !model.contains("..") && !model.contains("--")
}

/// A hub and the local cache of what came from it.
pub struct Hub {
    cache: PathBuf,
    endpoint: String,
    token: Option<String>,
    patience: Duration,
}

impl Hub {
    /// The hub and cache that the Hugging Face tools use here: `HF_HUB_CACHE` or `HF_HOME` place the cache,
    /// `HF_ENDPOINT` names a mirror, `HF_TOKEN` or the token file of `hf auth login` opens gated models.
    pub fn from_env() -> Hub {
        Hub::from_vars(|name| std::env::var_os(name))
    }

    /// A cache in a folder of the caller's choice, filled from `endpoint` or the public hub, with no token.
    pub fn new(cache_dir: impl Into<PathBuf>, endpoint: Option<String>) -> Hub {
        let endpoint = endpoint.unwrap_or_else(|| "https://huggingface.co".to_owned());
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        Hub { cache: cache_dir.into(), endpoint, token: None, patience: Duration::from_secs(60) }
    }

    /// The folder of the model's files in the local cache (revision `main`), if it holds a `config.json` or a
    /// `.gguf` file. Asks no server.
    pub fn cached(&self, id: &str) -> Result<Option<PathBuf>, HubError> {
        let folder = self.folder(id)?;
        let Some(commit) = read_ref(&folder)? else { return Ok(None) };
        let damaged = |reason: String| HubError::Damaged { folder: folder.clone(), reason };
        if !listing::is_hash(&commit) {
            return Err(damaged(format!("refs/main holds {commit:?}, which is no commit")));
        }
        let snapshot = folder.join("snapshots").join(&commit);
        if !snapshot.is_dir() {
            return Err(damaged(format!("refs/main names the commit {commit}, whose snapshot is missing")));
        }
        let opens = holds_model(&snapshot)
            .map_err(|error| damaged(format!("its snapshot cannot be read: {error}")))?;
        Ok(opens.then_some(snapshot))
    }

    /// Downloads what is missing of the model's configuration, tokenizer, template and safetensors (revision `main`)
    /// and returns their folder. A download that broke off goes on where it stopped.
    ///
    /// `progress` hears a file's name, its bytes done and its bytes in all; of a file that is already there, once.
    /// No code is ever fetched: a model that exists only as `.bin`, `.pt`, `.pth` or `.pickle` is refused.
    pub fn download(&self, id: &str, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<PathBuf, HubError> {
        let folder = self.folder(id)?;
        let remote = Remote::open(self, id)?;
        let listing = remote.listing()?;
        for file in &listing.files {
            remote.fetch(&folder, &listing.commit, file, progress)?;
        }
        // Last, so that `cached` never finds a download that has not ended.
        remote.set_main(&listing.commit).map_err(HubError::disk(&folder))?;
        Ok(folder.join("snapshots").join(&listing.commit))
    }

    fn folder(&self, id: &str) -> Result<PathBuf, HubError> {
        if !is_id(id) {
            return Err(HubError::NotAnId { id: id.to_owned() });
        }
        Ok(self.cache.join(Repo::model(id.to_owned()).folder_name()))
    }

    fn from_vars(var: impl Fn(&str) -> Option<OsString>) -> Hub {
        let set = |name| var(name).filter(|value| !value.is_empty());
        let path = |name| set(name).map(PathBuf::from);
        let text = |name| set(name).and_then(|value| value.into_string().ok());

        let home = path("HF_HOME").unwrap_or_else(|| {
            let user = || std::env::home_dir().unwrap_or_default().join(".cache");
            path("XDG_CACHE_HOME").unwrap_or_else(user).join("huggingface")
        });
        let cache = path("HF_HUB_CACHE").unwrap_or_else(|| home.join("hub"));
        let saved = || fs::read_to_string(path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"))).ok();
        let token = text("HF_TOKEN").or_else(saved).map(|token| token.trim().to_owned());
        let token = token.filter(|token| !token.is_empty());
        Hub { token, ..Hub::new(cache, text("HF_ENDPOINT")) }
    }
}

/// What `refs/main` says, or none where the model was never cached.
fn read_ref(folder: &Path) -> Result<Option<String>, HubError> {
    let damaged = |error: io::Error| HubError::Damaged {
        folder: folder.to_owned(),
        reason: format!("refs/main cannot be read: {error}"),
    };
    let path = folder.join("refs").join("main");
    match fs::metadata(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(damaged(error)),
        // Reading a pipe would wait for ever.
        Ok(meta) if !meta.is_file() => return Err(damaged(io::Error::other("it is not a file"))),
        Ok(_) => {}
    }
    let mut text = String::new();
    let file = fs::File::open(&path).map_err(damaged)?;
    file.take(256).read_to_string(&mut text).map_err(damaged)?;
    Ok(Some(text.trim().to_owned()))
}

/// Whether a snapshot can be opened as a model. A link whose blob is gone does not count.
fn holds_model(snapshot: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(snapshot)? {
        let path = entry?.path();
        let named = path.ends_with("config.json") || path.extension().is_some_and(|ending| ending == "gguf");
        if named && path.is_file() {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn with(vars: &[(&str, &str)]) -> Hub {
        let vars: Vec<_> =
            vars.iter().map(|(name, value)| (name.to_string(), OsString::from(value))).collect();
        Hub::from_vars(|wanted| vars.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone()))
    }

    #[test]
    fn the_environment_places_the_cache() {
        assert_eq!(with(&[("HF_HUB_CACHE", "/c"), ("HF_HOME", "/h")]).cache, Path::new("/c"));
        assert_eq!(with(&[("HF_HUB_CACHE", ""), ("HF_HOME", "/h")]).cache, Path::new("/h/hub"));
        assert_eq!(with(&[("XDG_CACHE_HOME", "/x")]).cache, Path::new("/x/huggingface/hub"));
        assert!(with(&[]).cache.ends_with(".cache/huggingface/hub"));
    }

    #[test]
    fn the_environment_names_the_endpoint() {
        assert_eq!(with(&[]).endpoint, "https://huggingface.co");
        assert_eq!(with(&[("HF_ENDPOINT", "https://mirror.example/")]).endpoint, "https://mirror.example");
    }

    #[test]
    fn the_token_comes_from_the_environment_or_the_login() {
        let home = tempfile::tempdir().unwrap();
        let home_var = ("HF_HOME", home.path().to_str().unwrap());
        assert_eq!(with(&[home_var]).token, None);
        fs::write(home.path().join("token"), "hf_saved\n").unwrap();
        assert_eq!(with(&[home_var]).token.as_deref(), Some("hf_saved"));
        assert_eq!(with(&[home_var, ("HF_TOKEN", "hf_set")]).token.as_deref(), Some("hf_set"));
    }

    /// Sends `reply` to one request and holds the line until the client leaves. Returns the endpoint, then the request.
    fn serve_once(reply: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let request = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            stream.write_all(reply.as_bytes()).unwrap();
            let mut request = Vec::new();
            let _ = stream.read_to_end(&mut request);
            String::from_utf8(request).unwrap()
        });
        (endpoint, request)
    }

    #[test]
    fn a_server_that_falls_silent_is_left() {
        for reply in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"] {
            let (endpoint, request) = serve_once(reply);
            let cache = tempfile::tempdir().unwrap();
            let hub = Hub { patience: Duration::from_millis(200), ..Hub::new(cache.path(), Some(endpoint)) };
            let error = hub.download("org/name", &mut |_, _, _| {}).unwrap_err();
            assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
            request.join().unwrap();
        }
    }

    #[test]
    fn the_token_is_shown_to_the_hub_and_not_in_errors() {
        let (endpoint, request) =
            serve_once("HTTP/1.1 401 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let home = tempfile::tempdir().unwrap();
        let vars = [
            ("HF_HOME", home.path().to_str().unwrap()),
            ("HF_ENDPOINT", &endpoint),
            ("HF_TOKEN", "hf_secret"),
        ];
        let error = with(&vars).download("org/name", &mut |_, _, _| {}).unwrap_err();
        assert!(matches!(error, HubError::Gated { .. }), "{error}");
        assert!(!error.to_string().contains("hf_secret"), "{error}");
        let request = request.join().unwrap().to_ascii_lowercase();
        assert!(request.starts_with("get /api/models/org/name/revision/main?blobs=true "), "{request}");
        assert!(request.contains("authorization: bearer hf_secret"), "{request}");
    }
}
