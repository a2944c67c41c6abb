//! The order and number of elements of our aECG documents, by the rules of the published message type.
//!
//! The table repeats, in our words, what `PORT_MT020001.xsd` of December 2003 (HL7, as the FDA's `aecg-python` carries it)
//! says of the elements that we write: children in their order, how often each may come, and the attributes that an
//! element needs. It is no validator: types of other elements and values from vocabularies are not looked at.

use einthoven::record::{WriteOptions, write};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::*;
use crate::folder::TempFolder;

/// How often a child may come.
#[derive(Clone, Copy, PartialEq)]
enum Times {
    Once,
    AtMostOnce,
    OnceOrMore,
    Any,
}
use Times::{Any, AtMostOnce, Once, OnceOrMore};

/// Children of an element in their order. `component` and `componentOf` differ by what holds them.
const CHILDREN: &[(&str, &[(&str, Times)])] = &[
    (
        "AnnotatedECG",
        &[
            ("id", Once),
            ("code", Once),
            ("text", AtMostOnce),
            ("effectiveTime", Once),
            ("confidentialityCode", AtMostOnce),
            ("reasonCode", AtMostOnce),
            ("componentOf", Once),
            ("definition", AtMostOnce),
            ("location", AtMostOnce),
            ("controlVariable", Any),
            ("pertainsTo", Any),
            ("component", Any),
        ],
    ),
    ("AnnotatedECG/componentOf", &[("timepointEvent", Once)]),
    (
        "timepointEvent",
        &[
            ("code", AtMostOnce),
            ("effectiveTime", AtMostOnce),
            ("reasonCode", Any),
            ("performer", AtMostOnce),
            ("componentOf", Once),
        ],
    ),
    ("timepointEvent/componentOf", &[("subjectAssignment", Once)]),
    ("subjectAssignment", &[("subject", Once), ("definition", AtMostOnce), ("componentOf", Once)]),
    ("subject", &[("trialSubject", Once)]),
    ("trialSubject", &[("id", Once), ("code", AtMostOnce), ("subjectDemographicPerson", AtMostOnce)]),
    ("subjectAssignment/componentOf", &[("clinicalTrial", Once)]),
    ("clinicalTrial", &[("id", Once), ("title", AtMostOnce), ("activityTime", AtMostOnce)]),
    ("AnnotatedECG/component", &[("series", Once)]),
    (
        "series",
        &[
            ("id", AtMostOnce),
            ("code", Once),
            ("effectiveTime", Once),
            ("author", AtMostOnce),
            ("secondaryPerformer", Any),
            ("support", AtMostOnce),
            ("controlVariable", Any),
            ("component", OnceOrMore),
            ("subjectOf", Any),
            ("derivation", Any),
        ],
    ),
    ("series/component", &[("sequenceSet", Once)]),
    ("sequenceSet", &[("controlVariable", Any), ("component", OnceOrMore)]),
    ("sequenceSet/component", &[("sequence", Once)]),
    ("sequence", &[("code", Once), ("value", Once)]),
    ("GLIST_TS", &[("head", Once), ("increment", Once)]),
    ("GLIST_PQ", &[("head", Once), ("increment", Once)]),
    ("SLIST_PQ", &[("origin", Once), ("scale", Once), ("digits", Once)]),
];

/// An element with what it holds.
struct Element {
    name: String,
    attributes: Vec<(String, String)>,
    text: String,
    children: Vec<Element>,
}

impl Element {
    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

fn element(start: &BytesStart) -> Element {
    let attributes = start.attributes().map(|attribute| {
        let attribute = attribute.unwrap();
        (attribute.key.as_ref().to_string(), attribute.value.to_string())
    });
    Element {
        name: start.name().as_ref().to_string(),
        attributes: attributes.collect(),
        text: String::new(),
        children: Vec::new(),
    }
}

fn parse(text: &str) -> Element {
    let mut reader = Reader::from_str(text);
    let root = Element { name: String::new(), attributes: Vec::new(), text: String::new(), children: Vec::new() };
    let mut open = vec![root];
    loop {
        let event = reader.read_event().unwrap();
        match event {
            Event::Start(start) => open.push(element(&start)),
            Event::Empty(start) => open.last_mut().unwrap().children.push(element(&start)),
            Event::End(_) => {
                let done = open.pop().unwrap();
                open.last_mut().unwrap().children.push(done);
            }
            Event::Text(text) => open.last_mut().unwrap().text += &text,
            Event::Eof => return open.remove(0).children.remove(0),
            _ => {}
        }
    }
}

/// Checks an element and all below it against the table.
fn check(element: &Element, parent: &str) {
    let kind = element.attribute("xsi:type").unwrap_or(&element.name);
    let within = format!("{parent}/{kind}");
    let rule = CHILDREN.iter().find(|(name, _)| *name == within || *name == kind);
    if let Some((_, rule)) = rule {
        let mut rest = &element.children[..];
        for (name, times) in *rule {
            let n = rest.iter().take_while(|child| child.name == *name).count();
            let is_right = match times {
                Once => n == 1,
                AtMostOnce => n <= 1,
                OnceOrMore => n >= 1,
                Any => true,
            };
            assert!(is_right, "{within}: found {n} times {name}");
            rest = &rest[n..];
        }
        assert!(rest.is_empty(), "{within}: {} is out of place", rest[0].name);
    } else {
        let leaves =
            ["id", "code", "text", "effectiveTime", "title", "head", "increment", "origin", "scale", "digits", "low"];
        assert!(leaves.contains(&element.name.as_str()), "{within} is not in the table");
    }
    let has = |name: &str| element.attribute(name).is_some();
    match element.name.as_str() {
        // A value or the reason why there is none, never both.
        "id" => assert!(has("root") != has("nullFlavor"), "{within}"),
        "code" => assert!(has("code") != has("nullFlavor") && has("codeSystem"), "{within}"),
        "increment" | "origin" | "scale" => {
            assert!(element.attribute("value").unwrap().parse::<f64>().unwrap().is_finite(), "{within}");
            // Units are codes, which have no blanks.
            assert!(!element.attribute("unit").unwrap().contains(char::is_whitespace), "{within}");
        }
        "digits" => assert!(element.text.split(' ').all(|digit| digit.parse::<i64>().is_ok()), "{within}"),
        "low" => {
            assert!(element.attribute("value").unwrap().bytes().all(|b| b.is_ascii_digit() || b == b'.'), "{within}")
        }
        _ => {}
    }
    element.children.iter().for_each(|child| check(child, &element.name));
}

#[test]
fn documents_follow_the_published_message_type() {
    let folder = TempFolder::new("aecg-structure");
    let mut record = Record::new("x", 500.0);
    record.sig_len = 5;
    record.leads.push(Lead::new("II", 1000.0, vec![1, MISSING, -3, 4, 5]));
    record.leads.push(Lead { samples_per_frame: 2, ..Lead::new("Resp", 7.0, (0..10).collect()) });
    record.leads[1].units = "mm Hg".into();
    let mut dated = record.clone();
    (dated.base_date, dated.base_time) = (Some("01/02/1990".into()), Some("10:11:12.5".into()));
    dated.comments = vec!["Synthetic: yes".into(), "a < b & c".into()];
    for (name, record) in [("plain", &record), ("dated", &dated)] {
        let path = folder.path().join(format!("{name}.xml"));
        write(record, &path, &WriteOptions::default()).unwrap();
        let root = parse(&std::fs::read_to_string(&path).unwrap());
        assert_eq!((root.name.as_str(), root.attribute("xmlns")), ("AnnotatedECG", Some("urn:hl7-org:v3")));
        check(&root, "");
    }
}
