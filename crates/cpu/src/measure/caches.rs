//! How large the caches are: kernels choose their tile sizes by it.

use std::sync::OnceLock;

/// Bytes of the data caches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caches {
    /// First level, of one core.
    pub l1d: usize,
    /// Second level, of one core where it is its own.
    pub l2: usize,
    /// Third level, shared by cores; what a virtual machine is told may be more than its share. 0 where there is none.
    pub l3: usize,
}

/// What nearly every processor has at least, where it does not say.
const UNKNOWN: Caches = Caches { l1d: 32 << 10, l2: 512 << 10, l3: 0 };

/// The caches of this machine, asked once.
pub fn caches() -> Caches {
    static CACHES: OnceLock<Caches> = OnceLock::new();
    *CACHES.get_or_init(|| Caches::of(&processor().or_else(system).unwrap_or_default()))
}

/// A data cache: its level and its bytes.
type Level = (u32, usize);

impl Caches {
    /// The largest of each level, since big and little cores differ; nonsense is left out.
    fn of(found: &[Level]) -> Caches {
        let largest = |level| {
            let sizes = found.iter().filter(|cache| cache.0 == level).map(|cache| cache.1);
            sizes.filter(|bytes| (4 << 10..1 << 40).contains(bytes)).max()
        };
        Caches {
            l1d: largest(1).unwrap_or(UNKNOWN.l1d),
            l2: largest(2).unwrap_or(UNKNOWN.l2),
            l3: largest(3).unwrap_or(UNKNOWN.l3),
        }
    }
}

/// What the processor says: leaf 4 of Intel's, 0x8000001d of AMD's, which read alike.
#[cfg(target_arch = "x86_64")]
fn processor() -> Option<Vec<Level>> {
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    let leaf = match (__cpuid(0x8000_0000).eax, __cpuid(0).eax) {
        (0x8000_001d.., _) if __cpuid_count(0x8000_001d, 0).eax & 0x1f != 0 => 0x8000_001d,
        (_, 4..) => 4,
        _ => return None,
    };
    let mut found = vec![];
    // A cache per sub-leaf up to one of kind 0. Sixteen are more than any processor has.
    for index in 0..16 {
        let answer = __cpuid_count(leaf, index);
        let kind = answer.eax & 0x1f;
        if kind == 0 {
            break;
        }
        let (ways, parts, line) =
            ((answer.ebx >> 22) + 1, (answer.ebx >> 12 & 0x3ff) + 1, (answer.ebx & 0xfff) + 1);
        let bytes = [parts, line, answer.ecx.saturating_add(1)]
            .iter()
            .fold(ways as usize, |bytes, &factor| bytes.saturating_mul(factor as usize));
        // Kind 1 holds data, 2 instructions, 3 both.
        if kind != 2 {
            found.push((answer.eax >> 5 & 7, bytes));
        }
    }
    (!found.is_empty()).then_some(found)
}

#[cfg(not(target_arch = "x86_64"))]
fn processor() -> Option<Vec<Level>> {
    None
}

/// What Linux says of the first core.
fn system() -> Option<Vec<Level>> {
    let folder = std::fs::read_dir("/sys/devices/system/cpu/cpu0/cache").ok()?;
    let cache = |path: std::path::PathBuf| {
        let fact = |name| Some(std::fs::read_to_string(path.join(name)).ok()?.trim().to_owned());
        let holds_data = fact("type")? != "Instruction";
        let kilobytes = fact("size")?.strip_suffix('K')?.parse::<usize>().ok()?;
        holds_data.then_some((fact("level")?.parse().ok()?, kilobytes.checked_mul(1024)?))
    };
    Some(folder.flatten().filter_map(|entry| cache(entry.path())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_of_each_level_counts_and_nonsense_does_not() {
        assert_eq!(Caches::of(&[]), UNKNOWN);
        let found = [(1, 48 << 10), (1, 32 << 10), (2, 2 << 20), (3, usize::MAX), (4, 1 << 30)];
        assert_eq!(Caches::of(&found), Caches { l1d: 48 << 10, l2: 2 << 20, l3: 0 });
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn processor_and_system_agree_where_both_speak() {
        if let (Some(processor), Some(system)) = (processor(), system().filter(|found| !found.is_empty())) {
            assert_eq!(Caches::of(&processor), Caches::of(&system));
        }
    }

    #[test]
    fn caches_grow_with_their_level() {
        let Caches { l1d, l2, l3 } = caches();
        assert!(l1d <= l2 && (l3 == 0 || l1d < l3), "{:?}", caches());
    }
}
