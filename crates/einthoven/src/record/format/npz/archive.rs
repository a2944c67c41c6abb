//! The archive around NPY arrays, shared by records and data sets.
//!
//! Entries carry no clock, so that equal content gives equal bytes. A declared size is compared with
//! a limit before it is believed, and names that leave the archive are refused (rule X02).

use std::collections::BTreeMap;
use std::io::{Read, Seek, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

use super::npy::{self, Array, Values};
use crate::error::{Error, InputError, Position, Result};

/// Memory that a file may ask for: this plus eight times its own size.
const FLOOR_BYTES: u64 = 32 << 20;
const BYTES_PER_BYTE: u64 = 8;
/// Rule of the input contract for arrays.
pub(crate) const CODE: &str = "X02";
/// Values encoded at a time while writing.
pub(crate) const BLOCK: usize = 1 << 16;

/// Bytes that an archive of that length may expand to.
pub(crate) fn limit_bytes(length: u64) -> u64 {
    FLOOR_BYTES.saturating_add(length.saturating_mul(BYTES_PER_BYTE))
}

/// Writes an array. Text and what is small is compressed; many numbers are stored, since deflate takes a
/// hundred times as long as the copy, and a flat lead would shrink to what looks like a bomb.
pub(crate) fn write_entry<W: Write + Seek>(
    archive: &mut ZipWriter<W>,
    name: &str,
    shape: &[usize],
    values: &Values,
) -> std::io::Result<()> {
    let is_plain = values.len() > BLOCK && !matches!(values, Values::Text(_));
    let method = if is_plain { CompressionMethod::Stored } else { CompressionMethod::Deflated };
    // Sizes from 4 GiB on need the 64-bit form of the archive; no value is wider than eight bytes.
    let is_large = values.len() as u64 * 8 >= u64::from(u32::MAX) - 4096;
    archive.start_file(format!("{name}.npy"), options(method, is_large))?;
    archive.write_all(&npy::header(shape, values))?;
    let mut block = Vec::new();
    for start in (0..values.len()).step_by(BLOCK) {
        block.clear();
        npy::encode(values, start..values.len().min(start + BLOCK), &mut block);
        archive.write_all(&block)?;
    }
    Ok(())
}

/// Entry options without a clock, so that equal data sets give equal files.
pub(crate) fn options(method: CompressionMethod, is_large: bool) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(method)
        .last_modified_time(zip::DateTime::default())
        .unix_permissions(0o644)
        .large_file(is_large)
}

/// Every array of an archive, by name.
///
/// # Errors
/// Rule X02.
pub(crate) fn read_arrays<R: Read + Seek>(reader: R, path: &Path, limit: u64) -> Result<BTreeMap<String, Array>> {
    let fault = |position: Position, field: String, found: String, expected: String, hint: &str| -> Error {
        InputError { code: CODE, path: path.into(), position, field, found, expected, hint: hint.into() }.into()
    };
    let broken = |error: zip::result::ZipError| {
        fault(Position::File, "archive".into(), error.to_string(), "a ZIP archive of NPY arrays".into(), "")
    };
    let mut archive = ZipArchive::new(reader).map_err(broken)?;
    let mut arrays = BTreeMap::new();
    let mut total = 0u64;
    for k in 0..archive.len() {
        let mut entry = archive.by_index(k).map_err(broken)?;
        let name = entry.name().map_err(broken)?.into_owned();
        let at = Position::Byte(entry.header_start());
        let key = name.strip_suffix(".npy").unwrap_or_default().to_string();
        if key.is_empty() || key.contains(['/', '\\', ':']) || key.contains("..") {
            return Err(fault(at, "entry name".into(), format!("\"{name}\""), "NAME.npy without a folder".into(), ""));
        }
        // The declared size is checked before it is believed, and the entry is read to that size at most.
        let declared = entry.size();
        total = total.saturating_add(declared);
        if total > limit {
            return Err(fault(
                at,
                format!("{name}: size"),
                format!("{total} bytes in all"),
                format!("at most {limit} (32 MiB plus 8 times the file)"),
                "the archive expands like a bomb; store it without compression if it is genuine",
            ));
        }
        let mut bytes = Vec::new();
        let read = entry.by_ref().take(declared.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| {
            fault(at, format!("{name}: data"), error.to_string(), "readable data with its checksum".into(), "")
        })?;
        if bytes.len() as u64 != declared {
            return Err(fault(
                at,
                format!("{name}: size"),
                format!("at least {} bytes", bytes.len()),
                format!("the declared {declared}"),
                "",
            ));
        }
        let array = npy::decode(&bytes).map_err(|f| {
            fault(at, format!("{name}: {}", f.field), format!("{} at byte {}", f.found, f.at), f.expected, "")
        })?;
        if arrays.insert(key, array).is_some() {
            return Err(fault(at, "entry name".into(), format!("\"{name}\" twice"), "each key once".into(), ""));
        }
    }
    Ok(arrays)
}
