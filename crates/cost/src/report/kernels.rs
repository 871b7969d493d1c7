//! The plot of kernels: what each took, and what it takes at best.

use plotters::prelude::*;

use super::Report;
use super::charts::{INK, SERIES, plain};
use crate::results::{KernelTime, Kernels};

/// Kernels that a plot has room for; the others are one bar together.
const BARS: usize = 8;

/// Pixels of a plot's width, of a bar, and of what is around the bars.
const SIZE: [u32; 3] = [760, 30, 64];

impl Report<'_> {
    /// A plot for each sort of steps that kernels were timed in, with what it is of.
    pub(super) fn kernels(&self) -> Vec<(String, String)> {
        let all = self.devices.iter().flat_map(|(results, _)| {
            results
                .kernels
                .iter()
                .map(|kernels| (format!("{}, {}", results.setup.device, kernels.what), kernels))
        });
        all.filter_map(|(title, kernels)| Some((title, drawn(kernels)?))).collect()
    }
}

/// The most expensive, and the others together.
fn bars(kernels: &Kernels) -> Vec<KernelTime> {
    let mut bars = kernels.times.iter().take(BARS).cloned().collect::<Vec<_>>();
    let sum = |of: &dyn Fn(&KernelTime) -> f64| kernels.times.iter().skip(BARS).map(of).sum::<f64>();
    if kernels.times.len() > BARS {
        bars.push(KernelTime {
            kernel: "other kernels".to_owned(),
            seconds: sum(&|time| time.seconds),
            predicted_s: Some(sum(&|time| time.predicted_s.unwrap_or(0.0))),
        });
    }
    let beside = kernels.step_s - kernels.times.iter().map(|time| time.seconds).sum::<f64>();
    bars.push(KernelTime {
        kernel: "beside kernels".to_owned(),
        seconds: beside.max(0.0),
        predicted_s: None,
    });
    bars
}

fn drawn(kernels: &Kernels) -> Option<String> {
    let bars = bars(kernels);
    let most = bars.iter().map(|bar| bar.seconds.max(bar.predicted_s.unwrap_or(0.0))).fold(0.0, f64::max);
    if !(most.is_finite() && most > 0.0) {
        return None;
    }
    let mut svg = String::new();
    {
        let [width, bar, around] = SIZE;
        let area = SVGBackend::with_string(&mut svg, (width, around + bar * bars.len() as u32));
        let area = area.into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(220)
            .build_cartesian_2d(0.0..1.12 * most, 0.0..bars.len() as f64)
            .ok()?;
        let last = bars.len() - 1;
        let name = |y: &f64| {
            let place = (y - 0.5).round();
            let bar = bars.get(last.wrapping_sub(place as usize)).filter(|_| (y - place - 0.5).abs() < 0.01);
            bar.map_or(String::new(), |bar| bar.kernel.clone())
        };
        let mut mesh = chart.configure_mesh();
        plain(&mut mesh)
            .x_labels(6)
            .y_labels(2 * bars.len() + 1)
            .x_desc("milliseconds of a step")
            .x_label_formatter(&|x| format!("{:.2}", 1e3 * x))
            .y_label_formatter(&name);
        mesh.draw().ok()?;
        for (place, bar) in bars.iter().enumerate() {
            let y = (last - place) as f64;
            let measured = Rectangle::new([(0.0, y + 0.22), (bar.seconds, y + 0.78)], SERIES[0].filled());
            chart.draw_series([measured]).ok()?;
            let Some(best) = bar.predicted_s.filter(|best| *best > 0.0) else { continue };
            let mark = [(best, y + 0.1), (best, y + 0.9)];
            chart.draw_series(LineSeries::new(mark, SERIES[2].stroke_width(3))).ok()?;
            let share = format!("{:.0} %", 100.0 * best / bar.seconds);
            let at = (bar.seconds.max(best) + 0.012 * most, y + 0.62);
            chart.draw_series([Text::new(share, at, ("sans-serif", 12).into_font().color(&INK))]).ok()?;
        }
        area.present().ok()?;
    }
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_bar_of_its_own_is_not_lost() {
        let time = |n: u32| KernelTime {
            kernel: format!("kernel {n}"),
            seconds: 1.0 / f64::from(1 + n),
            predicted_s: Some(0.1),
        };
        let times = (0..12).map(time).collect::<Vec<_>>();
        let step_s = 0.5 + times.iter().map(|time| time.seconds).sum::<f64>();
        let kernels = Kernels { what: String::new(), step_s, times };
        let bars = bars(&kernels);
        assert_eq!(bars.len(), BARS + 2);
        assert!((bars.iter().map(|bar| bar.seconds).sum::<f64>() - step_s).abs() < 1e-9);
        let svg = drawn(&kernels).expect("it is drawn");
        assert!(svg.contains("other kernels") && svg.contains("beside kernels") && svg.contains("kernel 7"));
        assert!(drawn(&Kernels::default()).is_none(), "nothing was timed");
    }
}
