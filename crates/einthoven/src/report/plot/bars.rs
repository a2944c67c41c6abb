//! Grouped bars with intervals; series differ by hatching as well as by colour.

use super::super::figure::Bars;
use super::axis::{Scale, nice_range, tick_label};
use super::svg::{Anchor, Canvas};
use super::{Drawing, Legend, Mark, Panel, bar_class, hatch, wrap};

const WIDTH: f64 = 580.0;
const LEFT: f64 = 50.0;
const TOP: f64 = 36.0;
const BOTTOM: f64 = 270.0;

pub(super) fn draw(plot: &Bars) -> Drawing {
    let mut canvas = Canvas::default();
    let values = plot.series.iter().flat_map(|series| &series.values).flat_map(|estimate| {
        let (low, high) = estimate.interval().unwrap_or((estimate.value, estimate.value));
        [estimate.value, low, high]
    });
    // Bars start at zero, or their lengths would lie.
    let from = nice_range(values.chain(plot.reference.iter().map(|marker| marker.value)).chain([0.0]), 5);
    let y = Scale { from, to: (BOTTOM, TOP), is_log: false };
    let ticks = y.ticks(5);
    for &tick in &ticks {
        canvas.line("grid", (LEFT, y.pixel(tick)), (WIDTH - 8.0, y.pixel(tick)));
        canvas.text("tick", Anchor::End, LEFT - 6.0, y.pixel(tick) + 4.0, &tick_label(tick, &ticks, false));
    }
    canvas.text("name", Anchor::Start, 6.0, TOP - 16.0, &plot.y_label);
    let group = (WIDTH - 8.0 - LEFT) / plot.categories.len().max(1) as f64;
    let bar = (group * 0.8 / plot.series.len().max(1) as f64).min(64.0);
    let zero = y.pixel(0.0);
    let mut said = Vec::new();
    for (category, label) in plot.categories.iter().enumerate() {
        let middle = LEFT + group * (category as f64 + 0.5);
        for (line, text) in wrap(label, (group / 7.0) as usize).iter().enumerate() {
            canvas.text("name", Anchor::Middle, middle, BOTTOM + 18.0 + 15.0 * line as f64, text);
        }
        let in_category = plot.series.iter().filter_map(|series| series.values.get(category));
        let all_insufficient = in_category.into_iter().all(|estimate| !estimate.is_sufficient());
        if all_insufficient {
            canvas.text("tick", Anchor::Middle, middle, zero - 8.0, "insufficient");
        }
        for (index, series) in plot.series.iter().enumerate() {
            let Some(estimate) = series.values.get(category) else { continue };
            let left = middle + bar * (index as f64 - plot.series.len() as f64 / 2.0);
            let centre = left + bar / 2.0;
            let text = estimate.value_text(estimate.decimals().min(2));
            said.push(format!("{label}, {}: {text}", series.label));
            if !estimate.is_sufficient() {
                if all_insufficient {
                    continue;
                }
                canvas.text("tick", Anchor::Middle, centre, zero - 4.0, "\u{2013}");
                continue;
            }
            let tip = y.pixel(estimate.value);
            let (top, height) = (tip.min(zero), (tip - zero).abs());
            canvas.rect(&bar_class(index), left + 1.0, top, bar - 2.0, height);
            hatch(&mut canvas, index, (left + 1.0, top), (bar - 2.0, height));
            let mut above = tip.min(zero);
            if let Some((low, high)) = estimate.interval() {
                canvas.line("whisker", (centre, y.pixel(low)), (centre, y.pixel(high)));
                for end in [low, high] {
                    canvas.line("whisker", (centre - 4.0, y.pixel(end)), (centre + 4.0, y.pixel(end)));
                }
                above = above.min(y.pixel(high));
            }
            // Numbers on narrow bars would run into each other; the table has them.
            if bar >= 30.0 {
                canvas.text("value small", Anchor::Middle, centre, above - 5.0, &text);
            }
        }
    }
    canvas.line("axis", (LEFT, zero), (WIDTH - 8.0, zero));
    if let Some(marker) = &plot.reference {
        canvas.line("reference", (LEFT, y.pixel(marker.value)), (WIDTH - 8.0, y.pixel(marker.value)));
    }
    let mut legend: Vec<Legend> = plot
        .series
        .iter()
        .enumerate()
        .map(|(index, series)| Legend { mark: Mark::Bar(index), label: series.label.clone() })
        .collect();
    if let Some(marker) = &plot.reference {
        legend.push(Legend { mark: Mark::Reference, label: marker.label.clone() });
    }
    let panel = Panel {
        width: WIDTH,
        height: BOTTOM + 42.0,
        description: format!("{}: {}", plot.y_label, said.join("; ")),
        body: canvas.body,
    };
    Drawing { panels: vec![panel], legend, n_columns: 1 }
}
