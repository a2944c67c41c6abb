//! Training and use of the beat classifier: [`super::cnn1d`] on a data set.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData, activation};
use serde::{Deserialize, Serialize};

use super::cnn1d::{BatchStatistics, Cnn1d, Cnn1dConfig, follow_statistics, rr_features};
use super::{Classifier, ClassifierSpec, Training};
use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::nn::adamw::AdamWConfig;
use crate::nn::onnx::Graph;
use crate::nn::train::{Learner, NetworkTrainee, check_device};
use crate::nn::weights::{Params, Weights, host};
use crate::run::{Cadence, StoredType, TrainPlan, TrainSummary, safetensors, train, write_atomic};
use crate::seed::Seed;

/// Length and shape of a classifier's training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BeatCnnConfig {
    /// Shape of the network.
    pub network: Cnn1dConfig,
    /// Optimizer; the learning rate falls along half a cosine.
    pub optimizer: AdamWConfig,
    /// Optimizer steps, the same for every row of a comparison.
    pub steps: u64,
    /// Beats in a batch.
    pub batch: usize,
    /// Whether the loss weighs classes inversely to their frequency.
    pub class_weights: bool,
}

impl Default for BeatCnnConfig {
    fn default() -> Self {
        BeatCnnConfig {
            network: Cnn1dConfig::default(),
            optimizer: AdamWConfig { warmup_steps: 20, ..AdamWConfig::default() },
            steps: 800,
            batch: 128,
            class_weights: false,
        }
    }
}

/// What a model file says beside its weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    network: Cnn1dConfig,
    /// Standard deviation of each lead over the training part, mV.
    scale_mv: Vec<f32>,
    leads: Vec<String>,
    sig_len: usize,
    fs_hz: f64,
    label_names: Vec<String>,
    /// Share of each class in the training part, for prior-shift correction.
    class_shares: Vec<f64>,
}

/// A trained beat classifier.
pub struct BeatCnn {
    card: Card,
    network: Cnn1d,
    weights: Weights,
    buffers: Weights,
    device: Device,
}

/// Standard deviation of each lead over a training part, mV.
///
/// # Errors
/// [`Error::Data`] for a lead that is constant or a set that is empty.
pub fn lead_scales(data: &Dataset) -> Result<Vec<f32>> {
    let n_leads = data.leads.len();
    (0..n_leads)
        .map(|lead| {
            let (mut sum, mut squares, mut n) = (0.0f64, 0.0f64, 0.0f64);
            for values in data.ecg.chunks(data.sig_len).skip(lead).step_by(n_leads) {
                for &v in values {
                    sum += f64::from(v);
                    squares += f64::from(v) * f64::from(v);
                    n += 1.0;
                }
            }
            let sd = (squares / n - (sum / n).powi(2)).sqrt();
            if sd.is_finite() && sd > 0.0 {
                Ok(sd as f32)
            } else {
                let reason = format!("lead {} has no spread to scale by", data.leads[lead]);
                Err(Error::data("training part", reason))
            }
        })
        .collect()
}

impl BeatCnn {
    /// Trains on a training part.
    ///
    /// # Errors
    /// [`Error::Data`] for items without exactly one class, or without RR intervals where the
    /// network wants them; [`Error::Unsupported`] for a device with other numbers than the CPU; everything
    /// that [`train`] returns.
    pub fn train(config: &BeatCnnConfig, data: &Dataset, training: Training) -> Result<BeatCnn> {
        let classes = data.classes()?;
        if data.is_empty() || config.batch < 2 {
            return Err(Error::data("training part", "is empty, or the batch is below 2"));
        }
        if config.network.rr_features && data.rr_s.is_none() {
            return Err(Error::data("training part", "has no RR intervals, which the classifier is to use"));
        }
        let scale_mv = lead_scales(data)?;
        let network = Cnn1d::new(config.network.clone(), data.leads.len(), data.sig_len, data.n_labels())?;
        let counts = data.labels.chunks(data.n_labels()).fold(vec![0.0f64; data.n_labels()], |mut counts, row| {
            counts.iter_mut().zip(row).for_each(|(count, &on)| *count += f64::from(on));
            counts
        });
        let present = counts.iter().filter(|&&n| n > 0.0).count() as f64;
        let class_weights: Vec<f32> = counts
            .iter()
            .map(|&n| match (config.class_weights, n > 0.0) {
                (true, true) => (data.len() as f64 / (present * n)) as f32,
                _ => 1.0,
            })
            .collect();
        let learner = BeatLearner {
            network: network.clone(),
            signals: crate::signal::scaled(&data.ecg, &scale_mv, data.sig_len),
            rr: config.network.rr_features.then(|| data.rr_s.iter().flatten().map(|&rr| rr_features(rr)).collect()),
            classes,
            class_weights,
            shape: [data.leads.len(), data.sig_len],
            batch: config.batch,
            buffers: network.buffers(),
            pending: None,
            seed: training.seed,
            device: training.device.clone(),
            epoch: None,
        };
        let weights = Weights::initialize(&network.params(), training.seed.purpose("start"));
        let trainee = |learner: BeatLearner| {
            let (device, optimizer) = (learner.device.clone(), config.optimizer.clone());
            NetworkTrainee::new(learner, network.params(), weights.clone(), optimizer, config.steps, &device)
        };
        if training.stage.finished::<TrainSummary>()?.is_none() {
            let on = |device: &Device| Ok(trainee(BeatLearner { device: device.clone(), ..learner.clone() }));
            check_device(on, training.device)?;
        }
        let mut trainee = trainee(learner);
        let plan = TrainPlan { n_steps: config.steps, checkpoint_every: Cadence::Seconds(60.0), log_every: 50 };
        train(&mut trainee, &plan, training.stage, training.stop, training.progress)?;
        let card = Card {
            network: config.network.clone(),
            scale_mv,
            leads: data.leads.clone(),
            sig_len: data.sig_len,
            fs_hz: data.fs_hz,
            label_names: data.label_names.clone(),
            class_shares: counts.iter().map(|n| n / data.len() as f64).collect(),
        };
        let buffers = trainee.learner.buffers();
        Ok(BeatCnn { card, network, weights: trainee.result(), buffers, device: training.device.clone() })
    }

    /// Share of each class in the data that it was trained on.
    pub fn class_shares(&self) -> &[f64] {
        &self.card.class_shares
    }

    /// Writes the model file.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Data`] for weights that are not finite.
    pub fn save(&self, path: &Path) -> Result<()> {
        let card = serde_json::to_string(&self.card).map_err(|error| Error::data("model card", error.to_string()))?;
        let metadata = BTreeMap::from([("einthoven.beat_cnn".to_string(), card)]);
        let mut all = self.weights.clone();
        all.entries.extend(self.buffers.entries.clone());
        write_atomic(path, &safetensors::to_bytes(&all.into(), &metadata, StoredType::F32)?)
    }

    /// The network as an ONNX file: `x` in units of the card's scale and, where it uses them, the logarithms `rr` of both RR
    /// intervals over 0.8 s and of their ratio, to probabilities; the card is in its metadata.
    ///
    /// # Errors
    /// [`Error::Data`] for weights that are missing.
    pub fn to_onnx(&self) -> Result<Vec<u8>> {
        let card = serde_json::to_string(&self.card).map_err(|error| Error::data("model card", error.to_string()))?;
        let mut all = self.weights.clone();
        all.entries.extend(self.buffers.entries.clone());
        let mut graph = Graph::new(&all);
        self.network.graph(&mut graph, self.card.sig_len);
        graph.to_bytes("classifier", &[("einthoven.beat_cnn", card)])
    }

    /// Reads a model file.
    ///
    /// # Errors
    /// [`Error::Input`] for a file that is no sound safetensors; [`Error::Data`] for another model.
    pub fn load(path: &Path, device: &Device) -> Result<BeatCnn> {
        let file = safetensors::read(path)?;
        let name = path.display().to_string();
        let card = file.metadata.get("einthoven.beat_cnn");
        let card = card.ok_or_else(|| Error::data(&name, "has no card of a beat classifier"))?;
        let card: Card = serde_json::from_str(card).map_err(|error| Error::data(&name, error.to_string()))?;
        let network = Cnn1d::new(card.network.clone(), card.leads.len(), card.sig_len, card.label_names.len())?;
        let mut weights = Weights::from(file.tensors);
        let mut buffers = network.buffers();
        for (key, value) in &mut buffers.entries {
            *value = weights.entries.remove(key).ok_or_else(|| Error::data(&name, format!("{key} is missing")))?;
        }
        weights.check(&network.params(), &name)?;
        Ok(BeatCnn { card, network, weights, buffers, device: device.clone() })
    }
}

/// Beats of a batch of [`Classifier::predict`]: small enough for the cache, and the same for all.
const PREDICT_BATCH: usize = 256;

impl Classifier for BeatCnn {
    fn label_names(&self) -> &[String] {
        &self.card.label_names
    }

    fn predict(&self, data: &Dataset) -> Result<Vec<f64>> {
        let card = &self.card;
        if data.leads != card.leads || data.sig_len != card.sig_len || data.fs_hz != card.fs_hz {
            let reason = format!(
                "has leads {:?} of {} points at {} Hz, the classifier was trained on {:?} of {} points at {} Hz",
                data.leads, data.sig_len, data.fs_hz, card.leads, card.sig_len, card.fs_hz
            );
            return Err(Error::data("data set", reason));
        }
        if card.network.rr_features && data.rr_s.is_none() {
            return Err(Error::data("data set", "has no RR intervals, which the classifier uses"));
        }
        let signals = crate::signal::scaled(&data.ecg, &card.scale_mv, data.sig_len);
        let (params, buffers) = (self.weights.on(&self.device), self.buffers.on(&self.device));
        let shape = [data.leads.len(), data.sig_len];
        let mut out = Vec::with_capacity(data.len() * card.label_names.len());
        for (chunk, values) in signals.chunks(PREDICT_BATCH * shape[0] * shape[1]).enumerate() {
            let first = chunk * PREDICT_BATCH;
            let n = values.len() / (shape[0] * shape[1]);
            let x = Tensor::<3>::from_data(TensorData::new(values.to_vec(), [n, shape[0], shape[1]]), &self.device);
            let rr = card.network.rr_features.then(|| {
                let features = data.rr_s.iter().flatten().skip(first).take(n).flat_map(|&rr| rr_features(rr)).collect();
                rr_tensor(features, n, &self.device)
            });
            let logits = self.network.logits(&params, &buffers, x, rr);
            out.extend(host(activation::softmax(logits, 1)).into_iter().map(f64::from));
        }
        // Softmax in f32 leaves rows a rounding away from 1.
        for row in out.chunks_mut(card.label_names.len()) {
            let sum: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= sum);
        }
        Ok(out)
    }
}

fn rr_tensor(features: Vec<f32>, n: usize, device: &Device) -> Tensor<2> {
    let width = features.len() / n;
    Tensor::from_data(TensorData::new(features, [n, width]), device)
}

/// Learns to classify beats.
#[derive(Clone)]
struct BeatLearner {
    network: Cnn1d,
    signals: Vec<f32>,
    rr: Option<Vec<[f32; 3]>>,
    classes: Vec<usize>,
    class_weights: Vec<f32>,
    shape: [usize; 2],
    batch: usize,
    buffers: Weights,
    pending: Option<BatchStatistics>,
    seed: Seed,
    device: Device,
    /// The epoch whose order is at hand.
    epoch: Option<(u64, Vec<usize>)>,
}

impl BeatLearner {
    /// Item at a position of the endless sequence of shuffled epochs.
    fn item(&mut self, position: u64) -> usize {
        let n = self.classes.len() as u64;
        let epoch = position / n;
        if self.epoch.as_ref().is_none_or(|(at, _)| *at != epoch) {
            let order = self.seed.purpose("order").index(epoch).stream().permutation(n as usize);
            self.epoch = Some((epoch, order));
        }
        self.epoch.as_ref().map_or(0, |(_, order)| order[(position % n) as usize])
    }
}

impl Learner for BeatLearner {
    fn loss(&mut self, params: &Params, step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let first = step * self.batch as u64;
        let items: Vec<usize> = (first..first + self.batch as u64).map(|position| self.item(position)).collect();
        let size = self.shape[0] * self.shape[1];
        let mut x = Vec::with_capacity(self.batch * size);
        for &item in &items {
            x.extend_from_slice(&self.signals[item * size..(item + 1) * size]);
        }
        let device = self.device.clone().autodiff();
        let shape = [self.batch, self.shape[0], self.shape[1]];
        let x = Tensor::<3>::from_data(TensorData::new(x, shape), &device);
        let rr = self
            .rr
            .as_ref()
            .map(|rr| rr_tensor(items.iter().flat_map(|&item| rr[item]).collect(), self.batch, &device));
        let mut stream = self.seed.purpose("dropout").index(step).stream();
        let (logits, statistics) = self.network.train_logits(params, x, rr, &mut stream);
        self.pending = Some(statistics);

        // Weighted cross-entropy as a product with weighted one-hot rows.
        let n_classes = self.class_weights.len();
        let mut targets = vec![0.0f32; self.batch * n_classes];
        let mut total = 0.0;
        for (row, &item) in items.iter().enumerate() {
            let class = self.classes[item];
            targets[row * n_classes + class] = self.class_weights[class];
            total += f64::from(self.class_weights[class]);
        }
        let targets = Tensor::<2>::from_data(TensorData::new(targets, [self.batch, n_classes]), &device);
        let loss = (activation::log_softmax(logits, 1) * targets).sum() * (-1.0 / total);
        Ok((loss, items.into_iter().map(|item| item as u64).collect()))
    }

    fn applied(&mut self) {
        if let Some(statistics) = self.pending.take() {
            // Each stage halves the time axis after its normalization.
            let per_stage: Vec<usize> =
                (0..statistics.len()).map(|stage| self.batch * (self.shape[1] >> stage)).collect();
            follow_statistics(&mut self.buffers, &statistics, &per_stage);
        }
    }

    fn buffers(&self) -> Weights {
        self.buffers.clone()
    }

    fn set_buffers(&mut self, buffers: Weights) {
        self.buffers = buffers;
    }
}

/// Entry of the list.
pub struct Spec;

impl ClassifierSpec for Spec {
    fn name(&self) -> &'static str {
        "beat-cnn"
    }

    fn summary(&self) -> &'static str {
        "1-D CNN for single beats, optionally with RR intervals"
    }

    fn reference(&self) -> &'static str {
        "the convolutional classifier of Ge et al. 2025 (doi 10.11999/JEIT250404); layers are our choice"
    }
}
