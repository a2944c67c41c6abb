//! Records through every format: round trips, the synthetic mark, bad input, and outside readers.

mod aecg_structure;
mod any_bytes;
mod bad_dicom;
mod bad_edf;
mod bad_others;
mod outside;
mod round_trip;

use std::borrow::Cow;
use std::path::Path;

use einthoven::Seed;
use einthoven::record::{Annotation, Lead, MISSING, ReadOptions, Record, StorageFormat, read};

/// Reads with all rules.
fn strictly(path: impl AsRef<Path>) -> Record {
    read(path, &ReadOptions::strict()).unwrap_or_else(|error| panic!("{error}"))
}

/// Reads with the named repairs.
fn leniently(path: impl AsRef<Path>) -> Record {
    read(path, &ReadOptions::lenient()).unwrap_or_else(|error| panic!("{error}"))
}

/// A record within what all formats can hold, drawn from a seed.
fn random_record(seed: Seed) -> Record {
    let mut stream = seed.stream();
    let mut record = Record::new("x", [100.0, 360.0, 500.0, 249.9][stream.below(4)]);
    record.sig_len = 1 + stream.below(700);
    let has_rates = stream.below(2) == 1;
    for index in 0..1 + stream.below(4) {
        let samples_per_frame = if has_rates { 1 + stream.below(3) } else { 1 };
        let adu: Vec<i32> = (0..record.sig_len * samples_per_frame)
            .map(|_| match stream.below(9) {
                0 => MISSING,
                1 => -32_767,
                2 => 32_767,
                _ => i32::from(stream.next_u64() as i16).max(-32_767),
            })
            .collect();
        record.leads.push(Lead {
            samples_per_frame,
            gain_adu_per_unit: [Some(200.0), Some(-12.5), None, Some(1000.0), Some(1.0 / 0.00488)][stream.below(5)],
            baseline_adu: [0, 1024, -7][stream.below(3)],
            adc_zero_adu: stream.below(100) as i32,
            adc_resolution_bits: 12,
            units: ["mV", "uV", "mmHg"][stream.below(3)].into(),
            format: [StorageFormat::F16, StorageFormat::F24][stream.below(2)],
            ..Lead::new(["V3", "lead <with> & blanks", "\u{e9}", ""][index], 1.0, adu)
        });
    }
    let mut sample = 0;
    for annotator in ["atr", "qrs"] {
        let marks = (0..stream.below(12)).map(|_| {
            sample = (sample + stream.below(40)).min(record.sig_len - 1);
            Annotation {
                sample: sample as i64,
                symbol: Cow::Borrowed(["N", "V", "+", "\"", "(42)", " "][stream.below(6)]),
                subtype: stream.below(256) as u8 as i8,
                channel: stream.below(record.leads.len()) as u8,
                num: stream.below(3) as i8,
                aux: (0..stream.below(6)).map(|_| 1 + stream.below(255) as u8).collect(),
            }
        });
        record.annotations.insert(annotator.into(), marks.collect());
        sample = 0;
    }
    record.comments =
        vec!["Synthetic: yes".into(), String::new(), "# \u{b5}V, \"quoted\" <&>".into(), "Seed: 7".into()];
    if stream.below(2) == 1 {
        record.base_time = Some("09:07:03.25".into());
        record.base_date = Some("05/11/2001".into());
    }
    record
}
