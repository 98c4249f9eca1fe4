//! Binomial: successes in a few trials. A discrete law with a relaxation of its own: the numbers of successes are
//! ordered, and drawn by inverting their distribution function.

use std::rc::Rc;

use relax_runtime::dist::{
    Distribution, Draws, Law, MeanField, Number, Numbers, Operand, Part, PerParameter, Relaxation,
    check_fit, expand_parameter, noise,
};
use relax_runtime::{Result, Stream, Tensor};

const NAME: &str = "Binomial";
const SUPPORT: &str = "the whole numbers from 0 to the number of trials";

/// How many of some trials succeed, each with probability σ(logits); over an `f64` a draw is a
/// `usize`, over a tensor a tensor of its shape.
#[derive(Clone, Debug)]
pub struct Binomial<P> {
    logits: P,
    relaxation: BinomialRelaxation,
}

impl<P: Numbers> Binomial<P> {
    /// So many trials, each a success with probability σ(`logits`).
    ///
    /// # Errors
    /// If a logit is not finite.
    pub fn logits(trials: usize, logits: impl Operand<Repr = P>) -> Result<Self> {
        let logits = logits.into_repr();
        logits.check_numbers(NAME, "logits", f64::is_finite, "they must be finite")?;
        let relaxation = BinomialRelaxation { trials };
        Ok(Self { logits, relaxation })
    }
}

impl Distribution for Binomial<f64> {
    type Value = usize;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &usize) -> Result<bool> {
        Ok(*value <= self.relaxation.trials)
    }

    fn log_density(&self, value: &usize) -> Result<Number> {
        let (n, k) = (self.relaxation.trials, *value);
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let ways = self
            .relaxation
            .log_ways()
            .nth(k)
            .unwrap_or(f64::NEG_INFINITY);
        let failures = n.saturating_sub(k) as f64;
        let log_mass = ways - k as f64 * softplus(-self.logits) - failures * softplus(self.logits);
        Ok(log_mass.into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(Binomial {
            logits: Tensor::scalar(self.logits as f32),
            relaxation: self.relaxation,
        }))
    }
}

impl Distribution for Binomial<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        let most = self.relaxation.trials as f32;
        let valid = |x: &f32| (0.0..=most).contains(x) && x.fract() == 0.0;
        value.with_values(|values| values.iter().all(valid))
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_fit(NAME, self.logits.shape(), value)?;
        Ok(Law::log_density(self, value).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.clone()))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        let logits = expand_parameter(NAME, "logits", &self.logits, plates, 0)?;
        Ok(Self { logits, ..self })
    }
}

impl Law for Binomial<Tensor> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        vec![self.logits.clone()].into()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        let (logits, relaxation) = (parameters[0].clone(), self.relaxation);
        Rc::new(Self { logits, relaxation })
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Discrete(Some(&self.relaxation))
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        self.relaxation.log_mass(&self.logits, value)
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.noise(self.logits.shape(), &self.logits.device())
    }

    fn draw(&self, u: &Tensor) -> Tensor {
        self.relaxation.successes(&self.logits, u)
    }

    fn mean_field(&self) -> MeanField<'_> {
        MeanField::new([Part::real("logits", &self.logits)], |free| {
            Binomial::logits(self.relaxation.trials, &free[0])?.law()
        })
    }

    fn mean(&self) -> Tensor {
        self.relaxation.mean(&self.logits)
    }
}

/// With F the distribution function and p the mass of b successes, u lies v of the way from F(b − 1)
/// to F(b), and z = b + v: continuous and rising in u, and uniform between b and b + 1 given b, so
/// that z̃ does not depend on θ at all.
#[derive(Clone, Copy, Debug)]
pub struct BinomialRelaxation {
    /// Number of trials.
    pub trials: usize,
}

impl BinomialRelaxation {
    /// ln of the number of ways to k successes, for each k.
    fn log_ways(self) -> impl Iterator<Item = f64> {
        let mut log = 0.0;
        (0..=self.trials).map(move |k| {
            let here = log;
            log += ((self.trials - k) as f64).ln() - ((k + 1) as f64).ln();
            here
        })
    }

    /// The mass of each number of successes.
    fn masses(&self, theta: &Tensor) -> Vec<Tensor> {
        let of = |k| self.log_mass(theta, &theta.detach().full_like(k as f32));
        (0..=self.trials).map(|k| of(k).exp()).collect()
    }

    /// b: how many values of the distribution function u is above, the last, 1, left out.
    fn successes(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        let u = noise::uniform(u);
        let mut below = theta.detach().zeros_like();
        let mut b = below.clone();
        for mass in &self.masses(&theta.detach())[..self.trials] {
            below = below + mass;
            b = b + u.gt(&below);
        }
        b
    }

    /// v, differentiable in θ with b held fixed.
    fn way(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        /// z is as near to b + 1 as f32 tells.
        const LARGEST: f32 = 1.0 - 4e-6;
        let zero = theta.detach().zeros_like();
        let (mut below, mut own) = (zero.clone(), zero);
        for (k, mass) in self.masses(theta).iter().enumerate() {
            below = below + b.gt(k as f32) * mass;
            own = own + (b - k as f32).abs().lt(0.5) * mass;
        }
        ((noise::uniform(u) - below) / own).clamp(0.0, LARGEST)
    }
}

impl Relaxation for BinomialRelaxation {
    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        let b = self.successes(theta, u);
        &b + self.way(theta, u, &b)
    }

    fn hard(&self, z: &Tensor) -> Tensor {
        let zero = z.detach().zeros_like();
        (1..=self.trials).fold(zero, |b, k| b + z.ge(k as f32))
    }

    fn conditional(&self, _: &Tensor, v: &Tensor, b: &Tensor) -> Tensor {
        b + noise::uniform(v)
    }

    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        self.way(&theta.detach(), u, b)
    }

    /// From 0 to the number of trials, at any temperature: z is as smooth as it gets.
    fn squash(&self, z: &Tensor, _: &Tensor) -> Tensor {
        z * (self.trials as f32 / (self.trials + 1) as f32)
    }

    fn values(&self, _: usize) -> Option<usize> {
        Some(self.trials + 1)
    }

    fn vertices(&self, _: usize) -> Vec<Vec<f32>> {
        (0..=self.trials).map(|k| vec![k as f32]).collect()
    }

    /// The logarithm of the number of ways is taken along straight lines from one value to the next.
    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        let near = |(k, log): (usize, f64)| (1.0 - (b - k as f32).abs()).relu() * log as f32;
        let zero = b.detach().zeros_like();
        let ways = self.log_ways().enumerate().map(near);
        let ways = ways.fold(zero, |sum, near| sum + near);
        let failures = self.trials as f32 - b;
        ways + b * theta.log_sigmoid() + failures * (-theta).log_sigmoid()
    }
}
