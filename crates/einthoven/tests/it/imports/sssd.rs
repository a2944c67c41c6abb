//! A checkpoint of SSSD-ECG of a size that no fixture has, made here under the original's names, against the network written
//! out in double precision: loops for convolutions, the recurrence for the state space layers.

use burn::tensor::{Device, Tensor, TensorData};
use einthoven::diffusion::{Backbone, Condition, Network};
use einthoven::generators::diffusion_model::DiffusionModel;
use einthoven::nn::weights::{Weight, Weights, host};
use einthoven::run::{StoredType, safetensors};
use realfft::num_complex::Complex64;

use super::{Told, hashed};
use crate::folder::TempFolder;

pub const LEADS: usize = 3;
const WIDTH: usize = 5;
const SKIP: usize = 7;
const BLOCKS: usize = 2;
const STEP: [usize; 3] = [8, 12, 10];
pub const LENGTH: usize = 24;
const MODES: usize = 3;
pub const LABELS: usize = 4;
const LABEL_WIDTH: usize = 6;
/// Points of the signal, fewer than the kernels have.
const TIME: usize = 19;

fn block(at: usize) -> String {
    format!("residual_layer.residual_blocks.{at}")
}

/// The state dict under the original's names, every entry from a hash of its name and place.
pub fn checkpoint() -> Weights {
    let mut state = Weights::default();
    let mut add = |name: String, shape: &[usize], scale: f32| {
        let n = shape.iter().product();
        let values = hashed(&name, n).into_iter().map(|v| scale * v).collect();
        state.entries.insert(name, Weight { shape: shape.to_vec(), values });
    };
    let mut layer = |name: &str, weight: &[usize], is_normed: bool| {
        let weight_name = if is_normed { "weight_v" } else { "weight" };
        add(format!("{name}.{weight_name}"), weight, 0.5);
        add(format!("{name}.bias"), &weight[..1], 0.2);
        if is_normed {
            add(format!("{name}.weight_g"), &[weight[0], 1, 1], 1.5);
        }
    };
    layer("init_conv.0.conv", &[WIDTH, LEADS, 1], true);
    layer("residual_layer.fc_t1", &[STEP[1], STEP[0]], false);
    layer("residual_layer.fc_t2", &[STEP[2], STEP[1]], false);
    layer("final_conv.0.conv", &[SKIP, SKIP, 1], true);
    layer("final_conv.2.conv", &[LEADS, SKIP, 1], false);
    for at in 0..BLOCKS {
        let name = block(at);
        layer(&format!("{name}.fc_t"), &[WIDTH, STEP[2]], false);
        layer(&format!("{name}.conv_layer.conv"), &[2 * WIDTH, WIDTH, 3], true);
        layer(&format!("{name}.fc_label"), &[2 * WIDTH, LABEL_WIDTH], false);
        layer(&format!("{name}.res_conv"), &[WIDTH, WIDTH, 1], true);
        layer(&format!("{name}.skip_conv"), &[SKIP, WIDTH, 1], true);
    }
    add("embedding.weight".into(), &[LABELS, LABEL_WIDTH], 1.0);
    let features = 2 * WIDTH;
    for name in (0..BLOCKS).flat_map(|at| ["S41", "S42"].map(|layer| format!("{}.{layer}", block(at)))) {
        add(format!("{name}.norm_layer.weight"), &[features], 1.0);
        add(format!("{name}.norm_layer.bias"), &[features], 0.3);
        let s4 = format!("{name}.s4_layer");
        add(format!("{s4}.D"), &[1, features], 1.0);
        add(format!("{s4}.output_linear.weight"), &[features, features], 0.5);
        add(format!("{s4}.output_linear.bias"), &[features, 1], 0.2);
        let kernel = format!("{s4}.kernel.kernel");
        for (array, scale) in [("B", 1.0), ("P", 0.3), ("Q", 0.3)] {
            add(format!("{kernel}.{array}"), &[1, features, MODES, 2], scale);
        }
        add(format!("{kernel}.w"), &[features, MODES, 2], 1.0);
        add(format!("{kernel}.log_dt"), &[features], 0.5);
        add(format!("{kernel}.C"), &[2, features, MODES, 2], 1.0);
        for array in ["omega", "z"] {
            add(format!("{kernel}.{array}"), &[LENGTH / 2 + 1, 2], 1.0);
        }
    }
    for (name, weight) in &mut state.entries {
        let pairs = weight.values.chunks_exact_mut(2);
        match name.rsplit('.').next() {
            Some("w") => pairs.for_each(|w| (w[0], w[1]) = (-0.5 - w[0].abs(), 6.0 * w[1])),
            Some("log_dt") => weight.values.iter_mut().for_each(|step| *step -= 2.0),
            // Half of the unit circle, and 2 (1 - omega) / (1 + omega) on it, which is purely imaginary.
            Some("omega") => pairs.enumerate().for_each(|(k, node)| {
                let angle = -std::f64::consts::TAU * k as f64 / LENGTH as f64;
                (node[0], node[1]) = (libm::cos(angle) as f32, libm::sin(angle) as f32);
            }),
            Some("z") => pairs.enumerate().for_each(|(k, z)| {
                let half = -std::f64::consts::PI * k as f64 / LENGTH as f64;
                (z[0], z[1]) = (0.0, (-2.0 * libm::tan(half)) as f32);
            }),
            _ => {}
        }
    }
    state
}

/// Channels of points.
type Signal = Vec<Vec<f64>>;

/// The network, written out.
struct Reference<'a>(&'a Weights);

impl Reference<'_> {
    fn get(&self, name: &str) -> (Vec<f64>, &[usize]) {
        let weight = &self.0.entries[name];
        (weight.values.iter().map(|&v| f64::from(v)).collect(), &weight.shape)
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let (weight, bias) = (self.get(&format!("{name}.weight")).0, self.get(&format!("{name}.bias")).0);
        weight
            .chunks(x.len())
            .zip(bias)
            .map(|(row, bias)| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias)
            .collect()
    }

    /// A convolution with as many zeros at the ends as keep the length, its weight normalized for each output if it is.
    fn conv(&self, name: &str, x: &Signal, is_normed: bool) -> Signal {
        let (mut weight, shape) = self.get(&format!("{name}.{}", if is_normed { "weight_v" } else { "weight" }));
        let (bias, taps) = (self.get(&format!("{name}.bias")).0, shape[2]);
        if is_normed {
            let sizes = self.get(&format!("{name}.weight_g")).0;
            for (row, size) in weight.chunks_mut(shape[1] * taps).zip(sizes) {
                let norm = row.iter().map(|w| w * w).sum::<f64>().sqrt();
                row.iter_mut().for_each(|w| *w *= size / norm);
            }
        }
        let at = |lead: &[f64], t: isize| if t < 0 { 0.0 } else { lead.get(t as usize).copied().unwrap_or(0.0) };
        let point = |row: &[f64], t: usize| -> f64 {
            let of_lead = |(lead, row): (&Vec<f64>, &[f64])| -> f64 {
                (0..taps).map(|k| row[k] * at(lead, t as isize + k as isize - (taps / 2) as isize)).sum()
            };
            x.iter().zip(row.chunks(taps)).map(of_lead).sum()
        };
        let rows = weight.chunks(shape[1] * taps).zip(bias);
        rows.map(|(row, bias)| (0..x[0].len()).map(|t| point(row, t) + bias).collect()).collect()
    }

    /// Kernels of one feature in both directions: `C A^t B` by the bilinear rule, of poles and their conjugates, where what is
    /// stored is `C (I - A^length)`.
    fn kernels(&self, name: &str, feature: usize) -> [Vec<f64>; 2] {
        let full = |array: &str, at: usize| -> Vec<Complex64> {
            let values = self.get(&format!("{name}.{array}")).0;
            let half: Vec<Complex64> = values[2 * MODES * at..][..2 * MODES]
                .chunks_exact(2)
                .map(|pair| Complex64::new(pair[0], pair[1]))
                .collect();
            half.iter().copied().chain(half.iter().map(Complex64::conj)).collect()
        };
        let [w, p, q, b] = ["w", "P", "Q", "B"].map(|array| full(array, feature));
        let step = self.get(&format!("{name}.log_dt")).0[feature].exp();
        let (n, one) = (2 * MODES, |row: usize, column: usize| if row == column { 1.0 } else { 0.0 });
        let a = |row: usize, column: usize| (w[row] * one(row, column) - p[row] * q[column]) * (0.5 * step);
        let square = |of: &dyn Fn(usize, usize) -> Complex64| -> Vec<Vec<Complex64>> {
            (0..n).map(|row| (0..n).map(|column| of(row, column)).collect()).collect()
        };
        let left = square(&|row, column| one(row, column) - a(row, column));
        let columns = square(&|column, row| one(row, column) + a(row, column));
        // Column by column, so that `discrete[k]` is column k of the discrete matrix.
        let discrete: Vec<Vec<Complex64>> = columns.into_iter().map(|column| solved(left.clone(), column)).collect();
        let input = solved(left, b.iter().map(|b| b * step).collect());
        let next = |state: &[Complex64]| -> Vec<Complex64> {
            (0..n).map(|row| (0..n).map(|k| discrete[k][row] * state[k]).sum()).collect()
        };
        let states: Vec<Vec<Complex64>> =
            std::iter::successors(Some(input), |state| Some(next(state))).take(TIME).collect();
        // (I - A^length)^T c = what is stored.
        let power = square(&|column, row| {
            let unit: Vec<Complex64> = (0..n).map(|k| one(k, column).into()).collect();
            let column_of_power = (0..LENGTH).fold(unit, |state, _| next(&state));
            one(row, column) - column_of_power[row]
        });
        [0, 1].map(|direction| {
            let c = solved(power.clone(), full("C", direction * 2 * WIDTH + feature));
            states.iter().map(|state| c.iter().zip(state).map(|(c, state)| (c * state).re).sum()).collect()
        })
    }

    fn state_space(&self, name: &str, x: &Signal) -> Signal {
        let s4 = format!("{name}.s4_layer");
        let direct = self.get(&format!("{s4}.D")).0;
        let convolved = |(feature, u): (usize, &Vec<f64>)| -> Vec<f64> {
            let [forward, backward] = self.kernels(&format!("{s4}.kernel.kernel"), feature);
            let point = |t: usize| -> f64 {
                let past: f64 = (0..=t).map(|lag| forward[lag] * u[t - lag]).sum();
                let future: f64 = (t + 1..u.len()).map(|at| backward[at - t - 1] * u[at]).sum();
                let y = past + future + direct[feature] * u[t];
                0.5 * y * (1.0 + libm::erf(y / 2f64.sqrt()))
            };
            (0..u.len()).map(point).collect()
        };
        let activated: Signal = x.iter().enumerate().map(convolved).collect();
        let [scale, shift] = ["weight", "bias"].map(|what| self.get(&format!("{name}.norm_layer.{what}")).0);
        let column = |t: usize| -> Vec<f64> {
            let of: Vec<f64> = activated.iter().map(|feature| feature[t]).collect();
            let mixed = self.linear(&format!("{s4}.output_linear"), &of);
            let sum: Vec<f64> = mixed.iter().zip(x).map(|(y, x)| y + x[t]).collect();
            let n = sum.len() as f64;
            let mean = sum.iter().sum::<f64>() / n;
            let variance = sum.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            let each = sum.iter().zip(scale.iter().zip(&shift));
            each.map(|(v, (scale, shift))| (v - mean) / (variance + 1e-5).sqrt() * scale + shift).collect()
        };
        let columns: Vec<Vec<f64>> = (0..x[0].len()).map(column).collect();
        (0..x.len()).map(|feature| columns.iter().map(|column| column[feature]).collect()).collect()
    }

    fn predict(&self, x: &Signal, step: f64, labels: &[f64]) -> Signal {
        let half = STEP[0] / 2;
        let angles: Vec<f64> =
            (0..half).map(|i| step * (-(10_000f64.ln()) * i as f64 / (half as f64 - 1.0)).exp()).collect();
        let waves: Vec<f64> = angles.iter().map(|a| a.sin()).chain(angles.iter().map(|a| a.cos())).collect();
        let silu = |values: Vec<f64>| values.into_iter().map(|v| v / (1.0 + (-v).exp())).collect::<Vec<f64>>();
        let relu =
            |x: Signal| -> Signal { x.into_iter().map(|l| l.into_iter().map(|v| v.max(0.0)).collect()).collect() };
        let told = silu(self.linear("residual_layer.fc_t1", &waves));
        let told = silu(self.linear("residual_layer.fc_t2", &told));
        let table = self.get("embedding.weight").0;
        let of_labels: Vec<f64> = (0..LABEL_WIDTH)
            .map(|k| labels.iter().enumerate().map(|(l, w)| w * table[l * LABEL_WIDTH + k]).sum())
            .collect();
        let shifted = |x: &Signal, by: &[f64]| -> Signal {
            x.iter().zip(by).map(|(lead, by)| lead.iter().map(|v| v + by).collect()).collect()
        };
        let mut x = relu(self.conv("init_conv.0.conv", x, true));
        let mut skips = vec![vec![0.0; TIME]; SKIP];
        for at in 0..BLOCKS {
            let name = block(at);
            let h = shifted(&x, &self.linear(&format!("{name}.fc_t"), &told));
            let h = self.conv(&format!("{name}.conv_layer.conv"), &h, true);
            let h = self.state_space(&format!("{name}.S41"), &h);
            let h = shifted(&h, &self.linear(&format!("{name}.fc_label"), &of_labels));
            let h = self.state_space(&format!("{name}.S42"), &h);
            let gated = |(a, b): (&Vec<f64>, &Vec<f64>)| -> Vec<f64> {
                a.iter().zip(b).map(|(a, b)| a.tanh() / (1.0 + (-b).exp())).collect()
            };
            let out: Signal = h[..WIDTH].iter().zip(&h[WIDTH..]).map(gated).collect();
            let residual = self.conv(&format!("{name}.res_conv"), &out, true);
            for (lead, residual) in x.iter_mut().zip(residual) {
                lead.iter_mut().zip(residual).for_each(|(x, r)| *x = (*x + r) * 0.5f64.sqrt());
            }
            for (sum, skip) in skips.iter_mut().zip(self.conv(&format!("{name}.skip_conv"), &out, true)) {
                sum.iter_mut().zip(skip).for_each(|(sum, skip)| *sum += skip);
            }
        }
        let scale = (1.0 / BLOCKS as f64).sqrt();
        skips.iter_mut().flatten().for_each(|v| *v *= scale);
        self.conv("final_conv.2.conv", &relu(self.conv("final_conv.0.conv", &skips, true)), false)
    }
}

/// Solves `matrix x = right` by elimination with row exchange.
fn solved(mut matrix: Vec<Vec<Complex64>>, right: Vec<Complex64>) -> Vec<Complex64> {
    matrix.iter_mut().zip(right).for_each(|(row, right)| row.push(right));
    let n = matrix.len();
    for column in 0..n {
        let size = |row: &usize| matrix[*row][column].norm();
        let best = (column..n).max_by(|a, b| size(a).total_cmp(&size(b))).unwrap();
        matrix.swap(column, best);
        let pivot = matrix[column].clone();
        for (_, row) in matrix.iter_mut().enumerate().filter(|(row, _)| *row != column) {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(&pivot).for_each(|(value, pivot)| *value -= factor * pivot);
        }
    }
    (0..n).map(|row| matrix[row][n] / matrix[row][row]).collect()
}

#[test]
fn sssd_ecg_of_another_size_answers_as_it_is_written_out() {
    let (folder, device) = (TempFolder::new("import-sssd"), Device::flex());
    let state = checkpoint();
    let bytes = safetensors::to_bytes(&state.clone().into(), &Default::default(), StoredType::F32).unwrap();
    let told = Told { n_leads: LEADS, n_labels: LABELS, sig_len: Some(TIME), ..Told::of("sssd-ecg") };
    let path = told.import(&folder.file("sssd.safetensors", bytes), &folder).unwrap();
    let model = DiffusionModel::load(&path, &device).unwrap();
    let (network, weights) = Network::of_state(&model.card().network, model.state(), "sssd-ecg").unwrap();
    let x: Vec<f32> = hashed("input", LEADS * TIME);
    let labels = vec![1.0, 0.0, 0.0, 1.0];
    let mut condition = Condition::none();
    condition.labels = Some(vec![labels.clone()]);
    let input = Tensor::<3>::from_data(TensorData::new(x.clone(), [1, LEADS, TIME]), &device);
    let time = Tensor::<1>::from_floats([17.0], &device);
    let found = host(network.with(weights.on(&device)).predict(input, time, &condition).unwrap());
    let x: Signal = x.chunks(TIME).map(|lead| lead.iter().map(|&v| f64::from(v)).collect()).collect();
    let labels: Vec<f64> = labels.into_iter().map(f64::from).collect();
    let expected = Reference(&state).predict(&x, 17.0, &labels).concat();
    let error = found.iter().zip(&expected).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0.0, f64::max);
    let largest = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    println!("sssd-ecg: error {error:.2e} of {largest:.2}");
    assert!(found.len() == expected.len() && largest > 0.05 && error < 1e-4 * (1.0 + largest), "{error} of {largest}");
}
