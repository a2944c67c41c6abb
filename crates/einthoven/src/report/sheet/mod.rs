//! ECG sheets: a record on ruled paper as a cardiologist expects it, in SVG, PDF and PNG.
//!
//! 25 mm/s and 10 mm/mV are true to the millimetre when a sheet is printed at its own size: a small square is 1 mm, a
//! large one 5 mm. Every row begins with a calibration pulse of 1 mV and 200 ms, every lead has its name, and the
//! margins say how the sheet was made. A synthetic record is marked as such and nothing here can take the mark off.
//! Missing points are gaps; large waves run over their neighbors, as on paper, and are cut only at the paper's edge,
//! which the sheet then says.
//! Nothing is measured here: intervals and landmarks come from the caller.

mod compose;
mod landmark;
mod layout;
mod page;
mod pdf;
mod raster;
mod trace;
mod typeface;
mod vector;

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::record::Record;
use crate::run;

pub use landmark::Landmarks;
pub use layout::{Layout, LimbOrder};

/// Paper speeds that a sheet can have, mm/s.
pub const SPEEDS_MM_PER_S: [f64; 4] = [12.5, 25.0, 50.0, 100.0];
/// Gains that a sheet can have, mm/mV.
pub const GAINS_MM_PER_MV: [f64; 4] = [2.5, 5.0, 10.0, 20.0];
/// Pixels per millimetre that a PNG can have: whole, so that the lines of the paper fall on pixels.
pub const PX_PER_MM: std::ops::RangeInclusive<u32> = 2..=24;

/// How a record is drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct SheetOptions {
    /// Arrangement; by default 3x4+1 for a record of six or more of the twelve leads, else a strip.
    pub layout: Option<Layout>,
    /// One of [`SPEEDS_MM_PER_S`].
    pub speed_mm_per_s: f64,
    /// One of [`GAINS_MM_PER_MV`].
    pub gain_mm_per_mv: f64,
    /// Order of the limb leads.
    pub limb_order: LimbOrder,
    /// Where the first sheet begins, seconds from the start of the record.
    pub start_s: f64,
    /// Sheets per record at most; a longer record goes on over them.
    pub max_pages: usize,
    /// Leads of a strip, or the rhythm lead of 3x4+1, `-aVR` among them; by default II or MLII, and all leads of a record
    /// of up to three.
    pub rhythm_leads: Vec<String>,
    /// Filter for display; none by default.
    pub band: Band,
    /// Annotations to draw.
    pub landmarks: Landmarks,
    /// Measurements to print; nothing is measured here.
    pub intervals: Option<Intervals>,
}

impl Default for SheetOptions {
    fn default() -> SheetOptions {
        SheetOptions {
            layout: None,
            speed_mm_per_s: 25.0,
            gain_mm_per_mv: 10.0,
            limb_order: LimbOrder::Standard,
            start_s: 0.0,
            max_pages: 1,
            rhythm_leads: Vec::new(),
            band: Band::default(),
            landmarks: Landmarks::None,
            intervals: None,
        }
    }
}

/// Zero-phase Butterworth filters of second order for display, named on the sheet.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Band {
    /// Cut-off of the high-pass, Hz.
    pub high_pass_hz: Option<f64>,
    /// Cut-off of the low-pass, Hz.
    pub low_pass_hz: Option<f64>,
}

/// Measurements as they stand on a sheet; each may be absent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Intervals {
    /// Heart rate.
    pub hr_bpm: Option<f64>,
    /// From the onset of P to that of QRS.
    pub pr_ms: Option<f64>,
    /// Duration of QRS.
    pub qrs_ms: Option<f64>,
    /// From the onset of QRS to the end of T.
    pub qt_ms: Option<f64>,
    /// QT corrected after Fridericia.
    pub qtc_fridericia_ms: Option<f64>,
    /// QT corrected after Bazett.
    pub qtc_bazett_ms: Option<f64>,
    /// QT corrected after Framingham.
    pub qtc_framingham_ms: Option<f64>,
    /// QT corrected after Hodges.
    pub qtc_hodges_ms: Option<f64>,
    /// Axis of QRS in the frontal plane.
    pub axis_deg: Option<f64>,
}

/// What a sheet shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SheetSummary {
    /// Name of the record.
    pub record: String,
    /// Name of the layout.
    pub layout: &'static str,
    /// Where it begins, seconds from the start of the record.
    pub start_s: f64,
    /// How much of the record it shows.
    pub seconds: f64,
    /// Leads in reading order.
    pub leads: Vec<String>,
    /// Width of the page.
    pub width_mm: f64,
    /// Height of the page.
    pub height_mm: f64,
    /// Whether it carries the mark of a synthetic record.
    pub is_synthetic: bool,
    /// Leads whose trace leaves the paper and is cut there; a lower gain shows them whole.
    pub cut_leads: Vec<String>,
}

/// The sheets of one or more records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sheets {
    pages: Vec<page::Page>,
    summaries: Vec<SheetSummary>,
}

impl Sheets {
    /// The sheets of one record.
    ///
    /// # Errors
    /// As [`Sheets::add`].
    pub fn of(record: &Record, options: &SheetOptions) -> Result<Sheets> {
        let mut sheets = Sheets::default();
        sheets.add(record, options)?;
        Ok(sheets)
    }

    /// Adds the sheets of a record.
    ///
    /// # Errors
    /// [`Error::Config`] for an option outside its range, [`Error::Data`] when the record lacks the leads or has leads
    /// in a unit that is no voltage, [`Error::Unknown`] for a lead or an annotator that it does not have.
    pub fn add(&mut self, record: &Record, options: &SheetOptions) -> Result<()> {
        check(options)?;
        for (page, summary) in compose::compose(record, options)? {
            self.pages.push(page);
            self.summaries.push(summary);
        }
        Ok(())
    }

    /// What each sheet shows.
    pub fn summaries(&self) -> &[SheetSummary] {
        &self.summaries
    }

    /// Sheet `k` as an SVG file.
    ///
    /// # Panics
    /// If there is no sheet `k`.
    pub fn to_svg(&self, k: usize) -> String {
        vector::svg(&self.pages[k])
    }

    /// Sheet `k` as a PNG file that prints to its own size.
    ///
    /// # Errors
    /// [`Error::Config`] unless `px_per_mm` is in [`PX_PER_MM`].
    /// # Panics
    /// If there is no sheet `k`.
    pub fn to_png(&self, k: usize, px_per_mm: u32) -> Result<Vec<u8>> {
        if !PX_PER_MM.contains(&px_per_mm) {
            let (low, high) = (PX_PER_MM.start(), PX_PER_MM.end());
            return Err(Error::config(
                "px_per_mm",
                format!("found {px_per_mm}, expected a number from {low} to {high}"),
            ));
        }
        raster::png(&self.pages[k], px_per_mm)
    }

    /// All sheets as the pages of a PDF file.
    pub fn to_pdf(&self) -> Vec<u8> {
        pdf::pdf(&self.pages)
    }

    /// Writes the sheets in the format of the path's extension: `svg` and `png` hold one sheet, `pdf` any number.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another extension, [`Error::Config`] for more than one sheet in a format that holds one,
    /// [`Error::Io`].
    pub fn write(&self, path: &Path, px_per_mm: u32) -> Result<()> {
        let extension = path.extension().map(|e| e.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
        if matches!(extension.as_str(), "svg" | "png") && self.pages.len() != 1 {
            let reason = format!("found {} sheets, expected one for .{extension}; write a .pdf", self.pages.len());
            return Err(Error::config("out", reason));
        }
        let bytes = match extension.as_str() {
            "svg" => self.to_svg(0).into_bytes(),
            "png" => self.to_png(0, px_per_mm)?,
            "pdf" => self.to_pdf(),
            _ => {
                return Err(Error::Unknown {
                    kind: "sheet format",
                    name: extension,
                    known: ["svg", "pdf", "png"].map(String::from).to_vec(),
                });
            }
        };
        run::write_atomic(path, &bytes)
    }
}

fn check(options: &SheetOptions) -> Result<()> {
    let listed = |key: &str, value: f64, known: &[f64]| match known.contains(&value) {
        true => Ok(()),
        false => Err(Error::config(key, format!("found {value}, expected one of {known:?}"))),
    };
    listed("speed_mm_per_s", options.speed_mm_per_s, &SPEEDS_MM_PER_S)?;
    listed("gain_mm_per_mv", options.gain_mm_per_mv, &GAINS_MM_PER_MV)?;
    if !(options.start_s >= 0.0 && options.start_s.is_finite()) {
        return Err(Error::config("start_s", format!("found {}, expected seconds from 0 on", options.start_s)));
    }
    if let (Some(low), Some(high)) = (options.band.high_pass_hz, options.band.low_pass_hz)
        && low >= high
    {
        return Err(Error::config(
            "high_pass_hz",
            format!("found {low} Hz, expected less than the low-pass of {high} Hz"),
        ));
    }
    if options.max_pages == 0 {
        return Err(Error::config("max_pages", "found 0, expected at least one sheet"));
    }
    Ok(())
}
