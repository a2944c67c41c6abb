//! Phase shuffle: the critic's features moved in time by a few points, each record by its own number.
//!
//! It keeps the critic from judging a signal by the phase of the generator's upsampling. Points that
//! a move leaves empty are filled by reflection at the end.
//!
//! # Reference
//! Donahue et al. 2019, "Adversarial audio synthesis", section 3.3.

use burn::tensor::{IndexingUpdateOp, Int, Tensor, TensorData};

/// The features of each record moved later by its shift, or earlier where that is negative.
///
/// # Shape
/// `x` and the result are `[batch, channel, time]`; one shift per record, each smaller in size than
/// the time.
/// # Panics
/// If there are not as many shifts as records.
pub fn phase_shuffle(x: Tensor<3>, shifts: &[isize]) -> Tensor<3> {
    if is_still(shifts) {
        return x;
    }
    let sources = sources(&x, shifts);
    x.gather(2, sources)
}

/// The transpose of [`phase_shuffle`]: what its gradient is, as an operation that has a gradient itself.
///
/// # Shape
/// As [`phase_shuffle`].
/// # Panics
/// As [`phase_shuffle`].
pub fn phase_shuffle_transposed(x: Tensor<3>, shifts: &[isize]) -> Tensor<3> {
    if is_still(shifts) {
        return x;
    }
    let sources = sources(&x, shifts);
    x.zeros_like().scatter(2, sources, x, IndexingUpdateOp::Add)
}

fn is_still(shifts: &[isize]) -> bool {
    shifts.iter().all(|&shift| shift == 0)
}

/// Where each value comes from.
fn sources(x: &Tensor<3>, shifts: &[isize]) -> Tensor<3, Int> {
    let [batch, channels, length] = x.dims();
    assert_eq!(shifts.len(), batch, "phase_shuffle: number of shifts");
    let values: Vec<i64> =
        shifts.iter().flat_map(|&shift| (0..length).map(move |at| source(at, shift, length))).collect();
    Tensor::<3, Int>::from_data(TensorData::new(values, [batch, 1, length]), &x.device())
        .expand([batch, channels, length])
}

/// The point from which `at` takes its value: `shift` earlier, reflected at the first and the last point.
fn source(at: usize, shift: isize, length: usize) -> i64 {
    let (from, last) = (at as i64 - shift as i64, length as i64 - 1);
    if from < 0 {
        -from
    } else if from > last {
        2 * last - from
    } else {
        from
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::nn::weights::host;

    #[test]
    fn ends_are_reflected_without_repeating_the_last_point() {
        let device = Device::flex();
        let x = Tensor::<3>::from_floats([[[0.0, 1.0, 2.0, 3.0, 4.0]], [[0.0, 1.0, 2.0, 3.0, 4.0]]], &device);
        let moved = host(phase_shuffle(x.clone(), &[2, -1]));
        assert_eq!(moved, [2.0, 1.0, 0.0, 1.0, 2.0, 1.0, 2.0, 3.0, 4.0, 3.0]);
        assert_eq!(host(phase_shuffle(x.clone(), &[0, 0])), host(x));
    }

    /// `(S x) . y = x . (S^T y)` for all x and y.
    #[test]
    fn the_transpose_is_one() {
        let device = Device::flex();
        let values = |from: i32| {
            let values: Vec<f32> = (0..42).map(|k| ((k * k + from * k + from) % 17) as f32).collect();
            Tensor::<3>::from_data(TensorData::new(values, [3, 2, 7]), &device)
        };
        let (x, y, shifts) = (values(3), values(5), [2, 0, -3]);
        let left = (phase_shuffle(x.clone(), &shifts) * y.clone()).sum();
        let right = (x * phase_shuffle_transposed(y, &shifts)).sum();
        // Sums of small whole numbers are exact.
        assert_eq!(host(left), host(right));
    }
}
