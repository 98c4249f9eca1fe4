//! Functions of the ends of truncated laws, in double precision from the nearer tail, with their derivatives.

use std::marker::PhantomData;

use super::FAR;
use crate::dist::Smooth;
use crate::dist::curves::Curve;
use crate::dist::real::logarithms;

/// ln(eˣ − eʸ), for x ≥ y.
fn ln_difference(x: f64, y: f64) -> f64 {
    x + (-(y - x).exp_m1()).ln()
}

/// ln(v eˣ + u eʸ), from the logarithms of u and v.
fn ln_between(x: f64, y: f64, (ln_u, ln_v): (f64, f64)) -> f64 {
    let (x, y) = (x + ln_v, y + ln_u);
    let most = x.max(y);
    most + ((x - most).exp() + (y - most).exp()).ln()
}

/// ln P(between a and b), from the tail that both lie in.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct LnMass<C>(PhantomData<C>);

impl<C: Curve> LnMass<C> {
    fn at(a: f64, b: f64) -> f64 {
        match C::ln_below(a) < C::ln_above(b) {
            true => ln_difference(C::ln_below(b), C::ln_below(a)),
            false => ln_difference(C::ln_above(a), C::ln_above(b)),
        }
    }

    /// The density at both ends, divided by the probability between them.
    fn densities(a: f64, b: f64) -> [f64; 2] {
        let mass = Self::at(a, b);
        [a, b].map(|t| (C::ln_density(t) - mass).exp())
    }
}

impl<C: Curve> Smooth<2> for LnMass<C> {
    fn value(&self, [a, b]: [f64; 2]) -> f64 {
        Self::at(a, b)
    }
    fn slopes(&self, [a, b]: [f64; 2]) -> [f64; 2] {
        let [fa, fb] = Self::densities(a, b);
        [-fa, fb]
    }
    fn bends(&self, [a, b]: [f64; 2]) -> [[f64; 2]; 2] {
        let [fa, fb] = Self::densities(a, b);
        let aa = -fa * (C::score(a) + fa);
        let bb = fb * (C::score(b) - fb);
        [[aa, fa * fb], [fa * fb, bb]]
    }
}

/// The number below which a share u of the law between a and b lies; u is noise modulo 1.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Quantile<C>(PhantomData<C>);

impl<C: Curve> Quantile<C> {
    fn at(a: f64, b: f64, logarithms: (f64, f64)) -> f64 {
        let below = ln_between(C::ln_below(a), C::ln_below(b), logarithms);
        let above = ln_between(C::ln_above(a), C::ln_above(b), logarithms);
        // Ends that have crossed in training do not panic.
        C::quantile(below, above).max(a).min(b)
    }

    /// The number, and the densities at both ends and the probability between them, divided by the density at it.
    fn with_densities([a, b, noise]: [f64; 3]) -> (f64, [f64; 3]) {
        let t = Self::at(a, b, logarithms(noise));
        let all = [C::ln_density(a), C::ln_density(b), LnMass::<C>::at(a, b)];
        (
            t,
            all.map(|ln_density| (ln_density - C::ln_density(t)).exp()),
        )
    }
}

impl<C: Curve> Smooth<3> for Quantile<C> {
    fn value(&self, [a, b, noise]: [f64; 3]) -> f64 {
        Self::at(a, b, logarithms(noise))
    }
    fn slopes(&self, x: [f64; 3]) -> [f64; 3] {
        let (_, [fa, fb, mass]) = Self::with_densities(x);
        let (ln_u, ln_v) = logarithms(x[2]);
        [ln_v.exp() * fa, ln_u.exp() * fb, mass]
    }
    fn bends(&self, x: [f64; 3]) -> [[f64; 3]; 3] {
        let ([a, b, _], [by_a, by_b, by_u]) = (x, self.slopes(x));
        let (t, [fa, fb, _]) = Self::with_densities(x);
        let score = C::score(t);
        let ab = -score * by_a * by_b;
        let (au, bu) = (-fa - score * by_a * by_u, fb - score * by_b * by_u);
        [
            [by_a * (C::score(a) - score * by_a), ab, au],
            [ab, by_b * (C::score(b) - score * by_b), bu],
            [au, bu, -score * by_u * by_u],
        ]
    }
}

/// How far the quantile lies above a, or below b: near an end at 0 the sum with the end loses all digits, and this
/// keeps them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gap<C, const BELOW_B: bool>(Quantile<C>);

impl<C: Curve, const BELOW_B: bool> Smooth<3> for Gap<C, BELOW_B> {
    fn value(&self, x: [f64; 3]) -> f64 {
        match BELOW_B {
            true => x[1] - self.0.value(x),
            false => self.0.value(x) - x[0],
        }
    }
    fn slopes(&self, x: [f64; 3]) -> [f64; 3] {
        let [by_a, by_b, by_u] = self.0.slopes(x);
        match BELOW_B {
            true => [-by_a, 1.0 - by_b, -by_u],
            false => [by_a - 1.0, by_b, by_u],
        }
    }
    fn bends(&self, x: [f64; 3]) -> [[f64; 3]; 3] {
        let bends = self.0.bends(x);
        match BELOW_B {
            true => bends.map(|row| row.map(|bend| -bend)),
            false => bends,
        }
    }
}

/// The mean of the law between a and b.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Mean<C>(PhantomData<C>);

impl<C: Curve> Mean<C> {
    /// The mean quantile, by the double exponential rule of Takahasi and Mori (1974).
    fn at(a: f64, b: f64) -> f64 {
        const STEP: f64 = 0.1;
        let is_cut = |end: f64| end.abs() < FAR * 1e-3;
        if C::HEAVY && !(is_cut(a) && is_cut(b)) {
            return f64::NAN;
        }
        let (mut sum, mut weights) = (0.0, 0.0);
        for k in -35..=35 {
            let x = STEP * f64::from(k);
            let inner = std::f64::consts::PI * x.sinh();
            // ln σ(±inner).
            let share = |inner: f64| inner.min(0.0) - (-inner.abs()).exp().ln_1p();
            let shares = (share(inner), share(-inner));
            let weight = x.cosh() / (0.5 * inner).cosh().powi(2);
            sum += weight * Quantile::<C>::at(a, b, shares);
            weights += weight;
        }
        sum / weights
    }
}

impl<C: Curve> Smooth<2> for Mean<C> {
    fn value(&self, [a, b]: [f64; 2]) -> f64 {
        Self::at(a, b)
    }
    fn slopes(&self, [a, b]: [f64; 2]) -> [f64; 2] {
        let ([fa, fb], mean) = (LnMass::<C>::densities(a, b), Self::at(a, b));
        [fa * (mean - a), fb * (b - mean)]
    }
    fn bends(&self, x: [f64; 2]) -> [[f64; 2]; 2] {
        let ([a, b], [by_a, by_b]) = (x, self.slopes(x));
        let ([fa, fb], mean) = (LnMass::<C>::densities(a, b), Self::at(a, b));
        let aa = fa * ((C::score(a) + fa) * (mean - a) + by_a - 1.0);
        let ab = fa * (by_b - fb * (mean - a));
        let bb = fb * ((C::score(b) - fb) * (b - mean) + 1.0 - by_b);
        [[aa, ab], [ab, bb]]
    }
}
