//! What the estimators estimate, by enumeration: the gradient of every site, and of every
//! parameter.
//!
//! Rows of a plate are enumerated in step: in each run all rows take the same combination of
//! values, and a row's probability weighs the row's cost. So a plate of a thousand rows takes no
//! more runs than one row. Where the costs of several rows meet, every combination of all rows is
//! run.

use std::collections::BTreeMap;
use std::rc::Rc;

use smallvec::SmallVec;

use super::check::{Centres, weigh};
use super::enumerate::{LARGEST, Odometer, Refusal};
use super::objective::Objective;
use super::pass::{Latent, Mode, Pass, Term, not_finite};
use crate::dist::Number;
use crate::error::{Error, Result};
use crate::estimator::score_function;
use crate::model::{ParamStore, Plate};
use crate::random::Key;
use crate::tensor::{Parameter, Shape, Tensor, grad_parameters};

/// Exact expectations.
#[derive(Default)]
pub(super) struct Exact {
    centres: Centres,
    /// What host numbers add up to in the first run, and for each site in the first that comes by:
    /// the others' are measured from there, before they are rounded.
    origin: Option<f64>,
    origins: BTreeMap<String, Option<f64>>,
    pub(super) value: f64,
    pub(super) sites: BTreeMap<String, ExactSite>,
    pub(super) parameters: Vec<(Parameter, Tensor)>,
    pub(super) combinations: usize,
    /// The first term that is not finite where it has a probability, and its value.
    broken: Option<(Term, f64)>,
}

/// Exact expectations at one site.
pub(super) struct ExactSite {
    /// The gradient by each parameter of the site's law, in units of one row.
    pub(super) gradients: Vec<Tensor>,
    /// The same, weighed by what each run has as the law's parameters.
    pub(super) weighed: Vec<Tensor>,
    /// Number of leading axes of the gradients that are rows.
    pub(super) plates: usize,
    /// Smallest and largest cost-to-go.
    pub(super) costs: Range,
}

/// The range of some numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range(pub(super) f64, pub(super) f64);

impl Default for Range {
    fn default() -> Self {
        Self(f64::INFINITY, f64::NEG_INFINITY)
    }
}

impl Range {
    pub(super) fn take(&mut self, x: f64) {
        (self.0, self.1) = (self.0.min(x), self.1.max(x));
    }

    /// How far the numbers lie from `x` at most; 0 of none.
    pub(super) fn distance(&self, x: f64) -> f64 {
        if self.0 > self.1 {
            return 0.0;
        }
        (self.0 - x).abs().max((self.1 - x).abs())
    }
}

/// The exact value and gradient of an objective whose random choices are all discrete: what the
/// estimators estimate. Rows of a plate that do not meet are enumerated in step, and count as one.
///
/// Combinations of probability 0 do not count, whatever they cost.
///
/// # Errors
/// If a choice is continuous, or there are more than 2²⁰ combinations;
/// [`Error::NotFinite`] if the value or a gradient is not finite.
pub fn exact_gradient(
    objective: &dyn Objective,
    params: &ParamStore,
) -> Result<(f64, Vec<(Parameter, Tensor)>)> {
    match enumerate(objective, params, LARGEST, &Centres::new())? {
        Enumerated::Exact(exact) => {
            exact.expect_finite(0)?;
            exact.expect_finite_gradient()?;
            Ok((exact.value, exact.parameters))
        }
        Enumerated::Refused(why) => Err(Error::Model(format!(
            "{why}; train with `Svi` or `Minimize`, which draw where they cannot sum"
        ))),
    }
}

/// Exact expectations, or why there are none.
pub(super) enum Enumerated {
    Exact(Box<Exact>),
    Refused(Refusal),
}

/// Enumerates an objective with at most so many runs.
///
/// # Errors
/// Whatever goes wrong in a program.
pub(super) fn enumerate(
    objective: &dyn Objective,
    params: &ParamStore,
    largest: usize,
    centres: &Centres,
) -> Result<Enumerated> {
    let rows = |in_step| {
        enumerate_rows(
            objective,
            params,
            largest,
            centres,
            in_step,
            &mut |_| Ok(()),
        )
    };
    match rows(true)? {
        Some(found) => Ok(found),
        None => Ok(rows(false)?.unwrap_or_else(rows_meet)),
    }
}

/// As [`enumerate`], with rows in step, and with a look at every evaluation before it counts.
///
/// # Errors
/// Whatever goes wrong in a program, or what the look finds.
pub(super) fn enumerate_in_step(
    objective: &dyn Objective,
    params: &ParamStore,
    largest: usize,
    look: &mut dyn FnMut(&Pass) -> Result<()>,
) -> Result<Enumerated> {
    let found = enumerate_rows(objective, params, largest, &Centres::new(), true, look)?;
    Ok(found.unwrap_or_else(rows_meet))
}

fn rows_meet() -> Enumerated {
    Enumerated::Refused(Refusal::Other("the costs of several rows meet".into()))
}

/// Nothing if rows cannot be enumerated in step.
fn enumerate_rows(
    objective: &dyn Objective,
    params: &ParamStore,
    largest: usize,
    centres: &Centres,
    in_step: bool,
    look: &mut dyn FnMut(&Pass) -> Result<()>,
) -> Result<Option<Enumerated>> {
    let odometer = Rc::new(Odometer::new(in_step, largest));
    let mode = Mode::Enumerate(Rc::clone(&odometer));
    let evaluate = || objective.evaluate(Key::new(0), params, &mode);
    let mut exact = Exact {
        centres: centres.clone(),
        ..Exact::default()
    };
    loop {
        let more = evaluate().and_then(|pass| {
            look(&pass)?;
            let separate = |place| pass.class(place).separate;
            if in_step && !(0..pass.latents.len()).all(separate) {
                return Ok(None);
            }
            exact.add(&Run::new(&pass, in_step)?)?;
            odometer.advance(&mut || evaluate().map(drop)).map(Some)
        });
        match (more, odometer.refusal()) {
            (Err(_), Some(why)) => return Ok(Some(Enumerated::Refused(why))),
            (Err(error), None) => return Err(error),
            (Ok(None), _) => return Ok(None),
            (Ok(Some(true)), _) => {}
            (Ok(Some(false)), _) => {
                exact.combinations = odometer.combinations();
                return Ok(Some(Enumerated::Exact(Box::new(exact))));
            }
        }
    }
}

/// One combination of values.
struct Run<'a> {
    pass: &'a Pass,
    in_step: bool,
    /// For each latent ln q of its value, a number a row.
    log_masses: Vec<Tensor>,
    /// The weight of every term, where no row has a weight of its own.
    common: Option<Weight>,
}

/// The probability of a combination, a number a row.
#[derive(Clone)]
struct Weight {
    probability: Tensor,
    /// 1 in rows of which it is exactly 0 and not only too small for an f32, if there are any.
    impossible: Option<Tensor>,
}

impl Weight {
    fn of(log_probability: &Tensor) -> Result<Self> {
        let never = |x: &[f32]| x.contains(&f32::NEG_INFINITY);
        let impossible = log_probability.with_values(never)?;
        Ok(Self {
            probability: log_probability.exp(),
            impossible: impossible.then(|| log_probability.le(f32::NEG_INFINITY)),
        })
    }

    /// The share of a value in an expectation: 0 where the combination is impossible.
    fn share(&self, value: &Tensor) -> Tensor {
        match &self.impossible {
            None => &self.probability * value,
            Some(impossible) => {
                let possible = impossible.select_where(&value.zeros_like(), value);
                &self.probability * possible
            }
        }
    }
}

impl<'a> Run<'a> {
    fn new(pass: &'a Pass, in_step: bool) -> Result<Self> {
        let mut run = Self {
            pass,
            in_step,
            log_masses: Vec::new(),
            common: None,
        };
        for latent in &pass.latents {
            let constants: Vec<Tensor> =
                latent.law.parameters().iter().map(Tensor::detach).collect();
            let law = latent.law.with_parameters(&constants);
            let mass = law.log_density(&latent.value).detach();
            let mass = mass.sum_from(run.rows(&latent.plates).len());
            run.log_masses.push(mass.check()?.clone());
        }
        let mut plates = pass.latents.iter().map(|latent| &latent.plates);
        let mut of_terms = pass.terms.iter().map(|term| &term.plates);
        let none = |plates: &Rc<[Plate]>| run.rows(plates).is_empty();
        if plates.all(none) && of_terms.all(none) {
            run.common = Some(run.weight(&[])?);
        }
        Ok(run)
    }

    /// The plates whose rows have weights of their own.
    fn rows<'p>(&self, plates: &'p [Plate]) -> &'p [Plate] {
        if self.in_step { plates } else { &[] }
    }

    /// The probability of the combination, a number a row of some plates. Of other plates any row
    /// will do: over all runs it adds up to one.
    fn weight(&self, plates: &[Plate]) -> Result<Weight> {
        if let Some(common) = &self.common {
            return Ok(common.clone());
        }
        let plates = self.rows(plates);
        let sizes: Vec<usize> = plates.iter().map(|plate| plate.size).collect();
        let mut total = Tensor::zeros(Shape::try_from(&sizes[..])?, &self.device());
        for (latent, mass) in self.pass.latents.iter().zip(&self.log_masses) {
            let own = self.rows(&latent.plates);
            let pairs = own.iter().zip(plates);
            let common = pairs.take_while(|(a, b)| a.same_rows(b)).count();
            let mut mass = mass.clone();
            for _ in common..own.len().min(mass.rank()) {
                mass = mass.index(common as isize, 0);
            }
            let mut shape = mass.check()?.shape().to_vec();
            shape.resize(plates.len(), 1);
            total = total + mass.reshape(Shape::try_from(&shape[..])?);
        }
        Weight::of(&total)
    }

    fn device(&self) -> crate::tensor::Device {
        let first = self.pass.latents.first();
        first.map_or_else(crate::tensor::Device::cpu, |latent| latent.law.device())
    }

    /// A term's value with all its plates' rows that have weights, as a constant; nothing of a
    /// number that [`host`](Self::host) counts.
    fn value(&self, term: &Term) -> Option<Tensor> {
        let rows = self.rows(&term.plates).len();
        match &term.value {
            Number::Host(_) if rows == 0 => None,
            Number::Host(x) => Some(Tensor::full([], *x as f32, &self.device())),
            Number::Tensor(t) => Some(t.detach().sum_from(rows)),
        }
    }

    /// What those of some terms that are host numbers and stand in no row add up to.
    fn host(&self, counts: impl Fn(&Term) -> bool) -> f64 {
        let host = |term: &Term| match term.value {
            Number::Host(x) if counts(term) && self.rows(&term.plates).is_empty() => x * term.scale,
            _ => 0.0,
        };
        self.pass.terms.iter().map(host).sum()
    }

    /// The places of the terms that count for each row of the latent at a place: those that can
    /// depend on it. Of terms in other plates none does.
    fn own_terms(&self, place: usize) -> SmallVec<[usize; 8]> {
        let latent = &self.pass.latents[place];
        let terms = self.pass.terms.iter().enumerate();
        let own =
            |(_, term): &(usize, &Term)| term.sites.contains(place) && self.within(term, latent);
        terms.filter(own).map(|(at, _)| at).collect()
    }

    /// The sum of some terms' shares for each row of a latent.
    fn cost(&self, latent: &Latent, terms: &[usize], shares: &[Option<Tensor>]) -> Tensor {
        let rank = self.rows(&latent.plates).len();
        let shares = terms
            .iter()
            .filter_map(|&at| Some((at, shares[at].as_ref()?)));
        shares.fold(
            Tensor::zeros([], &latent.law.device()),
            |cost, (at, share)| {
                let scale = self.pass.terms[at].scale / latent.scale;
                cost + share.sum_from(rank) * scale as f32
            },
        )
    }

    /// Whether each row of a term stands in one row of a latent.
    fn within(&self, term: &Term, latent: &Latent) -> bool {
        let own = self.rows(&latent.plates);
        let pairs = self.rows(&term.plates).iter().zip(own);
        pairs.take_while(|(a, b)| a.same_rows(b)).count() == own.len()
    }
}

/// A number less the first of its kind, if that is finite.
fn from(origin: &mut Option<f64>, x: f64) -> f64 {
    x - *origin.get_or_insert(if x.is_finite() { x } else { 0.0 })
}

impl Exact {
    /// An error that names the first term that is not finite.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub(super) fn expect_finite(&self, step: u64) -> Result<()> {
        match &self.broken {
            Some((term, value)) if !value.is_finite() => Err(term.not_finite(*value, step)),
            _ if self.value.is_finite() => Ok(()),
            _ => Err(not_finite("all combinations", None, None, self.value, step)),
        }
    }

    fn expect_finite_gradient(&self) -> Result<()> {
        for (parameter, gradient) in &self.parameters {
            let wrong = |g: &[f32]| g.iter().copied().find(|g| !g.is_finite());
            if let Some(value) = gradient.with_values(wrong)? {
                return Err(Error::NotFinite {
                    what: match parameter.name() {
                        Some(name) => format!("the gradient by `{name}`"),
                        None => "a gradient".into(),
                    },
                    value: value.into(),
                    step: 0,
                    hint: "a term's derivative may be infinite at one of the combinations",
                });
            }
        }
        Ok(())
    }

    /// Adds what one combination contributes.
    fn add(&mut self, run: &Run<'_>) -> Result<()> {
        let pass = run.pass;
        let host = run.host(|_| true);
        if self.origin.is_none() && host.is_finite() {
            self.value = host;
        }
        let host = from(&mut self.origin, host);
        let all = run.weight(&[])?;
        let mass = f64::from(all.probability.peek_item()?);
        // What has no probability does not count, whatever it costs.
        let possible = all.impossible.is_none();
        let weigh = |host: f64| if possible { mass * host } else { 0.0 };
        let counted = weigh(host);
        if !counted.is_finite() && self.broken.is_none() {
            self.broken = pass.terms.iter().find_map(|term| match term.value {
                Number::Host(x) if !x.is_finite() => Some((term.clone(), x)),
                _ => None,
            });
        }
        self.value += counted;
        let mut weighted = Vec::with_capacity(pass.terms.len());
        let mut cotangents: Vec<(Tensor, Tensor)> = Vec::new();
        for term in &pass.terms {
            let weight = run.weight(&term.plates)?;
            let share = match run.value(term) {
                None => None,
                Some(value) => {
                    let share = weight.share(&value);
                    let total = f64::from(share.sum_all().peek_item()?) * term.scale;
                    if !total.is_finite() && self.broken.is_none() {
                        let value = f64::from(value.sum_all().peek_item()?);
                        self.broken = Some((term.clone(), value));
                    }
                    self.value += total;
                    Some(share)
                }
            };
            weighted.push(share);
            if let Number::Tensor(t) = &term.value
                && t.is_tracked()
            {
                let cotangent = weight.probability * term.scale as f32;
                cotangents.push((t.clone(), t.zeros_like() + cotangent));
            }
        }
        // Without rows the cost is the same for all latents of a scale with the same terms.
        let mut cost: Option<(f64, SmallVec<[usize; 8]>, Tensor)> = None;
        for (place, latent) in pass.latents.iter().enumerate() {
            let own = run.own_terms(place);
            let known = cost.take().filter(|(scale, terms, _)| {
                run.common.is_some() && *scale == latent.scale && *terms == own
            });
            let (_, _, to_go) = cost.insert(match known {
                Some(known) => known,
                None => {
                    let to_go = run.cost(latent, &own, &weighted);
                    (latent.scale, own, to_go)
                }
            });
            let host = run.host(|term| term.sites.contains(place));
            let score = if run.rows(&latent.plates).is_empty() {
                let origin = self.origins.entry(latent.name.to_string()).or_default();
                let host = weigh(from(origin, host)) / latent.scale;
                score_function(&*latent.law, &latent.value, &(&*to_go + host as f32))?
            } else {
                score_function(&*latent.law, &latent.value, to_go)?
            };
            for (parameter, gradient) in latent.law.parameters().into_iter().zip(&score) {
                cotangents.push((parameter, gradient * latent.scale as f32));
            }
            self.add_site(pass, place, score)?;
        }
        let outputs: Vec<_> = cotangents.iter().map(|(o, c)| (o, Some(c))).collect();
        for (parameter, gradient) in grad_parameters(&outputs)? {
            match self
                .parameters
                .iter_mut()
                .find(|(p, _)| p.key() == parameter.key())
            {
                Some((_, total)) => *total = &*total + gradient,
                None => self.parameters.push((parameter, gradient)),
            }
        }
        Ok(())
    }

    fn add_site(&mut self, pass: &Pass, place: usize, score: Vec<Tensor>) -> Result<()> {
        let latent = &pass.latents[place];
        let weighed = weigh(&score, latent, &self.centres);
        let site = self
            .sites
            .entry(latent.name.to_string())
            .or_insert_with(|| ExactSite {
                gradients: score.iter().map(Tensor::zeros_like).collect(),
                weighed: weighed.iter().map(Tensor::zeros_like).collect(),
                plates: latent.plates.len(),
                costs: Range::default(),
            });
        let totals = site.gradients.iter_mut().chain(&mut site.weighed);
        for (total, gradient) in totals.zip(score.into_iter().chain(weighed)) {
            *total = (&*total + gradient).check()?.clone();
        }
        for cost in pass.cost_to_go(place)?.peek()? {
            site.costs.take(cost.into());
        }
        Ok(())
    }
}
