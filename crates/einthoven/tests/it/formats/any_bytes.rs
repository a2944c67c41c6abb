//! Whatever the bytes: no panic, and no memory beyond the budget that a declared size could ask for.

use einthoven::record::{WriteOptions, write};

use super::*;
use crate::folder::TempFolder;

/// Reads with repairs, which goes furthest; what is accepted is summarized, which touches every point.
fn survives(path: &Path) {
    let mut options = ReadOptions::lenient();
    // A broken length may ask for this many points; millions only take time here.
    (options.caps.implied_points, options.caps.decompressed_points) = (1 << 12, 1 << 14);
    if let Ok(record) = read(path, &options) {
        let _ = record.summary();
        let points: usize = record.leads.iter().map(|lead| lead.adu.len()).sum();
        assert!(points < 1 << 16, "{points} points from a file of a few KiB");
    }
}

/// A small record in each format.
fn files() -> (TempFolder, Vec<std::path::PathBuf>) {
    let folder = TempFolder::new("formats-any");
    let mut record = Record::new("x", 360.0);
    record.sig_len = 4;
    record.leads.push(Lead::new("II", 200.0, vec![9, MISSING, -9, 0]));
    record.leads.push(Lead { samples_per_frame: 2, ..Lead::new("V1", 100.0, (0..8).collect()) });
    record.annotations.insert("atr".into(), vec![Annotation { aux: b"(N".to_vec(), ..Annotation::new(3, "+") }]);
    record.comments.push("Synthetic: yes".into());
    let paths = ["edf", "dcm", "xml", "parquet", "npz"].map(|extension| folder.path().join(format!("x.{extension}")));
    for path in &paths {
        write(&record, path, &WriteOptions::default()).unwrap();
    }
    (folder, paths.to_vec())
}

#[test]
fn every_prefix_of_every_format_is_read_or_refused() {
    let (_folder, paths) = files();
    for path in paths {
        let whole = std::fs::read(&path).unwrap();
        for len in 0..whole.len() {
            std::fs::write(&path, &whole[..len]).unwrap();
            survives(&path);
        }
    }
}

#[test]
fn every_flipped_bit_of_every_format_is_read_or_refused() {
    let (_folder, paths) = files();
    for path in paths {
        let mut bytes = std::fs::read(&path).unwrap();
        let n = bytes.len();
        // The first 4 KiB; Parquet and ZIP keep what matters at the end.
        let places = (0..n.min(4096)).chain(n.saturating_sub(1024).max(4096)..n);
        for byte in places {
            for bit in 0..8 {
                bytes[byte] ^= 1 << bit;
                std::fs::write(&path, &bytes).unwrap();
                survives(&path);
                bytes[byte] ^= 1 << bit;
            }
        }
    }
}
