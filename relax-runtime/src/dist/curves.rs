//! Standard members of location-scale families, by their distribution functions in double precision.

use std::f64::consts::{FRAC_1_SQRT_2, LN_2, PI};
use std::fmt::Debug;
use std::marker::PhantomData;

use super::Smooth;
use super::real::Real;
use crate::special::{HALF_LN_TAU, normal_quantile};

/// A law of one number t whose distribution function has an inverse.
pub trait Curve: Copy + Debug + Default + 'static {
    /// Whether a tail that is not cut off has no mean.
    const HEAVY: bool = false;

    /// ln P(below t).
    fn ln_below(t: f64) -> f64;
    /// ln P(above t).
    fn ln_above(t: f64) -> f64;
    /// The quantile at u, given ln u and ln(1 − u).
    fn quantile(ln_u: f64, ln_v: f64) -> f64;
    /// Log-density.
    fn ln_density(t: f64) -> f64;
    /// Its derivative.
    fn score(t: f64) -> f64;
    /// Its second derivative.
    fn bend(t: f64) -> f64;

    /// The log-density of numbers; where its slope jumps, the operation must be one that knows.
    fn log_density<R: Real>(t: &R) -> R {
        R::smooth([t], &LnDensity::<Self>::default())
    }
}

/// The log-density, with its derivatives.
#[derive(Clone, Copy, Debug, Default)]
struct LnDensity<C>(PhantomData<C>);

impl<C: Curve> Smooth<1> for LnDensity<C> {
    fn value(&self, [t]: [f64; 1]) -> f64 {
        C::ln_density(t)
    }
    fn slopes(&self, [t]: [f64; 1]) -> [f64; 1] {
        [C::score(t)]
    }
    fn bends(&self, [t]: [f64; 1]) -> [[f64; 1]; 1] {
        [[C::bend(t)]]
    }
}

/// Standard normal numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NormalCurve;

impl Curve for NormalCurve {
    fn ln_below(t: f64) -> f64 {
        match t < 5.0 {
            true => (0.5 * libm::erfc(-t * FRAC_1_SQRT_2)).ln(),
            false => (-0.5 * libm::erfc(t * FRAC_1_SQRT_2)).ln_1p(),
        }
    }
    fn ln_above(t: f64) -> f64 {
        Self::ln_below(-t)
    }
    fn quantile(ln_u: f64, ln_v: f64) -> f64 {
        normal_quantile(ln_u, ln_v)
    }
    fn ln_density(t: f64) -> f64 {
        -0.5 * t * t - HALF_LN_TAU
    }
    fn score(t: f64) -> f64 {
        -t
    }
    fn bend(_: f64) -> f64 {
        -1.0
    }
}

/// Standard Laplace numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct LaplaceCurve;

impl Curve for LaplaceCurve {
    fn ln_below(t: f64) -> f64 {
        match t < 0.0 {
            true => t - LN_2,
            false => (-0.5 * (-t).exp()).ln_1p(),
        }
    }
    fn ln_above(t: f64) -> f64 {
        Self::ln_below(-t)
    }
    fn quantile(ln_u: f64, ln_v: f64) -> f64 {
        match ln_u < ln_v {
            true => ln_u + LN_2,
            false => -(ln_v + LN_2),
        }
    }
    fn ln_density(t: f64) -> f64 {
        -t.abs() - LN_2
    }
    fn score(t: f64) -> f64 {
        -t.signum()
    }
    fn bend(_: f64) -> f64 {
        0.0
    }
    fn log_density<R: Real>(t: &R) -> R {
        -t.abs() - LN_2
    }
}

/// Standard logistic numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogisticCurve;

/// σ(t).
fn sigmoid(t: f64) -> f64 {
    1.0 / (1.0 + (-t).exp())
}

impl Curve for LogisticCurve {
    fn ln_below(t: f64) -> f64 {
        t.min(0.0) - (-t.abs()).exp().ln_1p()
    }
    fn ln_above(t: f64) -> f64 {
        Self::ln_below(-t)
    }
    fn quantile(ln_u: f64, ln_v: f64) -> f64 {
        ln_u - ln_v
    }
    fn ln_density(t: f64) -> f64 {
        -t.abs() - 2.0 * (-t.abs()).exp().ln_1p()
    }
    fn score(t: f64) -> f64 {
        1.0 - 2.0 * sigmoid(t)
    }
    fn bend(t: f64) -> f64 {
        -2.0 * sigmoid(t) * sigmoid(-t)
    }
}

/// Standard Cauchy numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct CauchyCurve;

impl Curve for CauchyCurve {
    const HEAVY: bool = true;

    fn ln_below(t: f64) -> f64 {
        // By the angle, which is not 0 however far below t lies.
        (1.0_f64.atan2(-t) / PI).ln()
    }
    fn ln_above(t: f64) -> f64 {
        Self::ln_below(-t)
    }
    fn quantile(ln_u: f64, ln_v: f64) -> f64 {
        let away = |ln_tail: f64| 1.0 / (PI * ln_tail.exp()).tan();
        match ln_u < ln_v {
            true => -away(ln_u),
            false => away(ln_v),
        }
    }
    fn ln_density(t: f64) -> f64 {
        -2.0 * 1.0_f64.hypot(t).ln() - PI.ln()
    }
    fn score(t: f64) -> f64 {
        -2.0 / (t + 1.0 / t)
    }
    fn bend(t: f64) -> f64 {
        let near = 1.0 / (1.0 + t * t);
        2.0 * (1.0 - 2.0 * near) * near
    }
}

/// Standard Gumbel numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct GumbelCurve;

impl GumbelCurve {
    /// e⁻ᵗ, finite.
    fn rest(t: f64) -> f64 {
        (-t.max(-700.0)).exp()
    }
}

impl Curve for GumbelCurve {
    fn ln_below(t: f64) -> f64 {
        -Self::rest(t)
    }
    fn ln_above(t: f64) -> f64 {
        (-(-Self::rest(t)).exp_m1()).ln()
    }
    fn quantile(ln_u: f64, ln_v: f64) -> f64 {
        // −ln u, from ln(1 − u) where u is near 1.
        let rest = if ln_u < -0.5 {
            -ln_u
        } else {
            -(-ln_v.exp()).ln_1p()
        };
        -rest.ln()
    }
    fn ln_density(t: f64) -> f64 {
        -t - Self::rest(t)
    }
    fn score(t: f64) -> f64 {
        Self::rest(t) - 1.0
    }
    fn bend(t: f64) -> f64 {
        -Self::rest(t)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tails, density and quantiles of a curve agree.
    fn agree<C: Curve>(from: f64, to: f64) {
        for i in 0..=60 {
            let t = from + (to - from) * f64::from(i) / 60.0;
            let (below, above) = (C::ln_below(t), C::ln_above(t));
            assert!((below.exp() + above.exp() - 1.0).abs() < 1e-12, "{t}");
            let back = C::quantile(below, above);
            assert!((back - t).abs() < 1e-7 * (1.0 + t.abs()), "{t} {back}");
            let step = 1e-5;
            let near = |f: fn(f64) -> f64| (f(t + step) - f(t - step)) / (2.0 * step);
            // From the smaller tail: differences of the other are lost.
            let slope = match below < above {
                true => near(C::ln_below) * below.exp(),
                false => -near(C::ln_above) * above.exp(),
            };
            let density = C::ln_density(t).exp();
            assert!(
                (slope - density).abs() < 1e-5 * density,
                "{t} {slope} {density}"
            );
            let (score, bend) = (near(C::ln_density), near(C::score));
            assert!(
                (score - C::score(t)).abs() < 1e-5 * (1.0 + score.abs()),
                "{t}"
            );
            assert!((bend - C::bend(t)).abs() < 1e-5 * (1.0 + bend.abs()), "{t}");
        }
    }

    #[test]
    fn tails_densities_and_quantiles_belong_together() {
        agree::<NormalCurve>(-12.03, 12.0);
        agree::<LaplaceCurve>(-30.03, 30.0);
        agree::<LogisticCurve>(-30.03, 30.0);
        agree::<CauchyCurve>(-50.03, 50.0);
        agree::<GumbelCurve>(-4.03, 30.0);
    }
}
