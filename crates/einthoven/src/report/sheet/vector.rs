//! A sheet as SVG: sizes in millimetres, ten units of the drawing for each.

use std::fmt::Write;

use super::super::plot::svg::{PathData, escape};
use super::page::{Anchor, BOLD_MM, BOLD_RGB, FINE_MM, FINE_RGB, Ink, Item, PAPER_RGB, Page};

/// Units of the drawing per millimetre; coordinates have one decimal, which is 0.01 mm.
const UNITS_PER_MM: f64 = 10.0;

/// The page as one SVG file that stands alone.
pub(super) fn svg(page: &Page) -> String {
    let n_points: usize = page
        .items
        .iter()
        .map(|item| match item {
            Item::Stroke { runs, .. } => runs.iter().map(Vec::len).sum(),
            Item::Text { .. } => 10,
        })
        .sum();
    let mut out = String::with_capacity(16_384 + 9 * n_points);
    let u = |mm: f64| (mm * UNITS_PER_MM * 10.0).round() / 10.0;
    let (width, height) = (u(page.width_mm), u(page.height_mm));
    // Writing to a string does not fail.
    let _ = write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve" class="sheet" role="img" width="{}mm" height="{}mm" viewBox="0 0 {width} {height}"><title>{}</title><desc>{}</desc><style>{}</style>"#,
        page.width_mm,
        page.height_mm,
        escape(&page.title),
        escape(&page.description),
        style(),
    );
    let _ = write!(out, r#"<rect width="{width}" height="{height}" fill="{}"/>"#, color(PAPER_RGB));
    let texts = |ink_is_water: bool| {
        page.items
            .iter()
            .filter(move |item| matches!(item, Item::Text { ink, .. } if (*ink == Ink::Watermark) == ink_is_water))
    };
    // The mark across the paper lies under its lines.
    texts(true).for_each(|item| draw(item, &mut out));
    grid(page, &mut out);
    let paper = page.paper;
    let (x, y, w, h) = (u(paper.left_mm), u(paper.top_mm), u(paper.width_mm), u(paper.height_mm));
    // A nested drawing cuts what leaves the paper.
    let _ = write!(out, r#"<svg x="{x}" y="{y}" width="{w}" height="{h}" viewBox="{x} {y} {w} {h}">"#);
    page.items
        .iter()
        .filter(|item| matches!(item, Item::Stroke { is_clipped: true, .. }))
        .for_each(|item| draw(item, &mut out));
    out.push_str("</svg>");
    page.items
        .iter()
        .filter(|item| matches!(item, Item::Stroke { is_clipped: false, .. }))
        .for_each(|item| draw(item, &mut out));
    texts(false).for_each(|item| draw(item, &mut out));
    out.push_str("</svg>\n");
    out
}

fn grid(page: &Page, out: &mut String) {
    let paper = page.paper;
    for (class, is_bold) in [("mm1", false), ("mm5", true)] {
        let mut path = PathData::default();
        let mut line = |from: (f64, f64), to: (f64, f64)| {
            path.point(f64::NAN, f64::NAN);
            path.point(from.0 * UNITS_PER_MM, from.1 * UNITS_PER_MM);
            path.point(to.0 * UNITS_PER_MM, to.1 * UNITS_PER_MM);
        };
        for (x, _) in paper.columns().filter(|(_, bold)| *bold == is_bold) {
            line((x, paper.top_mm), (x, paper.bottom_mm()));
        }
        for (y, _) in paper.rows().filter(|(_, bold)| *bold == is_bold) {
            line((paper.left_mm, y), (paper.right_mm(), y));
        }
        let _ = write!(out, r#"<path class="{class}" d="{}"/>"#, path.into_string());
    }
}

fn draw(item: &Item, out: &mut String) {
    match item {
        Item::Stroke { ink, width_mm, runs, .. } => {
            let mut path = PathData::default();
            for run in runs {
                path.point(f64::NAN, f64::NAN);
                for &(x, y) in run {
                    path.point(x * UNITS_PER_MM, y * UNITS_PER_MM);
                }
            }
            let width = width_mm * UNITS_PER_MM;
            let _ = write!(out, r#"<path class="{}" stroke-width="{width}" d="{}"/>"#, ink.class(), path.into_string());
        }
        Item::Text { ink, x_mm, y_mm, size_mm, anchor, text } => {
            let anchor = match anchor {
                Anchor::Start => "",
                Anchor::Middle => " mid",
                Anchor::End => " end",
            };
            let _ = write!(
                out,
                r#"<text class="{}{anchor}" x="{:.1}" y="{:.1}" font-size="{:.1}">{}</text>"#,
                ink.class(),
                x_mm * UNITS_PER_MM,
                y_mm * UNITS_PER_MM,
                size_mm * UNITS_PER_MM,
                escape(text)
            );
        }
    }
}

fn style() -> String {
    let mut css = format!(
        "path{{fill:none;stroke-linejoin:round;stroke-linecap:round}}text{{white-space:pre;font-family:Helvetica,Arial,'Liberation Sans',sans-serif}}.mid{{text-anchor:middle}}.end{{text-anchor:end}}.mm1{{stroke:{};stroke-width:{}}}.mm5{{stroke:{};stroke-width:{}}}",
        color(FINE_RGB),
        FINE_MM * UNITS_PER_MM,
        color(BOLD_RGB),
        BOLD_MM * UNITS_PER_MM
    );
    for ink in Ink::ALL {
        let _ = write!(css, "path.{0}{{stroke:{1}}}text.{0}{{fill:{1}}}", ink.class(), color(ink.rgb()));
    }
    css
}

fn color([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}
