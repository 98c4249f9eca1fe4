//! The state of one site in a trainer: its estimator, what that has learned, and its variance.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::dist::Relaxation;
use crate::error::{Error, Result};
use crate::estimator::{
    Coupling, Decision, Estimator, LawProblem, LawTask, Noise, Problem, Rival, SiteClass,
    SiteState, SiteTask, score_function,
};
use crate::infer::checkpoint::{SavedSite, fitted_all, refused, save_all, set_all};
use crate::infer::pass::Latent;
use crate::infer::pass::samples::Samples;
use crate::infer::pass::survey::mean_and_square;
use crate::infer::sites::cost_to_go::{CostToGo, Work};
use crate::infer::sites::estimate::{SiteEstimate, measure};
use crate::model::ParamStore;
use crate::report::{GradientMoments, SiteReport};
use crate::surrogate::{RelaxedCost, VarianceGradient};
use crate::tensor::{Shape, Tensor};

/// A site that has been met.
#[derive(Debug)]
pub(in crate::infer) struct TrainedSite {
    /// Its full name, for reports.
    pub(in crate::infer) name: Arc<str>,
    pub(in crate::infer) class: SiteClass,
    pub(in crate::infer) distribution: &'static str,
    pub(in crate::infer) estimator: Rc<dyn Estimator>,
    /// Up to how many combinations of all choices it is summed over together with the others.
    pub(in crate::infer) joint: Option<usize>,
    pub(in crate::infer) reason: String,
    pub(in crate::infer) rivals: Vec<Rival>,
    /// Those that a race is still to decide between.
    pub(in crate::infer) contenders: Vec<Rc<dyn Estimator>>,
    /// The cost of a draw that no estimate uses: the baseline of the first estimate.
    first_cost: Option<f64>,
    pub(in crate::infer) state: Option<SiteState>,
    /// The shape of a row's draw for which the estimator's surrogate was made.
    made_for: Option<Shape>,
    moments: GradientMoments,
    /// Whether the last estimate's relaxed cost jumped.
    is_blocked: bool,
}

/// An estimate, and what can be learned from it.
struct Looked {
    estimate: SiteEstimate,
    variance_gradient: VarianceGradient,
    mean_cost: f64,
    /// Mean square of the costs' distance from the baseline.
    square_cost: f64,
    is_blocked: bool,
}

impl TrainedSite {
    pub(in crate::infer) fn new(
        name: &str,
        class: SiteClass,
        distribution: &'static str,
        choice: Decision,
    ) -> Self {
        Self {
            name: name.into(),
            class,
            distribution,
            estimator: choice.estimator,
            joint: choice.joint,
            reason: choice.reason,
            rivals: choice.rivals,
            contenders: choice.contenders,
            first_cost: None,
            state: None,
            made_for: None,
            moments: GradientMoments::default(),
            is_blocked: false,
        }
    }

    /// An error if the site was discrete and is no longer, or vice versa.
    pub(in crate::infer) fn expect_kind(&self, class: SiteClass, distribution: &str) -> Result<()> {
        if self.class.draws.is_discrete() == class.draws.is_discrete() {
            return Ok(());
        }
        Err(Error::Inconsistent(format!(
            "the site is a {} in one run and a {distribution} in another, of which only one is \
             discrete; give them different names",
            self.distribution
        )))
    }

    /// An error if a surrogate that was made for draws of one shape is to see another.
    fn expect_shape(&mut self, latent: &Latent) -> Result<()> {
        let shape = latent.law.draw_shape();
        let (_, row) = shape.split_at(latent.plates.len().min(shape.rank()));
        let row = Shape::try_from(row)?;
        let learned = |state: &SiteState| !state.parameters().is_empty();
        match *self.made_for.get_or_insert(row) {
            before if before != row && self.state.as_ref().is_some_and(learned) => {
                Err(Error::Inconsistent(format!(
                    "a draw of the site has shape {before} in one run and {row}, by {}, in another, but the \
                     surrogate of its estimator is made for one; give them different names, or an estimator \
                     without a surrogate",
                    latent.law.name()
                )))
            }
            _ => Ok(()),
        }
    }

    /// As [`estimate`](Self::estimate); `None` if the reverse pass alone gives the gradient.
    pub(in crate::infer) fn estimate_if_needed(
        &mut self,
        work: &Work<'_>,
        params: &ParamStore,
        restored: &mut BTreeMap<String, SavedSite>,
        learn: bool,
    ) -> Result<Option<SiteEstimate>> {
        match self.estimator.needs_estimate() {
            true => self.estimate(work, params, restored, learn).map(Some),
            false => Ok(None),
        }
    }

    /// Estimates the gradient by the site's parameters, and learns from it if asked to.
    fn estimate(
        &mut self,
        work: &Work<'_>,
        params: &ParamStore,
        restored: &mut BTreeMap<String, SavedSite>,
        learn: bool,
    ) -> Result<SiteEstimate> {
        if self.state.is_none() {
            let fresh = match work.latent.law.relaxation() {
                Some(relaxation) => {
                    self.with_task(relaxation, work, |task| self.estimator.state(task))?
                }
                None => self.with_law_task(work, |task| self.estimator.law_state(task))?,
            };
            self.start(fresh, restored.remove(&*work.latent.name))?;
        }
        self.expect_shape(work.latent)?;
        if let Some(state) = &self.state {
            state.learn(learn);
        }
        let Looked {
            estimate,
            variance_gradient,
            mean_cost,
            square_cost,
            is_blocked,
        } = self.look(work, params)?;
        self.is_blocked = is_blocked;
        if let (true, Some(state)) = (learn, &mut self.state) {
            state.train(&variance_gradient)?;
            state.remember(mean_cost, square_cost);
        }
        Ok(estimate)
    }

    /// The estimate for a draw that the site's estimator does not learn from; `None` before it has learned anything, or
    /// if the draw puts the site in another class.
    pub(in crate::infer) fn peek(
        &self,
        work: &Work<'_>,
        params: &ParamStore,
    ) -> Result<Option<SiteEstimate>> {
        let Some(state) = self.state.as_ref().filter(|_| self.suits(work)) else {
            return Ok(None);
        };
        state.learn(false);
        Ok(Some(self.look(work, params)?.estimate))
    }

    fn suits(&self, work: &Work<'_>) -> bool {
        let class = self.class.meet(work.survey.class(work.place));
        class.resembles(self.class)
    }

    /// Goes on at a site of a class that [resembles](SiteClass::resembles) the one that is known, with the same estimator
    /// and what it has learned.
    pub(in crate::infer) fn go_on_as(&mut self, class: SiteClass, choice: Decision) {
        self.class = class;
        if choice.contenders.is_empty() {
            self.reason = choice.reason;
        }
    }

    /// Whether the last estimate is not to be used, as its relaxed cost jumped.
    pub(in crate::infer) fn is_blocked(&self) -> bool {
        self.is_blocked
    }

    /// Whether the site has had an estimate to learn from.
    pub(in crate::infer) fn has_learned(&self) -> bool {
        self.state.is_some()
    }

    /// For each row the cost, minus its baseline, and its surrogate, if there is a surrogate.
    pub(in crate::infer) fn cost_and_surrogate(
        &self,
        work: &Work<'_>,
        params: &ParamStore,
    ) -> Result<Option<(Vec<f32>, Vec<f32>)>> {
        let (Some(relaxation), Some(state)) = (work.latent.law.relaxation(), &self.state) else {
            return Ok(None);
        };
        let baseline = self.baseline();
        let to_go = work.survey.cost_to_go_from(work.place, baseline)?;
        let cost = CostToGo::new(work, params, &to_go, baseline);
        let surrogate = self.with_task(relaxation, work, |task| {
            self.estimator.surrogate_value(task, &cost, state)
        })?;
        surrogate
            .map(|surrogate| Ok((to_go.peek()?, surrogate.peek()?)))
            .transpose()
    }

    /// Scale and temperature of the site's relaxed cost, if its surrogate has one.
    pub(in crate::infer) fn eta_and_temperature(&self) -> Result<Option<(f64, f64)>> {
        let state = self.state.as_ref();
        let relaxed = state.and_then(|state| state.surrogate().relaxed_cost());
        relaxed.map(RelaxedCost::eta_and_temperature).transpose()
    }

    /// Running variance of the gradient.
    pub(in crate::infer) fn running_variance(&self) -> f64 {
        self.moments.variance()
    }

    /// The estimate with what has been learned so far; starts and learns nothing.
    fn look(&self, work: &Work<'_>, params: &ParamStore) -> Result<Looked> {
        let latent = work.latent;
        if let Some(samples) = &work.pass.samples {
            return self.look_at_sample(work, samples);
        }
        let baseline = self.baseline();
        let to_go = work.survey.cost_to_go_from(work.place, baseline)?;
        let cost = CostToGo::new(work, params, &to_go, baseline);
        let fresh;
        let state = match &self.state {
            Some(state) => state,
            None => {
                fresh = SiteState::new();
                &fresh
            }
        };
        let (gradients, variance_gradient, evaluations) = match latent.law.relaxation() {
            Some(relaxation) => {
                let found = self.with_task(relaxation, work, |task| {
                    self.estimator.estimate(task, &cost, state)
                })?;
                (
                    smallvec![found.gradient],
                    found.variance_gradient,
                    found.evaluations,
                )
            }
            None => {
                let found = self
                    .with_law_task(work, |task| self.estimator.estimate_law(task, &cost, state))?;
                (
                    SmallVec::from_vec(found.gradients),
                    found.variance_gradient,
                    found.evaluations,
                )
            }
        };
        let evaluations = evaluations.saturating_sub(1) + cost.repeated();
        let (mean, square_cost) = mean_and_square(&to_go)?;
        let finite = |g: &Tensor| g.with_values(|g| g.iter().all(|g| g.is_finite()));
        if let Some(error) = cost.wrong() {
            for gradient in &gradients {
                if !finite(gradient)? {
                    return Err(error);
                }
            }
        }
        Ok(Looked {
            estimate: measure(work, gradients, evaluations)?,
            variance_gradient,
            mean_cost: baseline + mean,
            square_cost,
            is_blocked: cost.is_blocked(),
        })
    }

    /// The same for a choice in one sample of a bound of several.
    fn look_at_sample(&self, work: &Work<'_>, samples: &Samples) -> Result<Looked> {
        let latent = work.latent;
        let (sample, _) = samples.find(work.place);
        // The bound is maximized, so its signals are gains.
        let weight = -samples.signals(&self.estimator)?.index(0, sample);
        let gradients = score_function(&*latent.law, &latent.value, &weight)?.into();
        let distance = &samples.log_weights + self.baseline() as f32;
        Ok(Looked {
            estimate: measure(work, gradients, 0)?,
            variance_gradient: VarianceGradient::default(),
            mean_cost: -f64::from(samples.log_weights.mean_all().peek_item()?),
            square_cost: f64::from(distance.square().mean_all().peek_item()?),
            is_blocked: false,
        })
    }

    /// Gives the site's estimator its task.
    fn with_task<R>(
        &self,
        relaxation: &dyn Relaxation,
        work: &Work<'_>,
        f: impl FnOnce(&SiteTask<'_>) -> Result<R>,
    ) -> Result<R> {
        let latent = work.latent;
        let theta = match &latent.law.parameters()[..] {
            [theta] => theta.detach(),
            parameters => {
                return Err(Error::Law(format!(
                    "{} has a relaxation and {} parameters; a relaxation has one, so move the law's \
                     other numbers into the relaxation",
                    latent.law.name(),
                    parameters.len()
                )));
            }
        };
        let noise = self.noise(work, &theta)?;
        let problem = Problem {
            relaxation,
            theta: &theta,
            noise: &noise,
            plates: latent.plates.len(),
            context: latent.context.as_ref(),
        };
        f(&SiteTask {
            name: &latent.name,
            class: self.class,
            problem,
            seed: work.seed,
        })
    }

    /// The same at a site without a relaxation.
    fn with_law_task<R>(
        &self,
        work: &Work<'_>,
        f: impl FnOnce(&LawTask<'_>) -> Result<R>,
    ) -> Result<R> {
        let latent = work.latent;
        let mut stream = work.key.stream(&format!("{}/further", latent.name));
        let further = (0..self.estimator.further_noise(self.class))
            .map(|_| latent.law.noise(&mut stream))
            .collect::<Result<Vec<_>>>()?;
        f(&LawTask {
            name: &latent.name,
            class: self.class,
            problem: LawProblem {
                law: &*latent.law,
                noise: &latent.noise,
                further: &further,
                plates: latent.plates.len(),
                context: latent.context.as_ref(),
            },
            seed: work.seed,
        })
    }

    /// The noise of the site's draw, and any further noise that its estimator asks for.
    fn noise(&self, work: &Work<'_>, theta: &Tensor) -> Result<Noise> {
        let (latent, device) = (work.latent, theta.device());
        let v = match self.estimator.coupling() {
            Coupling::Coupled => None,
            Coupling::Independent => {
                let mut stream = work.key.stream(&format!("{}/v", latent.name));
                Some(stream.noise(theta.shape(), &device)?)
            }
        };
        let further = match self.estimator.further_noise(self.class) {
            0 => Vec::new(),
            count => {
                let mut stream = work.key.stream(&format!("{}/further", latent.name));
                (0..count)
                    .map(|_| stream.noise(theta.shape(), &device))
                    .collect::<Result<_>>()?
            }
        };
        Ok(Noise {
            u: latent.noise.clone(),
            v,
            further,
        })
    }

    /// The mean of past costs, or 0 if the estimator takes the cost as it is.
    pub(in crate::infer) fn baseline(&self) -> f64 {
        match &self.state {
            Some(state) if self.estimator.centred() => state.baseline.value(),
            _ => 0.0,
        }
    }

    /// Takes the estimator chosen by a race at this site or a similar one.
    pub(in crate::infer) fn settle(
        &mut self,
        estimator: &Rc<dyn Estimator>,
        reason: &str,
        rivals: &[Rival],
    ) {
        let why = estimator.valid_for(self.class).unwrap_or_default();
        self.reason = format!("{reason}; {why}");
        self.rivals.extend_from_slice(rivals);
        self.estimator = Rc::clone(estimator);
        self.contenders.clear();
    }

    /// Continues with what the winner of a race has learned.
    pub(in crate::infer) fn adopt(&mut self, winner: Self) {
        self.state = winner.state;
    }

    /// Whether the first estimate is still to come and would have no baseline: it would be as far from later ones as
    /// costs are from zero, and an optimizer would remember its square for long.
    pub(in crate::infer) fn lacks_first_cost(&self) -> bool {
        let waits = self.state.is_none() && self.first_cost.is_none();
        waits
            && self.class.samples == 1
            && self.estimator.needs_estimate()
            && self.estimator.centred()
    }

    /// Takes in the cost of a draw that no estimate uses, before the first estimate; `None` if it is not finite.
    pub(in crate::infer) fn take_first_cost(&mut self, cost: Option<f64>) {
        self.first_cost = cost;
    }

    /// Starts to learn, from a checkpoint's state if there is one.
    fn start(&mut self, mut state: SiteState, saved: Option<SavedSite>) -> Result<()> {
        if let Some(mut saved) = saved {
            if saved.estimator != self.estimator.name() {
                return Err(refused(format!(
                    "its estimator was `{}`, now it is `{}`",
                    saved.estimator,
                    self.estimator.name()
                )));
            }
            saved.surrogate.retain(|name, _| !state.is_former(name));
            saved.memory.retain(|name, _| !state.is_former(name));
            let unused = "which the site's surrogate does not have";
            // A file may be from before the estimator learned anything.
            let fitted = match saved.surrogate.is_empty() {
                true => Vec::new(),
                false => fitted_all(&saved.surrogate, state.parameters(), unused)?,
            };
            let [sum, weight, square_sum, square_weight] = saved.costs[..] else {
                return Err(refused(format!(
                    "it has {} averages of the site's costs, not 4",
                    saved.costs.len()
                )));
            };
            set_all(fitted)?;
            state.optimizer_mut().restore(saved.memory);
            state.baseline.restore([sum, weight]);
            state.spread.restore([square_sum, square_weight]);
            if !matches!(state.restore_learned(&saved.learned), Some([])) {
                return Err(refused(format!(
                    "its surrogate has learned {} numbers, which do not fit the site's",
                    saved.learned.len()
                )));
            }
            self.moments = GradientMoments::restored(&saved.moments);
        }
        if let Some(cost) = self.first_cost.take()
            && !state.baseline.is_known()
        {
            state.baseline.update(cost);
        }
        self.state = Some(state);
        Ok(())
    }

    /// What the site has learned, if anything.
    pub(in crate::infer) fn save(&self) -> Result<Option<SavedSite>> {
        let Some(state) = &self.state else {
            return Ok(None);
        };
        let costs = [state.baseline.state(), state.spread.state()];
        Ok(Some(SavedSite {
            estimator: self.estimator.name().to_owned(),
            class: self.class,
            surrogate: save_all(state.parameters())?,
            memory: state.optimizer().state()?,
            costs: costs.into_iter().flatten().collect(),
            learned: state.learned(),
            moments: self.moments.state().collect(),
        }))
    }

    /// The report of a step, whose gradient is `share` times the sum over particles.
    pub(in crate::infer) fn report(
        &mut self,
        sum: &mut SiteEstimate,
        share: f64,
        learn: bool,
    ) -> SiteReport {
        sum.summed.iter_mut().for_each(|g| *g *= share as f32);
        if learn {
            self.moments.update(&sum.summed);
        }
        let (squares, particles) = sum.mean_square;
        SiteReport {
            name: Arc::clone(&self.name),
            estimator: self.estimator.name(),
            mean_square: squares / particles as f64,
            variance: self.moments.variance(),
        }
    }
}
