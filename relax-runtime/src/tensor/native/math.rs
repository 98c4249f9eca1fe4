//! Elementary functions without branches or calls, which the compiler turns into SIMD loops.
//! Errors are a few units in the last place; NaN and infinities are preserved.

/// x clamped to [low, high]; NaN stays NaN.
#[inline(always)]
pub(crate) fn clamp(x: f32, low: f32, high: f32) -> f32 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// max(x, 0); NaN stays NaN.
#[inline(always)]
pub(crate) fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// eˣ, after Cephes: x = n log 2 + r, a polynomial for eʳ, and a scaling by 2ⁿ in two factors, so
/// that neither overflows or vanishes before the product does.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    /// 1.5 · 2²³: adding it rounds to an integer, which is then in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    /// Smaller numbers have an exponential below half of the smallest number.
    const LOWEST: f32 = -104.0;
    // Not `clamp`, whose checks keep the loop scalar. 0 in place of results that vanish, because processors
    // are slow with subnormal numbers.
    let clamped = if x < LOWEST { 0.0 } else { x };
    let clamped = if clamped > 89.0 { 89.0 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = 1.987_569_1e-4;
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ] {
        p = p * r + c;
    }
    let value = p * r * r + r + 1.0;
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let power = |k: i32| f32::from_bits(((k + 127) << 23) as u32);
    let scaled = value * power(half) * power(n - half);
    // NaN fails both comparisons, and makes `value` NaN.
    if x < LOWEST { 0.0 } else { scaled }
}

/// Natural logarithm, after Cephes: x = m 2ⁿ with m between √½ and √2, and a polynomial for log m.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    /// 2²⁵ brings subnormal numbers into the normal range.
    const RAISED: f32 = 33_554_432.0;
    let (normal, lowered) = if x < f32::MIN_POSITIVE {
        (x * RAISED, 25.0)
    } else {
        (x, 0.0)
    };
    let (z, n) = parts(normal);
    let value = ln_of_parts(z, n - lowered);
    let positive = if x > 0.0 { value } else { f32::NEG_INFINITY };
    let finite = if x < f32::INFINITY { positive } else { x };
    if x < 0.0 { f32::NAN } else { finite }
}

/// m − 1 and n of a normal number x = m 2ⁿ with m between √½ and √2.
#[inline(always)]
pub(crate) fn parts(x: f32) -> (f32, f32) {
    let root_half = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let above = x.to_bits().wrapping_sub(root_half);
    let n = ((above as i32) >> 23) as f32;
    let m = f32::from_bits((above & 0x007f_ffff).wrapping_add(root_half));
    (m - 1.0, n)
}

/// log((1 + z) 2ⁿ) for 1 + z between √½ and √2: relatively accurate for small z where n is 0.
#[inline(always)]
pub(crate) fn ln_of_parts(z: f32, n: f32) -> f32 {
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let mut p = 7.037_683_6e-2;
    for c in [
        -0.115_146_1,
        0.116_769_984,
        -0.124_201_41,
        0.142_493_22,
        -0.166_680_58,
        0.200_007_15,
        -0.249_999_94,
        0.333_333_3,
    ] {
        p = p * z + c;
    }
    let square = z * z;
    z + (p * z * square + LN_2_LOW * n - 0.5 * square) + LN_2_HIGH * n
}

/// log p - log(1 - p).
#[inline(always)]
pub(crate) fn logit(p: f32) -> f32 {
    ln(p / (1.0 - p))
}

/// log x where x is not negative and log(x + 1) elsewhere, for normal x: one logarithm serves both.
#[inline(always)]
pub(crate) fn ln_modulo_one(x: f32) -> f32 {
    let (z, exponent) = parts(if x < 0.0 { 1.0 + x } else { x });
    // 1 + x rounds away the digits of small x.
    let near = (x < 0.0) & (x > -0.25);
    let value = ln_of_parts(if near { x } else { z }, exponent);
    if x.is_nan() { x } else { value }
}

/// log(1 + e) for e in [−½, 1], accurate even near 0.
#[inline(always)]
fn ln_1p_unit(e: f32) -> f32 {
    ln_1p_by_quotient(e / (2.0 + e))
}

/// log(1 + e) = 2 artanh(s) by its series, for e in [−½, 1] and s = e / (2 + e).
#[inline(always)]
pub(super) fn ln_1p_by_quotient(s: f32) -> f32 {
    let square = s * s;
    let mut p = 1.0 / 13.0;
    for c in [1.0 / 11.0, 1.0 / 9.0, 1.0 / 7.0, 0.2, 1.0 / 3.0, 1.0] {
        p = p * square + c;
    }
    2.0 * s * p
}

/// log(1 + eˣ) without overflow or loss of small values.
#[inline(always)]
pub(crate) fn softplus(x: f32) -> f32 {
    let tail = ln_1p_unit(exp(-x.abs()));
    if x > 0.0 { x + tail } else { tail }
}

/// log p(x) = x l − softplus(l) of a coin x with logit l; without cancellation where it is all but
/// certain.
#[inline(always)]
pub(crate) fn coin_log_mass(x: f32, l: f32) -> f32 {
    x_less_step(x, l) * l - ln_1p_unit(exp(-l.abs()))
}

/// x − σ(l), the derivative of [`coin_log_mass`] with respect to l; without cancellation either.
#[inline(always)]
pub(crate) fn coin_score(x: f32, l: f32) -> f32 {
    let e = exp(-l.abs());
    let rare = e / (1.0 + e);
    if l > 0.0 { x - 1.0 + rare } else { x - rare }
}

/// σ(l) (1 − σ(l)), relatively accurate for all logits.
#[inline(always)]
pub(crate) fn coin_variance(l: f32) -> f32 {
    let e = exp(-l.abs());
    e / ((1.0 + e) * (1.0 + e))
}

/// x − 1 for positive logits, x elsewhere.
#[inline(always)]
pub(super) fn x_less_step(x: f32, l: f32) -> f32 {
    if l > 0.0 { x - 1.0 } else { x }
}

/// 1 / (1 + e⁻ˣ) without overflow, relatively accurate even for very negative arguments.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    let e = exp(-x.abs());
    let numerator = if x < 0.0 { e } else { 1.0 };
    numerator / (1.0 + e)
}

/// Hyperbolic tangent: its Taylor series near 0, where the quotient of exponentials cancels.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    let square = x * x;
    let mut p = -1382.0 / 155_925.0;
    for c in [62.0 / 2835.0, -17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
        p = p * square + c;
    }
    let e = exp(-2.0 * x.abs());
    let far = ((1.0 - e) / (1.0 + e)).copysign(x);
    if square < 0.09 { x * p } else { far }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_double_precision() {
        type Pair = (fn(f32) -> f32, fn(f64) -> f64);
        let table: [Pair; 4] = [
            (exp, f64::exp),
            (tanh, f64::tanh),
            (sigmoid, |x| 1.0 / (1.0 + (-x).exp())),
            (softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        ];
        for (row, (fast, exact)) in table.into_iter().enumerate() {
            for i in -1_040_000..=880_000 {
                let x = i as f32 * 1e-4;
                let want = exact(f64::from(x));
                // Subnormal numbers are 2⁻¹⁴⁹ apart.
                let error = (f64::from(fast(x)) - want).abs() - 3e-45;
                assert!(
                    error < 6e-7 * want.abs(),
                    "function {row} at {x}: {} is not {want}",
                    fast(x)
                );
            }
        }
    }

    #[test]
    fn logarithms_agree_with_double_precision() {
        for exponent in -104..=87 {
            for step in 0..10_000 {
                let x = (exponent as f32 + step as f32 * 1e-4).exp();
                if x == 0.0 {
                    continue;
                }
                let want = f64::from(x).ln();
                let error = (f64::from(ln(x)) - want).abs() / want.abs().max(0.1);
                assert!(error < 3e-7, "ln {x}: {} is not {want}", ln(x));
            }
        }
        for step in 1..100_000 {
            let p = step as f32 * 1e-5;
            let want = f64::from(p).ln() - (-f64::from(p)).ln_1p();
            let error = (f64::from(logit(p)) - want).abs() / want.abs().max(0.5);
            assert!(error < 4e-7, "logit {p}: {} is not {want}", logit(p));
        }
    }

    #[test]
    fn confident_coins_keep_their_small_masses() {
        for i in -2_000..=2_000 {
            let l = i as f32 * 0.04;
            for x in [0.0, 1.0] {
                let towards = f64::from(if x == 1.0 { l } else { -l });
                let mass = -((-towards.abs()).exp().ln_1p() + (-towards).max(0.0));
                let error = (f64::from(coin_log_mass(x, l)) - mass).abs() / mass.abs();
                assert!(error < 6e-7, "log-mass of {x} at {l}");
                let score = (f64::from(x) - 0.5).signum() / (1.0 + towards.exp());
                let error = (f64::from(coin_score(x, l)) - score).abs() / score.abs();
                assert!(error < 6e-7, "score of {x} at {l}");
            }
        }
    }

    #[test]
    fn keeps_extremes() {
        assert_eq!(
            (ln(0.0), ln(1.0), ln(f32::INFINITY)),
            (f32::NEG_INFINITY, 0.0, f32::INFINITY)
        );
        assert!(ln(-1.0).is_nan() && ln(f32::NAN).is_nan());
        assert_eq!(
            (logit(0.0), logit(0.5), logit(1.0)),
            (f32::NEG_INFINITY, 0.0, f32::INFINITY)
        );
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(
            (exp(f32::INFINITY), exp(f32::NEG_INFINITY)),
            (f32::INFINITY, 0.0)
        );
        assert_eq!((exp(89.0), exp(-1e4)), (f32::INFINITY, 0.0));
        assert_eq!((sigmoid(1e4), sigmoid(-1e4)), (1.0, 0.0));
        assert_eq!(
            (tanh(f32::INFINITY), tanh(-1e4), tanh(0.0)),
            (1.0, -1.0, 0.0)
        );
        assert_eq!((softplus(1e4), softplus(-1e4)), (1e4, 0.0));
        assert_eq!(softplus(f32::INFINITY), f32::INFINITY);
        for f in [exp, sigmoid, tanh, softplus] {
            assert!(f(f32::NAN).is_nan());
        }
    }
}
