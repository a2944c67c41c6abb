//! TimeVQVAE: signals as codes of two frequency bands, and codes drawn by masked transformers.
//!
//! Both published forms are here: that of the paper and release 1.0.1, which differ in most layers and share the
//! method. [`Vqvae`] is stage 1, the signal as codes and back; [`Prior`] is stage 2, which codes go together;
//! [`Decoding`] draws new ones, and [`training`] has what both learn. Checkpoints load by the original's key names, see [`import`].
//!
//! # Reference
//! Lee, Malacarne and Aune 2023, "Vector quantized time series generation with a bidirectional prior model";
//! ML4ITS/TimeVQVAE (MIT license).

mod arguments;
pub(in crate::nn) mod coder;
pub mod config;
pub mod decoding;
pub mod import;
pub mod pass;
pub(in crate::nn) mod plain;
mod planes;
pub mod prior;
pub mod quantizer;
pub(in crate::nn) mod separable;
pub mod stft;
pub mod training;
mod transformer;
mod transformer_paper;
pub mod vqvae;

pub use config::{Band, Form, VqvaeConfig};
pub use decoding::{CodeLogs, Decoding, Draws, SeededDraws, shown};
pub use pass::{Dropout, Pass};
pub use prior::{Lesson, Prior, PriorConfig, Query, TransformerConfig};
pub use quantizer::{Quantized, Tokens};
pub use vqvae::{BandLosses, Branch, Vqvae};
