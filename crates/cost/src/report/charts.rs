//! Plots as SVG. Colours are few and fixed, so that the page's style gives each another in the dark.

use plotters::chart::MeshStyle;
use plotters::coord::combinators::LogCoord;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{Report, Row, usd};

const SIZE: (u32, u32) = (760, 380);
pub(super) const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
pub(super) const FAINT: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const API: RGBColor = RGBColor(0x99, 0x55, 0x00);
/// A colour for each device, and for each part of where time went.
pub(super) const SERIES: [RGBColor; 5] = [
    RGBColor(0x1f, 0x5f, 0xbf),
    RGBColor(0x0b, 0x8a, 0x5b),
    RGBColor(0xb8, 0x3a, 0x6b),
    RGBColor(0x7a, 0x4f, 0xc9),
    RGBColor(0x88, 0x88, 0x88),
];

/// Where time goes.
pub(super) const PARTS: [&str; 5] = ["prompts", "answers", "padding", "engine", "waiting"];

/// A plot that cannot be drawn is left out: a page without it is still true.
type Drawn = Option<String>;

impl Report<'_> {
    /// Dollars per million tokens out against tokens per second that one reader sees.
    pub(super) fn cost_against_speed(&self) -> Drawn {
        let points = self
            .told()
            .filter_map(|row| Some((row, row.summary.interactivity, row.summary.dollars?.out)))
            .collect::<Vec<_>>();
        let xs = points.iter().map(|(_, x, _)| *x);
        let share = points.first()?.0.summary.share_in();
        let apis =
            self.apis.iter().map(|api| api.blended(share) / (1.0 - share).max(0.01)).collect::<Vec<_>>();
        let ys = points.iter().flat_map(|(.., y)| [y.low, y.high]).chain(apis.iter().copied());
        let (x, y) = (about(xs)?, about(ys)?);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let mut chart = ChartBuilder::on(&area)
                .margin(12)
                .x_label_area_size(44)
                .y_label_area_size(70)
                .build_cartesian_2d(0.0..x.1, (y.0..y.1).log_scale())
                .ok()?;
            mesh(&mut chart, "tokens per second that one reader sees", "$ per million tokens out", &|x| {
                format!("{x:.0}")
            })?;
            dollars(&mut chart, x.1, y)?;
            for (price, api) in apis.iter().zip(&self.apis) {
                chart
                    .draw_series(LineSeries::new([(0.0, *price), (x.1, *price)], API.stroke_width(1)))
                    .ok()?;
                let label = format!("{} API", api.provider);
                chart
                    .draw_series([Text::new(
                        label,
                        (x.1 * 0.86, price * 1.03),
                        ("sans-serif", 12).into_font().color(&API),
                    )])
                    .ok()?;
            }
            let line = pareto(points.iter().map(|(_, x, y)| (*x, y.mid)).collect());
            chart.draw_series(LineSeries::new(line, INK.stroke_width(1))).ok()?;
            for (row, x, y) in &points {
                let colour = SERIES[row.device % SERIES.len()];
                chart
                    .draw_series(LineSeries::new([(*x, y.low), (*x, y.high)], colour.stroke_width(2)))
                    .ok()?;
                chart.draw_series([Circle::new((*x, y.mid), 5, colour.filled())]).ok()?;
                let below = if row.point.cache { -16 } else { 6 };
                let label = Text::new(row.load(), (8, below), ("sans-serif", 12).into_font().color(&INK));
                chart.draw_series([EmptyElement::at((*x, y.mid)) + label]).ok()?;
            }
            area.present().ok()?;
        }
        Some(svg)
    }

    /// Dollars per million tokens against the share of hours in which there is something to do.
    pub(super) fn cost_against_use(&self) -> Drawn {
        let cost =
            |row: &Row<'_>| row.summary.dollars.map(|dollars| dollars.total.mid * self.terms.utilisation);
        let best = |device: usize| {
            self.told()
                .filter(|row| row.device == device)
                .filter_map(|row| Some((row, cost(row)?)))
                .min_by(|a, b| a.1.total_cmp(&b.1))
        };
        let lines = (0..self.devices.len()).filter_map(best).collect::<Vec<_>>();
        let share = lines.first()?.0.summary.share_in();
        let apis = self.apis.iter().map(|api| api.blended(share)).collect::<Vec<_>>();
        let (low, high) =
            about(lines.iter().flat_map(|(_, full)| [*full, full / 0.05]).chain(apis.iter().copied()))?;
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            let mut chart = ChartBuilder::on(&area)
                .margin(12)
                .x_label_area_size(44)
                .y_label_area_size(70)
                .build_cartesian_2d(0.0..1.0, (low..high).log_scale())
                .ok()?;
            mesh(&mut chart, "share of paid hours in use", "$ per million tokens", &|x| {
                format!("{:.0} %", 100.0 * x)
            })?;
            dollars(&mut chart, 1.0, (low, high))?;
            for (price, api) in apis.iter().zip(&self.apis) {
                chart
                    .draw_series(LineSeries::new([(0.0, *price), (1.0, *price)], API.stroke_width(1)))
                    .ok()?;
                let label = format!("{} API", api.provider);
                chart
                    .draw_series([Text::new(
                        label,
                        (0.86, price * 1.03),
                        ("sans-serif", 12).into_font().color(&API),
                    )])
                    .ok()?;
            }
            for (row, full) in &lines {
                let colour = SERIES[row.device % SERIES.len()];
                let curve =
                    (5..=100).map(|percent| f64::from(percent) / 100.0).map(|share| (share, full / share));
                chart.draw_series(LineSeries::new(curve, colour.stroke_width(2))).ok()?;
                let even = apis.iter().map(|price| (full / price, *price)).filter(|(share, _)| *share <= 1.0);
                chart.draw_series(even.map(|point| Circle::new(point, 5, colour.filled()))).ok()?;
            }
            area.present().ok()?;
        }
        Some(svg)
    }

    /// Where the time of each load went.
    pub(super) fn time(&self) -> Drawn {
        let told = self.told().filter(|row| row.summary.prefill_share.is_some()).collect::<Vec<_>>();
        if told.is_empty() {
            return None;
        }
        let mut svg = String::new();
        {
            let size = (SIZE.0, 70 + 34 * told.len() as u32);
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            let mut chart = ChartBuilder::on(&area)
                .margin(12)
                .x_label_area_size(40)
                .y_label_area_size(190)
                .build_cartesian_2d(0.0..1.0, 0.0..told.len() as f64)
                .ok()?;
            let last = told.len() - 1;
            let name = |y: &f64| {
                let place = (*y - 0.5).round();
                let row =
                    told.get(last.wrapping_sub(place as usize)).filter(|_| (y - place - 0.5).abs() < 0.01);
                row.map_or(String::new(), |row| format!("{} {}", row.results.setup.device, row.load()))
            };
            chart
                .configure_mesh()
                .disable_y_mesh()
                .light_line_style(FAINT)
                .bold_line_style(FAINT)
                .axis_style(INK)
                .x_labels(6)
                .y_labels(2 * told.len() + 1)
                .x_label_formatter(&|x| format!("{:.0} %", 100.0 * x))
                .y_label_formatter(&name)
                .label_style(("sans-serif", 12).into_font().color(&INK))
                .draw()
                .ok()?;
            for (place, row) in told.iter().enumerate() {
                let y = (last - place) as f64;
                let mut from = 0.0;
                for (share, colour) in parts(row).into_iter().zip(SERIES) {
                    let bar = Rectangle::new([(from, y + 0.2), (from + share, y + 0.8)], colour.filled());
                    chart.draw_series([bar]).ok()?;
                    from += share;
                }
            }
            area.present().ok()?;
        }
        Some(svg)
    }
}

/// Shares of a load's time, in the order of [`PARTS`].
fn parts(row: &Row<'_>) -> [f64; 5] {
    let runs = &row.point.runs;
    let sum = |of: &dyn Fn(&crate::results::Run) -> f64| runs.iter().map(of).sum::<f64>();
    let requests =
        |of: &dyn Fn(&crate::results::Request) -> f64| sum(&|run| run.requests.iter().map(of).sum());
    let parts = [
        requests(&|r| r.prefill_s),
        requests(&|r| r.decode_s),
        sum(&|run| run.padding_s),
        sum(&|run| run.overhead_s),
        sum(&|run| run.idle_s),
    ];
    let all = parts.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    parts.map(|part| part / all)
}

/// Those that no other is both faster and cheaper than, from the slowest on.
fn pareto(mut points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    points.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut least = f64::INFINITY;
    points.retain(|&(_, cost)| {
        let keeps = cost < least;
        least = least.min(cost);
        keeps
    });
    points.reverse();
    points
}

/// A range with some room around values.
fn about(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values
        .filter(|x| x.is_finite() && *x > 0.0)
        .fold((f64::INFINITY, 0.0), |(low, high): (f64, f64), x| (low.min(x), high.max(x)));
    (low <= high).then_some((low / 1.4, high * 1.4))
}

/// A chart over dollars in powers of ten.
type Dear<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, LogCoord<f64>>>;

/// Lines and labels at round dollars: plotters labels powers of ten alone, of which a narrow range may hold none.
fn dollars(chart: &mut Dear<'_, '_>, width: f64, (low, high): (f64, f64)) -> Option<()> {
    let powers = (low.log10().floor() as i32..=high.log10().ceil() as i32).map(|power| 10f64.powi(power));
    let round = powers.flat_map(|power| [1.0, 2.0, 3.0, 5.0, 7.0].map(|digit| digit * power));
    for y in round.filter(|y| (low..=high).contains(y)) {
        chart.draw_series(LineSeries::new([(0.0, y), (width, y)], FAINT.stroke_width(1))).ok()?;
        let style = ("sans-serif", 12).into_font().color(&INK).pos(Pos::new(HPos::Right, VPos::Center));
        let label = EmptyElement::at((0.0, y)) + Text::new(usd(y), (-8, 0), style);
        chart.draw_series([label]).ok()?;
    }
    Some(())
}

/// Axes with what they mean.
fn mesh<'a, X, Y>(
    chart: &mut ChartContext<'a, SVGBackend<'a>, Cartesian2d<X, Y>>,
    x: &str,
    y: &str,
    told_x: &dyn Fn(&f64) -> String,
) -> Option<()>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    let mut mesh = chart.configure_mesh();
    plain(&mut mesh).x_desc(x).y_desc(y).x_label_formatter(&told_x).y_label_formatter(&|_| String::new());
    mesh.draw().ok()
}

/// Lines and letters of all axes.
pub(super) fn plain<'a, 'b, 'c, X: Ranged, Y: Ranged>(
    mesh: &'c mut MeshStyle<'a, 'b, X, Y, SVGBackend<'a>>,
) -> &'c mut MeshStyle<'a, 'b, X, Y, SVGBackend<'a>> {
    let font = |size: u32| ("sans-serif", size).into_font().color(&INK);
    mesh.disable_y_mesh().light_line_style(TRANSPARENT).bold_line_style(FAINT).axis_style(INK);
    mesh.label_style(font(12)).axis_desc_style(font(13))
}
