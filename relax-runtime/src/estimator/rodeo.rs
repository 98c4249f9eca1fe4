//! RODEO: control variates from discrete Stein operators (Shi, Zhou, Hwang, Titsias, Mackey 2022).

use super::class::{DrawKind, SiteClass};
use super::relax::twice_mean;
use super::rloo::{at_least_two, centred_scores, costs_and_slopes};
use super::site::{Estimator, SiteTask, WITH_SLOPE};
use super::state::SiteState;
use super::stein::{Around, SteinNetwork};
use super::{Cost, Estimate, Problem};
use crate::error::{Error, Result};
use crate::tensor::{Tensor, grad};

/// The leave-one-out estimate over k independent draws with two control variates whose
/// expectations a Stein operator makes zero: 1/k Σᵢ [(fᵢ − mean over j ≠ i of fⱼ + α (A h)(bⱼ))
/// ∂log p(bᵢ | θ)/∂θ + β (A h̃)(bᵢ)] (Shi et al. 2022, section 4).
///
/// A is the generator of a Gibbs sampler of a row's D coins: (A h)(b) is the mean over d of
/// p(flip d) (h(b with d flipped) − h(b)). h is the first output of `network`, h̃ the second times
/// ∂log p(b | θ)/∂θ; both look at b through the cost's expansions fⱼ + f′ⱼᵀ(b − bⱼ) around the other
/// draws, and take the mean over them, as in the authors' code for several draws; with more than nine
/// draws, over the eight that follow. So no neighbor of a draw costs an evaluation.
///
/// For blocks of coins. The draws are those of [`rloo`](super::rloo()); each needs one evaluation,
/// for the cost and its slope. `variance_gradient` is for the network's parameters. [`Rodeo`] is the
/// estimator for sites of models.
///
/// # Errors
/// If the cost fails, shapes do not fit, or there is no further noise.
pub fn rodeo(problem: Problem<'_>, cost: &dyn Cost, network: &SteinNetwork) -> Result<Estimate> {
    let theta = problem.constant_theta()?;
    let draws = problem.draws();
    let (mut costs, slopes) = costs_and_slopes(cost, &draws)?;
    let rows: usize = theta.shape().iter().take(problem.plates).product();
    let width = theta.len() / rows.max(1);
    let flat = |x: &Tensor| x.reshape([rows, width]);
    let neighbours = Neighbours {
        draws: draws.iter().map(flat).collect(),
        slopes: slopes.iter().map(flat).collect(),
        networks: costs
            .iter()
            .map(|f| network.around(&f.reshape([rows, 1])))
            .collect::<Result<_>>()?,
        mean: problem.mean(&theta).reshape([rows, width]),
    };
    let (alpha, beta) = (network.alpha.get(), network.beta.get());
    let k = draws.len() as f32;
    let (mut baselines, mut direct) = (Vec::new(), theta.zeros_like().reshape([rows, width]));
    let mut asked = Vec::new();
    for (i, f) in costs.iter().enumerate() {
        let (stein, by_theta) = neighbours.stein(i, &mut asked)?;
        baselines.push(f + stein.reshape(f.shape()) * &alpha);
        direct = direct + by_theta;
    }
    // Each draw's own signal is the cost, the others' baselines are costs with control variates.
    let own: Vec<Tensor> = costs.iter().zip(&baselines).map(|(f, c)| f - c).collect();
    let gradient = centred_scores(problem, &draws, &baselines)?
        + scores(problem, &draws, &own)? / k
        + direct.reshape(theta.shape()) * (&beta / k);
    gradient.check()?;
    let value = gradient.detach();
    let mut leaves: Vec<&Tensor> = asked.iter().flat_map(|asked| &asked.outputs).collect();
    leaves.extend([&alpha, &beta]);
    let cotangents = grad(&[(&gradient, Some(&twice_mean(&value)))], &leaves)?;
    let mut variance_gradient: Vec<Tensor> = Vec::new();
    for (asked, cotangents) in asked.iter().zip(cotangents.chunks_exact(2)) {
        let around = &neighbours.networks[asked.center];
        let by_network = around.pull(&asked.changes, [&cotangents[0], &cotangents[1]])?;
        variance_gradient = if variance_gradient.is_empty() {
            by_network
        } else {
            let sums = variance_gradient.iter().zip(&by_network);
            sums.map(|(sum, more)| sum + more).collect()
        };
    }
    variance_gradient.extend_from_slice(&cotangents[2 * asked.len()..]);
    Ok(Estimate {
        cost: costs.swap_remove(0),
        gradient: value,
        variance_gradient: variance_gradient.into(),
        evaluations: draws.len(),
    })
}

/// Σᵢ wᵢ ∂log p(bᵢ | θ)/∂θ for weights wᵢ, one number per row each.
fn scores(problem: Problem<'_>, draws: &[Tensor], weights: &[Tensor]) -> Result<Tensor> {
    let mut sum = problem.theta.zeros_like().detach();
    for (b, w) in draws.iter().zip(weights) {
        sum = sum + problem.spread(w)? * problem.relaxation.score(problem.theta, b);
    }
    Ok(sum)
}

/// The draws, each `[rows, coins]`, with what is known about the cost there.
struct Neighbours {
    draws: Vec<Tensor>,
    slopes: Vec<Tensor>,
    /// The network around each draw.
    networks: Vec<Around>,
    /// p of each coin.
    mean: Tensor,
}

/// The draws around which draw `i` of `k` is expanded: all others, or of many only those that follow,
/// so that work grows with the number of draws and not with its square.
fn centers(i: usize, k: usize) -> impl Iterator<Item = usize> {
    let others = (0..k).filter(move |&j| j != i);
    others.filter(move |j| (j + k - i) % k <= MOST_CENTERS)
}

/// Maximum number of others around which a draw is expanded: further ones add little.
const MOST_CENTERS: usize = 8;

/// A query of the network, and its answer.
struct Asked {
    /// The draw whose expansion it is.
    center: usize,
    changes: Tensor,
    /// Leaves of the graph.
    outputs: [Tensor; 2],
}

impl Neighbours {
    /// (A h)(bᵢ), `[rows]`, and (A h̃)(bᵢ), `[rows, coins]`.
    fn stein(&self, i: usize, asked: &mut Vec<Asked>) -> Result<(Tensor, Tensor)> {
        let (b, p) = (&self.draws[i], &self.mean);
        let turn = 1.0 - b * 2.0;
        let mut outputs: Option<[Tensor; 2]> = None;
        for j in centers(i, self.draws.len()) {
            let slope = &self.slopes[j];
            // By how much the expansion around draw j changes on the way to bᵢ, and to its
            // neighbors.
            let here = (slope * (b - &self.draws[j])).sum_keepdim(1);
            let changes = Tensor::concat(&[&(&here + slope * &turn), &here], 1);
            let [h, h_tilde] = self.networks[j]
                .value(&changes)?
                .map(|output| output.leaf());
            asked.push(Asked {
                center: j,
                changes,
                outputs: [h.clone(), h_tilde.clone()],
            });
            outputs = Some(match outputs {
                None => [h, h_tilde],
                Some([a, b]) => [a + h, b + h_tilde],
            });
        }
        let Some([h, h_tilde]) = outputs else {
            return Ok((b.zeros_like().sum(1), b.zeros_like()));
        };
        let coins = b.shape()[1];
        let split = |x: &Tensor| (x.slice(1, 0..coins), x.slice(1, coins..coins + 1));
        let count = centers(i, self.draws.len()).count() as f32;
        let (h_next, h_here) = split(&(h / count));
        let (t_next, t_here) = split(&(h_tilde / count));
        // p(flip d), over the number of coins.
        let flip = (p * &turn + b) / coins as f32;
        let stein = (&flip * (h_next - h_here)).sum(1);
        let all = (&flip * (&t_next - t_here)).sum_keepdim(1);
        Ok((stein, all * (b - p) + flip * turn * t_next))
    }
}

/// RODEO, with its network trained online: for Bernoulli sites.
///
/// ```
/// use relax_runtime::estimator::Rodeo;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn switches() {
///     let logits = param!([0.0, 0.0]);
///     let on = sample!(Bernoulli(logits = &logits));
///     cost!((on * Tensor::from_slice(&[1.0, -1.0])).sum(0));
/// }
///
/// # fn main() -> Result<()> {
/// let trained = Minimize::new(&switches()).steps(100).estimator(Rodeo::new(4)?).run()?;
/// assert_eq!(trained.plan().entries[0].evaluations, 4);
/// let logits = trained.param("logits")?;
/// assert!(logits[0] < 0.0 && logits[1] > 0.0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Rodeo {
    draws: usize,
    hidden: usize,
}

impl Default for Rodeo {
    fn default() -> Self {
        Self {
            draws: 3,
            hidden: 100,
        }
    }
}

impl Rodeo {
    /// RODEO with the given number of draws, each of which takes an evaluation of the cost.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub fn new(draws: usize) -> Result<Self> {
        Ok(Self {
            draws: at_least_two(draws)?,
            ..Self::default()
        })
    }
}

impl Estimator for Rodeo {
    fn name(&self) -> &'static str {
        "rodeo"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        if class.draws == DrawKind::Coins && class.relaxable {
            return Ok(format!(
                "coins, cost differentiable at the draw: {} draws with Stein control variates",
                self.draws
            ));
        }
        Err(
            "RODEO is for Bernoulli sites whose cost can be differentiated by the draw; use \
             `rloo` or `relax`"
                .into(),
        )
    }

    fn time(&self, _: SiteClass) -> f64 {
        /// Time of the network's work for one draw around another one.
        const PAIR: f64 = 1.2;
        let pairs = self.draws * (self.draws - 1).min(MOST_CENTERS);
        1.0 + WITH_SLOPE * (self.draws - 1) as f64 + PAIR * pairs as f64
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        self.draws
    }

    fn further_noise(&self, _: SiteClass) -> usize {
        self.draws - 1
    }

    fn needs_slope(&self) -> bool {
        true
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        let device = task.problem.theta.device();
        let network = SteinNetwork::new(self.hidden, &mut task.stream("surrogate"), &device)?;
        let network = network.named(&task.parameter_name("stein"));
        Ok(SiteState::with_parameters(network.parameters()))
    }

    fn estimate(
        &self,
        task: &SiteTask<'_>,
        cost: &dyn Cost,
        state: &SiteState,
    ) -> Result<Estimate> {
        match SteinNetwork::of(state.parameters()) {
            Some(network) => rodeo(task.problem, cost, &network),
            None => Err(Error::Autodiff("RODEO has lost its network".into())),
        }
    }
}
