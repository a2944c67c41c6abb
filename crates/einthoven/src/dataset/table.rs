//! Tables of databases: comma-separated text with a header line.
//!
//! Cells may be quoted and then hold commas, doubled quotes and line breaks (RFC 4180); lines end in LF or
//! CR LF, and a byte order mark is skipped. Every row has as many cells as the header. Rule X01.

use std::path::{Path, PathBuf};

use crate::error::{Error, InputError, Position, Result};

/// A table as text.
#[derive(Debug, Clone)]
pub struct Table {
    /// File that it came from.
    pub path: PathBuf,
    /// Column names.
    pub header: Vec<String>,
    /// Rows below the header.
    pub rows: Vec<Row>,
}

/// A row of a table.
#[derive(Debug, Clone)]
pub struct Row {
    /// Line on which it begins, counted from 1.
    pub line: usize,
    /// Cells in the order of the header.
    pub cells: Vec<String>,
}

impl Table {
    /// Reads a table whose first line is its header.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Input`] `X01` for text that is not UTF-8, an open quote, no header, two columns of
    /// one name, or a row with another number of cells than the header.
    pub fn read(path: &Path) -> Result<Table> {
        let mut rows = read_rows(path)?.into_iter();
        let broken = |line: usize, field: &str, found: String, expected: &str| bad(path, line, field, found, expected);
        let Some(first) = rows.next() else {
            return Err(broken(1, "header", "an empty file".into(), "a line of column names"));
        };
        let header: Vec<String> = first.cells.iter().map(|cell| cell.trim().to_string()).collect();
        for (k, name) in header.iter().enumerate() {
            if header[..k].contains(name) {
                return Err(broken(first.line, "header", format!("the column \"{name}\" twice"), "each column once"));
            }
        }
        let rows: Vec<Row> = rows.collect();
        for row in &rows {
            if row.cells.len() != header.len() {
                let expected = format!("{}, as in the header", header.len());
                return Err(broken(row.line, "number of cells", row.cells.len().to_string(), &expected));
            }
        }
        Ok(Table { path: path.into(), header, rows })
    }

    /// Position of a column.
    ///
    /// # Errors
    /// [`Error::Input`] `X01` listing the columns that there are.
    pub fn column(&self, name: &str) -> Result<usize> {
        self.find(name).ok_or_else(|| {
            let found = format!("the columns {}", self.header.join(", "));
            bad(&self.path, 1, "header", found, &format!("a column \"{name}\""))
        })
    }

    /// Position of a column that need not be there.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.header.iter().position(|column| column == name)
    }

    /// A number in a cell; `None` if the cell is empty.
    ///
    /// # Errors
    /// [`Error::Input`] `X01` naming line and column for anything but a finite number.
    pub fn number(&self, row: &Row, column: usize) -> Result<Option<f64>> {
        let text = row.cells[column].trim();
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(bad(&self.path, row.line, &self.header[column], format!("\"{text}\""), "a number")),
        }
    }

    /// An error about a cell.
    pub fn cell_error(&self, row: &Row, column: usize, expected: &str) -> Error {
        bad(&self.path, row.line, &self.header[column], format!("\"{}\"", row.cells[column]), expected)
    }
}

/// Every row of a file, the first one included; rows may differ in length.
///
/// # Errors
/// [`Error::Io`]; [`Error::Input`] `X01` for text that is not UTF-8 or an open quote.
pub fn read_rows(path: &Path) -> Result<Vec<Row>> {
    let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = 1 + bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        bad(path, line, "text", "bytes that are not UTF-8".into(), "UTF-8")
    })?;
    parse(text.strip_prefix('\u{feff}').unwrap_or(text))
        .map_err(|line| bad(path, line, "quoted cell", "no closing quote".into(), "a quote that closes the cell"))
}

/// Rows of a text; the error is the line on which a quote was opened and never closed.
fn parse(text: &str) -> std::result::Result<Vec<Row>, usize> {
    let mut rows = Vec::new();
    let (mut cells, mut cell) = (Vec::new(), String::new());
    let (mut line, mut row_line, mut quote_line) = (1, 1, None);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\n' {
            line += 1;
        }
        match c {
            '"' if quote_line.is_some() && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' if quote_line.is_some() => quote_line = None,
            _ if quote_line.is_some() => cell.push(c),
            '"' if cell.is_empty() => quote_line = Some(line),
            ',' => cells.push(std::mem::take(&mut cell)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' => {
                cells.push(std::mem::take(&mut cell));
                let cells = std::mem::take(&mut cells);
                // A blank line is no row.
                if cells.len() > 1 || !cells[0].trim().is_empty() {
                    rows.push(Row { line: row_line, cells });
                }
                row_line = line;
            }
            _ => cell.push(c),
        }
    }
    if let Some(line) = quote_line {
        return Err(line);
    }
    if !cell.is_empty() || !cells.is_empty() {
        cells.push(cell);
        rows.push(Row { line: row_line, cells });
    }
    Ok(rows)
}

fn bad(path: &Path, line: usize, field: &str, found: String, expected: &str) -> Error {
    Error::from(InputError {
        code: "X01",
        path: path.into(),
        position: Position::Line(line),
        field: field.into(),
        found,
        expected: expected.into(),
        hint: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(text: &str) -> Vec<(usize, Vec<String>)> {
        parse(text).expect("closed quotes").into_iter().map(|row| (row.line, row.cells)).collect()
    }

    #[test]
    fn quotes_hold_commas_quotes_and_line_breaks() {
        let rows = cells("a,b\r\n\"x,\"\"y\"\"\n\",2\n\n3,\"4\"");
        let text = |row: usize| rows[row].1.iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!((rows.len(), rows[1].0, rows[2].0), (3, 2, 5));
        assert_eq!((text(0), text(1), text(2)), (vec!["a", "b"], vec!["x,\"y\"\n", "2"], vec!["3", "4"]));
        assert_eq!(cells("a,\n")[0].1, ["a", ""]);
        assert_eq!(parse("a\n\"b").unwrap_err(), 2);
    }
}
