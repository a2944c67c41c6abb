//! Runs the built command, and folders for its files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

/// What a command left.
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Standard output as JSON, after success.
    pub fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// The last line of standard error as JSON, after a failure.
    pub fn error(&self) -> Value {
        assert_ne!(self.code, 0, "{}", self.stdout);
        let line = self.stderr.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {}", self.stderr))
    }
}

/// The command, ready for more arguments.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_einthoven"));
    command.env_remove("RAYON_NUM_THREADS");
    command
}

/// Runs the command with these arguments.
pub fn einthoven<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Done {
    done(command().args(arguments).output().expect("the command starts"))
}

/// What a finished process left.
pub fn done(output: Output) -> Done {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the command prints UTF-8");
    // A process ended by a signal has no code; none of ours may end that way.
    Done { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// A folder that is removed at the end of the test.
pub struct TempFolder(PathBuf);

impl TempFolder {
    pub fn new(name: &str) -> TempFolder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("einthoven-cli-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary folder");
        TempFolder(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Path of a file in it.
    pub fn at(&self, name: &str) -> String {
        text(&self.0.join(name)).to_string()
    }
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The folder of MIT-BIH; a missing one skips the test, but fails it when `EINTHOVEN_REQUIRE_DATA` is 1.
pub fn mitdb() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("EINTHOVEN_DATA").map_or(root, PathBuf::from).join("mitdb");
    if folder.is_dir() {
        return Some(folder);
    }
    let is_required = std::env::var("EINTHOVEN_REQUIRE_DATA").is_ok_and(|value| value == "1");
    assert!(!is_required, "{} is missing", folder.display());
    println!("skipped: {} is missing", folder.display());
    None
}

/// Every file below a folder with its bytes, by relative path.
pub fn files_below(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    fn walk(root: &Path, folder: &Path, out: &mut Vec<(PathBuf, Vec<u8>)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                walk(root, &path, out);
            } else {
                let name = path.strip_prefix(root).expect("below the root").to_path_buf();
                out.push((name, std::fs::read(&path).expect("a readable file")));
            }
        }
    }
    let mut out = Vec::new();
    walk(folder, folder, &mut out);
    out.sort();
    out
}
