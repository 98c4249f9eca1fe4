//! Mixtures of laws of different families as guides and estimators see them.

use std::rc::Rc;

use super::law::{chosen, gaussian_guide, matched};
use super::{NAME, assembled, side_by_side, wrong};
use crate::dist::{Bijection, Draws, Law, MeanField, PerParameter};
use crate::error::Result;
use crate::random::{Key, Stream};
use crate::tensor::{Shape, Tensor};

/// A mixture of different continuous laws as guides and estimators see it.
#[derive(Clone, Debug)]
pub(super) struct DifferentLaw {
    logits: Tensor,
    laws: Vec<Rc<dyn Law>>,
    /// The shape of a draw.
    shape: Shape,
}

impl DifferentLaw {
    /// The law of the mixture: a law of counts where all components are.
    pub(super) fn of(logits: Tensor, laws: Vec<Rc<dyn Law>>) -> Result<Rc<dyn Law>> {
        if let Some(law) = assembled::of_several(&logits, &laws)? {
            return Ok(law);
        }
        let rows = logits.check()?.shape();
        let behind = laws.first().map_or(0, |law| law.event_rank());
        let ones = vec![1; behind];
        let rows = rows.leading(rows.rank() - 1).join(&ones);
        let mut shape = rows.unwrap_or(Shape::SCALAR);
        for law in &laws {
            let own = law.draw_shape();
            shape = shape.broadcast(&own).ok_or_else(|| {
                wrong(format!(
                    "have draws of shapes {own} and {shape}, which do not broadcast"
                ))
            })?;
        }
        // Each row has its own draws, and so does a component's guide.
        let laws = laws.into_iter().map(|law| broadcast(law, shape)).collect();
        Ok(Rc::new(Self {
            logits,
            laws,
            shape,
        }))
    }

    fn each(&self, of: impl Fn(&dyn Law) -> Tensor) -> Tensor {
        side_by_side(self.laws.iter().map(|law| of(&**law)))
    }

    /// One number per row, shaped to go with draws along the components' axis.
    fn beside_draws(&self, weights: &Tensor) -> Tensor {
        let events = self.event_rank() as isize;
        (0..events).fold(weights.clone(), |w, _| w.unsqueeze(-2))
    }

    fn rows(&self) -> Shape {
        self.shape.leading(self.shape.rank() - self.event_rank())
    }
}

/// The law with draws of this shape, where its first parameter has an element for each of them or broadcasts
/// to that; otherwise the law unchanged.
fn broadcast(law: Rc<dyn Law>, shape: Shape) -> Rc<dyn Law> {
    let mut parameters = law.parameters();
    if law.draw_shape() == shape {
        return law;
    }
    match parameters.first_mut() {
        Some(first) if first.shape().broadcast(&shape) == Some(shape) => {
            *first = first.broadcast_to(shape);
        }
        _ => return law,
    }
    let wide = law.with_parameters(&parameters);
    if wide.draw_shape() == shape {
        wide
    } else {
        law
    }
}

impl Law for DifferentLaw {
    fn name(&self) -> &'static str {
        NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        let own = std::iter::once(self.logits.clone());
        own.chain(self.laws.iter().flat_map(|law| law.parameters()))
            .collect()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        let mut at = 1;
        let laws = self.laws.iter().map(|law| {
            let from = at;
            at += law.parameters().len();
            law.with_parameters(&parameters[from..at])
        });
        Rc::new(Self {
            laws: laws.collect(),
            logits: parameters[0].clone(),
            shape: self.shape,
        })
    }

    fn bijection(&self) -> Option<Bijection> {
        self.laws.first()?.bijection()
    }

    fn draws(&self) -> Draws<'_> {
        match self.laws.iter().any(|law| law.draws().are_discrete()) {
            true => Draws::Discrete(None),
            false => Draws::Opaque,
        }
    }

    fn support_moves(&self) -> bool {
        self.laws.iter().any(|law| law.support_moves())
    }

    fn event_rank(&self) -> usize {
        self.laws.first().map_or(0, |law| law.event_rank())
    }

    fn draw_shape(&self) -> Shape {
        self.shape
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        let densities = self.each(|law| {
            let density = law.log_density(value);
            match law.outside(value) {
                None => density,
                Some(outside) => {
                    outside.select_where(&density.full_like(f32::NEG_INFINITY), &density)
                }
            }
        });
        (densities + self.logits.log_softmax(-1)).logsumexp(-1)
    }

    /// A uniform number per draw, which chooses the component, followed by the components' own noise.
    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        let mut all = vec![stream.uniforms(self.rows().numel(), &self.device())?];
        for law in &self.laws {
            let own = law.noise(stream)?;
            all.push(own.reshape(own.len()));
        }
        Ok(Tensor::concat(&all.iter().collect::<Vec<_>>(), 0))
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        let mut at = self.rows().numel();
        let which = noise.slice(0, 0..at).reshape(self.rows());
        let mut draws = Vec::with_capacity(self.laws.len());
        for law in &self.laws {
            let shape = match law.noise(&mut Key::new(0).stream("shape of noise")) {
                Ok(noise) => noise.shape(),
                Err(error) => return Tensor::poisoned(error),
            };
            let own = noise.slice(0, at..at + shape.numel()).reshape(shape);
            at += shape.numel();
            draws.push(law.draw(&own).detach().broadcast_to(self.shape));
        }
        let draws = Tensor::stack(&draws.iter().collect::<Vec<_>>(), -1);
        let chosen = self.beside_draws(&chosen(&self.logits, &which));
        let chosen = chosen.broadcast_to(draws.shape());
        chosen.select_where(&draws, &draws.zeros_like()).sum(-1)
    }

    /// A Gaussian where the components' guides are Gaussian, otherwise the guide of the likeliest component.
    fn mean_field(&self) -> MeanField<'_> {
        let gaussian = self.laws.iter().map(|law| gaussian_guide(&**law));
        let gaussian = gaussian.collect::<Option<Vec<_>>>();
        if let Some(guides) = gaussian {
            let along = |of: fn(&(Tensor, Tensor)) -> &Tensor| {
                let all = guides
                    .iter()
                    .map(|guide| of(guide).broadcast_to(self.shape));
                Tensor::stack(&all.collect::<Vec<_>>().iter().collect::<Vec<_>>(), -1)
            };
            let (loc, scale) = (along(|guide| &guide.0), along(|guide| &guide.1));
            let shares = self.beside_draws(&self.logits.softmax(-1));
            return matched(&shares, &loc, &scale, self.shape);
        }
        let shares = self.logits.detach().softmax(-1);
        let count = self.laws.len();
        let mean = shares.reshape([shares.len() / count.max(1), count]).sum(0);
        let likeliest = mean.argmax(-1).peek().ok();
        let likeliest = likeliest.and_then(|at| at.first().map(|at| *at as usize));
        self.laws[likeliest.unwrap_or(0)].mean_field()
    }

    fn mean(&self) -> Tensor {
        let shares = self.beside_draws(&self.logits.softmax(-1));
        (shares * self.each(|law| law.mean())).sum(-1)
    }
}
