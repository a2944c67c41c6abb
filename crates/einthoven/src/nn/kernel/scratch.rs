//! Memory for intermediate values, which each thread uses again from piece to piece and from operation to operation.

use std::cell::RefCell;
use std::marker::PhantomData;

use super::cpu::Real;
use super::tile::LINE;

/// A cache line of numbers, so that memory starts at the start of one.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([f32; LINE]);

// SAFETY: sixteen `f32` of 4 bytes fill the 64 bytes of the line, and any bits are valid.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above; the line has no padding and no pointers.
unsafe impl bytemuck::Pod for Line {}

thread_local! {
    /// What no piece of work on this thread is using.
    static FREE: RefCell<Vec<Vec<Line>>> = const { RefCell::new(Vec::new()) };
}

/// Memory of this thread, given back when dropped.
pub(super) struct Scratch<T> {
    lines: Vec<Line>,
    numbers: PhantomData<T>,
}

impl<T: Real> Scratch<T> {
    /// What was last given back, or nothing yet.
    pub fn new() -> Scratch<T> {
        Scratch { lines: FREE.with_borrow_mut(Vec::pop).unwrap_or_default(), numbers: PhantomData }
    }

    /// Slices of these lengths, which should be multiples of [`LINE`]; their content is arbitrary.
    #[inline(always)]
    pub fn split<const N: usize>(&mut self, lengths: [usize; N]) -> [&mut [T]; N] {
        let lines = (lengths.iter().sum::<usize>() * size_of::<T>()).div_ceil(size_of::<Line>());
        if self.lines.len() < lines {
            self.lines = vec![Line([0.0; LINE]); lines];
        }
        let mut rest: &mut [T] = bytemuck::cast_slice_mut(&mut self.lines);
        if cfg!(debug_assertions) {
            // Tests are to find who counts on something.
            rest.fill(T::from_f64(f64::NAN));
        }
        lengths.map(|length| {
            let (part, after) = std::mem::take(&mut rest).split_at_mut(length);
            rest = after;
            part
        })
    }
}

impl<T> Drop for Scratch<T> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        // A thread that is ending has nothing to give back to.
        let _ = FREE.try_with(|free| free.borrow_mut().push(lines));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_aligned_apart_and_used_again() {
        let mut first = Scratch::<f32>::new();
        let [a, b] = first.split([32, 16]);
        a.fill(1.0);
        b.fill(2.0);
        assert!(a.as_ptr().align_offset(64) == 0 && a == [1.0; 32] && b == [2.0; 16]);
        let place = a.as_ptr();
        let [in_use] = Scratch::<f32>::new().split([48]).map(|part| part.as_ptr());
        assert_ne!(in_use, place, "memory that is in use");
        drop(first);
        let [again] = Scratch::<f64>::new().split([24]).map(|part| part.as_ptr());
        assert_eq!(again.cast(), place, "memory that was given back");
    }
}
