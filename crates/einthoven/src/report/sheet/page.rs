//! One sheet as a list of strokes and texts in millimetres, which every output format renders alike.

/// Where a text is anchored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    /// At its left end.
    Start,
    /// At its middle.
    Middle,
    /// At its right end.
    End,
}

/// What a stroke or a text is drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// The ECG itself, its calibration pulse and the lead separators.
    Trace,
    /// Names and numbers.
    Text,
    /// The mark of a synthetic record.
    Stamp,
    /// The same across the paper, pale enough to read the trace over it.
    Watermark,
    /// Landmarks of the P wave.
    P,
    /// Landmarks of the QRS complex and beat annotations.
    Qrs,
    /// Landmarks of the T wave.
    T,
}

impl Ink {
    /// Every ink, in the order of the classes in a drawing.
    pub const ALL: [Ink; 7] = [Ink::Trace, Ink::Text, Ink::Stamp, Ink::Watermark, Ink::P, Ink::Qrs, Ink::T];

    /// Red, green and blue. Waves also differ by the letter at their peak, never by color alone.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Ink::Trace => [0x10, 0x10, 0x10],
            Ink::Text => [0x22, 0x22, 0x22],
            Ink::Stamp => [0xb0, 0x00, 0x20],
            Ink::Watermark => [0xf2, 0xd8, 0xdd],
            Ink::P => [0x00, 0x5f, 0xb8],
            Ink::Qrs => [0x8a, 0x1c, 0x7c],
            Ink::T => [0x00, 0x76, 0x4a],
        }
    }

    /// Name of its class in a drawing.
    pub fn class(self) -> &'static str {
        match self {
            Ink::Trace => "trace",
            Ink::Text => "text",
            Ink::Stamp => "stamp",
            Ink::Watermark => "water",
            Ink::P => "p",
            Ink::Qrs => "qrs",
            Ink::T => "t",
        }
    }
}

/// Color of the page, of the millimetre lines and of the five-millimetre lines.
pub(super) const PAPER_RGB: [u8; 3] = [0xff, 0xff, 0xff];
pub(super) const FINE_RGB: [u8; 3] = [0xf8, 0xd9, 0xd9];
pub(super) const BOLD_RGB: [u8; 3] = [0xea, 0xa8, 0xa8];
/// Width of the lines of the paper, mm.
pub(super) const FINE_MM: f64 = 0.1;
pub(super) const BOLD_MM: f64 = 0.25;

/// A stroke or a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
    /// Lines through points in mm from the top left corner of the page; several runs where there are gaps.
    Stroke {
        ink: Ink,
        width_mm: f64,
        runs: Vec<Vec<(f64, f64)>>,
        /// Cut at the edge of the paper.
        is_clipped: bool,
    },
    /// A line of text; `y_mm` is its baseline, `size_mm` the size of its font.
    Text { ink: Ink, x_mm: f64, y_mm: f64, size_mm: f64, anchor: Anchor, text: String },
}

/// The part of the page that is ruled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Paper {
    pub left_mm: f64,
    pub top_mm: f64,
    pub width_mm: f64,
    pub height_mm: f64,
}

impl Paper {
    pub fn right_mm(&self) -> f64 {
        self.left_mm + self.width_mm
    }

    pub fn bottom_mm(&self) -> f64 {
        self.top_mm + self.height_mm
    }

    /// Positions of the vertical lines, and whether each is one of every five.
    pub fn columns(&self) -> impl Iterator<Item = (f64, bool)> {
        let left = self.left_mm;
        (0..=self.width_mm.round() as usize).map(move |k| (left + k as f64, k % 5 == 0))
    }

    /// Positions of the horizontal lines, and whether each is one of every five.
    pub fn rows(&self) -> impl Iterator<Item = (f64, bool)> {
        let top = self.top_mm;
        (0..=self.height_mm.round() as usize).map(move |k| (top + k as f64, k % 5 == 0))
    }
}

/// A sheet, ready to be rendered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Page {
    pub width_mm: f64,
    pub height_mm: f64,
    pub paper: Paper,
    pub items: Vec<Item>,
    /// Name of the record.
    pub title: String,
    /// What is on the sheet, for readers who do not see it.
    pub description: String,
}

impl Page {
    pub fn text(&mut self, ink: Ink, anchor: Anchor, (x_mm, y_mm): (f64, f64), size_mm: f64, text: impl Into<String>) {
        let text: String = text.into();
        if !text.is_empty() {
            self.items.push(Item::Text { ink, x_mm, y_mm, size_mm, anchor, text });
        }
    }

    pub fn stroke(&mut self, ink: Ink, width_mm: f64, points: Vec<(f64, f64)>) {
        self.items.push(Item::Stroke { ink, width_mm, runs: vec![points], is_clipped: false });
    }
}
