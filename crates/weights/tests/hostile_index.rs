//! What the index of a sharded model, or a folder, may do to a reader.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::os::unix::fs::symlink;
use std::path::Path;

use common::{claim, claims, refused, small_safetensors, write};
use tempfile::TempDir;
use tensor::{Access, WeightSource};
use weights::{FileError, SafeTensors};

const INDEX: &str = "model.safetensors.index.json";

fn shard(name: &str, byte: u8) -> Vec<u8> {
    claims(&[claim(name, "U8", "[2]", 0, 2)], &[byte; 2])
}

/// A folder with shards `one` (tensor a) and `two` (tensor b), and this weight map.
fn folder(weight_map: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    write(folder.path(), "one.safetensors", &shard("a", 1));
    write(folder.path(), "two.safetensors", &shard("b", 2));
    index(folder.path(), weight_map);
    folder
}

fn index(folder: &Path, weight_map: &str) {
    write(
        folder,
        INDEX,
        format!(r#"{{"metadata":{{"total_size":4}},"weight_map":{weight_map}}}"#).as_bytes(),
    );
}

fn open(folder: &TempDir) -> Result<SafeTensors, FileError> {
    SafeTensors::open(folder.path(), Access::Read)
}

#[test]
fn shards_open_as_one_by_folder_and_by_index() {
    let folder = folder(r#"{"a":"one.safetensors","b":"two.safetensors"}"#);
    for path in [folder.path().to_owned(), folder.path().join(INDEX)] {
        let model = SafeTensors::open(&path, Access::Read).unwrap();
        assert_eq!((model.read("a").unwrap(), model.read("b").unwrap()), (vec![1; 2], vec![2; 2]));
    }
}

#[test]
fn shard_names_that_are_no_plain_names() {
    for name in [
        "../one.safetensors",
        "..",
        ".",
        "",
        "/etc/passwd",
        "./one.safetensors",
        "sub/one.safetensors",
        "one.safetensors/",
        "one.safetensors/.",
        "..\\\\one.safetensors",
        "C:one.safetensors",
        "one.safetensors\\u0000",
    ] {
        let folder = folder(&format!(r#"{{"a":"{name}"}}"#));
        refused(open(&folder), &["plain file name"]);
    }
}

#[test]
fn shard_link_that_leads_out_of_the_folder() {
    let outside = TempDir::new().unwrap();
    write(outside.path(), "secret", &shard("a", 9));
    let folder = folder(r#"{"a":"link.safetensors"}"#);
    symlink(outside.path().join("secret"), folder.path().join("link.safetensors")).unwrap();
    refused(open(&folder), &["link.safetensors", "leads out"]);
    // A link within the folder is no way out.
    std::fs::remove_file(folder.path().join("link.safetensors")).unwrap();
    symlink("one.safetensors", folder.path().join("link.safetensors")).unwrap();
    assert!(open(&folder).is_ok());
}

#[test]
fn links_of_the_hub_cache_work_and_reach_no_further() {
    let cache = TempDir::new().unwrap();
    let (blobs, snapshot) = (cache.path().join("repo/blobs"), cache.path().join("repo/snapshots/0123"));
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::create_dir_all(&snapshot).unwrap();
    write(&blobs, "aaaa", &shard("a", 5));
    symlink("../../blobs/aaaa", snapshot.join("one.safetensors")).unwrap();
    write(&blobs, "bbbb", br#"{"weight_map":{"a":"one.safetensors"}}"#);
    symlink("../../blobs/bbbb", snapshot.join(INDEX)).unwrap();
    assert_eq!(SafeTensors::open(&snapshot, Access::Read).unwrap().read("a").unwrap(), [5; 2]);
    assert!(SafeTensors::open(&snapshot.join(INDEX), Access::Read).is_ok());

    write(cache.path(), "elsewhere", &shard("a", 6));
    std::fs::remove_file(snapshot.join("one.safetensors")).unwrap();
    symlink("../../../elsewhere", snapshot.join("one.safetensors")).unwrap();
    refused(SafeTensors::open(&snapshot, Access::Read), &["leads out"]);
}

#[test]
fn shard_that_is_missing_is_named() {
    refused(open(&folder(r#"{"a":"three.safetensors"}"#)), &["`three.safetensors`", "could not be opened"]);
}

#[test]
fn shard_that_lacks_its_tensor() {
    refused(open(&folder(r#"{"z":"one.safetensors"}"#)), &["`one.safetensors`", "no tensor `z`"]);
}

#[test]
fn shard_that_is_a_pickle() {
    let folder = folder(r#"{"a":"one.safetensors","b":"pytorch_model.bin"}"#);
    write(folder.path(), "pytorch_model.bin", b"PK\x03\x04\x14\x00\x00\x00archive/data.pkl");
    refused(open(&folder), &["pytorch_model.bin", "zip archive"]);
}

#[test]
fn shard_that_is_a_folder_or_a_device() {
    let folder = folder(r#"{"a":"sub"}"#);
    std::fs::create_dir(folder.path().join("sub")).unwrap();
    refused(open(&folder), &["`sub`", "not a regular file"]);
}

#[test]
fn index_that_is_no_index() {
    for (text, part) in [
        ("", "JSON"),
        ("[]", "JSON"),
        ("{}", "weight_map"),
        (r#"{"weight_map":{}}"#, "names no tensor"),
        (r#"{"weight_map":{"a":1}}"#, "JSON"),
        (r#"{"weight_map":{"a":"one.safetensors","a":"two.safetensors"}}"#, "`a` appears twice"),
        (r#"{"weight_map":{"a":"one.safetensors"},"weight_map":{"b":"two.safetensors"}}"#, "twice"),
        (r#"{"weight_map":{"a":"one.safetensors"}} x"#, "trailing"),
    ] {
        let folder = folder("{}");
        write(folder.path(), INDEX, text.as_bytes());
        refused(open(&folder), &[part]);
    }
    let folder = folder("{}");
    write(folder.path(), INDEX, format!(r#"{{"metadata":{}"#, "[".repeat(500_000)).as_bytes());
    refused(open(&folder), &["JSON"]);
}

#[test]
fn folders_say_what_they_lack() {
    let folder = TempDir::new().unwrap();
    refused(open(&folder), &["no .safetensors file"]);
    write(folder.path(), "pytorch_model.bin", b"PK\x03\x04");
    refused(open(&folder), &["pytorch_model.bin", "convert it"]);
    write(folder.path(), "x.safetensors", &small_safetensors());
    assert!(open(&folder).is_ok());
    write(folder.path(), "y.safetensors", &small_safetensors());
    refused(open(&folder), &["2 .safetensors files"]);
    write(folder.path(), "model.safetensors", &small_safetensors());
    assert!(open(&folder).is_ok());
}
