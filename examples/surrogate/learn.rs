//! A network that learns to be the surrogate of coins at fixed logits.

use relax_runtime::dist::BernoulliRelaxation;
use relax_runtime::estimator::{Estimate, Noise, Problem, black_box, relax};
use relax_runtime::optim::{Optimizer, Rule, Step};
use relax_runtime::prelude::*;
use relax_runtime::surrogate::{FreeForm, Surrogate, Surroundings};

use crate::coins::{Coins, Node, spread};

/// How a network is built and trained.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) activation: Activation,
    /// Units of the hidden layer.
    pub(crate) hidden: usize,
    /// Adam's first and last rate.
    pub(crate) rates: [f32; 2],
    /// Draws a step.
    pub(crate) batch: usize,
}

impl Recipe {
    /// A network of so many numbers.
    pub(crate) fn network(&self, latent: usize, context: usize, seed: u64) -> Result<FreeForm> {
        let mut stream = Key::new(seed).stream("network");
        let hidden = [self.hidden];
        let device = Device::cpu();
        FreeForm::new(
            latent,
            context,
            &hidden,
            self.activation,
            &mut stream,
            &device,
        )
    }

    /// Its optimiser, for so many steps.
    pub(crate) fn optimizer(&self, steps: u64) -> Result<Optimizer> {
        Optimizer::new(FallingAdam::new(self.rates, steps))
    }
}

/// Adam, whose rate falls from one number to another by the same factor in every step.
#[derive(Debug)]
struct FallingAdam {
    adam: Adam,
    factor: f64,
}

impl FallingAdam {
    fn new([first, last]: [f32; 2], steps: u64) -> Self {
        let factor = f64::from(last / first).powf(1.0 / steps.max(1) as f64);
        Self {
            adam: Adam::new(first),
            factor,
        }
    }
}

impl Rule for FallingAdam {
    fn kind(&self) -> String {
        format!("{} and a falling rate", self.adam.kind())
    }

    fn slots(&self) -> usize {
        self.adam.slots()
    }

    fn factors(&self, step: u64) -> [f32; 2] {
        let [rate, inverse] = self.adam.factors(step);
        [rate * self.factor.powf(step as f64) as f32, inverse]
    }

    fn apply(&self, step: Step, values: &mut [f32], gradient: &[f32], slots: &mut [Vec<f32>]) {
        self.adam.apply(step, values, gradient, slots);
    }

    fn check(&self) -> Result<()> {
        self.adam.check()
    }
}

/// A surrogate on its way: one for all coins, or one for a single coin that sees the sides on which
/// the others lie.
pub(crate) struct Learner<'a> {
    coins: &'a Coins,
    own: Option<usize>,
    batch: usize,
    network: FreeForm,
    optimizer: Optimizer,
    seed: u64,
    step: u64,
}

impl<'a> Learner<'a> {
    /// `steps` is how long it will learn, over which the rate falls.
    pub(crate) fn new(
        coins: &'a Coins,
        own: Option<usize>,
        recipe: &Recipe,
        steps: u64,
        seed: u64,
    ) -> Result<Self> {
        let (latent, context) = match own {
            None => (coins.count(), 0),
            Some(_) => (1, coins.count() - 1),
        };
        Ok(Self {
            network: recipe.network(latent, context, seed)?,
            optimizer: recipe.optimizer(steps)?,
            batch: recipe.batch,
            coins,
            own,
            seed,
            step: 0,
        })
    }

    /// Learns until so many steps have been taken.
    pub(crate) fn until(&mut self, steps: u64) -> Result<()> {
        while self.step < steps {
            let key = Key {
                step: self.step,
                ..Key::new(self.seed)
            };
            let shape = [self.batch, self.coins.count()];
            let u = key.stream("u").uniforms(shape, &Device::cpu())?;
            let gradients = self.estimate(&u)?.variance_gradient;
            let parameters = self.network.parameters().into_iter();
            let pairs: Vec<_> = parameters.zip(gradients).collect();
            self.optimizer.update(&pairs)?;
            self.step += 1;
        }
        Ok(())
    }

    /// The RELAX estimate of each row of uniform numbers, `[rows, coins]`.
    fn estimate(&self, u: &Tensor) -> Result<Estimate> {
        let theta = numbers(&self.coins.theta).broadcast_to(u.shape());
        let weights = numbers(&self.coins.weights);
        let target = self.coins.target as f32;
        let of_sum = |sum: Tensor| (sum - target).square();
        let Some(own) = self.own else {
            let cost = black_box(|b: &Tensor| Ok(of_sum((b * &weights).sum(-1))));
            let noise = Noise::coupled(u.clone());
            let problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
            return relax(problem, &cost, &self.network);
        };
        let column = |x: &Tensor, at: usize| x.index(-1, at).unsqueeze(-1);
        let side = |at: usize| column(&(&theta + u.ln() - (1.0 - u).ln()), at).gt(0.0);
        let others: Vec<usize> = (0..self.coins.count()).filter(|&at| at != own).collect();
        let sides: Vec<Tensor> = others.iter().map(|&at| side(at)).collect();
        let pay = |at: usize| self.coins.weights[at] as f32;
        let cost = black_box(|b: &Tensor| {
            let shares = others.iter().zip(&sides).map(|(&at, b)| b * pay(at));
            let sum = shares.fold(b * pay(own), |sum, share| sum + share);
            Ok(of_sum(sum.sum(-1)))
        });
        let (theta, noise) = (column(&theta, own), Noise::coupled(column(u, own)));
        let mut problem = Problem::new(&BernoulliRelaxation, &theta, &noise).rows();
        let context = Tensor::concat(&sides.iter().collect::<Vec<_>>(), 1);
        problem.context = Some(&context);
        relax(problem, &cost, &self.network)
    }

    /// The variance of the estimate, its coordinates' summed, over the nodes of a quadrature.
    pub(crate) fn variance(&self, nodes: &[Node]) -> Result<f64> {
        let count = self.coins.count();
        let u: Vec<f32> = nodes
            .iter()
            .flat_map(|node| node.u.iter().map(|&u| u as f32))
            .collect();
        let u = Tensor::from_vec(u, [nodes.len(), count], &Device::cpu())?;
        let gradient = self.estimate(&u)?.gradient.to_vec()?;
        let width = gradient.len() / nodes.len();
        let rows = gradient.chunks(width).zip(nodes).map(|(row, node)| {
            let row = row.iter().map(|&g| f64::from(g)).collect();
            (row, node.weight)
        });
        Ok(spread(rows, width).1)
    }

    /// c at places z, of a surrogate of all coins.
    pub(crate) fn curve(&self, z: &[Vec<f64>]) -> Result<Vec<f64>> {
        let shape = [z.len(), self.coins.count()];
        let z = numbers(&z.concat()).reshape(shape);
        let theta = numbers(&self.coins.theta).broadcast_to(shape);
        let around = Surroundings {
            relaxation: Some(&BernoulliRelaxation),
            theta: &theta,
            context: None,
            plates: 1,
            cost: &no_cost,
        };
        let c = self.network.value(&z, around)?.to_vec()?;
        Ok(c.into_iter().map(f64::from).collect())
    }
}

/// What a network asks for when it is looked at alone: nothing.
fn no_cost(_: &Tensor, _: &Tensor) -> Result<Tensor> {
    Err(Error::Estimator("a network asks for no cost".into()))
}

pub(crate) fn numbers(x: &[f64]) -> Tensor {
    Tensor::from_slice(&x.iter().map(|&x| x as f32).collect::<Vec<_>>())
}
