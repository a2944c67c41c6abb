//! The layers that networks share, as operators: the counterparts of `nn::layer` and `nn::kernel`.

use super::wire::Array;
use super::{Attribute, Graph, Value};
use crate::nn::running::EPS;
use Attribute::{Float, Int, Ints, Text};

/// How a convolution runs over its signal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    pub stride: usize,
    /// Zeros before and after the signal.
    pub padding: [usize; 2],
    pub dilation: usize,
    pub groups: usize,
}

impl Reach {
    /// A stride and as many zeros at both ends.
    pub fn new(stride: usize, padding: usize) -> Reach {
        Reach { stride, padding: [padding; 2], dilation: 1, groups: 1 }
    }
}

impl Graph<'_> {
    pub(super) fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.op("Add", &[a, b], &[])
    }

    pub(super) fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.op("Mul", &[a, b], &[])
    }

    pub(super) fn times(&mut self, x: &Value, factor: f64) -> Value {
        let factor = self.float(factor as f32);
        self.mul(x, &factor)
    }

    pub(super) fn plus(&mut self, x: &Value, term: f64) -> Value {
        let term = self.float(term as f32);
        self.add(x, &term)
    }

    pub(super) fn matmul(&mut self, a: &Value, b: &Value) -> Value {
        self.op("MatMul", &[a, b], &[])
    }

    /// Values side by side along an axis.
    pub fn concat(&mut self, values: &[&Value], axis: i64) -> Value {
        self.op("Concat", values, &[("axis", Int(axis))])
    }

    /// `length` entries of an axis from `start` on.
    pub(super) fn narrow(&mut self, x: &Value, axis: i64, start: usize, length: usize) -> Value {
        let (starts, ends) = (self.ints(&[start as i64]), self.ints(&[(start + length) as i64]));
        let axes = self.ints(&[axis]);
        self.op("Slice", &[x, &starts, &ends, &axes], &[])
    }

    /// Entries of an axis by their places.
    pub(super) fn select(&mut self, x: &Value, axis: i64, places: &[usize]) -> Value {
        let name = format!("constant_{}", self.arrays.len());
        let places = self.store(name, Array::Ints(places.iter().map(|&place| place as i64).collect()));
        self.op("Gather", &[x, &places], &[("axis", Int(axis))])
    }

    /// Rows of a table by their numbers, in the place of each number.
    pub(super) fn rows(&mut self, table: &Value, numbers: &Value) -> Value {
        self.op("Gather", &[table, numbers], &[("axis", Int(0))])
    }

    /// An array `[1, ..]` of `axes` axes for each item that `like` has.
    pub(super) fn for_each_item(&mut self, array: &Value, axes: usize, like: &Value) -> Value {
        let batch = self.op("Shape", &[like], &[("start", Int(0)), ("end", Int(1))]);
        let others = self.ints(&vec![1; axes - 1]);
        let shape = self.concat(&[&batch, &others], 0);
        self.op("Expand", &[array, &shape], &[])
    }

    /// Another shape; 0 keeps the extent of the axis, -1 takes what is left.
    pub(super) fn reshape(&mut self, x: &Value, shape: &[i64]) -> Value {
        let shape = self.ints(shape);
        self.op("Reshape", &[x, &shape], &[])
    }

    pub(super) fn permute(&mut self, x: &Value, order: &[i64]) -> Value {
        self.op("Transpose", &[x], &[("perm", Ints(order.to_vec()))])
    }

    /// A new axis of one entry.
    pub(super) fn unsqueeze(&mut self, x: &Value, axis: i64) -> Value {
        let axes = self.ints(&[axis]);
        self.op("Unsqueeze", &[x, &axes], &[])
    }

    /// Softmax along an axis.
    pub fn softmax(&mut self, x: &Value, axis: i64) -> Value {
        self.op("Softmax", &[x], &[("axis", Int(axis))])
    }

    pub(super) fn mean(&mut self, x: &Value, axis: i64) -> Value {
        self.op("ReduceMean", &[x], &[("axes", Ints(vec![axis])), ("keepdims", Int(1))])
    }

    /// The value where it is positive, else 0.
    pub fn relu(&mut self, x: &Value) -> Value {
        self.op("Relu", &[x], &[])
    }

    pub(super) fn silu(&mut self, x: &Value) -> Value {
        let open = self.op("Sigmoid", &[x], &[]);
        self.mul(x, &open)
    }

    /// By the distribution function of the standard normal.
    pub(super) fn gelu(&mut self, x: &Value) -> Value {
        let scaled = self.times(x, std::f64::consts::FRAC_1_SQRT_2);
        let erf = self.op("Erf", &[&scaled], &[]);
        let share = self.plus(&erf, 1.0);
        let twice = self.mul(x, &share);
        self.times(&twice, 0.5)
    }

    /// Linear map with bias of `[batch, n_in]`.
    pub fn linear(&mut self, name: &str, x: &Value) -> Value {
        let weight = self.weight(&format!("{name}.weight"), None);
        let bias = self.weight(&format!("{name}.bias"), None);
        self.op("Gemm", &[x, &weight, &bias], &[("transB", Int(1))])
    }

    /// Convolution by a stored weight `[n_out, n_in / groups, kernel]`.
    pub(super) fn convolve(&mut self, x: &Value, weight: &Value, bias: Option<&Value>, reach: Reach) -> Value {
        let Reach { stride, padding, dilation, groups } = reach;
        let inputs: Vec<&Value> = [x, weight].into_iter().chain(bias).collect();
        let attributes = [
            ("strides", Ints(vec![stride as i64])),
            ("pads", Ints(padding.map(|zeros| zeros as i64).to_vec())),
            ("dilations", Ints(vec![dilation as i64])),
            ("group", Int(groups as i64)),
        ];
        self.op("Conv", &inputs, &attributes)
    }

    /// Convolution with bias, and without where there is none.
    pub fn conv(&mut self, name: &str, x: &Value, stride: usize, padding: usize) -> Value {
        let weight = self.weight(&format!("{name}.weight"), None);
        let bias = format!("{name}.bias");
        let bias = self.has(&bias).then(|| self.weight(&bias, None));
        self.convolve(x, &weight, bias.as_ref(), Reach::new(stride, padding))
    }

    /// Linear map of the channels at each point in time, with bias where there is one.
    pub(super) fn dense(&mut self, name: &str, x: &Value) -> Value {
        let weight = self.array(&format!("{name}.weight"));
        self.dense_by(name, weight, x)
    }

    /// As [`Graph::dense`] with a weight as that of [`Graph::conv_normed`].
    pub(super) fn dense_normed(&mut self, name: &str, x: &Value) -> Value {
        let weight = self.normed(name);
        self.dense_by(name, weight, x)
    }

    fn dense_by(&mut self, name: &str, (mut shape, values): (Vec<usize>, Vec<f32>), x: &Value) -> Value {
        shape.push(1);
        let weight = self.named(&format!("{name}.weight"), shape, values);
        let bias = format!("{name}.bias");
        let bias = self.has(&bias).then(|| self.weight(&bias, None));
        self.convolve(x, &weight, bias.as_ref(), Reach::new(1, 0))
    }

    /// Convolution of stride 1 whose weight has a direction and a length for each output channel.
    pub(super) fn conv_normed(&mut self, name: &str, x: &Value, reach: Reach) -> Value {
        let (shape, values) = self.normed(name);
        let weight = self.named(&format!("{name}.weight"), shape, values);
        let bias = self.weight(&format!("{name}.bias"), None);
        self.convolve(x, &weight, Some(&bias), reach)
    }

    /// The weight of [`Graph::conv_normed`].
    pub(super) fn normed(&mut self, name: &str) -> (Vec<usize>, Vec<f32>) {
        let (shape, mut values) = self.array(&format!("{name}.weight_v"));
        let lengths = self.array(&format!("{name}.weight_g")).1;
        let row = values.len() / lengths.len().max(1);
        for (row, wanted) in values.chunks_mut(row.max(1)).zip(lengths) {
            let length = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
            row.iter_mut().for_each(|v| *v = (f64::from(*v) * f64::from(wanted) / length) as f32);
        }
        (shape, values)
    }

    /// Layer normalization over the channels, without gain and bias.
    pub(super) fn layer_norm(&mut self, x: &Value, eps: f64) -> Value {
        let mean = self.mean(x, 1);
        let centered = self.op("Sub", &[x, &mean], &[]);
        let squares = self.mul(&centered, &centered);
        let variance = self.mean(&squares, 1);
        let variance = self.plus(&variance, eps);
        let sd = self.op("Sqrt", &[&variance], &[]);
        self.op("Div", &[&centered, &sd], &[])
    }

    /// A stored gain and bias for each channel.
    pub(super) fn affine(&mut self, name: &str, x: &Value) -> Value {
        let channels = self.array(&format!("{name}.weight")).0[0];
        let gain = self.weight(&format!("{name}.weight"), Some(&[channels, 1]));
        let bias = self.weight(&format!("{name}.bias"), Some(&[channels, 1]));
        let scaled = self.mul(x, &gain);
        self.add(&scaled, &bias)
    }

    /// Normalization by the running statistics.
    pub fn batch_norm(&mut self, name: &str, x: &Value) -> Value {
        let arrays =
            ["weight", "bias", "running_mean", "running_var"].map(|what| self.weight(&format!("{name}.{what}"), None));
        let [gain, bias, mean, variance] = &arrays;
        self.op("BatchNormalization", &[x, gain, bias, mean, variance], &[("epsilon", Float(EPS as f32))])
    }

    /// Group normalization with a gain and a bias for each channel.
    pub(super) fn group_norm(&mut self, name: &str, x: &Value, groups: usize, eps: f64) -> Value {
        let channels = self.array(&format!("{name}.weight")).0[0];
        let grouped = self.reshape(x, &[0, groups as i64, -1]);
        let (ones, zeros) = (self.floats(&[groups], vec![1.0; groups]), self.floats(&[groups], vec![0.0; groups]));
        let normed = self.op("InstanceNormalization", &[&grouped, &ones, &zeros], &[("epsilon", Float(eps as f32))]);
        let normed = self.reshape(&normed, &[0, channels as i64, -1]);
        self.affine(name, &normed)
    }

    /// Unit length over the channels, times the root of their number and the gain `NAME.g`.
    pub(super) fn rms_norm(&mut self, name: &str, x: &Value, eps: f64) -> Value {
        let gain = format!("{name}.g");
        let values = self.array(&gain).1;
        let (channels, root) = (values.len(), (values.len() as f64).sqrt());
        let values = values.into_iter().map(|g| (f64::from(g) * root) as f32).collect();
        let gain = self.named(&gain, vec![channels, 1], values);
        let norm = self.op("ReduceL2", &[x], &[("axes", Ints(vec![1])), ("keepdims", Int(1))]);
        let least = self.float(eps as f32);
        let norm = self.op("Max", &[&norm, &least], &[]);
        let unit = self.op("Div", &[x, &norm], &[]);
        self.mul(&unit, &gain)
    }

    /// Queries, keys and values of each head, `[batch, head, head width, time]`.
    fn heads(&mut self, qkv: &Value, heads: usize, width: usize) -> [Value; 3] {
        [0, 1, 2].map(|part| {
            let part = self.narrow(qkv, 1, part * heads * width, heads * width);
            self.reshape(&part, &[0, heads as i64, width as i64, -1])
        })
    }

    /// Softmax attention over time.
    pub(super) fn attention(&mut self, qkv: &Value, heads: usize, width: usize) -> Value {
        let heads_of = self.heads(qkv, heads, width);
        self.attended(heads_of, heads, width)
    }

    /// As [`Graph::attention`] of the queries, keys and values of each head, `[batch, head, head width, time]`.
    pub(super) fn attended(&mut self, [q, k, v]: [Value; 3], heads: usize, width: usize) -> Value {
        let q = self.times(&q, (width as f64).powf(-0.5));
        let q = self.permute(&q, &[0, 1, 3, 2]);
        let scores = self.matmul(&q, &k);
        let weights = self.softmax(&scores, 3);
        let weights = self.permute(&weights, &[0, 1, 3, 2]);
        let out = self.matmul(&v, &weights);
        self.reshape(&out, &[0, (heads * width) as i64, -1])
    }

    /// Attention whose cost grows with the length alone.
    pub(super) fn linear_attention(&mut self, qkv: &Value, heads: usize, width: usize) -> Value {
        let [q, k, v] = self.heads(qkv, heads, width);
        let q = self.softmax(&q, 2);
        let q = self.times(&q, (width as f64).powf(-0.5));
        let k = self.softmax(&k, 3);
        let k = self.permute(&k, &[0, 1, 3, 2]);
        let context = self.matmul(&v, &k);
        let out = self.matmul(&context, &q);
        self.reshape(&out, &[0, (heads * width) as i64, -1])
    }

    /// Sines, then cosines, of a number per item.
    pub(super) fn sinusoidal(&mut self, time: &Value, width: usize, theta: f64) -> Value {
        let half = width / 2;
        let rate = |i: usize| (-theta.ln() * i as f64 / (half as f64 - 1.0)).exp() as f32;
        let rates = self.floats(&[1, half], (0..half).map(rate).collect());
        let time = self.unsqueeze(time, 1);
        let angles = self.mul(&time, &rates);
        let (sines, cosines) = (self.op("Sin", &[&angles], &[]), self.op("Cos", &[&angles], &[]));
        self.concat(&[&sines, &cosines], 1)
    }

    /// Sum of the rows of a table by the weights of labels.
    pub(super) fn embed(&mut self, table: &str, labels: &Value) -> Value {
        let table = self.weight(table, None);
        self.matmul(labels, &table)
    }

    /// As [`Graph::embed`] with rows for the absence of labels too, see `nn::told`.
    pub(super) fn embed_pairs(&mut self, name: &str, labels: &Value) -> Value {
        let (mean, zero) = (self.mean(labels, 1), self.float(0.0));
        let is_said = self.op("Greater", &[&mean, &zero], &[]);
        // 1 is the element type of numbers.
        let said = self.op("Cast", &[&is_said], &[("to", Int(1))]);
        let absent = self.op("Sub", &[&said, labels], &[]);
        let merge = self.weight(&format!("{name}.merge.weight"), None);
        let (present, absent) = (self.mul(labels, &merge), self.mul(&absent, &merge));
        let present = self.embed(&format!("{name}.weight"), &present);
        let absent = self.embed(&format!("{name}.absent"), &absent);
        let bias = self.weight(&format!("{name}.merge.bias"), None);
        let bias = self.mul(&said, &bias);
        let sum = self.add(&present, &absent);
        self.add(&sum, &bias)
    }

    /// Each point in time `n` times.
    pub(super) fn repeated(&mut self, x: &Value, channels: usize, n: usize) -> Value {
        if n == 1 {
            return x.clone();
        }
        let column = self.unsqueeze(x, 3);
        let row = self.concat(&vec![&column; n], 3);
        self.reshape(&row, &[0, channels as i64, -1])
    }

    /// The mirror image of the signal's end behind it.
    pub(super) fn mirrored(&mut self, x: &Value, extra: usize) -> Value {
        if extra == 0 {
            return x.clone();
        }
        let pads = self.ints(&[0, 0, 0, 0, 0, extra as i64]);
        self.op("Pad", &[x, &pads], &[("mode", Text("reflect"))])
    }

    /// Sigmoid of one half of the channels times tanh of the other.
    pub(super) fn gate(&mut self, x: &Value, channels: usize, opens_first: bool) -> Value {
        let halves = [self.narrow(x, 1, 0, channels), self.narrow(x, 1, channels, channels)];
        let [open, signal] = if opens_first { [0, 1] } else { [1, 0] };
        let open = self.op("Sigmoid", &[&halves[open]], &[]);
        let signal = self.op("Tanh", &[&halves[signal]], &[]);
        self.mul(&open, &signal)
    }
}
