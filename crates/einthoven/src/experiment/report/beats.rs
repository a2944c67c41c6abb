//! Real and generated beats in the report: overlays and spectra.

use super::real_word;
use crate::dataset::Dataset;
use crate::error::Result;
use crate::evaluation::fidelity::spectrum;
use crate::report::{BeatOverlay, BeatPanel, Figure, Report, Spectrum, SpectrumPanel, SpectrumSeries};

/// Overlays and spectra of the beats that generators learned from and of those that they made.
///
/// # Errors
/// As [`spectra`].
pub fn beats_section(report: &mut Report, real: &Dataset, judged: &[(String, Dataset)]) -> Result<()> {
    let spectra = spectra(real, judged)?;
    report
        .section("beats", "Real and generated beats")
        .text(
            "Each panel overlays up to 40 beats with the mean and one standard deviation over all beats of the class. \
             Real beats are those that the generators learned from.",
        )
        .figure(beat_overlay(real, judged, real.sig_len / 2))
        .figure(spectra.caption(
            "Welch spectra of single beats: median over beats; the band holds the middle half of the real beats.",
        ));
    Ok(())
}

/// Overlays of the beats that generators learned from and of those that they made, R at `r_index`.
pub fn beat_overlay(real: &Dataset, judged: &[(String, Dataset)], r_index: usize) -> Figure {
    let (sources, lead) = (shown_sources(real, judged), shown_lead(real));
    let mut panels = Vec::new();
    for class in shown_classes(&sources) {
        for (name, data) in &sources {
            let items = data.items_with(Some(class));
            let beats = items.iter().map(|&i| lead_of(data, i, lead));
            panels.push(BeatPanel::from_beats(real.label_names[class].clone(), *name, *name != "real", beats));
        }
    }
    let overlay = BeatOverlay { fs_hz: real.fs_hz, r_index, panels, n_columns: sources.len() };
    Figure::new("beat_overlay", "Beats by class and source", overlay)
}

/// Spectra of the same lead, of whole items.
///
/// # Errors
/// [`crate::Error::Config`] when items are shorter than the window.
pub fn spectra(real: &Dataset, judged: &[(String, Dataset)]) -> Result<Figure> {
    let (sources, lead) = (shown_sources(real, judged), shown_lead(real));
    let mut panels = Vec::new();
    for class in shown_classes(&sources) {
        let mut series = Vec::new();
        for (at, (name, data)) in sources.iter().enumerate() {
            let items = data.items_with(Some(class));
            let every = items.len().div_ceil(400).max(1);
            let s = spectrum(items.iter().step_by(every).map(|&i| lead_of(data, i, lead)), data.fs_hz)?;
            series.push(SpectrumSeries {
                label: (*name).into(),
                frequency_hz: s.frequency_hz,
                level_db: s.median_db,
                low_db: if at == 0 { s.low_db } else { Vec::new() },
                high_db: if at == 0 { s.high_db } else { Vec::new() },
            });
        }
        panels.push(SpectrumPanel { label: real.label_names[class].clone(), series });
    }
    let y_label = "power, dB re 1 mV²/Hz".into();
    Ok(Figure::new("spectra", "Power spectra", Spectrum { panels, y_label, max_hz: (real.fs_hz / 2.0).min(100.0) }))
}

/// The lead that figures show: the one in which rhythm is read, where there is one.
fn shown_lead(data: &Dataset) -> usize {
    data.leads.iter().position(|lead| lead == "II").unwrap_or(0)
}

/// Sources by name, the real one first, without controls.
fn shown_sources<'a>(real: &'a Dataset, judged: &'a [(String, Dataset)]) -> Vec<(&'a str, &'a Dataset)> {
    let made = judged.iter().filter(|(name, _)| name != "control").map(|(name, data)| (name.as_str(), data));
    std::iter::once((real_word(real), real)).chain(made).collect()
}

/// Positions of the classes that have real and generated items.
fn shown_classes(sources: &[(&str, &Dataset)]) -> Vec<usize> {
    let n_labels = sources.first().map_or(0, |(_, real)| real.n_labels());
    let has = |data: &Dataset, class| !data.items_with(Some(class)).is_empty();
    let is_shown = |class: &usize| {
        has(sources[0].1, *class) && (sources.len() == 1 || sources[1..].iter().any(|(_, data)| has(data, *class)))
    };
    (0..n_labels).filter(is_shown).collect()
}

/// One lead of an item.
fn lead_of(data: &Dataset, item: usize, lead: usize) -> &[f32] {
    &data.item(item)[lead * data.sig_len..(lead + 1) * data.sig_len]
}
