//! Figures as data: the numbers that [`super::plot`] draws, in the units that the axes show.

use serde::{Deserialize, Serialize};

use super::estimate::{Estimate, nan_from_null, nans_from_nulls};

/// A figure: a title, a caption, and the data of one plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Short lower-case name, unique in the report.
    pub id: String,
    /// What the figure shows.
    pub title: String,
    /// How to read it; what the reader should see.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caption: String,
    /// The data.
    pub plot: Plot,
}

impl Figure {
    /// A figure without a caption.
    pub fn new(id: impl Into<String>, title: impl Into<String>, plot: impl Into<Plot>) -> Figure {
        Figure { id: id.into(), title: title.into(), caption: String::new(), plot: plot.into() }
    }

    /// Says how to read it.
    pub fn caption(mut self, caption: impl Into<String>) -> Figure {
        self.caption = caption.into();
        self
    }
}

/// The plots that we can draw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Plot {
    /// Many beats on ECG paper.
    BeatOverlay(BeatOverlay),
    /// Power spectral density in dB.
    Spectrum(Spectrum),
    /// Estimates with intervals, one per row.
    Forest(Forest),
    /// Bars with intervals.
    Bars(Bars),
    /// Curves, such as losses.
    Line(Line),
    /// Distributions as outlines.
    Histogram(Histogram),
    /// Confusion matrices.
    ConfusionMatrix(ConfusionMatrix),
    /// Reliability diagram.
    Reliability(Reliability),
}

/// Beats of several classes and sources on ECG paper, one panel each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeatOverlay {
    /// Sampling rate.
    pub fs_hz: f64,
    /// Point at which time is zero: the R annotation.
    pub r_index: usize,
    /// Panels, row by row.
    pub panels: Vec<BeatPanel>,
    /// Panels in a row, such as the number of sources.
    pub n_columns: usize,
}

/// One panel of a [`BeatOverlay`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BeatPanel {
    /// Class, such as `V`.
    pub label: String,
    /// Where the beats come from, such as `real` or `DGN`.
    pub source: String,
    /// Whether the beats are synthetic; if so the panel is marked.
    pub is_synthetic: bool,
    /// Beats behind mean and spread.
    pub n_beats: u64,
    /// Some of the beats `[beat, time]`, mV, rounded to 0.1 uV.
    pub beats_mv: Vec<Vec<f32>>,
    /// Mean over all beats `[time]`, mV.
    pub mean_mv: Vec<f32>,
    /// Standard deviation over all beats `[time]`, mV.
    pub sd_mv: Vec<f32>,
}

/// Most beats that one panel keeps: more than this is a solid area, and a large file.
pub const MAX_OVERLAID_BEATS: usize = 40;

impl BeatPanel {
    /// Takes mean and spread over all beats and keeps at most [`MAX_OVERLAID_BEATS`], evenly spaced.
    ///
    /// # Shape
    /// `beats` are `[beat, time]` in mV and of one length; a beat of another length, or one that is
    /// not finite, is left out and not counted.
    pub fn from_beats<'a>(
        label: impl Into<String>,
        source: impl Into<String>,
        is_synthetic: bool,
        beats: impl IntoIterator<Item = &'a [f32]>,
    ) -> BeatPanel {
        let mut kept: Vec<&[f32]> = beats.into_iter().filter(|beat| beat.iter().all(|v| v.is_finite())).collect();
        let sig_len = kept.first().map_or(0, |beat| beat.len());
        kept.retain(|beat| beat.len() == sig_len);
        let n = kept.len() as f64;
        let mut mean = vec![0.0f64; sig_len];
        for beat in &kept {
            for (sum, &value) in mean.iter_mut().zip(*beat) {
                *sum += f64::from(value) / n;
            }
        }
        let mut variance = vec![0.0f64; sig_len];
        for beat in &kept {
            for ((sum, &value), mean) in variance.iter_mut().zip(*beat).zip(&mean) {
                *sum += (f64::from(value) - mean).powi(2) / (n - 1.0).max(1.0);
            }
        }
        let shown = kept.len().min(MAX_OVERLAID_BEATS);
        let beats_mv = (0..shown)
            .map(|i| kept[i * kept.len() / shown].iter().map(|&v| round_mv(f64::from(v))).collect())
            .collect();
        BeatPanel {
            label: label.into(),
            source: source.into(),
            is_synthetic,
            n_beats: kept.len() as u64,
            beats_mv,
            mean_mv: mean.into_iter().map(round_mv).collect(),
            sd_mv: variance.into_iter().map(|v| round_mv(v.sqrt())).collect(),
        }
    }
}

/// Rounds to 0.1 uV, far below the resolution of any recorder, to keep the files small.
fn round_mv(value: f64) -> f32 {
    ((value * 1e4).round() / 1e4) as f32
}

/// Power spectral densities, one panel per class.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Spectrum {
    /// Panels.
    pub panels: Vec<SpectrumPanel>,
    /// Label of the y axis, such as `PSD (dB re 1 mV²/Hz)`.
    pub y_label: String,
    /// Frequencies above this are not drawn.
    pub max_hz: f64,
}

/// One panel of a [`Spectrum`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpectrumPanel {
    /// Class, such as `V`.
    pub label: String,
    /// One curve per source; the first should be the real data.
    pub series: Vec<SpectrumSeries>,
}

/// One curve of a [`SpectrumPanel`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpectrumSeries {
    /// Source, such as `real`.
    pub label: String,
    /// Frequencies in Hz, increasing.
    pub frequency_hz: Vec<f64>,
    /// Level at each frequency in dB.
    #[serde(deserialize_with = "nans_from_nulls")]
    pub level_db: Vec<f64>,
    /// Lower edge of a band around the curve; empty for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "nans_from_nulls")]
    pub low_db: Vec<f64>,
    /// Upper edge of a band around the curve; empty for none.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "nans_from_nulls")]
    pub high_db: Vec<f64>,
}

/// Estimates with intervals, one per row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forest {
    /// Label of the x axis with its unit.
    pub x_label: String,
    /// Rows from top to bottom.
    pub rows: Vec<ForestRow>,
    /// Vertical reference line; none for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Marker>,
    /// Band within which a difference counts as none, such as the equivalence margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<Margin>,
}

/// A row of a [`Forest`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ForestRow {
    /// Row label.
    pub label: String,
    /// Whether the row is a control, drawn hollow.
    pub is_control: bool,
    /// The estimate; its published value is drawn as a diamond.
    pub estimate: Estimate,
}

/// A value worth a line across the plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Marker {
    /// Where, in the unit of the axis.
    #[serde(deserialize_with = "nan_from_null")]
    pub value: f64,
    /// What it is.
    pub label: String,
}

/// A range worth a band across the plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Margin {
    /// Lower edge.
    #[serde(deserialize_with = "nan_from_null")]
    pub low: f64,
    /// Upper edge.
    #[serde(deserialize_with = "nan_from_null")]
    pub high: f64,
    /// What it is.
    pub label: String,
}

/// Bars with intervals: one group per category, one bar per series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bars {
    /// Label of the y axis with its unit.
    pub y_label: String,
    /// Categories from left to right, such as classes.
    pub categories: Vec<String>,
    /// Series, each with one value per category.
    pub series: Vec<BarSeries>,
    /// Horizontal reference line; none for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Marker>,
}

/// One series of [`Bars`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BarSeries {
    /// What the series is.
    pub label: String,
    /// One value per category.
    pub values: Vec<Estimate>,
}

/// Curves over a common axis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Label of the x axis with its unit.
    pub x_label: String,
    /// Label of the y axis with its unit.
    pub y_label: String,
    /// Whether the x axis is logarithmic; values that are not positive are left out.
    pub is_log_x: bool,
    /// Whether the y axis is logarithmic; values that are not positive are left out.
    pub is_log_y: bool,
    /// Curves.
    pub series: Vec<LineSeries>,
}

/// One curve of a [`Line`] plot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LineSeries {
    /// What the curve is.
    pub label: String,
    /// Positions, increasing.
    #[serde(deserialize_with = "nans_from_nulls")]
    pub x: Vec<f64>,
    /// Values; a gap where not finite.
    #[serde(deserialize_with = "nans_from_nulls")]
    pub y: Vec<f64>,
    /// Whether each point gets a marker: right for few measured points, wrong for a long curve.
    #[serde(default)]
    pub has_markers: bool,
}

/// Distributions on common bins, drawn as outlines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// Label of the x axis with its unit.
    pub x_label: String,
    /// Edges of the bins, one more than bins.
    pub edges: Vec<f64>,
    /// Distributions.
    pub series: Vec<HistogramSeries>,
    /// Vertical lines, such as percentiles.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub markers: Vec<Marker>,
}

/// One distribution of a [`Histogram`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistogramSeries {
    /// What is counted.
    pub label: String,
    /// Items per bin.
    pub counts: Vec<u64>,
}

impl Histogram {
    /// Counts values into `n_bins` equal bins that span all series.
    ///
    /// Values that are not finite are left out.
    pub fn from_values(x_label: impl Into<String>, n_bins: usize, series: &[(&str, &[f64])]) -> Histogram {
        let n_bins = n_bins.max(1);
        let finite = || series.iter().flat_map(|(_, values)| values.iter().copied()).filter(|v| v.is_finite());
        let low = finite().fold(f64::INFINITY, f64::min);
        let high = finite().fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if low < high {
            (low, high)
        } else if low.is_finite() {
            (low - 0.5, low + 0.5)
        } else {
            (0.0, 1.0)
        };
        let width = (high - low) / n_bins as f64;
        let count = |values: &[f64]| {
            let mut counts = vec![0u64; n_bins];
            for value in values.iter().filter(|value| value.is_finite()) {
                counts[(((value - low) / width) as usize).min(n_bins - 1)] += 1;
            }
            counts
        };
        Histogram {
            x_label: x_label.into(),
            edges: (0..=n_bins).map(|i| low + width * i as f64).collect(),
            series: series
                .iter()
                .map(|(label, values)| HistogramSeries { label: (*label).into(), counts: count(values) })
                .collect(),
            markers: Vec::new(),
        }
    }
}

/// Confusion matrices side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfusionMatrix {
    /// Classes in order.
    pub classes: Vec<String>,
    /// One matrix per training condition.
    pub panels: Vec<ConfusionPanel>,
}

/// One matrix of a [`ConfusionMatrix`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfusionPanel {
    /// What the classifier was trained on.
    pub label: String,
    /// Counts `[true class, predicted class]`.
    pub counts: Vec<Vec<u64>>,
}

/// Reliability diagram: how often a classifier is right at each stated confidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// One curve per training condition.
    pub series: Vec<ReliabilitySeries>,
}

/// One curve of a [`Reliability`] diagram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReliabilitySeries {
    /// What the classifier was trained on.
    pub label: String,
    /// Expected calibration error, printed in the legend; NaN for none.
    #[serde(deserialize_with = "nan_from_null")]
    pub ece: f64,
    /// Bins in order of confidence; empty bins may be left out.
    pub bins: Vec<ReliabilityBin>,
}

/// One bin of a [`ReliabilitySeries`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// Mean stated confidence, 0 to 1.
    #[serde(deserialize_with = "nan_from_null")]
    pub confidence: f64,
    /// Fraction that was right, 0 to 1.
    #[serde(deserialize_with = "nan_from_null")]
    pub accuracy: f64,
    /// Items in the bin.
    pub n: u64,
}

macro_rules! plot_from {
    ($($variant:ident),*) => {
        $(impl From<$variant> for Plot {
            fn from(plot: $variant) -> Plot {
                Plot::$variant(plot)
            }
        })*
    };
}
plot_from!(BeatOverlay, Spectrum, Forest, Bars, Line, Histogram, ConfusionMatrix, Reliability);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panel_keeps_few_beats_but_averages_all() {
        let beats: Vec<Vec<f32>> = (0..100).map(|i| vec![i as f32, 2.0]).collect();
        let mut all: Vec<&[f32]> = beats.iter().map(Vec::as_slice).collect();
        let broken = [f32::NAN, 0.0];
        all.push(&broken);
        let panel = BeatPanel::from_beats("N", "real", false, all);
        assert_eq!(panel.n_beats, 100);
        assert_eq!(panel.beats_mv.len(), MAX_OVERLAID_BEATS);
        assert_eq!(panel.mean_mv, [49.5, 2.0]);
        // The sample variance of 0..n-1 is n (n + 1) / 12.
        assert!((f64::from(panel.sd_mv[0]) - (100.0f64 * 101.0 / 12.0).sqrt()).abs() < 1e-3);
        assert_eq!(panel.sd_mv[1], 0.0);
    }

    #[test]
    fn a_panel_of_no_beats_is_empty() {
        let panel = BeatPanel::from_beats("Q", "real", false, []);
        assert_eq!((panel.n_beats, panel.beats_mv.len(), panel.mean_mv.len()), (0, 0, 0));
    }

    #[test]
    fn a_histogram_counts_every_finite_value_once() {
        let histogram = Histogram::from_values("d", 4, &[("a", &[0.0, 1.0, 3.999, 4.0, f64::NAN]), ("b", &[2.0])]);
        assert_eq!(histogram.edges, [0.0, 1.0, 2.0, 3.0, 4.0]);
        assert_eq!(histogram.series[0].counts, [1, 1, 0, 2]);
        assert_eq!(histogram.series[1].counts, [0, 0, 1, 0]);
    }
}
