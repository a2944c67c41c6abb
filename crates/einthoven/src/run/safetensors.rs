//! Named tensors as bytes: the safetensors format, written plainly and read strictly.
//!
//! Eight bytes with the header's length, a JSON header that says type, shape and place of each
//! tensor, then the values in little endian. Our reader checks more than the format asks for: every
//! byte belongs to exactly one tensor, no key occurs twice, no number overflows, nothing follows.
//! Pickles and archives are recognised by their first bytes and refused; there is no way to run one.
//!
//! # Reference
//! The format is described at <https://github.com/huggingface/safetensors>.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::half::{f16_from_f32, f32_from_f16};
use crate::error::{Error, InputError, Position, Result};

/// Tensors by name: shape, and values in row-major order.
pub type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// A header longer than this is refused, as in the format's own reader.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// How values are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoredType {
    /// 32-bit floating point, exact.
    #[default]
    F32,
    /// 16-bit floating point: half the size, three significant digits.
    F16,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TensorFile {
    /// Tensors by name; 16-bit values are widened.
    pub tensors: Tensors,
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
}

/// Tensors as bytes, in the order of their names.
///
/// # Errors
/// [`Error::Data`] for values that are not finite or that the stored type cannot hold, naming the
/// tensor; [`Error::Shape`] if the number of values is not the product of the shape.
pub fn to_bytes(tensors: &Tensors, metadata: &BTreeMap<String, String>, stored: StoredType) -> Result<Vec<u8>> {
    check_finite(tensors)?;
    let (dtype, width) = match stored {
        StoredType::F32 => ("F32", 4),
        StoredType::F16 => ("F16", 2),
    };
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), serde_json::json!(metadata));
    }
    let mut begin = 0;
    for (name, (shape, values)) in tensors {
        if shape.iter().product::<usize>() != values.len() {
            return Err(Error::Shape { what: name.clone(), expected: shape.clone(), actual: vec![values.len()] });
        }
        let end = begin + width * values.len();
        header.insert(name.clone(), serde_json::json!({"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}));
        begin = end;
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    // Padding with blanks lets the values start at a multiple of eight bytes.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut bytes = Vec::with_capacity(8 + header.len() + begin);
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&header);
    for (name, (_, values)) in tensors {
        for value in values {
            match stored {
                StoredType::F32 => bytes.extend_from_slice(&value.to_le_bytes()),
                StoredType::F16 => {
                    let half = f16_from_f32(*value);
                    if !f32_from_f16(half).is_finite() {
                        return Err(Error::data(name, format!("found {value}, expected at most 65504 in 16 bits")));
                    }
                    bytes.extend_from_slice(&half.to_le_bytes());
                }
            }
        }
    }
    Ok(bytes)
}

/// Reads a file of tensors.
///
/// # Errors
/// [`Error::Io`]; otherwise as [`from_bytes`].
pub fn read(path: &Path) -> Result<TensorFile> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    from_bytes(&bytes, path)
}

/// Reads tensors from bytes; `path` is for messages only. Values may be NaN: see [`check_finite`].
///
/// # Errors
/// [`Error::Input`] `M01` for pickles and archives, `M02` for a broken file, naming the tensor;
/// [`Error::Unsupported`] for types other than F32, F16, BF16, F64, I32 and I64.
pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<TensorFile> {
    refuse_programs(bytes, path)?;
    let broken = |position, field: &str, found: String, expected: String| -> Error {
        let hint = "copy or download the file again".to_owned();
        InputError { code: "M02", path: path.to_owned(), position, field: field.to_owned(), found, expected, hint }
            .into()
    };
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(broken(Position::Byte(0), "header length", format!("{} bytes", bytes.len()), "at least 8".into()));
    };
    let header_len = u64::from_le_bytes(*length);
    let available = (rest.len() as u64).min(MAX_HEADER_BYTES);
    if header_len > available {
        return Err(broken(Position::Byte(0), "header length", header_len.to_string(), format!("at most {available}")));
    }
    let (header, data) = rest.split_at(header_len as usize);
    let header: Header = serde_json::from_slice(header).map_err(|error| {
        let position = if error.line() == 1 { Position::Byte(7 + error.column() as u64) } else { Position::Byte(8) };
        broken(position, "header", error.to_string(), "a JSON object of tensors, each name once".into())
    })?;

    let mut spans = Vec::new();
    let mut file = TensorFile { metadata: header.metadata, ..TensorFile::default() };
    for (name, entry) in header.tensors {
        let width = match entry.dtype.as_str() {
            "F16" | "BF16" => 2,
            "F32" | "I32" => 4,
            "F64" | "I64" => 8,
            other => {
                let what = format!("{}: {name}: type {other} (F32, F16, BF16, F64, I32 and I64 are)", path.display());
                return Err(Error::Unsupported { what });
            }
        };
        let [begin, end] = entry.data_offsets;
        let at = Position::Byte(8 + header_len);
        let n_bytes = entry.shape.iter().try_fold(width, |product: usize, side| product.checked_mul(*side));
        let Some(n_bytes) = n_bytes else {
            return Err(broken(at, &name, format!("shape {:?}", entry.shape), "a size below 2^64 bytes".into()));
        };
        if begin > end || end > data.len() {
            let expected = format!("an ascending pair of at most {}", data.len());
            return Err(broken(at, &name, format!("offsets [{begin}, {end}]"), expected));
        }
        if end - begin != n_bytes {
            let expected = format!("{n_bytes} for shape {:?} of {}", entry.shape, entry.dtype);
            return Err(broken(at, &name, format!("{} bytes", end - begin), expected));
        }
        spans.push((begin, end, name.clone()));
        let values = values(&data[begin..end], &entry.dtype);
        file.tensors.insert(name, (entry.shape, values));
    }

    // Sorted by place, the tensors have to touch: no hole, no overlap, nothing behind the last.
    spans.sort();
    let mut covered = 0;
    for (begin, end, name) in &spans {
        if *begin != covered {
            let kind = if *begin > covered { "a hole" } else { "an overlap" };
            let at = Position::Byte(8 + header_len + (*begin).min(covered) as u64);
            return Err(broken(at, name, format!("{kind}: it begins at {begin}"), format!("it begins at {covered}")));
        }
        covered = *end;
    }
    if covered < data.len() {
        let found = format!("{} bytes after the last tensor", data.len() - covered);
        return Err(broken(Position::Byte(8 + header_len + covered as u64), "end of file", found, "none".into()));
    }
    Ok(file)
}

/// Reads the weights of a network whose tensors are known by name and shape.
///
/// # Errors
/// As [`read`]; [`Error::Input`] `M03` listing every tensor that is missing, unexpected, of another
/// shape, or holds values that are not finite.
pub fn read_weights(path: &Path, expected: &BTreeMap<String, Vec<usize>>) -> Result<TensorFile> {
    let file = read(path)?;
    let findings = [
        (wrong_shapes(&file.tensors, expected), "the tensors of the network, each of its shape"),
        (bad_values(&file.tensors), "finite values"),
    ];
    for (found, expected) in findings {
        if let Some(found) = found {
            return Err(InputError {
                code: "M03",
                path: path.to_owned(),
                position: Position::File,
                field: "tensors".into(),
                found,
                expected: expected.into(),
                hint: "choose the weights that belong to this configuration".into(),
            }
            .into());
        }
    }
    Ok(file)
}

/// Refuses tensors with NaN or infinite values.
///
/// # Errors
/// [`Error::Data`] naming each such tensor and how many values are bad.
pub fn check_finite(tensors: &Tensors) -> Result<()> {
    bad_values(tensors)
        .map_or(Ok(()), |found| Err(Error::data("weights", format!("found {found}, expected finite values [M03]"))))
}

/// Compares names and shapes with what a network needs.
///
/// # Errors
/// [`Error::Data`] listing every tensor that is missing, unexpected or of another shape.
pub fn check_shapes(tensors: &Tensors, expected: &BTreeMap<String, Vec<usize>>) -> Result<()> {
    wrong_shapes(tensors, expected).map_or(Ok(()), |found| Err(Error::data("weights", format!("{found} [M03]"))))
}

fn bad_values(tensors: &Tensors) -> Option<String> {
    let bad: Vec<String> = tensors
        .iter()
        .map(|(name, (_, values))| (name, values.iter().filter(|value| !value.is_finite()).count()))
        .filter(|(_, n_bad)| *n_bad > 0)
        .map(|(name, n_bad)| format!("{name} ({n_bad})"))
        .collect();
    (!bad.is_empty()).then(|| format!("NaN or infinite values in {}", bad.join(", ")))
}

fn wrong_shapes(tensors: &Tensors, expected: &BTreeMap<String, Vec<usize>>) -> Option<String> {
    let mut wrong = Vec::new();
    for (name, shape) in expected {
        match tensors.get(name) {
            None => wrong.push(format!("{name} missing")),
            Some((found, _)) if found != shape => wrong.push(format!("{name} of shape {found:?} instead of {shape:?}")),
            Some(_) => {}
        }
    }
    wrong.extend(tensors.keys().filter(|name| !expected.contains_key(*name)).map(|name| format!("{name} unexpected")));
    (!wrong.is_empty()).then(|| wrong.join("; "))
}

/// Formats whose loaders run programs from the file, by their first bytes.
fn refuse_programs(bytes: &[u8], path: &Path) -> Result<()> {
    // A true header begins with a brace at byte 8, whatever its length happens to look like.
    if bytes.get(8) == Some(&b'{') {
        return Ok(());
    }
    let found = match bytes {
        [b'P', b'K', 3 | 5, ..] => "a zip archive (a .pt file is one)",
        [0x80, 0..=5, ..] => "a pickle",
        [0x1f, 0x8b, ..] | [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] | [b'B', b'Z', b'h', ..] | [0xfd, b'7', b'z', ..] => {
            "a compressed file (joblib writes such)"
        }
        [0x89, b'H', b'D', b'F', ..] => "an HDF5 file",
        _ => return Ok(()),
    };
    let hint = "pickles run programs when loaded and are never opened; convert the weights where they came from";
    Err(InputError {
        code: "M01",
        path: path.to_owned(),
        position: Position::Byte(0),
        field: "format".into(),
        found: found.into(),
        expected: "safetensors".into(),
        hint: hint.into(),
    }
    .into())
}

/// Values of a span whose length is a multiple of the type's width.
pub(super) fn values(bytes: &[u8], dtype: &str) -> Vec<f32> {
    let word = |pair: &[u8; 2]| u16::from_le_bytes(*pair);
    match dtype {
        "F16" => bytes.as_chunks().0.iter().map(|pair| f32_from_f16(word(pair))).collect(),
        "BF16" => bytes.as_chunks().0.iter().map(|pair| f32::from_bits(u32::from(word(pair)) << 16)).collect(),
        "F64" => bytes.as_chunks().0.iter().map(|eight| f64::from_le_bytes(*eight) as f32).collect(),
        // Counters of normalizations and sizes, which published state dicts hold beside their weights.
        "I64" => bytes.as_chunks().0.iter().map(|eight| i64::from_le_bytes(*eight) as f32).collect(),
        "I32" => bytes.as_chunks().0.iter().map(|four| i32::from_le_bytes(*four) as f32).collect(),
        _ => bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [usize; 2],
}

/// The header, read key by key because a map would silently keep the last of two equal keys.
struct Header {
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Header, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
                let mut tensors = BTreeMap::new();
                let mut metadata = None;
                while let Some(name) = map.next_key::<String>()? {
                    let is_new = if name == "__metadata__" {
                        metadata.replace(map.next_value()?).is_none()
                    } else {
                        tensors.insert(name.clone(), map.next_value()?).is_none()
                    };
                    if !is_new {
                        return Err(serde::de::Error::custom(format_args!("duplicate key \"{name}\"")));
                    }
                }
                Ok(Header { tensors, metadata: metadata.unwrap_or_default() })
            }
        }
        deserializer.deserialize_map(Keys)
    }
}
