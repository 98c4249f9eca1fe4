//! RELAX (Grathwohl, Choi, Wu, Roeder, Duvenaud 2018 and algorithm 2).

use super::class::{SiteClass, expect_relaxed};
use super::free_form::free_form;
use super::problem::{pull, push};
use super::residual::known_part;
use super::site::{Coupling, Estimator, NETWORK, RELAXED, SiteState, SiteTask, check_relaxed_cost};
use super::units::{in_units, value_in_units};
use super::{Cost, Estimate, Problem, corrected};
use crate::error::{Error, Result};
use crate::nn::Activation;
use crate::surrogate::{FreeForm, Quadratic, RelaxedCost, Sum, Surrogate, VarianceGradient};
use crate::tensor::{Device, Tensor};

/// The RELAX estimate (f(b) − c(z̃)) ∂log p(b | θ)/∂θ + ∂c(z)/∂θ − ∂c(z̃)/∂θ.
///
/// Unbiased for every surrogate c. With coupled noise z̃ = z, the direct dependence of c on θ
/// cancels, and what is left is (f(b) − c(z)) ∂log p(b | θ)/∂θ + κ ∂c(z)/∂z with
/// κ = 1 − ∂z̃/∂θ: one evaluation of the surrogate instead of two.
///
/// # Errors
/// The cost's own, or shapes that do not fit.
pub fn relax(problem: Problem<'_>, cost: &dyn Cost, surrogate: &dyn Surrogate) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let problem = Problem {
        theta: &theta,
        ..problem
    };
    match problem.noise.v.clone() {
        None => coupled(problem, cost, surrogate),
        Some(v) => independent(problem, &v, cost, surrogate),
    }
}

fn coupled(problem: Problem<'_>, cost: &dyn Cost, surrogate: &dyn Surrogate) -> Result<Estimate> {
    let Problem {
        relaxation,
        theta,
        noise,
        ..
    } = problem;
    let z = relaxation.relaxed(theta, &noise.u);
    let b = relaxation.hard(&z);
    let f = cost.drawn(&b)?;
    let relaxed = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let c = surrogate.linearize(&z, problem.surroundings(&relaxed))?;
    let score = relaxation.score(theta, &b);
    let kappa = relaxation.kappa(theta, &noise.u, &b);
    let pulled = relaxation.pull(theta, &kappa, &c.gradient);
    let fused = Tensor::fused([&f, &c.value, &score, &pulled], |[f, c, score, pulled]| {
        (f - c) * score + pulled
    });
    let gradient = match fused {
        Some(gradient) => gradient,
        None => problem.spread(&(&f - &c.value))? * &score + pulled,
    };

    let v = twice_mean(&gradient);
    let along = relaxation.push(theta, &kappa, &v);
    let weight = Tensor::pointwise([&v, &score], |[v, score]| v * score, |[v, score]| v * score)
        .sum_from(problem.plates);
    let variance_gradient = c.variance_gradient(&along, &weight)?;
    finish(f, gradient, variance_gradient, 1 + surrogate.evaluations())
}

fn independent(
    problem: Problem<'_>,
    v: &Tensor,
    cost: &dyn Cost,
    surrogate: &dyn Surrogate,
) -> Result<Estimate> {
    let Problem {
        relaxation,
        theta,
        noise,
        ..
    } = problem;
    let z = |theta: &Tensor| relaxation.relaxed(theta, &noise.u);
    let b = relaxation.hard(&z(theta));
    let z_tilde = |theta: &Tensor| relaxation.conditional(theta, v, &b);
    let f = cost.drawn(&b)?;
    let relaxed = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let around = problem.surroundings(&relaxed);
    let (at_z, at_z_tilde) = (
        surrogate.linearize(&z(theta), around)?,
        surrogate.linearize(&z_tilde(theta), around)?,
    );
    let score = relaxation.score(theta, &b);
    let gradient = problem.spread(&(&f - &at_z_tilde.value))? * &score
        + pull(&z, theta, &at_z.gradient)?
        - pull(&z_tilde, theta, &at_z_tilde.gradient)?;

    let v = twice_mean(&gradient);
    let weight = (&v * score).sum_from(problem.plates);
    let by_z = at_z.variance_gradient(&push(&z, theta, &v), &weight.zeros_like())?;
    let by_z_tilde = at_z_tilde.variance_gradient(&-push(&z_tilde, theta, &v), &weight)?;
    let pairs = by_z.into_iter().zip(by_z_tilde);
    let variance_gradient = pairs.map(|(a, b)| a + b).collect();
    finish(
        f,
        gradient,
        variance_gradient,
        1 + 2 * surrogate.evaluations(),
    )
}

/// c(z), a number a row.
pub(super) fn surrogate_at_z(
    problem: Problem<'_>,
    cost: &dyn Cost,
    surrogate: &dyn Surrogate,
) -> Result<Tensor> {
    let z = problem
        .relaxation
        .relaxed(&problem.theta.detach(), &problem.noise.u);
    let relaxed = |draw: &Tensor, temperature: &Tensor| cost.relaxed(draw, temperature);
    let c = surrogate.value(&z, problem.surroundings(&relaxed))?;
    Ok(c.check()?.detach())
}

/// The derivative of the mean square of a gradient estimate by the estimate.
pub(super) fn twice_mean(gradient: &Tensor) -> Tensor {
    let factor = 2.0 / gradient.len().max(1) as f32;
    Tensor::pointwise([gradient], |[g]| g * factor, |[g]| g * factor)
}

fn finish(
    cost: Tensor,
    gradient: Tensor,
    variance_gradient: VarianceGradient,
    evaluations: usize,
) -> Result<Estimate> {
    gradient.check()?;
    Ok(Estimate {
        cost,
        gradient,
        variance_gradient,
        evaluations,
    })
}

/// Which surrogate RELAX uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SurrogateKind {
    /// [`FreeForm`](Self::FreeForm) where a row has few values: up to 16 coins where all rows have the
    /// same parameters, or there is one, and fewer than 7 elsewhere. A network can learn the cost of so
    /// few values, and half as many evaluations buy more than the relaxed cost does.
    /// [`Sum`](Self::Sum) beyond, where the cost can be relaxed.
    #[default]
    Auto,
    /// A network on z. With coupled noise, and where a row has few numbers, it learns what a
    /// quadratic form of b leaves of the cost, whose expectation's gradient is known.
    FreeForm,
    /// The relaxed cost with scale and temperature, plus a network on z. With coupled noise the
    /// relaxed cost is [`corrected`](super::corrected()).
    Sum,
}

/// RELAX, with a surrogate trained online.
#[derive(Clone, Debug)]
pub struct Relax {
    /// The surrogate.
    pub surrogate: SurrogateKind,
    /// Sizes of the network's hidden layers; empty chooses by the size of the site.
    pub hidden: Vec<usize>,
    /// The network's activation.
    pub activation: Activation,
    /// How z̃ is drawn.
    pub coupling: Coupling,
    /// Temperature of the relaxed cost, with independent noise the first one, since it is trained
    /// there; `None` chooses by the size of the site.
    pub temperature: Option<f32>,
    /// First scale of the relaxed cost.
    pub eta: f32,
}

impl Default for Relax {
    /// Coupled noise, and by the size of the site: the surrogate's kind, the network's width, and
    /// the temperature, ¼ or for n choices a row n^(−1/3) if that is less; with independent noise ½
    /// or 1/√n. The relaxed cost's distance from f(b) grows with the temperature and with each choice,
    /// the variance of its slope falls with the temperature, so that many choices want a low one.
    /// `docs/relax-default.md` has the measurements behind each default.
    fn default() -> Self {
        Self {
            surrogate: SurrogateKind::Auto,
            hidden: Vec::new(),
            activation: Activation::Relu,
            coupling: Coupling::Coupled,
            temperature: None,
            eta: 1.0,
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

    /// RELAX with the relaxed cost plus a network, and nowhere with the network alone.
    pub fn sum() -> Self {
        Self {
            surrogate: SurrogateKind::Sum,
            ..Self::default()
        }
    }

    /// The kind that suits a site.
    pub(super) fn kind(&self, class: SiteClass) -> SurrogateKind {
        match self.surrogate {
            SurrogateKind::Auto => {
                let some = SiteClass::SOME_VALUES;
                let few = match class.rows_differ {
                    true => class.values < *some.start(),
                    false => class.values <= *some.end(),
                };
                match class.relaxable && !few {
                    true => SurrogateKind::Sum,
                    false => SurrogateKind::FreeForm,
                }
            }
            chosen => chosen,
        }
    }

    /// Whether a site's relaxed cost is corrected for each choice.
    fn corrects(&self, class: SiteClass) -> bool {
        self.kind(class) == SurrogateKind::Sum && self.coupling == Coupling::Coupled
    }

    /// The quadratic form that a network alone learns beside, with coupled noise, where a row has
    /// few numbers.
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
                Quadratic::new(events, numbers / events, of_counts)
            })?,
        }
    }

    /// The network for a site with `latent` numbers a row and as many parameters, which also sees
    /// `context` further numbers.
    pub(super) fn network<P>(
        &self,
        task: &SiteTask<'_, P>,
        latent: usize,
        context: usize,
        device: &Device,
    ) -> Result<FreeForm> {
        const WIDEST: usize = 200;
        const NARROWEST: usize = 10;
        if self.hidden.contains(&0) {
            let problem = format!("are {:?}; each needs at least one unit", self.hidden);
            return Err(Error::Config {
                setting: "hidden layers",
                problem,
            });
        }
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

    pub(super) fn surrogate(&self, task: &SiteTask<'_>) -> Result<Box<dyn Surrogate>> {
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
        let numbers = |x: &Tensor| x.shape().iter().skip(plates).product::<usize>();
        let latent = numbers(theta);
        let device = theta.device();
        let network = self.network(task, latent, context.map_or(0, numbers), &device)?;
        if self.kind(task.class) == SurrogateKind::FreeForm {
            return Ok(Box::new(network));
        }
        let relaxed = RelaxedCost::new(self.eta, temperature, &device);
        Ok(Box::new(Sum(
            relaxed.named(&task.parameter_name("relaxed_cost")),
            network,
        )))
    }
}

impl Estimator for Relax {
    fn name(&self) -> &'static str {
        match self.surrogate {
            SurrogateKind::Auto => "relax",
            SurrogateKind::FreeForm => "relax-free-form",
            SurrogateKind::Sum => "relax-sum",
        }
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        expect_relaxed(class, "RELAX is for discrete sites")?;
        match (self.kind(class), class.relaxable) {
            (SurrogateKind::Sum, true) => Ok("discrete, cost differentiable in its relaxation: \
                relaxed cost plus network"
                .into()),
            (SurrogateKind::Sum, false) => Err("its cost cannot be evaluated at a relaxed draw; \
                use the free-form surrogate"
                .into()),
            (_, true) => Ok("discrete: free-form network".into()),
            (_, false) => Ok("discrete, cost a black box: free-form network".into()),
        }
    }

    fn time(&self, class: SiteClass) -> f64 {
        match self.evaluations(class) - 1 {
            0 => 1.0 + NETWORK,
            relaxed => 1.0 + RELAXED * relaxed as f64,
        }
    }

    fn evaluations(&self, class: SiteClass) -> usize {
        match (self.kind(class), self.coupling) {
            (SurrogateKind::FreeForm, _) => 1,
            (_, Coupling::Coupled) => 2,
            (_, Coupling::Independent) => 3,
        }
    }

    fn coupling(&self) -> Coupling {
        self.coupling
    }

    fn further_noise(&self, class: SiteClass) -> usize {
        usize::from(self.corrects(class))
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        let state = SiteState::with_surrogate(self.surrogate(task)?);
        Ok(state.with_quadratic(self.quadratic(task)))
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
            && let Some((relaxed, network)) = state.relaxed_and_rest()
        {
            return in_units(cost, state, |cost| {
                corrected(task.problem, cost, relaxed, &network)
            });
        }
        if self.kind(task.class) == SurrogateKind::Sum {
            return in_units(cost, state, |cost| {
                relax(task.problem, cost, state.surrogate())
            });
        }
        free_form(task.problem, cost, state)
    }
}
