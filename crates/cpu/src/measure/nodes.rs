//! Memory nodes: which cores are near which memory.

use std::fs::{read_dir, read_to_string};

/// Memory, and the cores that are near it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Numbers of its cores as the system lists them, `0-23,48-71`; empty where it has none.
    pub cores: String,
    /// Bytes of its memory, in use or not.
    pub memory_bytes: u64,
}

/// The nodes of this machine in their order; none where the system does not say.
pub fn nodes() -> Vec<Node> {
    let folders = read_dir("/sys/devices/system/node").into_iter().flatten().flatten();
    let node = |folder: std::fs::DirEntry| {
        let number = folder.file_name().to_str()?.strip_prefix("node")?.parse::<u32>().ok()?;
        let fact = |name: &str| read_to_string(folder.path().join(name)).ok();
        Some((number, Node::of(&fact("cpulist")?, &fact("meminfo")?)?))
    };
    let mut nodes = folders.filter_map(node).collect::<Vec<_>>();
    nodes.sort_by_key(|(number, _)| *number);
    nodes.into_iter().map(|(_, node)| node).collect()
}

impl Node {
    fn of(cores: &str, memory: &str) -> Option<Node> {
        let line = memory.lines().find_map(|line| Some(line.split_once("MemTotal:")?.1))?;
        let memory_bytes = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
        // It goes into a line of text.
        let cores = cores.trim().chars().filter(|c| c.is_ascii_digit() || "-,".contains(*c)).collect();
        Some(Node { cores, memory_bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_and_memory_are_read() {
        let memory = "Node 1 MemTotal:       2048 kB\nNode 1 MemFree:        1 kB\n";
        let node = |cores: &str| Some(Node { cores: cores.to_owned(), memory_bytes: 2 << 20 });
        assert_eq!(Node::of("0-1,4\n", memory), node("0-1,4"));
        assert_eq!(Node::of("\n", memory), node(""), "memory without cores");
        assert_eq!(Node::of("0\n", "Node 1 MemFree: 1 kB"), None);
        assert_eq!(Node::of("0", "Node 1 MemTotal: 99999999999999999999 kB"), None);
    }
}
