//! The activations that layer and batch normalization end with.

use burn::tensor::{Tensor, activation};

use super::cpu::Real;
use super::gelu::normal;
use super::lanes::Lanes;

/// The function applied to each value at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pointwise {
    /// The value itself.
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x * sigmoid(x)`.
    Silu,
    /// `x` times the distribution function of the standard normal.
    Gelu,
}

/// Codes of the activations, so that loops can be compiled for each.
pub(super) const RELU: u8 = 1;
pub(super) const SILU: u8 = 2;
pub(super) const GELU: u8 = 3;

/// Calls a function that is compiled for each activation.
macro_rules! for_each_activation {
    ($activation:expr, $function:ident :: <$real:ty>($($argument:expr),* $(,)?)) => {
        match $activation {
            $crate::nn::kernel::pointwise::Pointwise::None => $function::<$real, 0>($($argument),*),
            $crate::nn::kernel::pointwise::Pointwise::Relu => $function::<$real, 1>($($argument),*),
            $crate::nn::kernel::pointwise::Pointwise::Silu => $function::<$real, 2>($($argument),*),
            $crate::nn::kernel::pointwise::Pointwise::Gelu => $function::<$real, 3>($($argument),*),
        }
    };
}
pub(super) use for_each_activation;

/// The activation at `h`.
#[inline(always)]
pub(super) fn activate<T: Real, L: Lanes<T>, const A: u8>(h: L) -> L {
    match A {
        // The value comes second so that one that is not a number stays one.
        RELU => L::splat(T::ZERO).max(h),
        SILU => {
            let one = L::splat(T::ONE);
            h.div(L::splat(T::ZERO).sub(h).exp().add(one))
        }
        GELU => h.mul(normal::<T, L>(h).0),
        _ => h,
    }
}

/// The slope of the activation at `h`, times `grad`.
#[inline(always)]
pub(super) fn times_slope<T: Real, L: Lanes<T>, const A: u8>(grad: L, h: L) -> L {
    let (zero, one) = (L::splat(T::ZERO), L::splat(T::ONE));
    match A {
        // 1 above zero and 0 elsewhere: any positive f32 times 1e38 twice exceeds 1.
        RELU => {
            let large = L::splat(T::from_f64(1e38));
            grad.mul(one.min(zero.max(h).mul(large).mul(large)))
        }
        SILU => {
            let open = one.div(zero.sub(h).exp().add(one));
            grad.mul(open.mul(h.mul_add(one.sub(open), one)))
        }
        GELU => {
            let factor = L::splat(T::from_f64(1.0 / std::f64::consts::TAU.sqrt()));
            let bound = L::splat(T::from_f64(13.0));
            let (below, bell) = normal::<T, L>(h);
            let near = bound.min(zero.sub(bound).max(h));
            grad.mul(near.mul(bell).mul_add(factor, below))
        }
        _ => grad,
    }
}

/// The activation by the framework's own operation.
pub(super) fn reference<const D: usize>(x: Tensor<D>, activation: Pointwise) -> Tensor<D> {
    match activation {
        Pointwise::None => x,
        Pointwise::Relu => activation::relu(x),
        Pointwise::Silu => activation::silu(x),
        Pointwise::Gelu => activation::gelu(x),
    }
}
