//! Convolutions of three taps with fewer multiplications: four neighboring results from six products
//! instead of twelve.
//!
//! A result is a coefficient of a product of two polynomials, and such a product is known from its
//! values: both factors are evaluated at [`POINTS`] points, multiplied there over all channels, and the
//! results interpolated. The points are 0, ±√½, ±√2 and infinity. They are each other's inverses, which
//! keeps the coefficients of all passes between ½ and 2.5 and rounding near that of the plain sum.
//!
//! With a dilation neighboring results lie that far apart. A *column* is such a tile of four results; columns
//! are numbered along time within a stretch of four dilations, then on to the next stretch, and come in
//! chunks that fit the cache.
//!
//! # Reference
//!
//! Winograd 1980, "Arithmetic Complexity of Computations", chapter 5; Lavin and Gray 2016, "Fast
//! Algorithms for Convolutional Neural Networks"; Barabasz et al. 2020, "Error analysis and improving the
//! accuracy of Winograd convolution", on the choice of points.

mod gradient;
mod signal;

use std::f64::consts::{FRAC_1_SQRT_2, SQRT_2};

use rayon::prelude::*;

use super::cpu::Real;
use super::lanes::{Job, Lanes};
use super::memory;
use super::tile::{LINE, TILE, Tiles, multiply};

pub(super) use gradient::{FromPoints, add_record, room as gradient_room};

/// Taps of a kernel.
pub(super) const TAPS: usize = 3;

/// Neighboring results that are computed together.
const RESULTS: usize = 4;

/// Products per column and pair of channels.
pub(super) const POINTS: usize = TAPS + RESULTS - 1;

/// Columns of a chunk: three vectors of the widest kind.
const COLUMNS: usize = 48;

/// Distance between rows of results of a chunk.
pub(super) const PITCH: usize = RESULTS * COLUMNS;

/// Channels of the result that are multiplied before they are interpolated, whole tiles.
const ROWS: usize = 64;

/// What evaluating a channel of the signal or interpolating one of the result costs, in channels of products: measured on
/// layers of 32 to 256 channels.
const OVERHEAD: usize = 28;

/// A convolution with as many results as samples, the middle tap on the sample itself.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    /// Samples between neighboring taps.
    pub dilation: usize,
    /// Samples of the signal.
    pub length: usize,
}

impl Plan {
    /// The same convolution, if it is faster this way.
    pub fn worthwhile(self, [channels_in, channels_out]: [usize; 2]) -> Option<Plan> {
        let columns = self.columns().next_multiple_of(LINE);
        let fewer = (TAPS * self.length.next_multiple_of(LINE)).checked_sub(POINTS * columns)?;
        let passes = POINTS * columns * OVERHEAD * (channels_in + channels_out);
        (fewer * channels_in * channels_out > passes).then_some(self)
    }

    /// Results of a stretch of columns.
    fn stretch(&self) -> usize {
        RESULTS * self.dilation
    }

    /// Columns that have a result.
    fn columns(&self) -> usize {
        let last = self.length.saturating_sub(1) / self.stretch();
        last * self.dilation + self.dilation.min(self.length - last * self.stretch())
    }

    pub fn chunks(&self) -> usize {
        self.columns().div_ceil(COLUMNS)
    }

    pub fn chunk(&self, index: usize) -> Chunk {
        let first = index * COLUMNS;
        Chunk { plan: *self, first, columns: COLUMNS.min(self.columns() - first) }
    }
}

/// A chunk of columns.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    plan: Plan,
    first: usize,
    columns: usize,
}

/// Results that lie side by side in a row of a chunk and in time.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// Where they begin in the row.
    pub at: usize,
    /// Where they begin in time.
    pub first: usize,
    pub count: usize,
}

impl Chunk {
    /// Whether rows of results are in the order of time: where stretches are short they are woven together.
    fn is_woven(&self) -> bool {
        matches!(self.plan.dilation, 1 | 2 | 4 | 8)
    }

    /// First sample of a chunk that is woven.
    fn begin(&self) -> usize {
        self.first / self.plan.dilation * self.plan.stretch()
    }

    /// Values per row of products, whole lines.
    fn padded(&self) -> usize {
        self.columns.next_multiple_of(LINE)
    }

    /// Values per row of results, whole lines; beyond the runs they are arbitrary.
    pub fn width(&self) -> usize {
        RESULTS * self.padded()
    }

    /// The results of the chunk.
    pub fn runs(&self) -> Vec<Run> {
        let end = self.plan.length;
        let mut runs = Vec::new();
        if self.is_woven() {
            runs.push(Run { at: 0, first: self.begin(), count: RESULTS * self.columns });
        } else {
            for result in 0..RESULTS {
                runs.extend(self.stretches(result).map(|run| Run { at: result * self.padded() + run.at, ..run }));
            }
        }
        runs.retain(|run| run.first < end);
        for run in &mut runs {
            run.count = run.count.min(end - run.first);
        }
        runs
    }

    /// Columns side by side in time, and the samples `step` dilations behind their first result.
    fn stretches(&self, step: usize) -> impl Iterator<Item = Run> {
        let Chunk { plan, first, columns } = *self;
        let dilation = plan.dilation;
        (first / dilation..=(first + columns - 1) / dilation).map(move |stretch| {
            let begin = stretch * dilation;
            let (from, to) = (first.max(begin), (first + columns).min(begin + dilation));
            Run { at: from - first, first: stretch * plan.stretch() + from - begin + step * dilation, count: to - from }
        })
    }

    /// Results, `[channels, PITCH]`, each channel beginning at its number in `bias`.
    ///
    /// `evaluated` is `[POINTS, channels of the signal, COLUMNS]`, as [`Chunk::evaluate`] leaves it, `weights` is by
    /// [`evaluate_weight`]; that and `products` have the size that [`room`] says.
    #[inline(always)]
    pub fn convolve<T: Real, L: Lanes<T>>(
        &self,
        evaluated: &[T],
        weights: &[T],
        bias: Option<&[T]>,
        products: &mut [T],
        out: &mut [T],
    ) {
        let plane = evaluated.len() / POINTS;
        let terms = plane / COLUMNS;
        let mut room = [T::ZERO; PITCH];
        for (group, out) in out.chunks_mut(ROWS * PITCH).enumerate() {
            let (rows, first) = (out.len() / PITCH, group * ROWS);
            let weights = &weights[first * POINTS * terms..];
            let planes = products.chunks_mut(ROWS * COLUMNS).zip(evaluated.chunks_exact(plane));
            for (point, (to, right)) in planes.enumerate() {
                let left = (weights, Tiles::packed_planes(terms, point, POINTS));
                multiply::<T, L, false>([rows, self.columns, terms], (to, COLUMNS), left, (right, |k| k * COLUMNS));
            }
            for (row, out) in out.chunks_exact_mut(PITCH).enumerate() {
                let level = bias.map_or(T::ZERO, |bias| bias[first + row]);
                self.interpolate::<T, L>(&products[row * COLUMNS..], level, &mut room, out);
            }
        }
    }
}

/// Values of room for the evaluated signal of this many channels and for products.
pub(super) fn room(channels: usize) -> [usize; 2] {
    [POINTS * channels * COLUMNS, POINTS * ROWS * COLUMNS]
}

/// What each tap counts at each point.
fn evaluation<T: Real>() -> [[T; TAPS]; POINTS] {
    // The last number is the product of the distances to the other points.
    let row = |root: f64, distance: f64| [1.0, root, root * root].map(|power| T::from_f64(power / distance));
    [
        [T::ONE, T::ZERO, T::ZERO],
        row(FRAC_1_SQRT_2, -1.5),
        row(-FRAC_1_SQRT_2, -1.5),
        row(SQRT_2, 6.0),
        row(-SQRT_2, 6.0),
        [T::ZERO, T::ZERO, T::ONE],
    ]
}

/// Evaluates a weight that is packed in tiles of [`TILE`] rows, in each the `inputs`, in each the taps: tiles, in each the
/// points, in each the inputs.
pub(super) fn evaluate_weight<T: Real>(packed: &[T], inputs: usize) -> Vec<T> {
    let tiles = packed.par_chunks(TAPS * inputs * TILE);
    memory::in_pieces_beside(packed.len() / TAPS * POINTS, POINTS * inputs * TILE, tiles, |_, to, from| {
        T::run(EvaluateTile { from, to });
    })
}

struct EvaluateTile<'a, T> {
    from: &'a [T],
    to: &'a mut [T],
}

impl<T: Real> Job<T> for EvaluateTile<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes<T>>(self) {
        let plane = self.to.len() / POINTS;
        let (inputs, _) = self.from.as_chunks::<TILE>().0.as_chunks::<TAPS>();
        for (to, factors) in self.to.chunks_exact_mut(plane).zip(evaluation::<T>()) {
            for (to, taps) in to.as_chunks_mut::<TILE>().0.iter_mut().zip(inputs) {
                for lane in 0..TILE {
                    let mut sum = factors[0] * taps[0][lane];
                    sum += factors[1] * taps[1][lane];
                    sum += factors[2] * taps[2][lane];
                    to[lane] = sum;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lanes::Vectorized;
    use super::super::tile::pack_rows;
    use super::*;

    fn noise(count: usize, salt: usize) -> Vec<f64> {
        (0..count).map(|index| ((index * 7919 + salt * 104_729) % 1009) as f64 / 504.5 - 1.0).collect()
    }

    struct Case {
        plan: Plan,
        channels: [usize; 2],
        signal: Vec<f64>,
        weight: Vec<f64>,
        level: f64,
    }

    impl Case {
        fn new(dilation: usize, length: usize) -> Case {
            let channels = [3, 70];
            let (signal, weight) = (noise(channels[0] * length, 1), noise(channels[0] * channels[1] * TAPS, 2));
            Case { plan: Plan { dilation, length }, channels, signal, weight, level: 0.25 }
        }

        /// The signal of a channel at a sample of the padded signal.
        fn sample(&self, channel: usize, sample: usize) -> f64 {
            let inside = sample.checked_sub(self.plan.dilation).filter(|sample| *sample < self.plan.length);
            inside.map_or(0.0, |sample| self.signal[channel * self.plan.length + sample] + self.level)
        }

        /// Sums over channels and taps, one by one.
        fn plain(&self) -> Vec<f64> {
            let (plan, [channels_in, channels_out]) = (self.plan, self.channels);
            let value = |row: usize, at: usize| -> f64 {
                let terms = (0..channels_in).flat_map(|channel| (0..TAPS).map(move |tap| (channel, tap)));
                let weight = |channel, tap| self.weight[(row * channels_in + channel) * TAPS + tap];
                terms.map(|(c, tap)| weight(c, tap) * self.sample(c, at + tap * plan.dilation)).sum()
            };
            (0..channels_out * plan.length).map(|index| value(index / plan.length, index % plan.length)).collect()
        }

        /// Gradient of the weight for slopes `[channels_out, count]`, one by one.
        fn plain_gradient(&self, slopes: &[f64]) -> Vec<f64> {
            let (plan, [channels_in, channels_out]) = (self.plan, self.channels);
            let value = |index: usize| -> f64 {
                let (row, channel, tap) = (index / TAPS / channels_in, index / TAPS % channels_in, index % TAPS);
                let slopes = &slopes[row * plan.length..][..plan.length];
                slopes
                    .iter()
                    .enumerate()
                    .map(|(at, slope)| slope * self.sample(channel, at + tap * plan.dilation))
                    .sum()
            };
            (0..channels_out * channels_in * TAPS).map(value).collect()
        }
    }

    struct Convolve<'a>(&'a Case);

    impl Job<f64> for Convolve<'_> {
        type Output = Vec<f64>;

        fn run<L: Lanes<f64>>(self) -> Vec<f64> {
            let Case { plan, channels: [channels_in, channels_out], ref signal, ref weight, level } = *self.0;
            let weights = evaluate_weight(&pack_rows(weight, channels_in * TAPS), channels_in);
            let [mut evaluated, mut products] = room(channels_in).map(|size| vec![f64::NAN; size]);
            let mut rows = vec![f64::NAN; channels_out * PITCH];
            let mut out = vec![f64::NAN; channels_out * plan.length];
            for index in 0..plan.chunks() {
                let chunk = plan.chunk(index);
                let channel = |index: usize| (&signal[index * plan.length..][..plan.length], level);
                chunk.evaluate::<f64, L>(channels_in, channel, &mut evaluated);
                chunk.convolve::<f64, L>(&evaluated, &weights, None, &mut products, &mut rows);
                for (row, rows) in rows.chunks_exact(PITCH).enumerate() {
                    for Run { at, first, count } in chunk.runs() {
                        assert!(at + count <= chunk.width());
                        let out = &mut out[row * plan.length + first..][..count];
                        assert!(out.iter().all(|value| value.is_nan()), "a result is written twice");
                        out.copy_from_slice(&rows[at..][..count]);
                    }
                }
            }
            out
        }
    }

    struct Gradient<'a>(&'a Case, &'a [f64]);

    impl Job<f64> for Gradient<'_> {
        type Output = Vec<f64>;

        fn run<L: Lanes<f64>>(self) -> Vec<f64> {
            let Gradient(case, slopes) = self;
            let (plan, [columns, rows], width) = (case.plan, case.channels, LINE);
            let samples = plan.length + 2 * plan.dilation;
            let turned: Vec<f64> = (0..samples * width)
                .map(|index| if index % width < columns { case.sample(index % width, index / width) } else { 9.0 })
                .collect();
            let mut sums = vec![0.0; POINTS * rows * columns];
            let [evaluated, spread] = gradient_room(width);
            let (mut evaluated, mut spread) = (vec![0.0; evaluated], vec![0.0; spread]);
            let room = [evaluated.as_mut_slice(), spread.as_mut_slice()];
            add_record::<f64, L>(&plan, [rows, columns], slopes, (&turned, width), &mut sums, room);
            let mut weight = vec![0.0; rows * columns * TAPS];
            f64::run(FromPoints { sums: &sums, weight: &mut weight });
            weight
        }
    }

    fn assert_near(found: &[f64], expected: &[f64], what: &str) {
        assert_eq!(found.len(), expected.len());
        for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() < 1e-10, "{what}, value {index}: {found} for {expected}");
        }
    }

    /// Every way that tiles lie in time: woven, in stretches, across chunks, beyond the end, few results.
    #[test]
    fn results_and_gradients_are_those_of_the_plain_sums() {
        let lengths = [(1, 1), (1, 7), (1, 400), (2, 203), (3, 150), (4, 97), (5, 31), (8, 421), (16, 300)];
        for (dilation, length) in lengths.into_iter().chain([(40, 700), (128, 1000), (300, 1000), (9, 4)]) {
            let case = Case::new(dilation, length);
            let what = format!("dilation {dilation}, length {length}");
            assert_near(&f64::run(Convolve(&case)), &case.plain(), &what);
            let slopes = noise(case.channels[1] * length, 3);
            assert_near(&f64::run(Gradient(&case, &slopes)), &case.plain_gradient(&slopes), &what);
        }
    }

    #[test]
    fn it_is_used_where_it_saves_work_alone() {
        let plan = |dilation, length| Plan { dilation, length };
        assert!(plan(1, 1000).worthwhile([128, 256]).is_some());
        assert!(plan(256, 1000).worthwhile([128, 256]).is_some());
        assert!(plan(1, 256).worthwhile([64, 128]).is_some());
        assert!(plan(1, 1000).worthwhile([32, 64]).is_none(), "few channels");
        assert!(plan(512, 1000).worthwhile([128, 256]).is_none(), "two of four results exist");
        assert!(plan(1, 2).worthwhile([128, 256]).is_none(), "few results");
    }
}
