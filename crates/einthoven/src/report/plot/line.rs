//! Curves: losses over steps, quality over time.

use super::super::estimate::{decimals_for, format_number};
use super::super::figure::{Line, LineSeries};
use super::axis::{Scale, frame, log_range, nice_range};
use super::svg::{Canvas, PathData};
use super::{Drawing, Legend, Mark, Panel, curve_class, marker_class};

const WIDTH: f64 = 580.0;
const HEIGHT: f64 = 320.0;
/// Curves with more points are thinned to the extremes of this many stretches, which look the same.
const N_STRETCHES: usize = 260;
/// Stretches whose means are drawn bold over a long curve.
const N_MEANS: usize = 50;

pub(super) fn draw(plot: &Line) -> Drawing {
    let mut canvas = Canvas::default();
    let is_shown =
        |x: f64, y: f64| x.is_finite() && y.is_finite() && (!plot.is_log_x || x > 0.0) && (!plot.is_log_y || y > 0.0);
    let points = |series: &LineSeries| -> Vec<(f64, f64)> {
        series.x.iter().zip(&series.y).map(|(&x, &y)| if is_shown(x, y) { (x, y) } else { (x, f64::NAN) }).collect()
    };
    let shown: Vec<(f64, f64)> = plot.series.iter().flat_map(points).filter(|(x, y)| is_shown(*x, *y)).collect();
    let range = |is_log: bool, values: Vec<f64>| if is_log { log_range(values) } else { nice_range(values, 6) };
    let from_x = range(plot.is_log_x, shown.iter().map(|point| point.0).collect());
    let from_y = range(plot.is_log_y, shown.iter().map(|point| point.1).collect());
    let x = Scale { from: from_x, to: (52.0, WIDTH - 16.0), is_log: plot.is_log_x };
    let y = Scale { from: from_y, to: (HEIGHT - 44.0, 32.0), is_log: plot.is_log_y };
    frame(&mut canvas, &x, &y, &plot.x_label, &plot.y_label);
    let mut legend = Vec::new();
    let mut said = Vec::new();
    let mut has_means = false;
    for (index, series) in plot.series.iter().enumerate() {
        let points = points(series);
        let trace = |points: &[(f64, f64)]| {
            let mut path = PathData::default();
            for (px, py) in points {
                path.point(x.pixel(*px), y.pixel(*py));
            }
            path.into_string()
        };
        if points.len() > 2 * N_STRETCHES {
            canvas.path(&format!("{} raw", curve_class(index)), &trace(&thin(&points)));
            canvas.path(&curve_class(index), &trace(&means(&points)));
            has_means = true;
        } else {
            canvas.path(&curve_class(index), &trace(&points));
        }
        if series.has_markers {
            for (px, py) in points.iter().filter(|point| point.1.is_finite()) {
                canvas.marker(&marker_class(index), index, x.pixel(*px), y.pixel(*py), 4.5);
            }
        }
        let mark = if series.has_markers { Mark::Marked(index) } else { Mark::Curve(index) };
        legend.push(Legend { mark, label: series.label.clone() });
        let mut finite = points.iter().filter(|point| point.1.is_finite());
        if let (Some(first), Some(last)) = (finite.next(), finite.next_back()) {
            let text = |value: f64| format_number(value, decimals_for(value, 3));
            said.push(format!("{} goes from {} to {}", series.label, text(first.1), text(last.1)));
        }
    }
    if has_means {
        legend.push(Legend { mark: Mark::Thin, label: "faint: every point; bold: their mean".into() });
    }
    let panel = Panel {
        width: WIDTH,
        height: HEIGHT,
        description: format!("{} over {}: {}", plot.y_label, plot.x_label, said.join("; ")),
        body: canvas.body,
    };
    Drawing { panels: vec![panel], legend, n_columns: 1 }
}

/// The mean of each of [`N_MEANS`] stretches, at its middle.
fn means(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    points
        .chunks(points.len().div_ceil(N_MEANS))
        .map(|stretch| {
            let finite: Vec<f64> = stretch.iter().map(|point| point.1).filter(|y| y.is_finite()).collect();
            (stretch[stretch.len() / 2].0, finite.iter().sum::<f64>() / finite.len() as f64)
        })
        .collect()
}

/// Keeps the least and the greatest value of each stretch, in order.
fn thin(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    if points.len() <= 2 * N_STRETCHES {
        return points.to_vec();
    }
    let mut thinned = Vec::with_capacity(2 * N_STRETCHES);
    for stretch in points.chunks(points.len().div_ceil(N_STRETCHES)) {
        let finite = || (0..stretch.len()).filter(|&i| stretch[i].1.is_finite());
        let low = finite().min_by(|&a, &b| stretch[a].1.total_cmp(&stretch[b].1));
        let high = finite().max_by(|&a, &b| stretch[a].1.total_cmp(&stretch[b].1));
        match (low, high) {
            (Some(low), Some(high)) => {
                thinned.push(stretch[low.min(high)]);
                if low != high {
                    thinned.push(stretch[low.max(high)]);
                }
            }
            _ => thinned.push(stretch[0]),
        }
    }
    thinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinning_keeps_the_spikes() {
        let mut points: Vec<(f64, f64)> = (0..10_000).map(|i| (f64::from(i), 1.0)).collect();
        points[5_003].1 = 9.0;
        points[7_001].1 = -3.0;
        let thinned = thin(&points);
        assert!(thinned.len() <= 2 * N_STRETCHES);
        assert!(thinned.contains(&(5_003.0, 9.0)) && thinned.contains(&(7_001.0, -3.0)));
        assert!(thinned.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
