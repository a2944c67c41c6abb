//! Beat-by-beat comparison of two annotators, as the standard EC57 asks and WFDB's `bxb` counts.
//!
//! Two beats match when they are at most 150 ms apart and neither has a nearer partner. The first five minutes are a
//! learning period and are left out. Beats that the reference marks inside ventricular flutter or fibrillation do not
//! count, nor do detections there; beats during a shutdown (both signals unreadable) are paired with `X`.
//! Run-by-run and episode figures are left out.
//!
//! # Reference
//! ANSI/AAMI EC57:1998, sections 3.5 and 4.3; the order of the pairing is the one that the manual of `bxb` documents.

mod folder;

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::record::Annotation;

pub use folder::{FolderComparison, compare_folder, headers};

/// Half the match window in seconds.
pub const MATCH_WINDOW_S: f64 = 0.15;

/// Learning period at the start of a record in seconds.
pub const LEARNING_S: f64 = 300.0;

/// Class of a beat, or what stands in for one that has no partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Normal, and bundle branch block.
    N,
    /// Supraventricular: premature or escape.
    S,
    /// Ventricular: premature or escape.
    V,
    /// Fusion of ventricular and normal.
    F,
    /// Paced, or unknown.
    Q,
    /// No beat.
    O,
    /// No beat, because the annotator was shut down.
    X,
}

impl Class {
    /// Every class in the order of the confusion matrix.
    pub const ALL: [Class; 7] = [Class::N, Class::S, Class::V, Class::F, Class::Q, Class::O, Class::X];

    /// Its letter.
    pub fn name(self) -> &'static str {
        match self {
            Class::N => "N",
            Class::S => "S",
            Class::V => "V",
            Class::F => "F",
            Class::Q => "Q",
            Class::O => "O",
            Class::X => "X",
        }
    }

    /// Class of an annotation's symbol; `None` unless it is a beat.
    ///
    /// Escape beats (`e`, `j`, `n`) count as supraventricular here, as in `bxb`. The label set `aami` of the
    /// data sets follows the standard's table, where they are normal.
    pub fn of(symbol: &str) -> Option<Class> {
        Some(match symbol {
            "N" | "L" | "R" | "B" => Class::N,
            "A" | "a" | "J" | "S" | "e" | "j" | "n" => Class::S,
            "V" | "r" | "E" => Class::V,
            "F" => Class::F,
            "Q" | "/" | "f" | "?" => Class::Q,
            _ => return None,
        })
    }
}

/// Pairs by reference class (row) and test class (column), in the order of [`Class::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts(pub [[u64; 7]; 7]);

/// The figures of one record, or of several whose counts were added.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Figures {
    /// Reference beats that have a partner.
    pub qrs_sensitivity: Option<f64>,
    /// Test beats that have a partner.
    pub qrs_positive_predictivity: Option<f64>,
    /// Ventricular reference beats that the test calls ventricular.
    pub v_sensitivity: Option<f64>,
    /// Beats that the test calls ventricular and the reference too.
    pub v_positive_predictivity: Option<f64>,
    /// Beats and detections other than ventricular that the test calls ventricular.
    pub v_false_positive_rate: Option<f64>,
    /// Supraventricular reference beats that the test calls supraventricular.
    pub s_sensitivity: Option<f64>,
    /// Beats that the test calls supraventricular and the reference too.
    pub s_positive_predictivity: Option<f64>,
}

/// The result of one record.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RecordComparison {
    /// Name of the record.
    pub record: String,
    /// Pairs by reference and test class.
    pub counts: Counts,
    /// Reference beats that count.
    pub n_reference: u64,
    /// Reference beats without a partner.
    pub n_missed: u64,
    /// Detections without a partner.
    pub n_extra: u64,
    /// The figures of this record.
    #[serde(flatten)]
    pub figures: Figures,
}

/// The result of several records.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Each record by itself.
    pub records: Vec<RecordComparison>,
    /// Every beat weighs the same: the figures of the added counts.
    pub gross: Figures,
    /// Every record weighs the same: the mean over the records in which a figure is defined.
    pub average: Figures,
    /// The added counts.
    pub counts: Counts,
    /// Names of the rows and columns of the counts: classes of the reference and of the test.
    pub classes: [&'static str; 7],
    /// What had to be repaired in the files that were read.
    pub warnings: Vec<String>,
}

/// What one annotator marked: beats, and stretches that are treated apart.
struct Marks {
    beats: Vec<(i64, Class)>,
    flutter: Vec<RangeInclusive<i64>>,
    shutdown: Vec<RangeInclusive<i64>>,
}

/// Compares two annotators of one record beat by beat.
///
/// # Units
/// Annotation times and `sig_len` are points at `fs_hz`; the marks are in the order of time. `learning_s` is
/// [`LEARNING_S`] by the standard, and 0 for records that are too short for it.
pub fn compare(reference: &[Annotation], test: &[Annotation], fs_hz: f64, sig_len: usize, learning_s: f64) -> Counts {
    let points = |seconds: f64| (seconds * fs_hz + 0.5).floor() as i64;
    let (window, start, end) = (points(MATCH_WINDOW_S), points(learning_s), sig_len as i64);
    let (reference, test) = (Marks::of(reference, window), Marks::of(test, window));
    let mut counts = Counts::default();
    let mut pair = |a: Class, b: Class| counts.0[a as usize][b as usize] += 1;
    let no_reference = |at: i64| match () {
        () if reference.flutter.iter().any(|range| range.contains(&at)) => None,
        () if reference.shutdown.iter().any(|range| range.contains(&at)) => Some(Class::X),
        () => Some(Class::O),
    };
    let no_test = |at: i64| if test.shutdown.iter().any(|range| range.contains(&at)) { Class::X } else { Class::O };

    // Times after the last beat are out of reach of every window.
    let far = (i64::MAX / 4, Class::O);
    let r = |k: usize| reference.beats.get(k).copied().unwrap_or(far);
    let t = |k: usize| test.beats.get(k).copied().unwrap_or(far);
    let mut i = reference.beats.partition_point(|beat| beat.0 < start);
    let mut j = test.beats.partition_point(|beat| beat.0 < start);
    // The last detection of the learning period may belong to the first beat after it, and the first detection
    // after it to the last beat before.
    let before = j.checked_sub(1).map(&t);
    let to_first = (r(i).0 - t(j).0).abs();
    if let Some((at, class)) = before.filter(|beat| r(i).0 - beat.0 < to_first && r(i).0 - beat.0 <= window) {
        debug_assert!(at < start);
        pair(r(i).1, class);
        i += 1;
    } else if t(j).0 - start <= window && (r(i).0 - t(j + 1).0).abs() < to_first {
        j += 1;
    }
    while (i < reference.beats.len() || j < test.beats.len()) && (r(i).0 <= end || t(j).0 <= end) {
        let ((at_r, class_r), (at_t, class_t)) = (r(i), t(j));
        let gap = (at_r - at_t).abs();
        let (is_match, is_test_first) = if at_t < at_r {
            (gap <= window && gap < (at_r - t(j + 1).0).abs(), true)
        } else {
            (gap <= window && gap < (at_t - r(i + 1).0).abs(), false)
        };
        match (is_match, is_test_first) {
            (true, _) => {
                pair(class_r, class_t);
                (i, j) = (i + 1, j + 1);
            }
            (false, true) => {
                if let Some(stand_in) = no_reference(at_t) {
                    pair(stand_in, class_t);
                }
                j += 1;
            }
            (false, false) => {
                pair(class_r, no_test(at_r));
                i += 1;
            }
        }
    }
    counts
}

impl Marks {
    fn of(marks: &[Annotation], window: i64) -> Marks {
        let mut found = Marks { beats: Vec::new(), flutter: Vec::new(), shutdown: Vec::new() };
        let mut flutter_from: Option<i64> = None;
        let mut shutdown_from: Option<i64> = None;
        for mark in marks {
            if let Some(from) = flutter_from {
                if &*mark.symbol == "]" {
                    found.flutter.push(from..=mark.sample);
                    flutter_from = None;
                }
                continue;
            }
            let is_shut = &*mark.symbol == "~" && mark.subtype & 0x30 == 0x30;
            if let Some(from) = shutdown_from.take() {
                // A single mark stands in the middle of the stretch: it reaches to the neighboring marks.
                let is_closed = &*mark.symbol == "~" && !is_shut;
                let last = found.beats.last().map(|beat| beat.0).max(found.flutter.last().map(|range| *range.end()));
                let (from, to) =
                    if is_closed { (from, mark.sample) } else { (last.unwrap_or(0) + window, mark.sample - window) };
                found.shutdown.push(from..=to);
            }
            match (&*mark.symbol, Class::of(&mark.symbol)) {
                (_, Some(class)) => found.beats.push((mark.sample, class)),
                ("[", _) => flutter_from = Some(mark.sample),
                _ if is_shut => shutdown_from = Some(mark.sample),
                _ => {}
            }
        }
        found.flutter.extend(flutter_from.map(|from| from..=i64::MAX));
        found.shutdown.extend(shutdown_from.map(|from| from..=i64::MAX));
        found
    }
}

impl Counts {
    /// Pairs with a reference class in `rows` and a test class in `columns`.
    fn sum(&self, rows: &[Class], columns: &[Class]) -> u64 {
        rows.iter().map(|&r| columns.iter().map(|&c| self.0[r as usize][c as usize]).sum::<u64>()).sum()
    }

    /// Adds the pairs of another record.
    pub fn add(&mut self, other: &Counts) {
        for (row, from) in self.0.iter_mut().zip(&other.0) {
            row.iter_mut().zip(from).for_each(|(to, n)| *to += n);
        }
    }

    /// Reference beats that count.
    pub fn n_reference(&self) -> u64 {
        self.sum(&Class::ALL[..5], &Class::ALL)
    }

    /// Reference beats without a partner.
    pub fn n_missed(&self) -> u64 {
        self.sum(&Class::ALL[..5], &Class::ALL[5..])
    }

    /// Detections without a partner.
    pub fn n_extra(&self) -> u64 {
        self.sum(&Class::ALL[5..], &Class::ALL[..5])
    }

    /// The figures of these counts.
    pub fn figures(&self) -> Figures {
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        let beats = &Class::ALL[..5];
        let matched = self.sum(beats, beats);
        let own = |class: Class| self.sum(&[class], &[class]);
        // As in `bxb`, fusion and unknown beats that are called V count neither for nor against.
        let v_false = self.sum(&[Class::N, Class::S, Class::O, Class::X], &[Class::V]);
        let v_true_negative = self.sum(
            &[Class::N, Class::S, Class::F, Class::Q, Class::O, Class::X],
            &[Class::N, Class::S, Class::F, Class::Q],
        );
        let s_false = self.sum(&[Class::N, Class::V, Class::F, Class::O, Class::X], &[Class::S]);
        Figures {
            qrs_sensitivity: share(matched, matched + self.n_missed()),
            qrs_positive_predictivity: share(matched, matched + self.n_extra()),
            v_sensitivity: share(own(Class::V), self.sum(&[Class::V], &Class::ALL)),
            v_positive_predictivity: share(own(Class::V), own(Class::V) + v_false),
            v_false_positive_rate: share(v_false, v_false + v_true_negative),
            s_sensitivity: share(own(Class::S), self.sum(&[Class::S], &Class::ALL)),
            s_positive_predictivity: share(own(Class::S), own(Class::S) + s_false),
        }
    }
}

impl Comparison {
    /// The figures of records whose pairs were counted.
    pub fn of(records: Vec<(String, Counts)>) -> Comparison {
        let mut total = Counts::default();
        records.iter().for_each(|(_, counts)| total.add(counts));
        let figures: Vec<Figures> = records.iter().map(|(_, counts)| counts.figures()).collect();
        let mean = |figure: fn(&Figures) -> Option<f64>| {
            let defined: Vec<f64> = figures.iter().filter_map(figure).collect();
            (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
        };
        let average = Figures {
            qrs_sensitivity: mean(|f| f.qrs_sensitivity),
            qrs_positive_predictivity: mean(|f| f.qrs_positive_predictivity),
            v_sensitivity: mean(|f| f.v_sensitivity),
            v_positive_predictivity: mean(|f| f.v_positive_predictivity),
            v_false_positive_rate: mean(|f| f.v_false_positive_rate),
            s_sensitivity: mean(|f| f.s_sensitivity),
            s_positive_predictivity: mean(|f| f.s_positive_predictivity),
        };
        let records = records.into_iter().zip(figures).map(|((record, counts), figures)| RecordComparison {
            record,
            counts,
            n_reference: counts.n_reference(),
            n_missed: counts.n_missed(),
            n_extra: counts.n_extra(),
            figures,
        });
        Comparison {
            records: records.collect(),
            gross: total.figures(),
            average,
            counts: total,
            classes: Class::ALL.map(Class::name),
            warnings: Vec::new(),
        }
    }
}
