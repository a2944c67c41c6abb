//! The first stage of a generator in latents: its autoencoder is trained, then the training part is encoded.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use super::training::Trainer;
use crate::config::check;
use crate::diffusion::batches::Batches;
use crate::diffusion::latent::{Autoencoding, LatentDecoder, LatentSpace, encode_all};
use crate::error::Result;
use crate::nn::adamw::AdamWConfig;
use crate::nn::vae1d::{Vae1d, Vae1dConfig};
use crate::nn::weights::Weights;
use crate::run::Progress;

/// Role of the autoencoder in its run.
const ROLE: &str = "autoencoder";

/// How the autoencoder of a recipe is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LatentRecipe {
    /// The autoencoder; leads follow from the data.
    pub autoencoder: Vae1dConfig,
    /// Weight of the divergence from the standard normal beside the summed squared error.
    pub kl_weight: f64,
    /// Optimizer steps.
    pub steps: u64,
    /// Records in a batch.
    pub batch: usize,
    /// Optimizer.
    pub optimizer: AdamWConfig,
}

/// What the first stage leaves to the second.
pub struct Latent {
    /// The autoencoder and the spread of its latents.
    pub space: LatentSpace,
    /// Arrays of the decoder, for the model file.
    pub decoder: Weights,
    /// Latents of the training part, `[n, latent channel, latent time]`.
    pub signals: Vec<f32>,
}

impl LatentRecipe {
    /// Checks the numbers below `key`.
    ///
    /// # Errors
    /// [`crate::Error::Config`] naming the key.
    pub fn validate(&self, key: &str) -> Result<()> {
        let at = |field: &str| format!("{key}.{field}");
        let weight = self.kl_weight;
        check(&at("kl_weight"), weight >= 0.0 && weight.is_finite(), weight, "0 or more")?;
        self.optimizer.validate(|field| at(&format!("optimizer.{field}")))?;
        for (field, n) in [("steps", self.steps), ("batch", self.batch as u64)] {
            check(&at(field), (1..=100_000_000).contains(&n), n, "1 to 100000000")?;
        }
        Ok(())
    }

    /// Trains the autoencoder on the signals of `batches`, unless the run has it, and encodes them all.
    ///
    /// # Errors
    /// [`crate::Error::Config`] for records that cannot be halved so often; [`crate::Error::Data`] for a latent that says
    /// nothing; as `Trainer::fit`.
    pub fn train(&self, trainer: &Trainer, batches: &Batches, progress: &mut dyn Progress) -> Result<Latent> {
        let autoencoder = Vae1dConfig { channels: batches.n_leads, ..self.autoencoder.clone() };
        let network = Vae1d::new(autoencoder.clone())?;
        autoencoder.latent_length(batches.sig_len)?;
        let seed = trainer.seed.purpose(ROLE);
        let learner = |batch, device: &Device| Autoencoding {
            network: network.clone(),
            kl_weight: self.kl_weight,
            batches: Batches {
                batch,
                device: device.clone(),
                labels: None,
                facts: None,
                seed: seed.purpose("training"),
                ..batches.clone()
            }
            .into(),
            seed: seed.purpose("posterior"),
        };
        let start = Weights::initialize(&network.params(), seed.purpose("start"));
        let course = (self.steps, self.batch, &self.optimizer);
        let (trained, summary) = trainer.learn(ROLE, (network.params(), start), course, learner, progress)?;
        let trained = trained.result();
        if let Some(loss) = summary.last_loss {
            progress
                .tell(&format!("{ROLE}: mean squared error and divergence of {loss:.4} per value, in units of spread"));
        }
        let params = trained.on(trainer.device);
        let latents = encode_all(&network, &params, &batches.signals, batches.sig_len, trainer.device)?;
        Ok(Latent {
            space: LatentSpace { autoencoder, sd: latents.sd },
            decoder: LatentDecoder::stored(&network, &trained),
            signals: latents.values,
        })
    }
}
