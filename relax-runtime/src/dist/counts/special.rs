//! Special functions of counts in `f64`.

use crate::special::{stirling_error, unit_deviance};

/// ln(1 + eˣ) without overflow.
pub(in crate::dist) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// 1/(1 + e⁻ˣ).
pub(in crate::dist) fn sigmoid(x: f64) -> f64 {
    (-softplus(-x)).exp()
}

/// The regularized incomplete beta function I_x(a, b) and I_y(b, a) = 1 − I_x(a, b) at x + y = 1: the
/// smaller of the two has all its digits. By the continued fraction of Numerical Recipes (Press et
/// al. 2007, section 6.4), continued until it has converged, as large arguments need: `statrs` stops
/// after 140 terms, and cannot be given a y that is closer to 0 than 1 − x can tell.
pub(in crate::dist) fn regularised_beta(a: f64, b: f64, x: f64, y: f64) -> (f64, f64) {
    if x <= 0.0 {
        return (0.0, 1.0);
    }
    if y <= 0.0 {
        return (1.0, 0.0);
    }
    let front = beta_front(a, b, x, y);
    if x < (a + 1.0) / (a + b + 2.0) {
        let lower = (front * beta_fraction(a, b, x) / a).min(1.0);
        (lower, 1.0 - lower)
    } else {
        let upper = (front * beta_fraction(b, a, y) / b).min(1.0);
        (1.0 - upper, upper)
    }
}

/// xᵃ yᵇ Γ(a + b)/(Γ(a) Γ(b)) at x + y = 1, without terms that grow with a and b and cancel out.
fn beta_front(a: f64, b: f64, x: f64, y: f64) -> f64 {
    let n = a + b;
    let apart = a * unit_deviance(x / a * n) + b * unit_deviance(y / b * n);
    let errors = [n, a, b].map(|z| stirling_error(0, z));
    let size = (a / n * b / std::f64::consts::TAU).sqrt();
    size * (errors[0] - errors[1] - errors[2] - apart).exp()
}

/// The regularized incomplete gamma function P(a, t) and 1 − P(a, t), the smaller of which has all its digits: by its
/// series, or by its continued fraction (Press et al. 2007, section 6.2).
pub(in crate::dist) fn regularised_gamma(a: f64, t: f64) -> (f64, f64) {
    if t <= 0.0 {
        return (0.0, 1.0);
    }
    // tᵃ e⁻ᵗ/Γ(a + 1).
    let apart = a * unit_deviance(t / a) + stirling_error(0, a);
    let front = (-apart).exp() / (std::f64::consts::TAU * a).sqrt();
    if t < a + 1.0 {
        let lower = (front * gamma_series(a, t)).min(1.0);
        (lower, 1.0 - lower)
    } else {
        let upper = (front * a * gamma_fraction(a, t)).min(1.0);
        (1.0 - upper, upper)
    }
}

/// Series and continued fractions take about as many terms as the square root of their largest argument.
const MOST_TERMS: u32 = 1_000_000;

/// Σ tⁿ/((a + 1) .. (a + n)).
fn gamma_series(a: f64, t: f64) -> f64 {
    let (mut term, mut sum) = (1.0, 1.0);
    for n in (1..MOST_TERMS).map(f64::from) {
        term *= t / (a + n);
        sum += term;
        if term < sum * 1e-17 {
            break;
        }
    }
    sum
}

/// Lentz's method needs numbers other than 0.
fn away_from_zero(x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    if x.abs() < TINY { TINY } else { x }
}

/// The continued fraction behind [`regularised_gamma`], by Lentz's method.
fn gamma_fraction(a: f64, t: f64) -> f64 {
    let mut b = t + 1.0 - a;
    let mut d = 1.0 / away_from_zero(b);
    let (mut c, mut h) = (f64::INFINITY, d);
    for n in (1..MOST_TERMS).map(f64::from) {
        let step = n * (a - n);
        b += 2.0;
        d = 1.0 / away_from_zero(b + step * d);
        c = away_from_zero(b + step / c);
        h *= c * d;
        if (c * d - 1.0).abs() < 1e-16 {
            break;
        }
    }
    h
}

/// The continued fraction behind [`regularised_beta`], by Lentz's method.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in (1..MOST_TERMS).map(f64::from) {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let mut change = 1.0;
        for step in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + step * d);
            c = away_from_zero(1.0 + step / c);
            change = c * d;
            h *= change;
        }
        if (change - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::function::beta::beta_reg;

    fn close(found: f64, wanted: f64, tolerance: f64) {
        let error = (found - wanted).abs() / wanted.abs().max(f64::MIN_POSITIVE);
        assert!(error < tolerance, "{found:e} is not {wanted:e}");
    }

    #[test]
    fn the_beta_function_is_that_of_statrs_where_that_converges() {
        for (a, b) in [(0.5, 2.0), (3.0, 7.5), (40.0, 11.0), (1e-3, 5.0)] {
            for x in [1e-6, 0.1, 0.4, 0.9] {
                let (lower, upper) = regularised_beta(a, b, x, 1.0 - x);
                close(lower, beta_reg(a, b, x), 1e-10);
                close(lower + upper, 1.0, 1e-14);
            }
        }
    }

    /// I_x(a, 1) = xᵃ and I_x(1, b) = 1 − (1 − x)ᵇ; a symmetric beta has its median at ½.
    #[test]
    fn tails_keep_their_digits() {
        close(
            regularised_beta(1e6, 1.0, 0.9999, 1e-4).0,
            (1e6 * 0.9999_f64.ln()).exp(),
            1e-8,
        );
        close(
            regularised_beta(1.0, 1e5, 1e-4, 0.9999).1,
            (1e5 * 0.9999_f64.ln()).exp(),
            1e-9,
        );
        close(
            regularised_beta(3.0, 1.0, 1.0 - 1e-20, 1e-20).1,
            3e-20,
            1e-10,
        );
        for a in [10.0, 1e4, 1e6] {
            close(regularised_beta(a, a, 0.5, 0.5).0, 0.5, 1e-8);
        }
    }
}
