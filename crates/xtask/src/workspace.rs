//! The crates of the workspace and what each one imports, as cargo reports them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// One crate of the workspace.
pub struct Crate {
    /// The name that other crates import, without the `polysilicon-` before it.
    pub name: String,
    /// Its folder from the root.
    pub folder: String,
    /// What its manifest asks for.
    pub imports: Vec<Import>,
}

/// One dependency in a manifest.
pub struct Import {
    /// The package, without `polysilicon-` where it belongs to the workspace.
    pub name: String,
    /// Whether it belongs to the workspace.
    pub ours: bool,
    /// Whether only tests and benches see it.
    pub dev: bool,
}

/// Asks cargo for the crates of the workspace at a root. Reads manifests only, never the network.
pub fn read(root: &Path) -> Result<Vec<Crate>, String> {
    let output = Command::new("cargo")
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .map_err(|error| format!("cargo could not be started to list the crates: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo could not list the crates: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("what cargo says of the crates is not JSON: {error}"))?;
    parse(&metadata)
        .ok_or_else(|| "what cargo says of the crates lacks a field that it always had".to_owned())
}

fn parse(metadata: &Value) -> Option<Vec<Crate>> {
    let root = metadata["workspace_root"].as_str()?;
    let of_package = |package: &Value| {
        let manifest = package["manifest_path"].as_str()?.strip_prefix(root)?;
        let folder = manifest.trim_start_matches('/').trim_end_matches("Cargo.toml").trim_end_matches('/');
        let imports = package["dependencies"].as_array()?.iter().map(import).collect::<Option<_>>()?;
        Some(Crate { name: short(package["name"].as_str()?), folder: folder.to_owned(), imports })
    };
    metadata["packages"].as_array()?.iter().map(of_package).collect()
}

fn import(dependency: &Value) -> Option<Import> {
    let name = dependency["name"].as_str()?;
    let ours = dependency["path"].is_string();
    let name = if ours { short(name) } else { name.to_owned() };
    Some(Import { name, ours, dev: dependency["kind"] == "dev" })
}

fn short(package: &str) -> String {
    package.strip_prefix("polysilicon-").unwrap_or(package).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn metadata_is_read() {
        let crates = parse(&json!({ "workspace_root": "/r", "packages": [{
            "name": "polysilicon-graph", "manifest_path": "/r/crates/graph/Cargo.toml", "dependencies": [
                { "name": "polysilicon-tensor", "path": "/r/crates/tensor", "kind": null },
                { "name": "proptest", "kind": "dev" },
            ],
        }]}))
        .unwrap();
        assert_eq!((crates[0].name.as_str(), crates[0].folder.as_str()), ("graph", "crates/graph"));
        let imports: Vec<_> = crates[0].imports.iter().map(|i| (i.name.as_str(), i.ours, i.dev)).collect();
        assert_eq!(imports, [("tensor", true, false), ("proptest", false, true)]);
        assert!(parse(&json!({ "packages": [] })).is_none());
    }
}
