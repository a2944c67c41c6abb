//! `report.md`: the numbers for results pages and pull requests; figures stay in the page.

use std::fmt::Write;

use super::estimate::{Estimate, format_count, format_number, own_decimals};
use super::table::{Better, Cell, Table};
use super::{Block, Report};

impl Report {
    /// Headline, tables, text, limits and the command as Markdown.
    pub fn to_markdown(&self) -> String {
        let mut page = format!("# {}\n\n", inline(&self.title));
        put(&mut page, format_args!("```\n{}\n```\n\n", self.command.replace("```", "'''")));
        let seed = self.seed;
        put(&mut page, format_args!("Preset {}, seed {seed}, {}, ", inline(&self.preset), inline(&self.device)));
        let commit = if self.commit.is_empty() { String::new() } else { format!(" ({})", inline(&self.commit)) };
        put(
            &mut page,
            format_args!("version {}{commit}. Synthetic ECGs: not for clinical use.\n\n", inline(&self.version)),
        );
        for paragraph in &self.abstract_text {
            put(&mut page, format_args!("{}\n\n", inline(paragraph)));
        }
        if !self.headline.is_empty() {
            page.push_str("| key result | value | 95 % CI | n | published |\n|---|---:|---:|---:|---:|\n");
            for group in self.headline_layout() {
                if !group.title.is_empty() {
                    let stamp =
                        if group.stamp.is_empty() { String::new() } else { format!(" ({})", inline(&group.stamp)) };
                    put(&mut page, format_args!("| **{}**{stamp} | | | | |\n", inline(&group.title)));
                }
                group.keys.iter().for_each(|key| self.headline_row(&mut page, key));
            }
            page.push('\n');
        }
        for section in &self.sections {
            put(&mut page, format_args!("## {}\n\n", inline(&section.title)));
            for block in &section.blocks {
                match block {
                    Block::Text { text } => put(&mut page, format_args!("{}\n\n", inline(text))),
                    Block::Note { text } => put(&mut page, format_args!("> {}\n\n", inline(text))),
                    Block::Table { id } => {
                        if let Some(table) = self.tables.get(id) {
                            page.push_str(&self.markdown_table(table));
                            page.push('\n');
                        }
                    }
                    Block::Figure { id } => {
                        if let Some(figure) = self.figures.get(id) {
                            put(&mut page, format_args!("*Figure in report.html: {}*\n\n", inline(&figure.title)));
                        }
                    }
                }
            }
        }
        if !self.limits.is_empty() {
            page.push_str("## Limits\n\n");
            for limit in &self.limits {
                put(&mut page, format_args!("- {}\n", inline(limit)));
            }
            page.push('\n');
        }
        if !self.references.is_empty() {
            page.push_str("## References\n\n");
            for (index, reference) in self.references.iter().enumerate() {
                put(&mut page, format_args!("{}. {}\n", index + 1, inline(&reference.text)));
            }
        }
        page
    }

    /// A number in the reader's words, with the key under which `report.json` has it.
    fn headline_row(&self, page: &mut String, key: &str) {
        let estimate = &self.headline[key];
        let label = match estimate.label.as_str() {
            "" => format!("`{key}`"),
            label => format!("{} (`{key}`)", inline(label)),
        };
        let decimals = estimate.decimals();
        let interval = estimate.interval_text(decimals).unwrap_or_default();
        let n = estimate.n.map(format_count).unwrap_or_default();
        let value = match estimate.unit.as_str() {
            _ if !estimate.is_sufficient() => format!("insufficient: {}", inline(&estimate.note)),
            "" => estimate.value_text(decimals),
            unit => format!("{} {}", estimate.value_text(decimals), inline(unit)),
        };
        let published = self.published(estimate).unwrap_or_default();
        put(page, format_args!("| {label} | {value} | {interval} | {n} | {published} |\n"));
    }

    /// One table as Markdown, for results pages.
    pub fn markdown_table(&self, table: &Table) -> String {
        let mut page = format!("**{}**", inline(&table.title));
        if !table.stamp.is_empty() {
            put(&mut page, format_args!(" (**{}**)", inline(&table.stamp)));
        }
        if !table.caption.is_empty() {
            put(&mut page, format_args!(" {}", inline(&table.caption)));
        }
        put(&mut page, format_args!("\n\n| {} |", inline(&table.row_heading)));
        for column in &table.columns {
            let unit = if column.unit.is_empty() { String::new() } else { format!(" ({})", inline(&column.unit)) };
            let arrow = match column.better {
                Better::Higher => " \u{2191}",
                Better::Lower => " \u{2193}",
                Better::Neither => "",
            };
            put(&mut page, format_args!(" {}{unit}{arrow} |", inline(&column.label)));
        }
        page.push_str("\n|---|");
        page.push_str(&"---:|".repeat(table.columns.len()));
        page.push('\n');
        let decimals: Vec<Vec<usize>> = table.columns.iter().map(|c| table.column_decimals(&c.key)).collect();
        let mut group = "";
        for (index, row) in table.rows.iter().enumerate() {
            if row.group != group && !row.group.is_empty() {
                put(&mut page, format_args!("| **{}** |{}\n", inline(&row.group), " |".repeat(table.columns.len())));
            }
            group = &row.group;
            let badge = row.kind.badge().map_or(String::new(), |word| format!(" *({word})*"));
            put(&mut page, format_args!("| {}{badge} |", inline(&row.label)));
            for (column, decimals) in table.columns.iter().zip(&decimals) {
                let cell = row.cells.get(&column.key).map_or(String::new(), |cell| self.cell(cell, decimals[index]));
                put(&mut page, format_args!(" {cell} |"));
            }
            page.push('\n');
        }
        for note in &table.notes {
            put(&mut page, format_args!("\n{}\n", inline(note)));
        }
        page
    }

    fn cell(&self, cell: &Cell, decimals: usize) -> String {
        match cell {
            Cell::Text { text } => inline(text),
            Cell::NotFound => "not found".into(),
            Cell::Insufficient { reason } if reason.is_empty() => "insufficient".into(),
            Cell::Insufficient { reason } => format!("insufficient: {}", inline(reason)),
            Cell::Estimate(estimate) => {
                let mut text = estimate.value_text(decimals);
                if let Some(interval) = estimate.interval_text(decimals) {
                    put(&mut text, format_args!(" ({interval})"));
                }
                if let Some(n) = estimate.n {
                    put(&mut text, format_args!(", n = {}", format_count(n)));
                }
                if let Some(published) = self.published(estimate) {
                    put(&mut text, format_args!("; published {published}"));
                }
                text
            }
        }
    }

    fn published(&self, estimate: &Estimate) -> Option<String> {
        let published = estimate.published.as_ref()?;
        let Some(value) = published.value else { return Some("not found".into()) };
        let value = format_number(value, own_decimals(value));
        Some(match self.reference_number(&published.reference) {
            Some(number) => format!("{value} [{number}]"),
            None => value,
        })
    }
}

/// Appends formatted text; writing to a string does not fail.
fn put(page: &mut String, arguments: std::fmt::Arguments<'_>) {
    let _ = page.write_fmt(arguments);
}

/// Text that cannot break out of a table cell or start markup.
fn inline(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => safe.push(' '),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' => {
                safe.push('\\');
                safe.push(character);
            }
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::table::{Row, RowKind};
    use super::super::{Published, Report};
    use super::*;

    #[test]
    fn a_table_shows_controls_and_published_values() {
        let mut report = Report::new("p", 1, "cpu");
        report.reference("a", "Someone 2024");
        let table = Table::new("t", "F1 | all", "trained on")
            .column("f1", "F1", "", Better::Higher)
            .row(
                Row::new(RowKind::Control, "real_only")
                    .cell("f1", Estimate::with_ci(0.5, 0.4, 0.6).n(30).published(Published::value(0.957, "a"))),
            )
            .row(Row::new(RowKind::Result, "x").cell("f1", Estimate::insufficient("one patient")));
        assert_eq!(
            report.markdown_table(&table),
            "**F1 \\| all**\n\n| trained on | F1 \u{2191} |\n|---|---:|\n\
             | real\\_only *(control)* | 0.50 (0.40 to 0.60), n = 30; published 0.957 [1] |\n\
             | x | insufficient: one patient |\n"
        );
    }
}
