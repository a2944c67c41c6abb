//! Draws records on ECG paper: `cargo run --release --no-default-features --example draw_sheet -- OUT LAYOUT REC...`
//!
//! `OUT` ends in `.svg`, `.png` or `.pdf`; `LAYOUT` is 3x4+1, 6x2, 12x1 or strip, with `/cabrera`, `/50` (mm/s) or
//! `/marks` (landmarks of annotators named after leads, else of `atr`) behind it.

use std::path::Path;

use einthoven::record::{ReadOptions, read};
use einthoven::report::sheet::{Landmarks, Layout, LimbOrder, SheetOptions, Sheets};

fn main() -> einthoven::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [out, layout, records @ ..] = &words[..] else {
        return Err(einthoven::Error::config("arguments", "found too few, expected OUT LAYOUT REC..."));
    };
    let mut parts = layout.split('/');
    let mut options = SheetOptions { layout: parts.next().map(Layout::parse).transpose()?, ..SheetOptions::default() };
    let mut wants_marks = false;
    for part in parts {
        match part {
            "cabrera" => options.limb_order = LimbOrder::Cabrera,
            "50" => options.speed_mm_per_s = 50.0,
            "marks" => wants_marks = true,
            other => {
                return Err(einthoven::Error::config(
                    "layout",
                    format!("found /{other}, expected cabrera, 50 or marks"),
                ));
            }
        }
    }
    let mut sheets = Sheets::default();
    for path in records {
        let record = read(path, &ReadOptions::lenient())?;
        if wants_marks {
            let is_beat_file = record.annotations.contains_key("atr");
            options.landmarks = if is_beat_file { Landmarks::Annotator("atr".into()) } else { Landmarks::PerLead };
        }
        sheets.add(&record, &options)?;
    }
    sheets.write(Path::new(out), 6)
}
