//! A stretch of a signal, with what lies beyond its ends.

use super::cpu::Real;

/// Copies the samples of a signal from `from` on, plus `level`; zeros beyond its ends.
#[inline(always)]
pub(super) fn window<T: Real>(signal: &[T], from: isize, level: T, to: &mut [T]) {
    let zeros = from.min(0).unsigned_abs().min(to.len());
    let start = from.max(0).unsigned_abs().min(signal.len());
    let count = (signal.len() - start).min(to.len() - zeros);
    to[..zeros].fill(T::ZERO);
    for (to, value) in to[zeros..zeros + count].iter_mut().zip(&signal[start..start + count]) {
        *to = *value;
        *to += level;
    }
    to[zeros + count..].fill(T::ZERO);
}
