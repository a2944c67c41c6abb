//! From masks to waves: where a mask crosses one half, a wave begins or ends; what is too short is none.

use super::input::FS_HZ;
use crate::record::Wave;

/// Share from which a point lies in a wave.
const THRESHOLD: f32 = 0.5;
/// Gaps up to this long do not end a wave, s.
const GAP_S: f64 = 0.012;
/// Shortest P wave, QRS complex and T wave, s.
const SHORTEST_S: [f64; 3] = [0.04, 0.04, 0.08];
/// Waves are smoothed over this long before their peak is looked for, s; QRS complexes are not.
const SMOOTH_S: f64 = 0.02;
/// A complex peaks at R if R has at least this share of the deepest deflection.
const SMALLEST_R: f64 = 0.05;

/// A wave between two crossings, in points of the network's rate and parts of them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    /// Which wave.
    pub wave: Wave,
    /// Where it begins; `None` if that is before the lead.
    pub onset: Option<f64>,
    /// Where it ends; `None` if that is behind the lead.
    pub offset: Option<f64>,
    /// First and last point inside.
    pub inside: [usize; 2],
}

/// The waves of the masks of one lead, `[mask, time]`, in the order of their first points.
pub fn spans(masks: &[&[f32]; 3]) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    for ((wave, mask), shortest_s) in Wave::ALL.into_iter().zip(masks).zip(SHORTEST_S) {
        let pieces = joined(pieces(mask), (GAP_S * FS_HZ) as usize);
        let wide = pieces.into_iter().map(|[first, last]| span(wave, mask, first, last));
        found.extend(wide.filter(|span| {
            let onset = span.onset.unwrap_or(span.inside[0] as f64);
            span.offset.unwrap_or(span.inside[1] as f64) - onset >= shortest_s * FS_HZ
        }));
    }
    found.sort_by_key(|span| span.inside[0]);
    found
}

/// The span of a lead that shares most points with one that the leads show together; that one itself where none does.
pub fn nearest(shared: &Span, own: &[Span]) -> Span {
    let common = |span: &Span| {
        let (from, to) = (span.inside[0].max(shared.inside[0]), span.inside[1].min(shared.inside[1]));
        (to + 1).saturating_sub(from)
    };
    let of_wave = own.iter().filter(|span| span.wave == shared.wave && common(span) > 0);
    of_wave.max_by_key(|span| common(span)).copied().unwrap_or(*shared)
}

/// First and last point of each piece of a mask that is at or above the threshold.
fn pieces(mask: &[f32]) -> Vec<[usize; 2]> {
    let mut out = Vec::new();
    let mut open = None;
    for (k, &share) in mask.iter().enumerate() {
        match (share >= THRESHOLD, open) {
            (true, None) => open = Some(k),
            (false, Some(first)) => {
                out.push([first, k - 1]);
                open = None;
            }
            _ => {}
        }
    }
    out.extend(open.map(|first| [first, mask.len() - 1]));
    out
}

fn joined(pieces: Vec<[usize; 2]>, gap: usize) -> Vec<[usize; 2]> {
    let mut out: Vec<[usize; 2]> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match out.last_mut() {
            Some(last) if piece[0] - last[1] <= gap + 1 => last[1] = piece[1],
            _ => out.push(piece),
        }
    }
    out
}

fn span(wave: Wave, mask: &[f32], first: usize, last: usize) -> Span {
    let share = |k: usize| f64::from(mask[k]);
    let half = f64::from(THRESHOLD);
    // Between a point below and a point at or above the threshold, so that the line between them is not level.
    let crossing = |below: usize, above: usize| (half - share(below)) / (share(above) - share(below));
    Span {
        wave,
        onset: first.checked_sub(1).map(|below| below as f64 + crossing(below, first)),
        offset: (last + 1 < mask.len()).then(|| (last + 1) as f64 - crossing(last + 1, last)),
        inside: [first, last],
    }
}

/// Distance between the highest and the lowest point of a wave in a lead, mV.
pub fn height(span: &Span, mv: &[f64]) -> f64 {
    let inside = &mv[span.inside[0]..=span.inside[1]];
    let (low, high) = inside.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    high - low
}

/// Where a wave peaks in a lead, in points of the network's rate.
///
/// P and T peak where they are furthest from the line between their ends; a QRS complex at R where there is one, as the
/// readers of LUDB mark it.
pub fn peak(span: &Span, mv: &[f64]) -> usize {
    let [first, last] = span.inside;
    let reach = if span.wave == Wave::Qrs { 0 } else { (SMOOTH_S * FS_HZ) as usize / 2 };
    let value = |k: usize| {
        let around = &mv[k.saturating_sub(reach)..(k + reach + 1).min(mv.len())];
        around.iter().sum::<f64>() / around.len() as f64
    };
    let (a, b) = (value(first), value(last));
    let n = (last - first).max(1) as f64;
    let height: Vec<f64> = (first..=last).map(|k| value(k) - a - (b - a) * (k - first) as f64 / n).collect();
    let furthest = |size: &dyn Fn(f64) -> f64| {
        (0..height.len()).rev().max_by(|&i, &j| size(height[i]).total_cmp(&size(height[j]))).unwrap_or(0)
    };
    let (tallest, largest) = (furthest(&|h| h), furthest(&f64::abs));
    let is_r = span.wave == Wave::Qrs && height[tallest] >= SMALLEST_R * height[largest].abs();
    first + if is_r { tallest } else { largest }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mask of the share of each point that lies between two times.
    fn mask(n: usize, spans: &[(f64, f64)]) -> Vec<f32> {
        (0..n)
            .map(|k| {
                let (from, to) = (k as f64 - 0.5, k as f64 + 0.5);
                let share: f64 = spans.iter().map(|(a, b)| (to.min(*b) - from.max(*a)).max(0.0)).sum();
                share as f32
            })
            .collect()
    }

    #[test]
    fn ends_lie_where_they_were_between_points_too() {
        let (p, qrs, t) = (mask(200, &[(10.0, 32.3)]), mask(200, &[(40.25, 62.0)]), mask(200, &[(100.4, 160.75)]));
        let found = spans(&[&p, &qrs, &t]);
        assert_eq!(found.iter().map(|span| span.wave).collect::<Vec<_>>(), Wave::ALL);
        for (span, (onset, offset)) in found.iter().zip([(10.0, 32.3), (40.25, 62.0), (100.4, 160.75)]) {
            assert!((span.onset.unwrap() - onset).abs() < 0.35, "{span:?}");
            assert!((span.offset.unwrap() - offset).abs() < 0.35, "{span:?}");
        }
    }

    #[test]
    fn short_pieces_are_none_and_short_gaps_do_not_cut() {
        let none = vec![0.0; 300];
        let broken = mask(300, &[(50.0, 60.0), (62.0, 75.0), (200.0, 206.0)]);
        let found = spans(&[&none, &broken, &none]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!((found[0].onset.unwrap() - 50.0).abs() < 0.1 && (found[0].offset.unwrap() - 75.0).abs() < 0.1);
        assert_eq!(spans(&[&[], &[], &[]]), []);
    }

    #[test]
    fn a_lead_that_does_not_show_a_wave_takes_the_common_one() {
        let span = |wave, first, last| Span { wave, onset: None, offset: None, inside: [first, last] };
        let shared = span(Wave::T, 50, 90);
        let own = [span(Wave::P, 50, 90), span(Wave::T, 40, 52), span(Wave::T, 60, 95), span(Wave::T, 100, 130)];
        assert_eq!(nearest(&shared, &own), own[2]);
        assert_eq!(nearest(&shared, &own[..1]), shared);
        assert_eq!(nearest(&shared, &own[3..]), shared);
    }

    #[test]
    fn what_the_lead_cuts_off_has_no_end_there() {
        let none = vec![0.0; 100];
        let found = spans(&[&none, &none, &mask(100, &[(-9.0, 40.0), (70.0, 120.0)])]);
        assert_eq!((found[0].onset, found[1].offset), (None, None));
        assert!(found[0].offset.is_some() && found[1].onset.is_some());
    }

    #[test]
    fn a_complex_peaks_at_r_and_a_wave_at_its_furthest() {
        let bump = |at: f64, height: f64| move |k: usize| height * (-0.5 * ((k as f64 - at) / 4.0).powi(2)).exp();
        let (r, s) = (bump(40.0, 0.3), bump(60.0, -1.0));
        let mv: Vec<f64> = (0..100).map(|k| 5.0 + r(k) + s(k)).collect();
        let span = |wave| Span { wave, onset: None, offset: None, inside: [20, 80] };
        assert_eq!((peak(&span(Wave::Qrs), &mv), peak(&span(Wave::T), &mv)), (40, 60));
        let qs: Vec<f64> = (0..100).map(s).collect();
        assert_eq!(peak(&span(Wave::Qrs), &qs), 60);
    }
}
