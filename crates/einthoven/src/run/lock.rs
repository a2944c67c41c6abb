//! One run folder, one process.
//!
//! The file `lock` is held with the system's advisory lock, which dies with its owner. Where a
//! file system has no such locks, the owner written into the file decides: process number, time at
//! which that process started, and boot identifier. An owner that no longer runs left a stale
//! lock, which is taken over.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Name of the lock file in a run folder.
pub const LOCK_FILE: &str = "lock";

/// A run folder held by this process; dropping it sets the folder free.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    path: PathBuf,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockOwner {
    /// Process number.
    pub pid: u32,
    /// Start of that process in the system's clock ticks since boot, where it can be known.
    pub started: Option<u64>,
    /// Identifier of the system's boot, where it can be known.
    pub boot_id: Option<String>,
}

impl RunLock {
    /// Takes the lock of a run folder.
    ///
    /// # Errors
    /// [`Error::Guard`] `M06` if another process holds it; [`Error::Io`].
    pub fn acquire(dir: &Path) -> Result<RunLock> {
        let path = dir.join(LOCK_FILE);
        let io = |source| Error::io(&path, source);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        let is_exclusive = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Err(in_use(dir, owner_in(&mut file).as_ref())),
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => false,
            Err(TryLockError::Error(error)) => return Err(io(error)),
        };
        let owner = owner_in(&mut file);
        // A lock that the system granted proves that nobody on this machine holds the folder.
        if let Some(owner) = owner.filter(|owner| !is_exclusive && owner.is_alive()) {
            return Err(in_use(dir, Some(&owner)));
        }
        let text = serde_json::to_string(&LockOwner::current()).map_err(|error| io(error.into()))?;
        file.set_len(0).map_err(io)?;
        file.rewind().map_err(io)?;
        file.write_all(text.as_bytes()).map_err(io)?;
        Ok(RunLock { file, path })
    }

    /// The lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // The file stays: removing it would let two later processes lock two different files. If
        // emptying fails, the owner in it is recognised as gone.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

impl LockOwner {
    /// This process.
    pub fn current() -> LockOwner {
        let pid = std::process::id();
        LockOwner { pid, started: process_start(pid), boot_id: boot_id() }
    }

    /// Whether the process still runs: same boot, alive, and not a later process of the same number.
    pub fn is_alive(&self) -> bool {
        if self.boot_id.is_some() && boot_id().is_some() && self.boot_id != boot_id() {
            return false;
        }
        if !process_exists(self.pid) {
            return false;
        }
        match (self.started, process_start(self.pid)) {
            (Some(then), Some(now)) => then == now,
            _ => true,
        }
    }
}

fn in_use(dir: &Path, owner: Option<&LockOwner>) -> Error {
    let who = owner.map_or_else(|| "another process".to_owned(), |owner| format!("process {}", owner.pid));
    Error::Guard {
        code: "M06",
        reason: format!("{} is in use by {who}; wait for it, or choose another folder", dir.display()),
    }
}

fn owner_in(file: &mut File) -> Option<LockOwner> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

/// Identifier of the current boot (Linux); other systems rely on the advisory lock.
fn boot_id() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|text| text.trim().to_owned())
}

/// Field 22 of /proc/PID/stat; the second field may hold spaces and ends at the last parenthesis.
fn process_start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(unix)]
fn process_exists(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    // A process of another user answers "not permitted", which proves that it exists.
    !matches!(rustix::process::test_kill_process(pid), Err(rustix::io::Errno::SRCH))
}

#[cfg(not(unix))]
fn process_exists(_pid: u32) -> bool {
    // Windows grants or refuses the lock itself, so that this is reached only without such locks;
    // refusing is then the safe answer.
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_variants_of_it_are_not() {
        let this = LockOwner::current();
        assert!(this.is_alive());
        if cfg!(target_os = "linux") {
            assert!(!LockOwner { boot_id: Some("another boot".into()), ..this.clone() }.is_alive());
            assert!(!LockOwner { started: Some(1), ..this.clone() }.is_alive());
            // Linux process numbers end at 2^22.
            assert!(!LockOwner { pid: 1 << 30, ..this }.is_alive());
        }
    }
}
