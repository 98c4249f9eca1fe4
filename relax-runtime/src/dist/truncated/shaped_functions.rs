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
    slope(1e-3 * shapes[which], |by| {
        let mut moved = shapes;
        moved[which] += by;
        let (below, above) = tails::<C>(moved, t);
        match lower <= upper {
            true => below,
            false => -above,
        }
    })
}

/// Second derivatives from differences of the first ones, with respect to the first `count` numbers: the others are
/// noise, which nothing is differentiated with respect to twice.
fn bends<const N: usize>(
    x: [f64; N],
    count: usize,
    slopes: impl Fn([f64; N]) -> [f64; N],
) -> [[f64; N]; N] {
    let mut bends = [[0.0; N]; N];
    for i in 0..count {
        let step = 1e-3 * x[i].abs().clamp(1e-2, 1.0);
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
        bends(x, 4, |x| self.slopes(x))
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
        bends(x, 4, |x| self.slopes(x))
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
            slope(1e-3 * shapes[j], |by| {
                let mut shapes = shapes;
                shapes[j] += by;
                Self::at(shapes, a, b)
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
        bends(x, 4, |x| self.slopes(x))
    }
}
