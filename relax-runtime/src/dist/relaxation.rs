//! Continuous relaxations of discrete laws: the b, z, z̃ and κ of the estimators.

use std::fmt::Debug;
use std::ops::RangeInclusive;

use crate::error::{Error, Result};
use crate::tensor::{Tensor, grad};

/// The form of a relaxation, where there are formulas for it beyond those of every relaxation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// Coins with logits θ: z, H, z̃ and κ are those of [`BernoulliRelaxation`](super::BernoulliRelaxation).
    Coins,
    /// One-hot vectors with logits θ: those of
    /// [`CategoricalRelaxation`](super::CategoricalRelaxation).
    Categories,
    /// Values with gaps between them, over which z jumps as θ moves: neither z nor κ tells everything, and only
    /// estimators that look at the vertices alone are valid.
    Gapped,
    /// Any other: it gets the estimators that need nothing beyond this trait.
    #[default]
    Other,
}

/// How a discrete law with parameter θ is drawn through a relaxed sample.
///
/// Notation of Grathwohl et al. 2018: u is uniform [noise](super::noise), z the relaxed sample, and b = H(z)
/// the hard one, as a vertex: a number, such as 0 or 1, or a vector along the last axis, such as a
/// one-hot vector. z̃ ~ p(z | b, θ). All tensors have θ's shape. Functions called differentiable carry
/// gradients and tangents of θ.
///
/// Functions with a default are computed from the rest: a relaxation of numbers, where each element of θ
/// is an event, needs nothing else. With vectors, `kappa`, `pull` and `push` must be given, too.
///
/// ```
/// use relax_runtime::dist::{CategoricalRelaxation, Relaxation};
/// use relax_runtime::{Device, Key, Result, Tensor};
/// # fn main() -> Result<()> {
/// let theta = Tensor::from_slice(&[0.0, 1.0, 2.0]);
/// let u = Key::new(0).stream("choice").noise([3], &Device::cpu())?;
/// let z = CategoricalRelaxation.relaxed(&theta, &u);
/// let b = CategoricalRelaxation.hard(&z);
/// assert_eq!(b.sum_all().item()?, 1.0);
/// assert!(b.argmax(-1).item()? == z.argmax(-1).item()?);
/// // A point between the vertices.
/// let soft = CategoricalRelaxation.squash(&z, &Tensor::scalar(0.5));
/// assert!((soft.sum_all().item()? - 1.0).abs() < 1e-5);
/// # Ok(())
/// # }
/// ```
pub trait Relaxation: Debug {
    /// Whether it is one of the library's own forms.
    fn form(&self) -> Form {
        Form::Other
    }

    /// z(θ, u), differentiable in θ.
    fn relaxed(&self, theta: &Tensor, u: &Tensor) -> Tensor;

    /// H(z), a constant.
    fn hard(&self, z: &Tensor) -> Tensor;

    /// z̃(θ, v, b), a draw of z given H(z) = b; differentiable in θ with b held fixed
    /// (RELAX paper, Appendix B).
    fn conditional(&self, theta: &Tensor, v: &Tensor, b: &Tensor) -> Tensor;

    /// The noise v at which z̃ = z: given b it is uniform, so (b, z̃) keeps its joint law.
    fn coupled_noise(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor;

    /// A point in the convex hull of the vertices: σ(z/λ) or softmax(z/λ), differentiable in z
    /// and λ. `temperature` is λ, of rank 0.
    fn squash(&self, z: &Tensor, temperature: &Tensor) -> Tensor;

    /// ∂ log p(b | θ) / ∂θ, a constant.
    fn score(&self, theta: &Tensor, b: &Tensor) -> Tensor {
        let leaf = theta.leaf();
        let score = grad(&[(&self.log_mass(&leaf, &b.detach()), None)], &[&leaf]);
        score.map_or_else(Tensor::poisoned, |mut score| score.remove(0))
    }

    /// κ, the diagonal of K = ∂(z − z̃)/∂θ under coupled noise (with respect to normalized θ where the law is
    /// categorical), a constant; 1 − ∂z̃/∂θ where z is θ plus noise. The default is for relaxations in which
    /// every number is an event.
    fn kappa(&self, theta: &Tensor, u: &Tensor, b: &Tensor) -> Tensor {
        if self.event_rank() > 0 {
            return Tensor::poisoned(Error::Law(
                "a relaxation of vectors must define its κ; see `Relaxation::kappa`".into(),
            ));
        }
        let v = self.coupled_noise(theta, u, b).detach();
        let moving = theta.detach().with_tangent(&theta.ones_like());
        let apart = self.relaxed(&moving, u) - self.conditional(&moving, &v, b);
        tangent(&apart).detach()
    }

    /// Kᵀ w for K = ∂(z − z̃)/∂θ under coupled noise: how a cotangent of z reaches θ.
    fn pull(&self, _theta: &Tensor, kappa: &Tensor, w: &Tensor) -> Tensor {
        kappa * w
    }

    /// K v: how a tangent of θ moves z relative to z̃.
    fn push(&self, _theta: &Tensor, kappa: &Tensor, v: &Tensor) -> Tensor {
        kappa * v
    }

    /// Number of trailing axes of θ that form a single event: 1 where b is a vector, 0 where every
    /// element is a choice of its own.
    fn event_rank(&self) -> usize {
        0
    }

    /// Whether a common shift of an event's θ changes nothing, as with the logits of categories. The numbers of a
    /// gradient then have mean 0 in each event.
    fn ignores_shifts(&self) -> bool {
        self.form() == Form::Categories
    }

    /// Number of values of an event of `width` numbers; `None` where there is no last one, or more than
    /// can be listed.
    fn values(&self, width: usize) -> Option<usize>;

    /// All values of one event of `width` numbers (1, unless it is a vector) as vertices; empty where
    /// [`values`](Self::values) is `None`.
    fn vertices(&self, width: usize) -> Vec<Vec<f32>>;

    /// The [`values`](Self::values) of an event where they are counts: all whole numbers of a range.
    fn counts(&self) -> Option<RangeInclusive<usize>> {
        None
    }

    /// log p(b | θ) of each event, `[rows.., events..]`, differentiable in θ.
    fn log_mass(&self, theta: &Tensor, b: &Tensor) -> Tensor;

    /// ∂ log p(z | θ) / ∂θ of the relaxed sample z = z(θ, u), a constant. Only DLAX needs it.
    fn relaxed_score(&self, _theta: &Tensor, _u: &Tensor) -> Tensor {
        Tensor::poisoned(Error::Law(
            "this relaxation does not define the density of its relaxed sample, which `dlax` needs; \
             use `relax`"
                .into(),
        ))
    }

    /// p of each event's values in the order of [`vertices`](Self::vertices),
    /// `[rows.., events.., values]`, differentiable in θ.
    fn probabilities(&self, theta: &Tensor) -> Tensor {
        let vertices = self.vertices(self.width(&theta.shape()));
        let mass = |vertex: &Vec<f32>| self.log_mass(theta, &filled(theta, vertex)).exp();
        let masses: Vec<Tensor> = vertices.iter().map(mass).collect();
        match masses.is_empty() {
            true => Tensor::poisoned(endless("probabilities of all values")),
            false => Tensor::stack(&masses.iter().collect::<Vec<_>>(), -1),
        }
    }

    /// E\[b\], of θ's shape, differentiable in θ.
    fn mean(&self, theta: &Tensor) -> Tensor {
        let vertices = self.vertices(self.width(&theta.shape()));
        if vertices.is_empty() {
            return Tensor::poisoned(endless("mean"));
        }
        let shares = vertices.iter().map(|vertex| {
            let vertex = filled(theta, vertex);
            let mass = self.log_mass(theta, &vertex).exp();
            self.over_event(&mass) * vertex
        });
        shares.fold(theta.zeros_like().detach(), |mean, share| mean + share)
    }

    /// Center and unit by which a surrogate should normalize b, constants of θ's shape, where b may be of any
    /// size: those of counts. A number whose unit is 0 is always 0.
    fn scale(&self) -> Option<(&Tensor, &Tensor)> {
        None
    }

    /// Var\[b\] of each number, of θ's shape, differentiable in θ; needed where there is a
    /// [`scale`](Self::scale).
    fn variance(&self, _theta: &Tensor) -> Tensor {
        Tensor::poisoned(Error::Model(
            "a relaxation with a scale must define the variance of its draws, too".into(),
        ))
    }

    /// The value `by` places further on in the order of [`vertices`](Self::vertices), wrapping around from
    /// the last to the first: `by` has a number for each event, at least 0 and below the number of values, and
    /// broadcasts.
    fn shifted(&self, b: &Tensor, by: &Tensor) -> Tensor {
        let vertices = self.vertices(self.width(&b.shape()));
        let count = vertices.len() as f32;
        let is_at = |vertex: &Vec<f32>| {
            let apart = (b - filled(b, vertex)).abs();
            match self.event_rank() {
                0 => apart.le(0.0),
                _ => apart.sum(-1).le(0.0),
            }
        };
        let place = vertices
            .iter()
            .map(is_at)
            .enumerate()
            .map(|(k, here)| here * k as f32)
            .reduce(|sum, here| sum + here);
        let Some(place) = place else {
            return Tensor::poisoned(endless("next value"));
        };
        let moved = place + by;
        let moved = &moved - moved.ge(count) * count;
        let parts = vertices.iter().enumerate().map(|(k, vertex)| {
            let here = (&moved - k as f32).abs().lt(0.5);
            self.over_event(&here) * filled(b, vertex)
        });
        parts.fold(b.zeros_like(), |sum, part| sum + part)
    }

    /// Whether every number lies between the least and the largest that a vertex has in its place.
    ///
    /// # Errors
    /// If the tensor carries an error.
    fn spans(&self, draw: &Tensor) -> Result<bool> {
        let width = self.width(&draw.shape());
        let vertices = self.vertices(width);
        let bounds = |k: usize| {
            let all = vertices.iter().map(|vertex| vertex[k]);
            let outside = (f32::INFINITY, f32::NEG_INFINITY);
            all.fold(outside, |(low, high), x| (low.min(x), high.max(x)))
        };
        let bounds: Vec<_> = (0..width).map(bounds).collect();
        draw.with_values(|numbers| {
            let events = numbers.chunks(width.max(1));
            let within = |(x, (low, high)): (&f32, &(f32, f32))| (*low..=*high).contains(x);
            events.flat_map(|e| e.iter().zip(&bounds)).all(within)
        })
    }

    /// Number of elements of an event in a tensor of this shape.
    fn width(&self, shape: &[usize]) -> usize {
        match (self.event_rank(), shape.last()) {
            (0, _) | (_, None) => 1,
            (_, Some(&width)) => width,
        }
    }

    /// A number for each event, shaped to multiply tensors of θ's shape.
    fn over_event(&self, numbers: &Tensor) -> Tensor {
        match self.event_rank() {
            0 => numbers.clone(),
            _ => numbers.unsqueeze(-1),
        }
    }

    /// Number of values of an event, `usize::MAX` without a last one, and number of events in a row of θ
    /// of this shape.
    fn values_and_events(&self, row: &[usize]) -> (usize, usize) {
        let width = self.width(row);
        let numbers: usize = row.iter().product();
        let values = self.values(width).unwrap_or(usize::MAX);
        (values, numbers / width.max(1))
    }
}

/// A tensor of the same shape in which every event is this vertex.
fn filled(like: &Tensor, vertex: &[f32]) -> Tensor {
    match vertex {
        [number] => like.detach().full_like(*number),
        _ => {
            let values = Tensor::from_vec(vertex.to_vec(), [vertex.len()], &like.device());
            let values = values.unwrap_or_else(Tensor::poisoned);
            values.broadcast_to(like.shape())
        }
    }
}

fn endless(what: &str) -> Error {
    Error::Law(format!(
        "a relaxation whose values have no last one must define its {what} itself"
    ))
}

/// The tangent; zeros where there is none.
fn tangent(x: &Tensor) -> Tensor {
    x.tangent().unwrap_or_else(|| x.zeros_like())
}
