//! Natural logarithm and exponential of `f32`, by additions, multiplications and one division: the same bits on every
//! machine, whatever its mathematical library, and quick in loops over cells.

use std::f32::consts::{LN_2, LOG2_E};

/// Below this an exponential is nothing.
const LEAST: f32 = -80.0;

/// Logarithm of a positive, normal number; right to about 1e-6.
pub(super) fn ln(x: f32) -> f32 {
    // The mantissa is brought between √½ and √2, where the series of atanh needs four terms.
    let bits = x.to_bits().wrapping_sub(0x3f35_04f3);
    let exponent = (bits.cast_signed() >> 23) as f32;
    let mantissa = f32::from_bits((bits & 0x007f_ffff).wrapping_add(0x3f35_04f3));
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let tt = t * t;
    let series = 1.0 + tt * (1.0 / 3.0 + tt * (1.0 / 5.0 + tt * (1.0 / 7.0)));
    exponent * LN_2 + 2.0 * t * series
}

/// Exponential of a number not above 80; right to about 1e-6 of its value.
pub(super) fn exp(x: f32) -> f32 {
    /// Adding it rounds to a whole number and leaves that in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let scaled = x.max(LEAST) * LOG2_E;
    let rounded = scaled + ROUND;
    let f = (scaled - (rounded - ROUND)) * LN_2;
    let series = 1.0 + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0)))));
    let power = rounded.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_add(127) << 23;
    f32::from_bits(power) * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_agree_with_the_library() {
        for i in -8000..=800 {
            let x = i as f32 / 100.0;
            assert!((exp(x) / x.exp() - 1.0).abs() < 5e-6, "exp {x}: {} {}", exp(x), x.exp());
        }
        for i in 1..200_000 {
            let x = i as f32 / 1e5 + 1e-9;
            assert!((ln(x) - x.ln()).abs() < 2e-6 * (1.0 + x.ln().abs()), "ln {x}: {} {}", ln(x), x.ln());
        }
        assert_eq!((exp(0.0), ln(1.0)), (1.0, 0.0));
        assert!(exp(-1e9) < 1e-30);
    }
}
