//! The repository names no machine: no path that exists on one computer only, no host that a mirror may replace.

use super::House;

/// Folders of somebody's machine. Written in pieces, as are the hosts, so that this file does not hold them.
const FOLDERS: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/t", "mp/")];

/// Hosts of package registries: packages are fetched by name, from wherever the user's client is set to look.
const HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("registry.", "npmjs.org"),
    concat!("deb.", "debian.org"),
    concat!("debian", "-mirror"),
    concat!("archive.", "ubuntu.com"),
    concat!("proxy.", "golang.org"),
    concat!("conda.", "anaconda.org"),
    concat!("download.", "pytorch.org"),
];

/// Cargo writes the registry it used into the lock file, as an identifier.
const LOCK: &str = "Cargo.lock";

/// No text names a place.
pub fn check(house: &House) -> Vec<String> {
    let texts = house.tree.texts().filter(|(file, _)| !file.path.ends_with(LOCK));
    texts.flat_map(|(file, text)| faults(&file.path, text)).collect()
}

fn faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if let Some(folder) = FOLDERS.iter().find(|folder| names_folder(line, folder)) {
            faults.push(format!("{path}:{}: a path under `{folder}` exists on one machine only", at + 1));
        }
        if let Some(host) = HOSTS.iter().find(|host| line.contains(*host)) {
            faults.push(format!("{path}:{}: the registry host `{host}`; name the package alone", at + 1));
        }
    }
    faults
}

/// Whether a line holds a path that begins with this folder and goes on.
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        // Behind a name or a variable, the folder is part of a longer path.
        let absolute = !before.is_some_and(|c| c.is_alphanumeric() || "_-.~})>*".contains(c));
        absolute && after.is_some_and(|c| c.is_alphanumeric() || "._-{$<".contains(c))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_of_a_machine_are_faults() {
        for folder in FOLDERS {
            assert_eq!(faults("a.rs", &format!("ok\nopen(\"{folder}x\")")).len(), 1, "{folder}");
            assert!(faults("a.rs", &format!("target{folder}x")).is_empty());
            assert!(faults("a.rs", &format!("${{HERE}}{folder}x, {folder} alone")).is_empty());
        }
        assert!(faults("a.rs", "std::env::temp_dir(), /usr/lib, /dev/zero").is_empty());
    }

    #[test]
    fn hosts_of_registries_are_faults() {
        for host in HOSTS {
            assert_eq!(faults("a.sh", &format!("fetch https://{host}/simple")).len(), 1, "{host}");
        }
        assert!(faults("a.sh", "pip install gguf; cargo add half").is_empty());
        let lock = ("Cargo.lock", HOSTS[0]);
        assert!(check(&House::of(&[lock])).is_empty());
    }
}
