//! Keeping freed memory in the process.
//!
//! A training step asks for hundreds of buffers of a few MiB and frees them again. By default the
//! C library gives blocks of that size back to the system at once, and the system clears and maps
//! every page anew at the next step: a sixth of the step's processor time.

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
