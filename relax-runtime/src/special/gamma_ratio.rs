//! The quantile function of the Gamma distribution, with its derivatives with respect to the shape: it makes
//! draws of Gamma, Beta, Dirichlet and Student's t differentiable functions of their parameters and
//! of noise that does not depend on them (Figurnov, Mohamed, Mnih, "Implicit Reparameterization
//! Gradients", NeurIPS 2018).

use super::normal_quantile;
use super::polygamma::{lgamma, polygamma};
use super::taylor::{Scalar, Taylor};

/// From this shape on, the cube of a normal number has the same quantiles in single precision.
const LARGE: f64 = 1e5;

/// The logarithm of x/α, where x is the u-quantile of Gamma(α, 1), from the logarithms of u and of
/// 1 − u.
///
/// A logarithm, because x itself is too small for any number format at shapes such as 10⁻³.
pub(crate) fn ln_gamma_ratio(alpha: f64, ln_u: f64, ln_v: f64) -> f64 {
    match alpha < LARGE {
        true => ln_quantile(alpha, ln_u, ln_v) - alpha.ln(),
        false => cubed(alpha, ln_u, ln_v).0[0],
    }
}

/// [`ln_gamma_ratio`] with its first and second derivatives with respect to α.
pub(crate) fn ln_gamma_ratio_slopes(alpha: f64, ln_u: f64, ln_v: f64) -> [f64; 3] {
    if alpha >= LARGE {
        return cubed(alpha, ln_u, ln_v).0;
    }
    let y = ln_quantile(alpha, ln_u, ln_v);
    let (x, lower) = (y.exp(), ln_u <= ln_v);
    // G(y, α), the logarithm of the tail, stays constant: its derivatives give those of y.
    let Taylor([g, g_a, g_aa]) = ln_tail(Taylor::variable(alpha), y, lower);
    let ln_density = alpha * y - x - lgamma(alpha);
    let g_y = (ln_density - g).exp() * if lower { 1.0 } else { -1.0 };
    let g_yy = g_y * (alpha - x - g_y);
    let g_ya = g_y * (y - polygamma(0, alpha) - g_a);
    let first = -g_a / g_y;
    let second = -(g_aa + 2.0 * g_ya * first + g_yy * first * first) / g_y;
    let inverse = 1.0 / alpha;
    [y - alpha.ln(), first - inverse, second + inverse * inverse]
}

/// Wilson and Hilferty, "The Distribution of Chi-square", PNAS 1931: the cube root of a Gamma number
/// is close to normal; off by O(α^−3/2).
fn cubed(alpha: f64, ln_u: f64, ln_v: f64) -> Taylor {
    let z = Taylor::constant(normal_quantile(ln_u, ln_v));
    // s = 1/(3 √α) and its derivatives with respect to α.
    let s = 1.0 / (3.0 * alpha.sqrt());
    let s = Taylor([s, -0.5 * s / alpha, 0.75 * s / (alpha * alpha)]);
    (Taylor::constant(1.0) - s * s + z * s).ln() * Taylor::constant(3.0)
}

/// The logarithm of the quantile, by Newton's method on the logarithm of the smaller tail: that is a
/// concave function of ln x, so that the method converges from anywhere.
fn ln_quantile(alpha: f64, ln_u: f64, ln_v: f64) -> f64 {
    const STEPS: usize = 200;
    let lower = ln_u <= ln_v;
    let wanted = if lower { ln_u } else { ln_v };
    let mut y = match alpha {
        // From the side on which all steps go one way: P ≤ x^α/Γ(α + 1), and Q ≤ e^−x for x ≥ 1.
        ..1.0 if lower => (ln_u + lgamma(alpha + 1.0)) / alpha,
        ..1.0 => (-ln_v).max(1.0).ln(),
        _ => {
            let start = cubed(alpha, ln_u, ln_v).0[0];
            let start = if start.is_finite() {
                start.max(-10.0)
            } else {
                -10.0
            };
            alpha.ln() + start
        }
    };
    let ln_gamma = lgamma(alpha);
    for _ in 0..STEPS {
        let tail = ln_tail(alpha, y, lower);
        let density = (alpha * y - y.exp() - ln_gamma - tail).exp();
        let step = (wanted - tail) / if lower { density } else { -density };
        y += step;
        if step.abs() <= 1e-11 * (1.0 + y.abs()) {
            break;
        }
    }
    y
}

/// The number type that the logarithm of a tail is computed in.
trait Shape: Scalar {
    fn value(self) -> f64;
    fn ln(self) -> Self;
    fn ln_1m_exp(self) -> Self;
    fn ln_gamma(self) -> Self;
}

impl Shape for f64 {
    fn value(self) -> f64 {
        self
    }
    fn ln(self) -> Self {
        f64::ln(self)
    }
    fn ln_1m_exp(self) -> Self {
        (-self.exp_m1()).ln()
    }
    fn ln_gamma(self) -> Self {
        lgamma(self)
    }
}

impl Shape for Taylor {
    fn value(self) -> f64 {
        self.0[0]
    }
    fn ln(self) -> Self {
        Taylor::ln(self)
    }
    fn ln_1m_exp(self) -> Self {
        Taylor::ln_1m_exp(self)
    }
    /// For α + n, whose derivative with respect to α is 1.
    fn ln_gamma(self) -> Self {
        let x = self.0[0];
        Taylor([lgamma(x), polygamma(0, x), polygamma(1, x)])
    }
}

/// ln P(α, eʸ), or ln Q(α, eʸ) = ln(1 − P) of the upper tail.
fn ln_tail<T: Shape>(alpha: T, y: f64, lower: bool) -> T {
    let x = y.exp();
    let of = T::constant;
    let ln_front = alpha * of(y) - of(x);
    if x <= 1.0 || x <= alpha.value() {
        let ln_p = ln_front - (alpha + of(1.0)).ln_gamma() + series(alpha, x).ln();
        return if lower { ln_p } else { ln_p.ln_1m_exp() };
    }
    let ln_q = ln_front - alpha.ln_gamma() + fraction(alpha, x).ln();
    if lower { ln_q.ln_1m_exp() } else { ln_q }
}

/// Σ xⁿ/((α + 1) .. (α + n)): Abramowitz and Stegun, 6.5.29.
fn series<T: Scalar>(alpha: T, x: f64) -> T {
    let (mut sum, mut term, mut below) = (T::constant(1.0), T::constant(1.0), alpha);
    loop {
        below = below + T::constant(1.0);
        term = term * T::constant(x) / below;
        sum = sum + term;
        if term.size() <= 1e-17 * sum.size() || term.size().is_nan() {
            return sum;
        }
    }
}

/// Γ(α, x) eˣ/x^α by its continued fraction (Abramowitz and Stegun, 6.5.31) with Lentz's method
/// (Press et al., "Numerical Recipes", section 6.2).
fn fraction<T: Scalar>(alpha: T, x: f64) -> T {
    const STEPS: usize = 10_000;
    let (one, two) = (T::constant(1.0), T::constant(2.0));
    let mut b = T::constant(x + 1.0) - alpha;
    let mut c = T::constant(1e300);
    let mut d = one / b;
    let mut value = d;
    for i in 1..STEPS {
        let i = T::constant(i as f64);
        let above = i * (alpha - i);
        b = b + two;
        d = one / (above * d + b);
        c = b + above / c;
        let factor = c * d;
        value = value * factor;
        if (factor - one).size() < 1e-16 {
            break;
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::function::gamma::{gamma_lr, gamma_ur};

    const SHAPES: [f64; 12] = [
        1e-3, 0.01, 0.1, 0.5, 0.99, 1.0, 1.7, 5.0, 40.0, 1e3, 3e4, 9.9e4,
    ];

    /// Probabilities from 2⁻⁶⁵ to 1 − 2⁻⁶⁵, as the logarithms of them and of their complements.
    fn probabilities() -> impl Iterator<Item = (f64, f64)> {
        let near = [2.7e-20_f64, 1e-12, 1e-6, 0.01, 0.2, 0.4, 0.5];
        near.into_iter()
            .flat_map(|u| [(u.ln(), (-u).ln_1p()), ((-u).ln_1p(), u.ln())])
    }

    #[test]
    fn quantiles_are_those_of_the_distribution_function() {
        for alpha in SHAPES {
            for (ln_u, ln_v) in probabilities() {
                let x = (ln_gamma_ratio(alpha, ln_u, ln_v) + alpha.ln()).exp();
                if x < 1e-300 {
                    continue;
                }
                let (found, wanted) = match ln_u < ln_v {
                    true => (gamma_lr(alpha, x), ln_u.exp()),
                    false => (gamma_ur(alpha, x), ln_v.exp()),
                };
                // The quantile's last digits, and those of the reference.
                let error = (found - wanted).abs() / wanted;
                assert!(
                    error < 1e-8 * alpha.max(1.0).sqrt(),
                    "{alpha}, {ln_u}: {error:e}"
                );
            }
        }
    }

    #[test]
    fn quantiles_of_small_shapes_are_powers() {
        for alpha in [1e-3, 1e-5] {
            let ln_u = 0.3_f64.ln();
            let found = ln_gamma_ratio(alpha, ln_u, 0.7_f64.ln()) + alpha.ln();
            let wanted = (ln_u + lgamma(alpha + 1.0)) / alpha;
            assert!(
                (found - wanted).abs() < 1e-9 * wanted.abs(),
                "{found} {wanted}"
            );
        }
    }

    #[test]
    fn slopes_are_differences() {
        for alpha in SHAPES {
            for (ln_u, ln_v) in probabilities() {
                let [value, first, second] = ln_gamma_ratio_slopes(alpha, ln_u, ln_v);
                let h = 1e-4 * alpha;
                let near = |by: f64| ln_gamma_ratio_slopes(alpha + by, ln_u, ln_v);
                assert_eq!(value, ln_gamma_ratio(alpha, ln_u, ln_v));
                let difference = (near(h)[0] - near(-h)[0]) / (2.0 * h);
                // Some are near 0, where rounding is as large as elsewhere.
                let size = difference.abs() + alpha.max(1.0).powf(-1.5);
                let error = (first - difference).abs() / size;
                assert!(
                    error < 1e-5,
                    "{alpha}, {ln_u}, {ln_v}: {first} {difference}"
                );
                let difference = (near(h)[1] - near(-h)[1]) / (2.0 * h);
                let size = difference.abs() + alpha.max(1.0).powf(-2.5);
                let error = (second - difference).abs() / size;
                assert!(
                    error < 1e-3,
                    "{alpha}, {ln_u}, {ln_v}: {second} {difference}"
                );
            }
        }
    }

    #[test]
    fn large_shapes_go_on_where_others_end() {
        for (ln_u, ln_v) in probabilities() {
            let below = ln_gamma_ratio_slopes(LARGE * (1.0 - 1e-12), ln_u, ln_v);
            let above = ln_gamma_ratio_slopes(LARGE, ln_u, ln_v);
            // In units of the standard deviation of ln x.
            let error = (below[0] - above[0]).abs() * LARGE.sqrt();
            assert!(error < 2e-4, "{ln_u}: {error:e}");
            let error = (below[1] - above[1]).abs() * LARGE.powf(1.5);
            assert!(error < 2e-4, "{ln_u}: {error:e}");
        }
    }
}
