//! Convolution in which every group of outputs reads a group of inputs of its own.

use burn::tensor::{Tensor, ops::ConvOptions};

use super::{Conv1dOptions, conv1d};

/// As [`conv1d`], with the channels of signal and weight in `groups` equal groups that do not see each
/// other.
///
/// `x` is `[batch, channels_in, length]`, `weight` is `[channels_out, channels_in / groups, kernel]`. Each
/// group is a convolution of its own, so many small groups gain little over the framework.
///
/// # Panics
///
/// As [`conv1d`], and if `groups` does not divide both numbers of channels.
pub fn conv1d_grouped(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Option<Tensor<1>>,
    options: Conv1dOptions,
    groups: usize,
) -> Tensor<3> {
    let ([batch, channels_in, length], [channels_out, _, _]) = (x.dims(), weight.dims());
    assert!(
        batch > 0 && channels_in > 0 && length > 0 && channels_out > 0,
        "conv1d_grouped: found shape [{batch}, {channels_in}, {length}] to {channels_out} channels, expected no 0"
    );
    let divides = groups > 0 && channels_in.is_multiple_of(groups) && channels_out.is_multiple_of(groups);
    assert!(divides, "conv1d_grouped: found {groups} groups of {channels_in} to {channels_out} channels");
    let (inputs, outputs) = (channels_in / groups, channels_out / groups);
    let parts = (0..groups).map(|group| {
        let bias = bias.clone().map(|bias| bias.narrow(0, group * outputs, outputs));
        let weight = weight.clone().narrow(0, group * outputs, outputs);
        conv1d(x.clone().narrow(1, group * inputs, inputs), weight, bias, options)
    });
    Tensor::cat(parts.collect(), 1)
}

/// [`conv1d_grouped`] by the framework's own operation: the reference for tests.
pub fn conv1d_grouped_reference(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Option<Tensor<1>>,
    options: Conv1dOptions,
    groups: usize,
) -> Tensor<3> {
    let options = ConvOptions::new([options.stride], [options.padding], [options.dilation], groups);
    burn::tensor::module::conv1d(x, weight, bias, options)
}
