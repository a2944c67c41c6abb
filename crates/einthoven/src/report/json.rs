//! `report.json`: written so that people can read it too, and read back with the place of any fault.

use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::{Report, SCHEMA_VERSION};
use crate::error::{Error, InputError, Position, Result};

impl Report {
    /// The report as JSON; numbers that are not finite are null.
    pub fn to_json(&self) -> String {
        let mut bytes = Vec::new();
        let mut serializer = Serializer::with_formatter(&mut bytes, Indented::default());
        // Neither writing to memory nor these types (string keys only) can fail.
        self.serialize(&mut serializer).expect("a report serializes");
        bytes.push(b'\n');
        // The serializer writes UTF-8 only.
        String::from_utf8(bytes).expect("JSON is UTF-8")
    }

    /// Reads a report from JSON text; `path` is named in errors. Numbers are right to the last bit but one.
    ///
    /// # Errors
    /// [`Error::Input`] when the text is not a report, [`Error::Unsupported`] when a newer version wrote it.
    pub fn from_json(text: &str, path: impl AsRef<Path>) -> Result<Report> {
        let path = path.as_ref();
        let broken = |error: serde_json::Error| {
            Error::from(InputError {
                code: "J01",
                path: path.to_path_buf(),
                position: Position::LineColumn(error.line(), error.column()),
                field: "report".into(),
                found: error.to_string(),
                expected: "a report.json that `einthoven run` wrote".into(),
                hint: String::new(),
            })
        };
        #[derive(serde::Deserialize)]
        struct Version {
            schema_version: u32,
        }
        let version: Version = serde_json::from_str(text).map_err(broken)?;
        if version.schema_version > SCHEMA_VERSION {
            return Err(Error::Unsupported {
                what: format!(
                    "{}: schema version {} (this build reads up to {SCHEMA_VERSION})",
                    path.display(),
                    version.schema_version
                ),
            });
        }
        serde_json::from_str(text).map_err(broken)
    }

    /// Reads a `report.json`.
    ///
    /// # Errors
    /// As [`Report::from_json`], and [`Error::Io`] when the file cannot be read.
    pub fn read(path: impl AsRef<Path>) -> Result<Report> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
        Report::from_json(&text, path)
    }
}

/// One line per key, but lists of numbers on a single line: a beat must not take 256 lines.
#[derive(Default)]
struct Indented {
    depth: usize,
    /// Per open array or object: whether it is an array, and whether it broke the line.
    open: Vec<(bool, bool)>,
}

impl Indented {
    fn newline<W: ?Sized + Write>(&self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"\n")?;
        for _ in 0..self.depth {
            writer.write_all(b" ")?;
        }
        Ok(())
    }

    fn begin<W: ?Sized + Write>(&mut self, writer: &mut W, is_array: bool) -> io::Result<()> {
        if let Some((true, broke)) = self.open.last_mut() {
            *broke = true;
            self.newline(writer)?;
        }
        self.open.push((is_array, false));
        self.depth += 1;
        writer.write_all(if is_array { b"[" } else { b"{" })
    }

    fn end<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.depth -= 1;
        if let Some((is_array, broke)) = self.open.pop() {
            if broke {
                self.newline(writer)?;
            }
            writer.write_all(if is_array { b"]" } else { b"}" })?;
        }
        Ok(())
    }
}

impl Formatter for Indented {
    fn begin_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, true)
    }

    fn end_array<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        if is_first { Ok(()) } else { writer.write_all(b",") }
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.begin(writer, false)
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.end(writer)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, is_first: bool) -> io::Result<()> {
        if !is_first {
            writer.write_all(b",")?;
        }
        if let Some((_, broke)) = self.open.last_mut() {
            *broke = true;
        }
        self.newline(writer)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indented(value: &serde_json::Value) -> String {
        let mut bytes = Vec::new();
        value.serialize(&mut Serializer::with_formatter(&mut bytes, Indented::default())).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn numbers_stay_on_one_line_and_keys_do_not() {
        let value = serde_json::json!({"a": [1, 2, [3]], "b": {}, "c": [{"d": []}]});
        let text = indented(&value);
        assert_eq!(text, "{\n \"a\": [1,2,\n  [3]\n ],\n \"b\": {},\n \"c\": [\n  {\n   \"d\": []\n  }\n ]\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }

    #[test]
    fn a_fault_is_named_with_its_line() {
        let error = Report::from_json("{\n \"schema_version\": \"one\"\n}", "r.json").unwrap_err();
        assert!(error.to_string().starts_with("r.json:2:"), "{error}");
        assert_eq!(error.exit_code(), 3);
    }

    #[test]
    fn a_newer_report_is_refused() {
        let error = Report::from_json("{\"schema_version\": 2000}", "r.json").unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("2000"), "{error}");
    }
}
