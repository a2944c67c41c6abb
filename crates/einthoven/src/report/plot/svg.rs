//! SVG by strings: the few elements that the plots need, and nothing else.
//!
//! Colour, width and dash come from classes (`style.css`), so one drawing serves light, dark and print.

use std::fmt::Write;

/// Where a text is anchored.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Elements of a drawing in painting order.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    pub body: String,
}

/// Makes text safe between tags and inside attributes, for SVG and HTML alike.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // Control characters are not allowed in either language.
            c if c.is_control() && c != '\n' && c != '\t' => safe.push('\u{FFFD}'),
            c => safe.push(c),
        }
    }
    safe
}

/// A coordinate to a tenth of a pixel, without needless zeros.
fn coordinate(value: f64) -> String {
    let text = format!("{value:.1}");
    match text.strip_suffix(".0") {
        Some("-0") => "0".into(),
        Some(whole) => whole.into(),
        None => text,
    }
}

impl Canvas {
    pub fn line(&mut self, class: &str, (x1, y1): (f64, f64), (x2, y2): (f64, f64)) {
        self.path(class, &format!("M{} {}L{} {}", coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2)));
    }

    pub fn path(&mut self, class: &str, data: &str) {
        // Writing to a string does not fail.
        let _ = write!(self.body, r#"<path class="{class}" d="{data}"/>"#);
    }

    pub fn rect(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        let (x, y, width, height) =
            (coordinate(x), coordinate(y), coordinate(width.max(0.0)), coordinate(height.max(0.0)));
        let _ = write!(self.body, r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}"/>"#);
    }

    pub fn text(&mut self, class: &str, anchor: Anchor, x: f64, y: f64, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " mid",
            Anchor::End => " end",
        };
        let (x, y, text) = (coordinate(x), coordinate(y), escape(text));
        let _ = write!(self.body, r#"<text class="{class}{anchor}" x="{x}" y="{y}">{text}</text>"#);
    }

    /// A point whose shape names the series as its colour does.
    pub fn marker(&mut self, class: &str, shape: usize, x: f64, y: f64, r: f64) {
        let c = coordinate;
        let data = match shape % 5 {
            0 => {
                // The radius as it is printed, or the two halves would not be round.
                let r = (r * 10.0).round() / 10.0;
                let (left, d, r) = (c(x - r), c(2.0 * r), c(r));
                format!("M{left} {}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0z", c(y))
            }
            1 => {
                let s = r * 0.9;
                format!("M{} {}h{}v{}h-{}z", c(x - s), c(y - s), c(2.0 * s), c(2.0 * s), c(2.0 * s))
            }
            2 => {
                let s = r * 1.15;
                format!("M{} {}l{} {}h-{}z", c(x), c(y - s), c(s), c(1.8 * s), c(2.0 * s))
            }
            3 => {
                let s = r * 1.25;
                format!("M{} {}l{} {} -{} {} -{} -{}z", c(x), c(y - s), c(s), c(s), c(s), c(s), c(s), c(s))
            }
            _ => {
                let s = r * 1.15;
                format!("M{} {}l{} -{}h-{}z", c(x), c(y + s), c(s), c(1.8 * s), c(2.0 * s))
            }
        };
        self.path(class, &data);
    }
}

/// A polyline in relative tenths of a pixel: a beat of 256 points takes about a kilobyte.
#[derive(Debug, Default)]
pub(crate) struct PathData {
    /// ASCII only.
    data: Vec<u8>,
    /// Last point in tenths of a pixel; none after a gap.
    at: Option<(i64, i64)>,
}

impl PathData {
    /// Draws a line to the point, or starts there after a gap; a point that is not finite makes a gap.
    pub fn point(&mut self, x: f64, y: f64) {
        if !x.is_finite() || !y.is_finite() {
            self.at = None;
            return;
        }
        let to = ((x * 10.0).round() as i64, (y * 10.0).round() as i64);
        match self.at {
            None => {
                self.data.push(b'M');
                push_tenths(&mut self.data, to.0, true);
                push_tenths(&mut self.data, to.1, false);
            }
            Some(from) if from == to => return,
            Some(from) => {
                self.data.push(b'l');
                push_tenths(&mut self.data, to.0 - from.0, true);
                push_tenths(&mut self.data, to.1 - from.1, false);
            }
        }
        self.at = Some(to);
    }

    /// Draws back to the first point.
    pub fn close(&mut self) {
        self.data.push(b'z');
        self.at = None;
    }

    pub fn into_string(self) -> String {
        // Only ASCII was pushed, so there is nothing that could be lost.
        String::from_utf8(self.data).unwrap_or_default()
    }
}

/// Appends tenths as a decimal number, such as `-.3` or `12`, with a blank where one is needed.
///
/// Digits are pushed one by one: the formatting of the standard library takes most of the time of a long trace.
fn push_tenths(data: &mut Vec<u8>, tenths: i64, is_first: bool) {
    if tenths < 0 {
        data.push(b'-');
    } else if !is_first {
        data.push(b' ');
    }
    let (whole, fraction) = (tenths.unsigned_abs() / 10, tenths.unsigned_abs() % 10);
    if whole > 0 || fraction == 0 {
        let mut digits = [0u8; 20];
        let (mut rest, mut at) = (whole, digits.len());
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        data.extend_from_slice(&digits[at..]);
    }
    if fraction > 0 {
        data.push(b'.');
        data.push(b'0' + fraction as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_element() {
        assert_eq!(escape("<b a=\"1\">&'\u{7}"), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;\u{FFFD}");
    }

    #[test]
    fn a_path_is_short_and_does_not_drift() {
        let mut path = PathData::default();
        for i in 0..4 {
            path.point(1.0 + 0.33 * f64::from(i), 2.0 - 0.5 * f64::from(i));
        }
        path.point(f64::NAN, 0.0);
        path.point(5.0, 5.04);
        // 1.33, 1.66 and 1.99 round to 1.3, 1.7 and 2.0: the steps are those between rounded points.
        assert_eq!(path.into_string(), "M1 2l.3-.5l.4-.5l.3-.5M5 5");
    }

    #[test]
    fn coordinates_have_no_needless_zeros() {
        assert_eq!([12.0, 0.04, -0.04, -3.25, 7.96].map(coordinate), ["12", "0", "0", "-3.2", "8"]);
    }
}
