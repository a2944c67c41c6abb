//! One lookup for every list of things that users choose by name.
//!
//! Formats, generators, samplers, metrics and presets are constant lists whose entries implement
//! [`Named`]. The list itself is the registry; this module only looks names up, so that a slip of
//! the keyboard is answered in the same words everywhere.

use crate::error::{Error, Result};

/// An entry of a list that users choose from by name.
pub trait Named {
    /// The name as users type it: lower case, unique in its list.
    fn name(&self) -> &'static str;
}

impl<T: Named + ?Sized> Named for &T {
    fn name(&self) -> &'static str {
        (**self).name()
    }
}

/// The entry called `name`.
///
/// `kind` is the singular name of the list, such as `"sampler"`, and appears in the message.
///
/// # Errors
/// [`Error::Unknown`] with every known name, the nearest first in the message.
///
/// # Example
/// ```
/// use einthoven::registry::{Named, find};
/// struct Sampler(&'static str);
/// impl Named for Sampler {
///     fn name(&self) -> &'static str {
///         self.0
///     }
/// }
/// let samplers = [Sampler("ddpm"), Sampler("ddim")];
/// assert_eq!(find("sampler", &samplers, "ddim")?.name(), "ddim");
/// let message = find("sampler", &samplers, "dimm").err().map(|error| error.to_string());
/// assert!(message.is_some_and(|text| text.contains("did you mean \"ddim\"?")));
/// # Ok::<(), einthoven::Error>(())
/// ```
pub fn find<'a, T: Named>(kind: &'static str, list: &'a [T], name: &str) -> Result<&'a T> {
    list.iter().find(|entry| entry.name() == name).ok_or_else(|| Error::Unknown {
        kind,
        name: name.to_owned(),
        known: names(list).into_iter().map(str::to_owned).collect(),
    })
}

/// The names of a list, in its order.
pub fn names<T: Named>(list: &[T]) -> Vec<&'static str> {
    list.iter().map(Named::name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    trait Solver: Named + Sync {
        fn order(&self) -> u32;
    }
    struct Euler;
    struct Heun;
    impl Named for Euler {
        fn name(&self) -> &'static str {
            "euler"
        }
    }
    impl Named for Heun {
        fn name(&self) -> &'static str {
            "heun"
        }
    }
    impl Solver for Euler {
        fn order(&self) -> u32 {
            1
        }
    }
    impl Solver for Heun {
        fn order(&self) -> u32 {
            2
        }
    }
    const SOLVERS: &[&dyn Solver] = &[&Euler, &Heun];

    #[test]
    fn finds_entries_of_a_list_of_trait_objects() {
        assert_eq!(find("solver", SOLVERS, "heun").unwrap().order(), 2);
        assert_eq!(find("solver", SOLVERS, "euler").unwrap().order(), 1);
        assert_eq!(names(SOLVERS), ["euler", "heun"]);
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let error = find("solver", SOLVERS, "huen").err().unwrap();
        assert_eq!(error.to_string(), "unknown solver \"huen\", did you mean \"heun\"? (known: euler, heun)");
        assert_eq!(error.exit_code(), 2);
    }
}
