//! Delineators: what finds the onset, peak and offset of P, QRS and T, behind one trait and in one list.
//!
//! They find waves; what is measured between the waves is in [`beat::interval`](crate::beat::interval).

#[cfg(feature = "nn")]
pub mod delnet;
pub mod facts;
pub mod marked;
pub mod record;
pub mod wavelet;

use std::path::Path;

use crate::error::{Error, Result};
use crate::record::Fiducial;
use crate::registry::{self, Named};

/// Leads that were recorded together.
#[derive(Debug, Clone, Copy)]
pub struct Leads<'a> {
    /// One slice per lead in mV, all of the same length; NaN where missing.
    pub mv: &'a [&'a [f32]],
    /// Points per second.
    pub fs_hz: f64,
}

/// The waves of leads that were recorded together, in the order of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Delineation {
    /// Across all leads: from the earliest onset to the latest offset that the leads together show.
    pub across: Vec<Fiducial>,
    /// Lead by lead, in the order of the input.
    pub leads: Vec<Vec<Fiducial>>,
}

/// Finds waves.
pub trait Delineator {
    /// The waves of leads that were recorded together. A wave that is not there is not in the list.
    ///
    /// # Errors
    /// [`Error::Config`] for a sampling rate that the method cannot serve; [`Error::Shape`] unless all leads have the
    /// same length.
    fn delineate(&self, leads: &Leads) -> Result<Delineation>;
}

/// An entry of the list.
pub trait DelineatorSpec: Named + Sync {
    /// One line for listings.
    fn summary(&self) -> &'static str;
    /// BibTeX of the source.
    fn reference(&self) -> &'static str;
    /// Ready to delineate; a method with shipped weights loads them here.
    ///
    /// # Errors
    /// [`Error::Data`] for weights that do not fit.
    fn build(&self) -> Result<Box<dyn Delineator>>;
    /// As [`DelineatorSpec::build`], with the weights of a file in place of the shipped ones.
    ///
    /// # Errors
    /// [`Error::Config`] for a method without weights; [`Error::Input`] and [`Error::Data`] for a file that does not fit.
    fn load(&self, weights: &Path) -> Result<Box<dyn Delineator>> {
        let reason = format!("{}, but the delineator {} has no weights", weights.display(), self.name());
        Err(Error::config("--weights", reason))
    }
}

/// Every delineator, first the one that needs no network and is in every build.
pub static DELINEATORS: &[&dyn DelineatorSpec] = &[
    &wavelet::Spec,
    #[cfg(feature = "nn")]
    &delnet::Spec,
];

/// The delineator of a name.
///
/// # Errors
/// [`Error::Unknown`] if there is none.
pub fn find(name: &str) -> Result<&'static dyn DelineatorSpec> {
    registry::find("delineator", DELINEATORS, name).copied()
}

impl Leads<'_> {
    /// Number of points of each lead.
    ///
    /// # Errors
    /// [`Error::Shape`] unless all leads have the same length.
    pub fn sig_len(&self) -> Result<usize> {
        let sig_len = self.mv.first().map_or(0, |lead| lead.len());
        match self.mv.iter().find(|lead| lead.len() != sig_len) {
            Some(other) => {
                Err(Error::Shape { what: "lead".into(), expected: vec![sig_len], actual: vec![other.len()] })
            }
            None => Ok(sig_len),
        }
    }
}
