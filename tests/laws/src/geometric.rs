//! Geometric: the number of failed trials before the first success. A discrete law without a relaxation, and with
//! infinitely many values.

use std::rc::Rc;

use relax_runtime::dist::{
    Distribution, Draws, Law, MeanField, Number, Numbers, Operand, Part, PerParameter, check_fit,
    expand_parameter, noise,
};
use relax_runtime::{Result, Stream, Tensor};

const NAME: &str = "Geometric";
const SUPPORT: &str = "the whole numbers from 0 on";

/// Failures before the first success of trials that succeed with probability σ(logits); over an
/// `f64` a draw is a `usize`, over a tensor a tensor of its shape.
#[derive(Clone, Debug)]
pub struct Geometric<P> {
    logits: P,
}

impl<P: Numbers> Geometric<P> {
    /// Trials that succeed with probability σ(`logits`).
    ///
    /// # Errors
    /// If one is not finite.
    pub fn logits(logits: impl Operand<Repr = P>) -> Result<Self> {
        let logits = logits.into_repr();
        logits.check_numbers(NAME, "logits", f64::is_finite, "they must be finite")?;
        Ok(Self { logits })
    }
}

impl Distribution for Geometric<f64> {
    type Value = usize;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, _: &usize) -> Result<bool> {
        Ok(true)
    }

    fn log_density(&self, value: &usize) -> Result<Number> {
        let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
        let (failures, logits) = (*value as f64, self.logits);
        Ok((-failures * softplus(logits) - softplus(-logits)).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let logits = Tensor::scalar(self.logits as f32);
        Ok(Rc::new(Geometric { logits }))
    }
}

impl Distribution for Geometric<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        value.with_values(|values| values.iter().all(|x| *x >= 0.0 && x.fract() == 0.0))
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
        Ok(Self { logits })
    }
}

impl Law for Geometric<Tensor> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        vec![self.logits.clone()].into()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        let logits = parameters[0].clone();
        Rc::new(Self { logits })
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Discrete(None)
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        value * (-&self.logits).log_sigmoid() + self.logits.log_sigmoid()
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.noise(self.logits.shape(), &self.logits.device())
    }

    /// The whole part of ln u/ln(1 − p).
    fn draw(&self, u: &Tensor) -> Tensor {
        let trials = noise::ln(u) / (-&self.logits).log_sigmoid();
        let whole = trials.with_values(|x| x.iter().map(|x| x.floor()).collect());
        let drawn = whole.and_then(|x| Tensor::from_vec(x, trials.shape(), &trials.device()));
        drawn.unwrap_or(trials)
    }

    fn mean_field(&self) -> MeanField<'_> {
        MeanField::new([Part::real("logits", &self.logits)], |free| {
            Geometric::logits(&free[0])?.law()
        })
    }

    fn mean(&self) -> Tensor {
        (-&self.logits).exp()
    }
}
