//! The reader's notebook: builds errors, and decides whether a deviation stops or is noted.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use crate::error::{Error, InputError, Position, Result};
use crate::record::{ReadOptions, Warning};

/// Collects warnings while one record is read.
pub(crate) struct Notes<'a> {
    /// Options of the whole read.
    pub options: &'a ReadOptions,
    /// Deviations accepted so far.
    pub warnings: Vec<Warning>,
}

impl<'a> Notes<'a> {
    /// An empty notebook.
    pub fn new(options: &'a ReadOptions) -> Notes<'a> {
        Notes { options, warnings: Vec::new() }
    }

    /// Notes a deviation that is always accepted.
    pub fn warn(&mut self, code: &'static str, path: &Path, position: Position, message: impl Into<String>) {
        // A hostile file must not grow the list without end.
        if self.warnings.len() < 1000 {
            self.warnings.push(Warning { code, path: path.to_path_buf(), position, message: message.into() });
        }
    }

    /// Stops at a deviation when strict about its rule; otherwise notes it and the repair.
    pub fn deviation(&mut self, error: InputError, repair: &str) -> Result<()> {
        if self.options.is_strict_about(error.code) {
            return Err(error.into());
        }
        let message = format!("{}: found {}, expected {}; {repair}", error.field, error.found, error.expected);
        self.warn(error.code, &error.path, error.position, message);
        Ok(())
    }
}

/// An input error without a hint.
pub(crate) fn input(
    code: &'static str,
    path: &Path,
    position: Position,
    field: impl Into<String>,
    found: impl Into<String>,
    expected: impl Into<String>,
) -> InputError {
    InputError {
        code,
        path: path.to_path_buf(),
        position,
        field: field.into(),
        found: found.into(),
        expected: expected.into(),
        hint: String::new(),
    }
}

/// Text of a file as it can stand in a one-line message: quoted, escaped, at most 60 characters.
pub(crate) fn quoted(text: &str) -> String {
    let shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() { format!("\"{shown}...\"") } else { format!("\"{shown}\"") }
}

/// Reads a regular file whole, at most `cap` bytes of it.
///
/// # Errors
/// [`Error::Io`] when it cannot be read; rule D10 when it changes size meanwhile; `too_large`
/// when it is larger than the cap.
pub(crate) fn read_file(path: &Path, cap: u64, too_large: &'static str) -> Result<Vec<u8>> {
    let metadata = fs::metadata(path).map_err(|source| Error::io(path, source))?;
    if !metadata.is_file() {
        return Err(input("W25", path, Position::File, "file", file_kind(&metadata), "a regular file").into());
    }
    if metadata.len() > cap {
        let found = format!("{} bytes", metadata.len());
        return Err(input(too_large, path, Position::File, "file size", found, format!("at most {cap} bytes")).into());
    }
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    read_exactly(path, file, metadata.len())
}

/// Reads `len` bytes and checks that there are no more (rule D10).
pub(crate) fn read_exactly(path: &Path, mut source: impl Read, len: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(len).unwrap_or(0));
    source.by_ref().take(len).read_to_end(&mut bytes).map_err(|error| Error::io(path, error))?;
    let surplus = source.read(&mut [0]).map_err(|error| Error::io(path, error))?;
    if bytes.len() as u64 != len || surplus != 0 {
        let found = if surplus == 0 { format!("{} bytes", bytes.len()) } else { format!("more than {len} bytes") };
        let mut error =
            input("D10", path, Position::File, "file size", found, format!("{len} bytes as when it was opened"));
        error.hint = "the file changed while it was read; try again when it is complete".into();
        return Err(error.into());
    }
    Ok(bytes)
}

/// What a path is, in words.
pub(crate) fn file_kind(metadata: &fs::Metadata) -> &'static str {
    if metadata.is_dir() {
        "a directory"
    } else if metadata.is_symlink() {
        "a symbolic link"
    } else {
        "a device, pipe or socket"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d10_a_file_that_changes_size_while_read_is_an_error() {
        let path = Path::new("a.dat");
        for bytes in [&b"abc"[..], b"abcde"] {
            let error = read_exactly(path, bytes, 4).unwrap_err();
            assert_eq!(error.code(), Some("D10"));
            assert!(error.to_string().contains("expected 4 bytes as when it was opened"), "{error}");
        }
        assert_eq!(read_exactly(path, &b"abcd"[..], 4).unwrap(), b"abcd");
    }
}
