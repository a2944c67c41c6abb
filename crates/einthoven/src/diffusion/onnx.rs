//! Denoising networks as ONNX graphs: one step of a sampler for other programs.
//!
//! A graph is the network alone, its raw prediction for a noisy signal, a network time, label weights and rows of facts; what
//! these mean is in the metadata. A sampler is a short loop around it.

use super::latent::LatentSpace;
use super::network::Network;
use crate::error::Result;
use crate::nn::onnx::{self, Graph};
use crate::nn::weights::Weights;

/// A network with its weights as a file, for signals of `length` points.
///
/// # Errors
/// [`crate::Error::Unsupported`] naming what cannot be exported; [`crate::Error::Shape`] for a length that the network cannot
/// take; [`crate::Error::Data`] for weights that are missing.
pub fn denoiser(network: &Network, weights: &Weights, length: usize, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let mut graph = Graph::new(weights);
    match network {
        Network::Unet(network) => onnx::unet1d::graph(&mut graph, network.config(), length),
        Network::Diffwave(network) => onnx::diffwave::graph(&mut graph, network.config(), length)?,
        Network::Sssd(network) => onnx::sssd::graph(&mut graph, network, weights, length)?,
        Network::Dit(network) => onnx::dit::graph(&mut graph, network.config(), length),
        Network::TemporalBlocks(network) => onnx::temporal_blocks::graph(&mut graph, network.config(), length),
        Network::DiffusionTs(network) => onnx::diffusion_ts::graph(&mut graph, network, length)?,
    }
    graph.to_bytes("denoiser", metadata)
}

/// The decoder of a model of latents as a file, for signals of `sig_len` points.
///
/// # Errors
/// As [`denoiser`].
pub fn decoder(space: &LatentSpace, weights: &Weights, sig_len: usize, metadata: &[(&str, String)]) -> Result<Vec<u8>> {
    let [_, length] = space.shape(sig_len)?;
    let mut graph = Graph::new(weights);
    onnx::vae1d::decoder_graph(&mut graph, &space.autoencoder, &space.sd, length);
    graph.to_bytes("decoder", metadata)
}
