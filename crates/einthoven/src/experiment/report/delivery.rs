//! What was asked of a synthetic set against what it shows, in its report.
//!
//! The measuring was done when the set was drawn, of every item against what that item was asked for, and is in the
//! provenance of the set; here it becomes a table and headlines.

use serde::Deserialize;
use serde_json::Value;

use super::physiology::in_words;
use crate::dataset::condition::NUMBERS;
use crate::error::{Error, Result};
use crate::evaluation::delivery::{Acceptance, Delivered, Delivery};
use crate::report::{Better, Cell, Estimate, Report, Row, RowKind, Table};

/// A section on requested against delivered, and its headlines; nothing where no number was asked for.
///
/// # Errors
/// [`Error::Data`] for a provenance whose `delivery` is not what sampling writes.
pub fn delivery_section(out: &mut Report, provenance: &Value) -> Result<()> {
    let found = &provenance["delivery"];
    if found.is_null() {
        return Ok(());
    }
    let Delivery { delivered, acceptance } = Delivery::deserialize(found)
        .map_err(|error| Error::data("provenance.delivery of the synthetic set", error.to_string()))?;
    let mut headline = Vec::new();
    for Delivered { fact, unit, n_requested, mean_error, tolerance, within_tolerance, .. } in &delivered {
        let column = NUMBERS.iter().find(|known| known.fact.name() == fact).map_or(&**fact, |known| known.column);
        let name = in_words(column);
        let mean = mean_error.map_or_else(none_measured, Estimate::new).unit(unit).label(format!("{name}, mean error"));
        headline.push((format!("requested_{column}_mean_error"), mean));
        let within = Estimate::new(*within_tolerance).n(*n_requested as u64);
        let label = format!("{name}, share within {tolerance} {unit} of what was asked for");
        headline.push((format!("requested_{fact}_within_tolerance"), within.label(label)));
    }
    if let Some(Acceptance { n_drawn, rate, .. }) = acceptance {
        let rate = Estimate::new(rate).n(n_drawn).label("share of draws that met every number");
        headline.push(("acceptance_rate".into(), rate));
    }
    out.headline_group("Requested against delivered", "", headline);
    out.raw.insert("delivery".into(), found.clone());
    out.section("delivery", "Requested against delivered").text(of_draws(acceptance)).table(table(&delivered));
    Ok(())
}

/// How many draws the set took, in words.
fn of_draws(acceptance: Option<Acceptance>) -> String {
    match acceptance {
        Some(Acceptance { n_drawn, n_accepted, rate }) => format!(
            "Items were drawn anew until every requested number was measured within its tolerance: {n_accepted} of {n_drawn} \
             draws were accepted, a rate of {rate:.3}. The errors are those of the accepted items."
        ),
        None => "Every item was taken as it was drawn; none was rejected for its numbers.".into(),
    }
}

fn none_measured() -> Estimate {
    Estimate::insufficient("could be measured on none")
}

/// Errors of each requested number: how often it could be measured, their mean, spread and quantiles.
fn table(delivered: &[Delivered]) -> Table {
    let quantiles = [("q05", "5 %"), ("q25", "25 %"), ("q50", "median"), ("q75", "75 %"), ("q95", "95 %")];
    let mut table = Table::new("delivery", "Errors of the requested numbers", "number")
        .caption(
            "Error: what the default delineator read when the item was drawn, less what was asked of that item; the \
             percentages say which share of the items lies below. Within tolerance: share of the items that the number was \
             asked of; one on which it could not be measured is not.",
        )
        .column("requested", "asked of", "items", Better::Neither)
        .column("measured", "measured on", "items", Better::Neither)
        .column("mean_error", "mean error", "", Better::Neither)
        .column("sd_error", "standard deviation", "", Better::Lower);
    for (key, heading) in quantiles {
        table = table.column(key, heading, "", Better::Neither);
    }
    table = table.column("tolerance", "tolerance", "", Better::Neither).column(
        "within_tolerance",
        "within tolerance",
        "share",
        Better::Higher,
    );
    for number in delivered {
        let or_none = |value: Option<f64>| Cell::from(value.map_or_else(none_measured, Estimate::new));
        let mut row = Row::new(RowKind::Result, format!("{}, {}", number.fact, number.unit))
            .cell("requested", number.n_requested as f64)
            .cell("measured", number.n_measured as f64)
            .cell("mean_error", or_none(number.mean_error))
            .cell("sd_error", or_none(number.sd_error))
            .cell("tolerance", number.tolerance)
            .cell("within_tolerance", number.within_tolerance);
        for (k, (key, _)) in quantiles.into_iter().enumerate() {
            row = row.cell(key, or_none(number.error_quantiles.map(|of| of[k])));
        }
        table = table.row(row);
    }
    table
}
