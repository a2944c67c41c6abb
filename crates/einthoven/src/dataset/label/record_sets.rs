//! Label sets for whole records, besides those of PTB-XL.
//!
//! The merged rhythms let PTB-XL and Chapman/Ningbo be one training set: a record belongs to it only if it
//! has exactly one of the classes. The scored diagnoses are those of the challenge of 2021, codes that it
//! scores as the same being one class.
//!
//! # Reference
//! Zheng et al., Scientific Data 7:48, 2020 (rhythms and their coarse groups); Reyna et al., Computing in
//! Cardiology 48, 2021; Clifford et al., Computing in Cardiology 44, 2017; Ribeiro et al., Nat Commun 11:1760, 2020.

use super::LabelSet;
use super::vocabulary::CodeSystem;

/// A set that keeps paced records, as all sets for whole records do.
const fn set(
    name: &'static str,
    summary: &'static str,
    system: CodeSystem,
    is_exclusive: bool,
    classes: &'static [(&'static str, &'static [&'static str])],
) -> LabelSet {
    LabelSet { name, summary, classes, keeps_paced: true, system, is_exclusive }
}

/// Seven rhythms that PTB-XL and Chapman/Ningbo share.
pub static MERGED_RHYTHM: LabelSet = set(
    "merged-rhythm",
    "seven rhythms that PTB-XL and Chapman/Ningbo share: SR, SB, ST, SA, AFIB, AFLT, SVT; one for each record",
    CodeSystem::Rhythm,
    true,
    &[
        ("SR", &["SR"]),
        ("SB", &["SB"]),
        ("ST", &["ST"]),
        ("SA", &["SA"]),
        ("AFIB", &["AFIB"]),
        ("AFLT", &["AFLT"]),
        ("SVT", &["SVT"]),
    ],
);

/// Four groups of those rhythms.
pub static COARSE_RHYTHM: LabelSet = set(
    "coarse-rhythm",
    "four groups of rhythms: AFIB with flutter, GSVT (all fast supraventricular ones), SB, SR with arrhythmia",
    CodeSystem::Rhythm,
    true,
    &[("AFIB", &["AFIB", "AFLT"]), ("GSVT", &["ST", "SVT"]), ("SB", &["SB"]), ("SR", &["SR", "SA"])],
);

/// The 26 scored diagnoses of the challenge of 2021.
pub static CINC2021: LabelSet = set(
    "cinc2021",
    "the 26 scored diagnoses of the PhysioNet/CinC Challenge 2021, equivalent SNOMED CT codes as one",
    CodeSystem::Snomed,
    false,
    &[
        ("AF", &["164889003"]),
        ("AFL", &["164890007"]),
        ("BBB", &["6374002"]),
        ("Brady", &["426627000"]),
        ("CLBBB|LBBB", &["733534002", "164909002"]),
        ("CRBBB|RBBB", &["713427006", "59118001"]),
        ("IAVB", &["270492004"]),
        ("IRBBB", &["713426002"]),
        ("LAD", &["39732003"]),
        ("LAnFB", &["445118002"]),
        ("LPR", &["164947007"]),
        ("LQRSV", &["251146004"]),
        ("LQT", &["111975006"]),
        ("NSIVCB", &["698252002"]),
        ("NSR", &["426783006"]),
        ("PAC|SVPB", &["284470004", "63593006"]),
        ("PR", &["10370003"]),
        ("PRWP", &["365413008"]),
        ("PVC|VPB", &["427172004", "17338001"]),
        ("QAb", &["164917005"]),
        ("RAD", &["47665007"]),
        ("SA", &["427393009"]),
        ("SB", &["426177001"]),
        ("STach", &["427084000"]),
        ("TAb", &["164934002"]),
        ("TInv", &["59931005"]),
    ],
);

/// The four classes of the challenge of 2017.
pub static CINC2017: LabelSet = set(
    "cinc2017",
    "the PhysioNet/CinC Challenge 2017: N normal, A atrial fibrillation, O other rhythm, ~ too noisy",
    CodeSystem::Own,
    true,
    &[("N", &["N"]), ("A", &["A"]), ("O", &["O"]), ("~", &["~"])],
);

/// The six abnormalities of CODE-15.
pub static CODE15: LabelSet = set(
    "code15",
    "the six abnormalities of CODE-15: 1dAVb, RBBB, LBBB, SB, ST, AF",
    CodeSystem::Scp,
    false,
    &[
        ("1dAVb", &["1AVB"]),
        ("RBBB", &["CRBBB"]),
        ("LBBB", &["CLBBB"]),
        ("SB", &["SBRAD"]),
        ("ST", &["STACH"]),
        ("AF", &["AFIB"]),
    ],
);

/// Sex as the database states it.
pub static SEX: LabelSet = set(
    "sex",
    "female or male, as the database states it",
    CodeSystem::Own,
    true,
    &[("female", &["female"]), ("male", &["male"])],
);

/// The three noises of the stress test database.
pub static NOISE: LabelSet = set(
    "noise",
    "kinds of noise: bw baseline wander, em electrode motion, ma muscle artifact",
    CodeSystem::Own,
    true,
    &[("bw", &["bw"]), ("em", &["em"]), ("ma", &["ma"])],
);

/// Whatever the data say.
pub static AS_GIVEN: LabelSet =
    set("as-given", "every code that the records carry is a label of its own", CodeSystem::Own, false, &[]);
