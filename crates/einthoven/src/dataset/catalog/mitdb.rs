//! The MIT-BIH Arrhythmia Database: 48 half-hour records of 47 people.
//!
//! # Reference
//! Moody GB, Mark RG. The impact of the MIT-BIH Arrhythmia Database. IEEE Eng in Med and Biol
//! 20(3):45-50, 2001; DS1 and DS2: de Chazal et al., IEEE Trans Biomed Eng 51(7):1196-1206, 2004.

/// Name in the catalogue, and prefix of the patient ids.
pub const NAME: &str = "mitdb";

/// The 48 records.
pub const RECORDS: [&str; 48] = [
    "100", "101", "102", "103", "104", "105", "106", "107", "108", "109", "111", "112", "113", "114", "115", "116",
    "117", "118", "119", "121", "122", "123", "124", "200", "201", "202", "203", "205", "207", "208", "209", "210",
    "212", "213", "214", "215", "217", "219", "220", "221", "222", "223", "228", "230", "231", "232", "233", "234",
];

/// Records of DS1, the published training half.
pub const DS1: [&str; 22] = [
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122", "124", "201", "203", "205", "207",
    "208", "209", "215", "220", "223", "230",
];

/// Records of DS2, the published test half.
pub const DS2: [&str; 22] = [
    "100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210", "212", "213", "214", "219", "221",
    "222", "228", "231", "232", "233", "234",
];

/// Records with a pacemaker, in neither half.
pub const PACED: [&str; 4] = ["102", "104", "107", "217"];

/// The five DS1 patients that form the validation part.
///
/// Chosen once, by counts alone, so that every class is represented on both sides: together they hold
/// 9,909 N, 201 S, 645 V, 19 F and 2 Q beats, about a fifth of DS1. 208 (90 % of DS1's F) and 209
/// (the most S) stay in training, where most of their class would otherwise be missing.
pub const VALIDATION: [&str; 5] = ["101", "116", "118", "124", "223"];

/// Patient id of a record: one per record, but 201 and 202 are the same man.
pub fn patient(record: &str) -> String {
    format!("{NAME}-{}", if record == "202" { "201" } else { record })
}
