//! What a word names where a run, a model file or a generator can be meant.
//!
//! The names of the lists win: a folder of results that happens to be called `beats` hides no generator. A run of that
//! name is what its maker means, so it goes first, and says so; `./beats` is a path in any case.

use std::path::Path;

use crate::error::{Error, Result};
use crate::generators::GENERATORS;
use crate::nn::shipped::SHIPPED;
use crate::run::{Progress, is_run};

/// The generator, or the weights that come along, that a word names; `None` for a path, and for a run of such a name.
pub(super) fn named<'a>(word: &'a Path, progress: &mut dyn Progress) -> Option<&'a str> {
    let is_known = |name: &&str| {
        GENERATORS.iter().any(|spec| spec.name() == *name) || SHIPPED.iter().any(|shipped| shipped.name == *name)
    };
    let name = word.to_str().filter(is_known)?;
    if !is_run(word) {
        return Some(name);
    }
    progress.tell(&format!("note: {name} is the run in the folder of that name, not what comes along as {name}"));
    None
}

/// Refuses to choose a model by its role where there is nothing to choose from: beside whatever is no run folder.
///
/// # Errors
/// [`Error::Config`] if a role is given.
pub(super) fn refuse_role(source: &Path, role: Option<&str>) -> Result<()> {
    role.map_or(Ok(()), |role| {
        let reason = format!("found {role} beside {}, expected it beside a run folder", source.display());
        Err(Error::config("--model", reason))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::Silent;

    #[test]
    fn names_win_over_whatever_is_no_run_and_paths_are_paths() {
        for (word, expected) in [("beats", Some("beats")), ("dipole", Some("dipole")), ("delnet", Some("delnet"))] {
            assert_eq!(named(Path::new(word), &mut Silent), expected);
        }
        for word in ["./beats", "beats/", "beats.safetensors", "runs/beats", "beat"] {
            assert_eq!(named(Path::new(word), &mut Silent), None, "{word}");
        }
    }
}
