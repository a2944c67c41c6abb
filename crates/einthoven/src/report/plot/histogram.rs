//! Distributions on common bins as outlines, as fractions of each series, so that sizes do not matter.

use super::super::figure::Histogram;
use super::axis::{Scale, frame, nice_range};
use super::svg::{Anchor, Canvas, PathData};
use super::{Drawing, Legend, Mark, Panel, curve_class};

const WIDTH: f64 = 580.0;
const HEIGHT: f64 = 320.0;

pub(super) fn draw(plot: &Histogram) -> Drawing {
    let mut canvas = Canvas::default();
    let fractions: Vec<Vec<f64>> = plot
        .series
        .iter()
        .map(|series| {
            let total = series.counts.iter().sum::<u64>().max(1) as f64;
            series.counts.iter().map(|&count| count as f64 / total).collect()
        })
        .collect();
    let markers = plot.markers.iter().map(|marker| marker.value);
    let from = nice_range(plot.edges.iter().copied().chain(markers), 6);
    let (_, top) = nice_range(fractions.iter().flatten().copied().chain([0.0]), 5);
    let x = Scale { from, to: (52.0, WIDTH - 16.0), is_log: false };
    let y = Scale { from: (0.0, top), to: (HEIGHT - 44.0, 32.0), is_log: false };
    frame(&mut canvas, &x, &y, &plot.x_label, "fraction per bin");
    let mut legend = Vec::new();
    for (index, (series, fractions)) in plot.series.iter().zip(&fractions).enumerate() {
        let mut outline = PathData::default();
        if let Some(&first) = plot.edges.first() {
            outline.point(x.pixel(first), y.pixel(0.0));
        }
        for (bin, &fraction) in plot.edges.windows(2).zip(fractions) {
            outline.point(x.pixel(bin[0]), y.pixel(fraction));
            outline.point(x.pixel(bin[1]), y.pixel(fraction));
        }
        if let Some(&last) = plot.edges.last() {
            outline.point(x.pixel(last), y.pixel(0.0));
        }
        let outline = outline.into_string();
        canvas.path(&format!("band faint s{}", index % super::N_STYLES), &outline);
        canvas.path(&curve_class(index), &outline);
        let n = super::super::estimate::format_count(series.counts.iter().sum());
        legend.push(Legend { mark: Mark::Curve(index), label: format!("{} (n = {n})", series.label) });
    }
    for (index, marker) in plot.markers.iter().enumerate() {
        let at = x.pixel(marker.value);
        canvas.line("reference", (at, y.to.1), (at, y.to.0));
        let is_right = at > WIDTH * 0.7;
        let (anchor, offset) = if is_right { (Anchor::End, -5.0) } else { (Anchor::Start, 5.0) };
        canvas.text("tick halo", anchor, at + offset, y.to.1 + 10.0 + 15.0 * index as f64, &marker.label);
    }
    let said: Vec<String> = plot
        .series
        .iter()
        .zip(&fractions)
        .filter_map(|(series, fractions)| {
            let mode = (0..fractions.len()).max_by(|&a, &b| fractions[a].total_cmp(&fractions[b]))?;
            Some(format!("{} is most frequent near {:.3}", series.label, plot.edges.get(mode)?))
        })
        .collect();
    let panel = Panel {
        width: WIDTH,
        height: HEIGHT,
        description: format!("Distribution of {}: {}", plot.x_label, said.join("; ")),
        body: canvas.body,
    };
    Drawing { panels: vec![panel], legend, n_columns: 1 }
}
