//! `show`, `diff` and `devices`.

use crate::program::{ended, polysilicon, program};

#[test]
fn a_graph_is_shown_at_each_stage() {
    let at = |stage: &str| polysilicon(&["show", "--stage", stage, "--context", "64"]).text();
    let (build, fuse, expand, plan) = (at("build"), at("fuse"), at("expand"), at("plan"));
    assert_eq!(build, polysilicon(&["show"]).text());
    assert!(build.contains("= rms_norm") && build.contains("f32[T, "), "{build}");
    assert!(
        !expand.contains("= rms_norm") && !expand.contains("[T, ") && expand.contains("f32[1, "),
        "{expand}"
    );
    assert!(fuse.starts_with("rewrites: ") && fuse.contains("gated_linear 1, linear_add 2"), "{fuse}");
    assert!(fuse.contains("f32[1, ") && fuse.contains("= gated_linear silu("), "{fuse}");
    let of_plan = |wanted: &[&str]| plan.lines().any(|line| wanted.iter().all(|word| line.contains(word)));
    assert!(plan.starts_with("path ") && of_plan(&["layers.0.mlp.act ", " KiB "]), "{plan}");
    assert!(of_plan(&["total ", " kernels", " MiB ", " M"]), "{plan}");
    assert!(plan.lines().all(|line| line.len() <= 130), "{plan}");
}

#[test]
fn a_plan_without_predictions_says_how_to_have_them() {
    let nothing = tempfile::tempdir().unwrap();
    let mut command = program(&["show", "--stage", "plan", "--device", "cpu", "--context", "64"]);
    command.env("XDG_CACHE_HOME", nothing.path());
    let plan = ended(command).text();
    assert!(plan.contains("`polysilicon devices --measure`") && !plan.contains("predicted\n"), "{plan}");
}

#[test]
fn a_shape_is_shown_without_its_weights() {
    let text = polysilicon(&["show", "shape:gpt-oss-120b@mxfp4"]).text();
    assert!(text.starts_with("graph shape:gpt-oss-120b@mxfp4:"), "{text}");
}

#[test]
fn a_device_agrees_with_itself() {
    let text = polysilicon(&["diff", "--a", "auto", "--b", "reference", "--ids", "1,2,3"]).text();
    assert!(text.contains("values agree"), "{text}");
}

#[test]
fn a_difference_beyond_the_tolerance_is_status_1() {
    // No error is below zero, so the first value is over the tolerance.
    let ended =
        polysilicon(&["diff", "--a", "reference", "--b", "reference", "--ids", "1,2", "--tolerance=-1"]);
    assert_eq!((ended.status, ended.err.as_str()), (1, ""));
    assert!(ended.out.contains("is the first value that differs: nmse"), "{}", ended.out);
}

#[cfg(feature = "candle")]
#[test]
fn candle_and_reference_agree_within_the_tolerance_but_not_in_every_bit() {
    let with = |tolerance| {
        polysilicon(&[
            "diff",
            "--a",
            "candle",
            "--b",
            "reference",
            "--ids",
            "1,2,3",
            "--tolerance",
            tolerance,
        ])
    };
    assert_eq!((with("1e-6").status, with("0").status), (0, 1));
}

#[test]
fn devices_are_listed_with_the_one_that_auto_takes() {
    let found = polysilicon(&["devices", "--json"]).json();
    let devices = found["devices"].as_array().expect("a list");
    assert_eq!(devices.iter().filter(|device| device["auto"] == true).count(), 1);
    assert!(devices.iter().any(|device| device["name"] == "reference"), "{found}");
    assert!(found["machine"]["cores"].as_u64().is_some_and(|cores| cores > 0), "{found}");
    for node in found["machine"]["nodes"].as_array().expect("a list") {
        assert!(node["memory_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{found}");
    }
    let text = polysilicon(&["devices"]).text();
    assert!(text.contains("reference") && text.contains("(auto)") && text.contains("machine: "), "{text}");
}
