//! The family of mixtures of counts, of one family or of several: these are counts as well, so that they have
//! a relaxation.

use std::fmt::Debug;
use std::ops::Range;
use std::rc::Rc;

use super::{NAME, side_by_side};
use crate::dist::counts::{AnyFamily, CountFamily, Place, is_gap};
use crate::dist::excluded::numbers_of;
use crate::dist::weights::normalised;
use crate::tensor::Tensor;

/// Below any log-mass, but finite.
const NOWHERE: f32 = f32::MIN * 0.25;

/// The family of mixtures of counts: θ are the logits of the components, followed by the numbers of each
/// component's own θ.
///
/// The distribution function is the weighted sum of the components', and so are κ's numerators: for the logit of
/// component j, κ is wⱼ (u − uⱼ)/p with uⱼ = Fⱼ(b − 1) + v pⱼ and u = Σ wⱼ uⱼ, and for its own θ it is
/// wⱼ pⱼ κⱼ(b, v)/p.
#[derive(Clone, Debug)]
pub(super) struct MixtureFamily {
    pub(super) parts: Rc<[Part]>,
}

/// One component.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) family: AnyFamily,
    /// The place of its numbers among those of θ.
    pub(super) at: Range<usize>,
    /// Its fixed number, on the host and as the program has it.
    pub(super) fixed: f64,
    pub(super) of_rows: Tensor,
}

impl Part {
    fn theta<'a>(&self, theta: &'a [f64]) -> &'a [f64] {
        &theta[self.at.clone()]
    }

    fn of_tensor(&self, theta: &Tensor) -> Tensor {
        match self.family.is_vector() {
            true => theta.slice(-1, self.at.clone()),
            false => theta.index(-1, self.at.start),
        }
    }

    fn ends(&self) -> (f64, f64) {
        (self.family.first(), self.family.last(self.fixed))
    }

    fn contains(&self, k: f64) -> bool {
        let (first, last) = self.ends();
        first <= k && k <= last
    }

    fn mass(&self, theta: &[f64], k: f64) -> f64 {
        match self.contains(k) {
            true => self.family.ln_mass(self.theta(theta), self.fixed, k).exp(),
            false => 0.0,
        }
    }

    fn tails(&self, theta: &[f64], k: f64) -> (f64, f64) {
        let (first, last) = self.ends();
        match (k < first, k >= last) {
            (true, _) => (0.0, 1.0),
            (_, true) => (1.0, 0.0),
            _ => self.family.tails(self.theta(theta), self.fixed, k),
        }
    }

    /// The log-mass, and far less outside the support, to which it falls between the component's last value and the
    /// next whole number.
    fn log_mass(&self, theta: &Tensor, value: &Tensor, ends: (f64, f64)) -> Tensor {
        let theta = self.of_tensor(theta);
        if self.ends() == ends {
            return self.log_mass_inside(&theta, value);
        }
        let within = self.within(value);
        let log_mass = self.log_mass_inside(&theta, &within);
        // The rest of the lines to the neighbors outside, which end at kinks that no relaxed count lies on.
        value.mark_rough();
        let apart = (value.unrounded() - within.unrounded()).abs();
        let share = (1.0 - apart).kept_within(f32::MIN_POSITIVE, 1.0);
        let near = log_mass + share.ln();
        self.outside(value)
            .select_where(&near.full_like(NOWHERE), &near)
    }

    /// The log-mass of a value between its ends, and far less where its mass is exactly 0.
    fn log_mass_inside(&self, theta: &Tensor, value: &Tensor) -> Tensor {
        let log_mass = self.family.log_mass(theta, &self.of_rows, value);
        match self.family.excludes(theta, &self.of_rows, value) {
            None => log_mass,
            Some(excluded) => excluded.select_where(&log_mass.full_like(NOWHERE), &log_mass),
        }
    }

    /// The nearest value between its ends.
    fn within(&self, value: &Tensor) -> Tensor {
        let (first, last) = self.ends();
        value.kept_within(first as f32, (last as f32).min(f32::MAX))
    }

    /// 1 for values outside of its ends, and 0 elsewhere.
    fn outside(&self, value: &Tensor) -> Tensor {
        let value = numbers_of(value);
        (&value - self.within(&value)).abs().ge(1.0)
    }

    /// 1 for values at which the mass is exactly 0, if there are any between its ends.
    fn excludes(&self, theta: &Tensor, value: &Tensor) -> Option<Tensor> {
        let theta = self.of_tensor(theta);
        self.family.excludes(&theta, &self.of_rows, value)
    }
}

impl MixtureFamily {
    /// wⱼ.
    fn shares(&self, theta: &[f64]) -> Vec<f64> {
        normalised(&theta[..self.parts.len()])
            .map(f64::exp)
            .collect()
    }

    /// Σ wⱼ xⱼ.
    fn mixed(&self, theta: &[f64], of: impl Fn(&Part) -> f64) -> f64 {
        let shares = self.shares(theta).into_iter();
        shares
            .zip(self.parts.iter())
            .map(|(w, part)| w * of(part))
            .sum()
    }

    /// The components' numbers along a last axis.
    fn each(&self, of: impl Fn(&Part) -> Tensor) -> Tensor {
        side_by_side(self.parts.iter().map(of))
    }

    fn logits(&self, theta: &Tensor) -> Tensor {
        theta.slice(-1, 0..self.parts.len())
    }

    fn ends(&self) -> (f64, f64) {
        (self.first(), self.last(0.0))
    }
}

impl CountFamily for MixtureFamily {
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = "the whole numbers that a component can draw";

    fn parameters(&self) -> Vec<&'static str> {
        let last = self.parts.last().map_or(0, |part| part.at.end);
        vec!["mixture"; last]
    }

    fn is_vector(&self) -> bool {
        true
    }

    fn first(&self) -> f64 {
        let firsts = self.parts.iter().map(|part| part.ends().0);
        firsts.fold(f64::INFINITY, f64::min)
    }

    fn last(&self, _: f64) -> f64 {
        let lasts = self.parts.iter().map(|part| part.ends().1);
        lasts.fold(0.0, f64::max)
    }

    fn ln_mass(&self, theta: &[f64], _: f64, k: f64) -> f64 {
        let shares = normalised(&theta[..self.parts.len()]);
        let pairs = shares.zip(self.parts.iter());
        let inside = pairs.filter(|(_, part)| part.contains(k));
        let terms = inside.map(|(log_share, part)| {
            log_share + part.family.ln_mass(part.theta(theta), part.fixed, k)
        });
        let terms: Vec<f64> = terms.collect();
        let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        match most.is_finite() {
            true => most + terms.iter().map(|x| (x - most).exp()).sum::<f64>().ln(),
            false => most,
        }
    }

    fn log_mass(&self, theta: &Tensor, _: &Tensor, value: &Tensor) -> Tensor {
        let masses = self.each(|part| part.log_mass(theta, value, self.ends()));
        (masses + self.logits(theta).log_softmax(-1)).logsumexp(-1)
    }

    /// What all components exclude.
    fn excludes(&self, theta: &Tensor, _: &Tensor, value: &Tensor) -> Option<Tensor> {
        let each = self.parts.iter().map(|part| part.excludes(theta, value));
        let each: Vec<Option<Tensor>> = each.collect();
        if each.iter().all(Option::is_none) {
            return None;
        }
        let outside = self.parts.iter().map(|part| part.outside(value));
        let all = each
            .into_iter()
            .zip(outside)
            .map(|(excluded, outside)| match excluded {
                None => outside,
                Some(excluded) => excluded.maximum(&outside),
            });
        all.reduce(|all, one| all * one)
    }

    fn moments(&self, theta: &[f64], _: f64) -> (f64, f64) {
        let own = |part: &Part| part.family.moments(part.theta(theta), part.fixed);
        let mean = self.mixed(theta, |part| own(part).0);
        let variance = self.mixed(theta, |part| {
            let (own, deviation) = own(part);
            deviation * deviation + (own - mean).powi(2)
        });
        (mean, variance.sqrt())
    }

    fn mean(&self, theta: &Tensor, _: &Tensor) -> Tensor {
        let means = self.each(|part| part.family.mean(&part.of_tensor(theta), &part.of_rows));
        (means * self.logits(theta).softmax(-1)).sum(-1)
    }

    fn variance(&self, theta: &Tensor, _: &Tensor) -> Tensor {
        let own = |part: &Part| (part.of_tensor(theta), part.of_rows.clone());
        let means = self.each(|part| {
            let (theta, fixed) = own(part);
            part.family.mean(&theta, &fixed)
        });
        let variances = self.each(|part| {
            let (theta, fixed) = own(part);
            part.family.variance(&theta, &fixed)
        });
        let shares = self.logits(theta).softmax(-1);
        let apart = &means - (&means * &shares).sum(-1).unsqueeze(-1);
        ((variances + apart.square()) * shares).sum(-1)
    }

    fn tails(&self, theta: &[f64], _: f64, k: f64) -> (f64, f64) {
        (
            self.mixed(theta, |part| part.tails(theta, k).0),
            self.mixed(theta, |part| part.tails(theta, k).1),
        )
    }

    /// Between the means of two components.
    fn has_gap(&self, theta: &[f64], _: f64) -> bool {
        /// Number of values looked at between two means.
        const LOOKS: u32 = 16;
        let own = |part: &Part| part.family.has_gap(part.theta(theta), part.fixed);
        if self.parts.iter().any(own) {
            return true;
        }
        let moments = |part: &Part| part.family.moments(part.theta(theta), part.fixed);
        let mut peaks: Vec<(f64, f64)> = self.parts.iter().map(moments).collect();
        peaks.sort_by(|a, b| a.0.total_cmp(&b.0));
        peaks.windows(2).any(|pair| {
            let [(low, narrow), (high, wide)] = [pair[0], pair[1]];
            let (first, deviation) = (low.floor() + 1.0, narrow.min(wide));
            let step = ((high - first) / f64::from(LOOKS)).max(1.0);
            let looks = (0..LOOKS).map(|look| (first + f64::from(look) * step).floor());
            let mut between = looks.take_while(|k| *k < high);
            between.any(|k| is_gap(self, theta, 0.0, k, deviation))
        })
    }

    fn kappa(&self, theta: &[f64], _: f64, at: Place, kappa: &mut [f64]) {
        let Place { b, v } = at;
        let shares = self.shares(theta);
        let masses = self.parts.iter().map(|part| part.mass(theta, b));
        let masses: Vec<f64> = masses.collect();
        let places = self.parts.iter().zip(&masses).map(|(part, mass)| {
            let (below, above) = part.tails(theta, b - 1.0);
            (below + v * mass, above - v * mass)
        });
        let places: Vec<(f64, f64)> = places.collect();
        let mixed = |of: &dyn Fn(usize) -> f64| -> f64 {
            shares.iter().enumerate().map(|(j, w)| w * of(j)).sum()
        };
        let (own, below) = (mixed(&|j| masses[j]), mixed(&|j| places[j].0));
        let above = mixed(&|j| places[j].1);
        for (j, part) in self.parts.iter().enumerate() {
            // From the smaller of u and 1 − u, which has all its digits.
            let apart = match below <= above {
                true => below - places[j].0,
                false => places[j].1 - above,
            };
            kappa[j] = shares[j] * apart / own;
            let inner = &mut kappa[part.at.clone()];
            inner.fill(0.0);
            // A component without mass does not move the place.
            let share = shares[j] * masses[j] / own;
            if share > 0.0 {
                part.family.kappa(part.theta(theta), part.fixed, at, inner);
                inner.iter_mut().for_each(|kappa| *kappa *= share);
            }
        }
    }
}
