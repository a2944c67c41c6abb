//! What a label says of rate and intervals by its definition, and wishes that contradict it.
//!
//! A generator that learned from data is free to be asked for a bradycardia of 120 bpm, and what it then makes is neither.
//! That is no error, since databases hold such labels too, but whoever asks is told. The table is short on purpose: it
//! holds limits that define a finding, not those that are usual in it.
//!
//! # Reference
//! Rates, PR and QRS: Meek and Morris, ABC of clinical electrocardiography, Introduction II: basic terminology, BMJ 324
//! (2002) 470. Bundle branch blocks and pre-excitation: Surawicz et al., AHA/ACCF/HRS recommendations III, Circulation 119
//! (2009) e235. QTc: Rautaharju et al., the same IV, Circulation 119 (2009) e241, the limit of men.

use super::synonym::equivalents;
use crate::dataset::condition::Fact;
use crate::dataset::wish::{Turns, Wish};

/// What a finding says of a number.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Says {
    /// It lies between these, by definition; an end that is not defined is infinite.
    Within([f64; 2]),
    /// There is none.
    Absent,
}

struct Definition {
    /// The finding by the best known of its names.
    name: &'static str,
    fact: Fact,
    says: Says,
}

const fn within(name: &'static str, fact: Fact, low: f64, high: f64) -> Definition {
    Definition { name, fact, says: Says::Within([low, high]) }
}

const fn absent(name: &'static str, fact: Fact) -> Definition {
    Definition { name, fact, says: Says::Absent }
}

const NORMAL: &str = "NORM";
const ANY: f64 = f64::INFINITY;

#[rustfmt::skip]
static DEFINITIONS: &[Definition] = &[
    within(NORMAL, Fact::Hr, 60.0, 100.0),
    within(NORMAL, Fact::Pr, 120.0, 200.0),
    within(NORMAL, Fact::Qrs, 0.0, 120.0),
    within(NORMAL, Fact::Qtc, 0.0, 460.0),
    within("SBRAD", Fact::Hr, 0.0, 60.0),
    within("STACH", Fact::Hr, 100.0, ANY),
    within("SVTAC", Fact::Hr, 100.0, ANY),
    within("vt", Fact::Hr, 100.0, ANY),
    within("1AVB", Fact::Pr, 200.0, ANY),
    within("WPW", Fact::Pr, 0.0, 120.0),
    within("CLBBB", Fact::Qrs, 120.0, ANY),
    within("CRBBB", Fact::Qrs, 120.0, ANY),
    within("LNGQT", Fact::Qtc, 450.0, ANY),
    absent("AFIB", Fact::Pr),
    absent("AFLT", Fact::Pr),
    absent("3AVB", Fact::Pr),
    absent("vt", Fact::Pr),
    absent("vf", Fact::Pr),
    absent("vf", Fact::Hr),
];

/// What a wish asks for that its labels rule out, a line each: numbers outside the definition of a label, and labels whose
/// definitions exclude each other. Turns with shares of labels, which are meant to lie between, contradict nothing.
///
/// `turns` are positions among the labels `known`.
pub fn contradictions(wish: &Wish, turns: &Turns, known: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |line: String| {
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for turn in turns.iter().filter(|turn| turn.iter().all(|(_, share)| *share == 1.0)) {
        let labels: Vec<(&str, Vec<&Definition>)> =
            turn.iter().map(|&(label, _)| (known[label].as_str(), of_label(&known[label]))).collect();
        for (label, definitions) in &labels {
            definitions.iter().filter_map(|definition| against(definition, label, wish)).for_each(&mut add);
        }
        for (k, (a, of_a)) in labels.iter().enumerate() {
            for (b, of_b) in &labels[k + 1..] {
                of_a.iter().flat_map(|x| of_b.iter().filter_map(|y| exclude(x, a, y, b))).for_each(&mut add);
            }
        }
    }
    lines
}

/// What is defined of a label, by any of its names.
fn of_label(label: &str) -> Vec<&'static Definition> {
    let names = equivalents(label);
    DEFINITIONS.iter().filter(|definition| names.iter().any(|name| name == definition.name)).collect()
}

/// How a wished number contradicts a definition.
fn against(definition: &Definition, label: &str, wish: &Wish) -> Option<String> {
    let (_, [low, high]) = wish.numbers.iter().find(|(fact, _)| *fact == definition.fact)?;
    let (number, name) = (definition.fact.number()?, definition.fact.name());
    let asked = if low == high { format!("{low}") } else { format!("{low}..{high}") };
    let asked = format!("{label} with {name} {asked} {}", number.unit);
    match definition.says {
        Says::Absent => Some(format!("{asked}: {label} has no {name}")),
        Says::Within([from, to]) if *low < from || *high > to => {
            Some(format!("{asked}: {label} is by definition {}", in_words([from, to], number.unit)))
        }
        Says::Within(_) => None,
    }
}

/// How two definitions exclude each other. A normal ECG is left out: databases call those normal too that differ in one
/// number alone.
fn exclude(x: &Definition, a: &str, y: &Definition, b: &str) -> Option<String> {
    if x.fact != y.fact || x.name == NORMAL || y.name == NORMAL {
        return None;
    }
    let (unit, name) = (x.fact.number()?.unit, x.fact.name());
    let of = |says: Says| match says {
        Says::Absent => format!("no {name}"),
        Says::Within(range) => format!("{name} {}", in_words(range, unit)),
    };
    let is_excluded = match (x.says, y.says) {
        (Says::Within(one), Says::Within(other)) => one[1] <= other[0] || other[1] <= one[0],
        (one, other) => one != other,
    };
    is_excluded.then(|| format!("{a} with {b}: {a} has {}, {b} has {}", of(x.says), of(y.says)))
}

fn in_words([low, high]: [f64; 2], unit: &str) -> String {
    match (low > 0.0, high < ANY) {
        (true, true) => format!("{low} to {high} {unit}"),
        (true, false) => format!("{low} {unit} or more"),
        (false, _) => format!("{high} {unit} or less"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::dipole::condition::Condition;
    use crate::simulate::dipole::{CONDITIONS, Request};

    fn lines(labels: &str, numbers: &[(Fact, &str)]) -> Vec<String> {
        let known: Vec<String> =
            ["NORM", "SBRAD", "STACH", "AFIB", "AFLT", "1AVB", "CLBBB", "sinus"].map(String::from).to_vec();
        let mut wish = Wish { labels: labels.split(',').map(String::from).collect(), ..Wish::default() };
        numbers.iter().for_each(|(fact, text)| wish.add(*fact, text).unwrap());
        let turns = wish.turns(&known).unwrap();
        contradictions(&wish, &turns, &known)
    }

    #[test]
    fn numbers_outside_a_definition_are_told_once() {
        for (label, fact, number, part) in [
            ("SBRAD", Fact::Hr, "120", "SBRAD with hr 120 bpm: SBRAD is by definition 60 bpm or less"),
            ("STACH", Fact::Hr, "60", "100 bpm or more"),
            ("tachycardia", Fact::Hr, "90..120", "STACH with hr 90..120 bpm"),
            ("NORM", Fact::Hr, "250", "60 to 100 bpm"),
            ("AFIB", Fact::Pr, "160", "AFIB has no pr"),
            ("AFLT", Fact::Pr, "160", "AFLT has no pr"),
            ("CLBBB", Fact::Qrs, "90", "120 ms or more"),
            ("sinus", Fact::Hr, "250", "60 to 100 bpm"),
        ] {
            let found = lines(&format!("{label},{label}"), &[(fact, number)]);
            assert!(found.len() == 1 && found[0].contains(part), "{label}: {found:?}");
        }
        for (label, fact, number) in
            [("SBRAD", Fact::Hr, "50"), ("AFIB", Fact::Hr, "140"), ("NORM", Fact::Pr, "150"), ("1AVB", Fact::Pr, "240")]
        {
            assert_eq!(lines(label, &[(fact, number)]), Vec::<String>::new());
        }
        assert_eq!(lines("NORM,SBRAD,AFIB", &[(Fact::Hr, "150"), (Fact::Pr, "150")]).len(), 3);
    }

    #[test]
    fn labels_that_exclude_each_other_are_told_and_mixtures_are_not() {
        assert!(lines("SBRAD+STACH", &[])[0].starts_with("SBRAD with STACH: SBRAD has hr 60 bpm or less"));
        assert!(lines("AFIB+1AVB", &[])[0].contains("AFIB has no pr, 1AVB has pr 200 ms or more"));
        for fine in ["AFIB+CLBBB", "AFIB+AFLT", "NORM+SBRAD", "SBRAD:0.5+STACH:0.5", "SBRAD,STACH"] {
            assert_eq!(lines(fine, &[]), Vec::<String>::new(), "{fine}");
        }
    }

    #[test]
    fn the_simulator_holds_the_same_definitions() {
        for entry in CONDITIONS {
            for definition in of_label(entry.name).iter().filter(|definition| definition.name != NORMAL) {
                let condition = Condition::parse(entry.name).unwrap();
                match (definition.fact, definition.says) {
                    (Fact::Pr, Says::Absent) => assert!(!condition.has_pr(), "{}", entry.name),
                    (Fact::Hr, Says::Absent) => assert!(!condition.has_beats(), "{}", entry.name),
                    (Fact::Hr, Says::Within([low, high])) => {
                        let asked = |hr| Request { hr_bpm: Some(hr), ..Request::new(entry.name).unwrap() }.validate();
                        assert!(low == 0.0 || asked(low - 10.0).is_err(), "{}", entry.name);
                        assert!(high == ANY || asked(high + 10.0).is_err(), "{}", entry.name);
                    }
                    _ => {}
                }
            }
        }
    }
}
