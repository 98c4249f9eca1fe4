//! Objectives: expectations that training minimizes.

mod bound;
mod modelled;

use std::rc::Rc;

use crate::dist::{Number, Value};
use crate::error::{Error, Result};
use crate::infer::draw::{Draw, Own};
use crate::infer::guide::{Evaluation, Guide, Proposal, Stage, StructuredGuide};
use crate::infer::objective::bound::bound;
use crate::infer::objective::modelled::Modelled;
use crate::infer::pass::memory::spare_terms;
use crate::infer::pass::{Latent, Mode, Pass, Term};
use crate::model::{Entry, Kind, ParamStore, Program};
use crate::random::Key;
use crate::tensor::{SiteSet, Tensor};

/// An expected cost over random choices: what a [`Trainer`](super::Trainer) minimizes.
///
/// ```
/// use relax_runtime::infer::{Mode, Objective};
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let b = sample!(Bernoulli(0.5));
///     cost!(if b { 3.0 } else { 1.0 });
/// }
///
/// # fn main() -> Result<()> {
/// let program = coin();
/// let objective = ExpectedCost::new(&program);
/// let pass = objective.evaluate(Key::new(1), &ParamStore::default(), &Mode::Draw)?;
/// assert_eq!(pass.latents[0].name, "b");
/// assert!([1.0, 3.0].contains(&pass.total()?));
/// # Ok(())
/// # }
/// ```
pub trait Objective {
    /// Evaluates once: makes the random choices as `mode` says, and collects the terms of the cost.
    ///
    /// # Errors
    /// Any error from a program.
    fn evaluate(&self, key: Key, params: &ParamStore, mode: &Mode) -> Result<Pass>;

    /// The model, if this is its evidence bound under the automatic guide with one sample: sums over such a model's
    /// host values need no tensors.
    // Part of the trait, as objectives borrow their models and cannot be told apart by type; it says what the objective
    // is, and a wrapper may pass it on or not.
    fn mean_field_model(&self, _params: &ParamStore) -> Option<&dyn Program> {
        None
    }

    /// Announces that choices that the objective could sum out are to be drawn: estimators were asked for, or are to be
    /// seen at work. `why` is for the plan, where nothing else there says it.
    #[doc(hidden)]
    fn expect_draws(&self, _why: Option<&'static str>, _params: &ParamStore) {}

    /// Has the guide, if there is one, write its parameters in its current units.
    ///
    /// # Errors
    /// Any error from a program.
    #[doc(hidden)]
    fn adapt(&self, _key: Key, _params: &ParamStore, _stage: Stage) -> Result<()> {
        Ok(())
    }
}

/// The negative evidence lower bound E_q[log q(z) − log p(x, z)].
///
/// Without a guide, q is a [`StructuredGuide`]: every latent site of the model gets free parameters when it is first
/// met, even sites that appear on some paths only. `cost!` terms of the model are added: the optimal q is then
/// p(z | x) e^(−cost), normalized, and this is what posteriors mean by the posterior of such a model.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn toss(heads: bool) {
///     let fair = sample!(Bernoulli(0.5));
///     observe!(Bernoulli(if fair { 0.5 } else { 0.9 }), heads);
/// }
///
/// # fn main() -> Result<()> {
/// let model = toss(true);
/// let report = Trainer::new(1).step(&Elbo::new(&model).marginalise())?;
/// // With nothing left to draw, the bound is ln p(heads) = ln (0.5 · 0.5 + 0.5 · 0.9).
/// assert!((report.elbo() - 0.7_f64.ln()).abs() < 1e-4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Elbo<'m> {
    model: Modelled<'m>,
    guide: &'m dyn Guide,
    samples: usize,
    /// Whether continuous choices may be integrated out unasked: a given guide is meant for all of them.
    may_integrate: bool,
}

impl<'m> Elbo<'m> {
    /// The bound of a model with an automatic guide.
    pub fn new(model: &'m dyn Program) -> Self {
        Self {
            model: Modelled::Given(model),
            guide: &StructuredGuide,
            samples: 1,
            may_integrate: true,
        }
    }

    /// Sums out the model's discrete choices, as [`marginalise`](super::marginalise) does.
    #[must_use]
    pub fn marginalise(mut self) -> Self {
        self.model = Modelled::summed(self.model.given());
        self
    }

    /// Sums them out if that is cheap; see [`Svi`](super::Svi).
    pub(super) fn marginalise_if_cheap(mut self) -> Self {
        self.model = Modelled::if_cheap(self.model.given());
        self
    }

    /// Draws all choices.
    pub(super) fn draw_all(mut self) -> Self {
        self.model = Modelled::Given(self.model.given());
        self
    }

    /// Draws all choices, unless they were asked to be summed out in any case.
    pub(super) fn draw_unless_asked(self) -> Self {
        match self.model {
            Modelled::IfCheap(..) => self.draw_all(),
            Modelled::Given(_) | Modelled::Summed(_) => self,
        }
    }

    /// Uses another [`Guide`]: a program, which samples exactly the model's latent sites, or another family.
    ///
    /// A program and the model share the parameters whose names are the same: `let scale = param!(1.0)` in both is one
    /// number, which starts where the guide says, as it runs first. For two numbers, call them differently.
    #[must_use]
    pub fn guide(mut self, guide: &'m dyn Guide) -> Self {
        self.guide = guide;
        self.may_integrate = false;
        self
    }

    /// Uses the bound of several samples instead: −E[ln (1/K) Σₖ p(x, zₖ)/q(zₖ)] over K independent draws zₖ from q
    /// (Burda, Grosse, Salakhutdinov 2016). If everything stands in one plate, each row has its own bound. Such a model
    /// has no `cost!`.
    #[must_use]
    pub fn samples(mut self, samples: usize) -> Self {
        self.samples = samples;
        self
    }

    /// Whether neither a guide nor drawing all choices was asked for.
    pub(in crate::infer) fn is_of_default_guide(&self) -> bool {
        self.may_integrate && self.samples == 1 && !matches!(self.model, Modelled::Given(_))
    }

    /// The model, with what is summed out.
    pub(in crate::infer) fn program(&self, params: &ParamStore) -> &dyn Program {
        self.model.stages(params, self.may_integrate).now
    }

    /// The choices and terms of one sample.
    fn sample(&self, key: Key, params: &ParamStore, mode: &Mode) -> Result<Pass> {
        self.model.expect_end(params)?;
        let propose = || {
            let stages = self.model.stages(params, self.may_integrate);
            self.guide.propose(Evaluation {
                model: stages.now,
                before: &stages.before,
                key,
                params,
                mode,
            })
        };
        let Proposal {
            latents,
            trace,
            reads,
        } = loop {
            match propose() {
                // Values given from outside may be impossible.
                Err(error) if matches!(mode, Mode::Given(_)) => return Err(error),
                // The error may come from a node that no draw ever reaches.
                Err(error)
                    if key.particle != Key::LOOK && self.model.leaves_integrals(&error, params) => {
                }
                // Some values of what is left may leave too much for a sum that was not asked for. A replaced draw
                // belongs to the sum.
                Err(error)
                    if error.is_of_enumeration()
                        && mode.replaced().is_none()
                        && self.model.leave_sum(&error, params) => {}
                proposal => break proposal?,
            }
        };
        self.model.expect_rows_apart()?;
        // The direct derivative of log q by q's parameters has expectation zero and is left out, unless a relaxed draw
        // moves those parameters or several samples weight it.
        let whole = mode.is_relaxed() || self.samples > 1;
        let mut terms = spare_terms(latents.len() + trace.entries().len());
        let mut before = TermsBefore::of(mode);
        for (place, latent) in latents.iter().enumerate() {
            if before.stays(&latent.name, &latent.depends_on) {
                continue;
            }
            terms.push(entropy_term(place, latent, whole).map_err(|e| latent.locate(e))?);
        }
        let summed = trace
            .summed
            .iter()
            .map(|summed| (Rc::clone(summed), key))
            .collect();
        trace.take_apart(|entry| {
            match entry.kind {
                _ if entry.elsewhere => {}
                Kind::Param => {}
                _ if before.stays(&entry.name, &entry.influence) => {}
                Kind::Latent | Kind::Observed | Kind::Factor => terms.push(density_term(entry)?),
                Kind::Cost => terms.push(cost_term(entry)?),
            }
            Ok(())
        })?;
        Ok(Pass {
            latents,
            terms,
            reads,
            samples: None,
            summed,
        })
    }
}

/// The terms of an evaluation that is repeated with another draw of a choice.
struct TermsBefore<'p> {
    terms: std::slice::Iter<'p, Term>,
    site: usize,
}

impl<'p> TermsBefore<'p> {
    fn of(mode: &'p Mode) -> Self {
        match mode.replaced() {
            Some((hard, site)) => Self {
                terms: hard.terms.iter(),
                site,
            },
            None => Self {
                terms: [].iter(),
                site: 0,
            },
        }
    }

    /// Whether the next term does not depend on the choice and so is not needed: it did not before, and host code,
    /// which could have taken another path, has not seen the choice.
    fn stays(&mut self, name: &str, influence: &SiteSet) -> bool {
        let Some(before) = self.terms.next() else {
            return false;
        };
        before.name == name && !before.sites.contains(self.site) && !influence.contains(self.site)
    }
}

impl Objective for Elbo<'_> {
    fn evaluate(&self, key: Key, params: &ParamStore, mode: &Mode) -> Result<Pass> {
        match (self.samples, mode) {
            (0, _) => Err(Error::Config {
                setting: "samples",
                problem: "is 0; give at least one".into(),
            }),
            (1, _) => self.sample(key, params, mode),
            (_, Mode::Replaced { .. }) => Err(Error::Estimator(
                "a bound of several samples cannot replace one draw; use `vimco`".into(),
            )),
            (samples, _) => bound(samples, key, |key| self.sample(key, params, mode)),
        }
    }

    fn expect_draws(&self, why: Option<&'static str>, params: &ParamStore) {
        self.model.draw_unless_asked(why, params);
    }

    fn adapt(&self, key: Key, params: &ParamStore, stage: Stage) -> Result<()> {
        let stages = self.model.stages(params, self.may_integrate);
        let evaluation = Evaluation {
            model: stages.now,
            before: &stages.before,
            key,
            params,
            mode: &Mode::Draw,
        };
        self.guide.adapt(evaluation, stage)
    }

    fn mean_field_model(&self, params: &ParamStore) -> Option<&dyn Program> {
        let stages = self.model.stages(params, self.may_integrate);
        // The guide may know the model with more summed out.
        let is_known = self.samples == 1 && stages.before.is_empty();
        let is_mean_field = is_known && self.guide.is_mean_field(stages.now, params);
        is_mean_field.then_some(stages.now)
    }
}

/// log q of a choice, with its `whole` derivative or without the direct one by q's parameters
/// (Roeder, Wu, Duvenaud 2017), the ends of its support aside.
fn entropy_term(place: usize, latent: &Latent, whole: bool) -> Result<Term> {
    let rows = latent.plates.len();
    let density = if whole {
        latent.law.log_density_from(&latent.value, rows)
    } else {
        let held = latent.law.with_own_parameters_held();
        held.log_density_from(&latent.value, rows)
    };
    density.check()?;
    let mut sites = latent.depends_on.clone();
    add_sites(&mut sites, &density);
    sites.insert(place);
    let (value, factor) = match &latent.weight {
        Some(weight) => (weight.mask(Number::Tensor(density))?, weight.factor),
        None => (Number::Tensor(density), 1.0),
    };
    Ok(Term {
        name: latent.name.clone(),
        kind: Kind::Latent,
        value,
        plates: Rc::clone(&latent.plates),
        scale: latent.scale * factor,
        weight: factor,
        sites,
        of_guide: true,
        at: Some((latent.file, latent.line)),
        dist: None,
        outside: None,
    })
}

/// −log p of a site.
pub(in crate::infer) fn density_term(entry: &mut Entry) -> Result<Term> {
    let value = entry.log_prob()?.scale(-1.0);
    term(entry, value)
}

pub(in crate::infer) fn cost_term(entry: &mut Entry) -> Result<Term> {
    let value = match std::mem::replace(&mut entry.value, Value::Real(0.0)) {
        Value::Tensor(t) => Number::Tensor(t),
        Value::Real(x) => Number::Host(x),
        _ => Number::Host(0.0),
    };
    term(entry, value)
}

/// Adds the sites that a tensor came from.
fn add_sites(sites: &mut SiteSet, t: &Tensor) {
    if let Some(known) = t.provenance() {
        sites.add(&known.sites);
    }
}

/// The term of an entry, whose name and influence it takes.
fn term(entry: &mut Entry, value: Number) -> Result<Term> {
    let value = entry.weighed(value).map_err(|e| entry.locate(e))?;
    let mut sites = std::mem::take(&mut entry.influence);
    if let Number::Tensor(t) = &value {
        add_sites(&mut sites, t);
    }
    Ok(Term {
        name: std::mem::take(&mut entry.name),
        kind: entry.kind,
        value,
        plates: Rc::clone(&entry.plates),
        scale: entry.factor(),
        weight: entry.weight_factor(),
        sites,
        of_guide: false,
        at: Some((entry.file, entry.line)),
        dist: entry.dist.clone(),
        outside: entry.outside.clone(),
    })
}

/// The expectation of a program's `cost!` terms over its own random choices.
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
/// let mut trainer = Trainer::new(1).estimator(Enumerate::default());
/// let report = trainer.step(&ExpectedCost::new(&program))?;
/// assert!((report.loss - 0.35).abs() < 1e-4);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy)]
pub struct ExpectedCost<'m> {
    program: &'m dyn Program,
}

impl<'m> ExpectedCost<'m> {
    /// The expected cost of a program.
    pub fn new(program: &'m dyn Program) -> Self {
        Self { program }
    }
}

impl Objective for ExpectedCost<'_> {
    fn evaluate(&self, key: Key, params: &ParamStore, mode: &Mode) -> Result<Pass> {
        let draw = Draw::new(Own, mode.clone());
        let (latents, trace, reads) = draw.run(self.program, key, params)?;
        let costs = trace.entries().iter().filter(|e| e.kind == Kind::Cost);
        let mut terms = spare_terms(costs.count());
        trace.take_apart(|entry| {
            match entry.kind {
                Kind::Cost => terms.push(cost_term(entry)?),
                Kind::Observed | Kind::Factor => {
                    let problem = "an expected cost has no observations or factors: pay with \
                                   `cost!`, or use `Svi` for a posterior";
                    return Err(entry.locate(Error::Model(problem.into())));
                }
                Kind::Latent | Kind::Param => {}
            }
            Ok(())
        })?;
        if terms.is_empty() {
            let name = self.program.model_name();
            return Err(Error::Model(format!("`{name}` has no `cost!` to minimize")));
        }
        Ok(Pass {
            latents,
            terms,
            reads,
            samples: None,
            summed: Vec::new(),
        })
    }
}
