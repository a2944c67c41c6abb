//! Weights as `torch.save` has written them since version 1.6, read without running anything.
//!
//! Such a file (`.pt`, `.pth`, `.ckpt`) is a zip archive of storages, and of a pickle that says which
//! tensor is which view of which storage. A pickle is a program. This one goes through a machine that
//! makes tensors and plain values and can do nothing else: every other name is refused
//! (rule M01), and there is no option to allow it. Sizes are compared with what the archive holds
//! before anything is allocated from them. Left out: the layout before 1.6, whole modules, quantized
//! and sparse tensors, storages in big endian.
//!
//! # Reference
//! The layout is described at <https://docs.pytorch.org/docs/stable/notes/serialization.html>, the
//! operations in Python's `pickletools`.

mod archive;
mod object;
mod pickle;
mod tree;
mod view;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use self::archive::Archive;
use self::tree::Leaf;
use self::view::Layout;
use super::safetensors::Tensors;
use crate::error::{Error, InputError, Position, Result};

/// Memory that a file may ask for: this plus eight times its own size.
const FLOOR_BYTES: u64 = 32 << 20;
const BYTES_PER_BYTE: u64 = 8;
/// About what the machine holds after one operation: a value and a container.
const BYTES_PER_OPERATION: u64 = 64;
/// Names shown in a message.
const MAX_SHOWN: usize = 20;

/// What a checkpoint holds, or one entry of it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TorchFile {
    /// Tensors by the dotted path of their keys below the entry, places in lists counted from 0. Values
    /// of every type are rounded to 32-bit floating point; complex ones have a last axis of length 2
    /// for real and imaginary part. The path of a tensor that was saved by itself is empty.
    pub tensors: Tensors,
    /// Type of each tensor in the file, named as in safetensors: `F32`, `I64`, `BOOL`, `C64`, ...
    pub types: BTreeMap<String, &'static str>,
    /// Numbers, truth values and texts by their dotted path, such as `epoch`.
    pub values: BTreeMap<String, String>,
}

/// Reads a checkpoint, or the part of it that lies below `entry`: a key of its outermost dictionary,
/// such as `model_state_dict`, or a dotted path. Paths of the result are without it.
///
/// # Errors
/// [`Error::Io`]; otherwise as [`from_bytes`].
pub fn read(path: &Path, entry: Option<&str>) -> Result<TorchFile> {
    let file = File::open(path).map_err(|source| Error::io(path, source))?;
    from_reader(BufReader::new(file), path, entry)
}

/// As [`read`], from bytes; `path` is for messages only. Values may be NaN: see
/// [`check_finite`](super::safetensors::check_finite).
///
/// # Errors
/// [`Error::Input`] `M01` for other formats, and for pickles that call for more than tensors and plain
/// values, naming what; `M02` for a broken or overlarge file, naming entry or tensor; `M03` without
/// tensors, listing the entries; [`Error::Unsupported`] for storages that are not in little endian.
pub fn from_bytes(bytes: &[u8], path: &Path, entry: Option<&str>) -> Result<TorchFile> {
    from_reader(Cursor::new(bytes), path, entry)
}

fn from_reader<R: Read + Seek>(mut reader: R, path: &Path, entry: Option<&str>) -> Result<TorchFile> {
    let io = |source| Error::io(path, source);
    let mut head = Vec::new();
    reader.by_ref().take(16).read_to_end(&mut head).map_err(io)?;
    refuse_other_formats(&head).map_err(|fault| fault.at(path, Position::Byte(0)))?;
    let mut budget = Budget::new(reader.seek(SeekFrom::End(0)).map_err(io)?);

    let mut archive = Archive::open(reader, path)?;
    archive.check_byte_order(&mut budget)?;
    let (program, at) = archive.read("data.pkl", &mut budget)?;
    let position = Position::Byte(at);
    let tree = pickle::run(&program, budget.limit / BYTES_PER_OPERATION).map_err(|fault| fault.at(path, position))?;
    let leaves = tree.leaves(&mut budget).map_err(|fault| fault.at(path, position))?;

    let mut file = TorchFile::default();
    let mut layouts = BTreeMap::new();
    for (name, leaf) in below(&leaves, entry) {
        match leaf {
            Leaf::Plain(text) => {
                file.values.insert(name.to_owned(), text.clone());
            }
            Leaf::Tensor(view) => {
                let key = format!("data/{}", view.storage.key);
                let layout = view
                    .layout(name, archive.size(&key))
                    .and_then(|layout| budget.charge((layout.n_values as u64).saturating_mul(4)).map(|()| layout));
                let layout = layout.map_err(|fault| fault.at(path, position))?;
                file.types.insert(name.to_owned(), view.storage.class.dtype);
                let of_storage: &mut Vec<(&str, Layout)> = layouts.entry((key, view.storage.class.dtype)).or_default();
                of_storage.push((name, layout));
            }
        }
    }
    if layouts.is_empty() {
        return Err(without_tensors(&tree.keys(), &leaves, entry).at(path, position));
    }
    // One storage at a time: several tensors may be views of it.
    for ((key, dtype), tensors) in layouts {
        let (bytes, _) = archive.read(&key, &mut budget)?;
        let storage = view::decode(bytes, dtype);
        for (name, layout) in tensors {
            let values = layout.gather(&storage);
            file.tensors.insert(name.to_owned(), (layout.shape, values));
        }
    }
    Ok(file)
}

/// The leaves below an entry, with the rest of their paths.
fn below<'l, 'v>(
    leaves: &'l BTreeMap<String, Leaf<'v>>,
    entry: Option<&str>,
) -> impl Iterator<Item = (&'l str, &'l Leaf<'v>)> {
    let prefix = entry.map(|entry| format!("{entry}.")).unwrap_or_default();
    let rest = leaves.range(prefix.clone()..);
    rest.map_while(move |(path, leaf)| path.strip_prefix(prefix.as_str()).map(|name| (name, leaf)))
}

fn without_tensors(keys: &[String], leaves: &BTreeMap<String, Leaf>, entry: Option<&str>) -> Fault {
    let has_tensors = |entry: Option<&str>| below(leaves, entry).any(|(_, leaf)| matches!(leaf, Leaf::Tensor(_)));
    let entries: Vec<&String> = keys.iter().filter(|key| has_tensors(Some(key.as_str()))).collect();
    let expected = match (entries.as_slice(), has_tensors(None)) {
        (_, false) => "tensors in the file".into(),
        ([], true) => "no entry to be named: the tensors are at the top".into(),
        (entries, true) => {
            let names: Vec<String> = entries.iter().take(MAX_SHOWN).map(|name| shown(name)).collect();
            let more = if entries.len() > MAX_SHOWN { format!(" ({} in all)", entries.len()) } else { String::new() };
            format!("one of {}{more}", names.join(", "))
        }
    };
    let found = entry.map_or("no tensors".into(), |entry| format!("no tensors below {}", shown(entry)));
    Fault { code: "M03", field: "entry".into(), found, expected, hint: "choose the entry that holds the weights" }
}

/// Refuses what is no archive by its first bytes, and says what it is.
fn refuse_other_formats(head: &[u8]) -> std::result::Result<(), Fault> {
    let (found, hint) = match head {
        [b'P', b'K', 3 | 5, ..] => return Ok(()),
        [_, _, _, _, _, _, _, _, b'{', ..] => ("safetensors", "read it as what it is"),
        // The magic number of the layout before 1.6, as a pickle of its own.
        [0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, ..] => (
            "a file in the layout before torch 1.6",
            "convert it: torch.save(torch.load(FILE, weights_only=True), FILE)",
        ),
        [0x80, 0..=5, ..] => ("a bare pickle", "pickles run programs when loaded; save the weights with torch.save"),
        _ => ("something else", "name a file that torch.save wrote"),
    };
    let expected = "an archive of torch.save";
    Err(Fault { code: "M01", field: "format".into(), found: found.into(), expected: expected.into(), hint })
}

/// A finding, before the file's path and the place in it are added.
#[derive(Debug)]
struct Fault {
    code: &'static str,
    field: String,
    found: String,
    expected: String,
    hint: &'static str,
}

impl Fault {
    /// What the machine does not do.
    fn refused(field: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Fault {
        let hint = "nothing in a file is ever run; save tensors alone, such as the state_dict() of the model";
        Fault { code: "M01", field: field.into(), found: found.into(), expected: expected.into(), hint }
    }

    /// What contradicts the format or the rest of the file.
    fn broken(field: impl Into<String>, found: impl Into<String>, expected: impl Into<String>) -> Fault {
        let hint = "copy or download the file again";
        Fault { code: "M02", field: field.into(), found: found.into(), expected: expected.into(), hint }
    }

    fn at(self, path: &Path, position: Position) -> Error {
        let Fault { code, field, found, expected, hint } = self;
        InputError { code, path: path.to_owned(), position, field, found, expected, hint: hint.into() }.into()
    }
}

/// Bytes that may still be asked for. Whatever a file declares is charged before it is believed.
struct Budget {
    limit: u64,
    charged: u64,
}

impl Budget {
    fn new(length: u64) -> Budget {
        Budget { limit: FLOOR_BYTES.saturating_add(length.saturating_mul(BYTES_PER_BYTE)), charged: 0 }
    }

    fn charge(&mut self, bytes: u64) -> std::result::Result<(), Fault> {
        self.charged = self.charged.saturating_add(bytes);
        if self.charged <= self.limit {
            return Ok(());
        }
        let found = format!("{} bytes in all", self.charged);
        let expected = format!("at most {} (32 MiB plus 8 times the file)", self.limit);
        let hint = "the file expands like a bomb; store it without compression and views if it is genuine";
        Err(Fault { code: "M02", field: "size".into(), found, expected, hint })
    }
}

/// A name from a file, fit for one line.
fn shown(name: &str) -> String {
    let mut chars = name.chars();
    let text: String = chars.by_ref().take(80).flat_map(char::escape_debug).collect();
    if chars.next().is_some() { text + "..." } else { text }
}
