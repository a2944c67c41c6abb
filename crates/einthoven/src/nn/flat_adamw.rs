//! AdamW where the tensors live: weights, moments and average as one flat tensor each.
//!
//! An accelerator spends more time on starting an operation than on a small parameter, and on moving
//! values to the host than on computing with them. So everything stays on the device, an update is a
//! handful of element-wise operations however many parameters there are, and a step reads back two
//! numbers. The formulas are those of [`super::adamw`], which holds the settings; on the CPU that pass
//! is the faster one.

use burn::tensor::{Device, Gradients, Tensor, TensorData};

use super::adamw::{AdamW, AdamWConfig, Coefficients, is_decayed};
use super::weights::{Params, Weight, Weights, host};

/// Values to which the parameters that lie first are aligned: 512 bytes, what CUDA and Vulkan ask of a
/// part of a buffer that is used without a copy.
const ALIGNMENT: usize = 128;

/// Where each parameter lies in a flat tensor.
#[derive(Debug, Clone)]
struct Layout {
    /// Name, shape and first value; those whose length is a multiple of [`ALIGNMENT`] come first.
    entries: Vec<(String, Vec<usize>, usize)>,
    /// Values of all parameters.
    n_values: usize,
}

impl Layout {
    fn of(weights: &Weights) -> Layout {
        let mut shapes: Vec<_> = weights.entries.iter().map(|(name, w)| (name.clone(), w.shape.clone())).collect();
        // A stable sort: within both halves the order is that of the names.
        shapes.sort_by_key(|(_, shape)| !shape.iter().product::<usize>().is_multiple_of(ALIGNMENT));
        let mut n_values = 0;
        let place = |(name, shape): (String, Vec<usize>)| {
            let first = n_values;
            n_values += shape.iter().product::<usize>();
            (name, shape, first)
        };
        let entries = shapes.into_iter().map(place).collect();
        Layout { entries, n_values }
    }

    /// Values of a flat tensor: those of the parameters and zeros up to a multiple of [`ALIGNMENT`].
    fn n_padded(&self) -> usize {
        self.n_values.next_multiple_of(ALIGNMENT)
    }

    fn join(&self, weights: &Weights, device: &Device) -> Tensor<1> {
        let mut values = Vec::with_capacity(self.n_padded());
        for (name, _, _) in &self.entries {
            values.extend_from_slice(&weights.entries[name].values);
        }
        self.flat(values, device)
    }

    fn flat(&self, mut values: Vec<f32>, device: &Device) -> Tensor<1> {
        values.resize(self.n_padded(), 0.0);
        Tensor::from_data(TensorData::new(values, [self.n_padded()]), device)
    }

    fn part(&self, flat: Vec<f32>) -> Weights {
        let entries = self.entries.iter().map(|(name, shape, first)| {
            let n: usize = shape.iter().product();
            (name.clone(), Weight { shape: shape.clone(), values: flat[*first..first + n].to_vec() })
        });
        Weights { entries: entries.collect() }
    }
}

/// Weights and the state of their optimizer on a device.
#[derive(Debug)]
pub struct FlatAdamW {
    config: AdamWConfig,
    updates: u64,
    layout: Layout,
    weights: Tensor<1>,
    first: Tensor<1>,
    second: Tensor<1>,
    average: Option<Tensor<1>>,
    /// 1 where weight decay acts, else 0.
    decayed: Tensor<1>,
    device: Device,
}

impl FlatAdamW {
    /// Copies weights and the state of a host pass to a device.
    ///
    /// # Panics
    /// When the state belongs to other parameters than the weights.
    pub fn new(weights: &Weights, state: &AdamW, device: &Device) -> FlatAdamW {
        let layout = Layout::of(weights);
        let decayed = layout.entries.iter().flat_map(|(_, shape, _)| {
            let value = if is_decayed(shape) { 1.0 } else { 0.0 };
            std::iter::repeat_n(value, shape.iter().product())
        });
        FlatAdamW {
            config: state.config.clone(),
            updates: state.updates,
            weights: layout.join(weights, device),
            first: layout.join(&state.first, device),
            second: layout.join(&state.second, device),
            average: state.average.as_ref().map(|average| layout.join(average, device)),
            decayed: layout.flat(decayed.collect(), device),
            device: device.clone(),
            layout,
        }
    }

    /// Settings.
    pub fn config(&self) -> &AdamWConfig {
        &self.config
    }

    /// Updates made.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// The weights on the host.
    pub fn weights(&self) -> Weights {
        self.layout.part(host(self.weights.clone()))
    }

    /// The state of the optimizer on the host.
    pub fn state(&self) -> AdamW {
        let part = |flat: &Tensor<1>| self.layout.part(host(flat.clone()));
        AdamW {
            config: self.config.clone(),
            first: part(&self.first),
            second: part(&self.second),
            average: self.average.as_ref().map(part),
            updates: self.updates,
        }
    }

    /// The weights to use outside training, on the host: the average where one is kept.
    pub fn averaged(&self) -> Weights {
        self.layout.part(host(self.average.as_ref().unwrap_or(&self.weights).clone()))
    }

    /// The parameters as constants on another view of the same device.
    pub fn on(&self, device: &Device) -> Params {
        let parts = self.layout.entries.iter().map(|(name, shape, first)| {
            let n: usize = shape.iter().product();
            let part = self.weights.clone().narrow(0, *first, n).to_device(device);
            (name.clone(), (shape.clone(), part))
        });
        Params::from_parts(parts.collect())
    }

    /// The parameters, each a part of the flat weights that begins a gradient tape.
    pub fn tracked(&self) -> Params {
        let parts = self.layout.entries.iter().map(|(name, shape, first)| {
            let n: usize = shape.iter().product();
            let part = self.weights.clone().narrow(0, *first, n).autodiff().require_grad();
            (name.clone(), (shape.clone(), part))
        });
        Params::from_parts(parts.collect())
    }

    /// The gradients of [`FlatAdamW::tracked`] parameters in one flat tensor.
    pub fn join_gradients(&self, params: Params, mut gradients: Gradients) -> Tensor<1> {
        let mut parts = params.into_parts();
        let mut all: Vec<Tensor<1>> = Vec::with_capacity(self.layout.entries.len() + 1);
        for (name, shape, _) in &self.layout.entries {
            let gradient = parts.remove(name).and_then(|(_, value)| value.grad_remove(&mut gradients));
            all.push(gradient.unwrap_or_else(|| Tensor::zeros([shape.iter().product::<usize>()], &self.device)));
        }
        let rest = self.layout.n_padded() - self.layout.n_values;
        if rest > 0 {
            all.push(Tensor::zeros([rest], &self.device));
        }
        Tensor::cat(all, 0)
    }

    /// Euclidean norm of a flat gradient, as a tensor of one value.
    ///
    /// In two stages: one sum over everything could end up on a single processor of the card.
    pub fn norm(&self, gradient: Tensor<1>) -> Tensor<1> {
        let rows = gradient.square().reshape([self.layout.n_padded() / ALIGNMENT, ALIGNMENT]);
        rows.sum_dim(1).sum().sqrt()
    }

    /// Applies a gradient of Euclidean norm `norm` as step of a run of `steps`, as
    /// [`AdamW::update`] does.
    pub fn update(&mut self, gradient: Tensor<1>, norm: f64, steps: u64) {
        let Coefficients { rate, decay, scale, beta1, beta2, first_correction, second_correction, epsilon, ema } =
            Coefficients::new(&self.config, self.updates, norm, steps);
        self.updates += 1;
        let towards = |from: &Tensor<1>, to: Tensor<1>, share: f32| from.clone() + (to - from.clone()) * share;
        let gradient = gradient * scale;
        self.first = towards(&self.first, gradient.clone(), 1.0 - beta1);
        self.second = towards(&self.second, gradient.clone() * gradient, 1.0 - beta2);
        let step = self.first.clone() * first_correction / ((self.second.clone() * second_correction).sqrt() + epsilon);
        let weights = self.weights.clone();
        self.weights = weights.clone() - (step * rate + weights * self.decayed.clone() * decay);
        if let Some(average) = &mut self.average {
            *average = towards(average, self.weights.clone(), 1.0 - ema);
        }
    }
}
