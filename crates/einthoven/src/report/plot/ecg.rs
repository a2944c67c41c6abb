//! Beats on ECG paper: 25 mm/s and 10 mm/mV, so that the squares are square.

use super::super::estimate::{format_count, format_number};
use super::super::figure::{BeatOverlay, BeatPanel};
use super::svg::{Anchor, Canvas, PathData};
use super::{Drawing, Legend, Mark, Panel};

/// Paper speed: a small square (1 mm) is 40 ms.
const MM_PER_S: f64 = 25.0;
/// Gain: a small square (1 mm) is 0.1 mV.
const MM_PER_MV: f64 = 10.0;
/// Size of a small square on the page.
const PX_PER_MM: f64 = 10.0;
const LEFT: f64 = 34.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 46.0;
const RIGHT: f64 = 6.0;
/// Every synthetic panel carries this.
const STAMP: &str = "SYNTHETIC - not for clinical use";

/// The paper under the panels of one row: all have one scale, so that they can be compared by eye.
struct Paper {
    fs_hz: f64,
    r_index: usize,
    /// First and last small square line in time, ms from R.
    time_ms: (f64, f64),
    /// Lowest and highest line, mV.
    level_mv: (f64, f64),
}

impl Paper {
    fn new(plot: &BeatOverlay, row: &[BeatPanel]) -> Paper {
        let fs_hz = if plot.fs_hz > 0.0 { plot.fs_hz } else { 360.0 };
        let sig_len = plot.panels.iter().map(|panel| panel.mean_mv.len()).max().unwrap_or(0).max(2);
        let first_ms = -(plot.r_index as f64) / fs_hz * 1e3;
        let last_ms = (sig_len as f64 - 1.0 - plot.r_index as f64) / fs_hz * 1e3;
        let square_ms = 1e3 / MM_PER_S;
        Paper {
            fs_hz,
            r_index: plot.r_index,
            time_ms: ((first_ms / square_ms).floor() * square_ms, (last_ms / square_ms).ceil() * square_ms),
            level_mv: level_range(row),
        }
    }

    fn x(&self, time_ms: f64) -> f64 {
        LEFT + (time_ms - self.time_ms.0) / 1e3 * MM_PER_S * PX_PER_MM
    }

    fn y(&self, level_mv: f64) -> f64 {
        TOP + (self.level_mv.1 - level_mv) * MM_PER_MV * PX_PER_MM
    }

    fn x_of(&self, index: usize) -> f64 {
        self.x((index as f64 - self.r_index as f64) / self.fs_hz * 1e3)
    }

    /// Small squares, large squares, and the numbers beside the large ones.
    fn draw(&self, canvas: &mut Canvas) {
        let (left, right) = (self.x(self.time_ms.0), self.x(self.time_ms.1));
        let (top, bottom) = (self.y(self.level_mv.1), self.y(self.level_mv.0));
        canvas.rect("paper", left, top, right - left, bottom - top);
        let (mut small, mut large) = (PathData::default(), PathData::default());
        let square_ms = 1e3 / MM_PER_S;
        let columns = (self.time_ms.0 / square_ms).round() as i64..=(self.time_ms.1 / square_ms).round() as i64;
        for k in columns {
            let path = if k % 5 == 0 { &mut large } else { &mut small };
            segment(path, (self.x(k as f64 * square_ms), top), (self.x(k as f64 * square_ms), bottom));
            if k % 5 == 0 {
                let text = format_number(k as f64 * square_ms, 0);
                canvas.text("tick", Anchor::Middle, self.x(k as f64 * square_ms), bottom + 13.0, &text);
            }
        }
        let rows = (self.level_mv.0 * MM_PER_MV).round() as i64..=(self.level_mv.1 * MM_PER_MV).round() as i64;
        for k in rows {
            let level = k as f64 / MM_PER_MV;
            let path = if k % 5 == 0 { &mut large } else { &mut small };
            segment(path, (left, self.y(level)), (right, self.y(level)));
            if k % 5 == 0 {
                canvas.text("tick", Anchor::End, left - 4.0, self.y(level) + 3.5, &format_number(level, 1));
            }
        }
        canvas.path("mm1", &small.into_string());
        canvas.path("mm5", &large.into_string());
        canvas.text("tick", Anchor::End, left - 4.0, top - 9.0, "mV");
        let middle = (left + right) / 2.0;
        canvas.text("tick", Anchor::Middle, middle, bottom + 27.0, "time from R (ms)");
        canvas.text("tick", Anchor::Middle, middle, bottom + 41.0, &format!("{MM_PER_S} mm/s · {MM_PER_MV} mm/mV"));
    }

    fn trace(&self, levels: impl IntoIterator<Item = f64>) -> String {
        let mut path = PathData::default();
        for (index, level) in levels.into_iter().enumerate() {
            path.point(self.x_of(index), self.y(level));
        }
        path.into_string()
    }
}

fn segment(path: &mut PathData, from: (f64, f64), to: (f64, f64)) {
    path.point(f64::NAN, f64::NAN);
    path.point(from.0, from.1);
    path.point(to.0, to.1);
}

/// All that is drawn, to whole large squares; single beats more than 1 mV beyond the spread are cut at the edge.
fn level_range(row: &[BeatPanel]) -> (f64, f64) {
    let (mut low, mut high) = (0.0f64, 0.5f64);
    let (mut low_mean, mut high_mean) = (0.0f64, 0.0f64);
    for panel in row {
        for &value in panel.beats_mv.iter().flatten() {
            (low, high) = (low.min(f64::from(value)), high.max(f64::from(value)));
        }
        for (&mean, &sd) in panel.mean_mv.iter().zip(&panel.sd_mv) {
            low_mean = low_mean.min(f64::from(mean - sd));
            high_mean = high_mean.max(f64::from(mean + sd));
        }
    }
    let (low, high) = (low.max(low_mean - 1.0).min(low_mean), high.min(high_mean + 1.0).max(high_mean));
    ((low * 2.0).floor() / 2.0, (high * 2.0).ceil() / 2.0)
}

pub(super) fn draw(plot: &BeatOverlay) -> Drawing {
    let n_columns = plot.n_columns.max(1);
    let mut sources: Vec<&str> = Vec::new();
    for panel in &plot.panels {
        if !sources.contains(&panel.source.as_str()) {
            sources.push(&panel.source);
        }
    }
    let panels = plot
        .panels
        .chunks(n_columns)
        .flat_map(|row| {
            let paper = Paper::new(plot, row);
            let series = |panel: &BeatPanel| sources.iter().position(|source| *source == panel.source).unwrap_or(0);
            row.iter().map(|panel| draw_panel(&paper, panel, series(panel))).collect::<Vec<_>>()
        })
        .collect();
    let legend = vec![
        Legend { mark: Mark::Thin, label: format!("single beats (at most {})", super::super::MAX_OVERLAID_BEATS) },
        Legend { mark: Mark::Mean, label: "mean of all beats".into() },
        Legend { mark: Mark::Band, label: "mean ± 1 sd".into() },
    ];
    Drawing { panels, legend, n_columns }
}

fn draw_panel(paper: &Paper, panel: &BeatPanel, series: usize) -> Panel {
    let mut canvas = Canvas::default();
    let (right, bottom) = (paper.x(paper.time_ms.1), paper.y(paper.level_mv.0));
    paper.draw(&mut canvas);
    let heading = format!("{} · {}", panel.label, panel.source);
    canvas.text("head", Anchor::Start, LEFT, 13.0, &heading);
    let count = format!("n = {}", format_count(panel.n_beats));
    canvas.text("tick", Anchor::End, right, 13.0, &count);
    if panel.is_synthetic {
        canvas.text("stamp", Anchor::End, right, TOP - 8.0, STAMP);
    } else {
        canvas.text("tick", Anchor::End, right, TOP - 8.0, "recorded beats");
    }
    // A nested drawing cuts what leaves the paper.
    let (width, height) = (right - LEFT, bottom - TOP);
    canvas.body.push_str(&format!(
        r#"<svg x="{LEFT}" y="{TOP}" width="{width:.1}" height="{height:.1}" viewBox="{LEFT} {TOP} {width:.1} {height:.1}"><g class="s{}">"#,
        series % super::N_STYLES
    ));
    for beat in &panel.beats_mv {
        canvas.path("beat", &paper.trace(beat.iter().map(|&v| f64::from(v))));
    }
    let edge = |sign: f64| {
        panel.mean_mv.iter().zip(&panel.sd_mv).map(move |(&mean, &sd)| f64::from(mean) + sign * f64::from(sd))
    };
    let mut band = PathData::default();
    for (index, level) in edge(1.0).enumerate() {
        band.point(paper.x_of(index), paper.y(level));
    }
    for (index, level) in edge(-1.0).enumerate().collect::<Vec<_>>().into_iter().rev() {
        band.point(paper.x_of(index), paper.y(level));
    }
    if !panel.mean_mv.is_empty() {
        band.close();
    }
    canvas.path("band", &band.into_string());
    canvas.path("edge", &paper.trace(edge(1.0)));
    canvas.path("edge", &paper.trace(edge(-1.0)));
    canvas.path("mean", &paper.trace(panel.mean_mv.iter().map(|&v| f64::from(v))));
    canvas.body.push_str("</g></svg>");
    if panel.n_beats == 0 {
        canvas.text("tick", Anchor::Middle, (LEFT + right) / 2.0, (TOP + bottom) / 2.0, "no beats");
    }
    let kind = if panel.is_synthetic { "synthetic" } else { "recorded" };
    let peak = panel.mean_mv.iter().copied().fold(0.0f32, |a, b| if b.abs() > a.abs() { b } else { a });
    Panel {
        width: right + RIGHT,
        height: bottom + BOTTOM,
        description: format!(
            "{heading}: {} {kind} beats overlaid on ECG paper; the mean peaks at {peak:.2} mV",
            panel.beats_mv.len()
        ),
        body: canvas.body,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlay() -> BeatOverlay {
        let beat: Vec<f32> = (0..256).map(|i| (-((i as f32 - 128.0) / 4.0).powi(2)).exp()).collect();
        let panel = |is_synthetic| BeatPanel::from_beats("N", "any", is_synthetic, [beat.as_slice(), &beat]);
        BeatOverlay { fs_hz: 360.0, r_index: 128, panels: vec![panel(false), panel(true)], n_columns: 2 }
    }

    #[test]
    fn squares_are_square_and_the_r_peak_is_at_zero() {
        let overlay = overlay();
        let paper = Paper::new(&overlay, &overlay.panels);
        assert!((paper.x(40.0) - paper.x(0.0) - PX_PER_MM).abs() < 1e-9);
        assert!((paper.y(0.0) - paper.y(0.1) - PX_PER_MM).abs() < 1e-9);
        assert_eq!(paper.x_of(128), paper.x(0.0));
        assert_eq!(paper.time_ms, (-360.0, 360.0));
        assert_eq!(paper.level_mv, (0.0, 1.0));
    }

    #[test]
    fn only_synthetic_panels_are_stamped() {
        let drawing = draw(&overlay());
        assert!(!drawing.panels[0].body.contains(STAMP));
        assert!(drawing.panels[1].body.contains(STAMP));
    }
}
