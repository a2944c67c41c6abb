//! Memory for results: not cleared first where all of it is written, else by the task that writes it; in large pages, and kept
//! in the process when freed.
//!
//! A training step asks for hundreds of buffers of a few MiB and frees them again. By default the
//! C library gives blocks of that size back to the system at once, and the system clears and maps
//! every page anew at the next step: a sixth of the step's processor time.

use std::mem::{ManuallyDrop, MaybeUninit};

use rayon::iter::repeat_n;
use rayon::prelude::*;

use super::cpu::Real;

/// Memory for `count` numbers.
pub(super) fn fresh<T>(count: usize) -> Vec<MaybeUninit<T>> {
    let mut memory: Vec<MaybeUninit<T>> = Vec::with_capacity(count);
    use_large_pages(memory.as_ptr().addr(), count * size_of::<T>());
    // SAFETY: that many were reserved, and a `MaybeUninit` may hold anything.
    unsafe { memory.set_len(count) };
    memory
}

/// Asks for pages of 2 MiB around a buffer that is about to be written, where the system gives these to who asks
/// (`madvise` in `/sys/kernel/mm/transparent_hugepage/enabled`): rows of a signal lie kilobytes apart, and each page of 4 KiB is
/// looked up on its own.
#[cfg(target_os = "linux")]
fn use_large_pages(start: usize, bytes: usize) {
    use std::collections::BTreeSet;
    use std::sync::{Mutex, PoisonError};

    const PAGE: usize = 2 << 20;
    // What was asked for: freed memory is used again, and asking for each buffer takes 2 to 3 % of a step of W2 and W6.
    static KNOWN: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());
    // Smaller buffers lie beside such that ask for them.
    if bytes < PAGE / 8 {
        return;
    }
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    for page in start / PAGE..=(start + bytes - 1) / PAGE {
        if known.insert(page) {
            // SAFETY: the advice changes the content of no memory, whatever lies there.
            unsafe { libc::madvise(std::ptr::without_provenance_mut(page * PAGE), PAGE, libc::MADV_HUGEPAGE) };
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn use_large_pages(_start: usize, _bytes: usize) {}

/// The numbers in a memory.
///
/// # Safety
///
/// All of them were written.
pub(super) unsafe fn written<T>(memory: Vec<MaybeUninit<T>>) -> Vec<T> {
    let mut memory = ManuallyDrop::new(memory);
    let (start, length, capacity) = (memory.as_mut_ptr(), memory.len(), memory.capacity());
    // SAFETY: the parts are those of a vector of the same layout that nothing else owns; its numbers were written.
    unsafe { Vec::from_raw_parts(start.cast(), length, capacity) }
}

/// The same memory, all of its numbers zero.
#[inline(always)]
pub(super) fn cleared<T: Real>(memory: &mut [MaybeUninit<T>]) -> &mut [T] {
    memory.fill(MaybeUninit::new(T::ZERO));
    // SAFETY: all of it was written just now, and a number has the layout of memory for one.
    unsafe { &mut *(std::ptr::from_mut(memory) as *mut [T]) }
}

/// `count` numbers that `work` computes piece by piece: it is given the index of a piece and the piece, cleared. Clearing
/// all of them before would be a pass of one thread over memory that is in no cache.
pub(super) fn in_pieces<T: Real>(count: usize, piece: usize, work: impl Fn(usize, &mut [T]) + Send + Sync) -> Vec<T> {
    in_pieces_beside(count, piece, repeat_n((), count.div_ceil(piece)), |index, out, ()| work(index, out))
}

/// As [`in_pieces`], with what `beside` has for each piece.
///
/// # Panics
///
/// If `beside` has something for fewer or more pieces than there are.
pub(super) fn in_pieces_beside<T: Real, B: IndexedParallelIterator>(
    count: usize,
    piece: usize,
    beside: B,
    work: impl Fn(usize, &mut [T], B::Item) + Send + Sync,
) -> Vec<T> {
    let mut memory = fresh(count);
    let pieces = memory.par_chunks_mut(piece).zip_eq(beside);
    pieces.enumerate().for_each(|(index, (piece, beside))| work(index, cleared(piece), beside));
    // SAFETY: the pieces are all of the memory, and each was cleared.
    unsafe { written(memory) }
}

/// A copy that all threads make.
pub(super) fn copied<T: Real>(values: &[T]) -> Vec<T> {
    const PIECE: usize = 1 << 14;
    in_pieces_beside(values.len(), PIECE, values.par_chunks(PIECE), |_, to, from| to.copy_from_slice(from))
}

/// Tells the C library to keep freed memory for the next buffer instead of giving it back.
///
/// For programs, to be called once at their start: it holds for the whole process. The memory in
/// use does not grow by it, what is freed stays resident. Does nothing where the C library is not
/// glibc.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two plain integers and is safe to call from any thread at any time;
    // a value that it does not accept leaves the setting as it is.
    unsafe {
        // 32 MiB is the largest threshold that glibc accepts on 64-bit machines.
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TOP_PAD, 16 << 20);
    }
}
