//! Estimates with intervals, one per row, with the numbers beside them.

use super::super::figure::Forest;
use super::axis::{Scale, nice_range, tick_label};
use super::svg::{Anchor, Canvas};
use super::{Drawing, Legend, Mark, Panel, point_class, wrap};

const WIDTH: f64 = 580.0;
const LEFT: f64 = 168.0;
const NUMBERS: f64 = 142.0;
const ROW: f64 = 34.0;
const TOP: f64 = 26.0;

pub(super) fn draw(plot: &Forest) -> Drawing {
    let mut canvas = Canvas::default();
    let values = plot.rows.iter().flat_map(|row| {
        let (low, high) = row.estimate.interval().unwrap_or((row.estimate.value, row.estimate.value));
        let published = row.estimate.published.as_ref().and_then(|published| published.value);
        [row.estimate.value, low, high, published.unwrap_or(f64::NAN)]
    });
    let reference = plot.reference.iter().map(|marker| marker.value);
    let margin = plot.margin.iter().flat_map(|margin| [margin.low, margin.high]);
    let from = nice_range(values.chain(reference).chain(margin), 5);
    let bottom = TOP + ROW * plot.rows.len() as f64;
    let x = Scale { from, to: (LEFT + 8.0, WIDTH - NUMBERS), is_log: false };
    if let Some(margin) = &plot.margin {
        let (left, right) = (x.pixel(margin.low), x.pixel(margin.high));
        canvas.rect("margin", left, TOP, right - left, bottom - TOP);
    }
    let ticks = x.ticks(5);
    for &tick in &ticks {
        canvas.line("grid", (x.pixel(tick), TOP), (x.pixel(tick), bottom));
        canvas.text("tick", Anchor::Middle, x.pixel(tick), bottom + 17.0, &tick_label(tick, &ticks, false));
    }
    canvas.line("axis", (x.to.0, bottom), (x.to.1, bottom));
    canvas.text("name", Anchor::Middle, (x.to.0 + x.to.1) / 2.0, bottom + 35.0, &plot.x_label);
    if let Some(marker) = &plot.reference {
        let at = x.pixel(marker.value);
        canvas.line("reference", (at, TOP - 4.0), (at, bottom));
        canvas.text("tick", Anchor::Middle, at, TOP - 9.0, &marker.label);
    }
    let mut said = Vec::new();
    for (index, row) in plot.rows.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        let lines = wrap(&row.label, 24);
        for (line, text) in lines.iter().enumerate() {
            let offset = 4.5 + 15.0 * (line as f64 - (lines.len() as f64 - 1.0) / 2.0);
            canvas.text("name", Anchor::Start, 2.0, y + offset, text);
        }
        let estimate = &row.estimate;
        let decimals = estimate.decimals();
        if let Some(value) = estimate.published.as_ref().and_then(|published| published.value) {
            canvas.marker("published", 3, x.pixel(value), y, 5.0);
        }
        if estimate.is_sufficient() {
            if let Some((low, high)) = estimate.interval() {
                canvas.line("whisker", (x.pixel(low), y), (x.pixel(high), y));
                for end in [low, high] {
                    canvas.line("whisker", (x.pixel(end), y - 4.0), (x.pixel(end), y + 4.0));
                }
            }
            canvas.marker(point_class(row.is_control), usize::from(row.is_control), x.pixel(estimate.value), y, 5.0);
        }
        let value = estimate.value_text(decimals);
        match estimate.interval_text(decimals) {
            Some(interval) if estimate.is_sufficient() => {
                canvas.text("value", Anchor::Start, WIDTH - NUMBERS + 12.0, y - 2.0, &value);
                canvas.text("tick", Anchor::Start, WIDTH - NUMBERS + 12.0, y + 12.0, &interval);
                said.push(format!("{} {value}, interval {interval}", row.label));
            }
            _ => {
                canvas.text("value", Anchor::Start, WIDTH - NUMBERS + 12.0, y + 4.5, &value);
                said.push(format!("{} {value}", row.label));
            }
        }
    }
    let mut legend = vec![Legend { mark: Mark::Point { is_control: false }, label: "value with interval".into() }];
    if plot.rows.iter().any(|row| row.is_control) {
        legend.push(Legend { mark: Mark::Point { is_control: true }, label: "control".into() });
    }
    if plot.rows.iter().any(|row| row.estimate.published.as_ref().is_some_and(|p| p.value.is_some())) {
        legend.push(Legend { mark: Mark::Published, label: "published value".into() });
    }
    if let Some(margin) = &plot.margin {
        legend.push(Legend { mark: Mark::Margin, label: margin.label.clone() });
    }
    let panel = Panel {
        width: WIDTH,
        height: bottom + 44.0,
        description: format!("{}: {}", plot.x_label, said.join("; ")),
        body: canvas.body,
    };
    Drawing { panels: vec![panel], legend, n_columns: 1 }
}
