//! A model with its discrete choices summed out.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use rustc_hash::FxHashSet;

use super::eliminate::Sum;
use super::evidence::evidence;
use super::graph::{FIRST_SITE, Graph};
use super::kept::{Only, Shared};
use super::nodes::{Names, looked_at};
use super::recover::Summed;
use super::search::Search;
use crate::dist::{Number, Value};
use crate::error::{Error, Result};
use crate::model::{Context, Entry, Kind, Model, ParamStore, Program, Site};
use crate::random::Key;
use crate::tensor::{Sharing, SiteSet};

/// A model whose discrete choices are summed out; see [`marginalise`] for examples.
#[derive(Clone)]
pub struct Marginalised<M> {
    model: M,
    only: Rc<Only>,
    integrated: Rc<Names>,
    /// Whether the sites to sum or integrate out were specified.
    is_particular: bool,
    pub(super) graph: Rc<RefCell<Graph>>,
    /// Maximum number of sites that the runs of one sum may reach, and that one of them may.
    most_sites: usize,
    most_in_a_run: usize,
}

/// Name of the term that is the sum.
pub(in crate::infer) const LOG_EVIDENCE: &str = "log evidence";

/// Maximum number of sites that the runs of a sum may reach in all; more are not worth waiting for. The second limit is
/// for sums that were not requested.
const MOST_SITES: usize = 1 << 26;
const MOST_SITES_UNASKED: usize = 1 << 20;

/// A sum besides the first that tries whether rows are independent, as a parameter that starts at 0 may tie them.
const LATER: u64 = 64;

impl<M: fmt::Debug> fmt::Debug for Marginalised<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Marginalised")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// Sums out the discrete choices of a model exactly: ln Σ_z p(x, z, y) becomes one term, and only continuous choices y
/// and discrete ones without a largest value are left to draw. If none are left, the term is the log-evidence ln p(x),
/// and its gradient with respect to the parameters is exact.
///
/// A choice in a plate is summed out row by row; chains, trees and other networks of choices along an order with few
/// combinations (variable elimination), including loops and control flow on host values. A sum takes as many runs of
/// the model as the largest term has combinations of values: some four for a chain of coins, however long. If the
/// choices are tensors, and the model computes with them as tensors, one run computes all these values together.
///
/// What a term depends on is read off the tensors it is computed from. If host code has read values, it is found by
/// runs with other values: before the first sum, with all of them if there are at most 2,048 or they take little time
/// (some 30,000 for a model of a few host numbers), otherwise 16 random runs and some hundred changes of single values;
/// then 32 runs drawn by the sum itself, and twice as many each time these reveal more; and one of each in every 16th
/// sum after that. What shows in none of them, such as a term that differs at only one of 2³⁰ combinations, is missed;
/// the plan lists the sites for which this may happen.
///
/// A site for which the model names an estimator is drawn.
///
/// A choice that the model makes only on some paths counts only there. Where a continuous choice is not made, the
/// density of what draws it, with its parameters held fixed, stands in for its own (Carlin and Chib 1995), which keeps
/// the evidence and its bound valid.
///
/// ```
/// use relax_runtime::infer::marginalise;
/// use relax_runtime::prelude::*;
///
/// /// Two groups of numbers, whose members are not known.
/// #[model]
/// fn groups(x: &Tensor) {
///     let low = sample!(Normal(Tensor::scalar(-1.0), 5.0));
///     let high = sample!(Normal(Tensor::scalar(1.0), 5.0));
///     plate!(x.rows() => {
///         let is_high = sample!(Bernoulli(Tensor::full(x.rows(), 0.5, &Device::cpu())));
///         observe!(Normal(&low + (&high - &low) * &is_high, 1.0), x);
///     })
/// }
///
/// # fn main() -> Result<()> {
/// let x = Tensor::from_slice(&[-3.1, -2.9, -3.0, 4.0, 4.2, 3.8]);
/// let model = groups(&x);
/// let fit = Svi::new(&marginalise(&model)).seed(1).run()?;
/// assert!((fit.posterior().mean("high")? - 4.0).abs() < 0.4);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// When run: [`Error::Enumeration`] if a term depends on choices with more than 65,536 combinations (of choices present
/// at the values of what is left), if the tables of the sum are too large, or if the possible values of a choice that
/// is left depend on those summed out; [`Error::Plates`] if rows of a plate meet in a term outside it;
/// [`Error::Impossible`] if the observations have probability 0 whatever the choices; [`Error::Model`] at a `cost!`.
pub fn marginalise<M: Model>(model: M) -> Marginalised<M> {
    Marginalised {
        model,
        only: Rc::new(|_| true),
        integrated: Rc::default(),
        is_particular: false,
        graph: Rc::default(),
        most_sites: MOST_SITES,
        most_in_a_run: usize::MAX,
    }
}

impl<M> Marginalised<M> {
    /// Sums out only the sites whose full names `sums_out` accepts; the others are drawn as they would be without the
    /// sum.
    #[must_use]
    pub fn only(self, sums_out: impl Fn(&str) -> bool + 'static) -> Self {
        Self {
            only: Rc::new(sums_out),
            is_particular: true,
            graph: Rc::default(),
            ..self
        }
    }

    /// Also integrates out the site of this full name: a `Normal` or `LogNormal` over tensors with one number for each
    /// row of its plates, such as an effect of each animal, person or school. The integral is a sum by the trapezoidal
    /// rule over 34 nodes of the noise behind a draw, from 5.2 standard deviations below the middle to 5.2 above. If
    /// the likelihood is smooth in the site, the error of a row's evidence is a thousandth if the data leave a fifth of
    /// the standard deviation that the model states, 2 % at a seventh, and larger below that, which a
    /// [`Verdict`](crate::infer::Verdict) reports; if it has jumps, the error is an eighth of a jump. Draws of the site
    /// are spread between its nodes.
    ///
    /// ```
    /// use relax_runtime::infer::marginalise;
    /// use relax_runtime::prelude::*;
    ///
    /// /// How often each of some people succeeded, of 10 times; each has an ability of its own.
    /// #[model]
    /// fn people(successes: &Tensor) {
    ///     let mean = sample!(Normal(Tensor::scalar(0.0), 2.0));
    ///     let spread = sample!(HalfNormal(Tensor::scalar(1.0)));
    ///     plate!(successes.rows() => {
    ///         let ability = sample!(Normal(Tensor::zeros([successes.rows()], &Device::cpu()), 1.0));
    ///         observe!(Binomial(10, logits = &mean + &spread * ability), successes);
    ///     })
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let successes = Tensor::from_slice(&[9.0, 2.0, 5.0, 10.0, 1.0, 7.0]);
    /// let model = people(&successes);
    /// let fit = Svi::new(&marginalise(&model).integrate("ability")).seed(1).run()?;
    /// let ability = fit.posterior().means("ability")?;
    /// assert!(ability[3] > 0.5 && ability[4] < -0.5);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn integrate(self, site: impl Into<String>) -> Self {
        let mut names = Names::clone(&self.integrated);
        names.insert(site.into());
        self.integrating(names)
    }

    pub(super) fn integrating(self, names: Names) -> Self {
        Self {
            integrated: Rc::new(names),
            is_particular: true,
            graph: Rc::default(),
            ..self
        }
    }
}

impl<M: Model> Marginalised<M> {
    /// Makes the sum give up early, for when it was not requested.
    pub(in crate::infer) fn if_few_sites(self) -> Self {
        Self {
            most_sites: MOST_SITES_UNASKED,
            ..self
        }
    }

    /// The same sum, with a maximum number of sites for each run.
    pub(super) fn in_runs_of(&self, most: usize) -> Self
    where
        M: Clone,
    {
        Self {
            most_in_a_run: most,
            ..self.clone()
        }
    }

    /// Number of sites reached by a run whose choices are drawn from the model's own laws.
    ///
    /// # Errors
    /// Whatever goes wrong in the model.
    pub(in crate::infer) fn sites_of_a_run(&self, params: &ParamStore) -> Result<usize> {
        let context = Context::new(Key::new(0), None, params.fork());
        self.model.run(&context)?;
        Ok(context.finish().0.entries().len())
    }
}

/// A borrowed model whose output is ignored.
#[derive(Clone, Copy)]
pub(in crate::infer) struct Borrowed<'m>(pub(in crate::infer) &'m dyn Program);

impl Model for Borrowed<'_> {
    type Output = ();

    fn name(&self) -> &'static str {
        self.0.model_name()
    }

    fn run(&self, context: &Context) -> Result<()> {
        self.0.execute(context)
    }
}

/// The sites that were summed out, for reporting.
pub(in crate::infer) struct SummedSites(Rc<RefCell<Graph>>);

/// A site that was summed out.
pub(in crate::infer) struct SummedSite<'a> {
    pub(in crate::infer) name: &'a str,
    pub(in crate::infer) distribution: &'static str,
    /// Whether it was integrated out.
    pub(in crate::infer) has_nodes: bool,
    /// Number of runs of the model that a sum takes.
    pub(in crate::infer) runs: usize,
    /// Whether host code reads it, so that what depends on it was found by runs of only some of its combinations with
    /// other sites.
    pub(in crate::infer) rests_on_runs: bool,
}

impl SummedSites {
    /// Shows each site.
    pub(in crate::infer) fn each(&self, mut see: impl FnMut(SummedSite<'_>)) {
        let graph = self.0.borrow();
        let found = match graph.is_certain_or_tried() {
            true => vec![false; graph.domains.len()],
            false => graph.open_variables(),
        };
        for site in &graph.sites {
            let mut variables = site.first..site.first + site.events;
            see(SummedSite {
                name: &site.name,
                distribution: site.distribution,
                has_nodes: site.has_nodes,
                runs: graph.plan.len() + 1,
                rests_on_runs: variables.any(|v| found[v]),
            });
        }
    }
}

impl<M: Model> Model for Marginalised<M> {
    type Output = ();

    fn name(&self) -> &'static str {
        self.model.name()
    }

    fn run(&self, context: &Context) -> Result<()> {
        if context.is_inside() {
            if self.is_particular {
                return Err(Error::Enumeration(
                    "its choices are summed out by `only` or `integrate`, but a sum around it would take all; \
                     use one of the two"
                        .into(),
                ));
            }
            // The enclosing sum also sums over these choices.
            return self.model.run(context).map(drop);
        }
        context.expect_outside("`marginalise`")?;
        let shared = Rc::new(Shared {
            graph: Rc::clone(&self.graph),
            only: Rc::clone(&self.only),
            integrated: Rc::clone(&self.integrated),
            outer: context.interpreter(),
            is_asked: self.most_sites == MOST_SITES,
            sites_left: Cell::new(self.most_sites),
            most_in_a_run: self.most_in_a_run,
            laws: RefCell::default(),
            kept: RefCell::default(),
        });
        let _sharing = Sharing::start();
        let mut search = Search::new(&self.model, context, shared);
        if !self.is_particular && self.graph.borrow().sums == 0 {
            self.graph.borrow_mut().is_of_all = true;
            if let Some(SummedSites(known)) = context.params().noted(self.model.name()).as_deref() {
                search.go_on_from(&known.borrow())?;
            }
        }
        search.tell_all()?;
        self.expect_names(&search)?;
        let sum = loop {
            if self.graph.borrow().has_nodes() && !search.has_cases() {
                // The first sum does without cases, but the draws that belong to nodes are known only with them.
                search.start_again()?;
                if !search.has_cases() {
                    return Err(looked_at());
                }
            }
            let factors = search.factors()?;
            if [1, LATER].contains(&self.graph.borrow().sums) {
                search.expect_rows_apart(&factors)?;
            }
            let order = search.order()?;
            let domains = self.graph.borrow().domains.clone();
            let sum = Sum::new(factors, domains, &order);
            if sum.log == f64::NEG_INFINITY {
                if let Some(mistake) = search.mistake() {
                    return Err(mistake);
                }
                if search.looks_closer()? {
                    continue;
                }
                return Err(search.shared.impossible(self.model.name()));
            }
            if search.confirms(&sum)? {
                break sum;
            }
        };
        if let Some(at) = context.params().holds_summed() {
            if self.graph.borrow().has_nodes() {
                return Err(Error::Enumeration(
                    "choices that are integrated out cannot be held at a value".into(),
                ));
            }
            let order = search.order()?;
            let (log, shares) = sum.held(&order, &mut at.stream("held"));
            return record(context, &search, evidence(&search, log, &shares)?);
        }
        let shares = sum.shares();
        let number = evidence(&search, sum.log, &shares)?;
        record(context, &search, number)?;
        let summed = Summed::new(&self.graph, &search, sum, shares);
        context.add_summed(Rc::new(summed));
        let graph = || SummedSites(Rc::clone(&self.graph));
        context.params().note(self.model.name(), graph);
        Ok(())
    }
}

impl<M> Marginalised<M> {
    /// # Errors
    /// If the first sum has not reached a site that is to be integrated out.
    fn expect_names(&self, search: &Search<'_>) -> Result<()> {
        let graph = self.graph.borrow();
        let is_met = |name: &str| {
            let mut runs = search.runs.iter();
            let has = |left: &[Entry]| left.iter().any(|entry| entry.name == name);
            graph.site(name).is_some() || has(&search.left) || runs.any(|ran| has(&ran.left))
        };
        let mut names = self.integrated.iter();
        match names.find(|name| graph.sums == 1 && !is_met(name)) {
            None => Ok(()),
            Some(name) => Err(Error::Enumeration(format!(
                "there is no site `{name}` to integrate out; use its full name, with those of the sub-models around \
                 it, as the plan does"
            ))),
        }
    }
}

/// Adds what is left of a model to the trace: its parameters, the choices that were not summed out, and the sum.
fn record(context: &Context, search: &Search<'_>, sum: Number) -> Result<()> {
    let mut known: FxHashSet<&str> = FxHashSet::default();
    let mut influence = SiteSet::EMPTY;
    let runs = search.runs.iter().map(|ran| (&ran.reads, &ran.left));
    for (reads, left) in runs.chain([(&search.reads, &search.left)]) {
        influence.add(reads);
        for entry in left {
            if !known.insert(&entry.name) {
                continue;
            }
            // Handlers outside look for the choices to which they gave values.
            context.adopt(Entry {
                elsewhere: entry.written == Kind::Latent,
                ..entry.clone()
            })?;
        }
    }
    let mut outside = SiteSet::EMPTY;
    let sites = influence.sites().filter(|&site| site < FIRST_SITE);
    sites.for_each(|site| outside.insert(site));
    context.see(&outside);
    let site = Site::new(LOG_EVIDENCE, file!(), line!());
    let value = match sum {
        Number::Host(x) => Value::Real(x),
        Number::Tensor(t) => Value::Tensor(t),
    };
    context.adopt(context.term(site, Kind::Factor, value))
}
