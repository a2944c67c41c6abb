//! Axes: ranges, ticks at 1, 2 and 5 times a power of ten, and the frame around a plot.

use super::super::estimate::format_number;
use super::svg::{Anchor, Canvas};

/// Maps values to pixels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Range of the values.
    pub from: (f64, f64),
    /// Range of the pixels; the second may be the smaller.
    pub to: (f64, f64),
    /// Whether the axis is logarithmic.
    pub is_log: bool,
}

impl Scale {
    pub fn pixel(&self, value: f64) -> f64 {
        let fraction = if self.is_log {
            (value / self.from.0).log10() / (self.from.1 / self.from.0).log10()
        } else {
            (value - self.from.0) / (self.from.1 - self.from.0)
        };
        self.to.0 + fraction * (self.to.1 - self.to.0)
    }

    /// Tick positions; about `target` of them.
    pub fn ticks(&self, target: usize) -> Vec<f64> {
        if self.is_log { log_ticks(self.from.0, self.from.1, target) } else { ticks(self.from.0, self.from.1, target) }
    }
}

/// The step of 1, 2 or 5 times a power of ten that cuts `range` into at most `target` parts.
fn step(range: f64, target: usize) -> f64 {
    let rough = range / target.max(1) as f64;
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|factor| factor * power >= rough * 0.999_999).unwrap_or(10.0);
    factor * power
}

/// Multiples of the step within the range.
pub(super) fn ticks(low: f64, high: f64, target: usize) -> Vec<f64> {
    if high <= low || !(high - low).is_finite() {
        return vec![low];
    }
    let step = step(high - low, target);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|k| k as f64 * step).collect()
}

/// Powers of ten within the range, with 2 and 5 between them when there are few.
fn log_ticks(low: f64, high: f64, target: usize) -> Vec<f64> {
    let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let within = |value: &f64| *value >= low * 0.999_999 && *value <= high * 1.000_001;
    let powers: Vec<f64> = decades.clone().map(|exponent| 10f64.powi(exponent)).filter(within).collect();
    if powers.len() >= 3 {
        let every = powers.len().div_ceil(target.max(1));
        return powers.into_iter().step_by(every).collect();
    }
    decades.flat_map(|exponent| [1.0, 2.0, 5.0].map(|factor| factor * 10f64.powi(exponent))).filter(within).collect()
}

/// A tick's label: as many decimals as the step needs.
pub(super) fn tick_label(value: f64, all: &[f64], is_log: bool) -> String {
    if is_log || all.len() < 2 {
        if value != 0.0 && !(1e-4..1e6).contains(&value.abs()) {
            return format!("1e{}", value.abs().log10().round());
        }
        let decimals = (0..6).find(|d| format!("{value:.d$}").parse::<f64>() == Ok(value)).unwrap_or(6);
        return format_number(value, decimals);
    }
    let step = (all[1] - all[0]).abs();
    format_number(value, (-step.log10().floor()).clamp(0.0, 9.0) as usize)
}

/// Least and greatest finite value, widened to whole ticks; `(0, 1)` when there is none.
pub(super) fn nice_range(values: impl IntoIterator<Item = f64>, target: usize) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.into_iter().filter(|value| value.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return (0.0, 1.0);
    }
    if low == high {
        let margin = if low == 0.0 { 1.0 } else { low.abs() * 0.1 };
        (low, high) = (low - margin, high + margin);
    }
    let step = step(high - low, target);
    ((low / step + 1e-9).floor() * step, (high / step - 1e-9).ceil() * step)
}

/// Least and greatest positive value, with a little room; `(0.1, 1)` when there is none.
pub(super) fn log_range(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, 0.0f64);
    for value in values.into_iter().filter(|value| value.is_finite() && *value > 0.0) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high { (0.1, 1.0) } else { (low / 1.25, high * 1.25) }
}

/// Draws both axes with grid, ticks and labels around the area that the scales span.
///
/// The label of the y axis lies flat above it: nobody tilts their head to read it.
pub(super) fn frame(canvas: &mut Canvas, x: &Scale, y: &Scale, x_label: &str, y_label: &str) {
    let (left, right, top, bottom) = (x.to.0, x.to.1, y.to.1, y.to.0);
    let x_ticks = x.ticks(((right - left) / 60.0) as usize);
    let y_ticks = y.ticks(((bottom - top) / 40.0) as usize);
    for &tick in &y_ticks {
        canvas.line("grid", (left, y.pixel(tick)), (right, y.pixel(tick)));
        canvas.text("tick", Anchor::End, left - 6.0, y.pixel(tick) + 4.0, &tick_label(tick, &y_ticks, y.is_log));
    }
    for &tick in &x_ticks {
        canvas.line("axis", (x.pixel(tick), bottom), (x.pixel(tick), bottom + 4.0));
        canvas.text("tick", Anchor::Middle, x.pixel(tick), bottom + 17.0, &tick_label(tick, &x_ticks, x.is_log));
    }
    canvas.line("axis", (left, bottom), (right, bottom));
    canvas.text("name", Anchor::Middle, (left + right) / 2.0, bottom + 34.0, x_label);
    canvas.text("name", Anchor::Start, left - 38.0, top - 10.0, y_label);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_one_two_five() {
        assert_eq!(ticks(0.0, 1.0, 5), [0.0, 0.2, 0.4, 0.6000000000000001, 0.8, 1.0]);
        assert_eq!(ticks(-30.0, 12.0, 4), [-20.0, 0.0]);
        assert_eq!(ticks(3.0, 17.0, 7), [4.0, 6.0, 8.0, 10.0, 12.0, 14.0, 16.0]);
        assert_eq!(ticks(1.0, 1.0, 5), [1.0]);
    }

    #[test]
    fn log_ticks_are_powers_or_finer() {
        assert_eq!(log_ticks(0.01, 100.0, 5), [0.01, 0.1, 1.0, 10.0, 100.0]);
        assert_eq!(log_ticks(1.0, 6.0, 5), [1.0, 2.0, 5.0]);
    }

    #[test]
    fn labels_have_the_decimals_of_the_step() {
        let all = ticks(0.0, 1.0, 5);
        assert_eq!(tick_label(all[3], &all, false), "0.6");
        assert_eq!(tick_label(0.01, &[], true), "0.01");
        assert_eq!(tick_label(1e-7, &[], true), "1e-7");
    }

    #[test]
    fn a_range_covers_its_values_in_whole_steps() {
        assert_eq!(nice_range([0.13, 0.92], 5), (0.0, 1.0));
        assert_eq!(nice_range([f64::NAN], 5), (0.0, 1.0));
        let (low, high) = nice_range([4.0, 4.0], 5);
        assert!(low < 4.0 && high > 4.0);
    }

    #[test]
    fn scales_map_ends_to_ends() {
        let linear = Scale { from: (1.0, 3.0), to: (100.0, 0.0), is_log: false };
        assert_eq!([1.0, 2.0, 3.0].map(|v| linear.pixel(v)), [100.0, 50.0, 0.0]);
        let log = Scale { from: (1.0, 100.0), to: (0.0, 10.0), is_log: true };
        assert!((log.pixel(10.0) - 5.0).abs() < 1e-12);
    }
}
