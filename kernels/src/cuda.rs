//! CUDA C++. A kernel is a file `NAME.cu` whose one entry is called `NAME`; what is fixed when it is compiled are macros,
//! which its header lists. Nothing is included from a toolkit: what NVRTC knows by itself is enough.

/// Every file, by name.
pub const FILES: &[(&str, &str)] = &[
    ("prelude.cuh", include_str!("../cuda/prelude.cuh")),
    ("blocks.cuh", include_str!("../cuda/blocks.cuh")),
    ("likelihood.cuh", include_str!("../cuda/likelihood.cuh")),
    ("map.cu", include_str!("../cuda/map.cu")),
    ("gather.cu", include_str!("../cuda/gather.cu")),
    ("reduce.cu", include_str!("../cuda/reduce.cu")),
    ("softmax.cu", include_str!("../cuda/softmax.cu")),
    ("top_k.cu", include_str!("../cuda/top_k.cu")),
    ("matmul.cu", include_str!("../cuda/matmul.cu")),
    ("dequantize.cu", include_str!("../cuda/dequantize.cu")),
    ("state_read.cu", include_str!("../cuda/state_read.cu")),
    ("state_write.cu", include_str!("../cuda/state_write.cu")),
    ("peaks.cu", include_str!("../cuda/peaks.cu")),
    ("masses.cu", include_str!("../cuda/masses.cu")),
    ("choose.cu", include_str!("../cuda/choose.cu")),
    ("activation.cuh", include_str!("../cuda/activation.cuh")),
    ("dot.cuh", include_str!("../cuda/dot.cuh")),
    ("attend.cu", include_str!("../cuda/attend.cu")),
    ("embed.cu", include_str!("../cuda/embed.cu")),
    ("expert_hidden.cu", include_str!("../cuda/expert_hidden.cu")),
    ("expert_out.cu", include_str!("../cuda/expert_out.cu")),
    ("gated_act.cu", include_str!("../cuda/gated_act.cu")),
    ("linear.cu", include_str!("../cuda/linear.cu")),
    ("merge.cu", include_str!("../cuda/merge.cu")),
    ("rms_norm.cu", include_str!("../cuda/rms_norm.cu")),
    ("rope.cu", include_str!("../cuda/rope.cu")),
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
                let (name, _) = known.unwrap_or_else(|| panic!("{name} includes {included}, which is no file"));
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
            assert!(text.contains(&format!("__global__ void {kernel}(")), "{name} has no entry {kernel}");
        }
    }

    #[test]
    fn every_file_begins_by_saying_what_it_is() {
        for (name, text) in FILES {
            assert!(text.starts_with("// "), "{name}");
        }
    }
}
