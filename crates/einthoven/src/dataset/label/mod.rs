//! Label sets: which classes a data set has, and which codes belong to each.
//!
//! Two sets are for beats: the five classes of the AAMI recommendation, and the nine symbols that a part of
//! the augmentation literature uses. The others are for whole records, in the codes of one
//! [`vocabulary`]; a code of another system is translated. A code outside a set is left out and counted.
//!
//! # Reference
//! ANSI/AAMI EC57, Testing and reporting performance results of cardiac rhythm and ST segment
//! measurement algorithms, table 3; the symbols are those of the WFDB annotation codes.

pub mod definition;
pub mod record_sets;
pub mod statement_sets;
pub mod synonym;
pub mod text;
pub mod vocabulary;

use crate::error::{Error, Result};
use vocabulary::CodeSystem;

/// A list of classes and the codes that belong to each.
#[derive(Debug)]
pub struct LabelSet {
    /// Name, as typed by users.
    pub name: &'static str,
    /// One line for listings.
    pub summary: &'static str,
    /// Class names with the codes of each, in the order of the label axis; none for a set whose classes
    /// are the codes that the data hold.
    pub classes: &'static [(&'static str, &'static [&'static str])],
    /// Whether records with paced beats belong in a data set with these labels.
    pub keeps_paced: bool,
    /// What the codes are; MIT symbols label beats, the others whole records.
    pub system: CodeSystem,
    /// Whether a record belongs to the data set only if it has exactly one of the classes.
    pub is_exclusive: bool,
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
    system: CodeSystem::Mit,
    is_exclusive: true,
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
    system: CodeSystem::Mit,
    is_exclusive: true,
};

/// Every label set.
pub static LABEL_SETS: &[&LabelSet] = &[
    &AAMI,
    &NINE_SYMBOL,
    &statement_sets::SUPERCLASS,
    &statement_sets::SUBCLASS,
    &statement_sets::DIAGNOSTIC,
    &statement_sets::FORM,
    &statement_sets::RHYTHM,
    &statement_sets::ALL,
    &statement_sets::CLINICAL,
    &record_sets::MERGED_RHYTHM,
    &record_sets::COARSE_RHYTHM,
    &record_sets::CINC2021,
    &record_sets::CINC2017,
    &record_sets::CODE15,
    &record_sets::SEX,
    &record_sets::NOISE,
    &record_sets::AS_GIVEN,
];

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

    /// Position of the class of a code of the set's own system, or `None` if the set does not hold it.
    pub fn class(&self, code: &str) -> Option<usize> {
        self.classes.iter().position(|(_, codes)| codes.contains(&code))
    }

    /// Positions of the classes of a code of any system, in rising order; none if the set does not hold it.
    pub fn classes_of(&self, code: &str, system: CodeSystem) -> Vec<usize> {
        let codes = match system == self.system {
            true => return self.class(code).into_iter().collect(),
            false => vocabulary::translate(code, system, self.system),
        };
        let mut classes: Vec<usize> = codes.into_iter().filter_map(|code| self.class(code)).collect();
        classes.sort_unstable();
        classes.dedup();
        classes
    }

    /// Whether the classes are those codes that the data hold.
    pub fn is_open(&self) -> bool {
        self.classes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::annotation::is_beat_symbol;

    #[test]
    fn each_symbol_has_at_most_one_class_and_is_a_beat() {
        for set in [&AAMI, &NINE_SYMBOL] {
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
    fn codes_of_other_systems_find_their_class() {
        let superclass = label_set("superclass").unwrap();
        assert_eq!(superclass.classes_of("ASMI", CodeSystem::Scp), [1]);
        assert_eq!(superclass.classes_of("54329005", CodeSystem::Snomed), [1], "anterior infarction");
        assert!(superclass.classes_of("AFIB", CodeSystem::Scp).is_empty(), "a rhythm is no diagnostic class");
        let challenge = label_set("cinc2021").unwrap();
        let class = |code: &str| challenge.classes_of(code, CodeSystem::Snomed);
        assert_eq!(class("17338001"), class("427172004"));
        assert_eq!(challenge.classes.len(), 26);
        assert!(class("164873001").is_empty(), "hypertrophy is not scored");
        let both = [class("6374002"), class("733534002")].concat();
        assert_eq!(challenge.classes_of("CLBBB", CodeSystem::Scp), both, "a complete block is a bundle branch block");
    }

    #[test]
    fn each_code_of_a_set_has_one_class_and_names_differ() {
        for (k, set) in LABEL_SETS.iter().enumerate() {
            assert!(LABEL_SETS[..k].iter().all(|other| other.name != set.name));
            let codes: Vec<&str> = set.classes.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
            for (j, code) in codes.iter().enumerate() {
                assert!(!codes[..j].contains(code), "{code} is in two classes of {}", set.name);
            }
        }
    }

    #[test]
    fn groups_of_statements_are_those_of_the_table() {
        use statement_sets::{ALL, DIAGNOSTIC, FORM, RHYTHM, SUBCLASS, SUPERCLASS};
        assert_eq!(
            [&ALL, &DIAGNOSTIC, &SUBCLASS, &SUPERCLASS, &FORM, &RHYTHM].map(|set| set.classes.len()),
            [71, 44, 23, 5, 19, 12]
        );
        for statement in vocabulary::statements() {
            let has = |set: &LabelSet| set.class(statement.code).map(|class| set.classes[class].0);
            assert_eq!(has(&ALL), Some(statement.code));
            assert_eq!(has(&DIAGNOSTIC), statement.is_diagnostic.then_some(statement.code));
            assert_eq!(has(&FORM), statement.is_form.then_some(statement.code));
            assert_eq!(has(&RHYTHM), statement.is_rhythm.then_some(statement.code));
            assert_eq!(has(&SUPERCLASS), statement.is_diagnostic.then_some(statement.class));
            assert_eq!(has(&SUBCLASS), statement.is_diagnostic.then_some(statement.subclass));
        }
    }

    #[test]
    fn unknown_label_set_lists_the_known_ones() {
        let error = label_set("amai").expect_err("not a label set");
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("aami"), "{error}");
    }
}
