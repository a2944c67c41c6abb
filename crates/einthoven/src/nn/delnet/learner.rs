//! Learning masks: binary cross-entropy and overlap over the points whose truth is known.

use burn::tensor::{Device, Tensor, TensorData, activation};

use super::{DelNet, N_MASKS};
use crate::error::Result;
use crate::nn::running::{self, BatchStatistics};
use crate::nn::train::Learner;
use crate::nn::weights::{Params, Weights};

/// Signals and what is known of their waves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MaskBatch {
    /// `[n, time]`.
    pub signals: Vec<f32>,
    /// Share of each point that lies in a wave, `[n, mask, time]`.
    pub masks: Vec<f32>,
    /// 1 where the mask is known, 0 where nobody looked, `[n, mask, time]`.
    pub known: Vec<f32>,
    /// Number of signals.
    pub n: usize,
}

/// Learns from batches that a function draws for each step.
pub struct MaskLearner<F> {
    network: DelNet,
    batches: F,
    buffers: Weights,
    pending: Vec<BatchStatistics>,
    device: Device,
}

impl<F: FnMut(u64) -> Result<MaskBatch>> MaskLearner<F> {
    /// A learner whose batch follows from the number of the step alone.
    pub fn new(network: DelNet, batches: F, device: &Device) -> MaskLearner<F> {
        let buffers = network.buffers();
        MaskLearner { network, batches, buffers, pending: Vec::new(), device: device.clone() }
    }
}

impl<F: FnMut(u64) -> Result<MaskBatch>> Learner for MaskLearner<F> {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let MaskBatch { signals, masks, known, n } = (self.batches)(step)?;
        let length = signals.len() / n;
        let device = self.device.clone().autodiff();
        let tensor = |values: Vec<f32>, channels| {
            Tensor::<3>::from_data(TensorData::new(values, [n, channels, length]), &device)
        };
        let (logits, statistics) = self.network.train_logits(params, tensor(signals, 1));
        self.pending = statistics;
        let first = step * n as u64;
        Ok((loss(logits, tensor(masks, N_MASKS), tensor(known, N_MASKS)), (first..first + n as u64).collect()))
    }

    fn applied(&mut self) {
        running::follow(&mut self.buffers, &std::mem::take(&mut self.pending));
    }

    fn buffers(&self) -> Weights {
        self.buffers.clone()
    }

    fn set_buffers(&mut self, buffers: Weights) {
        self.buffers = buffers;
    }
}

/// Mean cross-entropy of the known points, plus one minus the mean overlap of the masks.
///
/// # Reference
/// Milletari et al. 2016, "V-Net", for the overlap (Dice coefficient), here of each mask over the whole batch.
fn loss(logits: Tensor<3>, masks: Tensor<3>, known: Tensor<3>) -> Tensor<1> {
    // max(x, 0) - x y + ln(1 + exp(-|x|)) does not overflow.
    let softplus = activation::relu(logits.clone()) + (logits.clone().abs().neg().exp() + 1.0).log();
    let n_known = known.clone().sum() + 1.0;
    let cross_entropy = ((softplus - logits.clone() * masks.clone()) * known.clone()).sum() / n_known;
    let over_batch = |x: Tensor<3>| x.sum_dim(2).sum_dim(0).reshape([N_MASKS]);
    let found = activation::sigmoid(logits) * known.clone();
    let truth = masks * known;
    let both = over_batch(found.clone() * truth.clone());
    let dice: Tensor<1> = (both * 2.0 + 1.0) / (over_batch(found) + over_batch(truth) + 1.0);
    cross_entropy + (dice.mean() - 1.0).neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nn::adamw::AdamWConfig;
    use crate::nn::delnet::DelNetConfig;
    use crate::nn::train::NetworkTrainee;
    use crate::nn::weights::host;
    use crate::run::Trainee;
    use crate::seed::Seed;

    fn values(list: &[f32]) -> Tensor<3> {
        Tensor::from_data(TensorData::new(list.to_vec(), [1, N_MASKS, list.len() / N_MASKS]), &Device::flex())
    }

    #[test]
    fn the_loss_is_that_of_its_formula_and_unknown_points_are_silent() {
        let (masks, known) = (values(&[1.0, 0.0, 1.0, 0.0, 0.0, 0.0]), values(&[1.0, 1.0, 1.0, 0.0, 1.0, 1.0]));
        let at =
            |unknown: f32| host(loss(values(&[0.0, 0.0, 2.0, unknown, -2.0, -90.0]), masks.clone(), known.clone()))[0];
        assert_eq!(at(70.0), at(-70.0));
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        // Two points at even odds, two right by two units, one right for sure; one more in the denominator.
        let cross_entropy = (2.0 * 2f64.ln() - 2.0 * sigmoid(2.0).ln()) / 6.0;
        let dice = (2.0 / 3.0 + (2.0 * sigmoid(2.0) + 1.0) / (sigmoid(2.0) + 2.0) + 1.0 / (1.0 + sigmoid(-2.0))) / 3.0;
        let expected = cross_entropy + 1.0 - dice;
        assert!((f64::from(at(70.0)) - expected).abs() < 1e-5, "{}, expected {expected}", at(70.0));
    }

    /// A mask that follows from the signal's sign is learned in a few steps.
    #[test]
    fn a_few_steps_learn_a_plain_rule() {
        let network = DelNet::new(DelNetConfig { widths: vec![4, 4], kernel: 3, stem_stride: 1 }).unwrap();
        let batches = |step: u64| {
            let (n, length) = (4, 64);
            let mut stream = Seed::new(5).index(step).stream();
            let signals: Vec<f32> = (0..n * length).map(|_| stream.normal() as f32).collect();
            let mask = |one: &[f32]| one.iter().map(|&v| f32::from(v > 0.0)).collect::<Vec<f32>>().repeat(N_MASKS);
            let masks: Vec<f32> = signals.chunks(length).flat_map(mask).collect();
            Ok(MaskBatch { known: vec![1.0; masks.len()], signals, masks, n })
        };
        let device = Device::flex();
        let learner = MaskLearner::new(network.clone(), batches, &device);
        let weights = Weights::initialize(&network.params(), Seed::new(6));
        let optimizer = AdamWConfig { learning_rate: 0.02, ..AdamWConfig::default() };
        let mut trainee = NetworkTrainee::new(learner, network.params(), weights, optimizer, 60, &device);
        let losses: Vec<f64> = (0..60).map(|step| trainee.step(step).unwrap().loss).collect();
        assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
        let running = &trainee.learner.buffers().entries["stem.norm.num_batches_tracked"].values;
        assert_eq!(running, &[60.0]);
    }
}
