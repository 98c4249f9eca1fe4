//! RODEO: control variates from discrete Stein operators (Shi, Zhou, Hwang, Titsias, Mackey 2022).

use super::relax::twice_mean;
use super::rloo::{centred_scores, costs_and_slopes, too_few};
use super::site::{Estimator, SiteClass, SiteState, SiteTask};
use super::{Cost, Estimate, Problem};
use crate::error::{Error, Result};
use crate::nn::Linear;
use crate::random::Stream;
use crate::tensor::{Device, Parameter, Tensor, grad};

/// The leave-one-out estimate over k independent draws with two control variates whose
/// expectations a Stein operator makes zero: 1/k Σᵢ [(fᵢ − mean over j ≠ i of fⱼ + α (A h)(bⱼ))
/// ∂log p(bᵢ | θ)/∂θ + β (A h̃)(bᵢ)] (Shi et al. 2022, section 4).
///
/// A is the generator of a Gibbs sampler of a row's D coins: (A h)(b) is the mean over d of
/// p(flip d) (h(b with d flipped) − h(b)). h is the first output of `network`, h̃ the second times
/// ∂log p(b | θ)/∂θ; both look at b through the cost's expansions fⱼ + f′ⱼᵀ(b − bⱼ) around the other
/// draws, and take the mean over them, as in the authors' code for several draws. So no neighbour
/// of a draw costs an evaluation.
///
/// For blocks of coins. The draws are those of [`rloo`](super::rloo()); each needs one evaluation,
/// for the cost and its slope. A draw whose slope is not known, as that already made at a site, has
/// no expansion around it. `variance_gradient` is for the network's parameters.
///
/// # Errors
/// The cost's own, shapes that do not fit, or no further noise.
pub fn rodeo(problem: Problem<'_>, cost: &dyn Cost, network: &SteinNetwork) -> Result<Estimate> {
    let theta = problem.theta.detach();
    let draws = problem.draws();
    let (mut costs, slopes) = costs_and_slopes(cost, &draws)?;
    let rows: usize = theta.shape().iter().take(problem.plates).product();
    let width = theta.len() / rows.max(1);
    let flat = |x: &Tensor| x.reshape([rows, width]);
    let neighbours = Neighbours {
        draws: draws.iter().map(flat).collect(),
        slopes: slopes
            .iter()
            .map(|slope| slope.as_ref().map(flat))
            .collect(),
        costs: costs.iter().map(|f| f.reshape([rows, 1])).collect(),
        mean: problem.mean(&theta).reshape([rows, width]),
    };
    let weights = (network.alpha.get(), network.beta.get());
    let k = draws.len() as f32;
    let (mut baselines, mut direct) = (Vec::new(), theta.zeros_like().reshape([rows, width]));
    for (i, f) in costs.iter().enumerate() {
        let (stein, by_theta) = neighbours.stein(i, network);
        baselines.push(f + stein.reshape(f.shape()) * &weights.0);
        direct = direct + by_theta;
    }
    // Each draw's own signal is the cost, the others' baselines are costs with control variates.
    let own: Vec<Tensor> = costs.iter().zip(&baselines).map(|(f, c)| f - c).collect();
    let gradient = centred_scores(problem, &draws, &baselines)?
        + scores(problem, &draws, &own)? / k
        + direct.reshape(theta.shape()) * (weights.1 / k);
    gradient.check()?;
    let learned: Vec<Tensor> = network.parameters().iter().map(Parameter::get).collect();
    let value = gradient.detach();
    let variance_gradient = grad(
        &[(&gradient, Some(&twice_mean(&value)))],
        &learned.iter().collect::<Vec<_>>(),
    )?;
    Ok(Estimate {
        cost: costs.swap_remove(0),
        gradient: value,
        variance_gradient,
        evaluations: draws.len(),
    })
}

/// Σᵢ wᵢ ∂log p(bᵢ | θ)/∂θ for numbers wᵢ a row.
fn scores(problem: Problem<'_>, draws: &[Tensor], weights: &[Tensor]) -> Result<Tensor> {
    let mut sum = problem.theta.zeros_like().detach();
    for (b, w) in draws.iter().zip(weights) {
        sum = sum + problem.spread(w)? * problem.relaxation.score(problem.theta, b);
    }
    Ok(sum)
}

/// The draws, each `[rows, coins]`, with what is known of the cost there.
struct Neighbours {
    draws: Vec<Tensor>,
    /// Where they are known.
    slopes: Vec<Option<Tensor>>,
    /// `[rows, 1]`.
    costs: Vec<Tensor>,
    /// p of each coin.
    mean: Tensor,
}

impl Neighbours {
    /// (A h)(bᵢ), `[rows]`, and (A h̃)(bᵢ), `[rows, coins]`.
    fn stein(&self, i: usize, network: &SteinNetwork) -> (Tensor, Tensor) {
        let (b, p) = (&self.draws[i], &self.mean);
        let turn = 1.0 - b * 2.0;
        let mut outputs: Option<[Tensor; 2]> = None;
        let mut centers = 0.0;
        for (j, slope) in self.slopes.iter().enumerate() {
            let (Some(slope), true) = (slope, i != j) else {
                continue;
            };
            // By how much the expansion around draw j changes on the way to bᵢ, and to its
            // neighbours.
            let here = (slope * (b - &self.draws[j])).sum_keepdim(1);
            let changes = Tensor::concat(&[&(&here + slope * &turn), &here], 1);
            let [h, h_tilde] = network.value(&changes, &self.costs[j]);
            outputs = Some(match outputs {
                None => [h, h_tilde],
                Some([a, b]) => [a + h, b + h_tilde],
            });
            centers += 1.0;
        }
        let Some([h, h_tilde]) = outputs else {
            return (b.zeros_like().sum(1), b.zeros_like());
        };
        let coins = b.shape()[1];
        let split = |x: &Tensor| (x.slice(1, 0..coins), x.slice(1, coins..coins + 1));
        let (h_next, h_here) = split(&(h / centers));
        let (t_next, t_here) = split(&(h_tilde / centers));
        // p(flip d), over the number of coins.
        let flip = (p * &turn + b) / coins as f32;
        let stein = (&flip * (h_next - h_here)).sum(1);
        let all = (&flip * (&t_next - t_here)).sum_keepdim(1);
        (stein, all * (b - p) + flip * turn * t_next)
    }
}

/// h(Δ, f), two numbers for an expansion's change Δ around a draw of cost f, and the weights α and
/// β of the two control variates: a network of one hidden layer, as in the authors' code.
#[derive(Clone, Debug)]
pub struct SteinNetwork {
    by_change: Linear,
    by_cost: Linear,
    output: Linear,
    alpha: Parameter,
    beta: Parameter,
}

impl SteinNetwork {
    /// Slope of the activation below zero.
    const LEAK: f32 = 0.3;

    /// A network with the given number of hidden units; α and β start at zero.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub fn new(hidden: usize, stream: &mut Stream, device: &Device) -> Result<Self> {
        let zero = || Parameter::new(Tensor::full([], 0.0, device));
        Ok(Self {
            by_change: Linear::new(1, hidden, stream, device)?,
            by_cost: Linear::new(1, hidden, stream, device)?,
            output: Linear::new(hidden, 2, stream, device)?,
            alpha: zero(),
            beta: zero(),
        })
    }

    /// Names the parameters.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            by_change: self.by_change.named(&format!("{name}.change")),
            by_cost: self.by_cost.named(&format!("{name}.cost")),
            output: self.output.named(&format!("{name}.output")),
            alpha: self.alpha.named(&format!("{name}.alpha")),
            beta: self.beta.named(&format!("{name}.beta")),
        }
    }

    /// Weights and biases, α and β.
    pub fn parameters(&self) -> Vec<Parameter> {
        let layers = [&self.by_change, &self.by_cost, &self.output];
        let mut parameters: Vec<_> = layers.into_iter().flat_map(Linear::parameters).collect();
        parameters.extend([self.alpha.clone(), self.beta.clone()]);
        parameters
    }

    /// The network that [`parameters`](Self::parameters) came from.
    fn of(parameters: &[Parameter]) -> Option<Self> {
        let [a, b, c, d, e, f, alpha, beta] = parameters else {
            return None;
        };
        let layer = |weight: &Parameter, bias: &Parameter| Linear {
            weight: weight.clone(),
            bias: bias.clone(),
        };
        Some(Self {
            by_change: layer(a, b),
            by_cost: layer(c, d),
            output: layer(e, f),
            alpha: alpha.clone(),
            beta: beta.clone(),
        })
    }

    /// Both outputs for changes `[rows, n]` around draws with costs `[rows, 1]`.
    fn value(&self, changes: &Tensor, costs: &Tensor) -> [Tensor; 2] {
        let shape = changes.shape();
        let points = [shape.numel(), 1];
        let costs = costs.broadcast_to(shape).reshape(points);
        let inputs = Tensor::concat(&[&changes.reshape(points), &costs], 1);
        let layers = [&self.by_change, &self.by_cost];
        let [change, cost] = layers.map(|layer| layer.weight.get());
        let weight = Tensor::concat(&[&change, &cost], 0);
        let bias = self.by_change.bias.get() + self.by_cost.bias.get();
        let hidden = inputs.linear(&weight, &bias).leaky_relu(Self::LEAK);
        let outputs = self.output.forward(&hidden);
        [0, 1].map(|i| outputs.index(1, i).reshape(shape))
    }
}

/// RODEO, the network trained online.
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
    /// With the given number of draws, each an evaluation of the cost.
    ///
    /// # Errors
    /// If there are fewer than two.
    pub fn new(draws: usize) -> Result<Self> {
        match draws {
            0 | 1 => Err(too_few()),
            _ => Ok(Self {
                draws,
                ..Self::default()
            }),
        }
    }
}

impl Estimator for Rodeo {
    fn name(&self) -> &'static str {
        "rodeo"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        if class.coins && class.relaxable {
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

    fn evaluations(&self, _: SiteClass) -> usize {
        self.draws
    }

    fn further_noise(&self) -> usize {
        self.draws - 1
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
