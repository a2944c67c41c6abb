//! `report.html`: one page that needs no script, no network and no other file.
//!
//! Everything that comes from the data is escaped; the page holds nothing that the JSON does not.

use std::fmt::Write;

use serde_json::Value;

use super::estimate::{Estimate, Published, format_count, format_number, own_decimals};
use super::plot::{STYLE, escape, slug};
use super::table::{Better, Cell, Column, Row, Table};
use super::{Block, HeadlineGroup, Report};

const PAGE_STYLE: &str = include_str!("page.css");

impl Report {
    /// The report as one self-contained page.
    pub fn to_html(&self) -> String {
        let mut page = String::new();
        self.head(&mut page);
        self.headline(&mut page);
        self.contents(&mut page);
        self.body(&mut page);
        self.closing(&mut page);
        page
    }

    fn head(&self, page: &mut String) {
        let title = escape(&self.title);
        let preset = escape(&self.preset);
        put(
            page,
            format_args!(
                r##"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta name="generator" content="einthoven {version}">
<title>{title}</title>
<style>
{STYLE}{PAGE_STYLE}</style>
</head>
<body>
<header>
<p class="kicker">Einthoven report · preset {preset} · seed {seed} · {device}</p>
<h1>{title}</h1>
<p class="mark">Contains SYNTHETIC ECGs - not for clinical use</p>
"##,
                version = escape(&self.version),
                seed = self.seed,
                device = escape(&self.device),
            ),
        );
        for paragraph in &self.abstract_text {
            put(page, format_args!("<p class=\"lead\">{}</p>\n", escape(paragraph)));
        }
        page.push_str("</header>\n<main>\n");
    }

    fn headline(&self, page: &mut String) {
        if self.headline.is_empty() {
            return;
        }
        page.push_str("<section id=\"headline\"><h2>Key results</h2>\n");
        if !self.intervals.is_empty() {
            put(page, format_args!("<p class=\"caption\">{}</p>\n", escape(&self.intervals)));
        }
        self.headline_layout().iter().for_each(|group| self.cards(page, group));
        page.push_str("</section>\n");
    }

    fn cards(&self, page: &mut String, HeadlineGroup { title, stamp, keys }: &HeadlineGroup) {
        page.push_str("<div class=\"group\">");
        if !title.is_empty() || !stamp.is_empty() {
            put(page, format_args!("<h3>{}{}</h3>\n", escape(title), stamp_note(stamp)));
        }
        page.push_str("<dl class=\"cards\">\n");
        for key in keys {
            let estimate = &self.headline[key];
            let label = if estimate.label.is_empty() { key.replace('_', " ") } else { estimate.label.clone() };
            let decimals = estimate.decimals();
            put(page, format_args!("<div class=\"card\"><dt>{}</dt><dd>", escape(&label)));
            if estimate.is_sufficient() {
                let unit = if estimate.unit.is_empty() {
                    String::new()
                } else {
                    format!(" <small>{}</small>", escape(&estimate.unit))
                };
                put(page, format_args!("<div class=\"big\">{}{unit}</div>", estimate.value_text(decimals)));
            } else {
                page.push_str("<div class=\"big insufficient\">insufficient</div>");
            }
            let mut small = Vec::new();
            if let Some(interval) = estimate.interval_text(decimals) {
                small.push(format!("95 % CI {interval}"));
            }
            if let Some(n) = estimate.n {
                small.push(format!("n = {}", format_count(n)));
            }
            if let Some(published) = &estimate.published {
                small.push(self.published_text(published));
            }
            if !estimate.note.is_empty() {
                small.push(escape(&estimate.note));
            }
            for line in small {
                put(page, format_args!("<div class=\"small\">{line}</div>"));
            }
            page.push_str("</dd></div>\n");
        }
        page.push_str("</dl></div>\n");
    }

    fn contents(&self, page: &mut String) {
        page.push_str("<nav aria-label=\"Contents\"><strong>Contents</strong><ol>\n");
        for section in &self.sections {
            put(page, format_args!("<li><a href=\"#s-{}\">{}</a></li>\n", slug(&section.id), escape(&section.title)));
        }
        if !self.limits.is_empty() {
            page.push_str("<li><a href=\"#limits\">Limits</a></li>\n");
        }
        page.push_str("<li><a href=\"#reproduce\">How to reproduce this report</a></li>\n");
        if !self.references.is_empty() {
            page.push_str("<li><a href=\"#references\">References</a></li>\n");
        }
        page.push_str("</ol></nav>\n");
    }

    fn body(&self, page: &mut String) {
        let (mut n_tables, mut n_figures) = (0, 0);
        for (index, section) in self.sections.iter().enumerate() {
            put(
                page,
                format_args!(
                    "<section id=\"s-{}\"><h2>{}. {}</h2>\n",
                    slug(&section.id),
                    index + 1,
                    escape(&section.title)
                ),
            );
            for block in &section.blocks {
                match block {
                    Block::Text { text } => put(page, format_args!("<p>{}</p>\n", escape(text))),
                    Block::Note { text } => put(page, format_args!("<p class=\"aside\">{}</p>\n", escape(text))),
                    Block::Table { id } => {
                        if let Some(table) = self.tables.get(id) {
                            n_tables += 1;
                            self.table(page, table, n_tables);
                        }
                    }
                    Block::Figure { id } => {
                        if let Some(figure) = self.figures.get(id) {
                            n_figures += 1;
                            put(
                                page,
                                format_args!(
                                    "<figure id=\"f-{}\"><figcaption><b>Figure {n_figures}.</b> {}\n",
                                    slug(id),
                                    escape(&figure.title)
                                ),
                            );
                            if !figure.caption.is_empty() {
                                put(page, format_args!("<p class=\"caption\">{}</p>", escape(&figure.caption)));
                            }
                            put(page, format_args!("</figcaption>{}</figure>\n", figure.to_html()));
                        }
                    }
                }
            }
            page.push_str("</section>\n");
        }
    }

    fn table(&self, page: &mut String, table: &Table, number: usize) {
        put(
            page,
            format_args!(
                "<div class=\"tablebox\" id=\"t-{}\" tabindex=\"0\" role=\"region\" aria-label=\"Table {number}\"><table><caption><b>Table {number}.</b> {} {}",
                slug(&table.id),
                escape(&table.title),
                stamp_note(&table.stamp)
            ),
        );
        if !table.caption.is_empty() {
            put(page, format_args!("<span class=\"caption\">{}</span>", escape(&table.caption)));
        }
        put(page, format_args!("</caption>\n<thead><tr><th scope=\"col\">{}</th>", escape(&table.row_heading)));
        for column in &table.columns {
            put(page, format_args!("<th scope=\"col\">{}{}</th>", escape(&column.label), column_hint(column)));
        }
        page.push_str("</tr></thead>\n<tbody>\n");
        let decimals: Vec<Vec<usize>> = table.columns.iter().map(|c| table.column_decimals(&c.key)).collect();
        let mut group = "";
        for (index, row) in table.rows.iter().enumerate() {
            if row.group != group && !row.group.is_empty() {
                put(
                    page,
                    format_args!(
                        "<tr class=\"group-row\"><th colspan=\"{}\" scope=\"rowgroup\">{}</th></tr>\n",
                        table.columns.len() + 1,
                        escape(&row.group)
                    ),
                );
            }
            group = &row.group;
            let decimals: Vec<usize> = decimals.iter().map(|column| column[index]).collect();
            self.row(page, table, row, &decimals);
        }
        page.push_str("</tbody></table></div>\n");
        if !table.notes.is_empty() {
            page.push_str("<ul class=\"notes\">");
            for note in &table.notes {
                put(page, format_args!("<li>{}</li>", escape(note)));
            }
            page.push_str("</ul>\n");
        }
    }

    fn row(&self, page: &mut String, table: &Table, row: &Row, decimals: &[usize]) {
        let badge = row.kind.badge();
        put(
            page,
            format_args!(
                "<tr class=\"{}\"><th scope=\"row\">{}{}</th>",
                badge.unwrap_or("result"),
                escape(&row.label),
                badge.map_or(String::new(), |word| format!(" <span class=\"badge\">{word}</span>"))
            ),
        );
        for (column, &decimals) in table.columns.iter().zip(decimals) {
            match row.cells.get(&column.key) {
                None => page.push_str("<td></td>"),
                Some(Cell::Text { text }) => put(page, format_args!("<td class=\"text\">{}</td>", escape(text))),
                Some(Cell::NotFound) => page.push_str("<td><span class=\"insufficient\">not found</span></td>"),
                Some(Cell::Insufficient { reason }) => put(page, format_args!("<td>{}</td>", insufficient(reason))),
                Some(Cell::Estimate(estimate)) => {
                    put(page, format_args!("<td>{}</td>", self.estimate(estimate, column, decimals)));
                }
            }
        }
        page.push_str("</tr>\n");
    }

    /// Contents of a cell: value, interval, count, published value, note.
    fn estimate(&self, estimate: &Estimate, column: &Column, decimals: usize) -> String {
        let mut cell = String::new();
        if estimate.is_sufficient() {
            cell.push_str(&estimate.value_text(decimals));
            if !estimate.unit.is_empty() && estimate.unit != column.unit {
                put(&mut cell, format_args!(" {}", escape(&estimate.unit)));
            }
            if let Some(interval) = estimate.interval_text(decimals) {
                put(&mut cell, format_args!("<span class=\"ci\">{interval}</span>"));
            }
            if let Some(n) = estimate.n {
                put(&mut cell, format_args!("<span class=\"n\">n = {}</span>", format_count(n)));
            }
            if !estimate.note.is_empty() {
                put(&mut cell, format_args!("<span class=\"why\">{}</span>", escape(&estimate.note)));
            }
        } else {
            cell.push_str(&insufficient(&estimate.note));
        }
        if let Some(published) = &estimate.published {
            put(&mut cell, format_args!("<span class=\"pub\">{}</span>", self.published_text(published)));
        }
        cell
    }

    fn published_text(&self, published: &Published) -> String {
        let Some(value) = published.value else { return "published: not found".into() };
        // Its own digits: ours say nothing about how exactly the publication was printed.
        let value = format_number(value, own_decimals(value));
        match self.reference_number(&published.reference) {
            Some(number) => format!("published {value} <a href=\"#r-{number}\">[{number}]</a>"),
            None => format!("published {value}"),
        }
    }

    fn closing(&self, page: &mut String) {
        if !self.limits.is_empty() {
            page.push_str("<section id=\"limits\"><h2>Limits</h2>\n<ul class=\"limits\">\n");
            for limit in &self.limits {
                put(page, format_args!("<li>{}</li>\n", escape(limit)));
            }
            page.push_str("</ul></section>\n");
        }
        put(
            page,
            format_args!(
                "<section id=\"reproduce\"><h2>How to reproduce this report</h2>\n<pre>{}</pre>\n<dl class=\"facts\">\n",
                escape(&self.command)
            ),
        );
        let commit = if self.commit.is_empty() { "not known" } else { &self.commit };
        for (name, value) in [
            ("Version", self.version.as_str()),
            ("Commit", commit),
            ("Preset", &self.preset),
            ("Seed", &self.seed.to_string()),
            ("Device", &self.device),
        ] {
            put(page, format_args!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)));
        }
        facts(page, "", &self.environment);
        page.push_str("</dl>\n<h3>Data</h3>\n<dl class=\"facts\">\n");
        facts(page, "", &self.data);
        page.push_str("</dl>\n");
        if !self.config.is_null() {
            // A map of plain values always serializes.
            let config = serde_json::to_string_pretty(&self.config).unwrap_or_default();
            put(
                page,
                format_args!(
                    "<details><summary>Configuration in full</summary><pre>{}</pre></details>\n",
                    escape(&config)
                ),
            );
        }
        page.push_str("<p class=\"caption\">Every number on this page is in report.json, with its unit in the name of its field; the measurements before any summary are under raw.</p></section>\n");
        if !self.references.is_empty() {
            page.push_str("<section id=\"references\"><h2>References</h2>\n<ol class=\"references\">\n");
            for (index, reference) in self.references.iter().enumerate() {
                put(page, format_args!("<li id=\"r-{}\">{}</li>\n", index + 1, escape(&reference.text)));
            }
            page.push_str("</ol></section>\n");
        }
        put(
            page,
            format_args!(
                "</main>\n<footer>Made by einthoven {}. The synthetic ECGs described here are for research, teaching and testing; they are not for clinical use.</footer>\n</body>\n</html>\n",
                escape(&self.version)
            ),
        );
    }
}

/// Appends formatted text; writing to a string does not fail.
fn put(page: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(arguments);
}

fn stamp_note(stamp: &str) -> String {
    if stamp.is_empty() { String::new() } else { format!("<span class=\"stamp-note\">{}</span>", escape(stamp)) }
}

fn insufficient(reason: &str) -> String {
    let why = if reason.is_empty() { String::new() } else { format!("<span class=\"why\">{}</span>", escape(reason)) };
    format!("<span class=\"insufficient\">insufficient</span>{why}")
}

/// Unit and direction under a column heading.
fn column_hint(column: &Column) -> String {
    let better = match column.better {
        Better::Higher => "\u{2191} higher is better",
        Better::Lower => "\u{2193} lower is better",
        Better::Neither => "",
    };
    let unit = if column.unit.is_empty() { String::new() } else { format!("<small>{}</small>", escape(&column.unit)) };
    if better.is_empty() {
        return unit;
    }
    let (arrow, words) = better.split_once(' ').unwrap_or((better, ""));
    format!("{unit}<small title=\"{words}\">{arrow} <span>{}</span></small>", words.trim_end_matches(" is better"))
}

/// A JSON object as a list of names and values; objects within are named by their path.
fn facts(page: &mut String, path: &str, value: &Value) {
    let Value::Object(entries) = value else {
        if !value.is_null() && !path.is_empty() {
            put(page, format_args!("<dt>{}</dt><dd>{}</dd>\n", escape(path), escape(&plain(value))));
        }
        return;
    };
    for (key, value) in entries {
        let name = if path.is_empty() { key.replace('_', " ") } else { format!("{path} · {}", key.replace('_', " ")) };
        let is_flat = value.as_object().is_some_and(|o| o.values().all(|v| !v.is_object() && !v.is_array()));
        if is_flat {
            put(page, format_args!("<dt>{}</dt><dd>{}</dd>\n", escape(&name), escape(&plain(value))));
        } else {
            facts(page, &name, value);
        }
    }
}

/// A JSON value on one line, without quotes and braces.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| format!("{key} {}", plain(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), format_count),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_flatten_objects_and_escape() {
        let value =
            serde_json::json!({"name": "<mitdb>", "beats": {"N": 90000, "V": 7000}, "deep": {"a": {"b": [1, 2]}}});
        let mut page = String::new();
        facts(&mut page, "", &value);
        assert_eq!(
            page,
            "<dt>name</dt><dd>&lt;mitdb&gt;</dd>\n<dt>beats</dt><dd>N 90,000, V 7000</dd>\n<dt>deep · a · b</dt><dd>1, 2</dd>\n"
        );
    }

    #[test]
    fn column_hints_say_the_direction_in_words() {
        let column = Column { key: "ece".into(), label: "ECE".into(), unit: String::new(), better: Better::Lower };
        assert!(column_hint(&column).contains("lower"));
    }
}
