//! The constructors' arguments in our words.
//!
//! They go by the names and defaults of the originals, so that a training script can be copied. What the four networks
//! never use (other activations, squeeze-and-excitation, networks without head) is refused by name.

use std::fmt::Debug;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::classifiers::ptbxl::fcn_wang::{FcnWang, FcnWangConfig};
use crate::classifiers::ptbxl::head::HeadConfig;
use crate::classifiers::ptbxl::inception1d::{Inception1d, Inception1dConfig};
use crate::classifiers::ptbxl::resnet1d_wang::{Resnet1dWang, Resnet1dWangConfig};
use crate::classifiers::ptbxl::xresnet1d::{Xresnet1d, Xresnet1dConfig, stage_widths};
use crate::config::from_json;
use crate::error::{Error, Result};

/// Arguments of the head, and the others.
pub(super) fn split(name: &str, arguments: &Value) -> Result<(HeadConfig, Value)> {
    let Some(arguments) = arguments.as_object() else {
        return Err(Error::config(name, format!("found {arguments}, expected arguments by name")));
    };
    let is_of_head = |key: &str| HeadArguments::KEYS.contains(&key);
    let (head, rest): (Map<String, Value>, Map<String, Value>) =
        arguments.clone().into_iter().partition(|(key, _)| is_of_head(key));
    let head: HeadArguments = from_json(name, &Value::Object(head))?;
    Ok((head.config()?, Value::Object(rest)))
}

/// Refuses a value that none of the networks has.
fn expect<T: PartialEq + Debug>(key: &str, found: T, expected: T) -> Result<()> {
    if found != expected {
        return Err(Error::config(key, format!("found {found:?}, expected {expected:?}")));
    }
    Ok(())
}

/// A value for all layers, or one for each.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

/// Arguments of the common head, with the original's defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct HeadArguments {
    lin_ftrs_head: Option<Vec<usize>>,
    ps_head: OneOrMany<f64>,
    bn_final_head: bool,
    bn_head: bool,
    act_head: String,
    concat_pooling: bool,
}

impl Default for HeadArguments {
    fn default() -> HeadArguments {
        HeadArguments {
            lin_ftrs_head: None,
            ps_head: OneOrMany::One(0.5),
            bn_final_head: false,
            bn_head: true,
            act_head: "relu".into(),
            concat_pooling: true,
        }
    }
}

impl HeadArguments {
    const KEYS: [&str; 6] = ["lin_ftrs_head", "ps_head", "bn_final_head", "bn_head", "act_head", "concat_pooling"];

    fn config(self) -> Result<HeadConfig> {
        expect("act_head", self.act_head.as_str(), "relu")?;
        expect("concat_pooling", self.concat_pooling, true)?;
        let hidden = self.lin_ftrs_head.unwrap_or_default();
        // One share is that of the last layer; half of it goes before the hidden ones.
        let spread = |share: f64| {
            let mut shares = vec![share / 2.0; hidden.len()];
            shares.push(share);
            shares
        };
        let dropout = match self.ps_head {
            OneOrMany::One(share) => spread(share),
            OneOrMany::Many(shares) if shares.len() == 1 => spread(shares[0]),
            OneOrMany::Many(shares) => shares,
        };
        Ok(HeadConfig { hidden, dropout, has_norm: self.bn_head, has_final_norm: self.bn_final_head })
    }
}

/// Arguments of `basic_conv1d`, with the values that `fcn_wang` hands it.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FcnArguments {
    num_classes: usize,
    input_channels: usize,
    filters: Vec<usize>,
    kernel_size: OneOrMany<usize>,
    stride: usize,
    dilation: usize,
    pool: usize,
    pool_stride: usize,
    squeeze_excite_reduction: usize,
    act: String,
    bn: bool,
    headless: bool,
    split_first_layer: bool,
    drop_p: f64,
}

impl Default for FcnArguments {
    fn default() -> FcnArguments {
        FcnArguments {
            num_classes: 2,
            input_channels: 8,
            filters: vec![128, 256, 128],
            kernel_size: OneOrMany::Many(vec![8, 5, 3]),
            stride: 1,
            dilation: 1,
            pool: 0,
            pool_stride: 2,
            squeeze_excite_reduction: 0,
            act: "relu".into(),
            bn: true,
            headless: false,
            split_first_layer: false,
            drop_p: 0.0,
        }
    }
}

pub(super) fn fcn_wang(head: HeadConfig, arguments: Value) -> Result<FcnWang> {
    let a: FcnArguments = from_json("fcn_wang", &arguments)?;
    expect("dilation", a.dilation, 1)?;
    expect("squeeze_excite_reduction", a.squeeze_excite_reduction, 0)?;
    expect("act", a.act.as_str(), "relu")?;
    expect("bn", a.bn, true)?;
    expect("headless", a.headless, false)?;
    expect("split_first_layer", a.split_first_layer, false)?;
    expect("drop_p", a.drop_p, 0.0)?;
    let kernels = match a.kernel_size {
        OneOrMany::One(kernel) => vec![kernel; a.filters.len()],
        OneOrMany::Many(kernels) => kernels,
    };
    FcnWang::new(FcnWangConfig {
        leads: a.input_channels,
        classes: a.num_classes,
        filters: a.filters,
        kernels,
        stride: a.stride,
        pool: a.pool,
        pool_stride: a.pool_stride,
        head,
    })
}

/// Arguments of `inception1d`, with the original's defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct InceptionArguments {
    num_classes: usize,
    input_channels: usize,
    kernel_size: usize,
    depth: usize,
    bottleneck_size: usize,
    nb_filters: usize,
    use_residual: bool,
}

impl Default for InceptionArguments {
    fn default() -> InceptionArguments {
        InceptionArguments {
            num_classes: 2,
            input_channels: 8,
            kernel_size: 40,
            depth: 6,
            bottleneck_size: 32,
            nb_filters: 32,
            use_residual: true,
        }
    }
}

pub(super) fn inception1d(head: HeadConfig, arguments: Value) -> Result<Inception1d> {
    let a: InceptionArguments = from_json("inception1d", &arguments)?;
    Inception1d::new(Inception1dConfig {
        leads: a.input_channels,
        classes: a.num_classes,
        kernel: a.kernel_size,
        depth: a.depth,
        bottleneck: a.bottleneck_size,
        filters: a.nb_filters,
        has_shortcuts: a.use_residual,
        head,
    })
}

/// Arguments of `resnet1d_wang`, with its values for those of the residual network that it calls.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ResnetArguments {
    num_classes: usize,
    input_channels: usize,
    inplanes: usize,
    kernel_size: OneOrMany<usize>,
    kernel_size_stem: usize,
    stride: usize,
    fix_feature_dim: bool,
}

impl Default for ResnetArguments {
    fn default() -> ResnetArguments {
        ResnetArguments {
            num_classes: 2,
            input_channels: 3,
            inplanes: 128,
            kernel_size: OneOrMany::Many(vec![5, 3]),
            kernel_size_stem: 7,
            stride: 2,
            fix_feature_dim: true,
        }
    }
}

pub(super) fn resnet1d_wang(head: HeadConfig, arguments: Value) -> Result<Resnet1dWang> {
    let a: ResnetArguments = from_json("resnet1d_wang", &arguments)?;
    // With growing widths the original's head does not fit its last stage.
    expect("fix_feature_dim", a.fix_feature_dim, true)?;
    let kernels = match a.kernel_size {
        OneOrMany::One(kernel) => [kernel, kernel / 2 + 1],
        OneOrMany::Many(kernels) => <[usize; 2]>::try_from(kernels.as_slice())
            .map_err(|_| Error::config("kernel_size", format!("found {} lengths, expected two", kernels.len())))?,
    };
    Resnet1dWang::new(Resnet1dWangConfig {
        leads: a.input_channels,
        classes: a.num_classes,
        width: a.inplanes,
        stem_kernel: a.kernel_size_stem,
        kernels,
        stride: a.stride,
        head,
    })
}

/// Arguments of the `xresnet1d` depths, with the original's defaults.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct XresnetArguments {
    num_classes: usize,
    input_channels: usize,
    stem_szs: [usize; 3],
    kernel_size: usize,
    kernel_size_stem: usize,
    widen: f64,
    sa: bool,
}

impl Default for XresnetArguments {
    fn default() -> XresnetArguments {
        XresnetArguments {
            num_classes: 1000,
            input_channels: 3,
            stem_szs: [32, 32, 64],
            kernel_size: 5,
            kernel_size_stem: 5,
            widen: 1.0,
            sa: false,
        }
    }
}

/// Channels that the original's stages begin with, whatever the stem ends with.
const STEM_END: usize = 64;

pub(super) fn xresnet1d(name: &str, head: HeadConfig, arguments: Value) -> Result<Xresnet1d> {
    let a: XresnetArguments = from_json(name, &arguments)?;
    expect("sa", a.sa, false)?;
    expect("stem_szs", a.stem_szs[2], STEM_END)?;
    if !(a.widen > 0.0 && a.widen.is_finite()) {
        return Err(Error::config("widen", format!("found {}, expected above 0", a.widen)));
    }
    let config = Xresnet1dConfig::published(name, a.input_channels, a.num_classes)?;
    Xresnet1d::new(Xresnet1dConfig {
        stem: a.stem_szs,
        stem_kernel: a.kernel_size_stem,
        kernel: a.kernel_size,
        widths: stage_widths(config.blocks.len(), a.widen),
        head,
        ..config
    })
}
