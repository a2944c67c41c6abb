//! Running a program on a thread of the pool.
//!
//! A loop that is started elsewhere is handed to the pool and waited for: two switches of threads each time, and a
//! training step of a small network has hundreds of loops.

/// Stack of a thread: as much as a program's first thread commonly has.
const STACK: usize = 8 << 20;

/// Does `work` on a thread of the pool, whose loops then begin without waiting for another thread.
///
/// For programs, once, around everything that they do. Whatever waits inside `work` for another thread must not
/// wait for one that needs the pool: it may be the pool's only thread.
pub fn on_worker<R: Send>(work: impl FnOnce() -> R + Send) -> R {
    // Where there is a pool already, its threads keep the stack that they have.
    let _ = rayon::ThreadPoolBuilder::new().stack_size(STACK).build_global();
    rayon::scope(|_| work())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_on_a_thread_of_the_pool() {
        assert!(rayon::current_thread_index().is_none());
        let (index, answer) = on_worker(|| (rayon::current_thread_index(), 42));
        assert!(index.is_some() && answer == 42);
    }
}
