//! Uniform noise that is as fine near 1 as near 0: numbers count modulo 1, so that −x stands for
//! 1 − x, and the mirror image of a number is its negative.
//!
//! f32 resolves 10⁻⁴⁵ near 0 but only 10⁻⁷ near 1, too coarse for rarer choices. Numbers in (0, 1) stand
//! for themselves, so that ordinary uniform numbers are noise.

use crate::tensor::Tensor;

/// u in (0, 1), rounded.
pub fn uniform(noise: &Tensor) -> Tensor {
    pointwise!([noise], |[n]| each::uniform(n))
}

/// ln u.
pub fn ln(noise: &Tensor) -> Tensor {
    pointwise!([noise], |[n]| each::ln(n))
}

/// ln u − ln(1 − u).
pub fn logit(noise: &Tensor) -> Tensor {
    pointwise!([noise], |[n]| each::logit(n))
}

/// The noise with this ln u, below 0.
pub fn of_ln(ln: &Tensor) -> Tensor {
    pointwise!([ln], |[ln]| each::of_ln(ln))
}

/// The per-element functions.
pub(crate) mod each {
    use std::f32::consts::LN_2;

    use crate::tensor::Element;

    /// 2⁻⁶⁵, the smallest draw.
    pub(crate) const SMALLEST: f32 = 1.0 / 36_893_488_147_419_103_232.0;

    /// The largest f32 below 1.
    pub(crate) const LARGEST: f32 = 1.0 - f32::EPSILON / 2.0;

    /// Noise of exactly 0 or 1, which a caller may pass, moved to the nearest draw.
    #[inline(always)]
    pub(crate) fn open<E: Element>(n: E) -> E {
        n.abs().clamp(SMALLEST, LARGEST).with_sign_of(&n)
    }

    #[inline(always)]
    pub(crate) fn uniform<E: Element>(n: E) -> E {
        let n = open(n);
        n.above(0.0).choose(n.clone(), n + 1.0)
    }

    #[inline(always)]
    pub(crate) fn ln<E: Element>(n: E) -> E {
        open(n).ln_modulo_one()
    }

    #[inline(always)]
    pub(crate) fn logit<E: Element>(n: E) -> E {
        let n = open(n);
        let size = n.abs().logit();
        n.above(0.0).choose(size.clone(), -size)
    }

    #[inline(always)]
    pub(crate) fn of_ln<E: Element>(ln: E) -> E {
        ln.above(-LN_2).choose(ln.exp_m1(), ln.exp())
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
                (each::ln(n), ln),
                (each::ln(-n), rest),
                (each::logit(n), ln - rest),
                (each::logit(-n), rest - ln),
                (each::ln(each::of_ln(ln as f32)), ln),
                (each::ln(each::of_ln(rest as f32)), rest),
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
            assert_eq!(each::uniform(u), u);
            assert!((each::uniform(-u) - (1.0 - u)).abs() < 1e-7);
            assert!((each::ln(-u) - (1.0 - u).ln()).abs() < 1e-6);
        }
        for end in [0.0, -0.0, 1.0, -1.0] {
            assert!(each::ln(end).is_finite() && each::logit(end).is_finite());
        }
        assert!(each::ln(-0.0) < 0.0 && each::logit(-0.0) > 0.0);
        assert!(each::ln(f32::NAN).is_nan());
    }
}
