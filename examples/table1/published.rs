//! REBAR and RELAX as they were published, in the library's terms: an estimator of the program's own.
//!
//! The surrogate is c(z) = η f(σ(z/λ)), for RELAX + r(z), a network of four layers of 200 ReLU units; all
//! of it follows Adam with β₂ = 0.99999, at the model's rate, and 10⁻³ of half the squares of the network's
//! weights are added to the variance that it minimises. No moving average is taken off the cost, which the
//! library's own estimators work without, too.
//!
//! The paper's algorithm draws z̃ given b with noise of its own, "independent". The public code
//! (github.com/duvenaud/relax) makes z̃ from the noise of z, so that numerically z̃ = z, "coupled": its
//! figures in table 1 are from that.
//!
//! Different here: η scales the relaxed cost alone, the code's scales the network, too; the network's last
//! layer starts at 0; and it sees the latents' logits beside the image.

use relax_runtime::estimator::{
    Cost, Coupling, Estimate, Estimator, Problem, SiteClass, SiteState, SiteTask, relax,
};
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{FreeForm, RelaxedCost, Sum, Surrogate, VarianceGradient};

/// Hidden layers of the surrogate's network.
const HIDDEN: [usize; 4] = [200; 4];
/// Weight decay of the network, where the variance is that of the gradient of a batch's mean, summed over
/// latents.
const DECAY: f32 = 1e-3;

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
    /// What weight decay adds to the gradient of the variance. The library's variance is of a row's gradient,
    /// and a mean over latents: the square of the batch, over the latents, as large.
    fn decay(problem: &Problem<'_>, parameter: &Parameter) -> Tensor {
        let rows = problem.theta.rows() as f32;
        let latents = problem.theta.len() as f32 / rows;
        let weights = parameter.get();
        match weights.shape().len() {
            2 => weights.detach() * (DECAY * rows * rows / latents),
            _ => weights.zeros_like(),
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
        let decayed = learned.into_iter().zip(state.parameters());
        let decayed = decayed.map(|(g, parameter)| g + Self::decay(&task.problem, parameter));
        Ok(Estimate {
            variance_gradient: decayed.collect::<VarianceGradient>(),
            ..estimate
        })
    }
}
