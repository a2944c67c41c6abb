//! How bytes reach the disk: whole or not at all.
//!
//! Everything that a run must be able to trust after a crash goes through [`write_atomic`]: a
//! temporary file in the same folder, fsync of the file, rename, fsync of the folder. The calls
//! that can fail are methods of [`Storage`], so that tests can let the N-th one fail.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// Start of the name of every temporary file and folder; whatever bears it may be removed.
pub const TEMPORARY_PREFIX: &str = ".tmp-";

/// The file system calls that writing needs. Every method has the real call as its default.
pub trait Storage: Send + Sync {
    /// Creates a file for writing, empty.
    fn create(&self, path: &Path) -> io::Result<File> {
        File::create(path)
    }

    /// Opens a file for appending, creating it where it is missing.
    fn append(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).open(path)
    }

    /// Writes all bytes.
    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// Waits until the file's content is on the disk.
    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    /// Renames a file or folder; an existing file at `to` is replaced.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// Waits until the folder's entries are on the disk.
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // Windows has no such call; its rename is journalled.
        if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
    }

    /// Creates a folder and its parents.
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    /// Removes a file, or a folder with all it holds.
    fn remove(&self, path: &Path) -> io::Result<()> {
        if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
    }

    /// Bytes that an ordinary user may still write in this folder; `None` where it cannot be known.
    fn free_bytes(&self, dir: &Path) -> Option<u64> {
        free_bytes(dir)
    }
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Storage for Disk {}

#[cfg(unix)]
fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_dir: &Path) -> Option<u64> {
    None
}

/// Writes a file whole or not at all: after a crash `path` holds the old bytes or the new ones.
///
/// # Errors
/// [`Error::Io`]; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomic_on(&Disk, path, bytes)
}

/// As [`write_atomic`], on a given storage.
///
/// # Errors
/// [`Error::Io`]; the old file is then untouched.
pub fn write_atomic_on(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> Result<()> {
    let (Some(dir), Some(name)) = (parent(path), path.file_name()) else {
        return Err(Error::io(path, io::Error::new(io::ErrorKind::InvalidInput, "the path names no file")));
    };
    let temporary = temporary_beside(dir, name);
    let write = || -> io::Result<()> {
        write_synced(storage, &temporary, bytes)?;
        storage.rename(&temporary, path)?;
        storage.sync_dir(dir)
    };
    write().map_err(|source| {
        // The error at hand says more than one about the leftover, which the next start removes.
        let _ = storage.remove(&temporary);
        Error::io(path, source)
    })
}

/// Writes a new file and waits until it is on the disk; not atomic by itself.
pub(crate) fn write_synced(storage: &dyn Storage, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = storage.create(path)?;
    storage.write(&mut file, bytes)?;
    storage.sync(&file)
}

/// Name for a temporary file beside `dir/name`, different for each process.
pub(crate) fn temporary_beside(dir: &Path, name: &OsStr) -> PathBuf {
    let mut temporary = std::ffi::OsString::from(TEMPORARY_PREFIX);
    temporary.push(name);
    temporary.push(format!("-{}", std::process::id()));
    dir.join(temporary)
}

/// Removes what an earlier process left unfinished in this folder and its sub-folders.
///
/// Call it only while the folder's lock is held. Symbolic links are not followed.
///
/// # Errors
/// [`Error::Io`] for what cannot be listed or removed.
pub fn clean_temporaries(storage: &dyn Storage, dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(|source| Error::io(dir, source))? {
        let entry = entry.map_err(|source| Error::io(dir, source))?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY_PREFIX) {
            storage.remove(&path).map_err(|source| Error::io(&path, source))?;
        } else if entry.file_type().map_err(|source| Error::io(&path, source))?.is_dir() {
            clean_temporaries(storage, &path)?;
        }
    }
    Ok(())
}

/// Refuses to start writing `n_bytes` unless 2.2 times as many are free, which leaves room for the
/// checkpoint that is being replaced.
///
/// # Errors
/// [`Error::Io`] of kind `StorageFull` (exit code 4).
pub fn require_space(storage: &dyn Storage, dir: &Path, n_bytes: u64) -> Result<()> {
    let needed = n_bytes.saturating_mul(11) / 5;
    match storage.free_bytes(dir) {
        Some(free) if free < needed => Err(Error::io(
            dir,
            io::Error::new(
                io::ErrorKind::StorageFull,
                format!("found {free} free bytes, expected at least {needed} (2.2 times what is to be written)"),
            ),
        )),
        _ => Ok(()),
    }
}

/// The folder of a file; `.` for a bare name.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir })
}
