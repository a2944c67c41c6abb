//! Progress on stderr: bars with the remaining time on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use einthoven::run::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// Seconds between two plain lines of one stage.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// What takes less time needs no progress.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints progress.
pub struct Printer {
    is_terminal: bool,
    silent_until: Option<Instant>,
    bar: Option<(String, ProgressBar)>,
    stages: BTreeMap<String, Stage>,
}

struct Stage {
    start: Instant,
    first: u64,
    printed: Option<Instant>,
}

impl Printer {
    pub fn new() -> Printer {
        let is_terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Printer { is_terminal, silent_until: None, bar: None, stages: BTreeMap::new() }
    }

    /// For work that is mostly over at once: says nothing of the first two seconds.
    pub fn late() -> Printer {
        Printer { silent_until: Some(Instant::now() + PATIENCE), ..Printer::new() }
    }

    fn draw(&mut self, stage: &str, done: u64, total: u64, note: &str) {
        if self.bar.as_ref().is_none_or(|(name, _)| name != stage) {
            if let Some((_, bar)) = self.bar.take() {
                bar.finish();
            }
            let bar = ProgressBar::new(total);
            let style = ProgressStyle::with_template("{prefix:32} {wide_bar} {pos}/{len} {elapsed} eta {eta} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_prefix(stage.to_string());
            self.bar = Some((stage.to_string(), bar));
        }
        if let Some((_, bar)) = &self.bar {
            bar.set_position(done);
            bar.set_message(note.to_string());
        }
    }

    fn line(&mut self, stage: &str, done: u64, total: u64, note: &str) {
        let now = Instant::now();
        let state = self.stages.entry(stage.to_string()).or_insert(Stage { start: now, first: done, printed: None });
        let is_due = state.printed.is_none_or(|at| now - at >= LINE_EVERY) || done >= total;
        if !is_due {
            return;
        }
        state.printed = Some(now);
        let seconds = (now - state.start).as_secs_f64();
        let made = done.saturating_sub(state.first);
        let left = if made > 0 { seconds / made as f64 * total.saturating_sub(done) as f64 } else { 0.0 };
        eprintln!("{stage}: {done}/{total}, {seconds:.0} s, eta {left:.0} s {note}");
    }
}

impl Progress for Printer {
    fn update(&mut self, stage: &str, done: u64, total: u64, note: &str) {
        if self.silent_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        if self.is_terminal { self.draw(stage, done, total, note) } else { self.line(stage, done, total, note) }
    }

    fn tell(&mut self, message: &str) {
        match &self.bar {
            Some((_, bar)) if self.is_terminal => bar.println(message),
            _ => eprintln!("{message}"),
        }
    }

    fn warn(&mut self, message: &str) {
        self.tell(&format!("warning: {message}"));
    }
}
