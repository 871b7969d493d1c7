//! Downloads from a stand-in for the hub on this machine, friendly and otherwise.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod hub_server;

use std::fs;
use std::path::{Path, PathBuf};

use hub_server::{Reply, Server};
use polysilicon::hub::{Hub, HubError, is_id};
use tempfile::TempDir;

const ID: &str = "org/tiny-model";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const WEIGHTS: &str = "model.safetensors";

/// Bytes no two stretches of which are alike, so that a wrong offset shows.
fn weights() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// A model as the hub would hold it: what is opened, and what is left where it is.
fn model() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (".gitattributes", b"x".to_vec()),
        ("chat_template.jinja", b"{{ messages }}".to_vec()),
        ("config.json", b"{}".to_vec()),
        ("consolidated.safetensors", b"twice".to_vec()),
        ("generation_config.json", b"{\"eos_token_id\": 1}".to_vec()),
        (WEIGHTS, weights()),
        ("onnx/model.safetensors", b"again".to_vec()),
        ("original/config.json", b"again".to_vec()),
        ("pytorch_model.bin", b"pickle".to_vec()),
        ("tokenizer.json", Vec::new()),
        ("tokenizer_config.json", b"{ }".to_vec()),
    ]
}

fn named<'a>(names: &[&'a str]) -> Vec<(&'a str, Vec<u8>)> {
    names.iter().map(|name| (*name, b"{}".to_vec())).collect()
}

fn hub(server: &Server, cache: &TempDir) -> Hub {
    Hub::new(cache.path(), Some(server.endpoint()))
}

fn download(hub: &Hub) -> Result<PathBuf, HubError> {
    hub.download(ID, &mut |_, _, _| {})
}

fn folder(cache: &TempDir) -> PathBuf {
    cache.path().join("models--org--tiny-model")
}

/// Every file and link below a folder, by its path from there.
fn files_below(folder: &Path) -> Vec<String> {
    let mut folders = vec![folder.to_owned()];
    let mut files = Vec::new();
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => files.push(entry.path().strip_prefix(folder).unwrap().to_str().unwrap().to_owned()),
            }
        }
    }
    files.sort();
    files
}

#[test]
fn ids() {
    for id in ["org/name", "Qwen/Qwen2.5-0.5B-Instruct", "a/b", "_o/n_1"] {
        assert!(is_id(id), "{id}");
    }
    let long = format!("org/{}", "n".repeat(93));
    let others = [
        "",
        "name",
        "/",
        "org/",
        "/name",
        "a/b/c",
        "../name",
        "org/..",
        "org/a..b",
        "a--b/c",
        "org/.name",
        "org/name.",
        "org/-n",
        "org/na me",
        "org/näme",
        "org\\name",
        "C:/name",
        "https://a/b",
        "org/name\n",
        "org/%2e%2e",
        &long,
    ];
    for other in others {
        assert!(!is_id(other), "{other:?}");
        let error = Hub::new("nowhere", None).cached(other).unwrap_err();
        assert!(matches!(error, HubError::NotAnId { .. }), "{error}");
    }
}

#[test]
fn a_download_arrives_whole_and_is_found_again() {
    let server = Server::of(ID, COMMIT, model());
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, &cache);
    assert_eq!(hub.cached(ID).unwrap(), None);

    let mut told = Vec::new();
    let snapshot =
        hub.download(ID, &mut |file, done, total| told.push((file.to_owned(), done, total))).unwrap();

    assert_eq!(snapshot, folder(&cache).join("snapshots").join(COMMIT));
    assert_eq!(hub.cached(ID).unwrap(), Some(snapshot.clone()));
    assert_eq!(fs::read_to_string(folder(&cache).join("refs/main")).unwrap(), COMMIT);
    let taken = [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        WEIGHTS,
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(files_below(&snapshot), taken);
    for (name, bytes) in model().into_iter().filter(|(name, _)| taken.contains(name)) {
        assert_eq!(fs::read(snapshot.join(name)).unwrap(), bytes, "{name}");
        let last = told.iter().rfind(|(file, _, _)| file == name).unwrap();
        assert_eq!((last.1, last.2), (bytes.len() as u64, bytes.len() as u64), "{name}");
    }
}

#[test]
fn a_second_download_fetches_only_what_is_missing() {
    let server = Server::of(ID, COMMIT, model());
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, &cache);
    let snapshot = download(&hub).unwrap();
    fs::remove_file(snapshot.join("config.json").canonicalize().unwrap()).unwrap();

    assert_eq!(download(&hub).unwrap(), snapshot);
    assert_eq!(server.requests_for(WEIGHTS), 1);
    assert_eq!(server.requests_for("config.json"), 2);
    assert_eq!(fs::read(snapshot.join("config.json")).unwrap(), b"{}");
}

#[test]
fn a_new_commit_shares_unchanged_files() {
    let cache = tempfile::tempdir().unwrap();
    download(&hub(&Server::of(ID, COMMIT, model()), &cache)).unwrap();
    let newer = "f".repeat(40);
    let mut changed = model();
    changed[2].1 = b"{\"changed\": 1}".to_vec();
    let server = Server::of(ID, &newer, changed);

    let snapshot = download(&hub(&server, &cache)).unwrap();
    assert!(snapshot.ends_with(&newer));
    assert_eq!(server.requests_for(WEIGHTS), 0);
    assert_eq!(fs::read(snapshot.join(WEIGHTS)).unwrap(), weights());
    assert_eq!(fs::read(snapshot.join("config.json")).unwrap(), b"{\"changed\": 1}");
}

#[test]
fn a_cut_connection_is_an_error_and_a_retry_goes_on_from_there() {
    let server = Server::of(ID, COMMIT, model());
    server.next_reply_for(WEIGHTS, Reply::Cut(300_000));
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&server, &cache);

    let error = download(&hub).unwrap_err();
    let HubError::Broken { ref file, done, total, .. } = error else { panic!("{error}") };
    assert_eq!((file.as_str(), total), (WEIGHTS, weights().len() as u64));
    assert!((1..=300_000).contains(&done), "{done}");
    assert_eq!(hub.cached(ID).unwrap(), None, "a download that has not ended is not a model");

    let snapshot = download(&hub).unwrap();
    assert_eq!(fs::read(snapshot.join(WEIGHTS)).unwrap(), weights());
    assert_eq!(server.last_start_of(WEIGHTS), done, "the retry asked for the rest only");
}

#[test]
fn a_server_that_cannot_go_on_is_read_from_the_start() {
    let server = Server::of(ID, COMMIT, model());
    server.next_reply_for(WEIGHTS, Reply::Cut(300_000));
    let cache = tempfile::tempdir().unwrap();
    download(&hub(&server, &cache)).unwrap_err();
    server.next_reply_for(WEIGHTS, Reply::IgnoreRange);
    let snapshot = download(&hub(&server, &cache)).unwrap();
    assert_eq!(fs::read(snapshot.join(WEIGHTS)).unwrap(), weights());
}

#[test]
fn leftover_parts_of_any_length_do_not_spoil_the_file() {
    let server = Server::of(ID, COMMIT, model());
    let cache = tempfile::tempdir().unwrap();
    let blobs = folder(&cache).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let part = blobs.join(hub_server::hash(WEIGHTS, &weights())).with_extension("part");
    for (leftover, requests) in [(weights(), 0), (weights().repeat(2), 1)] {
        let server_before = server.requests_for(WEIGHTS);
        fs::write(&part, leftover).unwrap();
        let _ = fs::remove_file(part.with_extension(""));
        let snapshot = download(&hub(&server, &cache)).unwrap();
        assert_eq!(fs::read(snapshot.join(WEIGHTS)).unwrap(), weights());
        assert_eq!(server.requests_for(WEIGHTS) - server_before, requests);
    }
}

#[test]
fn a_file_of_another_length_than_listed_is_refused() {
    for reply in [Reply::Longer, Reply::Shorter] {
        let server = Server::of(ID, COMMIT, model());
        server.next_reply_for(WEIGHTS, reply);
        let cache = tempfile::tempdir().unwrap();
        let hub = hub(&server, &cache);
        let error = download(&hub).unwrap_err();
        assert!(matches!(error, HubError::Broken { .. }), "{error}");
        assert_eq!(fs::read(download(&hub).unwrap().join(WEIGHTS)).unwrap(), weights());
    }
}

#[test]
fn two_downloads_of_one_file_do_not_mix() {
    let server = Server::of(ID, COMMIT, model());
    let cache = tempfile::tempdir().unwrap();
    let blobs = folder(&cache).join("blobs");
    fs::create_dir_all(&blobs).unwrap();
    let other =
        fs::File::create(blobs.join(hub_server::hash(WEIGHTS, &weights())).with_extension("lock")).unwrap();
    other.lock().unwrap();
    let error = download(&hub(&server, &cache)).unwrap_err();
    assert!(matches!(error, HubError::Busy { ref file } if file == WEIGHTS), "{error}");
    drop(other);
    download(&hub(&server, &cache)).unwrap();
}

#[test]
fn each_refusal_says_what_to_do() {
    let cases = [
        (404, "check the spelling"),
        (401, "set HF_TOKEN"),
        (403, "accept the model's terms"),
        (503, "later"),
    ];
    for (status, advice) in cases {
        // The list of a gated model is public, its files are not.
        for name in ["main?blobs=true", "config.json"] {
            let server = Server::of(ID, COMMIT, model());
            server.next_reply_for(name, Reply::Status(status));
            let cache = tempfile::tempdir().unwrap();
            let error = download(&hub(&server, &cache)).unwrap_err();
            let right = match status {
                404 => matches!(error, HubError::NotFound { .. }),
                401 | 403 => matches!(error, HubError::Gated { .. }),
                _ => matches!(error, HubError::Refused { status: 503, .. }),
            };
            assert!(right, "{error}");
            let sentence = error.to_string();
            assert!(sentence.contains(ID) && sentence.contains(advice), "{sentence}");
        }
    }
}

#[test]
fn a_redirect_to_nowhere_is_an_error() {
    let server = Server::of(ID, COMMIT, model());
    server.next_reply_for("config.json", Reply::Status(302));
    let cache = tempfile::tempdir().unwrap();
    download(&hub(&server, &cache)).unwrap_err();
}

#[test]
fn no_network_is_an_error() {
    let server = Server::of(ID, COMMIT, model());
    let endpoint = server.endpoint();
    drop(server);
    let cache = tempfile::tempdir().unwrap();
    let error = download(&Hub::new(cache.path(), Some(endpoint))).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
    let error = download(&Hub::new(cache.path(), Some("not an address".to_owned()))).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error}");
}

#[test]
fn encryption_is_built_in() {
    let first_byte = hub_server::first_byte_of(|endpoint| {
        let cache = tempfile::tempdir().unwrap();
        download(&Hub::new(cache.path(), Some(endpoint.replace("http:", "https:")))).unwrap_err();
    });
    assert_eq!(first_byte, 0x16, "a TLS connection begins with a handshake record");
}

#[test]
fn models_without_safetensors_say_what_to_do() {
    let cases: [(&[&str], &str); 5] = [
        (&["config.json", "pytorch_model.bin"], "convert"),
        (&["config.json", "a.pt", "onnx/model.safetensors"], "convert"),
        (&["README.md", "tiny.gguf"], "GGUF"),
        (&["README.md"], "no safetensors"),
        (&["model.safetensors"], "no config.json"),
    ];
    for (names, word) in cases {
        let server = Server::of(ID, COMMIT, named(names));
        let cache = tempfile::tempdir().unwrap();
        let error = download(&hub(&server, &cache)).unwrap_err();
        assert!(matches!(error, HubError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
        assert_eq!(server.requests(), 1, "nothing but the list was asked for");
    }
}

#[test]
fn weights_by_another_name_are_taken_where_there_are_no_usual_ones() {
    let server = Server::of(ID, COMMIT, named(&["config.json", "weights.safetensors"]));
    let cache = tempfile::tempdir().unwrap();
    let snapshot = download(&hub(&server, &cache)).unwrap();
    assert_eq!(files_below(&snapshot), ["config.json", "weights.safetensors"]);
}

#[test]
fn hostile_names_are_refused_before_anything_is_written() {
    let names = [
        "../evil.safetensors",
        "/etc/evil.safetensors",
        "a/../../evil.safetensors",
        "..\\evil.safetensors",
        "c:evil.safetensors",
        "%2e%2e%2fevil.safetensors",
        "evil?.safetensors",
        "evil\n.safetensors",
        "./evil.safetensors",
        "a//evil.safetensors",
        "..",
        "",
    ];
    for name in names {
        let server = Server::of(ID, COMMIT, named(&["config.json", "plain.safetensors", name]));
        expect_bad_listing(&server, name);
    }
}

#[test]
fn hostile_hashes_are_refused_before_anything_is_written() {
    for hash in ["../../../evil", "/etc/evil", "a/b", "a.b", "", "..", &"a".repeat(65)] {
        expect_bad_listing(&Server::of(ID, hash, model()), hash);
        for large in [false, true] {
            let file = match large {
                true => format!(
                    r#"{{"rfilename": "model.safetensors", "lfs": {{"sha256": "{hash}", "size": 2}}}}"#
                ),
                false => format!(r#"{{"rfilename": "model.safetensors", "blobId": "{hash}", "size": 2}}"#),
            };
            let config = r#"{"rfilename": "config.json", "blobId": "00", "size": 2}"#;
            let listing = format!(r#"{{"sha": "{COMMIT}", "siblings": [{config}, {file}]}}"#);
            expect_bad_listing(&Server::listing(&listing), hash);
        }
    }
}

#[test]
fn listings_that_are_none_are_refused() {
    let deep = "[".repeat(100_000);
    let listings = [
        "",
        "<html>",
        "[]",
        "null",
        "{}",
        &deep,
        r#"{"sha": 1, "siblings": []}"#,
        r#"{"sha": "ab", "siblings": {}}"#,
        r#"{"sha": "ab", "siblings": [{"rfilename": "config.json"}, {"rfilename": "model.safetensors"}]}"#,
        r#"{"sha": "ab", "siblings": [{"rfilename": "config.json", "size": -1, "blobId": "00"},
            {"rfilename": "model.safetensors", "size": 1e99, "blobId": "00"}]}"#,
    ];
    for listing in listings {
        expect_bad_listing(&Server::listing(listing), listing);
    }
}

fn expect_bad_listing(server: &Server, what: &str) {
    let above = tempfile::tempdir().unwrap();
    let cache = above.path().join("deep").join("cache");
    let hub = Hub::new(cache, Some(server.endpoint()));
    let error = download(&hub).unwrap_err();
    assert!(matches!(error, HubError::Listing { .. }), "{what:?}: {error}");
    assert!(error.to_string().len() < 500, "{error}");
    assert_eq!(files_below(above.path()), [""; 0], "{what:?}");
    assert_eq!(server.requests(), 1, "{what:?}: nothing but the list was asked for");
}

#[test]
fn a_damaged_cache_is_an_error() {
    let cases: [(&str, &[u8]); 6] = [
        ("traversal", b"../../../../etc"),
        ("absolute", b"/etc"),
        ("empty", b""),
        ("not text", &[0xff, 0xfe]),
        ("no snapshot", b"0123"),
        ("long", &[b'a'; 5000]),
    ];
    for (what, text) in cases {
        let cache = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder(&cache).join("refs")).unwrap();
        fs::write(folder(&cache).join("refs/main"), text).unwrap();
        expect_damage(&cache, what);
    }
    let cache = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder(&cache).join("refs/main")).unwrap();
    expect_damage(&cache, "a folder for a file");
}

fn expect_damage(cache: &TempDir, what: &str) {
    let error = Hub::new(cache.path(), None).cached(ID).unwrap_err();
    assert!(matches!(error, HubError::Damaged { .. }), "{what}: {error}");
    assert!(error.to_string().contains("delete that folder"), "{what}: {error}");
    assert!(error.to_string().len() < 1000, "{what}");
}

#[test]
fn a_cache_of_other_tools_is_read() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(cache.path(), None);
    let snapshot = folder(&cache).join("snapshots").join(COMMIT);
    fs::create_dir_all(&snapshot).unwrap();
    assert_eq!(hub.cached(ID).unwrap(), None, "no refs/main");
    fs::create_dir_all(folder(&cache).join("refs")).unwrap();
    fs::write(folder(&cache).join("refs/main"), format!("{COMMIT}\n")).unwrap();
    fs::write(snapshot.join("tokenizer.json"), "{}").unwrap();
    assert_eq!(hub.cached(ID).unwrap(), None, "only a tokenizer");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../../blobs/gone", snapshot.join("config.json")).unwrap();
        assert_eq!(hub.cached(ID).unwrap(), None, "a link to a blob that is gone");
    }
    fs::write(snapshot.join("tiny.gguf"), "GGUF").unwrap();
    assert_eq!(hub.cached(ID).unwrap(), Some(snapshot));
}
