//! Any of the networks by its configuration: what generators, learners and model files hold.

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::backbone::{
    DiffusionTsBackbone, DiffwaveBackbone, DitBackbone, SssdBackbone, TemporalBlocksBackbone, UnetBackbone,
};
use super::denoiser::{Backbone, Condition};
use crate::dataset::condition::Told;
use crate::error::{Error, Result};
use crate::nn::diffusion_ts::{DiffusionTs, DiffusionTsConfig};
use crate::nn::diffwave::{Diffwave, DiffwaveConfig};
use crate::nn::dit::{Dit, DitConfig};
use crate::nn::kernel::CauchySum;
use crate::nn::layer::with_normed_weights;
use crate::nn::sssd::{Sssd, SssdConfig, StateSpace};
use crate::nn::temporal_blocks::{TemporalBlocks, TemporalBlocksConfig};
use crate::nn::unet1d::{Unet1d, Unet1dConfig};
use crate::nn::weights::{ParamSpec, Params, Weights};
use crate::record::lead_law::EIGHT;
use crate::seed::Seed;

/// Shape of a network, by its kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum NetworkConfig {
    /// 1-D U-Net.
    Unet(Unet1dConfig),
    /// DiffWave.
    Diffwave(DiffwaveConfig),
    /// SSSD.
    Sssd(SssdConfig),
    /// Diffusion transformer.
    Dit(DitConfig),
    /// Temporal blocks of `timediffusion`.
    TemporalBlocks(TemporalBlocksConfig),
    /// Diffusion-TS.
    DiffusionTs(DiffusionTsConfig),
}

impl NetworkConfig {
    /// The same shape for signals of a number of leads and a number of labels.
    pub fn sized(&self, n_leads: usize, n_labels: usize) -> NetworkConfig {
        let mut sized = self.clone();
        match &mut sized {
            NetworkConfig::Unet(c) => (c.channels, c.out_channels, c.classes) = (n_leads, n_leads, n_labels),
            NetworkConfig::Diffwave(c) => (c.channels, c.labels) = (n_leads, n_labels),
            NetworkConfig::Sssd(c) => (c.channels, c.out_channels, c.labels) = (n_leads, n_leads, n_labels),
            NetworkConfig::Dit(c) => (c.channels, c.labels) = (n_leads, n_labels),
            NetworkConfig::TemporalBlocks(c) => (c.channels, c.labels) = (n_leads, n_labels),
            NetworkConfig::DiffusionTs(c) => (c.channels, c.labels) = (n_leads, n_labels),
        }
        sized
    }

    /// The same shape, told these facts beside its labels.
    pub fn with_told(&self, told: Told) -> NetworkConfig {
        let mut out = self.clone();
        match &mut out {
            NetworkConfig::Unet(c) => c.told = told,
            NetworkConfig::Diffwave(c) => c.told = told,
            NetworkConfig::Sssd(c) => c.told = told,
            NetworkConfig::Dit(c) => c.told = told,
            NetworkConfig::TemporalBlocks(c) => c.told = told,
            NetworkConfig::DiffusionTs(c) => c.told = told,
        }
        out
    }

    /// The facts that the network is told beside its labels.
    pub fn told(&self) -> &Told {
        match self {
            NetworkConfig::Unet(c) => &c.told,
            NetworkConfig::Diffwave(c) => &c.told,
            NetworkConfig::Sssd(c) => &c.told,
            NetworkConfig::Dit(c) => &c.told,
            NetworkConfig::TemporalBlocks(c) => &c.told,
            NetworkConfig::DiffusionTs(c) => &c.told,
        }
    }

    /// Whether the network is shown the times of the beats.
    pub fn sees_beats(&self) -> bool {
        matches!(self, NetworkConfig::Unet(c) if c.beats)
    }

    /// Whether it is shown their waves too.
    pub fn sees_waves(&self) -> bool {
        matches!(self, NetworkConfig::Unet(c) if c.waves)
    }

    /// Number of labels that the network is told.
    pub fn n_labels(&self) -> usize {
        match self {
            NetworkConfig::Unet(c) => c.classes,
            NetworkConfig::Diffwave(c) => c.labels,
            NetworkConfig::Sssd(c) => c.labels,
            NetworkConfig::Dit(c) => c.labels,
            NetworkConfig::TemporalBlocks(c) => c.labels,
            NetworkConfig::DiffusionTs(c) => c.labels,
        }
    }

    /// Number of weights; a shape without leads counts for eight.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key of a shape that cannot be built.
    pub fn n_weights(&self) -> Result<usize> {
        let has_leads = match self {
            NetworkConfig::Unet(c) => c.channels > 0,
            NetworkConfig::Diffwave(c) => c.channels > 0,
            NetworkConfig::Sssd(c) => c.channels > 0,
            NetworkConfig::Dit(c) => c.channels > 0,
            NetworkConfig::TemporalBlocks(c) => c.channels > 0,
            NetworkConfig::DiffusionTs(c) => c.channels > 0,
        };
        let config = if has_leads { self.clone() } else { self.sized(EIGHT.len(), self.n_labels()) };
        let params = match config {
            NetworkConfig::Unet(config) => Unet1d::new(config)?.params(),
            NetworkConfig::Diffwave(config) => Diffwave::new(config)?.params(),
            NetworkConfig::Sssd(config) => Sssd::params_of(config)?,
            NetworkConfig::Dit(config) => Dit::new(config)?.params(),
            NetworkConfig::TemporalBlocks(config) => TemporalBlocks::new(config)?.params(),
            NetworkConfig::DiffusionTs(config) => DiffusionTs::new(config)?.params(),
        };
        Ok(params.iter().map(|spec| spec.shape.iter().product::<usize>()).sum())
    }

    /// Most points of a signal that the network takes; `None` where any number will do.
    pub fn longest(&self) -> Option<usize> {
        match self {
            NetworkConfig::Sssd(c) if c.state_space == StateSpace::Frozen => Some(c.length),
            NetworkConfig::DiffusionTs(c) => Some(c.length),
            _ => None,
        }
    }

    /// What the length of a signal is filled up to a multiple of.
    pub fn length_multiple(&self) -> usize {
        match self {
            NetworkConfig::Unet(c) => c.length_multiple(),
            NetworkConfig::Dit(c) => c.patch,
            _ => 1,
        }
    }

    /// Checks that the network takes signals of this length.
    ///
    /// # Errors
    /// [`Error::Config`] naming the lengths that it takes.
    pub fn check_length(&self, sig_len: usize) -> Result<()> {
        let expected = match (self, self.longest()) {
            (NetworkConfig::DiffusionTs(c), _) if sig_len != c.length => c.length.to_string(),
            (_, Some(longest)) if sig_len > longest => format!("at most {longest}"),
            _ => return Ok(()),
        };
        let reason = format!("found {sig_len} points, expected {expected}: the network was made for them");
        Err(Error::config("sig_len", reason))
    }

    /// Bytes of the widest feature maps of one item, which its computation takes some times over.
    pub fn map_bytes(&self, sig_len: usize) -> u64 {
        let (width, points) = match self {
            NetworkConfig::Unet(c) => (c.width, sig_len / c.stem_stride.max(1)),
            NetworkConfig::Diffwave(c) => (2 * c.width, sig_len),
            NetworkConfig::Sssd(c) => (2 * c.width, sig_len),
            NetworkConfig::Dit(c) => (c.hidden_times.max(3) * c.width, sig_len.div_ceil(c.patch.max(1))),
            NetworkConfig::TemporalBlocks(c) => (c.width, sig_len),
            NetworkConfig::DiffusionTs(c) => (c.hidden_times.max(3) * c.width, sig_len),
        };
        (4 * width * points) as u64
    }
}

/// A network without its weights.
#[derive(Debug, Clone)]
pub enum Network {
    /// 1-D U-Net.
    Unet(Unet1d),
    /// DiffWave.
    Diffwave(Diffwave),
    /// SSSD, with its frozen poles where it has some.
    Sssd(Box<Sssd>),
    /// Diffusion transformer.
    Dit(Dit),
    /// Temporal blocks of `timediffusion`.
    TemporalBlocks(TemporalBlocks),
    /// Diffusion-TS.
    DiffusionTs(Box<DiffusionTs>),
}

impl Network {
    /// A network to be trained; `seed` draws what no training moves.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key of a shape that cannot be built.
    pub fn new(config: &NetworkConfig, seed: Seed) -> Result<Network> {
        Ok(match config {
            NetworkConfig::Unet(config) => Network::Unet(Unet1d::new(config.clone())?),
            NetworkConfig::Diffwave(config) => Network::Diffwave(Diffwave::new(config.clone())?),
            NetworkConfig::Sssd(config) => Network::Sssd(Box::new(Sssd::new(config.clone(), seed)?)),
            NetworkConfig::Dit(config) => Network::Dit(Dit::new(config.clone())?),
            NetworkConfig::TemporalBlocks(config) => Network::TemporalBlocks(TemporalBlocks::new(config.clone())?),
            NetworkConfig::DiffusionTs(config) => Network::DiffusionTs(Box::new(DiffusionTs::new(config.clone())?)),
        })
    }

    /// The network of a model file and its trained weights, checked against each other.
    ///
    /// # Errors
    /// [`crate::Error::Config`] as [`Network::new`]; [`crate::Error::Data`] naming every array that is
    /// missing, extra or has another shape.
    pub fn of_state(config: &NetworkConfig, state: &Weights, what: &str) -> Result<(Network, Weights)> {
        let network = match config {
            NetworkConfig::Sssd(config) if config.state_space == StateSpace::Frozen => {
                Network::Sssd(Box::new(Sssd::from_state(config.clone(), state, CauchySum::ConjugatePairs)?))
            }
            config => Network::new(config, Seed::new(0))?,
        };
        let frozen = network.buffers();
        let mut weights = state.clone();
        weights.entries.retain(|name, _| !frozen.entries.contains_key(name));
        weights.check(&network.params(), what)?;
        Ok((network, weights))
    }

    /// Name, shape and start of every trained parameter.
    pub fn params(&self) -> Vec<ParamSpec> {
        match self {
            Network::Unet(network) => network.params(),
            Network::Diffwave(network) => network.params(),
            Network::Sssd(network) => network.params(),
            Network::Dit(network) => network.params(),
            Network::TemporalBlocks(network) => network.params(),
            Network::DiffusionTs(network) => network.params(),
        }
    }

    /// Arrays that belong to the model but are not trained.
    pub fn buffers(&self) -> Weights {
        match self {
            Network::Sssd(network) => network.buffers().clone(),
            _ => Weights::default(),
        }
    }

    /// Start values of every trained parameter.
    pub fn start(&self, seed: Seed) -> Weights {
        match self {
            Network::Sssd(network) => network.start(seed),
            Network::TemporalBlocks(network) => network.start(seed),
            _ => Weights::initialize(&self.params(), seed),
        }
    }

    /// The network with parameters, to be trained.
    pub fn with(&self, params: Params) -> NetworkBackbone {
        match self.clone() {
            Network::Unet(network) => NetworkBackbone::Unet(UnetBackbone { network, params }),
            Network::Diffwave(network) => {
                NetworkBackbone::Diffwave(Box::new(DiffwaveBackbone { network, params, spectrogram: None }))
            }
            Network::Sssd(network) => {
                NetworkBackbone::Sssd(Box::new(SssdBackbone { network: *network, params, cache: None }))
            }
            Network::Dit(network) => NetworkBackbone::Dit(DitBackbone { network, params }),
            Network::TemporalBlocks(network) => {
                NetworkBackbone::TemporalBlocks(TemporalBlocksBackbone { network, params })
            }
            Network::DiffusionTs(network) => {
                NetworkBackbone::DiffusionTs(Box::new(DiffusionTsBackbone { network: *network, params }))
            }
        }
    }

    /// The network with parameters that stay as they are, prepared for signals of one length.
    pub fn prepared(&self, params: Params, sig_len: usize) -> NetworkBackbone {
        match self.with(with_normed_weights(params)) {
            NetworkBackbone::Sssd(mut backbone) => {
                backbone.cache = Some(backbone.network.cache(&backbone.params.root(), sig_len));
                NetworkBackbone::Sssd(backbone)
            }
            other => other,
        }
    }
}

/// A network with parameters on a device.
#[derive(Debug, Clone)]
pub enum NetworkBackbone {
    /// 1-D U-Net.
    Unet(UnetBackbone),
    /// DiffWave.
    Diffwave(Box<DiffwaveBackbone>),
    /// SSSD.
    Sssd(Box<SssdBackbone>),
    /// Diffusion transformer.
    Dit(DitBackbone),
    /// Temporal blocks of `timediffusion`.
    TemporalBlocks(TemporalBlocksBackbone),
    /// Diffusion-TS.
    DiffusionTs(Box<DiffusionTsBackbone>),
}

impl Backbone for NetworkBackbone {
    fn predict(&self, x: Tensor<3>, time: Tensor<1>, condition: &Condition) -> Result<Tensor<3>> {
        match self {
            NetworkBackbone::Unet(backbone) => backbone.predict(x, time, condition),
            NetworkBackbone::Diffwave(backbone) => backbone.predict(x, time, condition),
            NetworkBackbone::Sssd(backbone) => backbone.predict(x, time, condition),
            NetworkBackbone::Dit(backbone) => backbone.predict(x, time, condition),
            NetworkBackbone::TemporalBlocks(backbone) => backbone.predict(x, time, condition),
            NetworkBackbone::DiffusionTs(backbone) => backbone.predict(x, time, condition),
        }
    }
}
