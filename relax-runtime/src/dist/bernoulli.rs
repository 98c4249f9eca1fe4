//! Bernoulli: a coin with probability σ(logits).

use std::rc::Rc;

use smallvec::smallvec;

use super::checks::all_hold;
use super::excluded::finite;
use super::repeat::behind;
use super::{
    BernoulliOperand, Coins, Distribution, Draws, Form, Law, MeanField, Number, Operand, Part,
    PerParameter, Relaxation, check_fit, expand_parameter, noise,
};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::Tensor;

const NAME: &str = "Bernoulli";
const SUPPORT: &str = "0 or 1";

/// Independent coin flips: over an `f64` a draw is a `bool`, over a tensor a 0/1 tensor of its shape.
///
/// ```
/// use relax_runtime::dist::{Bernoulli, Distribution};
/// use relax_runtime::{Key, Result, Tensor};
/// # fn main() -> Result<()> {
/// let rain = Bernoulli::probs(0.2)?;
/// assert!((rain.log_prob(&true)?.total()? - 0.2_f64.ln()).abs() < 1e-12);
///
/// // Over a tensor each element is a coin; these two are certain.
/// let coins = Bernoulli::probs(&Tensor::from_slice(&[0.0, 1.0]))?;
/// let draw = coins.sample(&mut Key::new(0).stream("coins"))?;
/// assert_eq!(draw.to_vec()?, [0.0, 1.0]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bernoulli<P: BernoulliOperand> {
    logits: P::Logits,
}

impl<P: BernoulliOperand> Bernoulli<P> {
    /// Coins that come up 1 with probability `p`. At exactly 0 and 1 a coin is certain: the other
    /// value has log-probability −∞, and the derivative with respect to `p` is 0.
    ///
    /// # Errors
    /// If a probability is NaN or outside [0, 1].
    pub fn probs(p: impl Operand<Repr = P>) -> Result<Self> {
        Ok(Self {
            logits: p.into_repr().of_probs()?,
        })
    }

    /// Coins that come up 1 with probability σ(`logits`).
    ///
    /// # Errors
    /// If a logit is NaN, or infinite in a tensor.
    pub fn logits(logits: impl Operand<Repr = P>) -> Result<Self> {
        Ok(Self {
            logits: logits.into_repr().of_logits()?,
        })
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
        Ok(Number::Host(self.logits.log_mass(*value)))
    }

    fn sample(&self, stream: &mut Stream) -> Result<bool> {
        let u = stream.uniform_f64();
        Ok(u.ln() - (-u).ln_1p() + self.logits.logit() > 0.0)
    }

    fn values(&self) -> Option<usize> {
        Some(2)
    }

    fn nth_value(&self, k: usize) -> Option<bool> {
        Some(k == 1)
    }

    fn excludes_values(&self) -> bool {
        self.logits.is_certain()
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.over_tensors()))
    }
}

impl Bernoulli<f64> {
    /// The same coin over a tensor.
    pub(super) fn over_tensors(&self) -> Bernoulli<Tensor> {
        let logit = finite(self.logits.logit());
        let certain = self.logits.is_certain().then(|| logit.signum());
        Bernoulli {
            logits: Coins::new(&Tensor::scalar(logit), certain.map(Tensor::scalar)),
        }
    }
}

impl Bernoulli<Tensor> {
    /// The same coins with this many axes in front.
    pub(super) fn behind(self, axes: usize) -> Result<Self> {
        let logits = self.logits.map(|x| behind(x, axes))?;
        Ok(Self { logits })
    }
}

impl Distribution for Bernoulli<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        let is_coin = |x: f32| (x == 0.0) | (x == 1.0);
        all_hold(value, is_coin, |x| x * (1.0 - x))
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        check_fit(NAME, self.logits.logits.shape(), value)?;
        Ok(Number::Tensor(Law::log_density(self, value)))
    }

    fn log_density_from(&self, value: &Tensor, k: usize) -> Result<Number> {
        check_fit(NAME, self.logits.logits.shape(), value)?;
        Ok(Number::Tensor(Law::log_density_from(self, value, k)))
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        Ok(Rc::new(self.clone()))
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        let expand = |parameter: &Tensor| expand_parameter(NAME, "parameter", parameter, plates, 0);
        Ok(Self {
            logits: self.logits.map(expand)?,
        })
    }
}

impl Law for Bernoulli<Tensor> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        smallvec![self.logits.logits.clone()]
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            logits: Coins {
                logits: parameters[0].clone(),
                ..self.logits.clone()
            },
        })
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        let Coins { logits, .. } = &self.logits;
        let log_mass = logits.coin_log_mass(value);
        match self.logits.penalty(value) {
            None => log_mass,
            Some(penalty) => log_mass + penalty,
        }
    }

    fn log_density_from(&self, value: &Tensor, k: usize) -> Tensor {
        let log_mass = self.logits.logits.coin_log_mass_from(value, k);
        match self.logits.penalty(value) {
            None => log_mass,
            Some(penalty) => log_mass + penalty.sum_from(k),
        }
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        let Coins { logits, .. } = &self.logits;
        stream.noise(logits.shape(), &logits.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        pointwise!([&self.logits.logits, noise], |[theta, u]| {
            coin::hard(coin::relaxed(theta, u))
        })
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Discrete(Some(&BernoulliRelaxation))
    }

    /// Starts at the prior, but gives both values a chance of being drawn.
    fn mean_field(&self) -> MeanField<'_> {
        const LARGEST: f32 = 4.0;
        let start = |logits: &Tensor| logits.clamp(-LARGEST, LARGEST);
        let logits = Part::starting("logits", &self.logits.logits, start);
        MeanField::new([logits], |free| {
            let logits = self.logits.guided(&free[0]);
            Ok(Rc::new(Self { logits }))
        })
        .of_logits()
    }

    fn excluded(&self) -> Result<Option<Vec<bool>>> {
        let Some(certain) = &self.logits.certain else {
            return Ok(None);
        };
        let coins = certain.peek()?.into_iter();
        Ok(Some(coins.flat_map(|c| [c > 0.0, c < 0.0]).collect()))
    }

    fn mean(&self) -> Tensor {
        self.logits.logits.sigmoid()
    }
}

/// The relaxation of [`Bernoulli`]: z = θ + logit u, and b = 1 where z > 0 (RELAX paper, Appendix B).
///
/// ```
/// use relax_runtime::dist::{BernoulliRelaxation, Relaxation};
/// use relax_runtime::{Device, Key, Result, Tensor};
/// # fn main() -> Result<()> {
/// let theta = Tensor::from_slice(&[-1.0, 0.0, 1.0]);
/// let mut stream = Key::new(0).stream("coins");
/// let u = stream.noise([3], &Device::cpu())?;
/// let b = BernoulliRelaxation.hard(&BernoulliRelaxation.relaxed(&theta, &u));
///
/// // A second relaxed sample, given b, falls on the same side of 0.
/// let v = stream.noise([3], &Device::cpu())?;
/// let conditional = BernoulliRelaxation.conditional(&theta, &v, &b);
/// assert_eq!(BernoulliRelaxation.hard(&conditional).to_vec()?, b.to_vec()?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct BernoulliRelaxation;

/// The noise where b = 1, and its mirror image where b = 0.
fn towards(noise: &Tensor, b: &Tensor) -> Tensor {
    Tensor::select_where(b, noise, &-noise)
}

/// The per-element functions behind [`BernoulliRelaxation`].
pub(super) mod coin {
    use super::noise;
    use crate::tensor::Element;

    #[inline(always)]
    pub(in super::super) fn relaxed<E: Element>(theta: E, u: E) -> E {
        theta + noise::each::logit(u)
    }

    #[inline(always)]
    pub(in super::super) fn hard<E: Element>(z: E) -> E {
        z.above(0.0)
    }

    #[inline(always)]
    pub(in super::super) fn score<E: Element>(theta: E, b: E) -> E {
        theta.coin_score(&b)
    }

    /// (1 − p)/u where b = 1, p/(1 − u) where b = 0.
    #[inline(always)]
    pub(in super::super) fn kappa<E: Element>(theta: E, u: E, b: E) -> E {
        let against = b.choose(-theta.clone(), theta).sigmoid();
        let chance = noise::each::uniform(b.choose(u.clone(), -u));
        (against / chance).clamp(0.0, 1.0)
    }
}

impl Relaxation for BernoulliRelaxation {
    fn form(&self) -> Form {
        Form::Coins
    }

    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor {
        if theta.is_tracked() || theta.tangent().is_some() {
            return theta + noise::logit(u);
        }
        pointwise!([theta, u], |[theta, u]| coin::relaxed(theta, u))
    }

    fn hard(&self, z: &Tensor) -> Tensor {
        pointwise!([z], |[z]| coin::hard(z))
    }

    /// z̃ = s [softplus(sθ + ln v_s) − ln(1 − v_s)] with s = 2b − 1 and v_s = v or 1 − v: the
    /// paper's v′ inserted into z and simplified, so that nothing cancels at large |θ|.
    fn conditional(&self, theta: &Tensor, v: &Tensor, b: &Tensor) -> Tensor {
        let sign = b * 2.0 - 1.0;
        let towards = towards(v, b);
        let size = (&sign * theta + noise::ln(&towards)).softplus() - noise::ln(&-towards);
        sign * size
    }

    /// v_s = (1 − e^−|z|) / (1 + e^(sθ − |z|)), the inverse of [`conditional`](Self::conditional).
    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        let theta = theta.detach();
        let size = self.relaxed(&theta, u).abs();
        let sign = b * 2.0 - 1.0;
        let log_denominator = (sign * &theta - &size).softplus();
        let log_numerator = (-(-size).exp()).ln_1p();
        towards(&noise::of_ln(&(log_numerator - log_denominator)), b)
    }

    fn squash(&self, z: &Tensor, temperature: &Tensor) -> Tensor {
        (z / temperature).sigmoid()
    }

    fn score(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        pointwise!([theta, b], |[theta, b]| coin::score(theta, b))
    }

    fn kappa(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        pointwise!([theta, u, b], |[theta, u, b]| coin::kappa(theta, u, b))
    }

    fn pull(&self, _: &Tensor, kappa: &Tensor, w: &Tensor) -> Tensor {
        pointwise!([kappa, w], |[kappa, w]| kappa * w)
    }

    fn push(&self, _: &Tensor, kappa: &Tensor, v: &Tensor) -> Tensor {
        pointwise!([kappa, v], |[kappa, v]| kappa * v)
    }

    fn values(&self, _: usize) -> Option<usize> {
        Some(2)
    }

    fn vertices(&self, _: usize) -> Vec<Vec<f32>> {
        vec![vec![0.0], vec![1.0]]
    }

    /// Each value computed from its own side, so that the rarer one keeps its digits.
    fn probabilities(&self, theta: &Tensor) -> Tensor {
        Tensor::stack(&[&(-theta).sigmoid(), &theta.sigmoid()], -1)
    }

    fn mean(&self, theta: &Tensor) -> Tensor {
        theta.sigmoid()
    }

    fn shifted(&self, b: &Tensor, by: &Tensor) -> Tensor {
        let moved = b + by;
        &moved - moved.ge(2.0) * 2.0
    }

    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        ((b * 2.0 - 1.0) * theta).log_sigmoid()
    }

    /// 2u − 1: z is logistic around θ.
    fn relaxed_score(&self, _: &Tensor, u: &Tensor) -> Tensor {
        noise::uniform(u) * 2.0 - 1.0
    }
}
