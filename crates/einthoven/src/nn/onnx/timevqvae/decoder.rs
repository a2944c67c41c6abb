//! The decoders of both bands as one graph, with convolutions over the rows and the width of a spectrogram.

use super::super::super::timevqvae::coder::{Blocks, Coder};
use super::super::super::timevqvae::plain::{self, SLOPE, second_conv};
use super::super::super::timevqvae::separable;
use super::super::super::timevqvae::stft::{Align, neighbors};
use super::super::super::timevqvae::{Band, Form, Vqvae};
use super::super::{Attribute, Graph, Value};
use crate::error::{Error, Result};
use Attribute::{Float, Int, Ints};

/// Signals in mV for codes of both bands.
///
/// Inputs are `low` and `high`, `[batch, position]`; the output is `ecg_mv` `[batch, lead, time]`, by the factor
/// `scale_mv` of each lead.
///
/// # Errors
/// [`Error::Unsupported`] for a block that no decoder has.
pub fn decoder_graph(g: &mut Graph, vqvae: &Vqvae, scale_mv: &[f32]) -> Result<()> {
    let [low, high] = [("low", Band::Low), ("high", Band::High)]
        .map(|(name, band)| g.input_ints(name, &[vqvae.latent_size(band).iter().product()]));
    let low = part(g, vqvae, Band::Low, &low)?;
    let high = part(g, vqvae, Band::High, &high)?;
    let both = g.add(&low, &high);
    let scale = g.floats(&[scale_mv.len(), 1], scale_mv.to_vec());
    let signal = g.mul(&both, &scale);
    g.output("ecg_mv", &signal, &[vqvae.config().channels, vqvae.output_length()]);
    Ok(())
}

/// As `Vqvae::decode_tokens`.
fn part(g: &mut Graph, vqvae: &Vqvae, band: Band, codes: &Value) -> Result<Value> {
    let c = vqvae.config();
    let [rows, columns] = vqvae.latent_size(band);
    let quantizer = &vqvae.quantizers[band as usize];
    let entries = g.weight(&quantizer.array("embed"), None);
    let entries = match quantizer.projects() {
        true => g.linear(&format!("{}.project_out", quantizer.name), &entries),
        false => entries,
    };
    let latent = g.rows(&entries, codes);
    let latent = g.permute(&latent, &[0, 2, 1]);
    let latent = g.reshape(&latent, &[0, c.width as i64, rows as i64, columns as i64]);
    let (x, frames) = decode(g, &vqvae.decoders[band as usize], latent, columns)?;
    Ok(match c.form {
        Form::Paper => {
            // The decoder makes all rows, of which the band keeps its own.
            let x = match band {
                Band::Low => g.narrow(&x, 2, 0, 1),
                Band::High => g.narrow(&x, 2, 1, rows - 1),
            };
            let wanted = vqvae.stft.frames(c.length);
            let x = stretch(g, &x, 3, [frames, wanted], Align::Corners);
            inverse(g, vqvae, band, &x, wanted)
        }
        Form::Release => {
            let signal = inverse(g, vqvae, band, &x, frames);
            let length = vqvae.stft.hop() * (frames - 1);
            stretch(g, &signal, 2, [length, c.length], Align::Edges)
        }
    })
}

/// The decoder's output `[batch, 2 * lead, row, frame]`, and its frames.
fn decode(g: &mut Graph, coder: &Coder, mut x: Value, mut width: usize) -> Result<(Value, usize)> {
    match &coder.blocks {
        Blocks::Plain(list) => {
            for (at, block) in list.iter().enumerate() {
                let is_wider;
                (x, is_wider) = plain_block(g, block, &coder.name(at), x)?;
                width <<= usize::from(is_wider);
            }
        }
        Blocks::Separable { list, .. } => {
            for (at, block) in list.iter().enumerate() {
                let is_wider;
                (x, is_wider) = separable_block(g, block, &coder.name(at), x)?;
                width <<= usize::from(is_wider);
            }
        }
    }
    Ok((x, width))
}

/// Output of a block as of the paper, and whether it is twice as wide.
fn plain_block(g: &mut Graph, block: &plain::Block, name: &str, x: Value) -> Result<(Value, bool)> {
    match *block {
        plain::Block::Residual { has_inner_norm, .. } => {
            let y = leaky(g, &x);
            let mut y = conv(g, &format!("{name}.0.convs.1"), &y, 1);
            if has_inner_norm {
                y = g.batch_norm(&format!("{name}.0.convs.2"), &y);
            }
            let y = leaky(g, &y);
            let y = conv(g, &format!("{name}.0.{}", second_conv(has_inner_norm)), &y, 1);
            let sum = g.add(&x, &y);
            Ok((g.batch_norm(&format!("{name}.1"), &sum), false))
        }
        plain::Block::Up { .. } => {
            let x = double(g, &format!("{name}.block.0"), &x, 1);
            let x = g.batch_norm(&format!("{name}.block.1"), &x);
            Ok((leaky(g, &x), true))
        }
        plain::Block::LastUp { .. } => Ok((double(g, name, &x, 1), true)),
        plain::Block::Down { .. } => Err(of_encoder(name)),
    }
}

/// As [`plain_block`] of release 1.0.1.
fn separable_block(g: &mut Graph, block: &separable::Block, name: &str, x: Value) -> Result<(Value, bool)> {
    match *block {
        separable::Block::Residual { n_in, n_out } => {
            let around = if n_in == n_out { x.clone() } else { conv(g, &format!("{name}.proj"), &x, 1) };
            let x = snake(g, &format!("{name}.convs.0"), &x);
            let x = conv(g, &format!("{name}.convs.1"), &x, n_in);
            let x = conv(g, &format!("{name}.convs.2"), &x, 1);
            let x = g.batch_norm(&format!("{name}.convs.3"), &x);
            let x = snake(g, &format!("{name}.convs.4"), &x);
            let x = conv(g, &format!("{name}.convs.5"), &x, n_out);
            let x = conv(g, &format!("{name}.convs.6"), &x, 1);
            Ok((g.add(&around, &x), false))
        }
        separable::Block::Up { n_in, .. } => {
            let x = double(g, &format!("{name}.block.0"), &x, n_in);
            let x = mix(g, &format!("{name}.block.1"), &x);
            let x = g.batch_norm(&format!("{name}.block.2"), &x);
            Ok((snake(g, &format!("{name}.block.3"), &x), true))
        }
        separable::Block::LastUp { n_in, is_depthwise, .. } => {
            let x = double(g, &format!("{name}.0"), &x, if is_depthwise { n_in } else { 1 });
            Ok((mix(g, &format!("{name}.1"), &x), true))
        }
        separable::Block::Down { .. } => Err(of_encoder(name)),
    }
}

fn of_encoder(name: &str) -> Error {
    Error::Unsupported { what: format!("ONNX of {name}, a block of an encoder") }
}

/// A stored weight `[.., .., row, tap]`, which may be of direction and length, with its last two extents, and its bias.
fn kernel(g: &mut Graph, name: &str) -> (Value, [usize; 2], Value) {
    let weight = format!("{name}.weight");
    let (shape, values) = if g.has(&weight) { g.array(&weight) } else { g.normed(name) };
    let extent = |axis: usize| shape.get(axis).copied().unwrap_or(1);
    let extents = [extent(2), extent(3)];
    let weight = g.named(&weight, shape, values);
    (weight, extents, g.weight(&format!("{name}.bias"), None))
}

/// Convolution with as many zeros around the spectrogram as keep its size.
fn conv(g: &mut Graph, name: &str, x: &Value, groups: usize) -> Value {
    let (weight, extents, bias) = kernel(g, name);
    let [rows, taps] = extents.map(|extent| (extent / 2) as i64);
    let attributes = [("pads", Ints(vec![rows, taps, rows, taps])), ("group", Int(groups as i64))];
    g.op("Conv", &[x, &weight, &bias], &attributes)
}

/// Transposed convolution of four taps that doubles the width and keeps the rows.
fn double(g: &mut Graph, name: &str, x: &Value, groups: usize) -> Value {
    let (weight, [rows, _], bias) = kernel(g, name);
    let rows = (rows / 2) as i64;
    let attributes =
        [("strides", Ints(vec![1, 2])), ("pads", Ints(vec![rows, 1, rows, 1])), ("group", Int(groups as i64))];
    g.op("ConvTranspose", &[x, &weight, &bias], &attributes)
}

/// Transposed convolution of one row and one tap.
fn mix(g: &mut Graph, name: &str, x: &Value) -> Value {
    let (weight, _, bias) = kernel(g, name);
    g.op("ConvTranspose", &[x, &weight, &bias], &[])
}

fn leaky(g: &mut Graph, x: &Value) -> Value {
    g.op("LeakyRelu", &[x], &[("alpha", Float(SLOPE as f32))])
}

fn snake(g: &mut Graph, name: &str, x: &Value) -> Value {
    let frequency = g.weight(&format!("{name}.a"), None);
    let angle = g.mul(x, &frequency);
    let sine = g.op("Sin", &[&angle], &[]);
    let square = g.mul(&sine, &sine);
    let wave = g.op("Div", &[&square, &frequency], &[]);
    g.add(x, &wave)
}

/// The last axis, `axis`, at another number of points.
fn stretch(g: &mut Graph, x: &Value, axis: i64, [from, length]: [usize; 2], align: Align) -> Value {
    if from == length {
        return x.clone();
    }
    let (before, after, share) = neighbors(from, length, align);
    let rest = share.iter().map(|share| 1.0 - share).collect();
    let (rest, share) = (g.floats(&[length], rest), g.floats(&[length], share));
    let before = g.select(x, axis, &before);
    let after = g.select(x, axis, &after);
    let before = g.mul(&before, &rest);
    let after = g.mul(&after, &share);
    g.add(&before, &after)
}

/// Signals `[batch, lead, time]` of a band's rows of a spectrogram, the others being 0.
fn inverse(g: &mut Graph, vqvae: &Vqvae, band: Band, x: &Value, frames: usize) -> Value {
    let stft = &vqvae.stft;
    let (waves, factors) = stft.synthesis(frames);
    let bins = match band {
        Band::Low => 0..1,
        Band::High => 1..stft.bins(),
    };
    let n_rows = 2 * bins.len();
    let of_band = waves.chunks(stft.n_fft).enumerate().filter(|(row, _)| bins.contains(&(row % stft.bins())));
    let of_band = of_band.flat_map(|(_, wave)| wave.iter().copied()).collect();
    let kernel = g.floats(&[n_rows, 1, stft.n_fft], of_band);
    let rows = g.reshape(x, &[-1, n_rows as i64, frames as i64]);
    let (hop, half) = (stft.hop() as i64, (stft.n_fft / 2) as i64);
    let attributes = [("strides", Ints(vec![hop])), ("pads", Ints(vec![half, half]))];
    let added = g.op("ConvTranspose", &[&rows, &kernel], &attributes);
    let length = factors.len();
    let factors = g.floats(&[length], factors);
    let signal = g.mul(&added, &factors);
    g.reshape(&signal, &[-1, vqvae.config().channels as i64, length as i64])
}
