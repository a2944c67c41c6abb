//! The layers that the generators share: strided convolutions down, repetition and convolution up.

use burn::tensor::Tensor;

use crate::error::{Error, Result};
use crate::nn::layer::{conv, conv_joined, declare_conv, upsample_nearest};
use crate::nn::weights::{Init, ParamSpec, View};

/// Taps of every convolution, those of the critic included.
pub(in crate::nn) const KERNEL: usize = 25;
/// Strides of the published encoders; their decoders repeat by the same numbers, the last one first.
pub(in crate::nn) const STRIDES: [usize; 6] = [2, 5, 2, 5, 5, 5];
/// Zeros at each end, which keep the length of a convolution of stride 1.
pub(in crate::nn) const PADDING: usize = KERNEL / 2;

/// A convolution of an encoder.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct Down {
    pub name: &'static str,
    pub stride: usize,
    pub n_in: usize,
    pub n_out: usize,
}

impl Down {
    pub fn declare(&self, out: &mut Vec<ParamSpec>) {
        declare_conv(out, self.name, self.n_in, self.n_out, KERNEL, true);
    }

    pub fn apply(&self, p: &View, x: Tensor<3>) -> Tensor<3> {
        conv(&p.at(self.name), x, self.stride, PADDING)
    }
}

/// Repetition and convolution of a decoder.
#[derive(Debug, Clone, Copy)]
pub(in crate::nn) struct Up {
    pub name: &'static str,
    pub factor: usize,
    /// Channels of the running signal and of the skip connection, where there is one.
    pub n_in: usize,
    pub n_out: usize,
    pub has_skip: bool,
}

impl Up {
    pub fn declare(&self, out: &mut Vec<ParamSpec>) {
        declare_conv(out, &format!("{}.conv1d", self.name), self.n_in, self.n_out, KERNEL, true);
    }

    /// The channels of `x` come before those of `skip`.
    pub fn apply(&self, p: &View, x: Tensor<3>, skip: Option<Tensor<3>>) -> Tensor<3> {
        let repeat = |x: Tensor<3>| upsample_nearest(x, self.factor);
        conv_joined(&p.at(self.name).at("conv1d"), repeat(x), skip.map(repeat), PADDING)
    }
}

/// The layers down from a signal of `channels`; the last is where the decoder begins.
pub(in crate::nn) fn encoder(width: usize, channels: usize, strides: [usize; 6]) -> [Down; 6] {
    let names = ["conv_1", "conv_2", "conv_3", "conv_4", "conv_5", "conv_6"];
    let widths = [width / 5, width / 2, width, 3 * width, 5 * width, 5 * width];
    std::array::from_fn(|i| {
        let n_in = if i == 0 { channels } else { widths[i - 1] };
        Down { name: names[i], stride: strides[i], n_in, n_out: widths[i] }
    })
}

/// The layers up to a signal of `channels`, with skip connections or without; there is no fourth one.
pub(in crate::nn) fn decoder(width: usize, channels: usize, strides: [usize; 6], has_skips: bool) -> [Up; 6] {
    let names = ["deconv_1", "deconv_2", "deconv_3", "deconv_5", "deconv_6", "deconv_7"];
    let widths = [5 * width, 3 * width, width, width / 2, width / 5, channels];
    std::array::from_fn(|i| {
        // The outermost and the innermost layer of the encoder have no connection.
        let has_skip = has_skips && (1..=4).contains(&i);
        let running = if i == 0 { 5 * width } else { widths[i - 1] };
        let n_in = if has_skip { 2 * running } else { running };
        Up { name: names[i], factor: strides[5 - i], n_in, n_out: widths[i], has_skip }
    })
}

/// Points of the signal for each one at the end of an encoder.
pub(in crate::nn) fn stride_of(encoder: &[Down]) -> usize {
    encoder.iter().map(|layer| layer.stride).product()
}

/// Checks the sizes that every generator has.
pub(in crate::nn) fn check_sizes(channels: usize, width: usize, strides: &[usize]) -> Result<()> {
    if channels == 0 {
        return Err(Error::config("channels", "found 0, expected at least 1"));
    }
    // The narrowest layer has a fifth of the width.
    if width < 5 {
        return Err(Error::config("width", format!("found {width}, expected at least 5")));
    }
    if strides.contains(&0) {
        return Err(Error::config("strides", format!("found {strides:?}, expected numbers of at least 1")));
    }
    Ok(())
}

/// Checks a signal that an encoder is to take down by `stride` and a decoder up again.
pub(in crate::nn) fn check_signal(x: &Tensor<3>, channels: usize, stride: usize) -> Result<()> {
    let [batch, found, length] = x.dims();
    if found == channels && length > 0 && length.is_multiple_of(stride) {
        return Ok(());
    }
    let expected = vec![batch, channels, length.next_multiple_of(stride).max(stride)];
    let what = format!("network input (its length a multiple of {stride})");
    Err(Error::Shape { what, expected, actual: vec![batch, found, length] })
}

/// Gives the layer declared last the normal start of He et al. 2015, eq. 10, and leaves its bias.
pub(in crate::nn) fn start_kaiming(out: &mut [ParamSpec]) {
    if let [.., weight, _bias] = out {
        let fan_in: usize = weight.shape[1..].iter().product();
        weight.init = Init::Normal((2.0 / fan_in as f64).sqrt());
    }
}
