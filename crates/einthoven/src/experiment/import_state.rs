//! The state dict of one network within a published checkpoint.
//!
//! Checkpoints wrap it: beside an optimizer or a critic, in an averaged copy, under the prefix of a parallel training. It is
//! found by an array that every network of its kind has, so that no list of wrappers can be incomplete.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::error::{Error, Result};
use crate::nn::weights::{Weight, Weights};
use crate::run::{safetensors, torch_zip};

/// The arrays below `entry`, all if none is named, of a safetensors file or a zip file of PyTorch, whose pickle is read and
/// never run.
pub(super) fn read(path: &Path, entry: Option<&str>) -> Result<Weights> {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(9).read_to_end(&mut head));
    read.map_err(|source| Error::io(path, source))?;
    // The header of safetensors is JSON behind its length.
    if head.get(8) != Some(&b'{') {
        return Ok(torch_zip::read(path, entry)?.tensors.into());
    }
    let all: Weights = safetensors::read(path)?.tensors.into();
    let Some(entry) = entry else { return Ok(all) };
    let part = below(all, &format!("{entry}."));
    if part.entries.is_empty() {
        let reason = format!("has no arrays below {entry} (--entry)");
        return Err(Error::data(path.display().to_string(), reason));
    }
    Ok(part)
}

/// The state dict that holds `landmark`, an array of which a network has one; without it, all there is, so that the network
/// says what is missing.
///
/// # Errors
/// [`Error::Config`] naming the entries where there are several.
pub(super) fn find(state: Weights, landmark: &str) -> Result<Weights> {
    let prefix = |name: &String| match name.strip_suffix(landmark) {
        Some(prefix) if prefix.is_empty() || prefix.ends_with('.') => Some(prefix.to_string()),
        _ => None,
    };
    let prefixes: Vec<String> = state.entries.keys().filter_map(prefix).collect();
    match prefixes.as_slice() {
        [] => Ok(state),
        [prefix] => Ok(below(state, prefix)),
        several => {
            let name = |prefix: &String| match prefix.strip_suffix('.') {
                Some(entry) => entry.to_string(),
                None => "the top".into(),
            };
            let names: Vec<String> = several.iter().map(name).collect();
            let reason = format!("found {} state dicts, expected the name of one: {}", names.len(), names.join(", "));
            Err(Error::config("--entry", reason))
        }
    }
}

fn below(state: Weights, prefix: &str) -> Weights {
    let own = |(name, array): (String, Weight)| Some((name.strip_prefix(prefix)?.to_string(), array));
    Weights { entries: state.entries.into_iter().filter_map(own).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(names: &[&str]) -> Weights {
        let entry = |name: &&str| ((*name).to_string(), Weight { shape: vec![1], values: vec![0.0] });
        Weights { entries: names.iter().map(entry).collect() }
    }

    #[test]
    fn the_state_dict_is_found_by_its_landmark() {
        let found = |names: &[&str]| {
            find(state(names), "c7.weight").map(|state| state.entries.into_keys().collect::<Vec<_>>().join(" "))
        };
        assert_eq!(found(&["c1.bias", "c7.weight"]).unwrap(), "c1.bias c7.weight");
        let whole = ["netD.c1.bias", "netG.module.c1.bias", "netG.module.c7.weight", "optimizerG.state.0.step"];
        assert_eq!(found(&whole).unwrap(), "c1.bias c7.weight");
        // A name that merely ends with it is another's.
        assert_eq!(found(&["arc7.weight", "c1.bias"]).unwrap(), "arc7.weight c1.bias");
        let error = found(&["c7.weight", "ema.c7.weight"]).unwrap_err().to_string();
        assert_eq!(error, "--entry: found 2 state dicts, expected the name of one: the top, ema");
    }
}
