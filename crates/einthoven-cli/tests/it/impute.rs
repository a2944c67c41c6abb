//! What users of `impute`, `denoise` and `edit` need not say: the generator, and the format of the result.

use std::path::Path;

use einthoven::record::{self, ReadOptions, Record};

use super::command::{TempFolder, einthoven, text};
use super::simulate::simulated;

fn read(path: &Path) -> Record {
    record::read(path.with_extension("hea"), &ReadOptions::default()).expect("a record")
}

#[test]
fn the_generator_and_the_format_need_not_be_named() {
    let folder = TempFolder::new("defaults");
    let record = simulated(&folder, "whole", &["--seconds", "10"]);
    let calls: [(&str, &[&str]); 3] =
        [("impute", &["--missing", "aVF"]), ("edit", &["--strength", "0"]), ("denoise", &["--noise", "0.02"])];
    for (verb, options) in calls {
        let call = |record: &str, out: &str| einthoven([verb, record, "--out", out].iter().chain(options));
        let out = folder.at(verb);
        let done = call(text(&record), &out);
        assert_eq!((done.code, done.stdout.lines().last()), (0, Some(&*format!("{out}.hea"))), "{}", done.stderr);
        assert_eq!(read(Path::new(&out)).leads.len(), 12);
        // What cannot be written is refused first, before the record is looked for.
        let exists = call("nowhere", &out);
        assert_eq!(exists.code, 5, "{}", exists.stderr);
        let unknown = call("nowhere", &folder.at("x.png"));
        assert_eq!(unknown.code, 2, "{}", unknown.stderr);
        assert!(unknown.stderr.contains("unknown record format \"png\""), "{}", unknown.stderr);
    }
}
