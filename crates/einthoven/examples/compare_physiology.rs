//! Rate, intervals, axis, regularity and voltage of synthetic records beside held-out real ones, as JSON and as a table:
//!
//!     cargo run --release -p einthoven --no-default-features --features fetch --example compare_physiology -- \
//!       REAL.npz SYNTHETIC.npz OUT.json
//!
//! With REAL.npz alone the labels of its held-out records, for `sample --label` to draw as many of each.

use std::path::Path;

use einthoven::dataset::{Dataset, Split, npz};
use einthoven::delineators::DELINEATORS;
use einthoven::evaluation::physiology::{Readings, physiology};
use einthoven::run::write_atomic;
use einthoven::{Error, Result};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (real, synthetic, out) = match &arguments[..] {
        [real] => {
            println!("{}", held_out_labels(&npz::read(Path::new(real))?).join(","));
            return Ok(());
        }
        [real, synthetic, out] => (real, synthetic, out),
        _ => return Err(Error::config("arguments", "expected REAL.npz SYNTHETIC.npz OUT.json, or REAL.npz")),
    };
    let rows = physiology(&npz::read(Path::new(real))?, &npz::read(Path::new(synthetic))?, DELINEATORS[0])?;
    println!("| finding | quantity | real | synthetic | distance | of real ones | read on real | on synthetic |");
    println!("|---|---|---|---|---|---|---|---|");
    for row in &rows {
        let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.2}"));
        let shown = |readings: &Readings| match readings.quartiles {
            Some([low, middle, high]) if row.quantity.ends_with("ms") || row.quantity.ends_with("bpm") => {
                format!("{middle:.0} ({low:.0} to {high:.0})")
            }
            Some([low, middle, high]) => format!("{middle:.2} ({low:.2} to {high:.2})"),
            None => "-".into(),
        };
        println!(
            "| {} | {} | {} | {} | {} | {} | {:.2} of {} | {:.2} of {} |",
            row.label,
            row.quantity,
            shown(&row.real),
            shown(&row.synthetic),
            number(row.distance),
            number(row.floor),
            row.real.share_read,
            row.real.n,
            row.synthetic.share_read,
            row.synthetic.n
        );
    }
    let text = serde_json::to_string_pretty(&rows).map_err(|error| Error::data("rows", error.to_string()))?;
    write_atomic(Path::new(out), (text + "\n").as_bytes())
}

/// The labels of each held-out record that has any, joined as `sample` takes them.
fn held_out_labels(data: &Dataset) -> Vec<String> {
    let held_out = (0..data.len()).filter(|&i| data.split[i] != Split::Train);
    let of = |i: usize| data.labels_of(i).map(|label| data.label_names[label].as_str()).collect::<Vec<_>>().join("+");
    held_out.map(of).filter(|labels| !labels.is_empty()).collect()
}
