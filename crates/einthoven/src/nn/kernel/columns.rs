//! Rows of one tensor that several tasks write at once, each its own range of columns.

use std::marker::PhantomData;

/// A mutable slice of rows that is handed out in pieces of a row.
pub(super) struct Columns<'a, T> {
    start: *mut T,
    len: usize,
    pitch: usize,
    lifetime: PhantomData<&'a mut [T]>,
}

// SAFETY: the only access is `piece`, whose contract forbids overlapping pieces.
unsafe impl<T: Send> Sync for Columns<'_, T> {}

impl<'a, T> Columns<'a, T> {
    /// Rows of `pitch` values.
    pub fn new(values: &'a mut [T], pitch: usize) -> Columns<'a, T> {
        Columns { start: values.as_mut_ptr(), len: values.len(), pitch, lifetime: PhantomData }
    }

    /// Columns `from` to `from + count` of a row.
    ///
    /// # Safety
    ///
    /// No other piece that is alive shares a value with this one.
    ///
    /// # Panics
    ///
    /// If the piece leaves its row or the slice.
    #[inline(always)]
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn piece(&self, row: usize, from: usize, count: usize) -> &mut [T] {
        assert!(from + count <= self.pitch && (row + 1) * self.pitch <= self.len, "a piece leaves its row");
        // SAFETY: the piece lies inside the slice by the assertion; nothing else refers to it by
        // the contract of this function.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(row * self.pitch + from), count) }
    }
}
