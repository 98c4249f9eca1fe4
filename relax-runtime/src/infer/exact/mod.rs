//! What the estimators estimate, by enumeration: the gradient of every site, and of every parameter.
//!
//! Rows of a plate are enumerated in step: in each run all rows take the same combination of values, and a row's
//! probability weights the row's cost. So a plate of a thousand rows takes no more runs than one row. Where rows depend
//! on each other, every combination of all rows is run.

pub(super) mod centres;
pub(super) mod floors;
pub(super) mod joint;
pub(super) mod posterior;
mod row_sums;
mod run;

use std::collections::BTreeMap;
use std::rc::Rc;

use smallvec::SmallVec;

use crate::dist::Number;
use crate::error::{Error, Result};
use crate::estimator::score_function;
use crate::infer::exact::centres::{Centres, weigh};
use crate::infer::impossible::look;
use crate::infer::objective::Objective;
use crate::infer::pass::odometer::{LARGEST, Odometer, Refusal};
use crate::infer::pass::{Latent, Mode, Pass, Term, not_finite};
use crate::infer::sites::apart::tied;
use crate::model::{Kind, ParamStore};
use crate::random::Key;
use crate::tensor::{Parameter, Tensor, grad_parameters};
use run::Run;

/// Exact expectations.
#[derive(Default)]
pub(in crate::infer) struct Exact {
    centres: Centres,
    /// The sum of host numbers in the first run, and for each site in the first run that reaches it: those of later
    /// runs are measured from there before they are rounded.
    origin: Option<f64>,
    origins: BTreeMap<String, Option<f64>>,
    pub(in crate::infer) value: f64,
    pub(in crate::infer) sites: BTreeMap<String, ExactSite>,
    pub(in crate::infer) parameters: Vec<(Parameter, Tensor)>,
    pub(in crate::infer) combinations: usize,
    /// The first term that is not finite but has a probability.
    broken: Option<Broken>,
}

/// A term that is not finite.
struct Broken {
    term: Term,
    value: f64,
    /// The choices of its combination.
    latents: Vec<Latent>,
}

impl Broken {
    fn new(term: &Term, value: f64, pass: &Pass) -> Self {
        Self {
            term: term.clone(),
            value,
            latents: pass.latents.clone(),
        }
    }
}

/// Exact expectations at one site.
pub(in crate::infer) struct ExactSite {
    /// The gradient by each parameter of the site's law, in units of one row.
    pub(in crate::infer) gradients: Vec<Tensor>,
    /// The same, weighted by the law's parameters in each run.
    pub(in crate::infer) weighed: Vec<Tensor>,
    /// Number of leading axes of the gradients that are rows.
    pub(in crate::infer) plates: usize,
    /// Smallest and largest cost-to-go.
    pub(in crate::infer) costs: Range,
}

/// The range of some numbers.
#[derive(Clone, Copy, Debug)]
pub(in crate::infer) struct Range(pub(in crate::infer) f64, pub(in crate::infer) f64);

impl Default for Range {
    fn default() -> Self {
        Self(f64::INFINITY, f64::NEG_INFINITY)
    }
}

impl Range {
    pub(in crate::infer) fn take(&mut self, x: f64) {
        (self.0, self.1) = (self.0.min(x), self.1.max(x));
    }

    /// The largest distance of the numbers from `x`; 0 if there are none.
    pub(in crate::infer) fn distance(&self, x: f64) -> f64 {
        if self.0 > self.1 {
            return 0.0;
        }
        (self.0 - x).abs().max((self.1 - x).abs())
    }
}

/// The exact value and gradient of an objective whose random choices are all discrete: what the estimators estimate.
/// Rows of a plate that do not meet are enumerated in step, and count as one.
///
/// Combinations of probability 0 do not count, whatever they cost.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.0);
///     let b = sample!(Bernoulli(logits = logit));
///     cost!(&b * 0.3 + 0.2);
/// }
///
/// # fn main() -> Result<()> {
/// let program = coin();
/// let (value, gradient) = exact_gradient(&ExpectedCost::new(&program), &ParamStore::default())?;
/// assert!((value - 0.35).abs() < 1e-6);
/// // d/dlogit of 0.3 p is 0.3 p (1 − p), with p = 1/2.
/// let (logit, slope) = &gradient[0];
/// assert_eq!(logit.name(), Some("logit"));
/// assert!((slope.item()? - 0.075).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If a choice is continuous, or there are more than 2²⁰ combinations; [`Error::NotFinite`] if the value or a gradient
/// is not finite.
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
        Enumerated::Refused(why) => Err(Error::Enumeration(format!(
            "{why}; train with `Svi` or `Minimize`, which draw where they cannot sum"
        ))),
    }
}

/// Exact expectations, or why there are none.
pub(in crate::infer) enum Enumerated {
    Exact(Box<Exact>),
    Refused(Refusal),
}

/// Enumerates an objective, with a limited number of runs.
///
/// # Errors
/// Any error from a program.
pub(in crate::infer) fn enumerate(
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
    let in_step = match are_tied(objective, params) {
        true => None,
        false => rows(true)?,
    };
    match in_step {
        Some(found) => Ok(found),
        None => Ok(rows(false)?.unwrap_or_else(rows_meet)),
    }
}

/// Whether rows of a plate depend on each other's choices, as far as one draw shows.
fn are_tied(objective: &dyn Objective, params: &ParamStore) -> bool {
    let key = Key::new(0);
    let is_tied = |pass: &Pass| tied(objective, params, pass, key, &|_| true);
    let drawn = objective.evaluate(key, &params.fork(), &Mode::Draw);
    matches!(drawn.and_then(|pass| is_tied(&pass)), Ok(Some(_)))
}

/// As [`enumerate`], with rows in step, and with a look at every evaluation before it counts.
///
/// # Errors
/// Any error from a program or from the look.
pub(in crate::infer) fn enumerate_in_step(
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

/// `None` if rows cannot be enumerated in step.
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

/// A number minus the first finite one of its kind.
fn from(origin: &mut Option<f64>, x: f64) -> f64 {
    x - *origin.get_or_insert(if x.is_finite() { x } else { 0.0 })
}

impl Exact {
    /// An error that names the first term that is not finite.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub(in crate::infer) fn expect_finite(&self, step: u64) -> Result<()> {
        match &self.broken {
            Some(broken) if !broken.value.is_finite() => {
                Err(broken.term.not_finite(broken.value, step, &broken.latents))
            }
            _ if self.value.is_finite() => Ok(()),
            _ => {
                let all = "all combinations";
                Err(not_finite(
                    Kind::Cost,
                    all,
                    look(step),
                    None,
                    self.value,
                    step,
                ))
            }
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

    /// Adds the contribution of one combination.
    fn add(&mut self, run: &Run<'_>) -> Result<()> {
        let pass = run.pass;
        let host = run.host(|_| true);
        if self.origin.is_none() && host.is_finite() {
            self.value = host;
        }
        let host = from(&mut self.origin, host);
        let all = run.weight(&[])?;
        let mass = f64::from(all.probability.peek_item()?);
        // Combinations without probability do not count, whatever they cost.
        let possible = all.impossible.is_none();
        let weigh = |host: f64| if possible { mass * host } else { 0.0 };
        let counted = weigh(host);
        if !counted.is_finite() && self.broken.is_none() {
            self.broken = pass.terms.iter().find_map(|term| match term.value {
                Number::Host(x) if !x.is_finite() => Some(Broken::new(term, x, pass)),
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
                        self.broken = Some(Broken::new(term, value, pass));
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
        // Without rows the cost is the same for all latents with the same scale and terms.
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
