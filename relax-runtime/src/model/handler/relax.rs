//! Relaxes discrete sites to points between their values.

use super::{Handler, Message, Under};
use crate::dist::Value;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::tensor::{Provenance, SiteSet, Tensor};

/// Relaxes sites; see [`relax_sites`].
#[derive(Clone, Copy, Debug)]
pub struct RelaxSites {
    temperature: f64,
}

impl Handler for RelaxSites {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let problem = format!("is {}; it must be positive and finite", self.temperature);
            return Err(Error::Config {
                setting: "temperature",
                problem,
            });
        }
        if message.value.is_some() || message.dist.is_host() {
            return Ok(());
        }
        let law = message.law()?;
        if let (Some(relaxation), true) = (law.relaxation(), law.takes_relaxed_values()) {
            let noise = law.noise(&mut message.key.stream(message.full_name))?;
            let z = relaxation.relaxed(&law.parameters()[0], &noise);
            let temperature = Tensor::scalar(self.temperature as f32).to_device(&law.device())?;
            let draw = law.value_at(&relaxation.squash(&z, &temperature));
            message.value = Some(Value::Tensor(known_as_drawn(&draw, message)));
        }
        Ok(())
    }
}

/// Marks a draw that comes from no site of the run as a draw: a number of trials may then lie between whole numbers.
fn known_as_drawn(draw: &Tensor, message: &Message<'_>) -> Tensor {
    match draw.provenance() {
        Some(_) => draw.clone(),
        None => {
            let own = Provenance::new(SiteSet::EMPTY, message.reads.clone(), None);
            draw.with_provenance(own)
        }
    }
}

/// Relaxes the discrete sites over tensors of a model: their draws become σ(z/λ) or softmax(z/λ) at the temperature λ
/// (Jang, Gu, Poole 2017; Maddison, Mnih, Teh 2017), points between the values of their support, through which
/// derivatives pass. Sites with host values stay as they are.
///
/// ```
/// use relax_runtime::model::relax_sites;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn coin() -> Tensor {
///     let b = sample!(Bernoulli(logits = Tensor::scalar(0.0)));
///     b
/// }
///
/// # fn main() -> Result<()> {
/// let b = Simulation::seeded(1).run(&relax_sites(coin(), 0.5))?.output.item()?;
/// assert!(0.0 < b && b < 1.0);
/// # Ok(())
/// # }
/// ```
pub fn relax_sites<M: Model>(model: M, temperature: f64) -> Under<M, RelaxSites> {
    Under::new(model, RelaxSites { temperature })
}
