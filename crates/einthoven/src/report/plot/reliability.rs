//! Reliability diagram: stated confidence against the fraction that was right.

use super::super::estimate::format_number;
use super::super::figure::Reliability;
use super::axis::{Scale, frame};
use super::svg::{Canvas, PathData};
use super::{Drawing, Legend, Mark, Panel, curve_class, marker_class};

const SIZE: f64 = 420.0;

pub(super) fn draw(plot: &Reliability) -> Drawing {
    let mut canvas = Canvas::default();
    let x = Scale { from: (0.0, 1.0), to: (52.0, SIZE - 16.0), is_log: false };
    let y = Scale { from: (0.0, 1.0), to: (SIZE - 44.0, 32.0), is_log: false };
    frame(&mut canvas, &x, &y, "stated confidence", "fraction right");
    canvas.line("reference", (x.to.0, y.to.0), (x.to.1, y.to.1));
    let mut legend = Vec::new();
    let most = plot.series.iter().flat_map(|series| &series.bins).map(|bin| bin.n).max().unwrap_or(1).max(1);
    for (index, series) in plot.series.iter().enumerate() {
        let bins: Vec<_> = series.bins.iter().filter(|bin| bin.n > 0 && bin.accuracy.is_finite()).collect();
        let mut path = PathData::default();
        for bin in &bins {
            path.point(x.pixel(bin.confidence), y.pixel(bin.accuracy));
        }
        canvas.path(&curve_class(index), &path.into_string());
        for bin in &bins {
            // Area in proportion to the count, with a floor that stays visible.
            let r = 2.5 + 6.0 * (bin.n as f64 / most as f64).sqrt();
            canvas.marker(&marker_class(index), index, x.pixel(bin.confidence), y.pixel(bin.accuracy), r);
        }
        let label = if series.ece.is_finite() {
            format!("{} (ECE {})", series.label, format_number(series.ece, 3))
        } else {
            series.label.clone()
        };
        legend.push(Legend { mark: Mark::Marked(index), label });
    }
    legend.push(Legend { mark: Mark::Reference, label: "perfectly calibrated".into() });
    let said: Vec<&str> = legend.iter().map(|entry| entry.label.as_str()).collect();
    let panel = Panel {
        width: SIZE,
        height: SIZE,
        description: format!("Reliability diagram; marker area shows the number of beats: {}", said.join("; ")),
        body: canvas.body,
    };
    Drawing { panels: vec![panel], legend, n_columns: 1 }
}
