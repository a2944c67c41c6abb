//! Values that a gradient needs, in memory until then: as they are, or rounded to bf16.

use std::mem::MaybeUninit;
use std::ops::Range;

use burn::tensor::bf16;
use burn_flex::FlexTensor;

use super::columns::Columns;
use super::cpu::{Real, tensor, values};
use super::memory;

/// How an operation keeps the values that its gradient needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kept {
    /// As they are.
    #[default]
    Whole,
    /// As bf16, rounded to nearest even: eight significant bits in half the memory. The result of the operation
    /// stays as it is, its gradients lose accuracy.
    Bf16,
}

/// Memory for kept values that are still to be written.
pub(super) enum Unwritten<T> {
    Whole(Vec<MaybeUninit<T>>),
    Bf16(Vec<MaybeUninit<bf16>>),
}

impl<T: Real> Unwritten<T> {
    /// For `count` values.
    pub fn new(kept: Kept, count: usize) -> Unwritten<T> {
        match kept {
            Kept::Whole => Unwritten::Whole(memory::fresh(count)),
            Kept::Bf16 => Unwritten::Bf16(memory::fresh(count)),
        }
    }

    /// Rows of `pitch` values that several tasks write.
    pub fn rows(&mut self, pitch: usize) -> Rows<'_, T> {
        match self {
            Unwritten::Whole(values) => Rows::Whole(Columns::new(values, pitch)),
            Unwritten::Bf16(values) => Rows::Bf16(Columns::new(values, pitch)),
        }
    }

    /// The values.
    ///
    /// # Safety
    ///
    /// All of them were written.
    pub unsafe fn written(self, shape: &[usize]) -> FlexTensor {
        // SAFETY: by the contract of this function.
        unsafe {
            match self {
                Unwritten::Whole(values) => tensor(memory::written(values), shape),
                Unwritten::Bf16(values) => tensor(memory::written(values), shape),
            }
        }
    }
}

/// Rows of [`Unwritten`].
pub(super) enum Rows<'a, T> {
    Whole(Columns<'a, MaybeUninit<T>>),
    Bf16(Columns<'a, MaybeUninit<bf16>>),
}

impl<T: Real> Rows<'_, T> {
    /// Writes the columns of a row from `from` on.
    ///
    /// # Safety
    ///
    /// No other task writes them.
    ///
    /// # Panics
    ///
    /// If they leave the row.
    #[inline(always)]
    pub unsafe fn write(&self, row: usize, from: usize, values: &[T]) {
        // SAFETY: by the contract of this function; no piece outlives it.
        unsafe {
            match self {
                Rows::Whole(rows) => {
                    rows.piece(row, from, values.len()).write_copy_of_slice(values);
                }
                Rows::Bf16(rows) => {
                    for (to, value) in rows.piece(row, from, values.len()).iter_mut().zip(values) {
                        to.write(bf16::from_f32(value.into_f64() as f32));
                    }
                }
            }
        }
    }
}

/// The values of a tensor that [`Unwritten`] left.
pub(super) enum Values<'a, T> {
    Whole(&'a [T]),
    Bf16(&'a [bf16]),
}

impl<'a, T: Real> Values<'a, T> {
    /// # Panics
    ///
    /// If the tensor holds another number type.
    pub fn new(tensor: &'a FlexTensor) -> Values<'a, T> {
        match tensor.as_slice::<bf16>() {
            Some(values) => Values::Bf16(values),
            None => Values::Whole(values(tensor)),
        }
    }

    /// Room for [`Values::get`] of `count` values.
    pub fn room(&self, count: usize) -> Vec<T> {
        match self {
            Values::Whole(_) => Vec::new(),
            Values::Bf16(_) => vec![T::ZERO; count],
        }
    }

    /// Those of a range; `room`, at least as long, holds them where they have another type in memory.
    #[inline(always)]
    pub fn get<'b>(&self, range: Range<usize>, room: &'b mut [T]) -> &'b [T]
    where
        'a: 'b,
    {
        match self {
            Values::Whole(values) => &values[range],
            Values::Bf16(values) => {
                let room = &mut room[..range.len()];
                for (to, value) in room.iter_mut().zip(&values[range]) {
                    *to = T::from_f64(f64::from(f32::from(*value)));
                }
                room
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(kept: Kept, values: &[f32]) -> Vec<f32> {
        let mut memory = Unwritten::new(kept, values.len());
        // SAFETY: one row is written whole, by this task alone.
        let tensor = unsafe {
            memory.rows(values.len()).write(0, 0, values);
            memory.written(&[values.len()])
        };
        let kept = Values::new(&tensor);
        kept.get(0..values.len(), &mut kept.room(values.len())).to_vec()
    }

    #[test]
    fn bf16_rounds_to_nearest_even_and_whole_to_nothing() {
        let step = 1.0 / 128.0;
        let pairs = [
            (0.0, 0.0),
            (-1.0, -1.0),
            (1.0 + 0.49 * step, 1.0),
            (1.0 + 0.51 * step, 1.0 + step),
            // Halfway: to the neighbor whose last bit is zero.
            (1.0 + 0.5 * step, 1.0),
            (1.0 + 1.5 * step, 1.0 + 2.0 * step),
            (-1.0 - 1.5 * step, -1.0 - 2.0 * step),
            (f32::INFINITY, f32::INFINITY),
        ];
        let (values, rounded): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        assert_eq!(through(Kept::Bf16, &values), rounded);
        assert_eq!(through(Kept::Whole, &values), values);
        assert!(through(Kept::Bf16, &[f32::NAN])[0].is_nan());
    }
}
