//! The rules of ARCHITECTURE.md and CONTRIBUTING.md that a machine can check, read from the sources.
//!
//! Each rule is a function from a file to its violations, so that a test can also show it a planted one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Level of each top-level module. A module uses lower levels and itself.
const LEVELS: &[(&str, u8)] = &[
    ("error", 0),
    ("seed", 0),
    ("config", 0),
    ("registry", 0),
    ("run", 0),
    ("record", 1),
    ("signal", 2),
    ("beat", 3),
    ("simulate", 3),
    ("dataset", 4),
    ("metrics", 4),
    ("nn", 5),
    ("diffusion", 6),
    ("delineators", 6),
    ("generators", 7),
    ("classifiers", 7),
    ("evaluation", 8),
    ("report", 9),
    ("experiment", 10),
];

/// Modules of level 0 that everything else at level 0 may stand on: the error type and the streams.
const GROUND: &[&str] = &["error", "seed"];

/// Modules that may import the tensor framework.
const FRAMEWORK: &[&str] = &["nn", "diffusion", "generators", "classifiers", "experiment"];

/// Longest file, in lines without its unit tests, that needs no reason.
const MAX_LINES: usize = 500;

/// How the reason for a longer file begins, in its module documentation.
const REASON: &str = "One file because";

/// Macros that no library code may call.
const FORBIDDEN_MACROS: &[&str] = &["todo!", "unimplemented!", "dbg!", "println!", "eprintln!", "print!", "eprint!"];

/// File names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "helper", "helpers", "common", "manager", "misc"];

/// A source file of the library.
struct Source {
    /// Path from `src/`, with slashes.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        Source { path: path.into(), text: text.into() }
    }

    /// The top-level module that the file belongs to; empty for `lib.rs`.
    fn module(&self) -> &str {
        let first = self.path.split('/').next().unwrap_or_default();
        match first.strip_suffix(".rs") {
            Some("lib") => "",
            Some(name) => name,
            None => first,
        }
    }

    /// The text before the unit tests, which stand at the end of a file.
    fn without_tests(&self) -> &str {
        self.text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// Lines of code with their numbers: neither tests nor comments.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.without_tests().lines().enumerate();
        lines.map(|(index, line)| (index + 1, line.split(" // ").next().unwrap_or_default())).filter(|(_, line)| {
            let line = line.trim_start();
            !line.starts_with("//") && !line.is_empty()
        })
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let parts = path.strip_prefix(&src).unwrap().iter().map(|part| part.to_string_lossy());
                let name = parts.collect::<Vec<_>>().join("/");
                sources.push(Source { path: name, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 50, "only {} files found under {}", sources.len(), src.display());
    sources
}

/// Fails with every violation of a rule in the library.
fn check(rule: fn(&Source) -> Vec<String>) {
    let violations: Vec<String> = sources().iter().flat_map(rule).collect();
    assert!(violations.is_empty(), "{} violation(s):\n{}", violations.len(), violations.join("\n"));
}

fn level(module: &str) -> Option<u8> {
    LEVELS.iter().find(|(name, _)| *name == module).map(|(_, level)| *level)
}

/// Top-level modules named after `crate::` in the text, with a brace list taken apart.
fn used_modules(code: &str) -> BTreeSet<String> {
    let name_of = |path: &str| path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut found = BTreeSet::new();
    for (start, matched) in code.match_indices("crate::") {
        let rest = &code[start + matched.len()..];
        let Some(list) = rest.strip_prefix('{') else {
            found.insert(name_of(rest));
            continue;
        };
        let (mut depth, mut item_start) = (0, 0);
        for (at, c) in list.char_indices() {
            let ends = c == '}' && depth == 0;
            if ends || (c == ',' && depth == 0) {
                found.insert(name_of(&list[item_start..at]));
                item_start = at + 1;
            }
            match c {
                _ if ends => break,
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    found.retain(|name| name.starts_with(|c: char| c.is_lowercase()));
    found
}

fn upward_dependencies(source: &Source) -> Vec<String> {
    let module = source.module();
    if module.is_empty() {
        return Vec::new();
    }
    let Some(own) = level(module) else {
        return vec![format!("{}: module {module} has no level; give it one here and in ARCHITECTURE.md", source.path)];
    };
    let code: Vec<&str> = source.code().map(|(_, line)| line).collect();
    used_modules(&code.join("\n"))
        .into_iter()
        .filter(|used| used != module)
        .filter_map(|used| match level(&used) {
            None => Some(format!("{}: crate::{used} has no level", source.path)),
            Some(other) if other < own || GROUND.contains(&used.as_str()) => None,
            Some(other) => Some(format!("{} (level {own}) uses crate::{used} (level {other})", source.path)),
        })
        .collect()
}

/// A chain of `super` that reaches the root hides a dependency from the rule above.
fn hidden_dependencies(source: &Source) -> Vec<String> {
    let folders = source.path.matches('/').count();
    let depth = folders + usize::from(!source.path.ends_with("mod.rs"));
    let to_root = "super::".repeat(depth);
    let lines = source.code().filter(|(_, line)| depth > 0 && line.contains(&to_root));
    lines
        .map(|(number, line)| format!("{}:{number}: name it from crate:: instead: {}", source.path, line.trim()))
        .collect()
}

fn forbidden_macros(source: &Source) -> Vec<String> {
    let is_call = |line: &str, name: &str| {
        line.match_indices(name).any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
    };
    source
        .code()
        .flat_map(|(number, line)| {
            FORBIDDEN_MACROS.iter().filter(move |name| is_call(line, name)).map(move |name| (number, *name))
        })
        .map(|(number, name)| format!("{}:{number}: {name}", source.path))
        .collect()
}

fn misplaced_unsafe(source: &Source) -> Vec<String> {
    if source.path.starts_with("nn/kernel") {
        return Vec::new();
    }
    let is_unsafe = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == "unsafe");
    let lines = source.code().filter(|(_, line)| is_unsafe(line));
    lines.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())).collect()
}

fn misplaced_framework(source: &Source) -> Vec<String> {
    if FRAMEWORK.contains(&source.module()) {
        return Vec::new();
    }
    let lines = source.code().filter(|(_, line)| line.contains("burn::") || line.contains("burn_flex"));
    lines.map(|(number, line)| format!("{}:{number}: {}", source.path, line.trim())).collect()
}

fn long_without_reason(source: &Source) -> Vec<String> {
    let n_lines = source.without_tests().lines().count();
    let mut docs = source.text.lines().take_while(|line| line.starts_with("//!"));
    if n_lines <= MAX_LINES || docs.any(|line| line.contains(REASON)) {
        return Vec::new();
    }
    vec![format!("{}: {n_lines} lines without tests; split it, or say \"{REASON} ...\" at its top", source.path)]
}

fn missing_module_docs(source: &Source) -> Vec<String> {
    let first = source.text.lines().next().unwrap_or_default();
    let says_something = first.strip_prefix("//! ").is_some_and(|docs| docs.trim().len() > 5);
    if says_something { Vec::new() } else { vec![format!("{}: begin with what it is for, as //!", source.path)] }
}

fn empty_names(source: &Source) -> Vec<String> {
    let names = source.path.trim_end_matches(".rs").split('/');
    names
        .filter(|name| EMPTY_NAMES.contains(name))
        .map(|name| format!("{}: \"{name}\" says nothing", source.path))
        .collect()
}

#[test]
fn modules_use_lower_levels_only() {
    check(upward_dependencies);
    check(hidden_dependencies);
}

#[test]
fn the_library_neither_prints_nor_leaves_gaps() {
    check(forbidden_macros);
}

#[test]
fn unsafe_stays_in_the_kernels() {
    check(misplaced_unsafe);
}

#[test]
fn the_tensor_framework_stays_in_the_network_half() {
    check(misplaced_framework);
}

#[test]
fn files_are_short_or_say_why() {
    check(long_without_reason);
}

#[test]
fn every_file_says_what_it_is_for_and_has_a_telling_name() {
    check(missing_module_docs);
    check(empty_names);
}

#[test]
fn every_module_and_every_level_is_in_the_architecture_page() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for (module, level) in LEVELS {
        let row = page.lines().find(|line| line.starts_with(&format!("| {level} |")));
        let row = row.unwrap_or_else(|| panic!("ARCHITECTURE.md has no row for level {level}"));
        assert!(row.contains(&format!("`{module}`")), "ARCHITECTURE.md: level {level} does not name {module}");
    }
}

#[test]
fn rules_notice_a_planted_violation() {
    let planted = |rule: fn(&Source) -> Vec<String>, path: &str, text: &str| rule(&Source::new(path, text)).len();
    assert_eq!(planted(upward_dependencies, "signal/filter.rs", "use crate::dataset::Dataset;"), 1);
    assert_eq!(planted(upward_dependencies, "signal/filter.rs", "use crate::{error::Error, nn::{a, b}, beat};"), 2);
    assert_eq!(planted(upward_dependencies, "metrics/list.rs", "let d = crate::dataset::open();"), 1);
    assert_eq!(planted(upward_dependencies, "unheard_of.rs", "fn f() {}"), 1);
    assert_eq!(planted(upward_dependencies, "dataset/mod.rs", "use crate::record::Record;\n// crate::report"), 0);
    assert_eq!(planted(hidden_dependencies, "dataset/split.rs", "use super::super::report::Report;"), 1);
    assert_eq!(planted(hidden_dependencies, "dataset/split.rs", "use super::label;"), 0);
    assert_eq!(planted(forbidden_macros, "seed.rs", "    todo!()\n    println!(\"x\");"), 2);
    assert_eq!(planted(forbidden_macros, "seed.rs", "fn f() {}\n\n#[cfg(test)]\nmod tests { println!() }"), 0);
    assert_eq!(planted(misplaced_unsafe, "record/mod.rs", "unsafe { x }"), 1);
    assert_eq!(planted(misplaced_unsafe, "nn/kernel/cpu.rs", "unsafe { x }"), 0);
    assert_eq!(planted(misplaced_framework, "metrics/mod.rs", "use burn::tensor::Tensor;"), 1);
    let long = format!("//! A file.\n{}", "fn f() {}\n".repeat(MAX_LINES));
    assert_eq!(planted(long_without_reason, "seed.rs", &long), 1);
    assert_eq!(planted(long_without_reason, "seed.rs", &format!("//! {REASON} it is a table.\n{long}")), 0);
    assert_eq!(planted(missing_module_docs, "seed.rs", "use std::fs;"), 1);
    assert_eq!(planted(empty_names, "signal/utils.rs", ""), 1);
}

#[test]
fn the_ci_script_calls_the_test_commands_of_the_readme() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let (readme, script) = (read("README.md"), read(".ci/run"));
    let calls: Vec<&str> = script.lines().map(str::trim).filter(|line| line.starts_with("cargo ")).collect();
    assert!(calls.contains(&"cargo test --release"), ".ci/run calls {calls:?}");
    for call in calls {
        assert!(readme.lines().any(|line| line == call), "README.md does not show {call:?} on a line of its own");
    }
}
