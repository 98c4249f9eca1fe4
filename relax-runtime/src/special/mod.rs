//! Special functions of real numbers, in double precision.

mod gamma_ratio;
mod log_sum;
mod polygamma;
mod taylor;

pub(crate) use gamma_ratio::{ln_gamma_ratio, ln_gamma_ratio_slopes};
pub(crate) use log_sum::{LogSum, log_sum};
pub(crate) use polygamma::{lgamma, polygamma, stirling_error};

/// ½ ln 2π.
pub(crate) const HALF_LN_TAU: f64 = 0.918_938_533_204_672_7;

/// A function of one number that tensors compute in double precision and round: the engines have
/// no operation for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// ln Γ(x).
    LogGamma,
    /// The `n`-th derivative of the digamma function.
    Polygamma(u32),
    /// The `n`-th derivative of [`stirling_error`].
    StirlingError(u32),
    /// x − 1 − ln x.
    UnitDeviance,
    /// eˣ − 1.
    ExpM1,
    /// The error function.
    Erf,
    /// 1 minus the error function.
    Erfc,
}

impl Special {
    /// A number that identifies the function.
    pub(crate) fn number(self) -> u64 {
        let (kind, order) = match self {
            Self::LogGamma => (0, 0),
            Self::Polygamma(order) => (1, order),
            Self::StirlingError(order) => (2, order),
            Self::UnitDeviance => (3, 0),
            Self::ExpM1 => (4, 0),
            Self::Erf => (5, 0),
            Self::Erfc => (6, 0),
        };
        kind << 32 | u64::from(order)
    }

    /// The function's value.
    pub(crate) fn value(self, x: f32) -> f32 {
        let x = f64::from(x);
        let value = match self {
            Self::LogGamma => lgamma(x),
            Self::Polygamma(order) => polygamma(order, x),
            Self::StirlingError(order) => stirling_error(order, x),
            Self::UnitDeviance => unit_deviance(x),
            Self::ExpM1 => x.exp_m1(),
            Self::Erf => libm::erf(x),
            Self::Erfc => libm::erfc(x),
        };
        value as f32
    }

    /// The function's derivative.
    pub(crate) fn slope(self, x: f32) -> f32 {
        use std::f64::consts::FRAC_2_SQRT_PI;
        let bell = |x: f64| FRAC_2_SQRT_PI * (-x * x).exp();
        let wide = f64::from(x);
        let slope = match self {
            Self::LogGamma => return Self::Polygamma(0).value(x),
            Self::Polygamma(order) => return Self::Polygamma(order.saturating_add(1)).value(x),
            Self::StirlingError(order) => {
                return Self::StirlingError(order.saturating_add(1)).value(x);
            }
            Self::UnitDeviance => 1.0 - 1.0 / wide,
            Self::ExpM1 => wide.exp(),
            Self::Erf => bell(wide),
            Self::Erfc => -bell(wide),
        };
        slope as f32
    }
}

/// x − 1 − ln x, which is 0 at x = 1 and positive elsewhere: half of the unit deviance of a Gamma
/// (McCullagh and Nelder, "Generalized Linear Models", 1989, section 8.3).
pub(crate) fn unit_deviance(x: f64) -> f64 {
    match (x - 1.0).abs() < 0.5 {
        true => (x - 1.0) - (x - 1.0).ln_1p(),
        false if x == f64::INFINITY => x,
        false => x - 1.0 - x.ln(),
    }
}

/// The standard normal quantile at probability u, from the logarithms of u and of 1 − u, of which
/// only the smaller is used.
pub(crate) fn normal_quantile(ln_u: f64, ln_v: f64) -> f64 {
    // Abramowitz and Stegun, 26.2.23: within 4.5e-4; then Newton's method on the logarithm of the
    // tail, which is concave.
    let (ln_tail, sign) = if ln_u < ln_v {
        (ln_u, -1.0)
    } else {
        (ln_v, 1.0)
    };
    let t = (-2.0 * ln_tail).sqrt();
    let above = 2.515_517 + t * (0.802_853 + t * 0.010_328);
    let below = 1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308));
    let mut z = t - above / below;
    for _ in 0..3 {
        let tail = 0.5 * libm::erfc(z * std::f64::consts::FRAC_1_SQRT_2);
        let density = (-0.5 * z * z).exp() / std::f64::consts::TAU.sqrt();
        z += (tail.ln() - ln_tail) * tail / density;
    }
    sign * z
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::distribution::{ContinuousCDF, Normal};

    #[test]
    fn normal_quantiles_are_those_of_statrs() {
        let normal = Normal::standard();
        for i in 1..1_000 {
            let u = f64::from(i) * 1e-3;
            let found = normal_quantile(u.ln(), (-u).ln_1p());
            let wanted = normal.inverse_cdf(u);
            assert!(
                (found - wanted).abs() < 1e-8,
                "{u}: {found} is not {wanted}"
            );
        }
        let far = normal_quantile(-45.0, -(-45.0_f64).exp());
        let tail = 0.5 * libm::erfc(-far * std::f64::consts::FRAC_1_SQRT_2);
        assert!((tail.ln() + 45.0).abs() < 1e-9, "{far}");
    }

    #[test]
    fn deviances_lose_no_digits_near_one() {
        for i in 1..20 {
            let t = 0.5_f64.powi(i);
            let series: f64 = (2..60).map(|k| (-t).powi(k) / f64::from(k)).sum();
            let error = (unit_deviance(1.0 + t) - series).abs() / series;
            assert!(error < 1e-9, "{t}: {error}");
        }
        assert_eq!(unit_deviance(1.0), 0.0);
        assert_eq!(unit_deviance(0.0), f64::INFINITY);
        assert_eq!(unit_deviance(f64::INFINITY), f64::INFINITY);
    }
}
