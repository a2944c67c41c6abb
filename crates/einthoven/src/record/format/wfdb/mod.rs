//! WFDB, the format of PhysioNet.

use std::path::Path;

use crate::error::{Error, Result};
use crate::record::{ReadOptions, Record, Warning, WriteOptions};

/// Reads a WFDB record.
pub fn read(path: &Path, _options: &ReadOptions) -> Result<Record> {
    Err(Error::Unsupported { what: format!("reading {}", path.display()) })
}

/// Writes a WFDB record.
pub fn write(_record: &Record, path: &Path, _options: &WriteOptions) -> Result<Vec<Warning>> {
    Err(Error::Unsupported { what: format!("writing {}", path.display()) })
}
