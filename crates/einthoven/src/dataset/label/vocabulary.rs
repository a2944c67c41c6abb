//! One vocabulary for the codes that ECG databases use: SCP-ECG statements, SNOMED CT, MIT symbols and
//! rhythm names, the classes of AAMI EC57, and the merged rhythm classes of two-database experiments.
//!
//! The tables are `concepts.csv` (one concept a line: SNOMED CT code, the challenge's abbreviation, the
//! code that it is scored together with, the SCP statements that mean the same, those that mean less, the
//! MIT symbols, the merged rhythm) and `statements.csv` (the 71 statements of PTB-XL). A translation never
//! guesses: a code without a counterpart has none, and a broad code is not turned into a narrow one.
//!
//! # Reference
//! SNOMED CT codes and equivalent groups: PhysioNet/CinC Challenge 2021, `dx_mapping_scored.csv` and
//! `dx_mapping_unscored.csv`. Statements: PTB-XL, `scp_statements.csv`. Symbols: WFDB annotation codes and
//! ANSI/AAMI EC57, table 3. The merged rhythms follow the eleven rhythms of Zheng et al. 2020 (Chapman).

use std::sync::LazyLock;

use super::AAMI;

/// A list of codes that labels are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CodeSystem {
    /// SCP-ECG statements as PTB-XL writes them, such as `AFIB`.
    Scp,
    /// SNOMED CT concept numbers, such as `164889003`.
    Snomed,
    /// Symbols of MIT annotations, such as `V`.
    Mit,
    /// Rhythm texts of MIT annotations, such as `(AFIB`.
    MitRhythm,
    /// Beat classes of AAMI EC57: N, S, V, F, Q.
    Aami,
    /// Merged rhythm classes: SR, SB, ST, SA, AFIB, AFLT, SVT.
    Rhythm,
    /// Words of one database, which translate to nothing.
    Own,
}

/// One concept with its codes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concept {
    /// SNOMED CT number; empty where there is none.
    pub snomed: &'static str,
    /// Abbreviation of the challenge.
    pub abbreviation: &'static str,
    /// The code that stands for all that are scored together; the own one if it is scored alone.
    pub group: &'static str,
    /// SCP statements that mean the same.
    pub scp: Vec<&'static str>,
    /// SCP statements that are a kind of it.
    pub narrower_scp: Vec<&'static str>,
    /// MIT symbols of its beats.
    pub mit: Vec<&'static str>,
    /// Merged rhythm class; empty if it is not one rhythm.
    pub rhythm: &'static str,
    /// Name in words.
    pub name: &'static str,
}

/// A statement of PTB-XL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Code.
    pub code: &'static str,
    /// Whether it is a diagnosis.
    pub is_diagnostic: bool,
    /// Whether it says how waves look.
    pub is_form: bool,
    /// Whether it names the rhythm.
    pub is_rhythm: bool,
    /// Diagnostic class (NORM, MI, STTC, CD, HYP); empty if it is no diagnosis.
    pub class: &'static str,
    /// Diagnostic subclass; empty if it is no diagnosis.
    pub subclass: &'static str,
    /// In words.
    pub description: &'static str,
}

/// Rhythm texts of MIT annotations that belong to a merged class.
const MIT_RHYTHMS: [(&str, &str); 5] =
    [("(N", "SR"), ("(SBR", "SB"), ("(AFIB", "AFIB"), ("(AFL", "AFLT"), ("(SVTA", "SVT")];

static CONCEPTS: LazyLock<Vec<Concept>> = LazyLock::new(|| rows(include_str!("concepts.csv")).map(concept).collect());
static STATEMENTS: LazyLock<Vec<Statement>> =
    LazyLock::new(|| rows(include_str!("statements.csv")).map(statement).collect());

/// Every concept.
pub fn concepts() -> &'static [Concept] {
    &CONCEPTS
}

/// The 71 statements of PTB-XL in the order of its table.
pub fn statements() -> &'static [Statement] {
    &STATEMENTS
}

/// The statement of a code.
pub fn find_statement(code: &str) -> Option<&'static Statement> {
    STATEMENTS.iter().find(|statement| statement.code == code)
}

/// The SNOMED CT code that stands for all that the challenge scores as the same diagnosis.
pub fn canonical_snomed(code: &str) -> Option<&'static str> {
    CONCEPTS.iter().find(|concept| concept.snomed == code).map(|concept| concept.group)
}

/// The codes of another system that a code means, in the order of the table and each once.
///
/// Toward a broader concept it goes only where the table says that the one is a kind of the other.
pub fn translate(code: &str, from: CodeSystem, to: CodeSystem) -> Vec<&'static str> {
    let mut out: Vec<&'static str> = Vec::new();
    let mut push = |found: &'static str| {
        if !found.is_empty() && !out.contains(&found) {
            out.push(found);
        }
    };
    if from == CodeSystem::MitRhythm && to == CodeSystem::Rhythm {
        MIT_RHYTHMS.iter().filter(|(text, _)| *text == code.trim()).for_each(|(_, rhythm)| push(rhythm));
        return out;
    }
    if from == CodeSystem::Mit && to == CodeSystem::Aami {
        aami_of(code).into_iter().for_each(&mut push);
        return out;
    }
    let means = |concept: &Concept| match from {
        CodeSystem::Scp => concept.scp.contains(&code),
        CodeSystem::Snomed => concept.snomed == code,
        CodeSystem::Mit => concept.mit.contains(&code),
        CodeSystem::Aami => concept.mit.iter().any(|symbol| aami_of(symbol) == Some(code)),
        CodeSystem::Rhythm => concept.rhythm == code,
        CodeSystem::MitRhythm | CodeSystem::Own => false,
    };
    for concept in CONCEPTS.iter().filter(|concept| means(concept)) {
        match to {
            CodeSystem::Scp => concept.scp.iter().for_each(|found| push(found)),
            CodeSystem::Snomed => push(concept.snomed),
            CodeSystem::Mit => concept.mit.iter().for_each(|found| push(found)),
            CodeSystem::Aami => concept.mit.iter().filter_map(|symbol| aami_of(symbol)).for_each(&mut push),
            CodeSystem::Rhythm => push(concept.rhythm),
            CodeSystem::MitRhythm => {
                MIT_RHYTHMS.iter().filter(|(_, r)| *r == concept.rhythm).for_each(|(text, _)| push(text));
            }
            CodeSystem::Own => {}
        }
    }
    if from == CodeSystem::Scp && to == CodeSystem::Snomed {
        CONCEPTS.iter().filter(|concept| concept.narrower_scp.contains(&code)).for_each(|c| push(c.snomed));
    }
    out
}

/// The AAMI class of an MIT symbol.
fn aami_of(symbol: &str) -> Option<&'static str> {
    AAMI.class(symbol).map(|class| AAMI.classes[class].0)
}

/// Cells of each line after the first. The tables are our own and quote nothing; a comma ends a cell.
fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().skip(1).map(|line| line.split(',').collect())
}

fn list(cell: &'static str) -> Vec<&'static str> {
    cell.split(';').filter(|item| !item.is_empty()).collect()
}

fn concept(cells: Vec<&'static str>) -> Concept {
    let cell = |k: usize| cells.get(k).copied().unwrap_or("");
    Concept {
        snomed: cell(0),
        abbreviation: cell(1),
        group: if cell(2).is_empty() { cell(0) } else { cell(2) },
        scp: list(cell(3)),
        narrower_scp: list(cell(4)),
        mit: list(cell(5)),
        rhythm: cell(6),
        name: cell(7),
    }
}

fn statement(cells: Vec<&'static str>) -> Statement {
    let cell = |k: usize| cells.get(k).copied().unwrap_or("");
    Statement {
        code: cell(0),
        is_diagnostic: cell(1) == "1",
        is_form: cell(2) == "1",
        is_rhythm: cell(3) == "1",
        class: cell(4),
        subclass: cell(5),
        description: cell(6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CodeSystem::*;

    #[test]
    fn tables_are_whole() {
        assert_eq!(statements().len(), 71);
        let count = |is: fn(&Statement) -> bool| statements().iter().filter(|s| is(s)).count();
        assert_eq!((count(|s| s.is_diagnostic), count(|s| s.is_form), count(|s| s.is_rhythm)), (44, 19, 12));
        assert_eq!(concepts().iter().filter(|c| !c.snomed.is_empty()).count(), 133);
        for (k, concept) in concepts().iter().enumerate() {
            assert!(concepts()[..k].iter().all(|other| other.snomed != concept.snomed), "{}", concept.snomed);
            assert!(!concept.name.is_empty());
            for code in concept.scp.iter().chain(&concept.narrower_scp) {
                assert!(find_statement(code).is_some(), "{code}");
            }
            let group = canonical_snomed(concept.snomed).expect("its own row");
            assert_eq!(canonical_snomed(group), Some(group), "a group's code stands for itself");
        }
    }

    #[test]
    fn known_pairs_translate_both_ways() {
        for (scp, snomed) in [("AFIB", "164889003"), ("AFLT", "164890007"), ("SR", "426783006"), ("1AVB", "270492004")]
        {
            assert_eq!(translate(scp, Scp, Snomed)[0], snomed);
            assert_eq!(translate(snomed, Snomed, Scp), [scp]);
        }
        assert_eq!(translate("V", Mit, Aami), ["V"]);
        assert_eq!(translate("L", Mit, Aami), ["N"]);
        assert_eq!(translate("V", Mit, Scp), ["PVC"]);
        assert_eq!(translate("V", Mit, Snomed), ["427172004", "17338001"]);
        assert_eq!(translate("17338001", Snomed, Aami), ["V"]);
        assert_eq!(translate("/", Mit, Scp), ["PACE"]);
        assert_eq!(translate("CLBBB", Scp, Mit), ["L"]);
        assert_eq!(translate("(AFL", MitRhythm, Rhythm), ["AFLT"]);
        assert_eq!(translate("AFLT", Scp, MitRhythm), ["(AFL"]);
    }

    #[test]
    fn a_broad_code_does_not_become_a_narrow_one() {
        assert_eq!(translate("ASMI", Scp, Snomed), ["54329005", "164865005"]);
        assert!(translate("164865005", Snomed, Scp).is_empty(), "myocardial infarction has no place");
        assert!(translate("426627000", Snomed, Rhythm).is_empty(), "bradycardia need not be of the sinus");
        assert!(translate("nothing", Snomed, Scp).is_empty());
    }

    #[test]
    fn merged_rhythms_take_the_codes_of_both_databases() {
        for (scp, rhythm) in [
            ("SR", "SR"),
            ("SBRAD", "SB"),
            ("STACH", "ST"),
            ("SARRH", "SA"),
            ("AFIB", "AFIB"),
            ("AFLT", "AFLT"),
            ("SVTAC", "SVT"),
            ("PSVT", "SVT"),
            ("SVARR", "SVT"),
        ] {
            assert_eq!(translate(scp, Scp, Rhythm), [rhythm], "{scp}");
        }
        for dropped in ["PACE", "BIGU", "TRIGU"] {
            assert!(translate(dropped, Scp, Rhythm).is_empty());
        }
        // Chapman: SVT, AT, AVNRT, AVRT, SAAWR in the code of its own table and in the challenge's.
        for snomed in ["426761007", "713422000", "251166008", "233897008", "195101003", "17366009"] {
            assert_eq!(translate(snomed, Snomed, Rhythm), ["SVT"], "{snomed}");
        }
    }

    #[test]
    fn equivalent_codes_share_a_group() {
        for (a, b) in [
            ("733534002", "164909002"),
            ("713427006", "59118001"),
            ("63593006", "284470004"),
            ("17338001", "427172004"),
        ] {
            assert_eq!(canonical_snomed(a), canonical_snomed(b));
        }
        assert_ne!(canonical_snomed("713426002"), canonical_snomed("59118001"));
        assert_eq!(canonical_snomed("1"), None);
    }
}
