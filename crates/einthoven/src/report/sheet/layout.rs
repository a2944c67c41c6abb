//! How leads are arranged on a sheet: the usual layouts of a print-out, in the standard order or in Cabrera's.

use crate::error::{Error, Result};

/// An arrangement of leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Three rows of four leads, 2.5 s each at 25 mm/s, and a rhythm lead over the whole width below.
    ThreeByFour,
    /// Six rows: limb leads on the left, chest leads on the right, 5 s each at 25 mm/s.
    SixByTwo,
    /// Twelve rows over the whole width.
    TwelveByOne,
    /// Rhythm strip: one or a few leads in lines that follow each other.
    Strip,
}

impl Layout {
    /// Every layout.
    pub const ALL: [Layout; 4] = [Layout::ThreeByFour, Layout::SixByTwo, Layout::TwelveByOne, Layout::Strip];

    /// Name, as typed by users.
    pub fn name(self) -> &'static str {
        match self {
            Layout::ThreeByFour => "3x4+1",
            Layout::SixByTwo => "6x2",
            Layout::TwelveByOne => "12x1",
            Layout::Strip => "strip",
        }
    }

    /// The layout of that name.
    ///
    /// # Errors
    /// [`Error::Unknown`] with the known names.
    pub fn parse(name: &str) -> Result<Layout> {
        Layout::ALL.into_iter().find(|layout| layout.name() == name).ok_or_else(|| Error::Unknown {
            kind: "layout",
            name: name.into(),
            known: Layout::ALL.iter().map(|layout| layout.name().into()).collect(),
        })
    }

    /// Columns of leads that share a row.
    pub(super) fn n_columns(self) -> usize {
        match self {
            Layout::ThreeByFour => 4,
            Layout::SixByTwo => 2,
            Layout::TwelveByOne | Layout::Strip => 1,
        }
    }
}

/// The order of the limb leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LimbOrder {
    /// I, II, III, aVR, aVL, aVF.
    #[default]
    Standard,
    /// By angle in the frontal plane, with aVR inverted: aVL, I, -aVR, II, aVF, III.
    Cabrera,
}

/// The twelve leads of a layout in reading order of its columns; `-aVR` is aVR upside down.
pub(super) fn twelve(order: LimbOrder) -> [&'static str; 12] {
    match order {
        LimbOrder::Standard => crate::record::lead_law::TWELVE,
        LimbOrder::Cabrera => ["aVL", "I", "-aVR", "II", "aVF", "III", "V1", "V2", "V3", "V4", "V5", "V6"],
    }
}

/// Baselines of the rows below the top of the paper, and the height of the paper, mm. Except for the twelve narrow
/// rows they lie on lines of five millimetres.
pub(super) struct Rows {
    pub baselines_mm: Vec<f64>,
    pub height_mm: f64,
}

/// Height of the paper of a full page, mm.
pub(super) const FULL_HEIGHT_MM: f64 = 170.0;
/// Rows of a strip that fit on a page.
pub(super) const MAX_STRIP_ROWS: usize = 8;

impl Rows {
    fn spaced(first_mm: f64, pitch_mm: f64, n: usize, height_mm: f64) -> Rows {
        Rows { baselines_mm: (0..n).map(|k| first_mm + pitch_mm * k as f64).collect(), height_mm }
    }

    /// From one baseline to the next.
    pub fn pitch_mm(&self) -> f64 {
        self.baselines_mm.get(1).map_or(f64::INFINITY, |second| second - self.baselines_mm[0])
    }

    /// Rows of a layout; `n_strip_rows` counts only for a strip, whose page is as high as it needs.
    pub fn of(layout: Layout, n_strip_rows: usize) -> Rows {
        match layout {
            Layout::ThreeByFour => Rows::spaced(25.0, 40.0, 4, FULL_HEIGHT_MM),
            Layout::SixByTwo => Rows::spaced(25.0, 25.0, 6, FULL_HEIGHT_MM),
            Layout::TwelveByOne => Rows::spaced(10.0, 14.0, 12, FULL_HEIGHT_MM),
            Layout::Strip if n_strip_rows <= 4 => {
                Rows::spaced(20.0, 30.0, n_strip_rows, 10.0 + 30.0 * n_strip_rows as f64)
            }
            Layout::Strip => Rows::spaced(15.0, 20.0, n_strip_rows, 10.0 + 20.0 * n_strip_rows as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_lie_within_the_paper_and_orders_name_each_lead_once() {
        for layout in Layout::ALL {
            assert_eq!(Layout::parse(layout.name()).unwrap(), layout);
            for n in 1..=MAX_STRIP_ROWS {
                let rows = Rows::of(layout, n);
                assert!(rows.baselines_mm.iter().all(|y| *y >= 10.0 && *y <= rows.height_mm - 5.0));
                assert!(rows.height_mm <= FULL_HEIGHT_MM && rows.height_mm % 5.0 == 0.0);
            }
        }
        let mut cabrera = twelve(LimbOrder::Cabrera).map(|name| name.trim_start_matches('-'));
        let mut standard = twelve(LimbOrder::Standard);
        cabrera.sort_unstable();
        standard.sort_unstable();
        assert_eq!(cabrera, standard);
        assert!(Layout::parse("3x4").unwrap_err().to_string().contains("3x4+1"));
    }
}
