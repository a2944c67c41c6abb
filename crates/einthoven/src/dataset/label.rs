//! Label sets and the mapping of the MIT annotation symbols to them.
//!
//! Two sets: the five classes of the AAMI recommendation, and the nine symbols that a part of the
//! augmentation literature uses. A symbol outside a set is left out of the data set and counted.
//!
//! # Reference
//! ANSI/AAMI EC57, Testing and reporting performance results of cardiac rhythm and ST segment
//! measurement algorithms, table 3; the symbols are those of the WFDB annotation codes.

use crate::error::{Error, Result};

/// A list of classes and the annotation symbols that belong to each.
#[derive(Debug)]
pub struct LabelSet {
    /// Name, as typed by users.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// Class names with the symbols of each, in the order of the label axis.
    pub classes: &'static [(&'static str, &'static [&'static str])],
    /// Whether records with paced beats belong in a data set with these labels.
    pub keeps_paced: bool,
}

/// The five classes of AAMI EC57: N, S, V, F, Q.
pub static AAMI: LabelSet = LabelSet {
    name: "aami",
    summary: "AAMI EC57: N normal and bundle branch block, S supraventricular, V ventricular, F fusion, Q paced or unknown",
    classes: &[
        ("N", &["N", "L", "R", "e", "j"]),
        ("S", &["A", "a", "J", "S"]),
        ("V", &["V", "E"]),
        ("F", &["F"]),
        ("Q", &["/", "f", "Q"]),
    ],
    keeps_paced: false,
};

/// Nine symbols as they stand in the annotation files: N, L, R, A, V, /, F, j, E.
pub static NINE_SYMBOL: LabelSet = LabelSet {
    name: "nine-symbol",
    summary: "the symbols N, L, R, A, V, /, F, j, E as they are; with the paced records, intra-patient only",
    classes: &[
        ("N", &["N"]),
        ("L", &["L"]),
        ("R", &["R"]),
        ("A", &["A"]),
        ("V", &["V"]),
        ("/", &["/"]),
        ("F", &["F"]),
        ("j", &["j"]),
        ("E", &["E"]),
    ],
    keeps_paced: true,
};

/// Every label set.
pub static LABEL_SETS: &[&LabelSet] = &[&AAMI, &NINE_SYMBOL];

/// The label set of that name.
///
/// # Errors
/// [`Error::Unknown`] with the known names.
pub fn label_set(name: &str) -> Result<&'static LabelSet> {
    LABEL_SETS.iter().find(|set| set.name == name).copied().ok_or_else(|| Error::Unknown {
        kind: "label set",
        name: name.into(),
        known: LABEL_SETS.iter().map(|set| set.name.into()).collect(),
    })
}

impl LabelSet {
    /// Class names in the order of the label axis.
    pub fn names(&self) -> Vec<String> {
        self.classes.iter().map(|(name, _)| (*name).to_string()).collect()
    }

    /// Position of the class of an annotation symbol, or `None` if the set does not hold it.
    pub fn class(&self, symbol: &str) -> Option<usize> {
        self.classes.iter().position(|(_, symbols)| symbols.contains(&symbol))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::annotation::is_beat_symbol;

    #[test]
    fn each_symbol_has_at_most_one_class_and_is_a_beat() {
        for set in LABEL_SETS {
            let mut seen: Vec<&str> = Vec::new();
            for (class, (_, symbols)) in set.classes.iter().enumerate() {
                for symbol in *symbols {
                    assert!(is_beat_symbol(symbol), "{symbol}");
                    assert!(!seen.contains(symbol), "{symbol} is in two classes of {}", set.name);
                    assert_eq!(set.class(symbol), Some(class));
                    seen.push(symbol);
                }
            }
        }
    }

    #[test]
    fn flutter_rhythm_and_noise_are_no_beats() {
        for symbol in ["!", "+", "~", "|", "x", "[", "]", "\""] {
            assert!(!is_beat_symbol(symbol), "{symbol}");
            assert_eq!(AAMI.class(symbol), None);
        }
    }

    #[test]
    fn unknown_label_set_lists_the_known_ones() {
        let error = label_set("amai").expect_err("not a label set");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("aami"), "{error}");
    }
}
