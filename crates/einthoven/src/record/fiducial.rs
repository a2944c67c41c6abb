//! Where waves begin, peak and end: the landmarks that delineators find and simulators know.
//!
//! On disk they are annotations as LUDB and QTDB write them: `(`, then `p`, `N` or `t` at the peak, then `)`.

use serde::{Deserialize, Serialize};

use super::Annotation;

/// A wave of the heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Wave {
    /// Depolarization of the atria.
    P,
    /// Depolarization of the ventricles.
    #[serde(rename = "QRS")]
    Qrs,
    /// Repolarization of the ventricles.
    T,
}

impl Wave {
    /// The three waves in the order of a beat.
    pub const ALL: [Wave; 3] = [Wave::P, Wave::Qrs, Wave::T];

    /// Symbol of the annotation at the peak.
    pub fn symbol(self) -> &'static str {
        match self {
            Wave::P => "p",
            Wave::Qrs => "N",
            Wave::T => "t",
        }
    }

    /// The wave whose peak an annotation marks; any beat marks a QRS.
    pub fn of(mark: &Annotation) -> Option<Wave> {
        match &*mark.symbol {
            "p" => Some(Wave::P),
            "t" => Some(Wave::T),
            _ => mark.is_beat().then_some(Wave::Qrs),
        }
    }
}

/// One wave on the time axis of its record.
///
/// # Units
/// Points of the record's own rate, counted from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fiducial {
    /// Which wave.
    pub wave: Wave,
    /// Where it begins; `None` when that is not known.
    pub onset: Option<usize>,
    /// Where it peaks.
    pub peak: usize,
    /// Where it ends; `None` when that is not known.
    pub offset: Option<usize>,
}

/// The waves that a list of annotations marks, in the order of their peaks.
///
/// A boundary belongs to the peak beside it: `(` opens the next peak, `)` closes the one before. A boundary without a
/// peak says nothing of a wave and is left out.
pub fn from_annotations(marks: &[Annotation]) -> Vec<Fiducial> {
    let mut found: Vec<Fiducial> = Vec::new();
    let mut open: Option<usize> = None;
    let mut may_close = false;
    for mark in marks.iter().filter(|mark| mark.sample >= 0) {
        let at = mark.sample as usize;
        match &*mark.symbol {
            "(" => (open, may_close) = (Some(at), false),
            ")" => {
                if may_close && let Some(last) = found.last_mut() {
                    last.offset = Some(at);
                }
                (open, may_close) = (None, false);
            }
            _ => {
                if let Some(wave) = Wave::of(mark) {
                    found.push(Fiducial { wave, onset: open.take(), peak: at, offset: None });
                    may_close = true;
                }
            }
        }
    }
    found
}

/// The annotations of a list of waves, in the order of time.
pub fn to_annotations(fiducials: &[Fiducial]) -> Vec<Annotation> {
    let mut marks: Vec<Annotation> = Vec::with_capacity(3 * fiducials.len());
    for fiducial in fiducials {
        let num = match fiducial.wave {
            Wave::P => 0,
            Wave::Qrs => 1,
            Wave::T => 2,
        };
        let mut push = |at: usize, symbol: &'static str| {
            let mut mark = Annotation::new(at as i64, symbol);
            mark.num = num;
            marks.push(mark);
        };
        if let Some(onset) = fiducial.onset {
            push(onset, "(");
        }
        push(fiducial.peak, fiducial.wave.symbol());
        if let Some(offset) = fiducial.offset {
            push(offset, ")");
        }
    }
    marks.sort_by_key(|mark| mark.sample);
    marks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_survive_the_way_through_annotations() {
        let waves = vec![
            Fiducial { wave: Wave::P, onset: Some(10), peak: 20, offset: Some(30) },
            Fiducial { wave: Wave::Qrs, onset: Some(40), peak: 45, offset: Some(55) },
            Fiducial { wave: Wave::T, onset: None, peak: 90, offset: Some(110) },
        ];
        assert_eq!(from_annotations(&to_annotations(&waves)), waves);
    }

    #[test]
    fn a_boundary_without_a_peak_is_left_out() {
        let marks = [")", "(", "N", ")", ")", "(", "("];
        let marks: Vec<Annotation> =
            marks.iter().enumerate().map(|(k, &symbol)| Annotation::new(k as i64 * 10, symbol)).collect();
        let found = from_annotations(&marks);
        assert_eq!(found, [Fiducial { wave: Wave::Qrs, onset: Some(10), peak: 20, offset: Some(30) }]);
    }
}
