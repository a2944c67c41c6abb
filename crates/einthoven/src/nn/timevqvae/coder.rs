//! The encoders and decoders of both bands in both published forms, as lists of blocks.

use super::pass::{Declared, Pass};
use super::planes::Planes;
use super::{plain, separable};
use crate::nn::weights::View;

/// Blocks that are applied one after the other, under the names `prefix.0`, `prefix.1`, ...
#[derive(Debug, Clone)]
pub(in crate::nn) struct Coder {
    prefix: String,
    pub blocks: Blocks,
}

#[derive(Debug, Clone)]
pub(in crate::nn) enum Blocks {
    Separable {
        /// Rows that a kernel reaches over.
        rows: usize,
        list: Vec<separable::Block>,
    },
    Plain(Vec<plain::Block>),
}

/// Sizes of an encoder and its decoder.
#[derive(Debug, Clone, Copy)]
pub(super) struct CoderSizes {
    /// Planes of the spectrogram.
    pub planes: usize,
    /// Channels after the first halving; used where they grow with each.
    pub first_width: usize,
    /// Channels of the latent.
    pub width: usize,
    /// Halvings of the width, at least 1.
    pub halvings: usize,
    /// Residual blocks: after each halving where channels grow, else after all.
    pub residuals: usize,
}

impl Coder {
    /// Encoder of release 1.0.1: channels double with each halving.
    pub(super) fn separable_encoder(prefix: String, sizes: CoderSizes, rows: usize) -> Coder {
        use separable::Block;
        let mut width = sizes.first_width;
        let mut list = vec![Block::Down { n_in: sizes.planes, n_out: width }];
        for _ in 1..sizes.halvings {
            list.push(Block::Down { n_in: width, n_out: 2 * width });
            width *= 2;
            list.extend(vec![Block::Residual { n_in: width, n_out: width }; sizes.residuals]);
        }
        list.push(Block::Residual { n_in: width, n_out: sizes.width });
        Coder { prefix, blocks: Blocks::Separable { rows, list } }
    }

    /// Decoder of release 1.0.1; it doubles once more than the encoder has halved.
    pub(super) fn separable_decoder(prefix: String, sizes: CoderSizes, rows: usize) -> Coder {
        use separable::Block;
        let mut width = sizes.first_width << (sizes.halvings - 1);
        let mut list = vec![Block::Residual { n_in: sizes.width, n_out: width }];
        for _ in 1..sizes.halvings {
            list.extend(vec![Block::Residual { n_in: width, n_out: width }; sizes.residuals]);
            width /= 2;
            list.push(Block::Up { n_in: 2 * width, n_out: width });
        }
        let planes = sizes.planes;
        list.push(Block::LastUp { n_in: width, n_out: planes, is_depthwise: true });
        list.push(Block::LastUp { n_in: planes, n_out: planes, is_depthwise: false });
        Coder { prefix, blocks: Blocks::Separable { rows, list } }
    }

    /// Encoder as of the paper: one width throughout.
    pub(super) fn plain_encoder(prefix: String, sizes: CoderSizes) -> Coder {
        use plain::Block;
        let width = sizes.width;
        let mut list = vec![Block::Down { n_in: sizes.planes, n_out: width }];
        list.extend(vec![Block::Down { n_in: width, n_out: width }; sizes.halvings - 1]);
        list.extend(vec![Block::Residual { width, has_inner_norm: true }; sizes.residuals]);
        Coder { prefix, blocks: Blocks::Plain(list) }
    }

    /// Decoder as of the paper; it doubles once more than the encoder has halved.
    pub(super) fn plain_decoder(prefix: String, sizes: CoderSizes) -> Coder {
        use plain::Block;
        let (width, planes) = (sizes.width, sizes.planes);
        let mut list = vec![Block::Residual { width, has_inner_norm: false }; sizes.residuals];
        list.extend(vec![Block::Up { n_in: width, n_out: width }; sizes.halvings - 1]);
        list.push(Block::LastUp { n_in: width, n_out: planes });
        list.push(Block::LastUp { n_in: planes, n_out: planes });
        Coder { prefix, blocks: Blocks::Plain(list) }
    }

    /// Adds the parameters and buffers.
    pub fn declare(&self, out: &mut Declared) {
        match &self.blocks {
            Blocks::Separable { rows, list } => {
                list.iter().enumerate().for_each(|(at, block)| block.declare(out, &self.name(at), *rows));
            }
            Blocks::Plain(list) => {
                list.iter().enumerate().for_each(|(at, block)| block.declare(out, &self.name(at)));
            }
        }
    }

    /// Output, with the output of each block handed to `trace`.
    pub(super) fn apply(
        &self,
        root: &View,
        pass: &mut Pass,
        mut x: Planes,
        trace: &mut dyn FnMut(usize, &Planes),
    ) -> Planes {
        let n_blocks = match &self.blocks {
            Blocks::Separable { list, .. } => list.len(),
            Blocks::Plain(list) => list.len(),
        };
        for at in 0..n_blocks {
            let name = self.name(at);
            x = match &self.blocks {
                Blocks::Separable { list, .. } => list[at].apply(root, pass, &name, x),
                Blocks::Plain(list) => list[at].apply(root, pass, &name, x),
            };
            trace(at, &x);
        }
        x
    }

    /// Name of a block.
    pub fn name(&self, at: usize) -> String {
        format!("{}.{at}", self.prefix)
    }
}
