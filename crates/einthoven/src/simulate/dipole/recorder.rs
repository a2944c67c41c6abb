//! What a recording device does to the leads: offset, band, saturation, an electrode that falls off.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::signal::filter::SosFilter;

/// Electrode that can fall off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // Electrodes by their names.
pub enum Electrode {
    RA,
    LA,
    LL,
    V1,
    V2,
    V3,
    V4,
    V5,
    V6,
}

impl Electrode {
    /// All in order.
    pub const ALL: [Electrode; 9] = [
        Electrode::RA,
        Electrode::LA,
        Electrode::LL,
        Electrode::V1,
        Electrode::V2,
        Electrode::V3,
        Electrode::V4,
        Electrode::V5,
        Electrode::V6,
    ];

    /// The electrode of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] for another name.
    pub fn parse(name: &str) -> Result<Electrode> {
        let known = || Electrode::ALL.map(|electrode| format!("{electrode:?}")).to_vec();
        Electrode::ALL
            .into_iter()
            .find(|electrode| format!("{electrode:?}").eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::Unknown { kind: "electrode", name: name.to_string(), known: known() })
    }

    /// Reads an electrode and the times in s between which it is off; nothing means that none is.
    ///
    /// # Errors
    /// [`Error::Unknown`] for the name, [`Error::Config`] unless there are two numbers after it.
    pub fn parse_off(parts: &[String]) -> Result<Option<(Electrode, f64, f64)>> {
        let Some(name) = parts.first() else { return Ok(None) };
        match parts[1..].iter().map(|part| part.parse()).collect::<std::result::Result<Vec<f64>, _>>().as_deref() {
            Ok([from_s, to_s]) => Ok(Some((Electrode::parse(name)?, *from_s, *to_s))),
            _ => Err(Error::config(
                "lead_off",
                format!("\"{}\", expected an electrode and two times, as in V3,2,6", parts.join(",")),
            )),
        }
    }

    /// Whether one of the eight leads needs it; the chest leads need all limb electrodes.
    fn is_needed_by(self, lead: usize) -> bool {
        match self {
            Electrode::RA => true,
            Electrode::LA => lead != 1,
            Electrode::LL => lead != 0,
            chest => lead + 1 == chest as usize,
        }
    }
}

/// The recording device. The default adds and takes away nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Recorder {
    /// Constant added to each of the eight leads, mV.
    pub dc_offset_mv: f64,
    /// Cut-off of the first-order high-pass, Hz.
    pub high_pass_hz: Option<f64>,
    /// Cut-off of the low-pass of second order, Hz.
    pub low_pass_hz: Option<f64>,
    /// Largest magnitude that the amplifier of a lead can give, mV.
    pub saturation_mv: Option<f64>,
    /// Electrode that is off, and from when to when, s.
    pub lead_off: Option<(Electrode, f64, f64)>,
}

impl Recorder {
    pub(super) fn validate(&self, fs_hz: f64, seconds: f64) -> Result<()> {
        Filters::new(self, fs_hz)?;
        let refuse = |key: &str, reason: String| Err(Error::config(key, reason));
        if let (Some(low), Some(high)) = (self.high_pass_hz, self.low_pass_hz)
            && low >= high
        {
            return refuse("high_pass", format!("{low} Hz, expected less than the low-pass of {high} Hz"));
        }
        if !(self.dc_offset_mv.abs() <= 300.0) {
            return refuse("dc_offset", format!("{} mV, expected at most 300 mV", self.dc_offset_mv));
        }
        if let Some(limit) = self.saturation_mv
            && !(0.1..=1000.0).contains(&limit)
        {
            return refuse("saturation", format!("{limit} mV, expected 0.1 to 1000 mV"));
        }
        match self.lead_off {
            Some((_, from_s, to_s)) if !(0.0 <= from_s && from_s < to_s && from_s < seconds) => {
                refuse("lead_off", format!("from {from_s} to {to_s} s, expected a stretch of the {seconds} s"))
            }
            _ => Ok(()),
        }
    }
}

/// A recorder at work on one record.
pub(super) struct Filters {
    recorder: Recorder,
    fs_hz: f64,
    filters: Vec<SosFilter>,
    states: Vec<[Vec<[f64; 2]>; 8]>,
}

impl Filters {
    pub fn new(recorder: &Recorder, fs_hz: f64) -> Result<Filters> {
        let mut filters = Vec::new();
        if let Some(cutoff_hz) = recorder.high_pass_hz {
            filters.push(SosFilter::highpass(1, cutoff_hz, fs_hz).map_err(|error| error.renamed("high_pass"))?);
        }
        if let Some(cutoff_hz) = recorder.low_pass_hz {
            filters.push(SosFilter::lowpass(2, cutoff_hz, fs_hz).map_err(|error| error.renamed("low_pass"))?);
        }
        let states = filters.iter().map(|_| Default::default()).collect();
        Ok(Filters { recorder: recorder.clone(), fs_hz, filters, states })
    }

    /// Records the next piece, whose first frame is `first`. Points without an electrode become NaN.
    pub fn next(&mut self, first: usize, leads: &mut [Vec<f64>; 8]) {
        for (k, lead) in leads.iter_mut().enumerate() {
            if self.recorder.dc_offset_mv != 0.0 {
                lead.iter_mut().for_each(|v| *v += self.recorder.dc_offset_mv);
            }
            for (filter, states) in self.filters.iter().zip(&mut self.states) {
                filter.apply_next(lead, &mut states[k]);
            }
            if let Some(limit) = self.recorder.saturation_mv {
                lead.iter_mut().for_each(|v| *v = v.clamp(-limit, limit));
            }
            if let Some((electrode, from_s, to_s)) = self.recorder.lead_off
                && electrode.is_needed_by(k)
            {
                for (n, v) in lead.iter_mut().enumerate() {
                    if (from_s..to_s).contains(&((first + n) as f64 / self.fs_hz)) {
                        *v = f64::NAN;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn electrodes_take_their_leads_with_them() {
        let needed = |electrode: Electrode| (0..8).filter(|&lead| electrode.is_needed_by(lead)).collect::<Vec<_>>();
        assert_eq!(needed(Electrode::V3), [4]);
        assert_eq!(needed(Electrode::RA), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(needed(Electrode::LL), [1, 2, 3, 4, 5, 6, 7]);
        assert!(Electrode::parse("v6").is_ok() && Electrode::parse("V7").is_err());
    }
}
