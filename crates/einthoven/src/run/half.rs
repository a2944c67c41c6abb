//! 16-bit floating point (IEEE 754 binary16), for weights that are passed on.

/// Nearest 16-bit number, ties to even; what lies beyond 65504 becomes infinite.
pub(crate) fn f16_from_f32(value: f32) -> u16 {
    let bits = value.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let magnitude = bits & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return sign | 0x7e00;
    }
    if magnitude >= 0x4780_0000 {
        return sign | 0x7c00;
    }
    if magnitude < 0x3880_0000 {
        // Below 2^-14 the spacing is 2^-24; adding 0.5 aligns the mantissa to that spacing, and
        // the sum rounds to even by itself.
        let aligned = f32::from_bits(magnitude) + 0.5;
        return sign | (aligned.to_bits() - 0x3f00_0000) as u16;
    }
    let odd = (magnitude >> 13) & 1;
    let rounded = magnitude + 0x0fff + odd;
    sign | ((rounded >> 13) - ((127 - 15) << 10)) as u16
}

/// The same number in 32 bits, exactly.
pub(crate) fn f32_from_f16(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let exponent = u32::from(half >> 10) & 0x1f;
    let mantissa = u32::from(half & 0x03ff);
    let magnitude = match exponent {
        0 => (mantissa as f32 * 2f32.powi(-24)).to_bits(),
        0x1f => 0x7f80_0000 | (mantissa << 13),
        _ => ((exponent + 127 - 15) << 23) | (mantissa << 13),
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_survives_the_round_trip() {
        for half in 0..=u16::MAX {
            let wide = f32_from_f16(half);
            if wide.is_nan() {
                assert!(f32_from_f16(f16_from_f32(wide)).is_nan());
            } else {
                assert_eq!(f16_from_f32(wide), half);
            }
        }
    }

    #[test]
    fn rounds_to_the_nearest_and_ties_to_even() {
        for half in 0..0x7bffu16 {
            let (low, high) = (f32_from_f16(half), f32_from_f16(half + 1));
            // Both ends have 11 bits, so that the middle is exact in 24.
            let middle = (low + high) / 2.0;
            assert_eq!(f16_from_f32(middle), half + (half & 1), "tie above {low}");
            assert_eq!(f16_from_f32(middle.next_down()), half);
            assert_eq!(f16_from_f32(-middle.next_up()), 0x8000 | (half + 1));
        }
    }

    #[test]
    fn known_values() {
        // IEEE 754-2019, table of binary16 examples.
        for (value, half) in
            [(1.0, 0x3c00), (-2.0, 0xc000), (65504.0, 0x7bff), (65520.0, 0x7c00), (0.333_251_95, 0x3555)]
        {
            assert_eq!(f16_from_f32(value), half);
        }
        assert_eq!(f32_from_f16(1), 5.960_464_5e-8);
    }
}
