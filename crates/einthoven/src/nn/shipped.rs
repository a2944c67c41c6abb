//! Weights that come with the library, so that what was trained once can be used without training it again.
//!
//! Each is a safetensors file of 16-bit values in the crate's folder `weights`, beside a model card of the same name
//! that says what it was trained on, how, under which licence, and how good it is.

use std::path::Path;

use crate::error::{Error, Result};
use crate::run::safetensors::{self, TensorFile};

/// Weights under a name.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// Name, that of the file.
    pub name: &'static str,
    /// The file.
    pub bytes: &'static [u8],
    /// The model card, Markdown.
    pub card: &'static str,
}

/// All of them.
pub static SHIPPED: &[Shipped] = &[
    Shipped {
        name: "beats",
        bytes: include_bytes!("../../weights/beats.safetensors"),
        card: include_str!("../../weights/beats.md"),
    },
    Shipped {
        name: "delnet",
        bytes: include_bytes!("../../weights/delnet.safetensors"),
        card: include_str!("../../weights/delnet.md"),
    },
    Shipped {
        name: "ecg12",
        bytes: include_bytes!("../../weights/ecg12.safetensors"),
        card: include_str!("../../weights/ecg12.md"),
    },
];

/// The weights of a name.
///
/// # Errors
/// [`Error::Unknown`] if there are none; [`Error::Input`] for a file that is no sound safetensors.
pub fn read(name: &str) -> Result<TensorFile> {
    let shipped = SHIPPED.iter().find(|shipped| shipped.name == name).ok_or_else(|| Error::Unknown {
        kind: "shipped weights",
        name: name.into(),
        known: SHIPPED.iter().map(|shipped| shipped.name.to_string()).collect(),
    })?;
    safetensors::from_bytes(shipped.bytes, Path::new(shipped.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_sound_small_and_has_its_card() {
        for shipped in SHIPPED {
            let file = read(shipped.name).unwrap();
            assert!(!file.tensors.is_empty() && shipped.bytes.len() <= 3_000_000, "{}", shipped.name);
            for section in ["Data", "Licence", "Seed", "Command"] {
                assert!(shipped.card.contains(section), "{}: its card says nothing of {section}", shipped.name);
            }
        }
        assert!(read("nothing").unwrap_err().to_string().contains("delnet"));
    }
}
