//! One lead of a record: its points as stored, its calibration, and its millivolts.

use std::ops::Range;

use crate::error::{Error, InputError, Position, Result};
use crate::record::{Frames, MISSING, StorageFormat};

/// Gain that WFDB prescribes where the header gives none, in adu per unit.
pub const DEFAULT_GAIN: f64 = 200.0;

/// Equal points in a row at an extreme that make a plateau.
const PLATEAU_POINTS: usize = 5;

/// One lead: digital points and how they translate to physical units.
#[derive(Debug, Clone, PartialEq)]
pub struct Lead {
    /// Name as in the header's description, such as `MLII`; empty when the header gives none.
    pub name: String,
    /// Physical unit, `mV` unless the header says otherwise.
    pub units: String,
    /// Points per frame; more than 1 when the lead is sampled faster than the record's frames.
    pub samples_per_frame: usize,
    /// Analogue-to-digital units per physical unit; `None` means uncalibrated, negative inverts.
    pub gain_adu_per_unit: Option<f64>,
    /// Digital value that stands for 0 physical units.
    pub baseline_adu: i32,
    /// Digital value in the middle of the converter's range.
    pub adc_zero_adu: i32,
    /// Resolution of the converter in bits; 0 when unknown.
    pub adc_resolution_bits: u8,
    /// First digital value as the header states it.
    pub initial_adu: i32,
    /// Block size of the header, 0 for ordinary files.
    pub block_size: i32,
    /// Checksum of the header as a signed 16-bit number; `None` when it states none.
    pub checksum: Option<i16>,
    /// Whether the points add up to the checksum; `None` when that could not be verified.
    pub checksum_ok: Option<bool>,
    /// How the points are stored in the file.
    pub format: StorageFormat,
    /// Digital points, `sig_len * samples_per_frame` of them; [`MISSING`] marks a missing one.
    pub adu: Vec<i32>,
    /// Calibrations that replace the one above from a point on (multi-segment records).
    pub gain_changes: Vec<GainChange>,
}

/// A calibration that holds from a point of the lead on, until the next one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GainChange {
    /// First point to which it applies.
    pub from: usize,
    /// Analogue-to-digital units per physical unit.
    pub gain_adu_per_unit: Option<f64>,
    /// Digital value that stands for 0 physical units.
    pub baseline_adu: i32,
}

/// What makes a lead unfit for training (rule D11).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeadQuality {
    /// Nothing found.
    Usable,
    /// No point is present.
    AllMissing,
    /// Every point has the same value.
    Constant,
    /// At least a tenth of the points sit at an end of the converter's range.
    Saturated,
}

impl Lead {
    /// A lead in mV with the given digital points, gain (adu per mV) and baseline 0, format 16.
    pub fn new(name: impl Into<String>, gain_adu_per_mv: f64, adu: Vec<i32>) -> Lead {
        Lead {
            name: name.into(),
            units: "mV".into(),
            samples_per_frame: 1,
            gain_adu_per_unit: Some(gain_adu_per_mv),
            baseline_adu: 0,
            adc_zero_adu: 0,
            adc_resolution_bits: 16,
            initial_adu: adu.first().copied().filter(|&a| a != MISSING).unwrap_or(0),
            block_size: 0,
            checksum: None,
            checksum_ok: None,
            format: StorageFormat::F16,
            adu,
            gain_changes: Vec::new(),
        }
    }

    /// Quantizes millivolts to format 16 with the given gain; NaN becomes missing.
    ///
    /// # Errors
    /// Rule D12, naming lead and point, when a value is infinite or outside the format's range:
    /// nothing is clipped silently.
    pub fn from_mv(name: impl Into<String>, mv: &[f32], gain_adu_per_mv: f64) -> Result<Lead> {
        let name = name.into();
        let (low, high) = (-32767.0, 32767.0);
        let mut adu = Vec::with_capacity(mv.len());
        for (point, &value) in mv.iter().enumerate() {
            if value.is_nan() {
                adu.push(MISSING);
                continue;
            }
            let scaled = (f64::from(value) * gain_adu_per_mv).round();
            if !(low..=high).contains(&scaled) {
                return Err(Error::from(InputError {
                    code: "D12",
                    path: name.clone().into(),
                    position: Position::File,
                    field: format!("lead {name}, point {point}"),
                    found: format!("{value} mV"),
                    expected: format!(
                        "at most {:.3} mV in magnitude at {gain_adu_per_mv} adu/mV",
                        high / gain_adu_per_mv
                    ),
                    hint: "lower the gain, or clip before".into(),
                }));
            }
            adu.push(scaled as i32);
        }
        Ok(Lead::new(name, gain_adu_per_mv, adu))
    }

    /// Points in mV; NaN where missing. An uncalibrated lead takes WFDB's 200 adu per unit, see
    /// [`Lead::is_calibrated`].
    ///
    /// # Errors
    /// [`Error::Data`] when the unit is not a voltage (rule W17).
    pub fn mv(&self) -> Result<Vec<f32>> {
        let scale = self.mv_per_unit().ok_or_else(|| {
            Error::data(
                format!("lead {}", self.name),
                format!("found unit \"{}\", expected a voltage such as mV [W17]", self.units),
            )
        })?;
        let mut out = vec![0f32; self.adu.len()];
        self.convert(|from, points, gain, baseline| {
            let factor = scale / gain;
            for (out, &a) in out[from..].iter_mut().zip(points) {
                *out = if a == MISSING { f32::NAN } else { ((f64::from(a) - baseline) * factor) as f32 };
            }
        });
        Ok(out)
    }

    /// Points in the lead's own unit; NaN where missing.
    pub fn physical(&self) -> Vec<f64> {
        let mut out = vec![0f64; self.adu.len()];
        self.convert(|from, points, gain, baseline| {
            for (out, &a) in out[from..].iter_mut().zip(points) {
                *out = if a == MISSING { f64::NAN } else { (f64::from(a) - baseline) / gain };
            }
        });
        out
    }

    /// Whether the header states a gain; amplitudes of an uncalibrated lead mean nothing (W11).
    pub fn is_calibrated(&self) -> bool {
        self.gain_adu_per_unit.is_some()
    }

    /// Number of missing points.
    pub fn n_missing(&self) -> usize {
        self.adu.iter().filter(|&&a| a == MISSING).count()
    }

    /// How many mV one unit is; `None` when the unit is not a voltage.
    pub fn mv_per_unit(&self) -> Option<f64> {
        match self.units.as_str() {
            "mV" | "mv" | "millivolt" | "millivolts" => Some(1.0),
            "uV" | "uv" | "\u{b5}V" | "\u{b5}v" | "\u{3bc}V" | "\u{3bc}v" | "microvolt" | "microvolts" => Some(1e-3),
            "nV" | "nv" | "nanovolt" | "nanovolts" => Some(1e-6),
            "V" | "v" | "volt" | "volts" => Some(1e3),
            _ => None,
        }
    }

    /// Smallest and largest point in adu; `None` when all are missing.
    pub fn range_adu(&self) -> Option<(i32, i32)> {
        // MISSING is the smallest number there is, so only the minimum has to leave it out.
        let high = self.adu.iter().copied().max().filter(|&a| a != MISSING)?;
        let low = self.adu.iter().map(|&a| if a == MISSING { i32::MAX } else { a }).min()?;
        Some((low, high))
    }

    /// What would make the lead unfit for training (rule D11).
    pub fn quality(&self) -> LeadQuality {
        let Some((low, high)) = self.range_adu() else { return LeadQuality::AllMissing };
        if low == high {
            return LeadQuality::Constant;
        }
        let bits = match self.adc_resolution_bits {
            0 => self.format.bits(),
            bits => bits,
        };
        let half = 1i64 << (i64::from(bits).clamp(1, 32) - 1);
        let (bottom, top) = (i64::from(self.adc_zero_adu) - half, i64::from(self.adc_zero_adu) + half - 1);
        let at_an_end =
            self.adu.iter().filter(|&&a| a != MISSING && (i64::from(a) <= bottom || i64::from(a) >= top)).count();
        if at_an_end * 10 >= self.adu.len() { LeadQuality::Saturated } else { LeadQuality::Usable }
    }

    /// Share of the points that lie on a plateau at the lead's own smallest or largest value, 0-1.
    ///
    /// An amplifier or converter that has reached its end repeats one value; a real peak touches its extreme for a
    /// point or two. Only runs of `PLATEAU_POINTS` or more count, and a constant lead counts as 0: it is flat, not clipped.
    pub fn clipped_share(&self) -> f64 {
        let Some((low, high)) = self.range_adu() else { return 0.0 };
        if low == high {
            return 0.0;
        }
        let at_an_end = |run: &&[i32]| run.len() >= PLATEAU_POINTS && (run[0] == low || run[0] == high);
        let clipped: usize = self.adu.chunk_by(|a, b| a == b).filter(at_an_end).map(<[i32]>::len).sum();
        clipped as f64 / self.adu.len() as f64
    }

    /// Sum of the stored values as the signed 16-bit checksum of a header; missing points count
    /// with the format's marker.
    pub fn compute_checksum(&self) -> i16 {
        let marker = self.format.missing_marker().unwrap_or(0);
        let sum = self.adu.iter().fold(0i32, |sum, &a| sum.wrapping_add(if a == MISSING { marker } else { a }));
        sum as i16
    }

    /// Keeps a range of frames.
    pub(crate) fn keep_frames(&mut self, range: &Range<usize>) {
        let spf = self.samples_per_frame;
        if range.end * spf < self.adu.len() {
            self.adu.truncate(range.end * spf);
        }
        if range.start > 0 {
            self.adu.drain(..range.start * spf);
        }
        self.adu.shrink_to_fit();
    }

    /// Replaces the points of each frame by their mean, cut towards zero.
    pub(crate) fn average_frames(&mut self, frames: Frames) {
        let spf = self.samples_per_frame;
        if spf == 1 || frames == Frames::Native {
            return;
        }
        let marker = self.format.missing_marker().unwrap_or(MISSING);
        let mean = |points: &[i32]| {
            let is_missing = points.contains(&MISSING);
            if is_missing && frames == Frames::Average {
                return MISSING;
            }
            let stored = points.iter().map(|&point| i64::from(if point == MISSING { marker } else { point }));
            let mean = (stored.sum::<i64>() / spf as i64) as i32;
            if is_missing && mean == marker { MISSING } else { mean }
        };
        self.adu = self.adu.chunks_exact(spf).map(mean).collect();
        for change in &mut self.gain_changes {
            change.from /= spf;
        }
        self.samples_per_frame = 1;
    }

    /// Calls `each(first point, points, gain, baseline)` for every stretch of one calibration.
    fn convert(&self, mut each: impl FnMut(usize, &[i32], f64, f64)) {
        let mut from = 0;
        let (mut gain, mut baseline) = (self.gain_adu_per_unit, self.baseline_adu);
        for change in &self.gain_changes {
            let to = change.from.clamp(from, self.adu.len());
            each(from, &self.adu[from..to], gain.unwrap_or(DEFAULT_GAIN), f64::from(baseline));
            (from, gain, baseline) = (to, change.gain_adu_per_unit, change.baseline_adu);
        }
        each(from, &self.adu[from..], gain.unwrap_or(DEFAULT_GAIN), f64::from(baseline));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn millivolts_follow_unit_gain_baseline_and_missing_marks() {
        let mut lead = Lead::new("V1", 200.0, vec![1024, 1224, MISSING, 824]);
        lead.baseline_adu = 1024;
        let mv = lead.mv().unwrap();
        assert_eq!((mv[0], mv[1], mv[3]), (0.0, 1.0, -1.0));
        assert!(mv[2].is_nan());
        lead.units = "\u{b5}V".into();
        assert_eq!(lead.mv().unwrap()[1], 0.001);
        lead.gain_adu_per_unit = Some(-200.0);
        assert_eq!(lead.physical()[1], -1.0);
        lead.units = "mmHg".into();
        assert!(lead.mv().unwrap_err().to_string().contains("mmHg"));
    }

    #[test]
    fn gain_changes_apply_from_their_point_on() {
        let mut lead = Lead::new("I", 100.0, vec![100, 100, 100, 100]);
        lead.gain_changes.push(GainChange { from: 1, gain_adu_per_unit: Some(50.0), baseline_adu: 0 });
        lead.gain_changes.push(GainChange { from: 3, gain_adu_per_unit: Some(100.0), baseline_adu: 100 });
        assert_eq!(lead.physical(), [1.0, 2.0, 2.0, 0.0]);
    }

    #[test]
    fn d12_infinite_or_large_millivolts_are_refused_by_name() {
        let error = Lead::from_mv("II", &[0.0, f32::INFINITY], 1000.0).unwrap_err();
        assert_eq!(error.code(), Some("D12"));
        assert!(error.to_string().contains("lead II, point 1"), "{error}");
        assert!(Lead::from_mv("II", &[32.768], 1000.0).is_err());
        assert_eq!(Lead::from_mv("II", &[32.767, f32::NAN], 1000.0).unwrap().adu, [32767, MISSING]);
    }

    #[test]
    fn d11_flat_empty_and_clipped_leads_are_flagged() {
        let quality = |adu: Vec<i32>| Lead::new("I", 200.0, adu).quality();
        assert_eq!(quality(vec![MISSING; 4]), LeadQuality::AllMissing);
        assert_eq!(quality(vec![]), LeadQuality::AllMissing);
        assert_eq!(quality(vec![5, MISSING, 5]), LeadQuality::Constant);
        assert_eq!(quality(vec![32767, 32767, 0, 1]), LeadQuality::Saturated);
        assert_eq!(quality(vec![1, 2, 3, 2]), LeadQuality::Usable);
    }

    #[test]
    fn d11_only_plateaus_at_an_extreme_count_as_clipped() {
        let share = |adu: Vec<i32>| Lead::new("I", 200.0, adu).clipped_share();
        assert_eq!(share(vec![0, 7, 7, 7, 7, 7, 0, 3, 3, 3, 3, 3, 3, 1, 2, 1, 2, 1, 2, 1]), 0.25);
        assert_eq!(share(vec![0, 7, 7, 0, 7, 7, 7, 0]), 0.0);
        assert_eq!(share(vec![4; 10]), 0.0);
        assert_eq!(share(vec![MISSING; 10]), 0.0);
    }
}
