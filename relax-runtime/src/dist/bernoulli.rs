//! Bernoulli: a coin with probability σ(logits).

use std::rc::Rc;

use super::{
    Distribution, Law, Number, Operand, Relaxation, check_fit, check_values, expand_parameter,
    parameter_error,
};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::Tensor;
use crate::tensor::cpu::math;

const NAME: &str = "Bernoulli";
const SUPPORT: &str = "0 or 1";

/// Smallest distance of a tensor's probability from 0 and 1: beyond it f32 has no finite logit.
const EPSILON: f32 = f32::EPSILON / 2.0;

/// Independent coins; over `f64` a draw is a `bool`, over a tensor a 0/1 tensor of its shape.
#[derive(Clone, Debug)]
pub struct Bernoulli<P> {
    logits: P,
}

impl<P: BernoulliOperand> Bernoulli<P> {
    /// Coins that come up 1 with probability `p`.
    ///
    /// Tensors are kept 2⁻²⁴ away from 0 and 1, so that the logits stay finite.
    ///
    /// # Errors
    /// If a probability is NaN or outside [0, 1].
    pub fn probs(p: impl Operand<Repr = P>) -> Result<Self> {
        Ok(Self {
            logits: p.into_repr().logits_of_probs()?,
        })
    }

    /// Coins that come up 1 with probability σ(`logits`).
    ///
    /// # Errors
    /// If a logit is NaN, or infinite in a tensor.
    pub fn logits(logits: impl Operand<Repr = P>) -> Result<Self> {
        let logits = logits.into_repr();
        logits.check_logits()?;
        Ok(Self { logits })
    }
}

/// `f64` or [`Tensor`], as a Bernoulli's parameter.
pub trait BernoulliOperand: Sized {
    /// ln p − ln(1 − p).
    fn logits_of_probs(self) -> Result<Self>;
    /// An error if a logit is NaN, or infinite in a tensor.
    fn check_logits(&self) -> Result<()>;
}

const PROBS: &str = "probabilities lie between 0 and 1";
const NOT_NAN: &str = "logits must be numbers; look at what computes them";
const FINITE: &str = "logits must be finite; look at what computes them (±1e4 is certainty)";

impl BernoulliOperand for f64 {
    fn logits_of_probs(self) -> Result<Self> {
        if (0.0..=1.0).contains(&self) {
            Ok(self.ln() - (-self).ln_1p())
        } else {
            Err(parameter_error(NAME, "probs", self, PROBS))
        }
    }

    fn check_logits(&self) -> Result<()> {
        if self.is_nan() {
            Err(parameter_error(NAME, "logits", *self, NOT_NAN))
        } else {
            Ok(())
        }
    }
}

impl BernoulliOperand for Tensor {
    fn logits_of_probs(self) -> Result<Self> {
        check_values(NAME, "probs", &self, |p| (0.0..=1.0).contains(&p), PROBS)?;
        Ok(self.clamp(EPSILON, 1.0 - EPSILON).logit())
    }

    fn check_logits(&self) -> Result<()> {
        check_values(NAME, "logits", self, f32::is_finite, FINITE)
    }
}

impl Distribution for Bernoulli<f64> {
    type Value = bool;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, _: &bool) -> Result<bool> {
        Ok(true)
    }

    fn log_density(&self, value: &bool) -> Result<Number> {
        let signed = if *value { -self.logits } else { self.logits };
        Ok(Number::Host(-softplus(signed)))
    }

    fn sample(&self, stream: &mut Stream) -> Result<bool> {
        let u = stream.uniform_f64();
        Ok(u.ln() - (-u).ln_1p() + self.logits > 0.0)
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        const LARGEST: f64 = 80.0;
        let logits = Tensor::scalar(self.logits.clamp(-LARGEST, LARGEST) as f32);
        Ok(Rc::new(Bernoulli { logits }))
    }
}

/// ln(1 + eˣ) without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

impl Distribution for Bernoulli<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        // Without a branch an element, so that the loop is one of vectors.
        value.with_values(|v| {
            v.iter()
                .fold(true, |all, &x| all & ((x == 0.0) | (x == 1.0)))
        })
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_fit(NAME, &self.parameters(), value)?;
        Ok(Number::Tensor(Law::log_density(self, value)))
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.clone()))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        Ok(Self {
            logits: expand_parameter(NAME, "parameter", &self.logits, plates, 0)?,
        })
    }
}

impl Law for Bernoulli<Tensor> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> Vec<Tensor> {
        vec![self.logits.clone()]
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            logits: parameters[0].clone(),
        })
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        value * &self.logits - self.logits.softplus()
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.uniforms(self.logits.shape(), &self.logits.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        BernoulliRelaxation.hard(&BernoulliRelaxation.relaxed(&self.logits.detach(), noise))
    }

    fn relaxation(&self) -> Option<&'static dyn Relaxation> {
        Some(&BernoulliRelaxation)
    }

    fn guide_parameters(&self) -> Result<Vec<(&'static str, Tensor)>> {
        const LARGEST: f32 = 4.0;
        Ok(vec![(
            "logits",
            self.logits.detach().clamp(-LARGEST, LARGEST),
        )])
    }

    fn guide(&self, unconstrained: &[Tensor]) -> Rc<dyn Law> {
        self.with_parameters(unconstrained)
    }

    fn mean(&self) -> Tensor {
        self.logits.sigmoid()
    }
}

/// z = θ + logit u, b = 1 where z > 0 (paper, Appendix B).
#[derive(Debug)]
pub struct BernoulliRelaxation;

impl BernoulliRelaxation {
    /// `x` where b = 1, `1 − x` where b = 0.
    fn towards(x: &Tensor, b: &Tensor) -> Tensor {
        Tensor::select_where(b, x, &(1.0 - x))
    }
}

/// Noise of exactly 0 or 1, which a caller may pass, moved to the nearest uniform draw.
fn open(u: &Tensor) -> Tensor {
    u.clamp(EPSILON, 1.0 - EPSILON)
}

/// The same of one number.
fn open_one(u: f32) -> f32 {
    math::clamp(u, EPSILON, 1.0 - EPSILON)
}

impl Relaxation for BernoulliRelaxation {
    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        let fused = Tensor::fused([theta, u], |[theta, u]| theta + math::logit(open_one(u)));
        fused.unwrap_or_else(|| theta + open(u).logit())
    }

    fn hard(&self, z: &Tensor) -> Tensor {
        z.gt(0.0)
    }

    /// z̃ = s [softplus(sθ + ln v_s) − ln(1 − v_s)] with s = 2b − 1 and v_s = v or 1 − v: the
    /// paper's v′ inserted into z and simplified, so that nothing cancels at large |θ|.
    fn conditional(&self, theta: &Tensor, v: &Tensor, b: &Tensor) -> Tensor {
        let sign = b * 2.0 - 1.0;
        let towards = Self::towards(&open(v), b);
        let size = (&sign * theta + towards.ln()).softplus() - (1.0 - &towards).ln();
        sign * size
    }

    /// v_s = (1 − e^−|z|) / (1 + e^(sθ − |z|)), the inverse of [`conditional`](Self::conditional).
    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        let theta = theta.detach();
        let size = self.relaxed(&theta, u).abs();
        let sign = b * 2.0 - 1.0;
        let log_denominator = (sign * &theta - &size).softplus();
        let towards = ((-&size).exp() * -1.0 + 1.0) * (-log_denominator).exp();
        Self::towards(&towards, b)
    }

    fn squash(&self, z: &Tensor, temperature: &Tensor) -> Tensor {
        (z / temperature).sigmoid()
    }

    fn score(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        let theta = theta.detach();
        let fused = Tensor::fused([&theta, b], |[theta, b]| b - math::sigmoid(theta));
        fused.unwrap_or_else(|| b - theta.sigmoid())
    }

    /// (1 − p)/u where b = 1, p/(1 − u) where b = 0.
    fn kappa(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        let theta = theta.detach();
        let one = |[theta, u, b]: [f32; 3]| {
            let against = math::sigmoid((1.0 - b * 2.0) * theta);
            let u = open_one(u);
            let towards = if b > 0.5 { u } else { 1.0 - u };
            math::clamp(against / towards, 0.0, 1.0)
        };
        Tensor::fused([&theta, u, b], one).unwrap_or_else(|| {
            let against = ((1.0 - b * 2.0) * &theta).sigmoid();
            (against / Self::towards(&open(u), b)).clamp(0.0, 1.0)
        })
    }

    fn pull(&self, _: &Tensor, kappa: &Tensor, w: &Tensor) -> Tensor {
        kappa * w
    }

    fn push(&self, _: &Tensor, kappa: &Tensor, v: &Tensor) -> Tensor {
        kappa * v
    }

    fn event_rank(&self) -> usize {
        0
    }

    fn vertices(&self, _: usize) -> Vec<Vec<f32>> {
        vec![vec![0.0], vec![1.0]]
    }

    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        ((b * 2.0 - 1.0) * theta).log_sigmoid()
    }

    /// 2u − 1: z is logistic around θ.
    fn relaxed_score(&self, _: &Tensor, u: &Tensor) -> Tensor {
        open(u) * 2.0 - 1.0
    }
}
