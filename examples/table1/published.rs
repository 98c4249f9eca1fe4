//! REBAR and RELAX as they were published, in the library's terms: an estimator of the program's own.
//!
//! The surrogate is c(z) = η f(σ(z/λ)), for RELAX + r(z), a network of four layers of 200 ReLU units; all
//! of it follows Adam with β₂ = 0.99999, at the model's rate, and 10⁻³ of half the squares of the network's
//! weights and biases are added to the variance that it minimises. No moving average is taken off the cost.
//!
//! The paper's algorithm draws z̃ given b with noise of its own, "independent". The public code
//! (github.com/duvenaud/relax) makes z̃ from the noise of z, so that numerically z̃ = z, "coupled": its
//! figures in table 1 are from that.
//!
//! What differs from that code:
//!
//! * η scales the relaxed cost alone; the code's scales the network, too.
//! * The network's last layer starts at 0, and the network sees the latents' logits beside the image.
//! * With two layers of latents, the surrogate of the lower one relaxes the upper one at its own λ; the code, at
//!   the upper one's, which it trains for both.
//! * The code adds the derivative of ln q(b | x) at fixed b, whose expectation is 0; the library leaves it out.
//! * Adam's ε = 10⁻⁸ is added after the correction of the second moment for its start at 0; in the code, before.

use relax_runtime::estimator::{
    Cost, Coupling, Estimate, Estimator, Problem, SiteClass, SiteState, SiteTask, relax,
};
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Sum, Surrogate, VarianceGradient};

/// Hidden layers of the surrogate's network.
const HIDDEN: [usize; 4] = [200; 4];
/// Decay of the network, where the variance is the mean over rows and latents of the squared gradient of a batch's
/// mean.
pub(crate) const DECAY: f32 = 1e-3;

/// REBAR or RELAX.
#[derive(Clone, Debug)]
pub(crate) struct Published {
    pub(crate) name: &'static str,
    pub(crate) coupling: Coupling,
    /// Whether the surrogate has a network.
    pub(crate) network: bool,
    /// Adam of the surrogate.
    pub(crate) adam: Adam,
}

impl Published {
    /// What decay adds to the gradient of the variance. The library's variance is of a row's gradient: the square of
    /// the batch times as large. The first two parameters are η and ln λ, which do not decay.
    fn decay(problem: &Problem<'_>, place: usize, parameter: &Parameter) -> Tensor {
        const OF_RELAXED_COST: usize = 2;
        let rows = problem.theta.rows() as f32;
        let value = parameter.get().detach();
        match place < OF_RELAXED_COST {
            true => value.zeros_like(),
            false => value * (DECAY * rows * rows),
        }
    }
}

impl Estimator for Published {
    fn name(&self) -> &'static str {
        self.name
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        match class.relaxable {
            true => Ok("discrete, cost differentiable in its relaxation: as published".into()),
            false => Err("its cost cannot be evaluated at a relaxed draw; use `relax`".into()),
        }
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        match self.coupling {
            Coupling::Coupled => 2,
            Coupling::Independent => 3,
        }
    }

    fn centred(&self) -> bool {
        false
    }

    fn coupling(&self) -> Coupling {
        self.coupling
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        const ETA: f32 = 1.0;
        const TEMPERATURE: f32 = 0.5;
        let Problem {
            theta,
            context,
            plates,
            ..
        } = task.problem;
        let device = theta.device();
        let name = |part: &str| format!("{}/published/{part}", task.name);
        let relaxed = RelaxedCost::new(ETA, TEMPERATURE, &device).named(&name("relaxed_cost"));
        let surrogate: Box<dyn Surrogate> = match self.network {
            false => Box::new(relaxed),
            true => {
                let numbers = |x: &Tensor| x.shape().iter().skip(plates).product::<usize>();
                let network = FreeForm::new(
                    numbers(theta),
                    context.map_or(0, numbers),
                    &HIDDEN,
                    Activation::Relu,
                    &mut Key::new(task.seed).stream(&name("network")),
                    &device,
                )?;
                Box::new(Sum(relaxed, network.named(&name("network"))))
            }
        };
        SiteState::with_surrogate(surrogate).optimized_by(self.adam)
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        let estimate = relax(task.problem, cost, state.surrogate())?;
        let learned = estimate.variance_gradient.tensors();
        let parameters = state.parameters().iter().enumerate();
        let decayed = learned.into_iter().zip(parameters);
        let decayed =
            decayed.map(|(g, (place, parameter))| g + Self::decay(&task.problem, place, parameter));
        Ok(Estimate {
            variance_gradient: decayed.collect::<VarianceGradient>(),
            ..estimate
        })
    }
}
