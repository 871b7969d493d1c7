//! How much memory there is to be had.

use std::fs::read_to_string;

/// Bytes that can be had without swapping and without running into the limit of a container, where the system says.
pub fn available() -> Option<u64> {
    let machine = read_to_string("/proc/meminfo").ok().and_then(|facts| of_machine(&facts));
    let container = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory"].iter().find_map(|folder| {
        let fact = |name: &str| read_to_string(format!("{folder}/{name}")).ok();
        let limit = fact("memory.max").or_else(|| fact("memory.limit_in_bytes"))?;
        let used = fact("memory.current").or_else(|| fact("memory.usage_in_bytes"))?;
        of_container(&limit, &used, &fact("memory.stat").unwrap_or_default())
    });
    machine.into_iter().chain(container).min()
}

fn of_machine(facts: &str) -> Option<u64> {
    let line = facts.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What is left below the limit. Pages of files not used lately count as used, and are given back when asked for.
fn of_container(limit: &str, used: &str, stat: &str) -> Option<u64> {
    let [limit, used] = [limit, used].map(|text| text.trim().parse::<u64>());
    let files = stat.lines().find_map(|line| line.strip_prefix("inactive_file "))?.trim().parse::<u64>();
    Some(limit.ok()?.saturating_sub(used.ok()?.saturating_sub(files.ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_and_the_container_are_read() {
        assert_eq!(of_machine("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(of_machine("MemAvailable: 99999999999999999999 kB"), None);
        assert_eq!(of_container("1000\n", "700\n", "anon 5\ninactive_file 200\n"), Some(500));
        assert_eq!(of_container("1000", "1200", "inactive_file 0"), Some(0));
        assert_eq!(of_container("max\n", "700", "inactive_file 200"), None, "no limit");
    }
}
