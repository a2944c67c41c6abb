//! Stage 1: a signal as codes of its low and of its high frequencies, and back.
//!
//! The spectrogram's first row and its other rows are two bands, each with an encoder, a codebook and a decoder of
//! its own; the signal is the sum of both. What differs between the published forms is said at [`Form`].

use burn::tensor::{Device, Tensor};

use super::coder::{Coder, CoderSizes};
use super::config::{Band, Form, VqvaeConfig};
use super::pass::{Declared, Pass};
use super::planes::Planes;
use super::quantizer::{Quantized, Quantizer, Tokens};
use super::separable::start_frequencies;
use super::stft::{Align, Stft, stretch};
use crate::error::{Error, Result};
use crate::nn::layer::start_lengths;
use crate::nn::running::{self, BatchStatistics};
use crate::nn::weights::{Init, View, Weights, host};
use crate::seed::Seed;

/// The network: a shape, to be applied to parameters.
#[derive(Debug, Clone)]
pub struct Vqvae {
    config: VqvaeConfig,
    pub(in crate::nn) stft: Stft,
    encoders: [Coder; 2],
    pub(in crate::nn) quantizers: [Quantizer; 2],
    pub(in crate::nn) decoders: [Coder; 2],
}

/// One band of a batch on its way through the network.
#[derive(Debug, Clone)]
pub struct Branch {
    /// The band's part of the spectrogram, `[batch, 2 * lead, bin, frame]`, other rows 0.
    pub spectrogram: Tensor<4>,
    /// The band's part of the signal, `[batch, lead, time]`.
    pub target: Tensor<3>,
    /// The encoder's output, `[batch, width, row, column]`.
    pub latent: Tensor<4>,
    /// Codes of the latent.
    pub quantized: Quantized,
    /// The latent made of codebook entries, `[batch, width, row, column]`.
    pub quantized_latent: Tensor<4>,
    /// The decoded part of the spectrogram, other rows 0; its frames are the decoder's.
    pub decoded: Tensor<4>,
    /// The decoded part of the signal, `[batch, lead, time]`.
    pub signal: Tensor<3>,
}

/// Losses of one band, each a mean.
#[derive(Debug, Clone)]
pub struct BandLosses {
    /// Between the signals: squared for the low, absolute for the high band.
    pub time: Tensor<1>,
    /// Between the spectrograms, squared; in the paper's form alone.
    pub spectrogram: Option<Tensor<1>>,
    /// Between latent and codebook, squared.
    pub commitment: Tensor<1>,
}

impl BandLosses {
    /// Their sum.
    pub fn total(&self) -> Tensor<1> {
        let sum = self.time.clone() + self.commitment.clone();
        match &self.spectrogram {
            Some(spectrogram) => sum + spectrogram.clone(),
            None => sum,
        }
    }
}

/// Receives named intermediates, `[batch, channel, row, width]`: the output of each block as `encoder_l.0`,
/// `decoder_h.2`, ..., that of whole coders as `encoder_l.out`, and what is stretched to the spectrogram's frames as
/// `decoder_l.stretched`.
pub type Trace<'a> = &'a mut dyn FnMut(&str, &Tensor<4>);

impl Vqvae {
    /// Checks the shape.
    ///
    /// # Errors
    /// [`Error::Config`] as in [`VqvaeConfig::validate`].
    pub fn new(config: VqvaeConfig) -> Result<Vqvae> {
        config.validate()?;
        let c = &config;
        let sizes = |band, residuals| CoderSizes {
            planes: 2 * c.channels,
            first_width: c.first_width,
            width: c.width,
            halvings: c.halvings(band),
            residuals,
        };
        // Kernels of the low band have but one row to see.
        let rows = |band| if band == Band::Low { 1 } else { 3 };
        let encoders = Band::BOTH.map(|band| {
            let (prefix, sizes) = (format!("encoder_{}.encoder", band.letter()), sizes(band, c.encoder_blocks));
            match c.form {
                Form::Paper => Coder::plain_encoder(prefix, sizes),
                Form::Release => Coder::separable_encoder(prefix, sizes, rows(band)),
            }
        });
        let decoders = Band::BOTH.map(|band| {
            let (prefix, sizes) = (format!("decoder_{}.decoder", band.letter()), sizes(band, c.decoder_blocks));
            match c.form {
                Form::Paper => Coder::plain_decoder(prefix, sizes),
                Form::Release => Coder::separable_decoder(prefix, sizes, rows(band)),
            }
        });
        let quantizers = Band::BOTH.map(|band| Quantizer {
            name: format!("vq_model_{}", band.letter()),
            width: c.width,
            code_width: c.code_width,
            codes: c.codes[band as usize],
            starts_by_means: c.starts_by_means,
        });
        let stft = match c.form {
            Form::Paper => Stft::rectangular(c.n_fft),
            Form::Release => Stft::hann(c.n_fft),
        };
        Ok(Vqvae { config, stft, encoders, quantizers, decoders })
    }

    /// Its shape.
    pub fn config(&self) -> &VqvaeConfig {
        &self.config
    }

    /// Points in time of the signals that come out: in the paper's form a whole number of segments.
    pub fn output_length(&self) -> usize {
        let hop = self.config.n_fft / 4;
        match self.config.form {
            Form::Paper => self.config.length / hop * hop,
            Form::Release => self.config.length,
        }
    }

    /// Rows and columns of a band's latent.
    pub fn latent_size(&self, band: Band) -> [usize; 2] {
        let rows = match (self.config.form, band) {
            (Form::Paper, _) => self.stft.bins(),
            (Form::Release, Band::Low) => 1,
            (Form::Release, Band::High) => self.stft.bins() - 1,
        };
        [rows, self.stft.frames(self.config.length) >> self.config.halvings(band)]
    }

    /// Name, shape and start of every parameter and buffer.
    pub fn declared(&self) -> Declared {
        let mut out = Declared::default();
        for band in Band::BOTH {
            self.encoders[band as usize].declare(&mut out);
            self.quantizers[band as usize].declare(&mut out);
            self.decoders[band as usize].declare(&mut out);
        }
        for (name, values) in self.size_buffers() {
            let shape = if self.config.form == Form::Release { vec![] } else { vec![values.len()] };
            out.buffer(name, &shape, Init::Zeros);
        }
        out
    }

    /// Sizes that the original keeps beside the weights; they follow from the shape.
    fn size_buffers(&self) -> Vec<(String, Vec<usize>)> {
        let mut out = Vec::new();
        for band in Band::BOTH {
            let [rows, columns] = self.latent_size(band);
            let encoder = format!("encoder_{}", band.letter());
            out.push((format!("{encoder}.num_tokens"), vec![rows * columns]));
            out.push((format!("{encoder}.H_prime"), vec![rows]));
            out.push((format!("{encoder}.W_prime"), vec![columns]));
            if self.config.form == Form::Paper {
                let size = vec![self.stft.bins(), self.stft.frames(self.config.length)];
                out.push((format!("decoder_{}.upsample_size", band.letter()), size));
            }
        }
        out
    }

    /// Start values of parameters and buffers.
    pub fn start(&self, seed: Seed) -> (Weights, Weights) {
        let declared = self.declared();
        let mut params = Weights::initialize(&declared.params, seed);
        start_frequencies(&mut params);
        start_lengths(&mut params);
        let mut buffers = Weights::initialize(&declared.buffers, seed);
        self.quantizers.iter().for_each(|quantizer| quantizer.start(&mut buffers));
        for (name, values) in self.size_buffers() {
            if let Some(buffer) = buffers.entries.get_mut(&name) {
                buffer.values = values.iter().map(|&value| value as f32).collect();
            }
        }
        (params, buffers)
    }

    /// Whether the codebooks have their first entries.
    pub fn has_codebooks(&self, buffers: &Weights) -> bool {
        self.quantizers.iter().all(|quantizer| quantizer.has_started(buffers))
    }

    /// Starts the codebooks at the means of what the encoders make of signals, as the first training step of the
    /// original does.
    ///
    /// # Errors
    /// [`Error::Shape`] for signals of another size.
    pub fn start_codebooks(&self, p: &View, buffers: &mut Weights, x: Tensor<3>, seed: Seed) -> Result<()> {
        let spectrogram = self.spectrogram(x)?;
        for band in Band::BOTH {
            let mut pass = Pass::training(buffers, None);
            let latent = self.encode(p, &mut pass, &spectrogram, band, &mut |_, _| {});
            let quantizer = &self.quantizers[band as usize];
            let samples = host(quantizer.quantize(p, &pass, flatten(latent)).projected);
            quantizer.start_by_means(buffers, &samples, &mut seed.purpose(&quantizer.name).stream());
        }
        Ok(())
    }

    /// Spectrogram of signals, `[batch, 2 * lead, bin, frame]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for signals of another size.
    pub fn spectrogram(&self, x: Tensor<3>) -> Result<Tensor<4>> {
        let [batch, channels, length] = x.dims();
        if [channels, length] != [self.config.channels, self.config.length] {
            let expected = vec![batch, self.config.channels, self.config.length];
            return Err(Error::Shape { what: "network input".into(), expected, actual: x.dims().to_vec() });
        }
        Ok(self.stft.forward(x))
    }

    /// Signals of a spectrogram, `[batch, lead, time]`; in the release's form of the network's length.
    pub fn signal(&self, spectrogram: Tensor<4>) -> Tensor<3> {
        let signal = self.stft.inverse(spectrogram);
        match self.config.form {
            Form::Paper => signal,
            Form::Release => stretch(signal, self.config.length, Align::Edges),
        }
    }

    /// A band of a spectrogram, other rows 0.
    pub fn band(&self, spectrogram: Tensor<4>, band: Band) -> Tensor<4> {
        self.among_zeros(self.rows_of(spectrogram, band), band)
    }

    fn rows_of(&self, spectrogram: Tensor<4>, band: Band) -> Tensor<4> {
        match band {
            Band::Low => spectrogram.narrow(2, 0, 1),
            Band::High => spectrogram.narrow(2, 1, self.stft.bins() - 1),
        }
    }

    fn among_zeros(&self, rows: Tensor<4>, band: Band) -> Tensor<4> {
        let [batch, planes, n_rows, width] = rows.dims();
        let zeros = Tensor::zeros([batch, planes, self.stft.bins() - n_rows, width], &rows.device());
        match band {
            Band::Low => Tensor::cat(vec![rows, zeros], 2),
            Band::High => Tensor::cat(vec![zeros, rows], 2),
        }
    }

    /// Both bands of signals through the whole network.
    ///
    /// # Errors
    /// [`Error::Shape`] for signals of another size.
    pub fn forward(&self, p: &View, pass: &mut Pass, x: Tensor<3>) -> Result<[Branch; 2]> {
        self.forward_traced(p, pass, x, &mut |_, _| {})
    }

    /// As [`Vqvae::forward`], handing named intermediates to `trace`.
    ///
    /// # Errors
    /// As [`Vqvae::forward`].
    pub fn forward_traced(&self, p: &View, pass: &mut Pass, x: Tensor<3>, trace: Trace) -> Result<[Branch; 2]> {
        let spectrogram = self.spectrogram(x)?;
        Ok(Band::BOTH.map(|band| {
            let latent = self.encode(p, pass, &spectrogram, band, trace);
            let quantized = self.quantizers[band as usize].quantize(p, pass, flatten(latent.clone()));
            let quantized_latent = self.fold(quantized.latent.clone(), band);
            let decoded = self.decode(p, pass, quantized_latent.clone(), band, trace);
            let spectrogram = self.band(spectrogram.clone(), band);
            Branch {
                target: self.signal(spectrogram.clone()),
                spectrogram,
                latent,
                quantized,
                quantized_latent,
                signal: self.signal(decoded.clone()),
                decoded,
            }
        }))
    }

    /// Losses of a band of a batch.
    pub fn losses(&self, branch: &Branch, band: Band) -> BandLosses {
        let error = branch.signal.clone() - branch.target.clone();
        let time = match band {
            Band::Low => error.square().mean(),
            Band::High => error.abs().mean(),
        };
        let spectrogram = (self.config.form == Form::Paper)
            .then(|| (branch.decoded.clone() - branch.spectrogram.clone()).square().mean());
        BandLosses { time, spectrogram, commitment: branch.quantized.commitment.clone() }
    }

    /// Moves codebooks and running statistics after a training step.
    pub fn follow(&self, buffers: &mut Weights, branches: &[Branch; 2], statistics: &[BatchStatistics]) {
        for (quantizer, branch) in self.quantizers.iter().zip(branches) {
            quantizer.follow(buffers, &branch.quantized);
        }
        running::follow(buffers, statistics);
    }

    /// Puts samples of a training batch in the place of codes that are hardly ever used: those on which fewer than
    /// `dead_below` positions of a batch fall on average.
    pub fn restart_dead_codes(&self, buffers: &mut Weights, branches: &[Branch; 2], dead_below: f32, seed: Seed) {
        for (quantizer, branch) in self.quantizers.iter().zip(branches) {
            let mut stream = seed.purpose(&quantizer.name).stream();
            quantizer.restart_dead(buffers, &branch.quantized, dead_below, &mut stream);
        }
    }

    /// Codes of both bands of signals.
    ///
    /// # Errors
    /// [`Error::Shape`] for signals of another size.
    pub fn tokens(&self, p: &View, buffers: &Weights, x: Tensor<3>) -> Result<[Tokens; 2]> {
        let spectrogram = self.spectrogram(x)?;
        let mut pass = Pass::evaluation(buffers);
        Ok(Band::BOTH.map(|band| {
            let latent = self.encode(p, &mut pass, &spectrogram, band, &mut |_, _| {});
            self.quantizers[band as usize].quantize(p, &pass, flatten(latent)).tokens
        }))
    }

    /// The part of signals that a band's codes stand for, `[batch, lead, time]`.
    ///
    /// # Errors
    /// [`Error::Shape`] for a wrong number of codes; [`Error::Data`] for a code that is not in the codebook.
    pub fn decode_tokens(
        &self,
        p: &View,
        buffers: &Weights,
        tokens: &Tokens,
        band: Band,
        device: &Device,
    ) -> Result<Tensor<3>> {
        let [rows, columns] = self.latent_size(band);
        check_tokens(tokens, rows * columns, self.config.codes[band as usize])?;
        let latent = self.quantizers[band as usize].latent(p, buffers, tokens, device);
        let latent = self.fold(latent, band);
        Ok(self.signal(self.decode(p, &mut Pass::evaluation(buffers), latent, band, &mut |_, _| {})))
    }

    /// Latent of a band, `[batch, width, row, column]`.
    fn encode(&self, p: &View, pass: &mut Pass, spectrogram: &Tensor<4>, band: Band, trace: Trace) -> Tensor<4> {
        let seen = match self.config.form {
            Form::Paper => self.band(spectrogram.clone(), band),
            Form::Release => self.rows_of(spectrogram.clone(), band),
        };
        let name = format!("encoder_{}", band.letter());
        let latent = self.encoders[band as usize].apply(p, pass, Planes::of(seen), &mut |at, x| {
            trace(&format!("{name}.{at}"), &x.spectrograms());
        });
        let latent = latent.spectrograms();
        trace(&format!("{name}.out"), &latent);
        match self.config.form {
            Form::Paper => latent,
            Form::Release => {
                // The least length is that of the original, applied to the square, where its gradient is finite.
                let length = latent.clone().square().sum_dim(1).clamp_min(1e-24).sqrt();
                latent / length
            }
        }
    }

    /// Spectrogram of a band's latent, other rows 0.
    fn decode(&self, p: &View, pass: &mut Pass, latent: Tensor<4>, band: Band, trace: Trace) -> Tensor<4> {
        let name = format!("decoder_{}", band.letter());
        let out = self.decoders[band as usize].apply(p, pass, Planes::of(latent), &mut |at, x| {
            trace(&format!("{name}.{at}"), &x.spectrograms());
        });
        let out = out.spectrograms();
        trace(&format!("{name}.out"), &out);
        match self.config.form {
            Form::Paper => {
                let [batch, planes, rows, width] = out.dims();
                let frames = self.stft.frames(self.config.length);
                let out = stretch(out.reshape([batch, planes * rows, width]), frames, Align::Corners);
                let out = out.reshape([batch, planes, rows, frames]);
                trace(&format!("{name}.stretched"), &out);
                self.band(out, band)
            }
            Form::Release => self.among_zeros(out, band),
        }
    }

    fn fold(&self, latent: Tensor<3>, band: Band) -> Tensor<4> {
        let [batch, _, width] = latent.dims();
        let [rows, columns] = self.latent_size(band);
        latent.swap_dims(1, 2).reshape([batch, width, rows, columns])
    }
}

/// `[batch, width, row, column]` as `[batch, position, width]`, row after row.
fn flatten(latent: Tensor<4>) -> Tensor<3> {
    let [batch, width, rows, columns] = latent.dims();
    latent.reshape([batch, width, rows * columns]).swap_dims(1, 2)
}

/// Checks that there are items of so many codes below a number.
pub(super) fn check_tokens(tokens: &Tokens, n_positions: usize, codes: usize) -> Result<()> {
    if let Some(item) = tokens.iter().find(|item| item.len() != n_positions) {
        let (expected, actual) = (vec![tokens.len(), n_positions], vec![tokens.len(), item.len()]);
        return Err(Error::Shape { what: "codes of a band".into(), expected, actual });
    }
    match tokens.iter().flatten().find(|code| **code >= codes) {
        Some(code) => Err(Error::data("codes", format!("found {code}, expected less than {codes}"))),
        None if tokens.is_empty() => Err(Error::data("codes", "there are none")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(network: &Vqvae) -> usize {
        network.declared().params.iter().map(|p| p.shape.iter().product::<usize>()).sum()
    }

    /// `shapes.json` of the fixtures: 1,193,280 weights and 42,922 numbers in buffers with the defaults of release
    /// 1.0.1 for twelve leads and 1000 points.
    #[test]
    fn the_release_has_its_published_size() {
        let network = Vqvae::new(VqvaeConfig::release(12, 1000)).unwrap();
        assert_eq!(count(&network), 1_193_280);
        let buffers = network.declared().buffers;
        assert_eq!(buffers.iter().map(|b| b.shape.iter().product::<usize>()).sum::<usize>(), 42_922);
        assert_eq!(Band::BOTH.map(|band| network.latent_size(band)), [[1, 7], [2, 31]]);
    }

    /// `shapes.json` of the fixtures: 1,439,328 weights with the paper's settings for twelve leads and 1000 points.
    #[test]
    fn the_paper_has_its_published_size() {
        assert_eq!(count(&Vqvae::new(VqvaeConfig::paper(12, 1000)).unwrap()), 1_439_328);
    }
}
