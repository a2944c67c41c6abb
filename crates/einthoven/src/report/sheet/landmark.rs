//! Landmarks over a trace: where waves begin, peak and end, or what an annotator said of a beat.

use super::page::{Anchor, Ink, Page};
use crate::error::{Error, Result};
use crate::record::fiducial::from_annotations;
use crate::record::lead_law::standard_name;
use crate::record::{Annotation, Fiducial, Record, Wave};

/// Which annotations are drawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Landmarks {
    /// None.
    #[default]
    None,
    /// On each lead those of the annotator that is named after it, as LUDB has them.
    PerLead,
    /// On each lead those of this annotator.
    Annotator(String),
}

/// A window of a lead on the page.
pub(super) struct Window<'a> {
    pub start_s: f64,
    pub seconds: f64,
    /// Where the window starts, mm.
    pub left_mm: f64,
    pub baseline_mm: f64,
    pub speed_mm_per_s: f64,
    /// Height of the trace above the baseline at a time, mm.
    pub height_mm: &'a dyn Fn(f64) -> f64,
    /// Where rows are narrow, how far below the baseline all letters stand, mm; else they stand at their peaks.
    pub letters_below_mm: Option<f64>,
}

/// Annotations of the record that belong to a lead.
///
/// # Errors
/// [`Error::Unknown`] when the record has no such annotator, [`Error::Data`] when it has no annotations at all, or none
/// of an annotator named after a lead.
pub(super) fn marks<'a>(record: &'a Record, lead: Option<usize>, which: &Landmarks) -> Result<&'a [Annotation]> {
    let unknown = |name: &str| Error::Unknown {
        kind: "annotator",
        name: name.to_string(),
        known: record.annotations.keys().cloned().collect(),
    };
    if *which != Landmarks::None && record.annotations.is_empty() {
        return Err(Error::data(&record.name, "found no annotation file beside it, expected landmarks to draw"));
    }
    match which {
        Landmarks::None => Ok(&[]),
        Landmarks::Annotator(name) => match record.annotations.get(name) {
            Some(marks) => Ok(marks),
            None => Err(unknown(name)),
        },
        Landmarks::PerLead => {
            if !record.annotations.keys().any(|name| standard_name(name).is_some()) {
                let names: Vec<&str> = record.annotations.keys().map(String::as_str).collect();
                let reason = format!("found the annotators {}, expected some named after leads", names.join(", "));
                return Err(Error::data(&record.name, reason));
            }
            let name = lead.map(|lead| record.leads[lead].name.as_str()).unwrap_or_default();
            let is_its = |annotator: &str| {
                annotator.eq_ignore_ascii_case(name)
                    || (standard_name(annotator).is_some() && standard_name(annotator) == standard_name(name))
            };
            let found = record.annotations.iter().find(|(annotator, _)| is_its(annotator));
            Ok(found.map_or(&[], |(_, marks)| marks))
        }
    }
}

/// Draws the landmarks of a window: brackets at the ends of waves, a letter at their peak. Marks without boundaries
/// are beats, whose symbol stands above the trace, with rhythm changes above that.
pub(super) fn draw(page: &mut Page, marks: &[Annotation], fs_hz: f64, window: &Window) {
    let is_inside = |at: f64| (window.start_s..window.start_s + window.seconds).contains(&at);
    if has_boundaries(marks) {
        for fiducial in from_annotations(marks) {
            wave(page, &fiducial, fs_hz, window, &is_inside);
        }
        return;
    }
    for mark in marks.iter().filter(|mark| mark.sample >= 0 && is_inside(mark.sample as f64 / fs_hz)) {
        let at = mark.sample as f64 / fs_hz;
        let x = window.left_mm + (at - window.start_s) * window.speed_mm_per_s;
        let is_text = matches!(&*mark.symbol, "+" | "\"");
        let text = if is_text { mark.aux_text().trim_start_matches('(').to_string() } else { mark.symbol.to_string() };
        // Above the complex, which may be a twentieth of a second beside the mark, and still on the paper.
        let heights = (-10..=10).map(|k| (window.height_mm)(at + 0.005 * f64::from(k)));
        let above = heights.fold(9.4, f64::max) + if is_text { 4.0 } else { 1.2 };
        let y = window.baseline_mm - above.min(window.baseline_mm - page.paper.top_mm - 2.4);
        page.text(Ink::Qrs, if is_text { Anchor::Start } else { Anchor::Middle }, (x, y), 2.6, text);
    }
}

/// Whether annotations tell where waves begin and end.
pub(super) fn has_boundaries(marks: &[Annotation]) -> bool {
    marks.iter().any(|mark| mark.symbol == "(" || mark.symbol == ")")
}

fn wave(page: &mut Page, fiducial: &Fiducial, fs_hz: f64, window: &Window, is_inside: &dyn Fn(f64) -> bool) {
    let (ink, letter) = match fiducial.wave {
        Wave::P => (Ink::P, "P"),
        Wave::Qrs => (Ink::Qrs, "QRS"),
        Wave::T => (Ink::T, "T"),
    };
    let place = |at: usize| {
        let at_s = at as f64 / fs_hz;
        let x = window.left_mm + (at_s - window.start_s) * window.speed_mm_per_s;
        is_inside(at_s).then(|| (x, window.baseline_mm - (window.height_mm)(at_s)))
    };
    for (boundary, foot) in [(fiducial.onset, 0.6), (fiducial.offset, -0.6)] {
        if let Some((x, y)) = boundary.and_then(place) {
            page.stroke(ink, 0.22, vec![(x + foot, y - 1.6), (x, y - 1.6), (x, y + 1.6), (x + foot, y + 1.6)]);
        }
    }
    if let Some((x, y)) = place(fiducial.peak) {
        let (y, size) = match window.letters_below_mm {
            Some(below) => (window.baseline_mm + below, 1.8),
            None if y <= window.baseline_mm => (y - 1.0, 2.2),
            None => (y + 2.8, 2.2),
        };
        page.text(ink, Anchor::Middle, (x, y), size, letter);
    }
}
