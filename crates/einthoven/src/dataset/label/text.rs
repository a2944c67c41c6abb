//! Free text to what is wanted: a small reader of phrases and numbers that knows its words and refuses all others.
//!
//! It is a table look-up and no language model: the same text always means the same, [`Reading::understood`] says what
//! was understood, and a word that is not in the tables is an error, negations with it. Phrases are the words of
//! [`synonym`](super::synonym), the descriptions of the statements and a few words for rate, width, axis and age.

use super::synonym::SYNONYMS;
use super::vocabulary;
use crate::dataset::condition::{Fact, Sex, sex_name};
use crate::dataset::wish::Wish;
use crate::error::{Error, Result};

/// A text that was understood as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What it asks for.
    pub wish: Wish,
    /// Words of the text, and what they were taken for.
    pub understood: Vec<(String, String)>,
}

/// What a phrase stands for.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Meaning {
    Label(&'static str),
    Range(Fact, [f64; 2]),
    Sex(Sex),
    /// The number beside it is this fact.
    Names(Fact),
    Filler,
}

/// Phrases that are no labels. Ranges are those of everyday use: fast is above 100 bpm, wide is from 120 ms.
#[rustfmt::skip]
const PHRASES: &[(&[&str], Meaning)] = &[
    (&["female", "woman", "females", "women"], Meaning::Sex(Sex::Female)),
    (&["male", "man", "males", "men"], Meaning::Sex(Sex::Male)),
    (&["fast rate", "fast", "rapid rate", "rapid", "rapid ventricular response", "fast ventricular response", "tachycardic", "tachycardia", "fast heart rate"], Meaning::Range(Fact::Hr, [101.0, 150.0])),
    (&["slow rate", "slow", "slow ventricular response", "bradycardic", "bradycardia", "slow heart rate"], Meaning::Range(Fact::Hr, [40.0, 59.0])),
    (&["normal rate", "normal heart rate"], Meaning::Range(Fact::Hr, [60.0, 100.0])),
    (&["wide qrs", "broad qrs", "wide qrs complexes", "broad qrs complexes"], Meaning::Range(Fact::Qrs, [120.0, 160.0])),
    (&["narrow qrs", "narrow qrs complexes"], Meaning::Range(Fact::Qrs, [70.0, 100.0])),
    (&["left axis deviation", "left axis"], Meaning::Range(Fact::Axis, [-80.0, -31.0])),
    (&["right axis deviation", "right axis"], Meaning::Range(Fact::Axis, [100.0, 150.0])),
    (&["normal axis"], Meaning::Range(Fact::Axis, [-20.0, 80.0])),
    (&["elderly", "old"], Meaning::Range(Fact::Age, [70.0, 90.0])),
    (&["middle aged"], Meaning::Range(Fact::Age, [40.0, 60.0])),
    (&["young"], Meaning::Range(Fact::Age, [20.0, 35.0])),
    (&["heart rate", "ventricular rate", "rate", "hr", "pulse"], Meaning::Names(Fact::Hr)),
    (&["pr interval", "pr"], Meaning::Names(Fact::Pr)),
    (&["qrs duration", "qrs width", "qrs"], Meaning::Names(Fact::Qrs)),
    (&["qtc interval", "qtc"], Meaning::Names(Fact::Qtc)),
    (&["electrical axis", "qrs axis", "frontal axis", "axis"], Meaning::Names(Fact::Axis)),
    (&["age", "aged"], Meaning::Names(Fact::Age)),
    (&["a", "an", "the", "with", "and", "of", "in", "at", "is", "has", "having", "shows", "showing", "patient", "person", "adult", "ecg", "ekg", "electrocardiogram", "record", "recording", "rhythm", "12 lead", "twelve lead", "lead", "10 s", "complexes", "interval"], Meaning::Filler),
];

/// Words between a quantity and its number.
const LINKS: [&str; 8] = ["of", "is", "at", "about", "around", "between", "from", "="];
/// Words between two ends of a range.
const TO: [&str; 2] = ["to", "and"];
/// Units, with the fact that they belong to where it is just one.
#[rustfmt::skip]
const UNITS: [(&str, Option<Fact>); 14] = [
    ("beats per minute", Some(Fact::Hr)), ("bpm", Some(Fact::Hr)), ("years of age", Some(Fact::Age)),
    ("years old", Some(Fact::Age)), ("year old", Some(Fact::Age)), ("years", Some(Fact::Age)), ("year", Some(Fact::Age)),
    ("yrs", Some(Fact::Age)), ("yo", Some(Fact::Age)), ("y", Some(Fact::Age)), ("degrees", Some(Fact::Axis)), ("degree", Some(Fact::Axis)),
    ("deg", Some(Fact::Axis)), ("ms", None),
];

/// Reads a text such as `atrial fibrillation with fast rate, female, 70 years`.
///
/// # Errors
/// [`Error::Config`] with what was understood and the words that were not; for a fact that is said twice.
pub fn read(text: &str) -> Result<Reading> {
    let phrases = phrases();
    let words = words(text);
    let mut reading = Reading { wish: Wish::default(), understood: Vec::new() };
    let (mut labels, mut unknown): (Vec<&'static str>, Vec<String>) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < words.len() {
        let (n, meaning) = match number_at(&words[at..]) {
            Some((n, fact, range)) => (n, Meaning::Range(fact, range)),
            None => match phrase_at(&phrases, &words[at..]) {
                Some((n, meaning)) if !matches!(meaning, Meaning::Names(_)) => (n, meaning),
                _ => {
                    unknown.push(words[at].clone());
                    at += 1;
                    continue;
                }
            },
        };
        let said = words[at..at + n].join(" ");
        at += n;
        let meant = match meaning {
            Meaning::Label(name) => {
                if !labels.contains(&name) {
                    labels.push(name);
                }
                format!("label {name}")
            }
            Meaning::Range(fact, [low, high]) => {
                reading.wish.set_range(fact, [low, high])?;
                let unit = fact.number().map_or("", |number| number.unit);
                if low == high {
                    format!("{} {low} {unit}", fact.name())
                } else {
                    format!("{} {low} to {high} {unit}", fact.name())
                }
            }
            Meaning::Sex(sex) => {
                reading.wish.set_sex(sex)?;
                format!("sex {}", sex_name(sex))
            }
            Meaning::Names(_) | Meaning::Filler => continue,
        };
        reading.understood.push((said, meant));
    }
    if !unknown.is_empty() || reading.understood.is_empty() {
        let understood: Vec<String> =
            reading.understood.iter().map(|(said, meant)| format!("{said} = {meant}")).collect();
        let understood = if understood.is_empty() { "nothing".into() } else { understood.join("; ") };
        let unknown = if unknown.is_empty() { vec![text.trim().to_string()] } else { unknown };
        let unknown = unknown.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
        return Err(Error::config("text", format!("did not understand {unknown} (understood: {understood})")));
    }
    if !labels.is_empty() {
        reading.wish.labels.push(labels.join("+"));
    }
    Ok(reading)
}

/// Every phrase as words, with its meaning; those of the statements last, so that a shorter way to say it wins.
fn phrases() -> Vec<(Vec<String>, Meaning)> {
    let own = PHRASES.iter().flat_map(|(texts, meaning)| texts.iter().map(|text| (words(text), *meaning)));
    let lines = SYNONYMS.iter().flat_map(|line| {
        let label = Meaning::Label(line.names[0]);
        line.words.iter().chain(line.names).map(move |text| (words(text), label))
    });
    let statements = vocabulary::statements().iter().flat_map(|statement| {
        let label = Meaning::Label(statement.code);
        [(words(statement.description), label), (words(statement.code), label)]
    });
    own.chain(statements).chain(lines).collect()
}

/// The longest phrase at the start of `words`, and how many words it has.
fn phrase_at(phrases: &[(Vec<String>, Meaning)], words: &[String]) -> Option<(usize, Meaning)> {
    let mut best: Option<(usize, Meaning)> = None;
    for (phrase, meaning) in phrases.iter().filter(|(phrase, _)| !phrase.is_empty() && words.starts_with(phrase)) {
        if best.is_none_or(|(n, _)| phrase.len() > n) {
            best = Some((phrase.len(), *meaning));
        }
    }
    best
}

/// A number or range at the start of `words` with the fact that it is of, named before it or by its unit.
fn number_at(words: &[String]) -> Option<(usize, Fact, [f64; 2])> {
    let named = PHRASES
        .iter()
        .filter_map(|(texts, meaning)| match meaning {
            Meaning::Names(fact) => Some(texts.iter().map(move |text| (self::words(text), *fact))),
            _ => None,
        })
        .flatten()
        .filter(|(phrase, _)| words.starts_with(phrase))
        .map(|(phrase, fact)| (phrase.len(), fact))
        .max_by_key(|(n, _)| *n);
    let mut at = named.map_or(0, |(n, _)| n);
    if named.is_some() {
        while words.get(at).is_some_and(|word| LINKS.contains(&word.as_str())) {
            at += 1;
        }
    }
    let value = |at: usize| words.get(at).and_then(|word| word.parse::<f64>().ok()).filter(|v| v.is_finite());
    let low = value(at)?;
    at += 1;
    let high = match words.get(at).filter(|word| TO.contains(&word.as_str())).and_then(|_| value(at + 1)) {
        Some(high) => {
            at += 2;
            high
        }
        None => low,
    };
    let unit = UNITS.iter().find_map(|(unit, fact)| {
        let phrase = self::words(unit);
        words[at..].starts_with(&phrase).then_some((phrase.len(), *fact))
    });
    at += unit.map_or(0, |(n, _)| n);
    let by_unit = unit.and_then(|(_, fact)| fact);
    match (named.map(|(_, fact)| fact), by_unit) {
        (Some(named), Some(unit)) if named != unit => None,
        (named, unit) => Some((at, named.or(unit)?, [low, high])),
    }
}

/// Words and numbers of a text in lower case. A minus sign belongs to a number only after a space, `110-140` and
/// `110..140` are ranges, and letters part from the digits before them, as in `70y`.
fn words(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.to_lowercase().replace("..", " to ").replace('°', " degrees ").chars().collect();
    let mut out = vec![String::new()];
    let digit = |k: Option<usize>| k.and_then(|k| chars.get(k)).is_some_and(char::is_ascii_digit);
    for (k, &c) in chars.iter().enumerate() {
        let before = k.checked_sub(1);
        let is_start = out.last().is_none_or(String::is_empty);
        match c {
            '-' if digit(before) && digit(Some(k + 1)) => out.extend(["to".to_string(), String::new()]),
            '-' if is_start && digit(Some(k + 1)) && before.is_none_or(|k| chars[k].is_whitespace()) => {
                push(&mut out, c)
            }
            '.' if digit(before) && digit(Some(k + 1)) => push(&mut out, c),
            '=' => out.extend(["=".to_string(), String::new()]),
            _ if !c.is_alphanumeric() => out.push(String::new()),
            _ if c.is_alphabetic() && digit(before) => out.push(c.to_string()),
            _ => push(&mut out, c),
        }
    }
    out.retain(|word| !word.is_empty());
    out
}

fn push(out: &mut [String], c: char) {
    if let Some(word) = out.last_mut() {
        word.push(c);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<String> {
        read(text).unwrap().wish.labels
    }

    #[test]
    fn a_sentence_becomes_labels_and_numbers() {
        let reading = read("Atrial fibrillation with fast rate, female, 70 years").unwrap();
        assert_eq!(reading.wish.labels, ["AFIB"]);
        assert_eq!(reading.wish.numbers, [(Fact::Hr, [101.0, 150.0]), (Fact::Age, [70.0, 70.0])]);
        assert_eq!(reading.wish.sex, Some(Sex::Female));
        assert_eq!(reading.understood[3], ("70 years".to_string(), "age 70 years".to_string()));
        assert_eq!(read("atrial fibrillation with fast rate, female, 70 years").unwrap(), reading);
    }

    #[test]
    fn labels_are_found_by_code_description_and_common_words() {
        for (text, label) in [
            ("first-degree AV block", "1AVB"),
            ("1AVB", "1AVB"),
            ("normal ECG", "NORM"),
            ("normal sinus rhythm", "SR"),
            ("sinus tachycardia", "STACH"),
            ("ventricular tachycardia", "vt"),
            ("inferior myocardial infarction", "IMI"),
            ("left bundle branch block", "CLBBB"),
            ("Wolff-Parkinson-White", "WPW"),
            ("premature ventricular complexes", "PVC"),
            ("afib and right bundle branch block", "AFIB+CRBBB"),
        ] {
            assert_eq!(labels(text), [label], "{text}");
        }
    }

    #[test]
    fn numbers_take_their_name_unit_and_range() {
        let of = |text: &str| read(text).unwrap().wish.numbers;
        assert_eq!(of("70-year-old man, heart rate 110-140"), [(Fact::Age, [70.0; 2]), (Fact::Hr, [110.0, 140.0])]);
        assert_eq!(of("120 bpm"), [(Fact::Hr, [120.0; 2])]);
        assert_eq!(of("hr = 55.5"), [(Fact::Hr, [55.5; 2])]);
        assert_eq!(of("axis -30 degrees"), [(Fact::Axis, [-30.0; 2])]);
        assert_eq!(
            of("QRS duration of 120 to 140 ms, PR 180ms"),
            [(Fact::Qrs, [120.0, 140.0]), (Fact::Pr, [180.0; 2])]
        );
        assert_eq!(
            of("qtc between 450 and 480 ms; aged 60..70"),
            [(Fact::Qtc, [450.0, 480.0]), (Fact::Age, [60.0, 70.0])]
        );
    }

    #[test]
    fn what_is_not_understood_is_refused_with_what_was() {
        let refused = |text: &str| read(text).unwrap_err().to_string();
        let message = refused("atrial fibrillation without palpitations");
        assert!(message.contains("\"without\", \"palpitations\"") && message.contains("label AFIB"), "{message}");
        assert!(refused("").contains("nothing"));
        assert!(refused("120 ms").contains("\"120\""), "a duration of nothing");
        assert!(refused("rate 70 years").contains("not understand"), "unit and name differ");
        assert!(refused("male, female").contains("twice"));
        assert!(refused("fast, 60 bpm").contains("twice"));
        assert!(refused("hr 5000 bpm").contains("15 to 350"));
        assert!(refused("qt 400 ms").contains("\"qt\""));
    }
}
