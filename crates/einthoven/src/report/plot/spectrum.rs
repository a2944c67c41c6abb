//! Power spectral densities in dB, one panel per class, one curve per source.

use super::super::figure::{Spectrum, SpectrumPanel};
use super::axis::{Scale, frame, nice_range};
use super::svg::{Anchor, Canvas, PathData};
use super::{Drawing, Legend, Mark, Panel, curve_class};

const WIDTH: f64 = 290.0;
const HEIGHT: f64 = 240.0;

pub(super) fn draw(plot: &Spectrum) -> Drawing {
    let shown = |panel: &SpectrumPanel| {
        panel
            .series
            .iter()
            .flat_map(|series| {
                let levels = series.level_db.iter().chain(&series.low_db).chain(&series.high_db);
                let frequencies = series.frequency_hz.iter().cycle();
                levels.zip(frequencies).filter(|(_, f)| **f <= plot.max_hz).map(|(level, _)| *level)
            })
            .collect::<Vec<f64>>()
    };
    let (low, high) = nice_range(plot.panels.iter().flat_map(shown), 5);
    let x = Scale { from: (0.0, plot.max_hz.max(1.0)), to: (44.0, WIDTH - 10.0), is_log: false };
    let y = Scale { from: (low, high), to: (HEIGHT - 44.0, 50.0), is_log: false };
    let panels = plot.panels.iter().map(|panel| draw_panel(plot, panel, &x, &y)).collect();
    let mut legend: Vec<Legend> = Vec::new();
    for (index, series) in plot.panels.iter().flat_map(|panel| panel.series.iter().enumerate()) {
        if !legend.iter().any(|entry| entry.label == series.label) {
            legend.push(Legend { mark: Mark::Curve(index), label: series.label.clone() });
        }
    }
    Drawing { panels, legend, n_columns: 3 }
}

fn draw_panel(plot: &Spectrum, panel: &SpectrumPanel, x: &Scale, y: &Scale) -> Panel {
    let mut canvas = Canvas::default();
    canvas.text("head", Anchor::Start, 6.0, 16.0, &panel.label);
    frame(&mut canvas, x, y, "frequency (Hz)", &plot.y_label);
    let mut said = Vec::new();
    for (index, series) in panel.series.iter().enumerate() {
        let within = series.frequency_hz.iter().take_while(|f| **f <= plot.max_hz).count();
        let points = |levels: &[f64]| -> Vec<(f64, f64)> {
            series.frequency_hz[..within].iter().zip(levels).map(|(&f, &level)| (x.pixel(f), y.pixel(level))).collect()
        };
        if series.low_db.len() >= within && series.high_db.len() >= within && within > 0 {
            let mut band = PathData::default();
            for (px, py) in points(&series.high_db).into_iter().chain(points(&series.low_db).into_iter().rev()) {
                if py.is_finite() {
                    band.point(px, py);
                }
            }
            band.close();
            canvas.path(&format!("band s{}", index % super::N_STYLES), &band.into_string());
        }
        let mut path = PathData::default();
        for (px, py) in points(&series.level_db) {
            path.point(px, py);
        }
        canvas.path(&curve_class(index), &path.into_string());
        let peak = series.level_db[..within.min(series.level_db.len())]
            .iter()
            .zip(&series.frequency_hz)
            .filter(|(level, _)| level.is_finite())
            .max_by(|a, b| a.0.total_cmp(b.0));
        if let Some((level, frequency)) = peak {
            said.push(format!("{} peaks at {level:.1} dB near {frequency:.1} Hz", series.label));
        }
    }
    Panel {
        width: WIDTH,
        height: HEIGHT,
        description: format!("Spectra of {}: {}", panel.label, said.join("; ")),
        body: canvas.body,
    }
}
