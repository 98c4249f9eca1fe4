//! RELAX with a surrogate that says what each place costs: an estimator of one's own for the library.
//!
//! c(z) = q · H(z), where q_k is a guess of the cost at place k, made of the pixels there and the label. The two
//! terms that move z and z̃ with θ are those of a function that is constant but for jumps; their
//! expectation is known, ∂/∂θ Σ p_k q_k, and stands for them. What is left is
//! ĝ = (f − q_b) ∂ln p(b) + ∂/∂θ Σ p_k q_k, unbiased for every q. The guesses learn from past draws by least
//! squares. They are a network's, which takes about as long for all places as the cost of this program would: what they
//! save are evaluations of the cost, which elsewhere are dear.

use std::cell::RefCell;
use std::rc::Rc;

use relax_runtime::dist::Form;
use relax_runtime::estimator::{
    Cost, Estimate, Estimator, Problem, SiteClass, SiteState, SiteTask,
};
use relax_runtime::prelude::*;
use relax_runtime::tensor::grad_parameters;

use crate::scenes::{CLASSES, PATCH, PLACES, Scenes};

const PIXELS: usize = PATCH * PATCH;

/// The scenes of the step, which the surrogate looks at: no draw comes before them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sight(Rc<RefCell<Option<(Tensor, Tensor)>>>);

impl Sight {
    /// Turns to the scenes of the next step.
    ///
    /// # Errors
    /// If no memory could hold all their patches.
    pub(crate) fn turn_to(&self, scenes: &Scenes) -> Result<()> {
        let patches = scenes.all_patches()?;
        let patches = patches.reshape([scenes.count() * PLACES, PIXELS]);
        *self.0.borrow_mut() = Some((patches, scenes.classes.clone()));
        Ok(())
    }

    /// All patches `[n · PLACES, PATCH²]`, and the labels as one-hot rows.
    fn seen(&self) -> Result<(Tensor, Tensor)> {
        let nothing = || Error::Estimator("the surrogate has no scenes; turn it to some".into());
        self.0.borrow().clone().ok_or_else(nothing)
    }
}

/// The estimator, for rows of one choice each.
#[derive(Debug)]
pub(crate) struct RelaxTable {
    /// From a patch to the cost for each label.
    network: Mlp,
    sight: Sight,
}

impl RelaxTable {
    /// A network with one hidden layer that starts at zero.
    ///
    /// # Errors
    /// If no memory could hold it.
    pub(crate) fn new(hidden: usize, sight: &Sight, seed: u64) -> Result<Self> {
        let mut stream = Key::new(seed).stream("table");
        let sizes = [PIXELS, hidden, CLASSES];
        let network = Mlp::new(&sizes, Activation::Relu, &mut stream, &Device::cpu())?;
        for parameter in network.parameters().iter().rev().take(2) {
            parameter.set(parameter.get().zeros_like().detach())?;
        }
        Ok(Self {
            network: network.named("table"),
            sight: sight.clone(),
        })
    }

    /// q, `[rows, PLACES]`, a constant.
    fn costs(&self) -> Result<Tensor> {
        let (patches, classes) = self.sight.seen()?;
        let rows = classes.rows();
        let by_label = self.network.forward(&patches).detach();
        let by_label = by_label.reshape([rows, PLACES, CLASSES]);
        Ok((by_label * classes.unsqueeze(1)).sum(-1))
    }

    /// q at the places drawn, `[rows]`, differentiable in the weights.
    fn cost_of(&self, b: &Tensor) -> Result<Tensor> {
        let (patches, classes) = self.sight.seen()?;
        let places = b.argmax(-1).peek()?;
        let rows = places.into_iter().enumerate();
        let at: Vec<usize> = rows.map(|(row, k)| row * PLACES + k as usize).collect();
        let by_label = self.network.forward(&patches.rows_at(&at));
        Ok((by_label * classes).sum(-1))
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
            true => Ok("discrete: a network of the pixels says what each place costs".into()),
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
        Ok(Some(self.cost_of(&drawn(task.problem))?.detach()))
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        let problem = task.problem;
        let b = drawn(problem);
        let f = cost.drawn(&b)?.detach();
        let (q, of_b) = (self.costs()?, self.cost_of(&b)?);
        let p = problem.theta.detach().softmax(-1);
        let mean = (&p * &q).sum_keepdim(-1);
        let rest = (&f - of_b.detach()).unsqueeze(-1);
        let gradient = rest * (&b - &p) + &p * (q - mean);
        gradient.check()?;

        let squares = (of_b - &f).square().mean_all();
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
