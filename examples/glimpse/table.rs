//! RELAX with a surrogate that says what each place costs: an estimator of one's own for the library.
//!
//! c(z) = q(h) · H(z), with q a network of what stands before the choice: the coarse view and the label. The
//! two terms that move z and z̃ with θ are those of a function that is constant but for jumps; their
//! expectation is known, ∂/∂θ Σ p_k q_k, and stands for them. What is left is
//! ĝ = (f − q_b) ∂ln p(b) + ∂/∂θ Σ p_k q_k, unbiased for every q. The network learns from past draws by least
//! squares.

use relax_runtime::dist::Form;
use relax_runtime::estimator::{
    Cost, Estimate, Estimator, Problem, SiteClass, SiteState, SiteTask,
};
use relax_runtime::prelude::*;
use relax_runtime::tensor::grad_parameters;

/// The estimator, for rows of one choice each at a site with a context.
#[derive(Debug)]
pub(crate) struct RelaxTable {
    /// From the context to a cost for each value.
    network: Mlp,
}

impl RelaxTable {
    /// A network with one hidden layer that starts at zero.
    ///
    /// # Errors
    /// If no memory could hold it.
    pub(crate) fn new(context: usize, hidden: usize, values: usize, seed: u64) -> Result<Self> {
        let mut stream = Key::new(seed).stream("table");
        let sizes = [context, hidden, values];
        let network = Mlp::new(&sizes, Activation::Relu, &mut stream, &Device::cpu())?;
        for parameter in network.parameters().iter().rev().take(2) {
            parameter.set(parameter.get().zeros_like().detach())?;
        }
        Ok(Self {
            network: network.named("table"),
        })
    }

    /// q, `[rows, values]`.
    fn costs(&self, problem: Problem<'_>) -> Result<Tensor> {
        match problem.context {
            Some(context) => Ok(self.network.forward(context)),
            None => Err(Error::Estimator(
                "a table of costs needs a context; give the site one".into(),
            )),
        }
    }
}

/// The draw as one-hot rows.
fn drawn(problem: Problem<'_>) -> Tensor {
    let z = problem
        .relaxation
        .relaxed(&problem.theta.detach(), &problem.noise.u);
    problem.relaxation.hard(&z)
}

impl Estimator for RelaxTable {
    fn name(&self) -> &'static str {
        "relax-table"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        match class.draws.is_discrete() {
            true => Ok("discrete: a network of the context says what each value costs".into()),
            false => Err("a table needs discrete values; use `lax`".into()),
        }
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        1
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        match task.problem.relaxation.form() {
            Form::Categories => Ok(SiteState::with_parameters(self.network.parameters())),
            _ => Err(Error::Estimator(
                "a table of costs is for one-hot choices; use `relax`".into(),
            )),
        }
    }

    fn surrogate_value(
        &self,
        task: &SiteTask<'_>,
        _: &dyn Cost,
        _: &SiteState,
    ) -> Result<Option<Tensor>> {
        let q = self.costs(task.problem)?.detach();
        Ok(Some((q * drawn(task.problem)).sum(-1)))
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        let problem = task.problem;
        let b = drawn(problem);
        let f = cost.drawn(&b)?.detach();
        let q = self.costs(problem)?;
        let of_b = (&q * &b).sum(-1);
        let squares = (&of_b - &f).square().mean_all();

        let (p, q) = (problem.theta.detach().softmax(-1), q.detach());
        let mean = (&p * &q).sum_keepdim(-1);
        let rest = (&f - of_b.detach()).unsqueeze(-1);
        let gradient = rest * (&b - &p) + &p * (q - mean);
        gradient.check()?;

        let found = grad_parameters(&[(&squares, None)])?;
        let by_parameter = self.network.parameters().into_iter().map(|parameter| {
            let own = found.iter().find(|(p, _)| p.key() == parameter.key());
            own.map_or_else(|| parameter.get().zeros_like().detach(), |(_, g)| g.clone())
        });
        let learned: Vec<Tensor> = by_parameter.collect();
        Ok(Estimate {
            cost: f,
            gradient,
            variance_gradient: learned.into(),
            evaluations: 1,
        })
    }
}
