//! How records are read and written.

use std::ops::Range;

use crate::record::StorageFormat;

/// What happens at a deviation that can be repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Strictness {
    /// Rules that name strict become errors; for training and evaluation.
    #[default]
    Strict,
    /// The named repairs are made and each leaves a warning; for looking and converting.
    Lenient,
}

/// What becomes of leads with several points per frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Frames {
    /// Every lead keeps its own rate.
    #[default]
    Native,
    /// The points of a frame are averaged (towards zero); a frame with a missing point is missing.
    Average,
    /// As wfdb-python: markers of missing points are averaged like any number. For parity only.
    WfdbCompat,
}

/// Which annotation files are read along.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Annotators {
    /// Every annotation file beside the header.
    #[default]
    All,
    /// None.
    None,
    /// These; a missing one is an error.
    Named(Vec<String>),
}

/// Limits that protect against hostile sizes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caps {
    /// Bytes of a header.
    pub header_bytes: u64,
    /// Signals of a record.
    pub signals: usize,
    /// Segments of a record.
    pub segments: usize,
    /// Points in one frame of a signal file.
    pub frame_points: usize,
    /// Bytes of a text line.
    pub line_bytes: usize,
    /// Points that do not stand in a file one by one: gaps, absent leads, a cut file's tail.
    /// Twice the bytes really present are allowed on top.
    pub implied_points: u64,
    /// Points of a compressed signal file.
    pub decompressed_points: u64,
}

impl Default for Caps {
    fn default() -> Caps {
        Caps {
            header_bytes: 1 << 20,
            signals: 4096,
            segments: 65_536,
            frame_points: 1 << 16,
            line_bytes: 1 << 16,
            implied_points: 1 << 22,
            decompressed_points: 1 << 27,
        }
    }
}

/// How a record is read. The default is strict, with all annotations, each lead at its own rate.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReadOptions {
    /// Errors or repairs.
    pub strictness: Strictness,
    /// Annotation files to read along.
    pub annotators: Annotators,
    /// What becomes of several points per frame.
    pub frames: Frames,
    /// Only these frames; annotations outside are left out and the others shifted.
    pub range: Option<Range<usize>>,
    /// Leaves leads with a skew where the file has them.
    pub ignore_skew: bool,
    /// Rules that stay warnings even when strict, such as `W23` for a database without checksums.
    pub waivers: Vec<String>,
    /// Limits.
    pub caps: Caps,
}

impl ReadOptions {
    /// Strict, as for training.
    pub fn strict() -> ReadOptions {
        ReadOptions::default()
    }

    /// Lenient, as for looking at a file.
    pub fn lenient() -> ReadOptions {
        ReadOptions { strictness: Strictness::Lenient, ..ReadOptions::default() }
    }

    /// Whether a deviation from this rule is an error.
    pub fn is_strict_about(&self, code: &str) -> bool {
        self.strictness == Strictness::Strict && !self.waivers.iter().any(|waiver| waiver == code)
    }
}

/// How a record is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WriteOptions {
    /// Storage format for all leads; by default each keeps its own, or gets one that fits.
    pub storage: Option<StorageFormat>,
    /// Clips values outside the format's range and counts them, instead of refusing (rule D12).
    pub clip: bool,
    /// Replaces files that exist.
    pub overwrite: bool,
}
