//! The index of a sharded model: which tensor lies in which file. The names in it are untrusted, so a shard must be a
//! plain file name and must really lie in the model's folder.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::path::{Component, Path, PathBuf};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use tensor::{Access, File};

use super::{header, layout, name_of};
use crate::error::{FileError, show};
use crate::limits;
use crate::stored::Table;

/// Opens every shard that the index names and joins their tensors.
pub(super) fn open(path: &Path, access: Access) -> Result<Table, FileError> {
    let index = name_of(path);
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut table = Table::new();
    for (shard, tensors) in read(path, &index)? {
        let part = |reason| FileError::Part { file: index.clone(), part: show(&shard), reason };
        let real = locate(folder, &shard).map_err(part)?;
        let file =
            File::open(&real, access).map_err(|error| part(format!("it could not be opened: {error}")))?;
        let mut stored: HashMap<_, _> = layout::check(&shard, &file)?.into_iter().collect();
        let number = table.add_file(shard.clone(), file);
        for tensor in tensors {
            let Some(mut entry) = stored.remove(&tensor) else {
                return Err(part(format!("it has no tensor `{}`", show(&tensor))));
            };
            entry.file = number;
            assert!(table.add(tensor, entry), "the index was refused if it had a name twice");
        }
    }
    Ok(table)
}

/// The real path of a shard, if it is one that the folder holds.
fn locate(folder: &Path, shard: &str) -> Result<PathBuf, String> {
    let mut parts = Path::new(shard).components();
    let plain =
        matches!((parts.next(), parts.next()), (Some(Component::Normal(name)), None) if name == shard);
    if !plain || shard.contains(['\\', '/', '\0', ':']) {
        return Err("a part must be named by a plain file name".to_owned());
    }
    let path = folder.join(shard);
    let real = path.canonicalize().map_err(|error| format!("it could not be opened: {error}"))?;
    let home = folder.canonicalize().map_err(|error| format!("its folder could not be opened: {error}"))?;
    let blobs = hub_blobs(&home);
    if real.starts_with(&home) || blobs.is_some_and(|blobs| real.starts_with(blobs)) {
        Ok(real)
    } else {
        Err("it is a link that leads out of the model's folder".to_owned())
    }
}

/// Where the hub's local cache keeps the bytes of the files of `folder`, if it is a snapshot in that cache:
/// `REPO/snapshots/COMMIT/...` holds links into `REPO/blobs`.
fn hub_blobs(folder: &Path) -> Option<PathBuf> {
    let snapshots =
        folder.ancestors().skip(1).find(|path| path.file_name().is_some_and(|name| name == "snapshots"))?;
    let blobs = snapshots.parent()?.join("blobs").canonicalize().ok()?;
    blobs.starts_with(snapshots.parent()?).then_some(blobs)
}

/// Reads the index: the tensors of each shard.
fn read(path: &Path, name: &str) -> Result<BTreeMap<String, Vec<String>>, FileError> {
    let file =
        File::open(path, Access::Read).map_err(|error| FileError::Open { path: path.to_owned(), error })?;
    if file.len() > limits::HEADER_BYTES {
        let reason = format!("an index has at most {} bytes, not {}", limits::HEADER_BYTES, file.len());
        return Err(FileError::Damaged { file: name.to_owned(), offset: 0, reason });
    }
    header::parse(name, &file, 0, file.len(), IndexVisitor)
}

/// The whole index, of which only `weight_map` matters.
struct IndexVisitor;

impl<'de> DeserializeSeed<'de> for IndexVisitor {
    type Value = BTreeMap<String, Vec<String>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for IndexVisitor {
    type Value = BTreeMap<String, Vec<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with a weight_map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut shards = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "weight_map" {
                map.next_value::<IgnoredAny>()?;
            } else if shards.replace(map.next_value_seed(WeightMapVisitor)?).is_some() {
                return Err(A::Error::custom("`weight_map` appears twice"));
            }
        }
        shards.ok_or_else(|| A::Error::missing_field("weight_map"))
    }
}

/// `weight_map`: the shard of each tensor, turned around.
struct WeightMapVisitor;

impl<'de> DeserializeSeed<'de> for WeightMapVisitor {
    type Value = BTreeMap<String, Vec<String>>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for WeightMapVisitor {
    type Value = BTreeMap<String, Vec<String>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of file names")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut shards: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut seen = HashSet::new();
        while let Some((tensor, shard)) = map.next_entry::<String, String>()? {
            if tensor.len() as u64 > limits::NAME_BYTES || shard.len() as u64 > limits::NAME_BYTES {
                return Err(A::Error::custom(format!("a name is longer than {} bytes", limits::NAME_BYTES)));
            }
            if seen.len() as u64 == limits::TENSORS {
                return Err(A::Error::custom(format!("there are more than {} tensors", limits::TENSORS)));
            }
            if !seen.insert(tensor.clone()) {
                return Err(A::Error::custom(format!("tensor `{tensor}` appears twice")));
            }
            shards.entry(shard).or_default().push(tensor);
            if shards.len() > limits::SHARDS {
                return Err(A::Error::custom(format!("there are more than {} files", limits::SHARDS)));
            }
        }
        if shards.is_empty() {
            return Err(A::Error::custom("`weight_map` names no tensor"));
        }
        Ok(shards)
    }
}
