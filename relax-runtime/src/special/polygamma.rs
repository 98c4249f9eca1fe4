//! The logarithm of the gamma function and its derivatives, for positive numbers.

use std::sync::LazyLock;

use super::HALF_LN_TAU;

/// From here on, plus a derivative's order, the asymptotic series is exact to the last bit.
const FAR: f64 = 16.0;

/// B₂ₖ/(2k)! for k from 1 on, Bernoulli's numbers.
const BERNOULLI: [f64; 10] = [
    1.0 / 12.0,
    -1.0 / 720.0,
    1.0 / 30_240.0,
    -1.0 / 1_209_600.0,
    1.0 / 47_900_160.0,
    -691.0 / 1_307_674_368_000.0,
    1.0 / 74_724_249_600.0,
    -3_617.0 / 10_670_622_842_880_000.0,
    43_867.0 / 5_109_094_217_170_944_000.0,
    -174_611.0 / 802_857_662_698_291_200_000.0,
];

/// ln Γ of the first whole numbers, which counts need again and again.
static WHOLE: LazyLock<Box<[f64]>> = LazyLock::new(|| {
    let numbers = 0..1024_u16;
    numbers.map(|x| libm::lgamma(f64::from(x))).collect()
});

/// ln Γ(x) for x ≥ 0; NaN below.
pub(crate) fn lgamma(x: f64) -> f64 {
    if x < 0.0 {
        return f64::NAN;
    }
    let whole = x as usize;
    match WHOLE.get(whole) {
        Some(known) if whole as f64 == x => *known,
        _ => libm::lgamma(x),
    }
}

/// The `order`-th derivative of the digamma function, d ln Γ(x)/dx, for x ≥ 0; NaN below.
///
/// By recurrence and asymptotic series: Abramowitz and Stegun, "Handbook of Mathematical Functions",
/// 6.4.6 and 6.4.11.
pub(crate) fn polygamma(order: u32, x: f64) -> f64 {
    let sign = -parity(order);
    if x <= 0.0 || x.is_nan() {
        return if x == 0.0 {
            sign * f64::INFINITY
        } else {
            f64::NAN
        };
    }
    let power = order as i32 + 1;
    let (mut x, mut shifted) = (x, 0.0);
    while x < FAR + f64::from(order) {
        shifted += x.powi(-power);
        x += 1.0;
    }
    sign * factorial(order) * shifted + leading(order + 1, x) + tail(order + 1, x)
}

/// The `order`-th derivative of Stirling's error δ(x) = ln Γ(x) − (x − ½) ln x + x − ½ ln 2π for
/// x ≥ 0; NaN below. Densities computed from it lose no digits for large parameters: Loader, "Fast and
/// Accurate Computation of Binomial Probabilities", 2000.
pub(crate) fn stirling_error(order: u32, x: f64) -> f64 {
    match order {
        _ if x < 0.0 || x.is_nan() => f64::NAN,
        _ if x >= FAR + f64::from(order) => tail(order, x),
        0 if x == 0.0 => f64::INFINITY,
        0 => lgamma(x) - (x - 0.5) * x.ln() + x - HALF_LN_TAU,
        _ if x == 0.0 => parity(order) * f64::INFINITY,
        _ => polygamma(order - 1, x) - leading(order, x),
    }
}

/// The `order`-th derivative of (x − ½) ln x − x, for orders from 1 on.
fn leading(order: u32, x: f64) -> f64 {
    if order == 1 {
        return x.ln() - 0.5 / x;
    }
    let n = order as i32;
    parity(order) * (factorial(order - 2) * x.powi(1 - n) + 0.5 * factorial(order - 1) * x.powi(-n))
}

/// The `order`-th derivative of Σ B₂ₖ/(2k (2k − 1) x²ᵏ⁻¹).
fn tail(order: u32, x: f64) -> f64 {
    let n = order as i32;
    let inverse = 1.0 / (x * x);
    // (2k + n − 2)!/x^(2k + n − 1) at k = 1.
    let mut power = factorial(order) * x.powi(-1 - n);
    let mut sum = 0.0;
    for (k, b) in BERNOULLI.iter().enumerate() {
        sum += b * power;
        let next = f64::from(2 * k as i32 + n);
        power *= inverse * (next + 1.0) * (next + 2.0);
    }
    parity(order) * sum
}

/// (−1)ⁿ.
fn parity(n: u32) -> f64 {
    if n.is_multiple_of(2) { 1.0 } else { -1.0 }
}

fn factorial(n: u32) -> f64 {
    (2..=n).map(f64::from).product()
}

#[cfg(test)]
mod tests {
    use super::*;
    use statrs::function::gamma::digamma;

    /// From 10⁻³ to 10⁵.
    fn points() -> impl Iterator<Item = f64> {
        (-30..=50).map(|i| 10_f64.powf(f64::from(i) * 0.1))
    }

    #[test]
    fn digamma_is_that_of_statrs() {
        for x in points() {
            let (found, wanted) = (polygamma(0, x), digamma(x));
            let error = (found - wanted).abs() / (1.0 + wanted.abs());
            assert!(error < 1e-10, "{x}: {found} is not {wanted}");
        }
    }

    #[test]
    fn known_values() {
        use std::f64::consts::PI;
        const ZETA_3: f64 = 1.202_056_903_159_594_3;
        for (found, wanted) in [
            (polygamma(1, 1.0), PI * PI / 6.0),
            (polygamma(1, 0.5), PI * PI / 2.0),
            (polygamma(2, 1.0), -2.0 * ZETA_3),
            (polygamma(3, 1.0), PI.powi(4) / 15.0),
            (polygamma(3, 0.5), PI.powi(4)),
            (lgamma(5.0), 24_f64.ln()),
            (stirling_error(0, 1.0), 1.0 - 0.5 * (2.0 * PI).ln()),
        ] {
            let error = (found - wanted).abs() / wanted.abs();
            assert!(error < 1e-13, "{found} is not {wanted}");
        }
        assert_eq!(polygamma(0, 0.0), f64::NEG_INFINITY);
        assert_eq!(polygamma(1, 0.0), f64::INFINITY);
        assert_eq!(lgamma(0.0), f64::INFINITY);
        assert!(lgamma(-0.5).is_nan() && polygamma(1, -0.5).is_nan());
    }

    #[test]
    fn each_order_is_the_derivative_of_the_one_below() {
        for f in [polygamma, stirling_error] {
            for x in points() {
                for order in 0..3 {
                    let h = 1e-4 * x;
                    let difference = (f(order, x + h) - f(order, x - h)) / (2.0 * h);
                    let found = f(order + 1, x);
                    // The part of the difference that is due to rounding.
                    let noise = 1e-15 * (f(order, x).abs() + x.ln().abs()) / h;
                    let error = (found - difference).abs() - 10.0 * noise;
                    assert!(
                        error < 1e-6 * found.abs(),
                        "{order} at {x}: {found}, {difference}"
                    );
                }
            }
        }
    }

    #[test]
    fn stirlings_error_is_what_is_left_of_the_logarithm() {
        for x in points().filter(|x| *x < 1e3) {
            let rest = lgamma(x) - (x - 0.5) * x.ln() + x - 0.5 * std::f64::consts::TAU.ln();
            let error = (stirling_error(0, x) - rest).abs();
            assert!(error < 1e-12 * (1.0 + x * x.ln().abs()), "{x}: {error}");
        }
    }
}
