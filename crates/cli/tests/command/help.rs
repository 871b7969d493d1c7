//! What `--help` says, word for word.

use crate::program::polysilicon;

#[test]
fn each_command_explains_itself_with_an_example() {
    insta::assert_snapshot!("help", polysilicon(&["--help"]).text());
    for command in [
        "run",
        "chat",
        "logits",
        "perplexity",
        "inspect",
        "show",
        "quantize",
        "compile",
        "diff",
        "devices",
        "chips",
        "predict",
        "calibrate",
        "reprice",
        "bench",
    ] {
        let help = polysilicon(&[command, "--help"]).text();
        assert!(help.contains(&format!("Example: polysilicon {command} ")), "{help}");
        insta::assert_snapshot!(format!("help-{command}"), help);
    }
}

#[test]
fn the_version_is_the_packages() {
    assert_eq!(polysilicon(&["--version"]).text(), format!("polysilicon {}\n", env!("CARGO_PKG_VERSION")));
}
