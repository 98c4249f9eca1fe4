//! Mixtures as guides and estimators see them.

use std::rc::Rc;

use super::{NAME, axis, shape_of_draws};
use crate::dist::excluded::CERTAINTY;
use crate::dist::{
    Bijection, Distribution, Draws, Form, Law, MeanField, Normal, Part, PerParameter, Relaxation,
    normal_guide,
};
use crate::error::Result;
use crate::random::{Key, Stream};
use crate::tensor::{Shape, Tensor};

/// A [`Mixture`] as guides and estimators see it.
#[derive(Clone, Debug)]
pub(super) struct MixtureLaw {
    logits: Tensor,
    component: Rc<dyn Law>,
}

impl MixtureLaw {
    pub(super) fn new(logits: Tensor, component: Rc<dyn Law>) -> Self {
        Self { logits, component }
    }

    fn axis(&self) -> isize {
        axis(&*self.component)
    }

    /// The weights, shaped to go with draws of the components.
    fn beside_draws(&self, weights: &Tensor) -> Tensor {
        (0..self.component.event_rank()).fold(weights.clone(), |w, _| w.unsqueeze(-1))
    }

    /// For each component, along the last axis, 1 where a number lies outside of its support, if these have ends.
    fn outside_each(&self, value: &Tensor) -> Option<Tensor> {
        self.component.outside(&value.unsqueeze(self.axis()))
    }

    /// The shape of the component's noise.
    fn noise_shape(&self) -> Result<Shape> {
        let noise = self
            .component
            .noise(&mut Key::new(0).stream("shape of noise"))?;
        Ok(noise.shape())
    }
}

/// One-hot vectors of the components that uniform numbers choose.
pub(super) fn chosen(logits: &Tensor, which: &Tensor) -> Tensor {
    // The number of components that lie wholly below it is the index of the chosen one.
    let shares = logits.detach().softmax(-1).cumsum(-1);
    let count = shares.shape().last().copied().unwrap_or(1);
    let below = shares.slice(-1, 0..count - 1).lt(&which.unsqueeze(-1));
    below.sum(-1).one_hot(count)
}

/// A Gaussian with the mean and spread of a mixture of Gaussians, along the last axis.
pub(super) fn matched(
    shares: &Tensor,
    loc: &Tensor,
    scale: &Tensor,
    shape: Shape,
) -> MeanField<'static> {
    let mean = (shares * loc).sum(-1);
    let square = scale.square() + (loc - mean.unsqueeze(-1)).square();
    let spread = (shares * square).sum(-1).sqrt();
    normal_guide(&mean, &spread, shape)
}

/// Mean and spread of the Gaussian that a law's guide starts as, if its guide is Gaussian.
pub(super) fn gaussian_guide(law: &dyn Law) -> Option<(Tensor, Tensor)> {
    let guide = law.mean_field();
    let law = guide.law(&guide.first_values().ok()?).ok()?;
    match (law.name() == <Normal<f64>>::NAME, &law.parameters()[..]) {
        (true, [loc, scale]) => Some((loc.clone(), scale.clone())),
        _ => None,
    }
}

impl Law for MixtureLaw {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        let own = std::iter::once(self.logits.clone());
        own.chain(self.component.parameters()).collect()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        let component = self.component.with_parameters(&parameters[1..]);
        Rc::new(Self::new(parameters[0].clone(), component))
    }

    fn bijection(&self) -> Option<Bijection> {
        let of_components = self.component.bijection()?;
        of_components.ends().is_empty().then_some(of_components)
    }

    fn draws(&self) -> Draws<'_> {
        match self.component.draws().are_discrete() {
            true => Draws::Discrete(None),
            false => Draws::Opaque,
        }
    }

    fn support_moves(&self) -> bool {
        self.component.support_moves()
    }

    fn event_rank(&self) -> usize {
        self.component.event_rank()
    }

    fn draw_shape(&self) -> Shape {
        let shape = shape_of_draws(&*self.component);
        match shape.axis(self.axis()) {
            Some(axis) => shape.without(axis),
            None => shape,
        }
    }

    /// Outside of all components that have a weight.
    fn outside(&self, value: &Tensor) -> Option<Tensor> {
        let outside = self.outside_each(value)?;
        /// Lower log-weights stand for 0.
        const LEAST: f32 = -0.5 * CERTAINTY;
        let counts = self.logits.detach().log_softmax(-1).gt(LEAST);
        Some(1.0 - ((1.0 - outside) * counts).max(-1))
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        let density = self.component.log_density(&value.unsqueeze(self.axis()));
        let density = match self.outside_each(value) {
            None => density,
            Some(outside) => outside.select_where(&density.full_like(f32::NEG_INFINITY), &density),
        };
        (density + self.logits.log_softmax(-1)).logsumexp(-1)
    }

    /// A uniform number per draw, which chooses the component, followed by the components' own noise.
    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        let which = stream.uniforms(self.draw_rows().numel(), &self.device())?;
        let own = self.component.noise(stream)?;
        Ok(Tensor::concat(&[&which, &own.reshape(own.len())], 0))
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        let (rows, shape) = match (self.draw_rows(), self.noise_shape()) {
            (rows, Ok(shape)) => (rows, shape),
            (_, Err(error)) => return Tensor::poisoned(error),
        };
        let which = noise.slice(0, 0..rows.numel()).reshape(rows);
        let own = noise.slice(0, rows.numel()..noise.len()).reshape(shape);
        let chosen = self.beside_draws(&chosen(&self.logits, &which));
        let draws = self.component.draw(&own).detach();
        chosen
            .select_where(&draws, &draws.zeros_like())
            .sum(self.axis())
    }

    fn mean_field(&self) -> MeanField<'_> {
        match self.gaussian() {
            Some(guide) => guide,
            None => self.mixture(),
        }
    }

    fn mean(&self) -> Tensor {
        let shares = self.beside_draws(&self.logits.softmax(-1));
        (shares * self.component.mean()).sum(self.axis())
    }
}

impl MixtureLaw {
    /// The law itself, or, for a mixture of coins or of categories, the law of coins or categories with the mixed
    /// probabilities. Where some probabilities are exactly 0 it stays a mixture.
    pub(super) fn simplest(self) -> Result<Rc<dyn Law>> {
        let form = self.component.relaxation().map(Relaxation::form);
        if !matches!(form, Some(Form::Coins | Form::Categories))
            || self.component.parameters().len() != 1
            || self.component.excluded()?.is_some()
        {
            return Ok(Rc::new(self));
        }
        let (theta, shares) = (&self.component.parameters()[0], self.logits.log_softmax(-1));
        let axis = match form {
            Some(Form::Coins) => -1 - self.component.event_rank() as isize,
            _ => -2,
        };
        let beside = (1..-axis).fold(shares, |w, _| w.unsqueeze(-1));
        let mixed = |log_probs: Tensor| (log_probs + &beside).logsumexp(axis);
        let theta = match form {
            Some(Form::Coins) => mixed(theta.log_sigmoid()) - mixed((-theta).log_sigmoid()),
            _ => mixed(theta.log_softmax(-1)),
        };
        Ok(self.component.with_parameters(&[theta.check()?.clone()]))
    }

    /// The shape of the rows of draws, each with one event.
    fn draw_rows(&self) -> Shape {
        let shape = self.draw_shape();
        shape.leading(shape.rank() - self.component.event_rank())
    }

    /// A Gaussian with the mean and spread of the mixture of the components' guides, where these are Gaussian.
    fn gaussian(&self) -> Option<MeanField<'static>> {
        let (loc, scale) = gaussian_guide(&*self.component)?;
        let shares = self.logits.softmax(-1);
        Some(matched(&shares, &loc, &scale, self.draw_shape()))
    }

    /// A mixture of the components' guides.
    fn mixture(&self) -> MeanField<'_> {
        let shares = Part::starting("log_weights", &self.logits, |logits| logits.log_softmax(-1));
        let parts = self.component.mean_field().parts().to_vec();
        MeanField::new(std::iter::once(shares).chain(parts), |free| {
            let component = self.component.mean_field().law(&free[1..])?;
            Ok(Rc::new(Self::new(free[0].clone(), component)))
        })
    }
}
