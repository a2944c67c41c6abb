//! A beat U-Net with a batch and a target: what is timed against a peer, and computed on two devices
//! to see how far these are apart.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::diffusion::{Condition, NetworkConfig};
use einthoven::error::{Error, Result};
use einthoven::generators::diffusion_model::{DiffusionModel, ModelCard};
use einthoven::generators::{Generator, Item};
use einthoven::nn::adamw::AdamWConfig;
use einthoven::nn::train::{Learner, NetworkTrainee};
use einthoven::nn::unet1d::{Unet1d, Unet1dConfig};
use einthoven::nn::weights::{Params, Weights, host};
use einthoven::run::{StoredType, Tensors, Trainee, safetensors, write_atomic};
use einthoven::seed::Seed;

/// Points of a beat.
const LENGTH: usize = 256;
/// Classes of the network.
const CLASSES: usize = 5;
/// Prefix of what is not a weight.
const INPUT: &str = "input.";

/// A network and a batch, as both engines read them.
#[derive(Clone)]
pub struct Problem {
    /// The network.
    pub network: Unet1d,
    /// Its weights.
    pub weights: Weights,
    pub inputs: Tensors,
}

/// The batch on a device.
#[derive(Clone)]
pub struct Inputs {
    x: Tensor<3>,
    /// What the prediction is compared with.
    pub target: Tensor<3>,
    times: Tensor<1>,
    classes: Vec<Option<usize>>,
}

impl Problem {
    /// Draws weights, a batch and a target.
    pub fn draw(width: usize, multipliers: &[usize], stride: usize, batch: usize) -> Result<Problem> {
        let config = Unet1dConfig { stem_stride: stride, ..Unet1dConfig::dgn(width, multipliers, CLASSES) };
        let network = Unet1d::new(config)?;
        let seed = Seed::new(1);
        let weights = Weights::initialize(&network.params(), seed.purpose("weights"));
        let normal = |name: &str| {
            let mut values = vec![0.0; batch * LENGTH];
            seed.purpose(name).stream().fill_normal(&mut values);
            (vec![batch, 1, LENGTH], values)
        };
        let mut inputs: Tensors = ["x", "target"].map(|name| (name.to_string(), normal(name))).into();
        let mut stream = seed.purpose("condition").stream();
        // One more than the classes: some labels are dropped, as in training.
        let classes = (0..batch).map(|_| stream.below(CLASSES + 1) as f32).collect();
        inputs.insert("classes".into(), (vec![batch], classes));
        let times = (0..batch).map(|_| stream.uniform_in(0.0, 1000.0) as f32).collect();
        inputs.insert("time".into(), (vec![batch], times));
        Ok(Problem { network, weights, inputs })
    }

    /// Stores it.
    pub fn write(&self, path: &Path) -> Result<()> {
        let mut tensors: Tensors = self.weights.clone().into();
        tensors.extend(self.inputs.iter().map(|(name, input)| (format!("{INPUT}{name}"), input.clone())));
        let config = serde_json::to_string(self.network.config());
        let config = config.map_err(|error| Error::data("network", error.to_string()))?;
        let metadata = BTreeMap::from([("network".into(), config)]);
        write_atomic(path, &safetensors::to_bytes(&tensors, &metadata, StoredType::F32)?)
    }

    /// Reads it.
    pub fn load(path: &Path) -> Result<Problem> {
        let file = safetensors::read(path)?;
        let config = file.metadata.get("network").map(String::as_str).unwrap_or_default();
        let config: Unet1dConfig =
            serde_json::from_str(config).map_err(|error| Error::data("network", error.to_string()))?;
        let (inputs, weights): (Tensors, Tensors) =
            file.tensors.into_iter().partition(|(name, _)| name.starts_with(INPUT));
        let inputs = inputs.into_iter().map(|(name, input)| (name[INPUT.len()..].to_string(), input)).collect();
        Ok(Problem { network: Unet1d::new(config)?, weights: weights.into(), inputs })
    }

    fn input(&self, name: &str) -> Result<&[f32]> {
        let found = self.inputs.get(name).map(|(_, values)| values.as_slice());
        found.ok_or_else(|| Error::data("problem", format!("has no {INPUT}{name}")))
    }

    /// The batch on a device.
    pub fn inputs_on(&self, device: &Device) -> Result<Inputs> {
        let times = self.input("time")?;
        let signal = |name: &str| -> Result<Tensor<3>> {
            let values = self.input(name)?.to_vec();
            Ok(Tensor::from_data(TensorData::new(values, [times.len(), 1, LENGTH]), device))
        };
        let class = |class: &f32| (*class < CLASSES as f32).then_some(*class as usize);
        Ok(Inputs {
            x: signal("x")?,
            target: signal("target")?,
            times: Tensor::from_floats(times, device),
            classes: self.input("classes")?.iter().map(class).collect(),
        })
    }

    /// The network's output.
    pub fn predict(&self, params: &Params, inputs: &Inputs) -> Result<Tensor<3>> {
        let labels =
            Condition::of_optional_classes(inputs.classes.clone()).label_rows(inputs.classes.len(), CLASSES)?;
        self.network.forward(&params.root(), inputs.x.clone(), inputs.times.clone(), &labels, None)
    }

    /// A training against the fixed target.
    pub fn trainee(&self, device: &Device) -> Result<NetworkTrainee<FixedTarget>> {
        let (learner, specs) = (self.learner(device)?, self.network.params());
        Ok(NetworkTrainee::new(learner, specs, self.weights.clone(), optimizer(), N_STEPS, device))
    }

    /// The loss that is trained on.
    pub fn learner(&self, device: &Device) -> Result<FixedTarget> {
        // Weights carry the gradient tape; tensors that meet them must live on the same device.
        let inputs = self.inputs_on(&device.clone().autodiff())?;
        Ok(FixedTarget { problem: self.clone(), inputs })
    }

    /// A batch of beats drawn by DDIM, mV.
    fn beats(&self, steps: usize, device: &Device) -> Result<Vec<f32>> {
        let card = ModelCard {
            format: 1,
            generator: "dgn".into(),
            role: "problem".into(),
            network: NetworkConfig::Unet(self.network.config().clone()),
            parameterization: "v".into(),
            schedule: "angle".into(),
            schedule_steps: 1000,
            scale_mv: vec![1.0],
            leads: vec!["MLII".into()],
            sig_len: LENGTH,
            fs_hz: 360.0,
            label_names: ["N", "S", "V", "F", "Q"].map(String::from).into(),
            sampler: "ddim".into(),
            steps,
            guidance: 1.0,
            training_data: serde_json::Value::Null,
            latent: None,
            rhythm: None,
            waves: None,
            usual: None,
        };
        let model = DiffusionModel::new(card, self.weights.clone(), device)?;
        let classes: Vec<usize> = (0..self.input("time")?.len()).map(|item| item % CLASSES).collect();
        let request = model.request(Item::of_classes(&classes));
        Ok(model.sample(&request, Seed::new(1))?.ecg)
    }
}

/// Steps of a training that ends nowhere.
pub const N_STEPS: u64 = 1_000_000;

/// Settings of the training: a constant rate, so that a peer needs no schedule.
pub fn optimizer() -> AdamWConfig {
    let rate = 1e-3;
    AdamWConfig {
        learning_rate: rate,
        final_learning_rate: rate,
        weight_decay: 1e-4,
        epsilon: 1e-5,
        clip_norm: 1.0,
        ..AdamWConfig::default()
    }
}

/// Mean squared error against the fixed target.
pub struct FixedTarget {
    problem: Problem,
    inputs: Inputs,
}

impl Learner for FixedTarget {
    fn loss(&mut self, params: &Params, _step: u64) -> Result<(Tensor<1>, Vec<u64>)> {
        let error = self.problem.predict(params, &self.inputs)? - self.inputs.target.clone();
        Ok((error.square().mean(), Vec::new()))
    }
}

/// Relative differences of what two devices compute: the norm of the difference over that of the first.
///
/// Of the output, the gradient, the losses of `steps` training steps, the weights after them, and beats
/// drawn in four DDIM steps.
pub fn differences(problem: &Problem, devices: [&Device; 2], steps: u64) -> Result<Vec<(&'static str, f64)>> {
    let results = |device: &Device| -> Result<Vec<(&'static str, Vec<f32>)>> {
        let output = host(problem.predict(&problem.weights.on(device), &problem.inputs_on(device)?)?);
        let params = problem.weights.tracked(device);
        let inputs = problem.inputs_on(&device.clone().autodiff())?;
        let loss = (problem.predict(&params, &inputs)? - inputs.target).square().mean();
        let gradient = params.gradients(loss.backward()).into_values().flatten().collect();
        let mut trainee = problem.trainee(device)?;
        let losses = (0..steps).map(|step| Ok(trainee.step(step)?.loss as f32)).collect::<Result<_>>()?;
        let weights = trainee.result().entries.into_values().flat_map(|weight| weight.values).collect();
        let beats = problem.beats(4, device)?;
        Ok(vec![("output", output), ("gradient", gradient), ("losses", losses), ("weights", weights), ("beats", beats)])
    };
    let [first, second] = [results(devices[0])?, results(devices[1])?];
    let distance = |((what, a), (_, b)): (&(&'static str, Vec<f32>), &(&'static str, Vec<f32>))| {
        let squares = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>();
        let apart = squares(&mut a.iter().zip(b).map(|(a, b)| f64::from(a - b)));
        (*what, (apart / squares(&mut a.iter().map(|&a| f64::from(a)))).sqrt())
    };
    Ok(first.iter().zip(&second).map(distance).collect())
}
