//! Functions of the ends and shapes of truncated laws, in double precision.

use std::marker::PhantomData;

use super::FAR;
use super::shaped::ShapedCurve;
use crate::dist::Smooth;
use crate::dist::real::logarithms;

/// P(below t) and P(above t), at any t.
fn tails<C: ShapedCurve>(shapes: [f64; 2], t: f64) -> (f64, f64) {
    let [first, last] = C::ENDS;
    match (t <= first, t >= last) {
        (true, _) => (0.0, 1.0),
        (_, true) => (1.0, 0.0),
        _ => C::tails(shapes, t),
    }
}

/// The density at any t.
pub(super) fn density<C: ShapedCurve>(shapes: [f64; 2], t: f64) -> f64 {
    let [first, last] = C::ENDS;
    match first < t && t < last {
        true => C::ln_density([&shapes[0], &shapes[1]], &t).exp(),
        false => 0.0,
    }
}

/// P(between a and b), from the tail in which both lie.
pub(super) fn mass<C: ShapedCurve>(shapes: [f64; 2], a: f64, b: f64) -> f64 {
    let ((lower, upper), (lower_end, upper_end)) = (tails::<C>(shapes, a), tails::<C>(shapes, b));
    match lower < upper_end {
        true => lower_end - lower,
        false => upper - upper_end,
    }
}

/// The derivative of f at 0, from fourth-order differences.
fn slope(step: f64, f: impl Fn(f64) -> f64) -> f64 {
    let apart = |k: f64| f(k * step) - f(-k * step);
    (8.0 * apart(1.0) - apart(2.0)) / (12.0 * step)
}

/// ∂P(below t)/∂shape.
fn by_shape<C: ShapedCurve>(shapes: [f64; 2], t: f64, which: usize) -> f64 {
    if which > 0 && !C::HAS_SECOND {
        return 0.0;
    }
    let (lower, upper) = tails::<C>(shapes, t);
    let (own, sign) = match lower <= upper {
        true => (lower, 1.0),
        false => (upper, -1.0),
    };
    // Differences of the logarithm, which far out is smoother.
    let by_logarithm = slope(STEP * C::reach(shapes, which), |by| {
        let (below, above) = tails::<C>(with_moved(shapes, which, by), t);
        if sign > 0.0 { below.ln() } else { above.ln() }
    });
    match own > LEAST_TAIL {
        true => sign * own * by_logarithm,
        false => 0.0,
    }
}

/// The step of differences by a shape, as a share of its reach.
const STEP: f64 = 3e-3;

/// Less probability is taken for none, and does not move.
const LEAST_TAIL: f64 = 1e-290;

fn with_moved(mut shapes: [f64; 2], which: usize, by: f64) -> [f64; 2] {
    shapes[which] += by;
    shapes
}

/// Second derivatives from differences of the first ones, with respect to two ends and two shapes: what follows is
/// noise, which nothing is differentiated with respect to twice.
fn bends<C: ShapedCurve, const N: usize>(
    x: [f64; N],
    slopes: impl Fn([f64; N]) -> [f64; N],
) -> [[f64; N]; N] {
    let mut bends = [[0.0; N]; N];
    let shapes = [x[2], x[3]];
    let width = C::width(shapes);
    for i in 0..4 {
        let step = match i {
            0 | 1 => 1e-3 * x[i].abs().clamp(1e-2 * width, width),
            _ => STEP * C::reach(shapes, i - 2),
        };
        for (j, row) in bends.iter_mut().enumerate() {
            row[i] = slope(step, |by| {
                let mut moved = x;
                moved[i] += by;
                slopes(moved)[j]
            });
        }
    }
    bends
}

/// ln P(between a and b) as a function of a, b and the shapes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LnMass<C>(PhantomData<C>);

impl<C: ShapedCurve> Smooth<4> for LnMass<C> {
    fn value(&self, [a, b, first, second]: [f64; 4]) -> f64 {
        mass::<C>([first, second], a, b).ln()
    }

    fn slopes(&self, [a, b, first, second]: [f64; 4]) -> [f64; 4] {
        let shapes = [first, second];
        let mass = mass::<C>(shapes, a, b);
        let at_end = |t| density::<C>(shapes, t) / mass;
        let moved = |j| (by_shape::<C>(shapes, b, j) - by_shape::<C>(shapes, a, j)) / mass;
        [-at_end(a), at_end(b), moved(0), moved(1)]
    }

    fn bends(&self, x: [f64; 4]) -> [[f64; 4]; 4] {
        bends::<C, _>(x, |x| self.slopes(x))
    }
}

/// The number below which a share u of the law between a and b lies, as a function of a, b, the shapes and u, which
/// is noise modulo 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quantile<C>(PhantomData<C>);

impl<C: ShapedCurve> Quantile<C> {
    fn at(shapes: [f64; 2], a: f64, b: f64, (ln_u, ln_v): (f64, f64)) -> f64 {
        let (from, to) = (tails::<C>(shapes, a), tails::<C>(shapes, b));
        let (u, v) = (ln_u.exp(), ln_v.exp());
        let below = v * from.0 + u * to.0;
        let above = v * from.1 + u * to.1;
        // How far the distribution function is above u, from the smaller tail.
        let excess = |t: f64| {
            let (lower, upper) = tails::<C>(shapes, t);
            match below <= above {
                true => lower - below,
                false => above - upper,
            }
        };
        let (mut low, mut high) = (a, b);
        if low <= -FAR * 1e-3 {
            low = high.min(0.0) - 1.0;
            while excess(low) > 0.0 && low > -FAR {
                low *= 2.0;
            }
        }
        if high >= FAR * 1e-3 {
            high = low.max(0.0) + 1.0;
            while excess(high) < 0.0 && high < FAR {
                high *= 2.0;
            }
        }
        let mut t = 0.5 * (low + high);
        for _ in 0..200 {
            let error = excess(t);
            if error > 0.0 {
                high = t;
            } else {
                low = t;
            }
            // A Newton step, where it stays within the bracket.
            let next = t - error / density::<C>(shapes, t);
            let next = match low < next && next < high {
                true => next,
                false => 0.5 * (low + high),
            };
            if (next - t).abs() <= 1e-15 * t.abs() {
                return next;
            }
            t = next;
        }
        t
    }
}

impl<C: ShapedCurve> Smooth<5> for Quantile<C> {
    fn value(&self, [a, b, first, second, noise]: [f64; 5]) -> f64 {
        Self::at([first, second], a, b, logarithms(noise))
    }

    fn slopes(&self, x: [f64; 5]) -> [f64; 5] {
        let ([a, b, first, second, noise], t) = (x, self.value(x));
        let shapes = [first, second];
        let (ln_u, ln_v) = logarithms(noise);
        let (u, v) = (ln_u.exp(), ln_v.exp());
        let own = density::<C>(shapes, t);
        let moved = |j| {
            let ends = v * by_shape::<C>(shapes, a, j) + u * by_shape::<C>(shapes, b, j);
            (ends - by_shape::<C>(shapes, t, j)) / own
        };
        [
            v * density::<C>(shapes, a) / own,
            u * density::<C>(shapes, b) / own,
            moved(0),
            moved(1),
            mass::<C>(shapes, a, b) / own,
        ]
    }

    fn bends(&self, x: [f64; 5]) -> [[f64; 5]; 5] {
        bends::<C, _>(x, |x| self.slopes(x))
    }
}

/// The mean of the law between a and b, as a function of them and the shapes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean<C>(PhantomData<C>);

impl<C: ShapedCurve> Mean<C> {
    fn at(shapes: [f64; 2], a: f64, b: f64) -> f64 {
        C::mean(shapes, [a, b], mass::<C>(shapes, a, b))
    }
}

impl<C: ShapedCurve> Smooth<4> for Mean<C> {
    fn value(&self, [a, b, first, second]: [f64; 4]) -> f64 {
        Self::at([first, second], a, b)
    }

    fn slopes(&self, x: [f64; 4]) -> [f64; 4] {
        let ([a, b, first, second], mean) = (x, self.value(x));
        let shapes = [first, second];
        let mass = mass::<C>(shapes, a, b);
        let at_end = |t| density::<C>(shapes, t) / mass;
        let moved = |j: usize| {
            if j > 0 && !C::HAS_SECOND {
                return 0.0;
            }
            slope(STEP * C::reach(shapes, j), |by| {
                Self::at(with_moved(shapes, j, by), a, b)
            })
        };
        [
            at_end(a) * (mean - a),
            at_end(b) * (b - mean),
            moved(0),
            moved(1),
        ]
    }

    fn bends(&self, x: [f64; 4]) -> [[f64; 4]; 4] {
        bends::<C, _>(x, |x| self.slopes(x))
    }
}

#[cfg(test)]
mod tests {
    use super::super::shaped::{BetaCurve, GammaCurve, StudentCurve};
    use super::*;

    fn check<C: ShapedCurve>(shapes: [f64; 2], t: f64, which: usize, wanted: f64) {
        let found = by_shape::<C>(shapes, t, which);
        let error = ((found - wanted) / wanted).abs();
        assert!(
            error < 3e-9,
            "{found:e} is not {wanted:e} at {shapes:?}, {t}: {error:e}"
        );
    }

    /// Against integrals of the densities' derivatives, in 40 digits.
    #[test]
    fn distribution_functions_move_with_shapes() {
        for (a, t, wanted) in [
            (0.01, 1e-30, -34.535639314126),
            (0.01, 0.5, -0.56554591171526),
            (0.5, 0.01, -0.52251433779748),
            (0.5, 1.5, -0.23019434201736),
            (3.0, 0.5, -0.028520235878829),
            (3.0, 4.0, -0.17824735787333),
            (3.0, 12.0, -0.00086238765481506),
            (100.0, 80.0, -0.0044026432434686),
            (100.0, 100.0, -0.039927497857786),
            (100.0, 130.0, -0.00081013002856229),
            (1e4, 9_800.0, -0.00053081913130245),
            (1e4, 10_100.0, -0.0024156880031764),
            (1e6, 997_000.0, -4.398653224682e-6),
            (1e6, 1e6, -0.00039894231364663),
            (1e6, 1_001_500.0, -0.00012956608156321),
        ] {
            check::<GammaCurve>([a, a], t, 0, wanted);
        }
        for (a, b, t, wanted) in [
            (0.01, 3.0, 0.2, -0.49311453725168),
            (3.0, 0.5, 0.9, -0.082017418314049),
            (3.0, 1e4, 3e-4, -0.23675506519563),
            (1e4, 3.0, 0.9997, -6.7205816028947e-5),
            (1e6, 1e6, 0.4998, -0.00024043346160791),
            (1e6, 1.0, 0.999_999, -3.678794411714e-7),
            (1.0, 1e6, 1e-6, -0.43172942052225),
        ] {
            check::<BetaCurve>([a, b], t, 0, wanted);
        }
        for (df, t, wanted) in [
            (0.01, -2.0, -1.5334329640103),
            (1.0, 1.5, 0.086987174404736),
            (30.0, -2.5, -0.00010115451261222),
            (1e4, 1.2, 1.4213654254063e-9),
        ] {
            check::<StudentCurve>([df, df], t, 0, wanted);
        }
    }

    /// Second derivatives of ln P(below t), likewise.
    #[test]
    fn slopes_move_with_shapes_and_ends() {
        for (a, t, by_shape, by_end) in [
            (0.5, 1.5, -0.317870877349, -0.16206848239),
            (100.0, 100.0, -0.00605002389153, -0.00680709978792),
            (1e6, 1e6, -6.36281380668e-7, -6.37078840985e-7),
        ] {
            let bends = LnMass::<GammaCurve>::default().bends([0.0, t, a, a]);
            for (found, wanted) in [(bends[2][2], by_shape), (bends[1][1], by_end)] {
                let error = (found / wanted - 1.0).abs();
                assert!(
                    error < 1e-5,
                    "{found:e} is not {wanted:e} at {a}: {error:e}"
                );
            }
        }
    }

    /// The mean of all Gamma numbers is their shape, and that of Beta numbers a/(a + b).
    #[test]
    fn means_move_with_shapes() {
        for a in [0.01, 0.5, 3.0, 100.0, 1e4, 1e6] {
            let gamma = Mean::<GammaCurve>::default().slopes([0.0, FAR, a, a])[2];
            assert!((gamma - 1.0).abs() < 1e-9, "{gamma} at {a}");
            let beta = Mean::<BetaCurve>::default().slopes([0.0, 1.0, a, 3.0])[2];
            let wanted = 3.0 / (a + 3.0) / (a + 3.0);
            assert!((beta / wanted - 1.0).abs() < 1e-6, "{beta} at {a}");
        }
    }
}
