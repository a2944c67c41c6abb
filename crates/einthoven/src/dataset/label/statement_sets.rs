//! The label sets of PTB-XL: its 71 statements, and the groups that its table of statements makes of them.
//!
//! The groups follow from `statements.csv`; a test compares them, so that neither can change alone.
//!
//! # Reference
//! Wagner et al., Scientific Data 7:154, 2020, tables 5-7; the columns of `scp_statements.csv`.

use super::LabelSet;
use super::vocabulary::CodeSystem;

/// Every statement as a class of its own: the diagnostic ones, the rest of those on form, those on rhythm.
const STATEMENTS: &[(&str, &[&str])] = &[
    ("NDT", &["NDT"]),
    ("NST_", &["NST_"]),
    ("DIG", &["DIG"]),
    ("LNGQT", &["LNGQT"]),
    ("NORM", &["NORM"]),
    ("IMI", &["IMI"]),
    ("ASMI", &["ASMI"]),
    ("LVH", &["LVH"]),
    ("LAFB", &["LAFB"]),
    ("ISC_", &["ISC_"]),
    ("IRBBB", &["IRBBB"]),
    ("1AVB", &["1AVB"]),
    ("IVCD", &["IVCD"]),
    ("ISCAL", &["ISCAL"]),
    ("CRBBB", &["CRBBB"]),
    ("CLBBB", &["CLBBB"]),
    ("ILMI", &["ILMI"]),
    ("LAO/LAE", &["LAO/LAE"]),
    ("AMI", &["AMI"]),
    ("ALMI", &["ALMI"]),
    ("ISCIN", &["ISCIN"]),
    ("INJAS", &["INJAS"]),
    ("LMI", &["LMI"]),
    ("ISCIL", &["ISCIL"]),
    ("LPFB", &["LPFB"]),
    ("ISCAS", &["ISCAS"]),
    ("INJAL", &["INJAL"]),
    ("ISCLA", &["ISCLA"]),
    ("RVH", &["RVH"]),
    ("ANEUR", &["ANEUR"]),
    ("RAO/RAE", &["RAO/RAE"]),
    ("EL", &["EL"]),
    ("WPW", &["WPW"]),
    ("ILBBB", &["ILBBB"]),
    ("IPLMI", &["IPLMI"]),
    ("ISCAN", &["ISCAN"]),
    ("IPMI", &["IPMI"]),
    ("SEHYP", &["SEHYP"]),
    ("INJIN", &["INJIN"]),
    ("INJLA", &["INJLA"]),
    ("PMI", &["PMI"]),
    ("3AVB", &["3AVB"]),
    ("INJIL", &["INJIL"]),
    ("2AVB", &["2AVB"]),
    ("ABQRS", &["ABQRS"]),
    ("PVC", &["PVC"]),
    ("STD_", &["STD_"]),
    ("VCLVH", &["VCLVH"]),
    ("QWAVE", &["QWAVE"]),
    ("LOWT", &["LOWT"]),
    ("NT_", &["NT_"]),
    ("PAC", &["PAC"]),
    ("LPR", &["LPR"]),
    ("INVT", &["INVT"]),
    ("LVOLT", &["LVOLT"]),
    ("HVOLT", &["HVOLT"]),
    ("TAB_", &["TAB_"]),
    ("STE_", &["STE_"]),
    ("PRC(S)", &["PRC(S)"]),
    ("SR", &["SR"]),
    ("AFIB", &["AFIB"]),
    ("STACH", &["STACH"]),
    ("SARRH", &["SARRH"]),
    ("SBRAD", &["SBRAD"]),
    ("PACE", &["PACE"]),
    ("SVARR", &["SVARR"]),
    ("BIGU", &["BIGU"]),
    ("AFLT", &["AFLT"]),
    ("SVTAC", &["SVTAC"]),
    ("PSVT", &["PSVT"]),
    ("TRIGU", &["TRIGU"]),
];

/// How many of them are diagnostic.
const N_DIAGNOSTIC: usize = 44;

/// Where those on rhythm begin.
const FIRST_RHYTHM: usize = 59;

/// The 71 SCP-ECG statements of PTB-XL, several for each record.
pub static ALL: LabelSet = LabelSet {
    name: "ptbxl-all",
    summary: "the 71 SCP-ECG statements of PTB-XL, several for each record",
    classes: STATEMENTS,
    keeps_paced: true,
    system: CodeSystem::Scp,
    is_exclusive: false,
};

/// The 44 diagnostic statements of PTB-XL.
pub static DIAGNOSTIC: LabelSet = LabelSet {
    name: "diagnostic",
    summary: "the 44 diagnostic statements of PTB-XL",
    classes: STATEMENTS.split_at(N_DIAGNOSTIC).0,
    keeps_paced: true,
    system: CodeSystem::Scp,
    is_exclusive: false,
};

/// The 23 diagnostic subclasses of PTB-XL.
pub static SUBCLASS: LabelSet = LabelSet {
    name: "subclass",
    summary: "the 23 diagnostic subclasses of PTB-XL",
    classes: &[
        ("STTC", &["NDT", "DIG", "LNGQT", "ANEUR", "EL"]),
        ("NST_", &["NST_"]),
        ("NORM", &["NORM"]),
        ("IMI", &["IMI", "ILMI", "IPLMI", "IPMI", "INJIN", "INJIL"]),
        ("AMI", &["ASMI", "AMI", "ALMI", "INJAS", "INJAL", "INJLA"]),
        ("LVH", &["LVH"]),
        ("LAFB/LPFB", &["LAFB", "LPFB"]),
        ("ISC_", &["ISC_"]),
        ("IRBBB", &["IRBBB"]),
        ("_AVB", &["1AVB", "3AVB", "2AVB"]),
        ("IVCD", &["IVCD"]),
        ("ISCA", &["ISCAL", "ISCAS", "ISCLA", "ISCAN"]),
        ("CRBBB", &["CRBBB"]),
        ("CLBBB", &["CLBBB"]),
        ("LAO/LAE", &["LAO/LAE"]),
        ("ISCI", &["ISCIN", "ISCIL"]),
        ("LMI", &["LMI"]),
        ("RVH", &["RVH"]),
        ("RAO/RAE", &["RAO/RAE"]),
        ("WPW", &["WPW"]),
        ("ILBBB", &["ILBBB"]),
        ("SEHYP", &["SEHYP"]),
        ("PMI", &["PMI"]),
    ],
    keeps_paced: true,
    system: CodeSystem::Scp,
    is_exclusive: false,
};

/// The five diagnostic classes of PTB-XL: NORM, MI, STTC, CD, HYP.
pub static SUPERCLASS: LabelSet = LabelSet {
    name: "superclass",
    summary: "the five diagnostic classes of PTB-XL: NORM, MI, STTC, CD, HYP",
    classes: &[
        ("NORM", &["NORM"]),
        (
            "MI",
            &[
                "IMI", "ASMI", "ILMI", "AMI", "ALMI", "INJAS", "LMI", "INJAL", "IPLMI", "IPMI", "INJIN", "INJLA",
                "PMI", "INJIL",
            ],
        ),
        (
            "STTC",
            &[
                "NDT", "NST_", "DIG", "LNGQT", "ISC_", "ISCAL", "ISCIN", "ISCIL", "ISCAS", "ISCLA", "ANEUR", "EL",
                "ISCAN",
            ],
        ),
        ("CD", &["LAFB", "IRBBB", "1AVB", "IVCD", "CRBBB", "CLBBB", "LPFB", "WPW", "ILBBB", "3AVB", "2AVB"]),
        ("HYP", &["LVH", "LAO/LAE", "RVH", "RAO/RAE", "SEHYP"]),
    ],
    keeps_paced: true,
    system: CodeSystem::Scp,
    is_exclusive: false,
};

/// The 19 statements of PTB-XL on the form of waves.
pub static FORM: LabelSet = LabelSet {
    name: "form",
    summary: "the 19 statements of PTB-XL on the form of waves",
    classes: &[
        ("NDT", &["NDT"]),
        ("NST_", &["NST_"]),
        ("DIG", &["DIG"]),
        ("LNGQT", &["LNGQT"]),
        ("ABQRS", &["ABQRS"]),
        ("PVC", &["PVC"]),
        ("STD_", &["STD_"]),
        ("VCLVH", &["VCLVH"]),
        ("QWAVE", &["QWAVE"]),
        ("LOWT", &["LOWT"]),
        ("NT_", &["NT_"]),
        ("PAC", &["PAC"]),
        ("LPR", &["LPR"]),
        ("INVT", &["INVT"]),
        ("LVOLT", &["LVOLT"]),
        ("HVOLT", &["HVOLT"]),
        ("TAB_", &["TAB_"]),
        ("STE_", &["STE_"]),
        ("PRC(S)", &["PRC(S)"]),
    ],
    keeps_paced: true,
    system: CodeSystem::Scp,
    is_exclusive: false,
};

/// The 12 rhythm statements of PTB-XL.
pub static RHYTHM: LabelSet = LabelSet {
    name: "rhythm",
    summary: "the 12 rhythm statements of PTB-XL",
    classes: STATEMENTS.split_at(FIRST_RHYTHM).1,
    keeps_paced: true,
    system: CodeSystem::Scp,
    is_exclusive: false,
};

/// Seventeen findings of rhythm, conduction, hypertrophy, infarction and repolarization.
pub static CLINICAL: LabelSet = LabelSet {
    name: "clinical",
    summary: "17 findings that PTB-XL has often enough to learn: rhythm, conduction, hypertrophy, infarction, ST-T",
    classes: &[
        ("NORM", &["NORM"]),
        ("SR", &["SR"]),
        ("SBRAD", &["SBRAD"]),
        ("STACH", &["STACH"]),
        ("SARRH", &["SARRH"]),
        ("AFIB", &["AFIB"]),
        ("PAC", &["PAC"]),
        ("PVC", &["PVC", "BIGU", "TRIGU"]),
        ("1AVB", &["1AVB"]),
        ("LAFB", &["LAFB"]),
        ("IRBBB", &["IRBBB"]),
        ("CRBBB", &["CRBBB"]),
        ("CLBBB", &["CLBBB"]),
        ("LVH", &["LVH"]),
        ("IMI", &["IMI", "ILMI", "IPLMI", "IPMI", "INJIN", "INJIL"]),
        ("AMI", &["ASMI", "AMI", "ALMI", "INJAS", "INJAL", "INJLA"]),
        (
            "STTC",
            &[
                "NDT", "NST_", "DIG", "LNGQT", "ISC_", "ISCAL", "ISCIN", "ISCIL", "ISCAS", "ISCLA", "ANEUR", "EL",
                "ISCAN",
            ],
        ),
    ],
    keeps_paced: true,
    system: CodeSystem::Scp,
    is_exclusive: false,
};
