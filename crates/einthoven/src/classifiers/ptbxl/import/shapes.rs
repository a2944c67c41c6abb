//! The constructors' arguments, read off the arrays of a state dict.
//!
//! Arrays tell everything but strides, the pooling of `fcn_wang` and the shares of dropout, which are as published. A network
//! whose layers then have other names or shapes is refused when it is built, array by array.

use serde_json::{Value, json};

use crate::classifiers::ptbxl::inception1d::kernels;
use crate::error::{Error, Result};
use crate::nn::weights::Weights;

/// An array that a network of this name has, and no other part of a checkpoint.
pub fn landmark(name: &str) -> &'static str {
    match name {
        "fcn_wang" => "1.0.0.weight",
        "inception1d" => "layers.0.im.0.conv_bottle.1.weight",
        "resnet1d_wang" => "3.0.conv1.weight",
        _ => "4.0.convs.0.0.weight",
    }
}

/// Arguments for [`super::benchmark`] of the network that a state dict is of.
///
/// # Errors
/// [`Error::Data`] naming an array that every such network has.
pub fn arguments(name: &str, state: &Weights) -> Result<Value> {
    let extents = |array: &str| match state.entries.get(array) {
        Some(weight) => Ok(weight.shape.as_slice()),
        None => Err(Error::data(format!("{name} state dict"), format!("{array} is missing"))),
    };
    let extent = |array: &str, axis: usize| {
        let found = extents(array)?.get(axis).copied();
        found.ok_or_else(|| Error::data(format!("{name} state dict"), format!("{array} has no axis {axis}")))
    };
    let mut arguments = match name {
        "fcn_wang" => {
            let layers = (0..).map(|layer| format!("{layer}.0.0.weight"));
            let layers: Vec<String> = layers.take_while(|layer| state.entries.contains_key(layer)).collect();
            let of_layers = |axis| layers.iter().map(|layer| extent(layer, axis)).collect::<Result<Vec<_>>>();
            json!({
                "input_channels": extent("0.0.0.weight", 1)?,
                "filters": of_layers(0)?,
                "kernel_size": of_layers(2)?,
            })
        }
        "inception1d" => {
            let block = |at: usize, what: &str| format!("layers.0.im.{at}.{what}.weight");
            let length = |at: usize| extent(&block(0, &format!("convs.{at}")), 2);
            let lengths = [length(0)?, length(1)?, length(2)?];
            // An even length was lowered by one; where both fit, the original's default is even.
            let kernel = [lengths[0] + 1, lengths[0]].into_iter().find(|&kernel| kernels(kernel) == lengths);
            let depth = (0..).take_while(|&at| state.entries.contains_key(&block(at, "convs.0"))).count();
            json!({
                "input_channels": extent(&block(0, "conv_bottle.1"), 1)?,
                "kernel_size": kernel.unwrap_or(lengths[0]),
                "depth": depth,
                "bottleneck_size": extent(&block(0, "bottleneck"), 0).unwrap_or(0),
                "nb_filters": extent(&block(0, "convs.0"), 0)?,
                "use_residual": state.entries.contains_key("layers.0.sk.0.conv.weight"),
            })
        }
        "resnet1d_wang" => json!({
            "input_channels": extent("0.weight", 1)?,
            "inplanes": extent("0.weight", 0)?,
            "kernel_size_stem": extent("0.weight", 2)?,
            "kernel_size": [extent("3.0.conv1.weight", 2)?, extent("3.0.conv2.weight", 2)?],
        }),
        _ => json!({
            "input_channels": extent("0.0.weight", 1)?,
            "stem_szs": [extent("0.0.weight", 0)?, extent("1.0.weight", 0)?, extent("2.0.weight", 0)?],
            "kernel_size_stem": extent("0.0.weight", 2)?,
            // In the middle of a block of three convolutions, and in the second of two.
            "kernel_size": extent("4.0.convs.1.0.weight", 2)?,
            "widen": extent("4.0.convs.0.0.weight", 0)? as f64 / 64.0,
        }),
    };
    let mut widths = linear_widths(state);
    let classes = widths.pop();
    arguments["num_classes"] =
        json!(classes.ok_or_else(|| Error::data(format!("{name} state dict"), "has no linear map that ends it"))?);
    arguments["lin_ftrs_head"] = json!(widths);
    Ok(arguments)
}

/// Features after each linear map, which only the head has, in the order of the numbers in their names.
fn linear_widths(state: &Weights) -> Vec<usize> {
    let mut maps: Vec<(usize, usize)> = state
        .entries
        .iter()
        .filter(|(_, weight)| weight.shape.len() == 2)
        .filter_map(|(name, weight)| {
            let number = name.strip_suffix(".weight")?.rsplit('.').next()?.parse().ok()?;
            Some((number, weight.shape[0]))
        })
        .collect();
    maps.sort_unstable();
    maps.into_iter().map(|(_, width)| width).collect()
}
