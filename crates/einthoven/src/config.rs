//! Configurations: read, override, validate, save.
//!
//! A configuration is plain data with one owner: the Rust struct holds the schema and the defaults,
//! a TOML file holds the numbers of one experiment. [`load`] reads the file, applies
//! `--set key=value`, and refuses what the struct does not know; [`to_toml`] writes the resolved
//! configuration for the run folder. Ranges are checked by the struct's own [`Validate`].
//!
//! Left out on purpose: inheritance between files, environment variables, any logic in TOML.

use std::collections::BTreeSet;

use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{Error, Result, nearest};

/// A configuration that can say whether its values lie in their ranges.
pub trait Validate {
    /// Checks every value; called once, when the configuration is loaded.
    ///
    /// # Errors
    /// [`Error::Config`] with the dotted key, what was found and what would be right.
    fn validate(&self) -> Result<()>;
}

/// Reads a configuration from TOML text and applies overrides of the form `key=value`.
///
/// Keys of overrides are dotted (`teacher.width=32`); values are TOML values, and a value that is
/// none is taken as a string (`sampler=ddim`). Later overrides win. `source` names the text in
/// messages: a file, or a preset.
///
/// A key counts as known when it survives a round trip through `T`; `T` therefore must not accept
/// aliases. `#[serde(deny_unknown_fields)]` on `T` is welcome but not needed.
///
/// # Errors
/// [`Error::Config`] for text that is no TOML, a duplicate key, an unknown key (with the nearest
/// known one), a value of the wrong type, a missing value without default, and for NaN anywhere.
pub fn load<T: DeserializeOwned + Serialize>(text: &str, source: &str, overrides: &[String]) -> Result<T> {
    let mut table: Table = toml::from_str(text).map_err(|error| syntax_error(text, source, &error))?;
    let mut overridden = BTreeSet::new();
    for assignment in overrides {
        overridden.insert(apply_override(&mut table, assignment)?);
    }
    let place = Place { text, source, overridden };
    refuse_nan("", &Value::Table(table.clone()), &place)?;

    let config: T = serde_path_to_error::deserialize(Value::Table(table.clone()))
        .map_err(|error| mismatch(&error.path().to_string(), error.inner().message(), &table, &place))?;
    let known =
        Table::try_from(&config).map_err(|error| Error::config(source, format!("cannot be written back: {error}")))?;
    refuse_unknown("", &table, &known, &place)?;
    Ok(config)
}

/// Reads JSON arguments into the struct that holds their schema and defaults.
///
/// # Errors
/// [`Error::Config`] under the name `what` for an unknown key, a missing one or a wrong type.
pub fn from_json<T: DeserializeOwned>(what: &str, arguments: &serde_json::Value) -> Result<T> {
    T::deserialize(arguments).map_err(|error| Error::config(what, error.to_string()))
}

/// As [`load`], and checks the ranges too.
///
/// # Errors
/// As [`load`] and as [`Validate::validate`].
pub fn load_valid<T: DeserializeOwned + Serialize + Validate>(
    text: &str,
    source: &str,
    overrides: &[String],
) -> Result<T> {
    let config: T = load(text, source, overrides)?;
    config.validate()?;
    Ok(config)
}

/// The resolved configuration as TOML; [`load`] reads it back to the same values.
///
/// # Errors
/// [`Error::Config`] if the configuration holds something that TOML cannot express.
pub fn to_toml<T: Serialize>(config: &T) -> Result<String> {
    toml::to_string(config).map_err(|error| Error::config("config", format!("cannot be written as TOML: {error}")))
}

/// Refuses the value of `key` unless it is right, in the words of every range check.
///
/// # Errors
/// [`Error::Config`] `key: found <found>, expected <expected>` if `is_right` is false.
///
/// # Example
/// ```
/// let beta_end = 1.5;
/// let checked = einthoven::config::check("schedule.beta_end", beta_end > 0.0 && beta_end < 1.0, beta_end, "0 < beta < 1");
/// assert_eq!(checked.err().map(|e| e.to_string()).as_deref(), Some("schedule.beta_end: found 1.5, expected 0 < beta < 1"));
/// ```
pub fn check(key: &str, is_right: bool, found: impl std::fmt::Display, expected: &str) -> Result<()> {
    if is_right { Ok(()) } else { Err(Error::config(key, format!("found {found}, expected {expected}"))) }
}

/// Where a value came from, for messages.
struct Place<'a> {
    text: &'a str,
    source: &'a str,
    overridden: BTreeSet<String>,
}

impl Place<'_> {
    /// `--set`, or the source with line and column of the key.
    fn of(&self, key: &str) -> String {
        let is_set =
            |set: &String| key == set || key.strip_prefix(set.as_str()).is_some_and(|rest| rest.starts_with('.'));
        if self.overridden.iter().any(is_set) {
            return "--set".into();
        }
        match key_offset(self.text, key) {
            Some(offset) => at(self.text, self.source, offset),
            None => self.source.to_owned(),
        }
    }

    fn error(&self, key: &str, reason: impl std::fmt::Display) -> Error {
        Error::config(key, format!("{reason} ({})", self.of(key)))
    }
}

/// Byte offset of the dotted key in the text.
fn key_offset(text: &str, dotted: &str) -> Option<usize> {
    let root = toml::de::DeTable::parse(text).ok()?.into_inner();
    let mut table = &root;
    let mut parts = dotted.split('.').peekable();
    while let Some(part) = parts.next() {
        let (key, value) = table.iter().find(|(key, _)| key.get_ref().as_ref() == part)?;
        if parts.peek().is_none() {
            return Some(key.span().start);
        }
        table = value.get_ref().as_table()?;
    }
    None
}

/// `source:line:column` of a byte offset, both counted from 1.
fn at(text: &str, source: &str, offset: usize) -> String {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    format!("{source}:{line}:{column}")
}

/// Text that is not TOML, or that holds a key twice; the key is the text that the parser points at.
fn syntax_error(text: &str, source: &str, error: &toml::de::Error) -> Error {
    let message = error.message().lines().next().unwrap_or("not TOML");
    let span = error.span().unwrap_or(0..0);
    let place = at(text, source, span.start);
    let pointed = text.get(span).unwrap_or("").trim();
    let is_key = message.starts_with("duplicate key") && !pointed.is_empty();
    if is_key { Error::config(pointed, format!("key appears twice ({place})")) } else { Error::config(place, message) }
}

/// Puts one `key=value` into the table and returns the key.
fn apply_override(table: &mut Table, assignment: &str) -> Result<String> {
    let Some((key, text)) = assignment.split_once('=') else {
        return Err(Error::config(assignment, "found no =, expected key=value (--set)"));
    };
    let (key, text) = (key.trim(), text.trim());
    let parts: Vec<&str> = key.split('.').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return Err(Error::config(assignment, "found an empty key, expected key=value (--set)"));
    }
    let (last, parents) = parts.split_last().expect("split always yields at least one part");
    let mut inner = table;
    for (depth, part) in parents.iter().enumerate() {
        let entry = inner.entry((*part).to_owned()).or_insert_with(|| Value::Table(Table::new()));
        inner = match entry {
            Value::Table(next) => next,
            _ => {
                let parent = parts[..=depth].join(".");
                return Err(Error::config(key, format!("{parent} is a value and has no keys (--set)")));
            }
        };
    }
    inner.insert((*last).to_owned(), override_value(key, text)?);
    Ok(key.to_owned())
}

/// A TOML value, or the text itself where it is none and does not look like a botched one.
fn override_value(key: &str, text: &str) -> Result<Value> {
    match text.parse::<Value>() {
        Ok(value) => Ok(value),
        Err(_) if !text.is_empty() && !text.starts_with(['"', '\'', '[', '{']) => Ok(Value::String(text.to_owned())),
        Err(error) => {
            let message = error.message().lines().next().unwrap_or("not TOML").to_owned();
            Err(Error::config(key, format!("found {text:?}, expected a TOML value: {message} (--set)")))
        }
    }
}

fn join(prefix: &str, key: &str) -> String {
    if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") }
}

/// TOML has a literal for NaN and no setting of ours has a use for it.
fn refuse_nan(key: &str, value: &Value, place: &Place) -> Result<()> {
    match value {
        Value::Float(number) if number.is_nan() => Err(place.error(key, "found nan, expected a number")),
        Value::Table(table) => table.iter().try_for_each(|(name, inner)| refuse_nan(&join(key, name), inner, place)),
        Value::Array(items) => items.iter().try_for_each(|inner| refuse_nan(key, inner, place)),
        _ => Ok(()),
    }
}

/// Every key of `given` has to be among those that the configuration writes.
fn refuse_unknown(prefix: &str, given: &Table, known: &Table, place: &Place) -> Result<()> {
    for (name, value) in given {
        let key = join(prefix, name);
        match (value, known.get(name)) {
            (Value::Table(inner), Some(Value::Table(known_inner))) => refuse_unknown(&key, inner, known_inner, place)?,
            (Value::Array(items), Some(Value::Array(known_items))) => {
                for (item, known_item) in items.iter().zip(known_items) {
                    if let (Value::Table(inner), Value::Table(known_inner)) = (item, known_item) {
                        refuse_unknown(&key, inner, known_inner, place)?;
                    }
                }
            }
            (_, Some(_)) => {}
            (_, None) => {
                let names: Vec<String> = known.keys().cloned().collect();
                return Err(place.error(&key, unknown("key", name, &names)));
            }
        }
    }
    Ok(())
}

fn unknown(what: &str, name: &str, known: &[String]) -> String {
    let list = known.join(", ");
    match nearest(name, known) {
        Some(near) => format!("unknown {what}, did you mean \"{near}\"? (known: {list})"),
        None => format!("unknown {what} (known: {list})"),
    }
}

/// The key `field` below `path`, where the only table that has it may lie deeper: kinds that are told by a tag are read
/// into a buffer first, and lose the rest of the path.
fn within(path: &str, field: &str, given: &Table) -> String {
    fn collect(prefix: &str, table: &Table, field: &str, out: &mut Vec<String>) {
        for (name, value) in table {
            let key = join(prefix, name);
            if let Value::Table(inner) = value {
                collect(&key, inner, field, out);
            }
            if name == field {
                out.push(key);
            }
        }
    }
    let mut parts = path.split('.').filter(|part| !part.is_empty());
    let table = parts.try_fold(given, |table, part| table.get(part)?.as_table());
    let mut found = Vec::new();
    if let Some(table) = table.filter(|table| !table.contains_key(field)) {
        collect(path, table, field, &mut found);
    }
    match <[String; 1]>::try_from(found) {
        Ok([key]) => key,
        Err(_) => join(path, field),
    }
}

/// A value that the struct does not take, in our words instead of the deserializer's.
fn mismatch(path: &str, message: &str, given: &Table, place: &Place) -> Error {
    let path = if path == "." { "" } else { path };
    let message = message.lines().next().unwrap_or("wrong value");
    let quoted: Vec<String> = message.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    if let Some((field, known)) = quoted.split_first() {
        if message.starts_with("unknown field") {
            // Some deserializers fail inside the key, whose path then ends in the key itself.
            let key = if path.rsplit('.').next() == Some(field) { path.to_owned() } else { within(path, field, given) };
            return place.error(&key, unknown("key", field, known));
        }
        if message.starts_with("unknown variant") {
            return place.error(path, format!("found \"{field}\", {}", unknown("value", field, known)));
        }
        if message.starts_with("missing field") {
            return place.error(&join(path, field), "is missing and has no default");
        }
    }
    let message = message.strip_prefix("invalid type: ").or(message.strip_prefix("invalid value: ")).unwrap_or(message);
    place.error(path, format!("found {message}"))
}
