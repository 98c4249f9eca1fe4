//! Spin: −1 or +1. A discrete law whose relaxation is that of coins, with other values.

use std::rc::Rc;

use relax_runtime::dist::{
    BernoulliRelaxation, Distribution, Draws, Law, MeanField, Number, Numbers, Operand, Part,
    PerParameter, Relaxation, check_fit, expand_parameter,
};
use relax_runtime::{Result, Stream, Tensor};

const NAME: &str = "Spin";
const SUPPORT: &str = "-1 or 1";

/// Independent spins that are up, +1, with probability σ(logits) and else −1; over an `f64` a draw is
/// an `f64`, over a tensor a tensor of its shape.
#[derive(Clone, Debug)]
pub struct Spin<P> {
    logits: P,
}

impl<P: Numbers> Spin<P> {
    /// Spins that are up with probability σ(`logits`).
    ///
    /// # Errors
    /// If one is not finite.
    pub fn logits(logits: impl Operand<Repr = P>) -> Result<Self> {
        let logits = logits.into_repr();
        logits.check_numbers(NAME, "logits", f64::is_finite, "they must be finite")?;
        Ok(Self { logits })
    }
}

impl Distribution for Spin<f64> {
    type Value = f64;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &f64) -> Result<bool> {
        Ok(value.abs() == 1.0)
    }

    fn log_density(&self, value: &f64) -> Result<Number> {
        Ok((-(-value * self.logits).exp().ln_1p()).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        let logits = Tensor::scalar(self.logits as f32);
        Ok(Rc::new(Spin { logits }))
    }

    fn values(&self) -> Option<usize> {
        Some(2)
    }

    fn nth_value(&self, k: usize) -> Option<f64> {
        [-1.0, 1.0].get(k).copied()
    }
}

impl Distribution for Spin<Tensor> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        value.with_values(|values| values.iter().all(|x| x.abs() == 1.0))
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

impl Law for Spin<Tensor> {
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
        Draws::Discrete(Some(&BernoulliRelaxation))
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        self.to_vertex(value) * &self.logits - self.logits.softplus()
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.noise(self.logits.shape(), &self.logits.device())
    }

    fn draw(&self, u: &Tensor) -> Tensor {
        let z = BernoulliRelaxation.relaxed(&self.logits, u);
        self.value_at(&BernoulliRelaxation.hard(&z))
    }

    fn to_vertex(&self, value: &Tensor) -> Tensor {
        (value + 1.0) * 0.5
    }

    fn value_at(&self, vertex: &Tensor) -> Tensor {
        vertex * 2.0 - 1.0
    }

    fn mean_field(&self) -> MeanField<'_> {
        MeanField::new([Part::real("logits", &self.logits)], |free| {
            Spin::logits(&free[0])?.law()
        })
        .of_logits()
    }

    fn mean(&self) -> Tensor {
        (&self.logits * 0.5).tanh()
    }
}
