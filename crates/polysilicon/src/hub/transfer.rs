//! The conversation with the hub, and the way of a file's bytes into the cache.
//!
//! Requests, addresses and the cache's layout are `hf-hub`'s. Its own download is not used: it makes paths of headers
//! that it has not checked, does not notice a file that is too short or too long, and waits for a silent server.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use hf_hub::api::sync::{Api, ApiBuilder};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use super::listing::{Fault, File, Listing};
use super::{Hub, HubError};

/// The longest list of files that is read, in bytes: some 100,000 files.
const LONGEST_LISTING: u64 = 32 << 20;

/// One model on a hub.
pub(super) struct Remote<'a> {
    id: &'a str,
    endpoint: &'a str,
    patience: Duration,
    api: Api,
    cache: CacheRepo,
}

/// A hub's answer with a body.
struct Answer<R> {
    /// The first byte of the file that the body holds.
    start: u64,
    body: R,
}

impl<'a> Remote<'a> {
    /// Sends nothing yet.
    pub fn open(hub: &'a Hub, id: &'a str) -> Result<Remote<'a>, HubError> {
        let cache = Cache::new(hub.cache.clone());
        let api = ApiBuilder::from_cache(cache.clone())
            .with_endpoint(hub.endpoint.clone())
            .with_token(hub.token.clone())
            .with_user_agent("polysilicon", env!("CARGO_PKG_VERSION"))
            .build();
        let api = api.map_err(|error| HubError::Unreachable {
            endpoint: hub.endpoint.clone(),
            error: error.to_string(),
        })?;
        Ok(Remote {
            id,
            endpoint: &hub.endpoint,
            patience: hub.patience,
            api,
            cache: cache.model(id.to_owned()),
        })
    }

    /// The files to download.
    pub fn listing(&self) -> Result<Listing, HubError> {
        let url = format!("{}/api/{}?blobs=true", self.endpoint, Repo::model(self.id.to_owned()).api_url());
        let mut json = Vec::new();
        let answer = self.ask(&url, 0)?;
        let read = answer.body.take(LONGEST_LISTING).read_to_end(&mut json);
        read.map_err(|error| self.unreachable(&error))?;
        Listing::parse(&json).map_err(|fault| match fault {
            Fault::Damaged(reason) => {
                HubError::Listing { endpoint: self.endpoint.to_owned(), id: self.id.to_owned(), reason }
            }
            Fault::Unsupported(reason) => {
                HubError::Unsupported { id: self.id.to_owned(), reason: reason.to_owned() }
            }
        })
    }

    /// Brings one file into the cache, unless it is there, and links it into the commit's snapshot.
    pub fn fetch(
        &self,
        folder: &Path,
        commit: &str,
        file: &File,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<(), HubError> {
        let link = self.cache.pointer_path(commit).join(&file.name);
        let blob = self.cache.blob_path(&file.blob);
        if is_whole(&link, file) {
            progress(&file.name, file.size, file.size);
            return Ok(());
        }
        for parent in [link.parent(), blob.parent()].into_iter().flatten() {
            fs::create_dir_all(parent).map_err(HubError::disk(folder))?;
        }
        // The name that hf-hub locks, so that its programs and this one keep out of each other's way.
        let lock_path = blob.with_extension("lock");
        let lock = fs::File::create(&lock_path).map_err(HubError::disk(&lock_path))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => HubError::Busy { file: file.name.clone() },
            TryLockError::Error(error) => HubError::Disk { path: lock_path, error },
        })?;
        if is_whole(&blob, file) {
            progress(&file.name, file.size, file.size);
        } else {
            self.complete(commit, &blob, file, progress)?;
        }
        place(&blob, &link).map_err(HubError::disk(&link))
    }

    /// Makes `main` stand for the commit in the cache.
    pub fn set_main(&self, commit: &str) -> io::Result<()> {
        self.cache.create_ref(commit)
    }

    /// Downloads what is missing of a blob's `.part`, which then becomes the blob.
    fn complete(
        &self,
        commit: &str,
        blob: &Path,
        file: &File,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<(), HubError> {
        let path = blob.with_extension("part");
        let disk = HubError::disk(&path);
        let mut part = OpenOptions::new().append(true).create(true).open(&path).map_err(&disk)?;
        let mut done = part.metadata().map_err(&disk)?.len();
        if done > file.size {
            part.set_len(0).map_err(&disk)?;
            done = 0;
        }
        progress(&file.name, done, file.size);
        if done < file.size {
            let pinned = Repo::with_revision(self.id.to_owned(), RepoType::Model, commit.to_owned());
            let answer = self.ask(&self.api.repo(pinned).url(&file.name), done)?;
            if answer.start != done {
                part.set_len(0).map_err(&disk)?;
            }
            pour(answer, &mut part, &path, file, progress)?;
        }
        part.sync_all().map_err(&disk)?;
        fs::rename(&path, blob).map_err(HubError::disk(blob))
    }

    /// Asks for the bytes from `start` on; the answer may hold all of them instead.
    fn ask(&self, url: &str, start: u64) -> Result<Answer<impl Read + use<>>, HubError> {
        // hf-hub hands out its agent only as the request for a listing, so the address is put in afterwards.
        let request = self.api.model(self.id.to_owned()).info_request().uri(url);
        let request = if start > 0 { request.header("Range", format!("bytes={start}-")) } else { request };
        let request = request
            .config()
            .http_status_as_error(false)
            .https_only(self.endpoint.starts_with("https:"))
            .timeout_resolve(Some(self.patience))
            .timeout_connect(Some(self.patience))
            .timeout_recv_response(Some(self.patience))
            .timeout_per_read(Some(self.patience))
            // Compressed bytes could not be counted, nor gone on with.
            .accept_encoding("identity")
            .build();
        let response = request.call().map_err(|error| self.unreachable(&error))?;
        let (head, body) = response.into_parts();
        let range =
            head.headers.get("Content-Range").and_then(|range| range.to_str().ok()).unwrap_or_default();
        let goes_on = range.starts_with(&format!("bytes {start}-"));
        match head.status.as_u16() {
            200 => Ok(Answer { start: 0, body: body.into_reader() }),
            206 if goes_on => Ok(Answer { start, body: body.into_reader() }),
            status => Err(self.refused(status)),
        }
    }

    fn refused(&self, status: u16) -> HubError {
        let (endpoint, id) = (self.endpoint.to_owned(), self.id.to_owned());
        match status {
            401 | 403 => HubError::Gated { endpoint, id, status },
            404 => HubError::NotFound { endpoint, id },
            _ => HubError::Refused { endpoint, id, status },
        }
    }

    fn unreachable(&self, error: &dyn std::error::Error) -> HubError {
        HubError::Unreachable { endpoint: self.endpoint.to_owned(), error: error.to_string() }
    }
}

/// Appends an answer to a `.part` until the file has its listed size.
fn pour(
    mut answer: Answer<impl Read>,
    part: &mut fs::File,
    path: &Path,
    file: &File,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<(), HubError> {
    let disk = HubError::disk(path);
    let mut done = answer.start;
    let broken =
        |done, reason: String| HubError::Broken { file: file.name.clone(), done, total: file.size, reason };
    let mut chunk = vec![0; 256 << 10];
    loop {
        let count = answer.body.read(&mut chunk).map_err(|error| broken(done, error.to_string()))?;
        if count == 0 {
            break;
        }
        if count as u64 > file.size - done {
            // Whatever these bytes are, they are not this file.
            part.set_len(0).map_err(&disk)?;
            return Err(broken(0, "the hub sent more than it had listed".to_owned()));
        }
        part.write_all(&chunk[..count]).map_err(&disk)?;
        done += count as u64;
        progress(&file.name, done, file.size);
    }
    match done == file.size {
        true => Ok(()),
        false => Err(broken(done, "the hub closed the connection".to_owned())),
    }
}

fn is_whole(path: &Path, file: &File) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() == file.size)
}

/// Makes a blob appear in a snapshot, in place of whatever is there.
fn place(blob: &Path, link: &Path) -> io::Result<()> {
    if link.symlink_metadata().is_ok() {
        fs::remove_file(link)?;
    }
    #[cfg(unix)]
    {
        // Relative, so that the cache can be moved.
        let name = blob.file_name().unwrap_or_default();
        std::os::unix::fs::symlink(Path::new("../../blobs").join(name), link)
    }
    // Where links need special rights, the cache holds the file itself, as the Python tools do there.
    #[cfg(not(unix))]
    fs::rename(blob, link)
}
