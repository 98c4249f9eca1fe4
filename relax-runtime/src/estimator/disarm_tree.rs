//! DisARM for categorical choices, made as decisions down a tree (Dong, Mnih, Tucker 2021).

use super::class::{DrawKind, SiteClass};
use super::problem::{pull, spread};
use super::site::{Estimator, SiteTask};
use super::state::SiteState;
use super::{Cost, Estimate, Problem};
use crate::dist::noise;
use crate::error::{Error, Result};
use crate::surrogate::VarianceGradient;
use crate::tensor::Tensor;

/// The DisARM estimate ½ (f(b) − f(b′)) (d − d′) σ(|ℓ|) for each decision d with log-odds ℓ(θ) of a
/// balanced tree over the categories, brought to θ (Dong et al. 2021). The antithetic
/// draw b′ follows the opposite decisions d′; decisions that neither draw reaches are left out.
/// For categorical and one-hot choices; two evaluations. [`DisarmTree`] is the estimator for sites of
/// models.
///
/// The draw from the noise u fixes the decisions on its path; their noise given that, and the noise of
/// the other decisions, is the further noise, one tensor.
///
/// # Errors
/// If the cost fails, shapes do not fit, the choices are of another kind, or there is no further noise.
pub fn disarm_tree(problem: Problem<'_>, cost: &dyn Cost) -> Result<Estimate> {
    problem.expect_categories("disarm_tree")?;
    let (relaxation, theta) = (problem.relaxation, problem.constant_theta()?);
    let [v, ..] = &problem.noise.further[..] else {
        return Err(Error::Config {
            setting: "draws",
            problem: "the antithetic draw needs further noise".into(),
        });
    };
    let b = relaxation.hard(&relaxation.relaxed(&theta, &problem.noise.u));
    let categories = theta.check()?.shape().last().copied().unwrap_or(0);
    let mut walk = Walk {
        b: &b,
        v: &noise::uniform(v),
        log_odds: log_odds(&theta, categories),
        steps: Vec::new(),
        leaves: Vec::new(),
    };
    walk.visit(0, categories, b.sum(-1));
    let antithetic = stack(&walk.leaves);
    let f = cost.drawn(&b)?;
    let mut gradient = theta.zeros_like();
    if !walk.steps.is_empty() {
        let difference = (&f - cost.hard(antithetic.check()?)?) * 0.5;
        let cotangent = stack(&walk.steps) * spread(&difference, theta.rank())?;
        let by_node = |theta: &Tensor| stack(&log_odds(theta, categories));
        gradient = pull(&by_node, &theta, &cotangent)?;
    }
    gradient.check()?;
    Ok(Estimate {
        cost: f,
        gradient,
        variance_gradient: VarianceGradient::default(),
        evaluations: 2,
    })
}

fn stack(parts: &[Tensor]) -> Tensor {
    Tensor::stack(&parts.iter().collect::<Vec<_>>(), -1)
}

/// The log-odds of the right half against the left at each node, in preorder.
fn log_odds(theta: &Tensor, categories: usize) -> Vec<Tensor> {
    let mut nodes = Vec::new();
    let mut ahead = vec![(0, categories)];
    while let Some((low, high)) = ahead.pop() {
        if high - low < 2 {
            continue;
        }
        let middle = usize::midpoint(low, high);
        let side = |range| theta.slice(-1, range).logsumexp(-1);
        nodes.push(side(middle..high) - side(low..middle));
        ahead.extend([(middle, high), (low, middle)]);
    }
    nodes
}

/// A walk over the nodes in preorder.
struct Walk<'a> {
    b: &'a Tensor,
    v: &'a Tensor,
    log_odds: Vec<Tensor>,
    /// (d − d′) σ(|ℓ|) of each node.
    steps: Vec<Tensor>,
    /// Whether the antithetic draw reaches each category.
    leaves: Vec<Tensor>,
}

impl Walk<'_> {
    /// Visits the node over a range of categories; `reached` says where the antithetic draw reaches it.
    fn visit(&mut self, low: usize, high: usize, reached: Tensor) {
        if high - low < 2 {
            self.leaves.push(reached);
            return;
        }
        let node = self.steps.len();
        let (log_odds, v) = (&self.log_odds[node], self.v.index(-1, node));
        let middle = usize::midpoint(low, high);
        let (left, right) = ((-log_odds).sigmoid(), log_odds.sigmoid());
        let drawn = |range| self.b.slice(-1, range).sum(-1);
        let (here, to_right) = (drawn(low..high), drawn(middle..high));
        // The decision is whether u > left; on the path of b it is known, and u is uniform given it.
        let given = Tensor::select_where(&to_right, &(1.0 - &v * &right), &(&v * &left));
        let u = Tensor::select_where(&here, &given, &v);
        let decision = Tensor::select_where(&here, &to_right, &u.gt(&left));
        let opposite = u.lt(&right);
        let met = here.maximum(&reached);
        let step = (decision - &opposite) * log_odds.abs().sigmoid() * met;
        self.steps.push(step);
        self.visit(low, middle, &reached * (1.0 - &opposite));
        self.visit(middle, high, reached * opposite);
    }
}

/// The DisARM-Tree estimator, for categorical sites.
///
/// ```
/// use relax_runtime::estimator::DisarmTree;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn choice() {
///     let logits = param!([0.0, 0.0, 0.0]);
///     let which = sample!(OneHotCategorical(logits = &logits));
///     cost!((which * Tensor::from_slice(&[2.0, 0.0, 1.0])).sum(0));
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&choice()).steps(200).estimator(DisarmTree).run()?;
/// assert_eq!(trained.plan().entries[0].evaluations, 2);
/// // The second costs least.
/// let logits = trained.param("logits")?;
/// assert!(logits[1] > logits[0] && logits[1] > logits[2]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct DisarmTree;

impl Estimator for DisarmTree {
    fn name(&self) -> &'static str {
        "disarm-tree"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        let instead = match class.draws {
            DrawKind::Categories => {
                return Ok("categorical: an antithetic pair of walks down a tree".into());
            }
            DrawKind::Coins => "disarm",
            DrawKind::Pathwise => "pathwise",
            _ => "rloo",
        };
        Err(format!(
            "DisARM-Tree is for categorical sites; use `{instead}`"
        ))
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        2
    }

    fn further_noise(&self, _: SiteClass) -> usize {
        1
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        disarm_tree(task.problem, cost)
    }
}
