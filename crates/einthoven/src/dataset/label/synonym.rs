//! Names that mean the same, so that a label can be asked for by any of them, and the words that people use for it.
//!
//! Each line holds the codes of one finding: the SCP-ECG statement first where there is one, then the names of the
//! simulator, the challenge and the merged rhythms; after them words. A generator is asked for the first name of the
//! line that it knows. A broad name is never turned into a narrow one but where the narrow one is the only way to make
//! the finding, such as an infarction of some age.

use super::vocabulary::{self, CodeSystem};
use crate::error::{Error, Result};

/// Names of one finding, and words for it.
#[derive(Debug)]
pub struct Synonyms {
    /// Codes and names, the best known first.
    pub names: &'static [&'static str],
    /// Words for it, lower case.
    pub words: &'static [&'static str],
}

const fn same(names: &'static [&'static str], words: &'static [&'static str]) -> Synonyms {
    Synonyms { names, words }
}

/// Every finding that has several names. The descriptions of the statements are words for them too.
#[rustfmt::skip]
pub static SYNONYMS: &[Synonyms] = &[
    same(&["SR", "sinus", "NSR"], &["normal sinus rhythm", "sinus"]),
    same(&["NORM", "sinus"], &["normal", "healthy"]),
    same(&["AFIB", "af"], &["afib", "a fib", "auricular fibrillation"]),
    same(&["AFLT", "flutter", "AFL"], &["flutter"]),
    same(&["STACH", "tachycardia", "ST", "STach"], &[]),
    same(&["SBRAD", "bradycardia", "SB"], &[]),
    same(&["SARRH", "sinus-arrhythmia", "SA"], &["respiratory sinus arrhythmia"]),
    same(&["SVTAC", "svt", "PSVT", "SVT"], &["svt"]),
    same(&["vt"], &["ventricular tachycardia"]),
    same(&["vf"], &["ventricular fibrillation"]),
    same(&["PVC", "pvc", "PVC|VPB"], &["pvcs", "ventricular ectopic beats", "ventricular extrasystoles", "premature ventricular beats", "premature ventricular contractions", "premature ventricular complexes", "ventricular premature beats"]),
    same(&["PAC", "pac", "PAC|SVPB"], &["pacs", "atrial ectopic beats", "atrial extrasystoles", "premature atrial beats", "premature atrial contractions", "premature atrial complexes", "atrial premature beats"]),
    same(&["BIGU", "bigeminy"], &["bigeminal pattern"]),
    same(&["TRIGU", "trigeminy"], &["trigeminal pattern"]),
    same(&["1AVB", "av-block-1", "IAVB", "1dAVb"], &["first degree atrioventricular block"]),
    same(&["2AVB", "mobitz-1", "mobitz-2"], &["second degree atrioventricular block"]),
    same(&["mobitz-1"], &["wenckebach", "mobitz type 1", "mobitz i"]),
    same(&["mobitz-2"], &["mobitz type 2", "mobitz ii"]),
    same(&["3AVB", "av-block-3"], &["third degree atrioventricular block", "complete heart block", "complete av block"]),
    same(&["PACE", "paced", "PR"], &["paced", "pacemaker", "ventricular pacing"]),
    same(&["CLBBB", "lbbb", "LBBB", "CLBBB|LBBB"], &["left bundle branch block"]),
    same(&["CRBBB", "rbbb", "RBBB", "CRBBB|RBBB"], &["right bundle branch block"]),
    same(&["LAFB", "lafb", "LAnFB"], &["left anterior hemiblock"]),
    same(&["WPW", "wpw"], &["pre excitation", "preexcitation", "wolff parkinson white"]),
    same(&["LVH", "lvh"], &["left ventricular hypertrophy with strain"]),
    same(&["RVH", "rvh"], &["right ventricular hypertrophy with strain"]),
    same(&["MI"], &["myocardial infarction", "infarction"]),
    same(&["AMI", "mi-anterior-acute", "mi-anterior-subacute", "mi-anterior-old"], &["anterior infarction"]),
    same(&["IMI", "mi-inferior-acute", "mi-inferior-subacute", "mi-inferior-old"], &["inferior infarction"]),
    same(&["LMI", "mi-lateral-acute", "mi-lateral-subacute", "mi-lateral-old"], &["lateral infarction"]),
    same(&["PMI", "mi-posterior-acute", "mi-posterior-subacute", "mi-posterior-old"], &["posterior infarction"]),
    same(&["ISC_", "ischemia"], &["ischaemia", "myocardial ischemia"]),
    same(&["LNGQT", "long-qt", "LQT"], &["long qt", "prolonged qt", "prolonged qt interval"]),
    same(&["LVOLT", "low-voltage", "LQRSV"], &["low voltage", "low qrs voltage", "low qrs voltages"]),
];

/// Names that mean the same as `name`, itself first.
pub(crate) fn equivalents(name: &str) -> Vec<String> {
    let mut out = vec![name.to_string()];
    let mut push = |other: &str| {
        if !out.iter().any(|known| known == other) {
            out.push(other.to_string());
        }
    };
    let is_snomed = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    let codes = if is_snomed { vocabulary::translate(name, CodeSystem::Snomed, CodeSystem::Scp) } else { vec![name] };
    for code in codes {
        push(code);
        // A name that is written exactly so wins over one that differs in case.
        let exact = SYNONYMS.iter().filter(|line| line.names.contains(&code));
        let near = SYNONYMS.iter().filter(|line| line.names.iter().any(|other| other.eq_ignore_ascii_case(code)));
        exact.chain(near).flat_map(|line| line.names).for_each(|other| push(other));
    }
    let statements: Vec<_> = out.iter().filter_map(|name| vocabulary::find_statement(&name.to_uppercase())).collect();
    for statement in statements {
        let snomed = vocabulary::translate(statement.code, CodeSystem::Scp, CodeSystem::Snomed);
        out.push(statement.code.to_string());
        out.extend(snomed.into_iter().map(String::from));
    }
    out
}

/// Place of a label among those known, by its name or by one that means the same.
///
/// # Errors
/// [`Error::Unknown`] if it is none of those known.
pub fn find_label(known: &[String], name: &str) -> Result<usize> {
    let exact = known.iter().position(|label| label == name);
    let found = exact.or_else(|| {
        let same = |other: &String| known.iter().position(|label| label.eq_ignore_ascii_case(other));
        equivalents(name).iter().find_map(same)
    });
    found.ok_or_else(|| Error::Unknown { kind: "label", name: name.into(), known: known.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(known: &[&str], name: &str) -> Option<String> {
        let known: Vec<String> = known.iter().map(|name| (*name).to_string()).collect();
        find_label(&known, name).ok().map(|label| known[label].clone())
    }

    #[test]
    fn a_label_is_found_by_any_of_its_names() {
        let simulator = ["sinus", "af", "lbbb", "av-block-1", "mi-anterior-acute", "mi-anterior-old"];
        let found_in = |name: &str| found(&simulator, name);
        assert_eq!(found_in("AFIB").as_deref(), Some("af"));
        assert_eq!(found_in("164889003").as_deref(), Some("af"), "atrial fibrillation in SNOMED CT");
        assert_eq!((found_in("NORM"), found_in("SR")), (Some("sinus".into()), Some("sinus".into())));
        assert_eq!(found_in("AMI").as_deref(), Some("mi-anterior-acute"));
        assert_eq!((found_in("MI"), found_in("PACE"), found_in("A")), (None, None, None));
        let statements = ["NORM", "SR", "AFIB", "1AVB"];
        assert_eq!(found(&statements, "sinus").as_deref(), Some("SR"));
        assert_eq!(found(&statements, "av-block-1").as_deref(), Some("1AVB"));
        assert_eq!(found(&["N", "S", "V"], "v").as_deref(), Some("V"));
        assert_eq!(found(&["164889003", "426783006"], "af").as_deref(), Some("164889003"));
    }

    #[test]
    fn statements_lead_their_line_and_words_are_of_one_line() {
        let mut words = std::collections::BTreeSet::new();
        for line in SYNONYMS {
            let is_code = line.names[0].chars().all(|c| !c.is_lowercase());
            let is_known = vocabulary::find_statement(line.names[0]).is_some() || line.names[0] == "MI";
            assert!(!is_code || is_known, "{}", line.names[0]);
            for word in line.words {
                assert!(words.insert(*word), "{word} stands twice");
                assert_eq!(*word, word.to_lowercase());
            }
        }
    }
}
