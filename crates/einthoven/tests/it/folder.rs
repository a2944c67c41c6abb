//! Folders for tests: the shared data where they are, and temporary ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder of `shared/data`, or of the folder named by `EINTHOVEN_DATA`.
pub fn data_folder(name: &str) -> Option<PathBuf> {
    existing("EINTHOVEN_DATA", "data", name)
}

/// The parity fixtures, or the folder named by `EINTHOVEN_PARITY`.
pub fn parity_folder() -> Option<PathBuf> {
    existing("EINTHOVEN_PARITY", "fixtures/parity", "")
}

/// A missing folder skips the test, but fails it when `EINTHOVEN_REQUIRE_DATA` is 1.
fn existing(variable: &str, default: &str, name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared").join(default);
    let folder = std::env::var_os(variable).map_or(root, PathBuf::from).join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    let is_required = std::env::var("EINTHOVEN_REQUIRE_DATA").is_ok_and(|value| value == "1");
    assert!(!is_required, "{} is missing", folder.display());
    println!("skipped: {} is missing", folder.display());
    None
}

/// A folder that is removed at the end of the test.
pub struct TempFolder(PathBuf);

impl TempFolder {
    /// An empty folder.
    pub fn new(name: &str) -> TempFolder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("einthoven-{name}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        TempFolder(path)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file into it and returns its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
