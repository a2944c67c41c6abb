//! What every operation needs on the CPU device: number types, strided matrix products, buffers.

use std::ops::{AddAssign, Mul};

use burn::backend::DispatchDevice;
use burn::tensor::{DType, Device, Element, Shape};
use burn_flex::{FlexTensor, Layout};

use super::lanes::Vectorized;

/// Whether tensors on `device` (with or without gradients) hold plain memory that our loops read.
pub(crate) fn is_cpu(device: &Device) -> bool {
    match device.as_dispatch() {
        DispatchDevice::Flex(_) => true,
        DispatchDevice::Autodiff(device) => matches!(**device, DispatchDevice::Flex(_)),
        #[allow(unreachable_patterns)]
        _ => false,
    }
}

/// Whether our loops exist for numbers of type `dtype`.
pub(super) fn is_real(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

/// The number types of our loops: `f32` to train and sample, `f64` to check gradients.
pub(super) trait Real: Element + bytemuck::Pod + Vectorized + AddAssign + Mul<Output = Self> {
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Whether this is the type of gradient checks, for which loops may be slow but not inexact.
    const DOUBLE: bool;

    /// The nearest number of this type.
    fn from_f64(value: f64) -> Self;
    /// The same number in double precision.
    fn into_f64(self) -> f64;
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const DOUBLE: bool = false;

    #[inline(always)]
    fn from_f64(value: f64) -> f32 {
        value as f32
    }
    #[inline(always)]
    fn into_f64(self) -> f64 {
        f64::from(self)
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const DOUBLE: bool = true;

    #[inline(always)]
    fn from_f64(value: f64) -> f64 {
        value
    }
    #[inline(always)]
    fn into_f64(self) -> f64 {
        self
    }
}

/// The values of a tensor in row-major order without gaps.
///
/// # Panics
///
/// If the tensor holds another number type.
pub(super) fn values<T: Element + bytemuck::Pod>(tensor: &FlexTensor) -> &[T] {
    match tensor.as_slice::<T>() {
        Some(values) => values,
        None => panic!("a tensor of {:?} is not contiguous {:?}", tensor.dtype(), T::dtype()),
    }
}

/// As [`values`], to be written to; a tensor that others share is copied first.
///
/// # Panics
///
/// As [`values`].
pub(super) fn values_mut<T: Real>(tensor: &mut FlexTensor) -> &mut [T] {
    let Some((start, end)) = tensor.layout().contiguous_offsets() else {
        panic!("a tensor of {:?} is not contiguous {:?}", tensor.dtype(), T::dtype());
    };
    &mut tensor.storage_mut::<T>()[start..end]
}

/// A tensor that owns `values` in row-major order.
pub(super) fn tensor<T: Element + bytemuck::Pod>(values: Vec<T>, shape: &[usize]) -> FlexTensor {
    let shape = Shape::from(shape.to_vec());
    debug_assert_eq!(shape.num_elements(), values.len());
    FlexTensor::new(burn::tensor::Bytes::from_elems(values), Layout::contiguous(shape), T::dtype())
}

/// A matrix inside a slice: element `(row, column)` lies at `offset + row * rows + column * columns`.
#[derive(Clone, Copy)]
pub(super) struct View {
    /// Index of element (0, 0).
    pub offset: usize,
    /// Distance between neighboring rows.
    pub rows: usize,
    /// Distance between neighboring columns.
    pub columns: usize,
}

impl View {
    /// Whether every element of an `m` by `n` matrix lies inside a slice of length `len`.
    pub fn fits(self, m: usize, n: usize, len: usize) -> bool {
        m == 0 || n == 0 || self.offset + (m - 1) * self.rows + (n - 1) * self.columns < len
    }
}

/// Adds the product of an `m` by `k` and a `k` by `n` matrix to an `m` by `n` matrix, on one thread.
///
/// The order of additions follows from the three sizes and the strides alone.
///
/// # Panics
///
/// If a matrix reaches beyond its slice.
pub(super) fn add_product<T: Real>(
    [m, n, k]: [usize; 3],
    (target, target_view): (&mut [T], View),
    (left, left_view): (&[T], View),
    (right, right_view): (&[T], View),
) {
    assert!(target_view.fits(m, n, target.len()), "the target of a product is too short");
    assert!(left_view.fits(m, k, left.len()), "the left factor of a product is too short");
    assert!(right_view.fits(k, n, right.len()), "the right factor of a product is too short");
    if m == 0 || n == 0 || k == 0 {
        return;
    }
    // SAFETY: the three assertions above keep every element that the product reads or writes
    // inside its slice; the target cannot overlap a factor because it is borrowed mutably.
    // `gemm` accepts any strides and the number types that `Real` is implemented for.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            target.as_mut_ptr().add(target_view.offset),
            target_view.columns as isize,
            target_view.rows as isize,
            true,
            left.as_ptr().add(left_view.offset),
            left_view.columns as isize,
            left_view.rows as isize,
            right.as_ptr().add(right_view.offset),
            right_view.columns as isize,
            right_view.rows as isize,
            T::ONE,
            T::ONE,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}
