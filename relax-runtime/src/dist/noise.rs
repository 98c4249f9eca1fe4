//! Uniform noise that is as fine near 1 as near 0: numbers count modulo 1, so that −x stands for
//! 1 − x, and the mirror image of a number is its negative.
//!
//! f32 tells numbers near 0 apart by 10⁻⁴⁵ but those near 1 by 10⁻⁷ only: too coarse for choices
//! that are rarer. Numbers in (0, 1) stand for themselves, so that ordinary uniform numbers are noise.

use crate::tensor::Tensor;

/// u in (0, 1), rounded.
pub fn uniform(noise: &Tensor) -> Tensor {
    Tensor::pointwise(
        [noise],
        |[n]| scalar::uniform(n),
        |[n]| {
            let n = open(&n);
            n.lt(0.0).select_where(&(&n + 1.0), &n)
        },
    )
}

/// ln u.
pub fn ln(noise: &Tensor) -> Tensor {
    Tensor::pointwise(
        [noise],
        |[n]| scalar::ln(n),
        |[n]| {
            let n = open(&n);
            let above = n.clamp(f32::MIN_POSITIVE, 1.0).ln();
            n.lt(0.0).select_where(&n.clamp(-1.0, 0.0).ln_1p(), &above)
        },
    )
}

/// ln u − ln(1 − u).
pub fn logit(noise: &Tensor) -> Tensor {
    Tensor::pointwise(
        [noise],
        |[n]| scalar::logit(n),
        |[n]| n.sign() * open(&n).abs().logit(),
    )
}

/// The noise with this ln u, below 0.
pub fn of_ln(ln: &Tensor) -> Tensor {
    Tensor::pointwise(
        [ln],
        |[ln]| scalar::of_ln(ln),
        |[ln]| {
            let u = ln.exp();
            u.gt(0.5).select_where(&(&u - 1.0), &u)
        },
    )
}

/// As [`scalar::open`].
fn open(noise: &Tensor) -> Tensor {
    let size = noise.abs().clamp(scalar::SMALLEST, scalar::LARGEST);
    noise.lt(0.0).select_where(&size.neg(), &size)
}

/// The same functions of single numbers.
pub(crate) mod scalar {
    use std::f32::consts::LN_2;

    use crate::tensor::native::math;

    /// 2⁻⁶⁵, the smallest draw.
    pub(crate) const SMALLEST: f32 = 1.0 / 36_893_488_147_419_103_232.0;

    /// The largest f32 below 1.
    pub(crate) const LARGEST: f32 = 1.0 - f32::EPSILON / 2.0;

    /// Noise of exactly 0 or 1, which a caller may pass, moved to the nearest draw.
    #[inline(always)]
    pub(crate) fn open(n: f32) -> f32 {
        math::clamp(n.abs(), SMALLEST, LARGEST).copysign(n)
    }

    #[inline(always)]
    pub(crate) fn uniform(n: f32) -> f32 {
        let n = open(n);
        if n < 0.0 { 1.0 + n } else { n }
    }

    #[inline(always)]
    pub(crate) fn ln(n: f32) -> f32 {
        // At first, since −0 is no number below 0 for a comparison.
        let n = open(n);
        let (z, exponent) = math::parts(uniform(n));
        // 1 + n rounds away what tells small n apart.
        let near = (n < 0.0) & (n > -0.25);
        let value = math::ln_of_parts(if near { n } else { z }, exponent);
        if n.is_nan() { n } else { value }
    }

    #[inline(always)]
    pub(crate) fn logit(n: f32) -> f32 {
        let n = open(n);
        let size = math::logit(n.abs());
        if n < 0.0 { -size } else { size }
    }

    #[inline(always)]
    pub(crate) fn of_ln(ln: f32) -> f32 {
        if ln > -LN_2 {
            ln.exp_m1()
        } else {
            math::exp(ln)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_equally_fine() {
        for exponent in 1..65 {
            let x = 0.75 * 0.5_f64.powi(exponent);
            let (ln, rest) = (x.ln(), (-x).ln_1p());
            let n = x as f32;
            for (found, want) in [
                (scalar::ln(n), ln),
                (scalar::ln(-n), rest),
                (scalar::logit(n), ln - rest),
                (scalar::logit(-n), rest - ln),
                (scalar::ln(scalar::of_ln(ln as f32)), ln),
                (scalar::ln(scalar::of_ln(rest as f32)), rest),
            ] {
                let error = (f64::from(found) - want).abs() / want.abs();
                assert!(error < 1e-6, "{x:e}: {found:e} is not {want:e}");
            }
        }
    }

    #[test]
    fn ordinary_numbers_and_their_mirror_images_are_noise() {
        for i in 1..100 {
            let u = i as f32 * 0.01;
            assert_eq!(scalar::uniform(u), u);
            assert!((scalar::uniform(-u) - (1.0 - u)).abs() < 1e-7);
            assert!((scalar::ln(-u) - (1.0 - u).ln()).abs() < 1e-6);
        }
        for end in [0.0, -0.0, 1.0, -1.0] {
            assert!(scalar::ln(end).is_finite() && scalar::logit(end).is_finite());
        }
        assert!(scalar::ln(-0.0) < 0.0 && scalar::logit(-0.0) > 0.0);
        assert!(scalar::ln(f32::NAN).is_nan());
    }
}
