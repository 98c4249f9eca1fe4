//! RELAX at sites: which surrogate a site gets, and what it learns.

use super::free_form::free_form;
use super::leave_one_out::corrected_or_leave_one_out;
use super::residual::known_part;
use super::{corrected, relax, surrogate_at_z};
use crate::error::{Error, Result};
use crate::estimator::class::expect_relaxed;
use crate::estimator::site::{NETWORK, RELAXED, check_relaxed_cost};
use crate::estimator::units::{in_units, value_in_units};
use crate::estimator::{
    Cost, Coupling, DrawKind, Estimate, Estimator, Problem, SiteClass, SiteState, SiteTask,
};
use crate::nn::Activation;
use crate::surrogate::{FreeForm, Held, Quadratic, RelaxedCost, Sum, Surrogate};
use crate::tensor::{Device, Tensor};

/// Which surrogate RELAX uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SurrogateKind {
    /// [`FreeForm`](Self::FreeForm) where a row has few values: up to 16 coins if there is one row or all
    /// rows have the same parameters, and fewer than 7 otherwise. A network can learn the cost of that few
    /// values, and halving the evaluations gains more than the relaxed cost does.
    /// Beyond that, where the cost can be relaxed, [`RelaxedCost`](Self::RelaxedCost), and with independent
    /// noise [`Sum`](Self::Sum). Beside a corrected relaxed cost, where later discrete choices depend on the
    /// site's, there is a leave-one-out estimate of four draws, and whichever has had the less mean square is
    /// taken; now and then both are made, to compare them.
    #[default]
    Auto,
    /// A network on z. With coupled noise, and where a row has few numbers, it learns what a
    /// quadratic form of b leaves of the cost, whose expectation's gradient is known.
    FreeForm,
    /// The relaxed cost with scale and temperature. With coupled noise it is
    /// [`corrected`](crate::estimator::corrected()).
    RelaxedCost,
    /// The same plus a network on z, as in the paper. Beside a corrected relaxed cost the network has little
    /// left to learn.
    Sum,
}

/// RELAX, with a surrogate trained online: the default of discrete sites.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn lamps() {
///     let logits = param!([0.0, 0.0, 0.0]);
///     let on = sample!(Bernoulli(logits = &logits));
///     // A black box: host code counts the lamps that are on.
///     let lit: f32 = on.to_vec()?.iter().sum();
///     cost!(f64::from(lit));
/// }
///
/// # fn main() -> Result<()> {
/// let relax = Relax { hidden: vec![8], ..Relax::default() };
/// let trained = Minimize::new(&lamps()).steps(200).estimator(relax).run()?;
/// assert_eq!(trained.plan().entries[0].evaluations, 1);
/// assert!(trained.param("logits")?.iter().all(|&logit| logit < 0.0));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Relax {
    /// Which surrogate to use.
    pub surrogate: SurrogateKind,
    /// Sizes of the hidden layers of the network, if there is one; empty chooses by the size of the site.
    pub hidden: Vec<usize>,
    /// The network's activation.
    pub activation: Activation,
    /// How z̃ is drawn.
    pub coupling: Coupling,
    /// Temperature of the relaxed cost; the initial one with independent noise, where it is trained.
    /// `None` chooses by the size of the site.
    pub temperature: Option<f32>,
    /// Initial scale of the relaxed cost.
    pub eta: f32,
    /// Maximum number of weights of the quadratic form beside a network alone: 1 + n + n (n − 1)/2 for n
    /// coins, or 1 + n where that is too many. It is fitted to all past draws by recursive least squares,
    /// whose time per step grows with the square of that number: 64 weights take less time than a network,
    /// and some hundreds are worth their time where a cost takes a tenth of a millisecond or more.
    pub quadratic: usize,
}

impl Default for Relax {
    /// Coupled noise; the surrogate's kind, the network's width, and the temperature follow the size of
    /// the site. For n choices per row the temperature is ¼, or n^(−1/3) if that is less; with independent
    /// noise ½, or 1/√n. The relaxed cost's distance from f(b) grows with the temperature and with each
    /// choice, and the variance of its slope falls with the temperature, so many choices call for a low one.
    /// `docs/relax-default.md` has the measurements behind each default.
    fn default() -> Self {
        Self {
            surrogate: SurrogateKind::Auto,
            hidden: Vec::new(),
            activation: Activation::Relu,
            coupling: Coupling::Coupled,
            temperature: None,
            eta: 1.0,
            quadratic: Quadratic::QUICK,
        }
    }
}

impl Relax {
    /// RELAX with a network alone: for costs that are black boxes.
    pub fn free_form() -> Self {
        Self {
            surrogate: SurrogateKind::FreeForm,
            ..Self::default()
        }
    }

    /// RELAX with the relaxed cost, never with a network.
    pub fn relaxed_cost() -> Self {
        Self {
            surrogate: SurrogateKind::RelaxedCost,
            ..Self::default()
        }
    }

    /// RELAX with the relaxed cost plus a network.
    pub fn sum() -> Self {
        Self {
            surrogate: SurrogateKind::Sum,
            ..Self::default()
        }
    }

    /// The kind that suits a site.
    pub(in crate::estimator) fn kind(&self, class: SiteClass) -> SurrogateKind {
        match self.surrogate {
            SurrogateKind::Auto => {
                let some = SiteClass::SOME_VALUES;
                let few = match class.rows_differ {
                    true => class.values < *some.start(),
                    false => class.values <= *some.end(),
                };
                match (class.relaxable && !few, self.coupling) {
                    (true, Coupling::Coupled) => SurrogateKind::RelaxedCost,
                    (true, Coupling::Independent) => SurrogateKind::Sum,
                    (false, _) => SurrogateKind::FreeForm,
                }
            }
            chosen => chosen,
        }
    }

    /// Whether a site's relaxed cost is corrected for each choice.
    fn corrects(&self, class: SiteClass) -> bool {
        self.kind(class) != SurrogateKind::FreeForm && self.coupling == Coupling::Coupled
    }

    /// Draws of the leave-one-out estimate, beside which there is one with a relaxed cost.
    fn draws(&self, class: SiteClass) -> Option<usize> {
        /// As [`Rloo`](crate::estimator::Rloo) has by default: they take as long as the relaxed cost.
        const DRAWS: usize = 4;
        let beside = self.surrogate == SurrogateKind::Auto && class.followed;
        (beside && self.corrects(class)).then_some(DRAWS)
    }

    /// How many of these there are besides the site's own draw.
    fn further_draws(&self, class: SiteClass) -> usize {
        self.draws(class).map_or(0, |draws| draws - 1)
    }

    /// Evaluations of the cost at relaxed draws for one estimate.
    fn relaxed_evaluations(&self, class: SiteClass) -> usize {
        match (self.kind(class), self.coupling) {
            (SurrogateKind::FreeForm, _) => 0,
            (_, Coupling::Coupled) => 1,
            (_, Coupling::Independent) => 2,
        }
    }

    /// The quadratic form beside a network alone, with coupled noise, where a row has few numbers.
    fn quadratic(&self, task: &SiteTask<'_>) -> Option<Quadratic> {
        let wanted =
            self.coupling == Coupling::Coupled && self.kind(task.class) == SurrogateKind::FreeForm;
        let Problem {
            relaxation,
            theta,
            plates,
            ..
        } = task.problem;
        let numbers: usize = theta.shape().iter().skip(plates).product();
        let (_, events) = relaxation.values_and_events(&theta.shape()[plates..]);
        match events {
            0 => None,
            _ => wanted.then(|| {
                let of_counts = relaxation.scale().is_some();
                Quadratic::new(events, numbers / events, of_counts, self.quadratic)
            })?,
        }
    }

    /// Fails if a hidden layer has no units, also where there is no network.
    fn check_hidden(&self) -> Result<()> {
        if !self.hidden.contains(&0) {
            return Ok(());
        }
        let problem = format!("are {:?}; each needs at least one unit", self.hidden);
        Err(Error::Config {
            setting: "hidden layers",
            problem,
        })
    }

    /// The network for a site with `latent` numbers per row and as many parameters, which also sees
    /// `context` further numbers.
    pub(in crate::estimator) fn network<P>(
        &self,
        task: &SiteTask<'_, P>,
        latent: usize,
        context: usize,
        device: &Device,
    ) -> Result<FreeForm> {
        const WIDEST: usize = 200;
        const NARROWEST: usize = 10;
        self.check_hidden()?;
        let width = latent.clamp(NARROWEST, WIDEST);
        let hidden = if self.hidden.is_empty() {
            vec![width, width]
        } else {
            self.hidden.clone()
        };
        let mut stream = task.stream("surrogate");
        let network = FreeForm::new(
            latent,
            context,
            &hidden,
            self.activation,
            &mut stream,
            device,
        )?;
        Ok(network.named(&task.parameter_name("network")))
    }

    pub(in crate::estimator) fn surrogate(&self, task: &SiteTask<'_>) -> Result<Held> {
        let Problem {
            relaxation,
            theta,
            context,
            plates,
            ..
        } = task.problem;
        let (_, choices) = relaxation.values_and_events(&theta.shape()[plates..]);
        let choices = choices.max(1) as f32;
        let by_size = match self.corrects(task.class) {
            true => choices.cbrt().recip().min(0.25),
            false => choices.sqrt().recip().min(0.5),
        };
        let temperature = self.temperature.unwrap_or(by_size);
        check_relaxed_cost(self.eta, temperature)?;
        self.check_hidden()?;
        let numbers = |x: &Tensor| x.shape().iter().skip(plates).product::<usize>();
        let latent = numbers(theta);
        let device = theta.device();
        let kind = self.kind(task.class);
        let network = || self.network(task, latent, context.map_or(0, numbers), &device);
        let relaxed = || {
            let relaxed = RelaxedCost::new(self.eta, temperature, &device);
            relaxed.named(&task.parameter_name("relaxed_cost"))
        };
        Ok(match kind {
            SurrogateKind::FreeForm => Held::Network(Box::new(network()?)),
            SurrogateKind::Sum => Held::Other(Box::new(Sum(relaxed(), network()?))),
            _ => Held::Other(Box::new(relaxed())),
        })
    }
}

impl Estimator for Relax {
    fn name(&self) -> &'static str {
        match self.surrogate {
            SurrogateKind::Auto => "relax",
            SurrogateKind::FreeForm => "relax-free-form",
            SurrogateKind::RelaxedCost => "relax-relaxed-cost",
            SurrogateKind::Sum => "relax-sum",
        }
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        expect_relaxed(class, "RELAX is for discrete sites")?;
        if class.draws == DrawKind::Gapped {
            return Err(
                "hardly any draws lie between likely values, and RELAX would hardly ever see how they come about; use \
                 `rloo`"
                    .into(),
            );
        }
        match (self.kind(class), class.relaxable) {
            (SurrogateKind::RelaxedCost, true) => {
                let relaxed = "discrete, cost differentiable in its relaxation: relaxed cost";
                Ok(match self.draws(class) {
                    None => relaxed.into(),
                    Some(draws) => format!("{relaxed}, or {draws} draws where that varies less"),
                })
            }
            (SurrogateKind::Sum, true) => Ok("discrete, cost differentiable in its relaxation: \
                relaxed cost plus network"
                .into()),
            (SurrogateKind::RelaxedCost | SurrogateKind::Sum, false) => {
                Err("its cost cannot be evaluated at a relaxed draw; \
                use the free-form surrogate"
                    .into())
            }
            (_, true) => Ok("discrete: free-form network".into()),
            (_, false) => Ok("discrete, cost a black box: free-form network".into()),
        }
    }

    fn time(&self, class: SiteClass) -> f64 {
        let evaluations = 1.0 + RELAXED * self.relaxed_evaluations(class) as f64;
        match self.kind(class) {
            SurrogateKind::RelaxedCost => evaluations,
            _ => evaluations + NETWORK,
        }
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        1 + self.relaxed_evaluations(class) + self.further_draws(class)
    }

    /// Evaluations beyond the first are the surrogate's, unless there are other draws. A quadratic form of several
    /// choices is known on average over all of them, not with the others as drawn.
    fn above_floor(
        &self,
        class: SiteClass,
        state: Option<&SiteState>,
    ) -> std::result::Result<(), String> {
        if let Some(draws) = self.draws(class) {
            return Err(format!(
                "it is that of {draws} draws where that varies less, and the floor is that of one"
            ));
        }
        let form = state.and_then(SiteState::quadratic);
        match form.is_some_and(Quadratic::has_pairs) {
            true => Err(
                "it knows what pairs of the site's choices cost on average, beside its surrogate"
                    .into(),
            ),
            false => Ok(()),
        }
    }

    fn coupling(&self) -> Coupling {
        self.coupling
    }

    fn further_noise(&self, class: SiteClass) -> usize {
        usize::from(self.corrects(class)) + self.further_draws(class)
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        let state = SiteState::holding(self.surrogate(task)?);
        let state = state.with_quadratic(self.quadratic(task));
        Ok(match self.kind(task.class) {
            // It used to have a network, too.
            SurrogateKind::RelaxedCost => state.without(task.parameter_name("network")),
            _ => state,
        })
    }

    fn surrogate_value(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Option<Tensor>> {
        let c = value_in_units(cost, state, |cost| {
            surrogate_at_z(task.problem, cost, state.surrogate())
        })?;
        let q = state.quadratic().map(|q| known_part(&task.problem, q));
        Ok(Some(match q {
            Some(q) => c + q?,
            None => c,
        }))
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        if self.corrects(task.class)
            && let Some((relaxed, rest)) = state.relaxed_and_rest()
        {
            relaxed.measure_in(state.unit());
            let rest = rest.as_ref().map(|rest| rest as &dyn Surrogate);
            return in_units(cost, state, |cost| match self.draws(task.class) {
                None => corrected(task.problem, cost, relaxed, rest),
                Some(_) => corrected_or_leave_one_out(task.problem, cost, relaxed),
            });
        }
        if self.kind(task.class) != SurrogateKind::FreeForm {
            return in_units(cost, state, |cost| {
                relax(task.problem, cost, state.surrogate())
            });
        }
        free_form(task.problem, cost, state)
    }
}
