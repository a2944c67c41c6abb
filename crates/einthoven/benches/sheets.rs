//! ECG sheets: `cargo bench --bench sheets`. The targets are 3 ms for SVG and 25 ms for PNG on one core.

use divan::Bencher;
use einthoven::record::lead_law::{TWELVE, twelve_from_eight};
use einthoven::record::{Lead, Record};
use einthoven::report::sheet::{Layout, SheetOptions, Sheets};

fn main() {
    divan::main();
}

/// 10 s of twelve leads at 500 Hz: spikes once a second, with ripple on every point as a recorder has it.
fn record() -> Record {
    let n = 5000;
    let value = |lead: usize, t: usize| {
        let at = (t % 500) as f32 - 250.0;
        let spike = (-(at / 8.0).powi(2)).exp() * (1.0 - 0.2 * lead as f32);
        spike + 0.02 * (t as f32 * 0.9 + lead as f32).sin()
    };
    let eight: Vec<f32> = (0..8).flat_map(|lead| (0..n).map(move |t| value(lead, t))).collect();
    let all = twelve_from_eight(&eight);
    let mut record = Record::new("bench", 500.0);
    record.sig_len = n;
    for (k, name) in TWELVE.iter().enumerate() {
        record.leads.push(Lead::from_mv(*name, &all[k * n..(k + 1) * n], 1000.0).expect("the values are small"));
    }
    record
}

fn sheets(record: &Record, layout: Layout) -> Sheets {
    let options = SheetOptions { layout: Some(layout), ..SheetOptions::default() };
    Sheets::of(record, &options).expect("the record has twelve leads")
}

/// From a record in memory to the SVG of a sheet.
#[divan::bench(args = ["3x4+1", "6x2", "12x1"])]
fn svg(bencher: Bencher, layout: &str) {
    let (record, layout) = (record(), Layout::parse(layout).expect("a known layout"));
    bencher.bench_local(|| sheets(&record, layout).to_svg(0));
}

/// The same to PNG with 6 pixels per millimetre.
#[divan::bench(args = ["3x4+1", "6x2", "12x1"])]
fn png(bencher: Bencher, layout: &str) {
    let (record, layout) = (record(), Layout::parse(layout).expect("a known layout"));
    bencher.bench_local(|| sheets(&record, layout).to_png(0, 6).expect("the size is allowed"));
}

/// The same to PDF.
#[divan::bench(args = ["3x4+1", "12x1"])]
fn pdf(bencher: Bencher, layout: &str) {
    let (record, layout) = (record(), Layout::parse(layout).expect("a known layout"));
    bencher.bench_local(|| sheets(&record, layout).to_pdf());
}
