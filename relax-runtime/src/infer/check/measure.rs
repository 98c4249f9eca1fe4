//! Means and standard errors of gradient estimates over many draws.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::infer::estimation::{Estimation, Particle};
use crate::infer::exact::Range;
use crate::infer::exact::centres::{Centres, centre, weigh};
use crate::infer::objective::Objective;
use crate::infer::sites::columns::Columns;
use crate::random::Key;
use crate::tensor::{Parameter, Tensor};

/// Gradients with more numbers are compared through this many sums of them.
const WIDEST: usize = 256;

/// All numbers of a gradient, or, if they are many, sums of them with fixed random signs: a count sketch (Charikar,
/// Chen, Farach-Colton 2002). It is linear, so a sketch of a mean is the mean of sketches.
pub(super) fn sketch(values: Vec<f32>) -> Vec<f64> {
    if values.len() <= WIDEST {
        return values.into_iter().map(f64::from).collect();
    }
    let mut sums = vec![0.0; WIDEST];
    for (i, value) in values.into_iter().enumerate() {
        // Fibonacci hashing: the top bit is the sign, the next ones the place.
        let hash = (i as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let place = (hash >> 32) as usize % WIDEST;
        let value = f64::from(value);
        sums[place] += if hash >> 63 == 0 { value } else { -value };
    }
    sums
}

/// The numbers of a site's gradient that are compared.
pub(in crate::infer) struct Coordinates {
    /// Sums over rows.
    pub(in crate::infer) summed: Vec<f64>,
    /// The rows, if there are several.
    pub(in crate::infer) rows: Vec<f64>,
    /// Sums over rows weighted by tanh θ minus a constant: a bias that cancels over what came before the site, on which
    /// θ depends, does not cancel here.
    pub(in crate::infer) weighed: Vec<f64>,
}

impl Coordinates {
    /// For a gradient by the parameters θ of a law, whose leading axes are rows.
    pub(in crate::infer) fn of(
        gradients: &[Tensor],
        weighed: &[Tensor],
        plates: usize,
    ) -> Result<Self> {
        let by_row = |gradient: &Tensor| {
            let axes = 0..plates.min(gradient.rank());
            axes.fold(gradient.clone(), |sum, _| sum.sum(0))
        };
        let total = |gradients: &[Tensor]| {
            let mut all = Vec::new();
            for gradient in gradients {
                all.extend(by_row(gradient).peek()?.into_iter().map(f64::from));
            }
            Ok::<_, Error>(all)
        };
        let mut rows = Vec::new();
        for gradient in gradients {
            if by_row(gradient).len() < gradient.len() {
                rows.extend(gradient.peek()?);
            }
        }
        Ok(Self {
            summed: total(gradients)?,
            rows: sketch(rows),
            weighed: total(weighed)?,
        })
    }
}

impl Coordinates {
    fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.summed, &other.summed),
            (&mut self.rows, &other.rows),
            (&mut self.weighed, &other.weighed),
        ];
        for (sum, more) in pairs {
            sum.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
        }
    }
}

/// Sums over draws of a gradient's coordinates and their squares; draws that do not reach the gradient count as zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) sum: Vec<f64>,
    square: Vec<f64>,
    /// The largest coordinate in any draw.
    pub(super) largest: f64,
}

impl Sums {
    fn add(&mut self, draw: &[f64]) -> Result<()> {
        if self.sum.is_empty() {
            self.sum = vec![0.0; draw.len()];
            self.square = vec![0.0; draw.len()];
        }
        if self.sum.len() != draw.len() {
            return Err(Error::Inconsistent(
                "a gradient changes its shape from draw to draw, so that it has no mean to \
                 check; check a model whose sites keep their shapes"
                    .into(),
            ));
        }
        for ((sum, square), x) in self.sum.iter_mut().zip(&mut self.square).zip(draw) {
            *sum += x;
            *square += x * x;
            self.largest = self.largest.max(x.abs());
        }
        Ok(())
    }

    pub(super) fn mean(&self, at: usize, draws: f64) -> f64 {
        self.sum.get(at).map_or(0.0, |sum| sum / draws)
    }

    pub(super) fn variance(&self, at: usize, draws: f64) -> f64 {
        let mean = self.mean(at, draws);
        let square = self.square.get(at).map_or(0.0, |square| square / draws);
        (square - mean * mean).max(0.0) * draws / (draws - 1.0)
    }
}

/// What was measured at one site.
#[derive(Debug, Default)]
pub(super) struct SiteSums {
    pub(super) summed: Sums,
    /// The same of draws that reached the site.
    pub(super) reached: Columns,
    pub(super) rows: Sums,
    pub(super) weighed: Sums,
    /// Numbers in all rows of the gradient, 0 if there is only one row.
    pub(super) numbers: usize,
    /// Factor of subsampling plates.
    pub(super) scale: f64,
    /// Smallest and largest cost-to-go, and the baseline that is subtracted from it.
    pub(super) costs: Range,
    pub(super) baseline: f64,
    /// Evaluations of the cost in all draws that reached the site, and the number of these draws.
    pub(super) evaluations: (usize, usize),
}

/// Sums over some draws with fixed parameters and surrogates.
#[derive(Debug, Default)]
pub(super) struct Measured {
    pub(super) draws: u64,
    pub(super) loss: Sums,
    pub(super) sites: BTreeMap<String, SiteSums>,
    pub(super) parameters: Vec<(Parameter, Sums)>,
    pub(super) centres: Centres,
}

impl Measured {
    /// Measures this many draws; `stream` separates the random numbers of several measurements. Sites without a center
    /// get one from the first draw.
    pub(super) fn of(
        estimation: &mut Estimation,
        objective: &dyn Objective,
        draws: u64,
        stream: u64,
        centres: Centres,
    ) -> Result<Self> {
        let mut measured = Self {
            draws,
            centres,
            ..Self::default()
        };
        for step in 0..draws {
            let key = Key {
                seed: estimation.seed,
                step,
                particle: stream,
            };
            let particle = estimation.estimate_particle(objective, key, false)?;
            measured.add(estimation, &particle)?;
        }
        Ok(measured)
    }

    fn add(&mut self, estimation: &Estimation, particle: &Particle) -> Result<()> {
        self.loss.add(&[particle.loss])?;
        for (parameter, gradient) in &particle.parameters {
            let found = self
                .parameters
                .iter()
                .position(|(p, _)| p.key() == parameter.key());
            let at = found.unwrap_or_else(|| {
                self.parameters.push((parameter.clone(), Sums::default()));
                self.parameters.len() - 1
            });
            self.parameters[at].1.add(&sketch(gradient.peek()?))?;
        }
        // A bound of several samples draws a site several times.
        let mut draws: BTreeMap<&str, Coordinates> = BTreeMap::new();
        for estimate in &particle.sites {
            let place = estimate.place;
            let latent = &particle.pass.latents[place];
            if !self.centres.contains_key(&*latent.name) {
                self.centres.insert(latent.name.to_string(), centre(latent));
            }
            let weighed = weigh(&estimate.gradients, latent, &self.centres);
            let found = Coordinates::of(&estimate.gradients, &weighed, latent.plates.len())?;
            let site = self.sites.entry(estimate.name.to_string()).or_default();
            if !found.rows.is_empty() {
                site.numbers = estimate.gradients.iter().map(Tensor::len).sum();
            }
            site.scale = latent.scale;
            for cost in particle.pass.cost_to_go(place)?.peek()? {
                site.costs.take(cost.into());
            }
            site.baseline = estimation.sites.baseline(&estimate.name);
            site.evaluations.0 += estimate.evaluations;
            match draws.get_mut(&*estimate.name) {
                Some(total) => total.add(&found),
                None => drop(draws.insert(&estimate.name, found)),
            }
        }
        for (name, draw) in draws {
            let site = self.sites.entry(name.to_owned()).or_default();
            site.evaluations.0 += particle.pass.draws_of_everything();
            site.evaluations.1 += 1;
            let numbers: Vec<f32> = draw.summed.iter().map(|x| *x as f32).collect();
            site.reached.add(&numbers);
            let named = |error| Error::Inconsistent(format!("site `{name}`: {error}"));
            site.summed.add(&draw.summed).map_err(named)?;
            site.rows.add(&draw.rows).map_err(named)?;
            site.weighed.add(&draw.weighed).map_err(named)?;
        }
        Ok(())
    }
}
