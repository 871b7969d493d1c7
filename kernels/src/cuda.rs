//! CUDA C++. A kernel is a file `NAME.cu` whose one entry is called `NAME`; what is fixed when it is compiled are macros,
//! which its header lists. Nothing is included from a toolkit: what NVRTC knows by itself is enough.

/// Every file, by name.
pub const FILES: &[(&str, &str)] = &[
    ("activation.cuh", include_str!("../cuda/activation.cuh")),
    ("blocks.cuh", include_str!("../cuda/blocks.cuh")),
    ("dot.cuh", include_str!("../cuda/dot.cuh")),
    ("likelihood.cuh", include_str!("../cuda/likelihood.cuh")),
    ("prelude.cuh", include_str!("../cuda/prelude.cuh")),
    ("rope.cuh", include_str!("../cuda/rope.cuh")),
    ("tensor.cuh", include_str!("../cuda/tensor.cuh")),
    ("tiles.cuh", include_str!("../cuda/tiles.cuh")),
    ("attend.cu", include_str!("../cuda/attend.cu")),
    ("attend_many.cu", include_str!("../cuda/attend_many.cu")),
    ("choose.cu", include_str!("../cuda/choose.cu")),
    ("combine.cu", include_str!("../cuda/combine.cu")),
    ("dequantize.cu", include_str!("../cuda/dequantize.cu")),
    ("embed.cu", include_str!("../cuda/embed.cu")),
    ("embed_tiles.cu", include_str!("../cuda/embed_tiles.cu")),
    ("expert_hidden.cu", include_str!("../cuda/expert_hidden.cu")),
    ("expert_out.cu", include_str!("../cuda/expert_out.cu")),
    ("few.cu", include_str!("../cuda/few.cu")),
    ("gated_act.cu", include_str!("../cuda/gated_act.cu")),
    ("gather.cu", include_str!("../cuda/gather.cu")),
    ("group.cu", include_str!("../cuda/group.cu")),
    ("linear.cu", include_str!("../cuda/linear.cu")),
    ("many.cu", include_str!("../cuda/many.cu")),
    ("map.cu", include_str!("../cuda/map.cu")),
    ("masses.cu", include_str!("../cuda/masses.cu")),
    ("matmul.cu", include_str!("../cuda/matmul.cu")),
    ("peaks.cu", include_str!("../cuda/peaks.cu")),
    ("reduce.cu", include_str!("../cuda/reduce.cu")),
    ("rms_norm.cu", include_str!("../cuda/rms_norm.cu")),
    ("rope.cu", include_str!("../cuda/rope.cu")),
    ("rope_write.cu", include_str!("../cuda/rope_write.cu")),
    ("round_rows.cu", include_str!("../cuda/round_rows.cu")),
    ("softmax.cu", include_str!("../cuda/softmax.cu")),
    ("state_read.cu", include_str!("../cuda/state_read.cu")),
    ("state_write.cu", include_str!("../cuda/state_write.cu")),
    ("sum_parts.cu", include_str!("../cuda/sum_parts.cu")),
    ("top_k.cu", include_str!("../cuda/top_k.cu")),
    ("untile.cu", include_str!("../cuda/untile.cu")),
];

/// A kernel's text: the prelude, what it includes, itself.
///
/// # Panics
/// Where there is no such file: names are constants.
pub fn text(kernel: &str) -> String {
    let mut text = file("prelude.cuh").to_owned();
    let mut seen = vec!["prelude.cuh"];
    append(&format!("{kernel}.cu"), &mut seen, &mut text);
    text
}

/// Whether a kernel waits by itself for what the launch before it writes, and so may be launched before that has ended.
///
/// # Panics
/// As `text`.
pub fn waits(kernel: &str) -> bool {
    let own = file(&format!("{kernel}.cu"));
    ["in_turn();", "await_previous();"].iter().any(|call| own.contains(call))
}

/// A file after those that it includes, each once.
fn append(name: &str, seen: &mut Vec<&'static str>, text: &mut String) {
    for line in file(name).lines() {
        let included = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"'));
        match included {
            None => {
                text.push_str(line);
                text.push('\n');
            }
            Some(included) if seen.contains(&included) => {}
            Some(included) => {
                let known = FILES.iter().find(|(name, _)| *name == included);
                let (name, _) =
                    known.unwrap_or_else(|| panic!("{name} includes {included}, which is no file"));
                seen.push(name);
                append(name, seen, text);
            }
        }
    }
}

fn file(name: &str) -> &'static str {
    let found = FILES.iter().find(|(known, _)| *known == name);
    found.map_or_else(|| panic!("there is no kernel file {name}"), |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_includes_what_there_is() {
        for (name, _) in FILES {
            let Some(kernel) = name.strip_suffix(".cu") else { continue };
            let text = text(kernel);
            assert!(!text.contains("#include"), "{name}");
            assert!(text.contains(&format!("KERNEL {kernel}(")), "{name} has no entry {kernel}");
        }
    }

    #[test]
    fn every_file_begins_by_saying_what_it_is() {
        for (name, text) in FILES {
            assert!(text.starts_with("// "), "{name}");
        }
    }
}
