//! Calibrations of this program, held against the runs that they were fitted to and that are kept beside them.

use cost::predict::{Calibrations, fit, held_out, median_error};

const KEPT: [(&str, &str, f64); 2] = [
    ("cpu_blocks", include_str!("../data/cpu_blocks.toml"), 0.10),
    ("cpu_dense", include_str!("../data/cpu_dense.toml"), 0.10),
];

#[test]
fn what_is_committed_is_what_its_runs_give() {
    let close = |a: f64, b: f64, least: f64| (a - b).abs() <= 0.01 * b.abs() + least;
    for (chip, text, _) in KEPT {
        let kept = Calibrations::read(chip, text).expect("it is good");
        let calibration = kept.of(chip).expect("one for it");
        for (told, fitted) in calibration.terms().into_iter().zip(fit(&kept.runs)) {
            assert!(
                close(told, fitted, 1e-5),
                "{chip}: {:?}, not {:?}",
                calibration.terms(),
                fit(&kept.runs)
            );
        }
        let error = median_error(&held_out(&kept.runs));
        assert!(close(calibration.error, error, 0.002), "{chip} tells {}, and is {error}", calibration.error);
    }
}

#[test]
fn models_that_a_fit_has_not_seen_are_predicted_as_well_as_was_aimed_at() {
    for (chip, text, aim) in KEPT {
        let kept = Calibrations::read(chip, text).expect("it is good");
        let held = held_out(&kept.runs);
        let of = |phase: &str| {
            let of_phase = held.iter().filter(|held| held.sample.what.starts_with(phase)).cloned();
            median_error(&of_phase.collect::<Vec<_>>())
        };
        assert!(held.len() == kept.runs.len() && held.len() >= 18, "{}", held.len());
        // Prompts make the throughput of tokens in, single steps the time between tokens.
        for phase in ["prefill", "decode"] {
            assert!(of(phase) <= aim, "{chip}: {phase} is off by {:.1} %", 100.0 * of(phase));
        }
    }
}
