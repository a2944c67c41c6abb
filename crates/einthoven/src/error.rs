//! The one error type of the library.
//!
//! Each variant answers what the caller can do about it; each message names the thing first and
//! carries both what was found and what was expected. Bad input is an [`Error`], never a panic.

use std::fmt;
use std::path::{Path, PathBuf};

/// Result with the library's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong, by what the caller can do about it.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written (exit code 4).
    Io {
        /// The path that was tried.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file's content breaks its format (exit code 3).
    Input(Box<InputError>),
    /// An array has another shape than the call needs (exit code 3).
    Shape {
        /// Name of the array.
        what: String,
        /// Shape that the call needs.
        expected: Vec<usize>,
        /// Shape that it got.
        actual: Vec<usize>,
    },
    /// A configuration key has a value outside its range, or does not exist (exit code 2).
    Config {
        /// Dotted key, such as `teacher.width`.
        key: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// A name is not in the list that it should come from (exit code 2).
    Unknown {
        /// Singular name of the list, such as `sampler`.
        kind: &'static str,
        /// The name asked for.
        name: String,
        /// Names in the list.
        known: Vec<String>,
    },
    /// A valid request that this build or this file format cannot serve (exit code 2).
    Unsupported {
        /// What was asked for.
        what: String,
    },
    /// A record or data set is well formed but unusable for the request (exit code 3).
    Data {
        /// Record, or data set, by name.
        record: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A guard refused: leakage, licence, overwrite, lock (exit code 5).
    Guard {
        /// Stable rule code, such as `L2`.
        code: &'static str,
        /// What was refused and what to do.
        reason: String,
    },
    /// A requested limit of time or memory was reached (exit code 6).
    Limit {
        /// Which limit, what was reached, and how to go on.
        reason: String,
    },
    /// Training stopped on a loss that is not finite (exit code 7).
    Diverged {
        /// Optimiser step at which it stopped.
        step: u64,
        /// The last loss.
        loss: f64,
    },
    /// Stopped by a signal after a checkpoint (exit code 128 + signal).
    Interrupted {
        /// Signal number: 2 for SIGINT, 15 for SIGTERM.
        signal: i32,
        /// How to resume.
        hint: String,
    },
}

/// A broken rule of a file format: one line that names file, place, finding, expectation and remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputError {
    /// Stable code of the rule, such as `W08`.
    pub code: &'static str,
    /// File in which it was found.
    pub path: PathBuf,
    /// Where in the file.
    pub position: Position,
    /// Field by its name in the format's documentation.
    pub field: String,
    /// What the file holds.
    pub found: String,
    /// What the format or the rest of the file calls for.
    pub expected: String,
    /// What the user can do; empty when we know nothing better.
    pub hint: String,
}

/// A place in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// The file as a whole.
    File,
    /// Line, counted from 1.
    Line(usize),
    /// Line and column, both counted from 1.
    LineColumn(usize, usize),
    /// Byte offset, counted from 0.
    Byte(u64),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::File => Ok(()),
            Position::Line(line) => write!(f, ":{line}"),
            Position::LineColumn(line, column) => write!(f, ":{line}:{column}"),
            Position::Byte(offset) => write!(f, ":@{offset}"),
        }
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}: {}: found {}, expected {} [{}]",
            self.path.display(),
            self.position,
            self.field,
            self.found,
            self.expected,
            self.code
        )?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, ". {}", self.hint) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Error::Input(error) => error.fmt(f),
            Error::Shape { what, expected, actual } => {
                write!(f, "{what}: found shape {actual:?}, expected {expected:?}")
            }
            Error::Config { key, reason } => write!(f, "{key}: {reason}"),
            Error::Unknown { kind, name, known } => {
                write!(f, "unknown {kind} \"{name}\"")?;
                if let Some(near) = nearest(name, known) {
                    write!(f, ", did you mean \"{near}\"?")?;
                }
                write!(f, " (known: {})", known.join(", "))
            }
            Error::Unsupported { what } => write!(f, "{what} is not supported"),
            Error::Data { record, reason } => write!(f, "{record}: {reason}"),
            Error::Guard { code, reason } => write!(f, "refused [{code}]: {reason}"),
            Error::Limit { reason } => write!(f, "limit reached: {reason}"),
            Error::Diverged { step, loss } => {
                write!(f, "training diverged at step {step}: the loss is {loss}; lower the learning rate")
            }
            Error::Interrupted { signal, hint } => write!(f, "stopped by signal {signal}; {hint}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error {
    /// Wraps a system error with the path that it is about.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Error {
        Error::Io { path: path.as_ref().to_path_buf(), source }
    }

    /// Names a configuration key and what is wrong with its value.
    pub fn config(key: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Config { key: key.into(), reason: reason.into() }
    }

    /// The same error with another name for the configuration key; other errors stay as they are.
    ///
    /// A callee names its own parameter; who passed it on knows what the user called it.
    pub fn renamed(self, key: impl Into<String>) -> Error {
        match self {
            Error::Config { reason, .. } => Error::config(key, reason),
            other => other,
        }
    }

    /// Names a record or data set and what is wrong with it.
    pub fn data(record: impl Into<String>, reason: impl Into<String>) -> Error {
        Error::Data { record: record.into(), reason: reason.into() }
    }

    /// Exit code of the command for this error.
    pub fn exit_code(&self) -> u8 {
        match self {
            Error::Config { .. } | Error::Unknown { .. } | Error::Unsupported { .. } => 2,
            Error::Input(_) | Error::Shape { .. } | Error::Data { .. } => 3,
            Error::Io { .. } => 4,
            Error::Guard { .. } => 5,
            Error::Limit { .. } => 6,
            Error::Diverged { .. } => 7,
            Error::Interrupted { signal, .. } => 128u8.saturating_add(*signal as u8),
        }
    }

    /// Stable code of the broken rule, where there is one.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Error::Input(error) => Some(error.code),
            Error::Guard { code, .. } => Some(code),
            _ => None,
        }
    }
}

impl From<InputError> for Error {
    fn from(error: InputError) -> Error {
        Error::Input(Box::new(error))
    }
}

/// The known name closest to `name`, when it is close enough to be a slip of the keyboard. Case does not count.
pub(crate) fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (edit_distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate.as_str()))
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().div_ceil(2))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in characters.
fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_name_suggests_the_nearest() {
        let error = Error::Unknown {
            kind: "sampler",
            name: "dimm".into(),
            known: vec!["ddpm".into(), "ddim".into(), "dpm-solver++".into()],
        };
        assert_eq!(
            error.to_string(),
            "unknown sampler \"dimm\", did you mean \"ddim\"? (known: ddpm, ddim, dpm-solver++)"
        );
    }

    #[test]
    fn case_alone_is_no_distance() {
        let known = ["AVR", "AVL", "af"].map(String::from);
        assert_eq!((nearest("aVR", &known), nearest("AF", &known)), (Some("AVR"), Some("af")));
    }

    #[test]
    fn input_error_is_one_line_with_both_sides() {
        let error = InputError {
            code: "W08",
            path: "a.hea".into(),
            position: Position::Line(1),
            field: "number of samples".into(),
            found: "1000000000000".into(),
            expected: "at most 650000, which is what a.dat holds".into(),
            hint: "correct the header".into(),
        };
        let line = error.to_string();
        assert!(line.starts_with("a.hea:1: number of samples: found 1000000000000, expected"), "{line}");
        assert!(!line.contains('\n'));
        assert_eq!(Error::from(error).exit_code(), 3);
    }
}
