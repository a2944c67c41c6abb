//! From a record to its pages: rows, traces, pulses, names, and what stands in the margins.

use super::landmark::{self, Window};
use super::layout::{Layout, LimbOrder, MAX_STRIP_ROWS, Rows, twelve};
use super::page::{Anchor, Ink, Item, Page, Paper};
use super::trace::{Trace, find, trace};
use super::typeface::{fit, width_mm};
use super::{Intervals, SheetOptions, SheetSummary};
use crate::dataset::SYNTHETIC_PREFIX;
use crate::error::{Error, Result};
use crate::record::format::synthetic::is_synthetic;
use crate::record::lead_law::{TWELVE, standard_name};
use crate::record::{Annotation, Record};

/// A4 on its side.
const WIDTH_MM: f64 = 297.0;
const PAPER_LEFT_MM: f64 = 11.0;
const PAPER_TOP_MM: f64 = 27.0;
const PAPER_WIDTH_MM: f64 = 275.0;
/// Below the paper, for the text.
const FOOT_MM: f64 = 13.0;
/// From the edge of the paper to where traces begin: the place of the calibration pulse.
const PULSE_MM: f64 = 15.0;
/// Width of the traces: 10 s at 25 mm/s.
const TRACE_MM: f64 = 250.0;
const TRACE_WIDTH_MM: f64 = 0.3;
/// Duration and height of the calibration pulse.
const PULSE_S: f64 = 0.2;
const PULSE_MV: f64 = 1.0;
/// Distance of rows below which letters at the peaks would run into other rows.
const NARROW_PITCH_MM: f64 = 20.0;
/// Leads of the twelve from which a record is drawn as one of twelve leads.
const ENOUGH_LEADS: usize = 6;

/// A stretch of a lead on the page.
struct Cell {
    lead: usize,
    row: usize,
    left_mm: f64,
    start_s: f64,
    seconds: f64,
    is_column_start: bool,
}

/// The pages of a record with what each shows.
pub(super) fn compose(record: &Record, options: &SheetOptions) -> Result<Vec<(Page, SheetSummary)>> {
    let duration_s = if record.fs_hz > 0.0 { record.sig_len as f64 / record.fs_hz } else { 0.0 };
    if record.leads.is_empty() || duration_s == 0.0 {
        return Err(Error::data(&record.name, "found no points, expected a record with leads"));
    }
    if options.start_s >= duration_s {
        let reason = format!("found {}, expected less than the {duration_s:.1} s of {}", options.start_s, record.name);
        return Err(Error::config("start_s", reason));
    }
    let layout = options.layout.unwrap_or_else(|| match n_standard(record) >= ENOUGH_LEADS {
        true => Layout::ThreeByFour,
        false => Layout::Strip,
    });
    if layout == Layout::Strip && options.limb_order == LimbOrder::Cabrera {
        let expected = "expected 3x4+1, 6x2 or 12x1, or the leads of the strip by name in the order wanted, -aVR too";
        return Err(Error::config("limb_order", format!("found Cabrera's order for a strip, {expected}")));
    }
    let names = lead_names(record, layout, options)?;
    let traces = names.iter().map(|name| trace(record, name, options.band)).collect::<Result<Vec<Trace>>>()?;
    let marks = traces.iter().map(|trace| landmark::marks(record, trace.lead, &options.landmarks));
    let marks = marks.collect::<Result<Vec<_>>>()?;

    let row_s = TRACE_MM / options.speed_mm_per_s;
    let left_s = duration_s - options.start_s;
    let n_lines = match layout {
        Layout::Strip => ((left_s / row_s).ceil() as usize).clamp(1, MAX_STRIP_ROWS / traces.len()),
        _ => 1,
    };
    let page_s = row_s * n_lines as f64;
    // A rest of a point is no page.
    let n_pages = ((left_s / page_s - 1e-6).ceil().max(1.0) as usize).min(options.max_pages);
    let mut pages = Vec::with_capacity(n_pages);
    for k in 0..n_pages {
        let start_s = options.start_s + page_s * k as f64;
        let shown_s = page_s.min(duration_s - start_s);
        let cells = cells(layout, traces.len(), n_lines, start_s, row_s, shown_s);
        let rows = Rows::of(layout, traces.len() * n_lines);
        let paper =
            Paper { left_mm: PAPER_LEFT_MM, top_mm: PAPER_TOP_MM, width_mm: PAPER_WIDTH_MM, height_mm: rows.height_mm };
        let mut page = Page {
            width_mm: WIDTH_MM,
            height_mm: PAPER_TOP_MM + rows.height_mm + FOOT_MM,
            paper,
            items: Vec::new(),
            title: record.name.clone(),
            description: String::new(),
        };
        draw_rows(&mut page, layout, &rows, &cells, &traces, options);
        for cell in cells.iter().filter(|cell| shows_landmarks(layout, cell, marks[cell.lead])) {
            draw_landmarks(&mut page, record, &rows, cell, &traces[cell.lead], marks[cell.lead], options);
        }
        let mut facts = vec![
            format!("{} mm/s", options.speed_mm_per_s),
            format!("{} mm/mV", options.gain_mm_per_mv),
            filter_text(options),
            format!("{} Hz", record.fs_hz),
            format!("{start_s:.1} to {:.1} s of {duration_s:.1} s", start_s + shown_s),
        ];
        if layout.n_columns() > 1 {
            let is_simultaneous = shown_s < row_s - 1e-6;
            facts.push(if is_simultaneous { "columns at the same time" } else { "columns one after the other" }.into());
        }
        if options.limb_order == LimbOrder::Cabrera {
            facts.push("Cabrera order".into());
        }
        let is_synthetic = is_synthetic(record) || record.name.starts_with(SYNTHETIC_PREFIX);
        page.description = format!(
            "{}electrocardiogram {}, layout {}, {}",
            if is_synthetic { "Synthetic " } else { "" },
            record.name,
            layout.name(),
            facts.join(", ")
        );
        draw_head(&mut page, record, options.intervals.as_ref(), is_synthetic);
        let cut_leads = cut_leads(&rows, &cells, &traces, options.gain_mm_per_mv);
        draw_foot(&mut page, &facts, &traces, &cut_leads, (k, n_pages));
        let summary = SheetSummary {
            record: record.name.clone(),
            layout: layout.name(),
            start_s,
            seconds: shown_s,
            leads: traces.iter().map(|trace| trace.label.clone()).collect(),
            width_mm: page.width_mm,
            height_mm: page.height_mm,
            is_synthetic,
            cut_leads,
        };
        pages.push((page, summary));
    }
    Ok(pages)
}

fn n_standard(record: &Record) -> usize {
    TWELVE.iter().filter(|name| record.leads.iter().any(|lead| standard_name(&lead.name) == Some(**name))).count()
}

/// Names of the leads in reading order; the last of 3x4+1 is the rhythm lead.
fn lead_names(record: &Record, layout: Layout, options: &SheetOptions) -> Result<Vec<String>> {
    // Cabrera's inverted lead is a lead of its own on paper.
    let known = |name: &String| match find(record, if name == "-aVR" { "aVR" } else { name })? {
        Some(_) => Ok(()),
        None => Err(Error::Unknown {
            kind: "lead",
            name: name.clone(),
            known: record.leads.iter().map(|lead| lead.name.clone()).collect(),
        }),
    };
    options.rhythm_leads.iter().try_for_each(known)?;
    let most = match layout {
        Layout::Strip => MAX_STRIP_ROWS,
        Layout::ThreeByFour => 1,
        Layout::SixByTwo | Layout::TwelveByOne => 0,
    };
    if options.rhythm_leads.len() > most {
        let reason =
            format!("found {} leads, expected at most {most} with {}", options.rhythm_leads.len(), layout.name());
        return Err(Error::config("lead", reason));
    }
    if layout == Layout::Strip {
        let names = match options.rhythm_leads.is_empty() {
            false => options.rhythm_leads.clone(),
            true => default_strip(record)?,
        };
        return Ok(names);
    }
    let n_found = n_standard(record);
    if n_found < ENOUGH_LEADS {
        let names: Vec<&str> = record.leads.iter().map(|lead| lead.name.as_str()).collect();
        let reason = format!(
            "layout {} shows twelve leads: found {n_found} of them ({}), expected at least {ENOUGH_LEADS}; use strip",
            layout.name(),
            names.join(", ")
        );
        return Err(Error::data(&record.name, reason));
    }
    let mut names: Vec<String> = twelve(options.limb_order).iter().map(|name| (*name).to_string()).collect();
    if layout == Layout::ThreeByFour {
        names.push(options.rhythm_leads.first().cloned().unwrap_or_else(|| "II".into()));
    }
    Ok(names)
}

fn default_strip(record: &Record) -> Result<Vec<String>> {
    if record.leads.len() <= 3 {
        return Ok(record.leads.iter().map(|lead| lead.name.clone()).collect());
    }
    for name in ["II", "MLII"] {
        if find(record, name)?.is_some() {
            return Ok(vec![name.into()]);
        }
    }
    Ok(vec![record.leads[0].name.clone()])
}

fn cells(layout: Layout, n_traces: usize, n_lines: usize, start_s: f64, row_s: f64, shown_s: f64) -> Vec<Cell> {
    let left_mm = PAPER_LEFT_MM + PULSE_MM;
    let mut cells = Vec::new();
    if layout == Layout::Strip {
        for line in 0..n_lines {
            for lead in 0..n_traces {
                let start_s = start_s + row_s * line as f64;
                cells.push(Cell {
                    lead,
                    row: line * n_traces + lead,
                    left_mm,
                    start_s,
                    seconds: row_s,
                    is_column_start: false,
                });
            }
        }
        return cells;
    }
    let n_columns = layout.n_columns();
    let n_rows = 12 / n_columns;
    let column_s = row_s / n_columns as f64;
    // A record that does not fill the row would leave its last leads empty: then all columns show its beginning.
    let is_simultaneous = shown_s < row_s - 1e-6;
    for lead in 0..12 {
        let column = lead / n_rows;
        cells.push(Cell {
            lead,
            row: lead % n_rows,
            left_mm: left_mm + TRACE_MM / n_columns as f64 * column as f64,
            start_s: start_s + if is_simultaneous { 0.0 } else { column_s * column as f64 },
            seconds: column_s,
            is_column_start: column > 0,
        });
    }
    if layout == Layout::ThreeByFour {
        cells.push(Cell { lead: 12, row: 3, left_mm, start_s, seconds: row_s, is_column_start: false });
    }
    cells
}

fn draw_rows(page: &mut Page, layout: Layout, rows: &Rows, cells: &[Cell], traces: &[Trace], options: &SheetOptions) {
    let (speed, gain) = (options.speed_mm_per_s, options.gain_mm_per_mv);
    let top = page.paper.top_mm;
    let clipped = |runs| Item::Stroke { ink: Ink::Trace, width_mm: TRACE_WIDTH_MM, runs, is_clipped: true };
    for baseline in &rows.baselines_mm {
        let (y, wide) = (top + baseline, PULSE_S * speed);
        let x = page.paper.left_mm + ((PULSE_MM - wide) / 2.0).floor().max(0.0);
        let height = PULSE_MV * gain;
        let pulse =
            vec![(x - 1.5, y), (x, y), (x, y - height), (x + wide, y - height), (x + wide, y), (x + wide + 1.5, y)];
        page.items.push(clipped(vec![pulse]));
    }
    for cell in cells {
        let y = top + rows.baselines_mm[cell.row];
        let runs = runs(cell, &traces[cell.lead], y, speed, gain);
        page.items.push(clipped(runs));
        if cell.is_column_start {
            for side in [-1.0, 1.0] {
                page.stroke(Ink::Trace, 0.35, vec![(cell.left_mm, y + side * 3.5), (cell.left_mm, y + side * 6.5)]);
            }
        }
    }
    let (size, above) = if layout == Layout::TwelveByOne { (3.0, 4.6) } else { (3.6, 7.5) };
    for cell in cells {
        let trace = &traces[cell.lead];
        let label = match trace.note {
            Some(note) if note != "derived" => format!("{} ({note})", trace.label),
            _ => trace.label.clone(),
        };
        let baseline = top + rows.baselines_mm[cell.row];
        // A wave at the start of the trace would run through the name: then it stands above the wave, if there is room.
        let reach = cell.left_mm + 1.2 + width_mm(&label, size) + 0.5;
        let under = runs(cell, trace, baseline, speed, gain);
        let under = under.iter().flatten().filter(|(x, _)| *x <= reach);
        let wave = under.map(|(_, y)| baseline - y).fold(f64::NEG_INFINITY, f64::max) + 1.2;
        let room = rows.pitch_mm().min(rows.baselines_mm[cell.row]) - size;
        let y = baseline - if (above - 0.5..=room).contains(&wave) { wave } else { above };
        if layout == Layout::TwelveByOne {
            // Rows are so narrow that waves of other rows run over a name on the paper.
            let beside = (page.paper.left_mm - 1.0, baseline + 1.0);
            page.text(Ink::Text, Anchor::End, beside, size, trace.label.clone());
        }
        if layout != Layout::TwelveByOne || label != trace.label {
            page.text(Ink::Text, Anchor::Start, (cell.left_mm + 1.2, y), size, label);
        }
        if layout == Layout::Strip && cell.lead == 0 {
            let at = cell.start_s;
            let text = format!("{}:{:04.1}", (at / 60.0) as usize, at % 60.0);
            page.text(Ink::Text, Anchor::Start, (page.paper.left_mm + 1.0, baseline - above - 4.2), 2.4, text);
        }
    }
}

/// The points of a cell in mm; a missing point ends a run.
fn runs(cell: &Cell, trace: &Trace, baseline_mm: f64, speed: f64, gain: f64) -> Vec<Vec<(f64, f64)>> {
    let first = (cell.start_s * trace.fs_hz - 1e-6).ceil().max(0.0) as usize;
    let end = ((cell.start_s + cell.seconds) * trace.fs_hz + 1e-6).floor() as usize + 1;
    let end = end.min(trace.mv.len());
    let mut runs = vec![Vec::with_capacity(end.saturating_sub(first))];
    for (k, &mv) in trace.mv.iter().enumerate().take(end).skip(first) {
        let last = runs.len() - 1;
        if mv.is_nan() {
            if !runs[last].is_empty() {
                runs.push(Vec::new());
            }
            continue;
        }
        let x = cell.left_mm + (k as f64 / trace.fs_hz - cell.start_s) * speed;
        runs[last].push((x, baseline_mm - f64::from(mv) * gain));
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// Leads whose trace leaves the paper, where it is cut: their largest waves cannot be measured on this sheet.
fn cut_leads(rows: &Rows, cells: &[Cell], traces: &[Trace], gain: f64) -> Vec<String> {
    let mut leads: Vec<String> = Vec::new();
    for cell in cells {
        let trace = &traces[cell.lead];
        let baseline = rows.baselines_mm[cell.row];
        let is_cut =
            runs(cell, trace, baseline, 1.0, gain).iter().flatten().any(|(_, y)| *y < 0.0 || *y > rows.height_mm);
        if is_cut && !leads.contains(&trace.label) {
            leads.push(trace.label.clone());
        }
    }
    leads
}

/// Waves are drawn on every lead; beats, which belong to all leads, once for each time.
fn shows_landmarks(layout: Layout, cell: &Cell, marks: &[Annotation]) -> bool {
    let are_waves = landmark::has_boundaries(marks);
    let is_first = match layout {
        Layout::Strip => cell.lead == 0,
        Layout::ThreeByFour => cell.row == 3,
        Layout::SixByTwo | Layout::TwelveByOne => cell.row == 0,
    };
    are_waves || is_first
}

fn draw_landmarks(
    page: &mut Page,
    record: &Record,
    rows: &Rows,
    cell: &Cell,
    trace: &Trace,
    marks: &[Annotation],
    options: &SheetOptions,
) {
    let height = |at_s: f64| {
        let mv = trace.mv.get((at_s * trace.fs_hz).round() as usize).copied().unwrap_or(0.0);
        if mv.is_nan() { 0.0 } else { f64::from(mv) * options.gain_mm_per_mv }
    };
    let window = Window {
        start_s: cell.start_s,
        seconds: cell.seconds,
        left_mm: cell.left_mm,
        baseline_mm: page.paper.top_mm + rows.baselines_mm[cell.row],
        speed_mm_per_s: options.speed_mm_per_s,
        height_mm: &height,
        letters_below_mm: (rows.pitch_mm() < NARROW_PITCH_MM).then_some(4.2),
    };
    landmark::draw(page, marks, record.fs_hz, &window);
}

fn filter_text(options: &SheetOptions) -> String {
    match (options.band.high_pass_hz, options.band.low_pass_hz) {
        (None, None) => "no filter added".into(),
        (Some(low), None) => format!("filter from {low} Hz"),
        (None, Some(high)) => format!("filter to {high} Hz"),
        (Some(low), Some(high)) => format!("filter {low} to {high} Hz"),
    }
}

/// Name, patient, time and comments on the left, measurements in the middle, the mark of a synthetic record on the right.
fn draw_head(page: &mut Page, record: &Record, intervals: Option<&Intervals>, is_synthetic: bool) {
    let (left, right) = (page.paper.left_mm, page.paper.right_mm());
    let room = 112.0;
    page.text(Ink::Text, Anchor::Start, (left, 10.5), 5.0, fit(&record.name, 5.0, room));
    let time: Vec<&str> = [&record.base_date, &record.base_time].into_iter().flatten().map(String::as_str).collect();
    let mut lines = Vec::new();
    if !time.is_empty() {
        lines.push(time.join("  "));
    }
    for comment in head_comments(record, is_synthetic) {
        match lines.last_mut() {
            Some(line) if width_mm(&format!("{line}   {comment}"), 2.9) <= room - 4.0 => {
                line.push_str("   ");
                line.push_str(comment);
            }
            _ => lines.push(comment.to_string()),
        }
    }
    for (k, line) in lines.iter().take(3).enumerate() {
        let more = if k == 2 && lines.len() > 3 { " ..." } else { "" };
        let text = format!("{}{more}", fit(line, 2.9, room - 4.0));
        page.text(Ink::Text, Anchor::Start, (left, 15.5 + 4.0 * k as f64), 2.9, text);
    }
    if let Some(intervals) = intervals {
        for (k, (name, value)) in measurements(intervals).into_iter().enumerate() {
            let (column, row) = (k / 4, k % 4);
            let (x, y) = (left + 120.0 + 50.0 * column as f64, 10.5 + 4.2 * row as f64);
            page.text(Ink::Text, Anchor::Start, (x, y), 3.1, name);
            page.text(Ink::Text, Anchor::End, (x + 44.0, y), 3.1, value);
        }
    }
    if is_synthetic {
        page.text(Ink::Stamp, Anchor::End, (right, 11.5), 6.5, "SYNTHETIC");
        page.text(Ink::Stamp, Anchor::End, (right, 16.5), 3.6, "not for clinical use");
        let middle = (left + right) / 2.0;
        let y = page.paper.top_mm + page.paper.height_mm / 2.0;
        let size = if page.paper.height_mm < 100.0 { 22.0 } else { 40.0 };
        page.text(Ink::Watermark, Anchor::Middle, (middle, y + size * 0.36), size, "SYNTHETIC");
    }
}

/// Comments that say what the stamp says.
const STAMPED: &[&str] = &["Synthetic", "Notice", "Not for clinical use"];

/// Comments in the order in which they fill the head: age, sex and findings of the patient, then the others. What the
/// stamp of a synthetic record says is not said again.
fn head_comments(record: &Record, is_synthetic: bool) -> Vec<&str> {
    let is_key = |comment: &str, keys: &[&str]| {
        // LUDB writes <age>.
        let key = comment.split(':').next().unwrap_or_default().trim_matches(['<', '>', ' ']);
        keys.iter().any(|known| key.eq_ignore_ascii_case(known))
    };
    let said = |comment: &&str| !(comment.is_empty() || is_synthetic && is_key(comment, STAMPED));
    let comments = record.comments.iter().map(|comment| comment.trim()).filter(said);
    let (patient, others): (Vec<&str>, Vec<&str>) =
        comments.partition(|comment| is_key(comment, &["Age", "Sex", "Labels", "Dx"]));
    [patient, others].concat()
}

/// Names and values of the measurements; an absent one shows as a dash, a corrected QT names its formula.
fn measurements(intervals: &Intervals) -> Vec<(String, String)> {
    let value = |value: Option<f64>, unit: &str| value.map_or("-".to_string(), |value| format!("{value:.0} {unit}"));
    let mut lines = vec![
        ("Heart rate".to_string(), value(intervals.hr_bpm, "bpm")),
        ("PR".to_string(), value(intervals.pr_ms, "ms")),
        ("QRS".to_string(), value(intervals.qrs_ms, "ms")),
        ("QT".to_string(), value(intervals.qt_ms, "ms")),
    ];
    let corrected = [
        ("Fridericia", intervals.qtc_fridericia_ms),
        ("Bazett", intervals.qtc_bazett_ms),
        ("Framingham", intervals.qtc_framingham_ms),
        ("Hodges", intervals.qtc_hodges_ms),
    ];
    for (formula, qtc) in corrected.into_iter().filter(|(_, qtc)| qtc.is_some()).take(3) {
        lines.push((format!("QTc ({formula})"), value(qtc, "ms")));
    }
    lines.push(("QRS axis".to_string(), value(intervals.axis_deg, "deg")));
    lines
}

fn draw_foot(page: &mut Page, facts: &[String], traces: &[Trace], cut_leads: &[String], (k, n_pages): (usize, usize)) {
    let (left, right, y) = (page.paper.left_mm, page.paper.right_mm(), page.paper.bottom_mm() + 4.8);
    page.text(Ink::Text, Anchor::Start, (left, y), 3.1, facts.join("   "));
    let of = if n_pages > 1 { format!("   {} of {n_pages}", k + 1) } else { String::new() };
    page.text(Ink::Text, Anchor::End, (right, y), 2.6, format!("Einthoven {}{of}", env!("CARGO_PKG_VERSION")));
    let mut derived: Vec<&str> =
        traces.iter().filter(|trace| trace.note == Some("derived")).map(|trace| trace.label.as_str()).collect();
    derived.dedup();
    let mut notes = Vec::new();
    if !cut_leads.is_empty() {
        notes.push(format!("cut at the edge of the paper: {}", cut_leads.join(", ")));
    }
    if !derived.is_empty() {
        notes.push(format!("{} derived from I and II", derived.join(", ")));
    }
    if !notes.is_empty() {
        page.text(Ink::Text, Anchor::Start, (left, y + 3.9), 2.6, notes.join("   "));
    }
}
