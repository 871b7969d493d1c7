//! Why a model could not be had from the hub or its cache.

use std::io;
use std::path::{Path, PathBuf};

/// Why a model could not be had from the hub or its cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// The name is no hub id.
    #[error("`{}` is no hub id: write it as `org/name`", .id.escape_debug())]
    NotAnId {
        /// What was asked for.
        id: String,
    },
    /// The hub has no such model.
    #[error("{endpoint} has no model `{id}`: check the spelling, and set HF_TOKEN if the model is private")]
    NotFound {
        /// The hub.
        endpoint: String,
        /// The model.
        id: String,
    },
    /// The hub shows the model, if it exists, only to those who may see it.
    #[error(
        "{endpoint} does not hand out `{id}` (HTTP {status}): check the spelling, accept the model's terms on its \
         page if it has any, and set HF_TOKEN to a token that may read it"
    )]
    Gated {
        /// The hub.
        endpoint: String,
        /// The model.
        id: String,
        /// The HTTP status, 401 or 403.
        status: u16,
    },
    /// The hub answered, but not with what was asked for.
    #[error("{endpoint} answered HTTP {status} when asked for `{id}`: try again later")]
    Refused {
        /// The hub.
        endpoint: String,
        /// The model.
        id: String,
        /// The HTTP status.
        status: u16,
    },
    /// No answer from the hub.
    #[error(
        "{endpoint} could not be reached ({error}): check the network, or give the path of a model on this machine"
    )]
    Unreachable {
        /// The hub.
        endpoint: String,
        /// What the connection said.
        error: String,
    },
    /// The hub's list of the model's files contradicts itself or is hostile.
    #[error("the file list of `{id}` from {endpoint} cannot be used: {reason}; nothing was downloaded")]
    Listing {
        /// The hub.
        endpoint: String,
        /// The model.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The model has no files of a kind that is downloaded.
    #[error("`{id}` cannot be downloaded: {reason}")]
    Unsupported {
        /// The model.
        id: String,
        /// What it lacks, and what to do.
        reason: String,
    },
    /// The connection broke in the middle of a file.
    #[error(
        "the download of {file} broke off after {done} of {total} bytes ({reason}): run it again to go on from there"
    )]
    Broken {
        /// The file.
        file: String,
        /// Bytes that are here.
        done: u64,
        /// Bytes of the file.
        total: u64,
        /// What happened.
        reason: String,
    },
    /// Another process downloads the same file.
    #[error("another process is downloading {file}: wait until it has ended, then run this again")]
    Busy {
        /// The file.
        file: String,
    },
    /// The cache could not be written.
    #[error("{} could not be written ({error}): check the rights and the free space there", .path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The cache contradicts itself.
    #[error("the hub cache in {} is damaged: {reason}; delete that folder and download the model again", .folder.display())]
    Damaged {
        /// The model's folder in the cache.
        folder: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl HubError {
    /// Says of which path a system's error speaks.
    pub(super) fn disk(path: &Path) -> impl Fn(io::Error) -> HubError {
        move |error| HubError::Disk { path: path.to_owned(), error }
    }
}
