//! Sheets as the pages of one PDF: strokes, and texts in Helvetica, which every reader brings along.
//!
//! The few objects that are needed are written by hand: a catalog, the pages, one font, and for each page its strokes
//! as a compressed stream. There is no time in the file, so that the same sheets give the same bytes.
//!
//! # Reference
//! ISO 32000-1:2008, 7.5 (file structure), 8.5 (paths), 9.6.2.2 (standard fonts).

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::page::{Anchor, BOLD_MM, BOLD_RGB, FINE_MM, FINE_RGB, Ink, Item, Page};
use super::typeface::{width_mm, win_ansi};

/// Points of PDF per millimetre.
const POINTS_PER_MM: f64 = 72.0 / 25.4;
/// Units of a page's content per millimetre, so that coordinates are whole numbers of 0.01 mm.
const UNITS_PER_MM: f64 = 100.0;

/// The pages as one file.
pub(super) fn pdf(pages: &[Page]) -> Vec<u8> {
    // Objects: 1 catalog, 2 pages, 3 font, 4 information, then two for each page.
    let mut file = File { bytes: b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n".to_vec(), offsets: Vec::new() };
    let kids: Vec<String> = (0..pages.len()).map(|k| format!("{} 0 R", 5 + 2 * k)).collect();
    file.object(b"<< /Type /Catalog /Pages 2 0 R >>");
    file.object(format!("<< /Type /Pages /Count {} /Kids [{}] >>", pages.len(), kids.join(" ")).as_bytes());
    file.object(b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>");
    let titles: Vec<&str> = pages.first().iter().map(|page| page.title.as_str()).collect();
    let mut information = b"<< /Title ".to_vec();
    literal(&mut information, &titles.join(""));
    information.extend_from_slice(b" /Producer (Einthoven ");
    information.extend_from_slice(env!("CARGO_PKG_VERSION").as_bytes());
    information.extend_from_slice(b") >>");
    file.object(&information);
    for (k, page) in pages.iter().enumerate() {
        let (width, height) = (page.width_mm * POINTS_PER_MM, page.height_mm * POINTS_PER_MM);
        file.object(
            format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.4} {height:.4}] /Resources << /Font << /F1 3 0 R >> >> /Contents {} 0 R >>",
                6 + 2 * k
            )
            .as_bytes(),
        );
        let packed = deflate(&content(page));
        let mut stream = format!("<< /Length {} /Filter /FlateDecode >>\nstream\n", packed.len()).into_bytes();
        stream.extend_from_slice(&packed);
        stream.extend_from_slice(b"\nendstream");
        file.object(&stream);
    }
    file.finish()
}

/// The objects of a file and where each begins.
struct File {
    bytes: Vec<u8>,
    offsets: Vec<usize>,
}

impl File {
    fn object(&mut self, body: &[u8]) {
        self.offsets.push(self.bytes.len());
        self.bytes.extend_from_slice(format!("{} 0 obj\n", self.offsets.len()).as_bytes());
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(b"\nendobj\n");
    }

    fn finish(mut self) -> Vec<u8> {
        let (start, n) = (self.bytes.len(), self.offsets.len() + 1);
        let mut table = format!("xref\n0 {n}\n0000000000 65535 f \n");
        for offset in &self.offsets {
            table.push_str(&format!("{offset:010} 00000 n \n"));
        }
        table.push_str(&format!("trailer\n<< /Size {n} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{start}\n%%EOF\n"));
        self.bytes.extend_from_slice(table.as_bytes());
        self.bytes
    }
}

fn deflate(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::with_capacity(content.len() / 3), Compression::new(4));
    // Writing to a vector does not fail.
    let _ = encoder.write_all(content);
    encoder.finish().unwrap_or_default()
}

/// What a page draws, in units of 0.01 mm from its top left corner.
pub(super) fn content(page: &Page) -> Vec<u8> {
    let scale = POINTS_PER_MM / UNITS_PER_MM;
    let mut out = Content { bytes: Vec::with_capacity(1 << 16) };
    out.command(&format!("{scale:.9} 0 0 -{scale:.9} 0 {:.4} cm 1 J 1 j", page.height_mm * POINTS_PER_MM));
    // The mark across the paper lies under its lines.
    let is_water = |item: &&Item| matches!(item, Item::Text { ink: Ink::Watermark, .. });
    page.items.iter().filter(is_water).for_each(|item| out.item(item));
    let paper = page.paper;
    for (rgb, width_mm, is_bold) in [(FINE_RGB, FINE_MM, false), (BOLD_RGB, BOLD_MM, true)] {
        out.pen(rgb, width_mm);
        for (x, _) in paper.columns().filter(|(_, bold)| *bold == is_bold) {
            out.run(&[(x, paper.top_mm), (x, paper.bottom_mm())]);
        }
        for (y, _) in paper.rows().filter(|(_, bold)| *bold == is_bold) {
            out.run(&[(paper.left_mm, y), (paper.right_mm(), y)]);
        }
        out.command("S");
    }
    out.command(&format!(
        "q {} {} {} {} re W n",
        unit(paper.left_mm),
        unit(paper.top_mm),
        unit(paper.width_mm),
        unit(paper.height_mm)
    ));
    let is_clipped = |item: &&Item| matches!(item, Item::Stroke { is_clipped: true, .. });
    page.items.iter().filter(is_clipped).for_each(|item| out.item(item));
    out.command("Q");
    page.items.iter().filter(|item| !is_clipped(item) && !is_water(item)).for_each(|item| out.item(item));
    out.bytes
}

fn unit(mm: f64) -> i64 {
    (mm * UNITS_PER_MM).round() as i64
}

struct Content {
    bytes: Vec<u8>,
}

impl Content {
    fn command(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(b'\n');
    }

    fn pen(&mut self, rgb: [u8; 3], width_mm: f64) {
        let [r, g, b] = rgb.map(|part| f64::from(part) / 255.0);
        self.command(&format!("{r:.3} {g:.3} {b:.3} RG {} w", unit(width_mm)));
    }

    fn run(&mut self, points: &[(f64, f64)]) {
        let mut at = None;
        for &(x, y) in points {
            let to = (unit(x), unit(y));
            if at == Some(to) {
                continue;
            }
            self.number(to.0);
            self.number(to.1);
            self.bytes.extend_from_slice(if at.is_none() { b"m\n" } else { b"l\n" });
            at = Some(to);
        }
    }

    fn number(&mut self, value: i64) {
        // Writing to a vector does not fail.
        let _ = write!(self.bytes, "{value} ");
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Stroke { ink, width_mm, runs, .. } => {
                self.pen(ink.rgb(), *width_mm);
                runs.iter().for_each(|run| self.run(run));
                self.command("S");
            }
            Item::Text { ink, x_mm, y_mm, size_mm, anchor, text } => {
                let shift = match anchor {
                    Anchor::Start => 0.0,
                    Anchor::Middle => 0.5,
                    Anchor::End => 1.0,
                };
                let x = x_mm - shift * width_mm(text, *size_mm);
                let [r, g, b] = ink.rgb().map(|part| f64::from(part) / 255.0);
                // The page counts downward and letters stand upright.
                let matrix = format!("1 0 0 -1 {} {} Tm", unit(x), unit(*y_mm));
                self.command(&format!("{r:.3} {g:.3} {b:.3} rg BT /F1 {} Tf {matrix}", unit(*size_mm)));
                literal(&mut self.bytes, text);
                self.command(" Tj ET");
            }
        }
    }
}

/// A string of the format; parentheses and backslashes are escaped, and nothing else can end it.
fn literal(out: &mut Vec<u8>, text: &str) {
    out.push(b'(');
    for byte in text.chars().map(win_ansi) {
        if matches!(byte, b'(' | b')' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_leave_its_string() {
        let mut out = Vec::new();
        literal(&mut out, "a) Tj (b\\\n\u{e9}");
        assert_eq!(out, b"(a\\) Tj \\(b\\\\?\xe9)");
    }
}
