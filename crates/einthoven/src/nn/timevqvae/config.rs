//! The published forms, the bands of a spectrogram, and the shape of a stage-1 network.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A published form of the method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The code of April 2023, with which the paper's numbers were made. Encoders see all rows, those of the other
    /// band being 0; convolutions are plain; the loss compares spectrograms as well as signals.
    Paper,
    /// Release 1.0.1. Encoders see the rows of their band; convolutions are depth-wise separable; latents have
    /// length 1; the loss compares signals.
    #[default]
    Release,
}

/// A band of the spectrogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Band {
    /// Frequency 0 of each segment.
    Low,
    /// All others.
    High,
}

impl Band {
    /// Both, low first.
    pub const BOTH: [Band; 2] = [Band::Low, Band::High];

    /// Letter in the names of the state dict.
    pub(in crate::nn) fn letter(self) -> &'static str {
        match self {
            Band::Low => "l",
            Band::High => "h",
        }
    }
}

/// Shape of a [`Vqvae`](super::Vqvae); pairs are low band, high band.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VqvaeConfig {
    /// Published form.
    pub form: Form,
    /// Leads of the signal; those of the data where they are not given.
    #[serde(default)]
    pub channels: usize,
    /// Points in time of the signal; those of the data where they are not given.
    #[serde(default)]
    pub length: usize,
    /// Points of a segment of the spectrogram, a multiple of four.
    pub n_fft: usize,
    /// Channels after the first halving; they double with each. The paper's form has one width throughout.
    pub first_width: usize,
    /// Channels of a latent.
    pub width: usize,
    /// Residual blocks of an encoder: after each halving, or in the paper's form after all.
    pub encoder_blocks: usize,
    /// Residual blocks of a decoder.
    pub decoder_blocks: usize,
    /// Width of a latent that the number of halvings aims at.
    pub target_widths: [usize; 2],
    /// Entries of the codebooks.
    pub codes: [usize; 2],
    /// Numbers of a codebook entry.
    pub code_width: usize,
    /// Whether codebooks are started by k-means rather than drawn.
    pub starts_by_means: bool,
}

impl VqvaeConfig {
    /// The defaults of release 1.0.1 for signals of a number of leads and points.
    pub fn release(channels: usize, length: usize) -> VqvaeConfig {
        VqvaeConfig {
            form: Form::Release,
            channels,
            length,
            n_fft: 4,
            first_width: 4,
            width: 128,
            encoder_blocks: 2,
            decoder_blocks: 2,
            target_widths: [8, 32],
            codes: [1024, 1024],
            code_width: 8,
            starts_by_means: true,
        }
    }

    /// The settings of the paper for signals of a number of leads and points.
    pub fn paper(channels: usize, length: usize) -> VqvaeConfig {
        VqvaeConfig {
            form: Form::Paper,
            n_fft: 8,
            first_width: 64,
            width: 64,
            encoder_blocks: 4,
            decoder_blocks: 4,
            codes: [32, 32],
            code_width: 64,
            starts_by_means: false,
            ..VqvaeConfig::release(channels, length)
        }
    }

    /// For 10 s of an ECG at 100 Hz: latents of several columns for each beat, and codebooks of the release's size.
    ///
    /// # Differs from the paper
    /// The published latents of 8 and 32 columns were meant for short series; here they have 62 and 125, the spectrogram
    /// five rows instead of three, and channels start at 32 instead of 4.
    pub fn ecg(channels: usize, length: usize) -> VqvaeConfig {
        VqvaeConfig {
            n_fft: 8,
            first_width: 32,
            target_widths: [64, 128],
            code_width: 16,
            ..VqvaeConfig::release(channels, length)
        }
    }

    /// Checks that a network can be built.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key.
    pub fn validate(&self) -> Result<()> {
        let positive = [
            ("channels", self.channels),
            ("first_width", self.first_width),
            ("width", self.width),
            ("target_widths", self.target_widths[0].min(self.target_widths[1])),
            ("codes", self.codes[0].min(self.codes[1])),
            ("code_width", self.code_width),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(Error::config(key, "found 0, expected at least 1"));
        }
        if self.n_fft < 4 || !self.n_fft.is_multiple_of(4) {
            return Err(Error::config("n_fft", format!("found {}, expected a multiple of 4", self.n_fft)));
        }
        if self.length <= self.n_fft / 2 {
            let reason = format!("found {}, expected more than half a segment of {}", self.length, self.n_fft);
            return Err(Error::config("length", reason));
        }
        for band in Band::BOTH {
            let (rate, frames) = (self.rate(band), 1 + self.length / (self.n_fft / 4));
            if rate < 1.0 || self.halvings(band) > 24 || frames >> self.halvings(band) == 0 {
                let reason = format!("a rate of {rate} for {frames} segments leaves no latent");
                return Err(Error::config("target_widths", reason));
            }
        }
        Ok(())
    }

    /// How much narrower than the signal a latent is meant to be: `compute_downsample_rate` of the original.
    fn rate(&self, band: Band) -> f64 {
        let target = self.target_widths[band as usize];
        if self.length < target {
            return 1.0;
        }
        let per_octave = self.length as f64 / (libm::log2(self.n_fft as f64) - 1.0);
        (per_octave / target as f64).round_ties_even()
    }

    pub(super) fn halvings(&self, band: Band) -> usize {
        let octaves = libm::log2(self.rate(band));
        let octaves = match self.form {
            Form::Paper => octaves.floor(),
            Form::Release => octaves.round_ties_even(),
        };
        octaves.max(1.0) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_without_a_latent_are_refused() {
        for (key, config) in [
            ("n_fft", VqvaeConfig { n_fft: 6, ..VqvaeConfig::release(12, 1000) }),
            ("length", VqvaeConfig { length: 2, ..VqvaeConfig::release(12, 1000) }),
            ("codes", VqvaeConfig { codes: [16, 0], ..VqvaeConfig::release(12, 1000) }),
            // 100 points in 200 segments' worth of codes.
            (
                "target_widths",
                VqvaeConfig { n_fft: 16, length: 100, target_widths: [100, 100], ..VqvaeConfig::release(12, 1000) },
            ),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(key), "{error}");
        }
    }
}
