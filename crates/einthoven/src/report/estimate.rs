//! A number with its interval, and how it is printed.
//!
//! The rule for digits: an interval decides. Its half-width gets two significant digits when they are
//! below 36 and else one, the value and both ends as many decimals (the rounding rule of the Particle
//! Data Group, Review of Particle Physics, introduction, section 5.3). A value without an interval
//! gets three significant digits, a count all of them, a published value those that it was printed
//! with. Fractions stay between 0 and 1 and are never printed as percent.

use serde::{Deserialize, Deserializer, Serialize};

/// A measured value with its interval, and the published value that it stands beside.
///
/// In JSON `value`, `ci_low` and `ci_high` are always present; they are null where the value is
/// insufficient, or where an interval makes no sense.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// What is measured, for readers; empty means that the key or the column says it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// The value in `unit`; NaN (null in JSON) when the evidence is insufficient.
    #[serde(deserialize_with = "nan_from_null")]
    pub value: f64,
    /// Lower end of the confidence interval.
    #[serde(default)]
    pub ci_low: Option<f64>,
    /// Upper end of the confidence interval.
    #[serde(default)]
    pub ci_high: Option<f64>,
    /// Unit, such as `dB`; empty for fractions, ratios and counts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
    /// Number of items (beats, patients, seeds) behind the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n: Option<u64>,
    /// What a reader must know beside the number, or why it is insufficient.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// What the publication reports for the same quantity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Published>,
}

/// A value from the literature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// The value in the unit of the estimate beside it; none where the publication gives none.
    pub value: Option<f64>,
    /// Key of the [`Reference`](super::Reference); empty when `value` is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
}

impl Published {
    /// A value that the publication reports.
    pub fn value(value: f64, reference: impl Into<String>) -> Published {
        Published { value: Some(value), reference: reference.into() }
    }

    /// We looked, and the publication does not report it.
    pub fn not_found() -> Published {
        Published { value: None, reference: String::new() }
    }
}

impl Estimate {
    /// A value without an interval.
    pub fn new(value: f64) -> Estimate {
        Estimate {
            label: String::new(),
            value,
            ci_low: None,
            ci_high: None,
            unit: String::new(),
            n: None,
            note: String::new(),
            published: None,
        }
    }

    /// A value with a confidence interval.
    pub fn with_ci(value: f64, ci_low: f64, ci_high: f64) -> Estimate {
        Estimate { ci_low: Some(ci_low), ci_high: Some(ci_high), ..Estimate::new(value) }
    }

    /// No value, because the evidence does not carry one; `reason` says why.
    pub fn insufficient(reason: impl Into<String>) -> Estimate {
        Estimate { note: reason.into(), ..Estimate::new(f64::NAN) }
    }

    /// Says for readers what is measured.
    pub fn label(mut self, label: impl Into<String>) -> Estimate {
        self.label = label.into();
        self
    }

    /// Names the unit.
    pub fn unit(mut self, unit: impl Into<String>) -> Estimate {
        self.unit = unit.into();
        self
    }

    /// Says how many items are behind the value.
    pub fn n(mut self, n: u64) -> Estimate {
        self.n = Some(n);
        self
    }

    /// Adds what a reader must know beside the number.
    pub fn note(mut self, note: impl Into<String>) -> Estimate {
        self.note = note.into();
        self
    }

    /// Puts the published value beside ours.
    pub fn published(mut self, published: Published) -> Estimate {
        self.published = Some(published);
        self
    }

    /// Whether there is a value at all.
    pub fn is_sufficient(&self) -> bool {
        self.value.is_finite()
    }

    /// Both ends of the interval, where both are known.
    pub fn interval(&self) -> Option<(f64, f64)> {
        match (self.ci_low, self.ci_high) {
            (Some(low), Some(high)) if low.is_finite() && high.is_finite() => Some((low, high)),
            _ => None,
        }
    }

    /// Decimals with which the value and its interval are printed.
    pub fn decimals(&self) -> usize {
        match self.interval() {
            Some((low, high)) if high > low => decimals_of_uncertainty((high - low) / 2.0),
            _ if self.value.fract() == 0.0 => 0,
            _ => decimals_for(self.value, 3),
        }
    }

    /// The value as printed, without its unit.
    pub fn value_text(&self, decimals: usize) -> String {
        if self.is_sufficient() { format_number(self.value, decimals) } else { "insufficient".into() }
    }

    /// The interval as printed, such as `0.945 to 0.968`.
    pub fn interval_text(&self, decimals: usize) -> Option<String> {
        let (low, high) = self.interval()?;
        Some(format!("{} to {}", format_number(low, decimals), format_number(high, decimals)))
    }
}

/// Decimals that show `digits` significant digits of `value`.
pub(crate) fn decimals_for(value: f64, digits: i32) -> usize {
    if value == 0.0 || !value.is_finite() {
        return 0;
    }
    // 0.6 - 0.4 falls just short of 0.2; it must not cost a digit.
    let exponent = (value.abs() * (1.0 + 1e-9)).log10().floor() as i32;
    (digits - 1 - exponent).clamp(0, 9) as usize
}

/// Decimals for a half-width: two significant digits up to 0.0354, one from 0.0355, two again from 0.095.
fn decimals_of_uncertainty(half_width: f64) -> usize {
    if !half_width.is_finite() || half_width <= 0.0 {
        return 0;
    }
    let power = 10f64.powf(half_width.log10().floor());
    // 0.6 - 0.4 falls just short of 0.2; that must not cost a digit.
    let leading = half_width / power * (1.0 + 1e-9);
    let (digits, rounded) = if leading < 3.55 {
        (2, half_width)
    } else if leading < 9.5 {
        (1, half_width)
    } else {
        (2, power * 10.0)
    };
    decimals_for(rounded, digits)
}

/// Decimals that a number needs to be printed as it was typed; at most six.
pub(crate) fn own_decimals(value: f64) -> usize {
    let text = format!("{value}");
    text.split_once('.').map_or(0, |(_, fraction)| fraction.len().min(6))
}

/// A number with a true minus sign and its thousands apart.
pub(crate) fn format_number(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "insufficient".into();
    }
    let plain = format!("{:.decimals$}", value.abs());
    let (whole, fraction) = match plain.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (plain.as_str(), None),
    };
    let mut text = String::new();
    let is_zero = plain.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if value < 0.0 && !is_zero {
        text.push('\u{2212}');
    }
    for (index, digit) in whole.chars().enumerate() {
        let left = whole.len() - index;
        // Four digits read well without a separator; from five on they do not.
        if index > 0 && left % 3 == 0 && whole.len() > 4 {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(fraction) = fraction {
        text.push('.');
        text.push_str(fraction);
    }
    text
}

/// A count with its thousands apart.
pub(crate) fn format_count(n: u64) -> String {
    format_number(n as f64, 0)
}

/// JSON has no NaN: it is written as null and comes back as NaN.
pub(crate) fn nan_from_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// [`nan_from_null`] for a list.
pub(crate) fn nans_from_nulls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
    let values = Vec::<Option<f64>>::deserialize(deserializer)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_decides_the_digits() {
        let wide = Estimate::with_ci(0.957_123, 0.9, 0.99);
        assert_eq!(wide.value_text(wide.decimals()), "0.96");
        // Half-widths at the turns of the rule.
        for (half_width, decimals) in
            [(0.0354, 3), (0.0356, 2), (0.0949, 2), (0.0951, 2), (0.1, 2), (8.5, 0), (11.0, 0)]
        {
            assert_eq!(Estimate::with_ci(0.5, 0.5 - half_width, 0.5 + half_width).decimals(), decimals, "{half_width}");
        }
        let narrow = Estimate::with_ci(0.957_123, 0.956_9, 0.957_4);
        assert_eq!(narrow.value_text(narrow.decimals()), "0.95712");
        assert_eq!([0.49, 0.957, 3.0].map(own_decimals), [2, 3, 0]);
        let rough = Estimate::with_ci(1234.56, 1100.0, 1390.0);
        assert_eq!(rough.value_text(rough.decimals()), "1235");
        assert_eq!(rough.interval_text(0).as_deref(), Some("1100 to 1390"));
    }

    #[test]
    fn without_an_interval_three_digits_or_the_whole_count() {
        for (value, text) in [
            (0.478_94, "0.479"),
            (22.518, "22.5"),
            (17_012_345.0, "17,012,345"),
            (-0.004_213, "\u{2212}0.00421"),
            (0.0, "0"),
            (1000.0, "1000"),
        ] {
            let estimate = Estimate::new(value);
            assert_eq!(estimate.value_text(estimate.decimals()), text);
        }
    }

    #[test]
    fn a_negative_value_that_rounds_to_zero_has_no_sign() {
        assert_eq!(format_number(-0.0004, 2), "0.00");
    }

    #[test]
    fn insufficient_survives_json_as_null() {
        let estimate = Estimate::insufficient("one patient");
        let text = serde_json::to_string(&estimate).unwrap();
        assert_eq!(text, r#"{"value":null,"ci_low":null,"ci_high":null,"note":"one patient"}"#);
        let back: Estimate = serde_json::from_str(&text).unwrap();
        assert!(!back.is_sufficient());
        assert_eq!(back.value_text(2), "insufficient");
    }
}
