//! The letters: Helvetica's widths for all formats, and strokes of our own where letters are drawn as lines.
//!
//! PDF readers bring Helvetica and SVG viewers a face of its widths; only the PNG has to draw letters itself. Its
//! strokes are those of a plotter: they need no font file, and so no font's license.

/// Advance widths of Helvetica in thousandths of the size, for the characters 32 to 126.
///
/// # Reference
/// Adobe Core 14 font metrics, Helvetica.
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556,
    556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833,
    722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333, 556, 556, 500, 556,
    556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334,
    260, 334, 584,
];

/// Width of a character that is not in [`WIDTHS`].
const OTHER_WIDTH: u16 = 556;

/// Strokes of the characters 32 to 126: runs apart by blanks, points as two digits, x then y. The baseline is y = 2,
/// small letters reach y = 6, capitals y = 8, descenders y = 0.
const STROKES: [&str; 95] = [
    "",
    "0408 0202",
    "0608 2628",
    "1218 3238 0444 0646",
    "473818070615354443321203 2129",
    "0248 0808 4242",
    "420617273603122244",
    "0608",
    "18060412",
    "08161402",
    "2428 0446 0644",
    "2327 0545",
    "1200",
    "0535",
    "0202",
    "0248",
    "120307183847433212",
    "072822 0242",
    "07183847460242",
    "0718384746354443321203 1535",
    "32380444",
    "4808053544433202",
    "473818070312324344351504",
    "084812",
    "15060718384746351504031232434435",
    "031232434738180706153546",
    "0505 0202",
    "1515 1200",
    "470543",
    "0444 0646",
    "074503",
    "07183847462423 2222",
    "4332120307183847443436262434",
    "022842 1434",
    "02083847463505 3544433202",
    "4738180703123243",
    "02082846442202",
    "48080242 0535",
    "480802 0535",
    "47381807031232434525",
    "0208 4248 0545",
    "0208",
    "3833221203",
    "0208 4804 1542",
    "080242",
    "0208346862",
    "02084248",
    "120307183847433212",
    "02083847463505",
    "120307183847433212 2442",
    "02083847463505 2542",
    "473818070615354443321203",
    "0848 2822",
    "080312324348",
    "082248",
    "0812365268",
    "0248 0842",
    "082548 2522",
    "08480242",
    "18080212",
    "0842",
    "08181202",
    "062846",
    "0141",
    "0817",
    "16364542 441403123243",
    "0208 0516364543321203",
    "4536160503123243",
    "4248 4536160503123243",
    "04444536160503123243",
    "38281712 0626",
    "4641301001 4536160503123243",
    "0208 0516364542",
    "0206 0808",
    "161100 1818",
    "0208 3603 1432",
    "0208",
    "0206 0516263532 3546566562",
    "0206 0516364542",
    "120305163645433212",
    "0006 0516364543321203",
    "4046 4536160503123243",
    "0206 051636",
    "45361605143443321203",
    "18132232 0636",
    "0603123243 4246",
    "062246",
    "0612355266",
    "0246 0642",
    "0622 461000",
    "06460242",
    "28171605141322",
    "0009",
    "08171625141302",
    "05163445",
];

/// Height of a capital in parts of the size.
const CAP_HEIGHT: f64 = 0.718;

/// Width of a text in mm.
pub(super) fn width_mm(text: &str, size_mm: f64) -> f64 {
    text.chars().map(advance).sum::<f64>() * size_mm
}

/// The longest beginning of a text that fits, with three points where something is cut off.
pub(super) fn fit(text: &str, size_mm: f64, limit_mm: f64) -> String {
    if width_mm(text, size_mm) <= limit_mm {
        return text.to_string();
    }
    let mut kept = String::new();
    let mut used = width_mm("...", size_mm);
    for character in text.chars() {
        used += advance(character) * size_mm;
        if used > limit_mm {
            break;
        }
        kept.push(character);
    }
    format!("{}...", kept.trim_end())
}

/// Calls `each` with the points of every stroke of a text that starts at (x, y), y being the baseline, in mm.
pub(super) fn strokes(text: &str, (x, y): (f64, f64), size_mm: f64, mut each: impl FnMut(&[(f64, f64)])) {
    let unit = CAP_HEIGHT * size_mm / 6.0;
    let mut pen = x;
    let mut points = Vec::new();
    for character in text.chars() {
        let width = advance(character) * size_mm;
        let glyph = position(plain(character)).map_or("0208484202", |at| STROKES[at]);
        let digit = |byte: u8| f64::from(byte - b'0');
        let broad = glyph.split(' ').flat_map(|run| run.bytes().step_by(2)).map(digit).fold(0.0, f64::max);
        // A quarter of the advance is the space between letters.
        let (left, stretch) = match broad > 0.0 {
            true => (0.125 * width, 0.75 * width / broad),
            false => (0.5 * width, 0.0),
        };
        for run in glyph.split(' ').filter(|run| !run.is_empty()) {
            points.clear();
            points.extend(
                run.as_bytes()
                    .chunks_exact(2)
                    .map(|pair| (pen + left + digit(pair[0]) * stretch, y - (digit(pair[1]) - 2.0) * unit)),
            );
            each(&points);
        }
        pen += width;
    }
}

/// A character in the encoding of PDF's base fonts; a question mark where it has none.
pub(super) fn win_ansi(character: char) -> u8 {
    match character {
        ' '..='~' | '\u{a0}'..='\u{ff}' => character as u32 as u8,
        '\u{3bc}' => 0xb5,
        '\u{2013}' => 0x96,
        '\u{2014}' => 0x97,
        '\u{2212}' => b'-',
        _ => b'?',
    }
}

fn advance(character: char) -> f64 {
    f64::from(position(character).map_or(OTHER_WIDTH, |at| WIDTHS[at])) / 1000.0
}

fn position(character: char) -> Option<usize> {
    (' '..='~').contains(&character).then(|| character as usize - ' ' as usize)
}

/// The letter without its accent, where there is one.
fn plain(character: char) -> char {
    match character {
        '\u{c0}'..='\u{c5}' => 'A',
        '\u{c7}' => 'C',
        '\u{c8}'..='\u{cb}' => 'E',
        '\u{cc}'..='\u{cf}' => 'I',
        '\u{d1}' => 'N',
        '\u{d2}'..='\u{d6}' | '\u{d8}' => 'O',
        '\u{d9}'..='\u{dc}' => 'U',
        '\u{df}' => 's',
        '\u{e0}'..='\u{e5}' => 'a',
        '\u{e7}' => 'c',
        '\u{e8}'..='\u{eb}' => 'e',
        '\u{ec}'..='\u{ef}' => 'i',
        '\u{f1}' => 'n',
        '\u{f2}'..='\u{f6}' | '\u{f8}' => 'o',
        '\u{f9}'..='\u{fc}' => 'u',
        '\u{b5}' | '\u{3bc}' => 'u',
        '\u{b7}' => '.',
        '\u{a0}' => ' ',
        '\u{2013}' | '\u{2014}' | '\u{2212}' => '-',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_has_its_width_and_whole_points_within_its_cell() {
        // Widths from the published metrics of Helvetica.
        for (character, width) in [(' ', 278), ('A', 667), ('I', 278), ('W', 944), ('a', 556), ('i', 222), ('~', 584)] {
            assert_eq!(advance(character), f64::from(width) / 1000.0, "{character}");
        }
        for (at, glyph) in STROKES.iter().enumerate() {
            let character = char::from(32 + at as u8);
            for run in glyph.split(' ') {
                assert!(run.len() % 2 == 0 && run.bytes().all(|b| b.is_ascii_digit()), "{character}: {run}");
            }
            let mut n_points = 0;
            strokes(&character.to_string(), (10.0, 5.0), 4.0, |points| {
                n_points += points.len();
                for &(x, y) in points {
                    assert!((10.0..=10.0 + 4.0 * advance(character)).contains(&x), "{character} at {x}");
                    assert!((1.0..=6.0).contains(&y), "{character} at {y}");
                }
            });
            assert_eq!(n_points == 0, character == ' ', "{character}");
        }
    }

    #[test]
    fn no_two_characters_look_alike_save_those_of_one_shape() {
        for (at, glyph) in STROKES.iter().enumerate() {
            let twins: String = (0..95).filter(|&k| STROKES[k] == *glyph).map(|k| char::from(32 + k as u8)).collect();
            assert!(twins.len() == 1 || ["0O", "Il"].contains(&twins.as_str()), "{twins} ({at})");
        }
    }

    #[test]
    fn a_long_text_is_cut_with_points() {
        assert_eq!(fit("short", 3.0, 50.0), "short");
        let cut = fit("a comment that goes on and on", 3.0, 20.0);
        assert!(cut.ends_with("...") && width_mm(&cut, 3.0) <= 20.0, "{cut}");
    }

    #[test]
    fn unknown_characters_are_replaced_not_dropped() {
        assert_eq!([win_ansi('\u{b5}'), win_ansi('\u{e9}'), win_ansi('\u{4e2d}')], [0xb5, 0xe9, b'?']);
        let mut boxes = 0;
        strokes("\u{4e2d}", (0.0, 0.0), 3.0, |_| boxes += 1);
        assert_eq!(boxes, 1);
    }
}
