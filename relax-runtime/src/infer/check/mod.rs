//! Whether the gradients of a program are unbiased: estimates compared with what they estimate.

mod compare;
mod measure;

use std::rc::Rc;

use compare::{Target, compare};
use measure::Measured;

use crate::error::{Error, Result};
use crate::estimator::{DrawKind, Estimator, Pathwise, Reinforce, Vimco};
use crate::infer::draw::{Draw, Own};
use crate::infer::estimation::Estimation;
use crate::infer::exact::centres::Centres;
use crate::infer::exact::{Enumerated, enumerate};
use crate::infer::floors::Floors;
use crate::infer::objective::{Elbo, ExpectedCost, Objective};
use crate::infer::pass::Mode;
use crate::infer::settings::Configure;
use crate::model::{Kind, ParamStore, Program};
use crate::random::Key;
use crate::report::{BiasTable, Floor, Reference, Subject};

/// Checks that the gradients of a model are unbiased, with the estimators that its plan chooses: [`Check`] with its
/// defaults. A model with observations is checked as [`Svi`](super::Svi) would train it with an automatic guide, one
/// with costs but no observations as [`Minimize`](super::Minimize) would.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let rain = sample!(Bernoulli(0.2));
///     observe!(Bernoulli(if rain { 0.8 } else { 0.3 }), true);
/// }
///
/// let table = check_unbiased(&coin())?;
/// println!("{table}");
/// table.verdict()?; // an error that names the biased sites
/// # Ok::<(), Error>(())
/// ```
///
/// # Errors
/// As for [`Check::run`].
pub fn check_unbiased(model: &dyn Program) -> Result<BiasTable> {
    check_unbiased_with(model, |check| check)
}

/// As [`check_unbiased`], with settings.
///
/// ```
/// use relax_runtime::infer::check_unbiased_with;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.5);
///     let b = sample!(Bernoulli(logits = logit));
///     cost!((&b - 0.3).square());
/// }
///
/// # fn main() -> Result<()> {
/// let model = coin();
/// let table = check_unbiased_with(&model, |check| {
///     check.estimator(Rloo::default()).draws(2_000).seed(1)
/// })?;
/// assert_eq!(table.draws, 2_000);
/// table.verdict()?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`Check::run`].
pub fn check_unbiased_with(
    model: &dyn Program,
    configure: impl FnOnce(Check<'_>) -> Check<'_>,
) -> Result<BiasTable> {
    let (elbo, cost) = (Elbo::new(model), ExpectedCost::new(model));
    let objective: &dyn Objective = if is_cost(model)? { &cost } else { &elbo };
    configure(Check::new(objective)).run()
}

/// Whether a program has costs but neither observations nor factors, as far as a few runs show.
fn is_cost(model: &dyn Program) -> Result<bool> {
    const RUNS: u64 = 16;
    let mut costs = false;
    for seed in 0..RUNS {
        let draw = Draw::new(Own, Mode::Draw);
        let (_, trace, _) = draw.run(model, Key::new(seed), &ParamStore::default())?;
        let has = |kind| trace.entries().iter().any(|entry| entry.kind == kind);
        if has(Kind::Observed) || has(Kind::Factor) {
            return Ok(false);
        }
        costs |= has(Kind::Cost);
    }
    Ok(costs)
}

/// A check that the gradient estimates of an objective are unbiased, at every site and for every parameter: their mean
/// over many draws, with surrogates that have learned something and are then held fixed, against the exact gradient by
/// enumeration. If the support is too large, or a site is continuous, a long run of REINFORCE with a baseline stands in
/// for the exact gradient; for a bound of several samples that baseline is VIMCO's. Every site is checked with draws of
/// the others: where training would sum over all of them together, `enumerate` is checked one site at a time.
///
/// The table also has each site's variance as a multiple of its [floor](crate::infer::Recording::floors): exactly up to
/// 4096 combinations of all choices, rows included, and elsewhere from further draws, which take up to about as many
/// evaluations of the cost as there are draws. An error in these becomes a note.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() {
///     let logit = param!(0.5);
///     let b = sample!(Bernoulli(logits = logit));
///     cost!((&b - 0.3).square());
/// }
///
/// # fn main() -> Result<()> {
/// let program = coin();
/// let objective = ExpectedCost::new(&program);
/// let table = Check::new(&objective).draws(2_000).warm_up(50).seed(1).run()?;
/// let row = table.site("b").expect("a row");
/// assert!(!row.biased, "{table}");
/// # Ok(())
/// # }
/// ```
pub struct Check<'o> {
    objective: &'o dyn Objective,
    estimation: Estimation,
    draws: u64,
    reference_draws: u64,
    warm_up: u64,
    combinations: usize,
}

/// Streams of random numbers: for the warm-up, the estimates, the reference, and the floors.
const WARM_UP: u64 = 0;
const ESTIMATES: u64 = 1;
const REFERENCE: u64 = 2;
const FLOORS: u64 = 3;

/// Number of runs of the programs up to which gradients are enumerated by default, and floors at most: these keep what
/// each run had.
const COMBINATIONS: usize = 1 << 12;

impl Configure for Check<'_> {
    fn estimation(&mut self) -> &mut Estimation {
        &mut self.estimation
    }
}

impl<'o> Check<'o> {
    /// A check with 10,000 draws after 100 steps of warm-up, with estimators chosen by the plan.
    pub fn new(objective: &'o dyn Objective) -> Self {
        const DRAWS: u64 = 10_000;
        const WARM_UP_STEPS: u64 = 100;
        Self {
            objective,
            estimation: Estimation::new(0),
            draws: DRAWS,
            reference_draws: 4 * DRAWS,
            warm_up: WARM_UP_STEPS,
            combinations: COMBINATIONS,
        }
    }

    /// Number of draws whose mean is taken, and four times as many for a sampled reference: ten times as many show
    /// biases a third as large.
    #[must_use]
    pub fn draws(mut self, draws: u64) -> Self {
        self.draws = draws;
        self.reference_draws = draws.saturating_mul(4);
        self
    }

    /// Number of draws for a sampled reference.
    #[must_use]
    pub fn reference_draws(mut self, draws: u64) -> Self {
        self.reference_draws = draws;
        self
    }

    /// Number of steps in which surrogates and baselines learn before they are held fixed. A surrogate that has learned
    /// nothing may be zero, and would hide what is wrong with it. Parameters do not move: symmetric initial values may
    /// hide a bias that the [`params`](Self::params) of a trained model show.
    #[must_use]
    pub fn warm_up(mut self, steps: u64) -> Self {
        self.warm_up = steps;
        self
    }

    /// Number of runs of the programs up to which the gradient is enumerated; the default is 4096. Rows of a plate that
    /// do not meet count as one.
    #[must_use]
    pub fn enumerate_up_to(mut self, combinations: usize) -> Self {
        self.combinations = combinations;
        self
    }

    /// The values of `param!` sites and automatic guides, such as those of a [`Fit`](super::Fit); by default their
    /// initial values.
    #[must_use]
    pub fn params(mut self, params: &ParamStore) -> Self {
        self.estimation.params = params.fork();
        self
    }

    /// Runs the check. It fails only if it cannot be carried out; [`BiasTable::verdict`] fails if something is biased.
    ///
    /// # Errors
    /// If there are too few draws, a setting is wrong, a site that was given an estimator does not exist, a gradient
    /// changes its shape, or any error from the programs.
    pub fn run(self) -> Result<BiasTable> {
        const FEWEST: u64 = 30;
        for (setting, draws) in [
            ("draws", self.draws),
            ("reference_draws", self.reference_draws),
        ] {
            if draws < FEWEST {
                let problem =
                    format!("is {draws}; means of fewer than {FEWEST} draws show nothing");
                return Err(Error::Config { setting, problem });
            }
        }
        let objective = self.objective;
        let mut estimation = self.estimation;
        estimation.check_settings()?;
        warm_up(&mut estimation, objective, self.warm_up)?;
        let found = Measured::of(
            &mut estimation,
            objective,
            self.draws,
            ESTIMATES,
            Centres::new(),
        )?;
        estimation.sites.check_asked()?;
        let (reference, target) = match enumerate(
            objective,
            &estimation.params,
            self.combinations,
            &found.centres,
        )? {
            Enumerated::Exact(exact) => {
                let combinations = exact.combinations;
                exact.expect_finite(0)?;
                (Reference::Exact { combinations }, Target::of_exact(*exact)?)
            }
            Enumerated::Refused(why) => {
                let why = why.to_string();
                let draws = self.reference_draws;
                let mut reinforce = by_score_function(&estimation);
                warm_up(&mut reinforce, objective, self.warm_up)?;
                let reference = Measured::of(
                    &mut reinforce,
                    objective,
                    draws,
                    REFERENCE,
                    found.centres.clone(),
                )?;
                (
                    Reference::Sampled { draws, why },
                    Target::of_draws(reference),
                )
            }
        };
        let floors = Floors::within(
            self.draws,
            objective,
            &estimation.sites,
            &estimation.params,
            self.combinations.min(COMBINATIONS),
            Key {
                seed: estimation.seed,
                step: 0,
                particle: FLOORS,
            },
        );
        let mut table = compare(&estimation.plan(), &found, &target, reference);
        for row in &mut table.rows {
            if let Subject::Site { .. } = row.subject
                && let Some(sums) = found.sites.get(&row.name)
                && let Some(site) = estimation.sites.get(&row.name)
            {
                row.floor = Some(Floor {
                    variance: sums.reached.variance(),
                    variance_error: sums.reached.variance_error(),
                    ..floors.of(&row.name, site, 1)
                });
            }
        }
        Ok(table)
    }
}

/// Teaches surrogates and baselines.
fn warm_up(estimation: &mut Estimation, objective: &dyn Objective, steps: u64) -> Result<()> {
    for step in 0..steps {
        let key = Key {
            seed: estimation.seed,
            step,
            particle: WARM_UP,
        };
        estimation.estimate_particle(objective, key, true)?;
    }
    Ok(())
}

/// The same parameters, with REINFORCE at every site, continuous ones included; for a bound of several samples the
/// others are the baseline.
fn by_score_function(estimation: &Estimation) -> Estimation {
    let sites = &estimation.sites;
    let several = sites.names().iter().any(|name| {
        let site = sites.get(name);
        site.is_some_and(|site| site.class.samples > 1)
    });
    let estimator: Rc<dyn Estimator> = if several {
        Rc::new(Vimco::default())
    } else {
        Rc::new(Reinforce::default())
    };
    let mut reinforce = Estimation::new(estimation.seed);
    reinforce.params = estimation.params.fork();
    let asked = &mut reinforce.sites.asked;
    asked.estimate_by(Rc::clone(&estimator));
    for name in sites.names() {
        let estimator: Rc<dyn Estimator> = match sites.get(name).map(|site| site.class.draws) {
            // Where a score function would be biased.
            Some(DrawKind::Moving) => Rc::new(Pathwise),
            _ => Rc::clone(&estimator),
        };
        asked.estimate_site_by(name, estimator);
    }
    reinforce
}
