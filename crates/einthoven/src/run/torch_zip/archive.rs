//! The archive around a checkpoint: one folder with the pickle, the storages, and what describes them.
//!
//! An entry is found by its exact name and nothing is ever unpacked to a disk; names that would leave
//! the folder, or that occur twice, are refused all the same, because no genuine file has them.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::{Budget, Fault, shown};
use crate::error::{Error, Position, Result};

/// A checked archive.
pub(super) struct Archive<'p, R> {
    zip: ZipArchive<R>,
    path: &'p Path,
    /// Place and declared size by the name inside of the folder.
    entries: BTreeMap<String, (usize, u64)>,
}

impl<'p, R: Read + Seek> Archive<'p, R> {
    /// Opens an archive and checks the names in it.
    ///
    /// # Errors
    /// Rule `M02` for names; `M01` for an archive of something else.
    pub(super) fn open(reader: R, path: &'p Path) -> Result<Archive<'p, R>> {
        let broken = |fault: Fault| fault.at(path, Position::File);
        let zip = ZipArchive::new(reader).map_err(|error| broken(unreadable("archive", &error)))?;
        if zip.has_duplicate_names() {
            return Err(broken(Fault::broken("archive", "an entry twice", "each name once")));
        }
        let mut entries = BTreeMap::new();
        let mut root: Option<String> = None;
        let mut is_one_folder = true;
        for place in 0..zip.len() {
            let entry = zip.by_index_data(place).map_err(|error| broken(unreadable("archive", &error)))?;
            let at = Position::Byte(entry.header_start());
            let name = entry.name().map_err(|error| unreadable("entry name", &error).at(path, at))?;
            let plain = name.strip_suffix('/').unwrap_or(&name);
            let is_odd = |part: &str| matches!(part, "" | "." | "..") || part.contains(['\\', '\0']);
            if plain.split('/').any(is_odd) {
                let expected = "a path inside of the archive";
                return Err(Fault::broken("entry name", shown(&name), expected).at(path, at));
            }
            if entry.is_dir() {
                continue;
            }
            let (folder, inside) = plain.split_once('/').unwrap_or(("", plain));
            is_one_folder &= root.get_or_insert_with(|| folder.to_owned()).as_str() == folder && !folder.is_empty();
            // Different bytes may spell one name.
            if entries.insert(inside.to_owned(), (place, entry.size())).is_some() && is_one_folder {
                return Err(
                    Fault::broken("entry name", format!("{} twice", shown(&name)), "each name once").at(path, at)
                );
            }
        }
        if !is_one_folder || !entries.contains_key("data.pkl") {
            let mut fault = Fault::refused("archive", "no folder with data.pkl alone", "the layout of torch.save");
            fault.hint = "name a file that torch.save wrote";
            return Err(broken(fault));
        }
        Ok(Archive { zip, path, entries })
    }

    /// Declared size of an entry, if there is such an entry.
    pub(super) fn size(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|(_, size)| *size)
    }

    /// Refuses storages in another byte order than ours. Files before torch 2.1 do not name theirs.
    ///
    /// # Errors
    /// [`Error::Unsupported`]; those of [`Archive::read`].
    pub(super) fn check_byte_order(&mut self, budget: &mut Budget) -> Result<()> {
        if self.size("byteorder").is_none() {
            return Ok(());
        }
        let (order, _) = self.read("byteorder", budget)?;
        if order == b"little" {
            return Ok(());
        }
        let order = shown(&String::from_utf8_lossy(&order));
        Err(Error::Unsupported { what: format!("{}: byte order {order} (little is)", self.path.display()) })
    }

    /// Reads an entry up to its declared size, and gives its place in the file.
    ///
    /// # Errors
    /// Rule `M02` if it is missing, damaged, of another size than declared, or beyond the budget.
    pub(super) fn read(&mut self, name: &str, budget: &mut Budget) -> Result<(Vec<u8>, u64)> {
        let path = self.path;
        let field = shown(name);
        let Some((place, declared)) = self.entries.get(name).copied() else {
            return Err(Fault::broken(field, "no such entry", "one in the archive").at(path, Position::File));
        };
        let mut entry =
            self.zip.by_index(place).map_err(|error| unreadable(&field, &error).at(path, Position::File))?;
        let start = entry.header_start();
        let at = Position::Byte(start);
        budget.charge(declared).map_err(|fault| fault.at(path, at))?;
        let mut bytes = Vec::new();
        let read = entry.by_ref().take(declared.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| Fault::broken(&field, error.to_string(), "readable data with its checksum").at(path, at))?;
        if bytes.len() as u64 != declared {
            let found = format!("{} bytes", bytes.len());
            return Err(Fault::broken(field, found, format!("the declared {declared}")).at(path, at));
        }
        Ok((bytes, start))
    }
}

fn unreadable(field: &str, error: &ZipError) -> Fault {
    Fault::broken(field, error.to_string(), "a readable zip archive")
}
