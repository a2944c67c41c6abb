//! A sheet as PNG: lines of the paper copied row by row, strokes by their distance from each pixel's center.
//!
//! The strokes of one ink are gathered in a mask of coverage, of which each pixel keeps the largest, so that the
//! hundreds of short lines that make a trace do not darken where they meet. The number of pixels per millimetre is
//! whole: lines of the paper fall on pixels, and the file says the size to which it prints.

use super::page::{Anchor, BOLD_RGB, FINE_RGB, Ink, Item, PAPER_RGB, Page};
use super::typeface::{strokes, width_mm};
use crate::error::{Error, Result};

/// Thickness of a letter's strokes in parts of its size.
const LETTER_STROKE: f64 = 0.1;
/// Points nearer than this, in pixels, to the last one drawn are skipped.
const STEP_PX: f64 = 0.25;

/// Steps of coverage that the palette tells apart: with three kinds of paper and seven inks it has 234 colors.
const STEPS: usize = 11;
/// Kinds of paper: blank, fine line, bold line.
const GROUNDS: [[u8; 3]; 3] = [PAPER_RGB, FINE_RGB, BOLD_RGB];
const BLANK: u8 = 0;
const FINE: u8 = 1;
const BOLD: u8 = 2;

/// The page as a PNG file with `px_per_mm` pixels per millimetre.
///
/// # Errors
/// [`Error::Data`] when the encoder refuses.
pub(super) fn png(page: &Page, px_per_mm: u32) -> Result<Vec<u8>> {
    let scale = f64::from(px_per_mm);
    let mut canvas = Canvas::new((page.width_mm * scale).round() as usize, (page.height_mm * scale).round() as usize);
    canvas.rule(page, px_per_mm as usize);
    let whole = [0, 0, canvas.width, canvas.height];
    let paper = page.paper;
    let edges =
        [paper.left_mm, paper.top_mm, paper.right_mm(), paper.bottom_mm()].map(|mm| (mm * scale).round() as usize);
    for ink in [Ink::Watermark, Ink::Trace, Ink::P, Ink::Qrs, Ink::T, Ink::Text, Ink::Stamp] {
        for item in &page.items {
            match item {
                Item::Stroke { ink: its, width_mm, runs, is_clipped } if *its == ink => {
                    canvas.clip = if *is_clipped { edges } else { whole };
                    runs.iter().for_each(|run| canvas.polyline(run, scale, width_mm * scale));
                }
                Item::Text { ink: its, x_mm, y_mm, size_mm, anchor, text } if *its == ink => {
                    canvas.clip = whole;
                    let shift = match anchor {
                        Anchor::Start => 0.0,
                        Anchor::Middle => 0.5,
                        Anchor::End => 1.0,
                    };
                    let x = x_mm - shift * width_mm(text, *size_mm);
                    let stroke_px = LETTER_STROKE * size_mm * scale;
                    strokes(text, (x, *y_mm), *size_mm, |points| canvas.polyline(points, scale, stroke_px));
                }
                _ => {}
            }
        }
        canvas.settle(ink);
    }
    canvas.encode(px_per_mm)
}

/// Pixels as colors of the palette, and the coverage of the ink in use.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    mask: Vec<u8>,
    /// Left, top, right and bottom pixel within which strokes are drawn.
    clip: [usize; 4],
    /// The same of what the mask holds.
    touched: [usize; 4],
}

impl Canvas {
    fn new(width: usize, height: usize) -> Canvas {
        Canvas {
            width,
            height,
            pixels: Vec::with_capacity(width * height),
            mask: vec![0; width * height],
            clip: [0, 0, width, height],
            touched: [width, height, 0, 0],
        }
    }

    /// Fills the page with paper: one row of each kind is made and copied.
    fn rule(&mut self, page: &Page, px_per_mm: usize) {
        let paper = page.paper;
        let at = |mm: f64| (mm * px_per_mm as f64).round() as usize;
        let (left, right) = (at(paper.left_mm), at(paper.right_mm()).min(self.width - 1));
        let (top, bottom) = (at(paper.top_mm), at(paper.bottom_mm()).min(self.height - 1));
        // One of every five lines is thicker by a pixel once a millimetre has six of them.
        let thick = (px_per_mm / 6).clamp(0, 2);
        let blank = vec![BLANK; self.width];
        let row_on = |ground: u8| {
            let mut row = blank.clone();
            row[left..=right].fill(ground);
            for wanted in [false, true] {
                for (x, _) in paper.columns().filter(|(_, is_bold)| *is_bold == wanted) {
                    let extra = if wanted { thick } else { 0 };
                    let kind = if wanted { BOLD } else { FINE };
                    let pixels = &mut row[at(x).saturating_sub(extra).max(left)..=at(x).min(right)];
                    pixels.iter_mut().for_each(|pixel| *pixel = (*pixel).max(kind));
                }
            }
            row
        };
        let rows = [row_on(BLANK), row_on(FINE), row_on(BOLD)];
        let mut kinds: Vec<Option<u8>> = vec![None; self.height];
        kinds[top..=bottom].fill(Some(BLANK));
        for (y, is_bold) in paper.rows() {
            let extra = if is_bold { thick } else { 0 };
            for kind in &mut kinds[at(y).saturating_sub(extra).max(top)..=at(y).min(bottom)] {
                *kind = (*kind).max(Some(if is_bold { BOLD } else { FINE }));
            }
        }
        for kind in kinds {
            self.pixels.extend_from_slice(kind.map_or(&blank, |kind| &rows[usize::from(kind)]));
        }
    }

    fn polyline(&mut self, points: &[(f64, f64)], scale: f64, width_px: f64) {
        let radius = (width_px / 2.0).max(0.5) as f32;
        let mut last: Option<(f64, f64)> = None;
        for (k, &(x, y)) in points.iter().enumerate() {
            let to = (x * scale, y * scale);
            match last {
                None if points.len() > 1 => last = Some(to),
                None => self.segment(to, to, radius),
                Some(from) => {
                    let is_far = (to.0 - from.0).abs() + (to.1 - from.1).abs() >= STEP_PX;
                    if is_far || k + 1 == points.len() {
                        self.segment(from, to, radius);
                        last = Some(to);
                    }
                }
            }
        }
    }

    /// A line with round ends: a pixel is covered by how far its center lies within the edge.
    fn segment(&mut self, a: (f64, f64), b: (f64, f64), radius: f32) {
        let reach = f64::from(radius) + 0.5;
        let [left, top, right, bottom] = self.clip;
        let first = |value: f64, low: usize| (value - reach - 0.5).ceil().max(low as f64) as usize;
        let end = |value: f64, high: usize| ((value + reach - 0.5).floor() + 1.0).clamp(0.0, high as f64) as usize;
        let (x0, x1) = (first(a.0.min(b.0), left), end(a.0.max(b.0), right));
        let (y0, y1) = (first(a.1.min(b.1), top), end(a.1.max(b.1), bottom));
        if x0 >= x1 || y0 >= y1 {
            return;
        }
        let t = &mut self.touched;
        *t = [t[0].min(x0), t[1].min(y0), t[2].max(x1), t[3].max(y1)];
        let (dx, dy) = ((b.0 - a.0) as f32, (b.1 - a.1) as f32);
        let length2 = dx * dx + dy * dy;
        let inverse = if length2 > 0.0 { 1.0 / length2 } else { 0.0 };
        for y in y0..y1 {
            let py = (y as f64 + 0.5 - a.1) as f32;
            let row = &mut self.mask[y * self.width + x0..y * self.width + x1];
            for (k, pixel) in row.iter_mut().enumerate() {
                let px = ((x0 + k) as f64 + 0.5 - a.0) as f32;
                let along = ((px * dx + py * dy) * inverse).clamp(0.0, 1.0);
                let (ex, ey) = (px - along * dx, py - along * dy);
                let inside = radius + 0.5 - (ex * ex + ey * ey).sqrt();
                let cover = (inside.clamp(0.0, 1.0) * 255.0) as u8;
                *pixel = (*pixel).max(cover);
            }
        }
    }

    /// Lays the ink on the pixels that the mask covers, and clears the mask. Where two inks meet, the one that covers
    /// more is seen.
    fn settle(&mut self, ink: Ink) {
        let [left, top, right, bottom] = self.touched;
        for y in top..bottom {
            let range = y * self.width + left..y * self.width + right.max(left);
            for (pixel, cover) in self.pixels[range.clone()].iter_mut().zip(&mut self.mask[range]) {
                let steps = (usize::from(*cover) * STEPS + 127) / 255;
                *cover = 0;
                let is_hidden = match ink {
                    // The paper stays legible: the mark across it fills the squares and leaves the lines.
                    Ink::Watermark => ground(*pixel) != usize::from(BLANK),
                    _ => steps < coverage(*pixel) && !is_watermark(*pixel),
                };
                if steps > 0 && !is_hidden {
                    *pixel = color(ink, steps, ground(*pixel));
                }
            }
        }
        self.touched = [self.width, self.height, 0, 0];
    }

    fn encode(&self, px_per_mm: u32) -> Result<Vec<u8>> {
        let refused = |error: png::EncodingError| Error::data("PNG", error.to_string());
        let mut bytes = Vec::with_capacity(1 << 18);
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_palette(palette());
        // Rows of paper repeat as they are; the fastest level finds that.
        encoder.set_deflate_compression(png::DeflateCompression::Level(1));
        encoder.set_filter(png::Filter::NoFilter);
        encoder.set_pixel_dims(Some(png::PixelDimensions {
            xppu: px_per_mm * 1000,
            yppu: px_per_mm * 1000,
            unit: png::Unit::Meter,
        }));
        let mut writer = encoder.write_header().map_err(refused)?;
        writer.write_image_data(&self.pixels).map_err(refused)?;
        writer.finish().map_err(refused)?;
        Ok(bytes)
    }
}

/// Number of the color that an ink makes on a kind of paper when it covers `steps` of [`STEPS`].
fn color(ink: Ink, steps: usize, ground: usize) -> u8 {
    (3 + (ink as usize * STEPS + steps - 1) * 3 + ground) as u8
}

/// The kind of paper under a color.
fn ground(color: u8) -> usize {
    usize::from(color % 3)
}

/// The steps of coverage in a color; 0 for bare paper.
fn coverage(color: u8) -> usize {
    usize::from(color).checked_sub(3).map_or(0, |inked| inked / 3 % STEPS + 1)
}

/// Whether a color is the mark across the paper, over which every other ink goes.
fn is_watermark(pixel: u8) -> bool {
    (color(Ink::Watermark, 1, 0)..=color(Ink::Watermark, STEPS, GROUNDS.len() - 1)).contains(&pixel)
}

/// Red, green and blue of every color.
fn palette() -> Vec<u8> {
    let mut rgb: Vec<u8> = GROUNDS.concat();
    for ink in Ink::ALL {
        for steps in 1..=STEPS {
            for ground in GROUNDS {
                let mixed = (0..3).map(|k| {
                    let (under, over) = (usize::from(ground[k]), usize::from(ink.rgb()[k]));
                    ((under * (STEPS - steps) + over * steps + STEPS / 2) / STEPS) as u8
                });
                rgb.extend(mixed);
            }
        }
    }
    rgb
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_the_share_of_the_pixel_near_a_straight_line() {
        let mut canvas = Canvas::new(40, 20);
        // A line two pixels wide whose edges fall on pixel borders, then the same moved by a quarter of a pixel.
        canvas.polyline(&[(5.0, 10.0), (35.0, 10.0)], 1.0, 2.0);
        let column = |canvas: &Canvas| -> Vec<u8> { (7..13).map(|y| canvas.mask[y * 40 + 20]).collect() };
        assert_eq!(column(&canvas), [0, 0, 255, 255, 0, 0]);
        canvas.mask.fill(0);
        canvas.polyline(&[(5.0, 10.25), (35.0, 10.25)], 1.0, 2.0);
        assert_eq!(column(&canvas), [0, 0, 191, 255, 63, 0]);
    }

    #[test]
    fn strokes_of_one_ink_do_not_darken_where_they_meet() {
        let mut one = Canvas::new(40, 20);
        one.polyline(&[(5.0, 5.3), (30.0, 12.1)], 1.0, 1.5);
        let mut many = Canvas::new(40, 20);
        let points: Vec<(f64, f64)> = (0..=25).map(|k| (5.0 + f64::from(k), 5.3 + 6.8 * f64::from(k) / 25.0)).collect();
        many.polyline(&points, 1.0, 1.5);
        for (at, (a, b)) in one.mask.iter().zip(&many.mask).enumerate() {
            // Rounding of the shorter lines moves coverage by at most one part in 255.
            assert!(a.abs_diff(*b) <= 1, "pixel {at}: {a} and {b}");
        }
    }

    #[test]
    fn colors_and_palette_agree() {
        let palette = palette();
        assert_eq!(palette.len(), 3 * 234);
        for (k, ink) in Ink::ALL.into_iter().enumerate() {
            assert_eq!(ink as usize, k);
            for steps in 1..=STEPS {
                for (at, paper) in GROUNDS.into_iter().enumerate() {
                    let color = color(ink, steps, at);
                    assert_eq!((ground(color), coverage(color)), (at, steps));
                    let rgb = &palette[usize::from(color) * 3..usize::from(color) * 3 + 3];
                    let expected: [f64; 3] = std::array::from_fn(|k| {
                        let share = steps as f64 / STEPS as f64;
                        f64::from(paper[k]) * (1.0 - share) + f64::from(ink.rgb()[k]) * share
                    });
                    assert!(rgb.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() <= 0.5));
                }
            }
        }
        assert_eq!([coverage(BLANK), coverage(FINE), coverage(BOLD)], [0; 3]);
    }

    #[test]
    fn a_trace_goes_over_the_watermark_and_the_watermark_leaves_the_lines() {
        let mut canvas = Canvas::new(40, 20);
        canvas.pixels = vec![BLANK; 800];
        canvas.pixels[10 * 40..11 * 40].fill(FINE);
        canvas.polyline(&[(20.0, 5.0), (20.0, 15.0)], 1.0, 12.0);
        canvas.settle(Ink::Watermark);
        let at = |canvas: &Canvas, x: usize, y: usize| canvas.pixels[y * 40 + x];
        assert_eq!(at(&canvas, 20, 8), color(Ink::Watermark, STEPS, 0));
        assert_eq!(at(&canvas, 20, 10), FINE);
        // A line that covers half of a pixel is seen over the mark that covers all of it.
        canvas.polyline(&[(5.0, 8.0), (35.0, 8.0)], 1.0, 1.0);
        canvas.settle(Ink::Trace);
        assert_eq!(at(&canvas, 20, 8), color(Ink::Trace, coverage(at(&canvas, 8, 8)), 0));
        assert!((1..STEPS).contains(&coverage(at(&canvas, 8, 8))));
    }

    #[test]
    fn nothing_is_drawn_outside_the_clip() {
        let mut canvas = Canvas::new(40, 20);
        canvas.clip = [10, 5, 30, 15];
        canvas.polyline(&[(-50.0, -50.0), (90.0, 60.0), (20.0, -1e6)], 1.0, 3.0);
        for y in 0..20 {
            for x in 0..40 {
                let is_inside = (10..30).contains(&x) && (5..15).contains(&y);
                assert!(is_inside || canvas.mask[y * 40 + x] == 0, "pixel {x},{y}");
            }
        }
        assert!(canvas.mask.iter().any(|&cover| cover > 0));
    }
}
