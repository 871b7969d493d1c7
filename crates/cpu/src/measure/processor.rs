//! Which processor this is.

use simd::Isa;

use super::caches;

/// What the maker calls it, or the architecture where nobody says.
pub fn name() -> String {
    let name = brand().unwrap_or_default();
    // Whatever a hypervisor put there, it goes into a line of text.
    let plain = name.chars().filter(|c| *c == ' ' || c.is_ascii_graphic()).take(64).collect::<String>();
    let plain = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    if plain.is_empty() { std::env::consts::ARCH.to_owned() } else { plain }
}

/// Cores this process may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What must be the same for a measurement to hold.
pub fn identity(isa: Isa) -> String {
    format!("{}, {}, {} cores, {} KiB of shared cache, {isa}", name(), model(), cores(), caches().l3 >> 10)
}

/// Vendor, family, model and stepping.
#[cfg(target_arch = "x86_64")]
fn model() -> String {
    use std::arch::x86_64::__cpuid;
    let (vendor, version) = (__cpuid(0), __cpuid(1).eax);
    let vendor = [vendor.ebx, vendor.edx, vendor.ecx].into_iter().flat_map(u32::to_le_bytes);
    let vendor = vendor.map(char::from).filter(char::is_ascii_graphic).collect::<String>();
    let (family, model) = (version >> 8 & 15, version >> 4 & 15);
    // Two more fields hold what outgrew the first two.
    let model = if matches!(family, 6 | 15) { model | version >> 12 & 0xf0 } else { model };
    let family = if family == 15 { family + (version >> 20 & 0xff) } else { family };
    format!("{vendor} {family}/{model}/{}", version & 15)
}

#[cfg(not(target_arch = "x86_64"))]
fn model() -> String {
    let facts = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let wanted = ["CPU implementer", "CPU part", "CPU revision"];
    let first = |name: &&str| {
        let line = facts.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    wanted.iter().filter_map(first).collect::<Vec<_>>().join("/")
}

#[cfg(target_arch = "x86_64")]
fn brand() -> Option<String> {
    use std::arch::x86_64::__cpuid;
    if __cpuid(0x8000_0000).eax < 0x8000_0004 {
        return None;
    }
    let words = (0x8000_0002..=0x8000_0004).map(__cpuid).flat_map(|a| [a.eax, a.ebx, a.ecx, a.edx]);
    Some(words.flat_map(u32::to_le_bytes).take_while(|&byte| byte != 0).map(char::from).collect())
}

#[cfg(not(target_arch = "x86_64"))]
fn brand() -> Option<String> {
    let facts = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = facts.lines().find(|line| line.starts_with("model name") || line.starts_with("Hardware"))?;
    Some(line.split_once(':')?.1.to_owned())
}

/// Instructions that kernels may care for, by the names the maker gives them.
#[cfg(target_arch = "x86_64")]
pub fn features() -> Vec<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    let tiles = simd::amx::is_present();
    let all = [
        ("avx", has!("avx")),
        ("avx2", has!("avx2")),
        ("fma", has!("fma")),
        ("f16c", has!("f16c")),
        ("avxvnni", has!("avxvnni")),
        ("avx512f", has!("avx512f")),
        ("avx512bw", has!("avx512bw")),
        ("avx512vbmi", has!("avx512vbmi")),
        ("avx512vnni", has!("avx512vnni")),
        ("avx512bf16", has!("avx512bf16")),
        ("avx512fp16", has!("avx512fp16")),
        ("amx-int8", tiles),
        ("amx-bf16", tiles),
    ];
    all.into_iter().filter_map(|(name, here)| here.then_some(name)).collect()
}

/// As on the other architecture.
#[cfg(target_arch = "aarch64")]
pub fn features() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected as has;
    let all = [
        ("neon", has!("neon")),
        ("dotprod", has!("dotprod")),
        ("fp16", has!("fp16")),
        ("bf16", has!("bf16")),
        ("i8mm", has!("i8mm")),
        ("sve", has!("sve")),
    ];
    all.into_iter().filter_map(|(name, here)| here.then_some(name)).collect()
}

/// None that is known.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub fn features() -> Vec<&'static str> {
    vec![]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_one_line_and_tells_levels_apart() {
        let [portable, avx2] = [Isa::Portable, Isa::Avx2].map(identity);
        assert_ne!(portable, avx2);
        assert!(
            portable.len() < 256 && portable.chars().all(|c| c == ' ' || c.is_ascii_graphic()),
            "{portable}"
        );
    }
}
