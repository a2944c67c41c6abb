//! Figures drawn as SVG: one kind of plot per file, styled by classes, readable without colour.
//!
//! Series differ by dash and marker as well as by colour, values are printed where they matter, and
//! each drawing has a title and a description for screen readers. No scripts, no fonts, no links.

mod axis;
mod bars;
mod ecg;
mod forest;
mod histogram;
mod line;
mod matrix;
mod reliability;
mod spectrum;
pub(super) mod svg;

use std::fmt::Write;

use super::figure::{Figure, Plot};
pub(crate) use svg::escape;
use svg::{Anchor, Canvas};

/// Colours and dashes for light, dark and print, shared by the page and by single drawings.
pub(crate) const STYLE: &str = include_str!("style.css");

/// Series styles that `style.css` tells apart.
const N_STYLES: usize = 6;

/// A drawn figure: panels in order, and what the marks mean.
struct Drawing {
    panels: Vec<Panel>,
    legend: Vec<Legend>,
    n_columns: usize,
}

/// One panel, in pixels of its own.
struct Panel {
    width: f64,
    height: f64,
    description: String,
    body: String,
}

/// An entry of the legend.
struct Legend {
    mark: Mark,
    label: String,
}

/// How a legend entry looks.
enum Mark {
    /// A thin beat.
    Thin,
    /// The bold mean.
    Mean,
    /// The spread around the mean.
    Band,
    /// Curve of series i.
    Curve(usize),
    /// Curve with markers of series i.
    Marked(usize),
    /// Bar of series i.
    Bar(usize),
    /// Point with an interval, filled or hollow.
    Point { is_control: bool },
    /// Diamond of a published value.
    Published,
    /// Dashed reference line.
    Reference,
    /// Shaded range.
    Margin,
}

impl Figure {
    /// The figure as one SVG file that stands alone and follows the reader's light or dark setting.
    pub fn to_svg(&self) -> String {
        let drawing = draw(&self.plot);
        let gap = 14.0;
        let n_columns = drawing.n_columns.min(drawing.panels.len()).max(1);
        let column = drawing.panels.iter().map(|panel| panel.width).fold(0.0, f64::max) + gap;
        let width = (column * n_columns as f64 + gap).max(420.0);
        let mut body = String::new();
        let mut y = 34.0;
        for row in drawing.panels.chunks(n_columns) {
            for (index, panel) in row.iter().enumerate() {
                let x = gap + column * index as f64;
                let (w, h) = (panel.width, panel.height);
                let _ = write!(
                    body,
                    r#"<svg x="{x:.1}" y="{y:.1}" width="{w:.1}" height="{h:.1}" viewBox="0 0 {w:.1} {h:.1}">{}</svg>"#,
                    panel.body
                );
            }
            y += row.iter().map(|panel| panel.height).fold(0.0, f64::max) + gap;
        }
        let mut x = gap;
        for entry in &drawing.legend {
            let entry_width = 44.0 + 6.6 * entry.label.chars().count() as f64;
            if x > gap && x + entry_width > width {
                x = gap;
                y += 20.0;
            }
            let _ = write!(body, r#"<g transform="translate({x:.1} {y:.1})">{}</g>"#, swatch(&entry.mark));
            let mut canvas = Canvas::default();
            canvas.text("name", Anchor::Start, x + 34.0, y + 10.0, &entry.label);
            body.push_str(&canvas.body);
            x += entry_width;
        }
        let height = y + 24.0;
        let title = escape(&self.title);
        let descriptions: Vec<String> = drawing.panels.iter().map(|panel| escape(&panel.description)).collect();
        format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" class="plot alone" role="img" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}"><title>{title}</title><desc>{}</desc><style>{STYLE}</style><rect class="page" width="{width:.0}" height="{height:.0}"/><text class="head" x="{gap}" y="22">{title}</text>{body}</svg>
"#,
            descriptions.join(". ")
        )
    }

    /// The figure for a page that carries [`STYLE`]: one drawing per panel, which wrap on a narrow screen.
    pub(crate) fn to_html(&self) -> String {
        let drawing = draw(&self.plot);
        let widest = drawing.panels.iter().map(|panel| panel.width).fold(0.0, f64::max);
        let n_columns = drawing.n_columns.min(drawing.panels.len()).max(1);
        // A lone panel may grow; panels of a set keep a common size.
        let grow = if n_columns == 1 { 1.2 } else { 1.1 };
        let mut html = format!(
            r#"<div class="panels" style="--w:{:.0}px;--max:{:.0}px;max-width:{:.0}px">"#,
            widest * 0.86,
            widest * 1.25,
            (widest * grow + 12.0) * n_columns as f64
        );
        for (index, panel) in drawing.panels.iter().enumerate() {
            let id = format!("{}-{index}", slug(&self.id));
            let (w, h) = (panel.width, panel.height);
            let _ = write!(
                html,
                r#"<svg class="plot" role="img" aria-labelledby="{id}-t {id}-d" viewBox="0 0 {w:.0} {h:.0}"><title id="{id}-t">{}</title><desc id="{id}-d">{}</desc>{}</svg>"#,
                escape(&self.title),
                escape(&panel.description),
                panel.body
            );
        }
        html.push_str("</div>");
        if !drawing.legend.is_empty() {
            html.push_str(r#"<ul class="legend">"#);
            for entry in &drawing.legend {
                let _ = write!(
                    html,
                    r#"<li><svg class="plot swatch" aria-hidden="true" viewBox="0 0 28 14">{}</svg>{}</li>"#,
                    swatch(&entry.mark),
                    escape(&entry.label)
                );
            }
            html.push_str("</ul>");
        }
        html
    }
}

/// Draws the data.
fn draw(plot: &Plot) -> Drawing {
    match plot {
        Plot::BeatOverlay(plot) => ecg::draw(plot),
        Plot::Spectrum(plot) => spectrum::draw(plot),
        Plot::Forest(plot) => forest::draw(plot),
        Plot::Bars(plot) => bars::draw(plot),
        Plot::Line(plot) => line::draw(plot),
        Plot::Histogram(plot) => histogram::draw(plot),
        Plot::ConfusionMatrix(plot) => matrix::draw(plot),
        Plot::Reliability(plot) => reliability::draw(plot),
    }
}

/// The sign of a legend entry on 28 by 14 pixels.
fn swatch(mark: &Mark) -> String {
    let mut canvas = Canvas::default();
    let (from, to) = ((1.0, 7.0), (27.0, 7.0));
    match mark {
        Mark::Thin => canvas.line("beat s0 solo", from, to),
        Mark::Mean => canvas.line("mean", from, to),
        Mark::Band => {
            canvas.rect("band s0", 1.0, 2.0, 26.0, 10.0);
            canvas.line("edge s0", (1.0, 2.0), (27.0, 2.0));
            canvas.line("edge s0", (1.0, 12.0), (27.0, 12.0));
        }
        Mark::Curve(series) => canvas.line(&curve_class(*series), from, to),
        Mark::Marked(series) => {
            canvas.line(&curve_class(*series), from, to);
            canvas.marker(&marker_class(*series), *series, 14.0, 7.0, 4.0);
        }
        Mark::Bar(series) => {
            canvas.rect(&bar_class(*series), 4.0, 1.0, 20.0, 12.0);
            hatch(&mut canvas, *series, (4.0, 1.0), (20.0, 12.0));
        }
        Mark::Point { is_control } => {
            canvas.line("whisker", from, to);
            canvas.marker(point_class(*is_control), usize::from(*is_control), 14.0, 7.0, 4.5);
        }
        Mark::Published => canvas.marker("published", 3, 14.0, 7.0, 4.5),
        Mark::Reference => canvas.line("reference", from, to),
        Mark::Margin => canvas.rect("margin", 1.0, 1.0, 26.0, 12.0),
    }
    canvas.body
}

fn curve_class(series: usize) -> String {
    let style = series % N_STYLES;
    format!("curve s{style} d{style}")
}

fn marker_class(series: usize) -> String {
    format!("dot s{}", series % N_STYLES)
}

fn bar_class(series: usize) -> String {
    format!("bar s{}", series % N_STYLES)
}

fn point_class(is_control: bool) -> &'static str {
    if is_control { "point hollow" } else { "point" }
}

/// Lines across a bar whose spacing and slant name the series; the first series is plain.
fn hatch(canvas: &mut Canvas, series: usize, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let (gap, slants): (f64, &[f64]) = match series % N_STYLES {
        0 => return,
        1 => (6.0, &[1.0]),
        2 => (6.0, &[-1.0]),
        3 => (7.0, &[1.0, -1.0]),
        4 => (3.5, &[1.0]),
        _ => (3.5, &[-1.0]),
    };
    let mut path = svg::PathData::default();
    for slant in slants {
        // The line is x + slant * y = offset, cut to the bar.
        let (first, last) = if *slant > 0.0 { (0.0, width + height) } else { (-height, width) };
        let mut offset = first + gap;
        while offset < last {
            let at = |v: f64| offset - slant * v;
            let ends = [(at(0.0), 0.0), (at(height), height)].map(|(u, _)| u.clamp(0.0, width));
            let [top, bottom] = ends.map(|u| (u, ((offset - u) / slant).clamp(0.0, height)));
            path.point(f64::NAN, f64::NAN);
            path.point(x + top.0, y + top.1);
            path.point(x + bottom.0, y + bottom.1);
            offset += gap;
        }
    }
    canvas.path("hatch", &path.into_string());
}

/// Breaks a label into at most two lines of about `width` characters.
fn wrap(label: &str, width: usize) -> Vec<String> {
    if label.chars().count() <= width {
        return vec![label.to_string()];
    }
    let mut lines = vec![String::new()];
    for word in label.split_whitespace() {
        let is_last = lines.len() == 2;
        let line = &mut lines[if is_last { 1 } else { 0 }];
        if line.is_empty() {
            line.push_str(word);
        } else if is_last || line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_string());
        }
    }
    for line in &mut lines {
        if line.chars().count() > width + 4 {
            *line = line.chars().take(width + 2).collect::<String>() + "…";
        }
    }
    lines
}

/// A name that is safe as an HTML id.
pub(crate) fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_labels_take_two_lines() {
        assert_eq!(wrap("real only", 20), ["real only"]);
        assert_eq!(wrap("real and classical augmentation", 20), ["real and classical", "augmentation"]);
        assert_eq!(wrap("Donaudampfschifffahrtsgesellschaft", 10), ["Donaudampfsc…"]);
    }

    #[test]
    fn ids_hold_no_markup() {
        assert_eq!(slug("a\"<b>"), "a--b-");
    }
}
