//! Memory for results: not cleared first where all of it is written, and kept in the process when freed.
//!
//! A training step asks for hundreds of buffers of a few MiB and frees them again. By default the
//! C library gives blocks of that size back to the system at once, and the system clears and maps
//! every page anew at the next step: a sixth of the step's processor time.

use std::mem::{ManuallyDrop, MaybeUninit};

/// Memory for `count` numbers.
pub(super) fn fresh<T>(count: usize) -> Vec<MaybeUninit<T>> {
    let mut memory = Vec::with_capacity(count);
    // SAFETY: that many were reserved, and a `MaybeUninit` may hold anything.
    unsafe { memory.set_len(count) };
    memory
}

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
