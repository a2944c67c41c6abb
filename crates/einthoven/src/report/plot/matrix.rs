//! Confusion matrices: counts, and the fraction of each true class, which also sets the shade.

use super::super::estimate::{format_count, format_number};
use super::super::figure::{ConfusionMatrix, ConfusionPanel};
use super::svg::{Anchor, Canvas};
use super::{Drawing, Panel, wrap};

const CELL: f64 = 56.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 64.0;
/// Shades that `style.css` knows.
const N_SHADES: f64 = 8.0;

pub(super) fn draw(plot: &ConfusionMatrix) -> Drawing {
    let panels: Vec<Panel> = plot.panels.iter().map(|panel| draw_panel(&plot.classes, panel)).collect();
    let n_columns = if plot.classes.len() > 4 { 2 } else { 3 };
    Drawing { panels, legend: Vec::new(), n_columns }
}

fn draw_panel(classes: &[String], panel: &ConfusionPanel) -> Panel {
    let mut canvas = Canvas::default();
    let width = LEFT + CELL * classes.len() as f64;
    let heading = wrap(&panel.label, ((width / 7.2) as usize).max(16));
    for (line, text) in heading.iter().enumerate() {
        canvas.text("head", Anchor::Start, 2.0, 14.0 + 15.0 * line as f64, text);
    }
    canvas.text("tick", Anchor::Start, 2.0, TOP - 8.0, "true");
    canvas.text("tick", Anchor::End, LEFT + CELL * classes.len() as f64 - 2.0, TOP - 24.0, "predicted");
    let mut said = Vec::new();
    for (row, label) in classes.iter().enumerate() {
        let y = TOP + CELL * row as f64;
        let middle = |index: usize| LEFT + CELL * (index as f64 + 0.5);
        canvas.text("name", Anchor::Middle, middle(row), TOP - 8.0, label);
        canvas.text("name", Anchor::End, LEFT - 8.0, y + CELL / 2.0 + 4.0, label);
        let counts = panel.counts.get(row).map_or(&[][..], Vec::as_slice);
        let total: u64 = counts.iter().sum();
        for (column, &count) in counts.iter().enumerate() {
            let fraction = if total == 0 { 0.0 } else { count as f64 / total as f64 };
            let shade = (fraction * N_SHADES).round() as usize;
            let is_diagonal = row == column;
            let class = if is_diagonal { format!("cell h{shade} diagonal") } else { format!("cell h{shade}") };
            canvas.rect(&class, LEFT + CELL * column as f64 + 1.0, y + 1.0, CELL - 2.0, CELL - 2.0);
            let on = if shade as f64 > N_SHADES / 2.0 { " on" } else { "" };
            let centre = y + CELL / 2.0;
            let text = if total == 0 { "-".into() } else { format_number(fraction, 3) };
            canvas.text(&format!("value small{on}"), Anchor::Middle, middle(column), centre - 1.0, &text);
            canvas.text(&format!("small{on}"), Anchor::Middle, middle(column), centre + 13.0, &format_count(count));
            if is_diagonal {
                said.push(format!("{label} {text} right of {}", format_count(total)));
            }
        }
    }
    Panel {
        width: width + 4.0,
        height: TOP + CELL * classes.len() as f64 + 4.0,
        description: format!("Confusion matrix, {}: {}", panel.label, said.join("; ")),
        body: canvas.body,
    }
}
