//! Copies the headline of every `results/NAME/report.json` into the pages that show results.
//!
//! `cargo run --release --example results_table [-- --check]`. In `README.md` and `docs/results.md`,
//! everything between `<!-- results: begin -->` and `<!-- results: end -->` is replaced; in
//! `docs/results.md` the tables of each report follow its headline. With `--check` nothing is written,
//! and a page that is out of date is an error. No number of these pages is typed by hand.

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use einthoven::report::{Block, Estimate, Report};

const BEGIN: &str = "<!-- results: begin -->";
const END: &str = "<!-- results: end -->";

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let check_only = std::env::args().any(|argument| argument == "--check");
    match update(check_only) {
        Ok(stale) if stale.is_empty() => ExitCode::SUCCESS,
        Ok(stale) => {
            for page in stale {
                eprintln!("{}: results are out of date; run scripts/results-table", page.display());
            }
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Brings both pages up to date, or returns those that are not.
fn update(check_only: bool) -> Outcome<Vec<PathBuf>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let reports = stored_reports(&root.join("results"))?;
    let mut stale = Vec::new();
    for (page, with_tables) in [("README.md", false), ("docs/results.md", true)] {
        let path = root.join(page);
        let text = fs::read_to_string(&path).map_err(|error| format!("{page}: {error}"))?;
        let updated =
            between_markers(&text, &results(&reports, with_tables)?).map_err(|error| format!("{page}: {error}"))?;
        if updated != text {
            if check_only {
                stale.push(page.into());
            } else {
                fs::write(&path, updated).map_err(|error| format!("{page}: {error}"))?;
            }
        }
    }
    Ok(stale)
}

/// Folder name and report of every stored result, by name.
fn stored_reports(folder: &Path) -> Outcome<Vec<(String, Report)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry?;
        let path = entry.path().join("report.json");
        if path.is_file() {
            found.push((entry.file_name().to_string_lossy().into_owned(), Report::read(&path)?));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

fn between_markers(page: &str, content: &str) -> Outcome<String> {
    let (before, rest) = page.split_once(BEGIN).ok_or_else(|| format!("no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).ok_or_else(|| format!("no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n{content}{END}{after}"))
}

fn results(reports: &[(String, Report)], with_tables: bool) -> Outcome<String> {
    if reports.is_empty() {
        return Ok("No result is stored yet.\n".into());
    }
    let mut page = String::new();
    for (name, report) in reports {
        writeln!(page, "### {name}\n\n{}\n\n```\n{}\n```\n", report.title, report.command)?;
        writeln!(
            page,
            "Seed {}, device {}, version {}. All numbers: `results/{name}/report.json`.\n",
            report.seed, report.device, report.version
        )?;
        headline(&mut page, report)?;
        if with_tables {
            tables(&mut page, report)?;
        }
    }
    Ok(page)
}

fn headline(page: &mut String, report: &Report) -> Outcome<()> {
    writeln!(page, "| | value | 95 % interval | published |\n|---|---:|---:|---:|")?;
    for group in report.headline_layout() {
        if !group.title.is_empty() {
            let stamp = if group.stamp.is_empty() { String::new() } else { format!(" ({})", group.stamp) };
            writeln!(page, "| **{}**{stamp} | | | |", group.title)?;
        }
        for key in &group.keys {
            writeln!(page, "{}", headline_row(key, &report.headline[key]))?;
        }
    }
    writeln!(page, "\n{}\n", report.intervals)?;
    Ok(())
}

fn headline_row(key: &str, estimate: &Estimate) -> String {
    let decimals = estimate.decimals();
    let label = if estimate.label.is_empty() { format!("`{key}`") } else { format!("{} (`{key}`)", estimate.label) };
    let value = match estimate.is_sufficient() {
        true => format!("{} {}", estimate.value_text(decimals), estimate.unit),
        false => format!("insufficient: {}", estimate.note),
    };
    let interval = estimate.interval_text(decimals).unwrap_or_default();
    let published = match &estimate.published {
        None => String::new(),
        Some(published) => match published.value {
            Some(value) => format!("{value} ({})", published.reference),
            None => "not found".into(),
        },
    };
    format!("| {label} | {} | {interval} | {published} |", value.trim_end())
}

fn tables(page: &mut String, report: &Report) -> Outcome<()> {
    for section in &report.sections {
        for block in &section.blocks {
            if let Block::Table { id } = block
                && let Some(table) = report.tables.get(id)
            {
                writeln!(page, "{}", report.markdown_table(table))?;
            }
        }
    }
    writeln!(page, "**Limits**\n")?;
    for limit in &report.limits {
        writeln!(page, "- {limit}")?;
    }
    writeln!(page)?;
    Ok(())
}
