//! What a cardiologist measures of a synthetic set of records beside a real one, in its report.

use crate::evaluation::physiology::{Physiology, QUANTITIES, Readings};
use crate::report::{Better, Cell, Estimate, Report, Row, RowKind, Table};

/// Name and unit of each of [`QUANTITIES`] on the page, in their order.
const SHOWN: [(&str, &str); QUANTITIES.len()] = [
    ("heart rate", "bpm"),
    ("PR interval", "ms"),
    ("QRS duration", "ms"),
    ("QTc interval", "ms"),
    ("QRS axis", "degrees"),
    ("RR variation", ""),
    ("QRS height variation", ""),
    ("voltage of a lead", "mV"),
];

/// Name of one of [`QUANTITIES`] in words.
pub fn in_words(quantity: &str) -> &str {
    QUANTITIES.iter().position(|known| *known == quantity).map_or(quantity, |at| SHOWN[at].0)
}

/// Rate, intervals, axis, regularity and voltage by label; the differences over all records are headlines.
pub fn physiology_section(out: &mut Report, rows: &[Physiology]) {
    let mut table = Table::new("physiology", "Rate, intervals, axis, regularity and voltage by finding", "quantity")
        .caption(
            "Median and quartiles of what one delineator reads on both sides. Difference: of the medians, with its 95 % \
             interval. Distance: the largest between both distribution functions, 0 to 1; of real ones that between \
             held-out patients and those of the training, below which nothing synthetic can be expected. For PR the share \
             on which it is read says on how many records P waves lead to the beats. RR variation is the standard deviation \
             of the RR intervals over their mean; QRS height variation that of the heights of QRS from beat to beat, the median \
             of the leads; voltage the range of a lead, on average.",
        )
        .column("real", "held out", "median (quartiles)", Better::Neither)
        .column("synthetic", "synthetic", "median (quartiles)", Better::Neither)
        .column("difference", "difference", "", Better::Neither)
        .column("distance", "distance", "", Better::Lower)
        .column("floor", "of real ones", "", Better::Neither)
        .column("real_read", "read on held out", "share", Better::Neither)
        .column("synthetic_read", "read on synthetic", "share", Better::Neither);
    let too_few = || Estimate::insufficient("fewer than 8 readings");
    let mut headline = Vec::new();
    let named = rows.chunks(QUANTITIES.len()).flat_map(|of_label| of_label.iter().zip(SHOWN));
    for (row, (name, unit)) in named {
        let difference =
            row.difference.map_or_else(too_few, |d| Estimate::with_ci(d.value, d.ci_low, d.ci_high).unit(unit));
        if row.label == "all" {
            headline.push((format!("{}_difference", row.quantity), difference.clone().label(name)));
        }
        let or_too_few = |value: Option<f64>| Cell::from(value.map_or_else(too_few, Estimate::new));
        let share = |read: &Readings| Estimate::new(read.share_read).n(read.n as u64);
        table = table.row(
            Row::new(RowKind::Result, if unit.is_empty() { name.into() } else { format!("{name}, {unit}") })
                .group(format!("{}: {} held out, {} synthetic", row.label, row.real.n, row.synthetic.n))
                .cell("real", quartiles(&row.real, unit))
                .cell("synthetic", quartiles(&row.synthetic, unit))
                .cell("difference", difference)
                .cell("distance", or_too_few(row.distance))
                .cell("floor", or_too_few(row.floor))
                .cell("real_read", share(&row.real))
                .cell("synthetic_read", share(&row.synthetic)),
        );
    }
    out.headline_group("Physiology of all records, median of the synthetic minus that of the held-out", "", headline);
    out.raw.insert("physiology".into(), serde_json::to_value(rows).unwrap_or_default());
    out.section("physiology", "Physiology").table(table);
}

fn quartiles(read: &Readings, unit: &str) -> String {
    let Some([low, middle, high]) = read.quartiles else { return "none read".into() };
    // Rates, intervals and angles as whole numbers, ratios and millivolts with two decimals.
    let digits = if ["bpm", "ms", "degrees"].contains(&unit) { 0 } else { 2 };
    format!("{middle:.digits$} ({low:.digits$} to {high:.digits$})")
}
