//! Tables as data: raw numbers under column keys, printed by [`super::html`] and [`super::markdown`].

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::estimate::Estimate;

/// A table with raw numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// Short lower-case name, unique in the report: the key under `tables` in the JSON.
    pub id: String,
    /// What the table shows.
    pub title: String,
    /// How it was measured and how to read it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub caption: String,
    /// A warning that must not be missed, such as "beat-random split: not comparable"; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stamp: String,
    /// Heading of the column that holds the row labels.
    pub row_heading: String,
    /// Columns in order of printing.
    pub columns: Vec<Column>,
    /// Rows in order of printing.
    pub rows: Vec<Row>,
    /// Footnotes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A column of a [`Table`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Column {
    /// Key of the cells in the JSON, with its unit, such as `snr_db`.
    pub key: String,
    /// Heading.
    pub label: String,
    /// Unit, printed under the heading; empty for none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Which way is good.
    #[serde(default)]
    pub better: Better,
}

/// Which way a quantity is good.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
    /// Neither: a description.
    #[default]
    Neither,
}

/// A row of a [`Table`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Row label.
    pub label: String,
    /// What the row is there for.
    pub kind: RowKind,
    /// Sub-heading under which the row stands; consecutive rows with the same one share it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Cells by column key; a column without one is printed empty.
    pub cells: BTreeMap<String, Cell>,
}

/// What a row is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// The method under study.
    Result,
    /// A control: what the result must beat, or must not differ from.
    Control,
    /// Real against real: the best that the measure allows.
    Floor,
    /// Values of a publication.
    Published,
}

impl RowKind {
    /// Word printed as a badge beside the row label; none for results.
    pub fn badge(self) -> Option<&'static str> {
        match self {
            RowKind::Result => None,
            RowKind::Control => Some("control"),
            RowKind::Floor => Some("floor"),
            RowKind::Published => Some("published"),
        }
    }
}

/// A cell of a [`Table`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Cell {
    /// A number, perhaps with interval, count and published value.
    Estimate(Estimate),
    /// Words.
    Text {
        /// The words.
        text: String,
    },
    /// No number, because the evidence does not carry one.
    Insufficient {
        /// Why.
        reason: String,
    },
    /// The publication does not report this.
    NotFound,
}

impl From<Estimate> for Cell {
    fn from(estimate: Estimate) -> Cell {
        if estimate.is_sufficient() || estimate.published.is_some() {
            Cell::Estimate(estimate)
        } else {
            Cell::Insufficient { reason: estimate.note }
        }
    }
}

impl From<f64> for Cell {
    fn from(value: f64) -> Cell {
        Estimate::new(value).into()
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text { text: text.into() }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text { text }
    }
}

impl Table {
    /// An empty table; `row_heading` heads the row labels.
    pub fn new(id: impl Into<String>, title: impl Into<String>, row_heading: impl Into<String>) -> Table {
        Table {
            id: id.into(),
            title: title.into(),
            caption: String::new(),
            stamp: String::new(),
            row_heading: row_heading.into(),
            columns: Vec::new(),
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Says how it was measured and how to read it.
    pub fn caption(mut self, caption: impl Into<String>) -> Table {
        self.caption = caption.into();
        self
    }

    /// Adds a warning that must not be missed.
    pub fn stamp(mut self, stamp: impl Into<String>) -> Table {
        self.stamp = stamp.into();
        self
    }

    /// Appends a column; `unit` may be empty.
    pub fn column(
        mut self,
        key: impl Into<String>,
        label: impl Into<String>,
        unit: impl Into<String>,
        better: Better,
    ) -> Table {
        self.columns.push(Column { key: key.into(), label: label.into(), unit: unit.into(), better });
        self
    }

    /// Appends a footnote.
    pub fn note(mut self, note: impl Into<String>) -> Table {
        self.notes.push(note.into());
        self
    }

    /// Appends a row.
    pub fn row(mut self, row: Row) -> Table {
        self.rows.push(row);
        self
    }

    /// Decimals of each row's cell in column `key`, so that a column lines up.
    ///
    /// Values of one order of magnitude share the median of their own decimals; a column that mixes
    /// microseconds with minutes keeps each value's own.
    pub(crate) fn column_decimals(&self, key: &str) -> Vec<usize> {
        let estimates: Vec<Option<&Estimate>> = self
            .rows
            .iter()
            .map(|row| match row.cells.get(key) {
                Some(Cell::Estimate(estimate)) if estimate.is_sufficient() => Some(estimate),
                _ => None,
            })
            .collect();
        let own = |estimate: &Option<&Estimate>| estimate.map_or(0, Estimate::decimals);
        let sizes: Vec<f64> = estimates.iter().flatten().map(|e| e.value.abs()).collect();
        let largest = sizes.iter().copied().fold(0.0, f64::max);
        let smallest = sizes.iter().copied().filter(|size| *size > 0.0).fold(f64::INFINITY, f64::min);
        let all_whole = estimates.iter().flatten().all(|e| e.value.fract() == 0.0 && e.interval().is_none());
        let is_one_scale = largest <= 1.0 || largest / smallest <= 30.0;
        if all_whole || !is_one_scale {
            return estimates.iter().map(own).collect();
        }
        let mut sorted: Vec<usize> =
            estimates.iter().flatten().filter(|e| e.decimals() > 0).map(|e| e.decimals()).collect();
        sorted.sort_unstable();
        let median = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        vec![median; estimates.len()]
    }
}

impl Row {
    /// An empty row.
    pub fn new(kind: RowKind, label: impl Into<String>) -> Row {
        Row { label: label.into(), kind, group: String::new(), cells: BTreeMap::new() }
    }

    /// Puts the row under a sub-heading.
    pub fn group(mut self, group: impl Into<String>) -> Row {
        self.group = group.into();
        self
    }

    /// Fills the cell of column `key`.
    pub fn cell(mut self, key: impl Into<String>, cell: impl Into<Cell>) -> Row {
        self.cells.insert(key.into(), cell.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_say_their_kind_in_json() {
        let row = Row::new(RowKind::Control, "real only")
            .cell("macro_f1", Estimate::with_ci(0.5, 0.4, 0.6))
            .cell("f_f1", Estimate::insufficient("15 beats"))
            .cell("paper", Cell::NotFound)
            .cell("what", "words");
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["kind"], "control");
        assert_eq!(json["cells"]["macro_f1"]["kind"], "estimate");
        assert_eq!(json["cells"]["macro_f1"]["ci_high"], 0.6);
        assert_eq!(json["cells"]["f_f1"]["kind"], "insufficient");
        assert_eq!(json["cells"]["f_f1"]["reason"], "15 beats");
        assert_eq!(json["cells"]["paper"]["kind"], "not_found");
        assert_eq!(serde_json::from_value::<Row>(json).unwrap(), row);
    }

    #[test]
    fn a_column_of_fractions_lines_up_and_one_of_many_scales_does_not() {
        let table = Table::new("t", "T", "row")
            .column("f1", "F1", "", Better::Higher)
            .column("time_s", "time", "s", Better::Lower)
            .row(Row::new(RowKind::Result, "a").cell("f1", 0.91234).cell("time_s", 0.000_123_4))
            .row(Row::new(RowKind::Result, "b").cell("f1", 1.0).cell("time_s", 250.0))
            .row(Row::new(RowKind::Result, "c").cell("f1", 0.5));
        assert_eq!(table.column_decimals("f1"), [3, 3, 3]);
        assert_eq!(table.column_decimals("time_s"), [6, 0, 0]);
    }
}
