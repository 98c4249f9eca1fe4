//! The law of one site under a Gaussian over the unconstrained numbers of several sites.

use std::rc::Rc;

use crate::dist::{Bijection, Draws, Law, MeanField, PerParameter};
use crate::error::Result;
use crate::random::{Key, Stream};
use crate::special::HALF_LN_TAU;
use crate::tensor::{Shape, Tensor};

/// A site's part of u ~ N(m, L · Lᵀ), given the parts u_< of the sites before it: Gaussian with mean
/// mₛ + Lₛ_< ε_<, ε_< = L_<⁻¹ (u_< − m_<), and factor Lₛₛ, mapped to the support. The product of these laws over the
/// sites is the density of all of u. Each is in turn a product over the site's numbers, each given those before it,
/// with one number per row if there are rows.
#[derive(Clone, Debug)]
pub(super) struct ConditionalNormal {
    /// The mean, `[d]`.
    centre: Tensor,
    /// Lₛₛ, `[d, d]`.
    scale_tril: Tensor,
    bijection: Bijection,
    support: Support,
    /// What the mean was computed from.
    joint: Option<Joint>,
}

/// u ~ N(`loc`, `scale_tril` · `scale_tril`ᵀ), up to a site.
#[derive(Clone, Debug)]
pub(super) struct Joint {
    pub(super) loc: Tensor,
    pub(super) scale_tril: Tensor,
    /// The unconstrained numbers of the sites before the last, if there are any.
    pub(super) before: Option<Tensor>,
}

/// The shapes of a site's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Support {
    /// Shape of a draw.
    pub(super) shape: Shape,
    /// Shape of the unconstrained numbers behind it.
    pub(super) free: Shape,
    /// Trailing axes that form a single event.
    pub(super) event_rank: usize,
    /// Whether there are several rows of plates, which are drawn together: the cost of a row then does not tell the
    /// value of that row's numbers alone.
    pub(super) has_rows: bool,
}

impl Joint {
    fn first(&self) -> usize {
        self.before.as_ref().map_or(0, Tensor::len)
    }

    /// The mean of the last site's numbers, given those before.
    fn centre(&self) -> Tensor {
        let (first, all) = (self.first(), self.loc.len());
        let Some(before) = &self.before else {
            return self.loc.clone();
        };
        let columns = self.scale_tril.slice(1, 0..first);
        let distance = before - self.loc.slice(0, 0..first);
        let noise = columns
            .slice(0, 0..first)
            .solve_lower(&distance.unsqueeze(-1));
        let moved = columns.slice(0, first..all).matmul(&noise).squeeze(-1);
        self.loc.slice(0, first..all) + moved
    }

    /// The rows and columns of the last site's numbers.
    fn own_tril(&self) -> Tensor {
        let own = self.first()..self.loc.len();
        self.scale_tril.slice(0, own.clone()).slice(1, own)
    }
}

impl ConditionalNormal {
    pub(super) fn new(joint: Joint, bijection: Bijection, support: Support) -> Self {
        Self {
            centre: joint.centre(),
            scale_tril: joint.own_tril(),
            bijection,
            support,
            joint: Some(joint),
        }
    }

    fn at(&self, noise: &Tensor) -> Tensor {
        let free = &self.centre + self.scale_tril.matmul(&noise.unsqueeze(-1)).squeeze(-1);
        self.bijection.value(&free.reshape(self.support.free))
    }
}

impl Law for ConditionalNormal {
    fn name(&self) -> &'static str {
        "ConditionalNormal"
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        let own = [&self.centre, &self.scale_tril].into_iter().cloned();
        own.chain(self.bijection.ends()).collect()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        Rc::new(Self {
            centre: parameters[0].clone(),
            scale_tril: parameters[1].clone(),
            bijection: self.bijection.with_ends(&parameters[2..]),
            support: self.support,
            joint: None,
        })
    }

    /// Earlier draws stay as they are: the derivative of the sum over all sites is then that of the whole density by
    /// the draws, which equals that of the posterior if the two agree, and has no variance.
    fn with_own_parameters_held(&self) -> Rc<dyn Law> {
        let centre = match &self.joint {
            None => self.centre.detach(),
            Some(joint) => Joint {
                loc: joint.loc.detach(),
                scale_tril: joint.scale_tril.detach(),
                before: joint.before.clone(),
            }
            .centre(),
        };
        let held = [centre, self.scale_tril.detach()].into_iter();
        let ends = self.bijection.ends();
        let held: PerParameter<Tensor> = held.chain(ends.iter().map(Tensor::detach)).collect();
        self.with_parameters(&held)
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Pathwise
    }

    fn support_moves(&self) -> bool {
        self.support.has_rows || self.bijection.ends().iter().any(Tensor::is_tracked)
    }

    fn event_rank(&self) -> usize {
        self.support.event_rank
    }

    fn draw_shape(&self) -> Shape {
        self.support.shape
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        let free = self.bijection.free(value);
        let distance = free.reshape(free.len()) - &self.centre;
        let noise = self.scale_tril.solve_lower(&distance.unsqueeze(-1));
        let terms = noise.squeeze(-1).square() * -0.5 - self.scale_tril.diagonal().ln();
        let terms = (terms - HALF_LN_TAU as f32).reshape(self.support.free);
        let volume = self.bijection.log_volume(&free);
        match self.support.event_rank {
            0 => terms - volume,
            _ if volume.rank() < free.rank() => terms.sum(-1) - volume,
            _ => (terms - volume).sum(-1),
        }
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.normals(self.centre.shape(), &self.centre.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        self.at(noise)
    }

    fn mirrored(&self, noise: &Tensor) -> Option<Tensor> {
        Some(-noise)
    }

    /// It already is a guide.
    fn mean_field(&self) -> MeanField<'_> {
        MeanField::new([], |_| Ok(Rc::new(self.clone())))
    }

    /// The mean of each number given the sites before; for a simplex over a thousand draws.
    fn mean(&self) -> Tensor {
        if let Bijection::Simplex = self.bijection {
            return self.mean_of_draws().unwrap_or_else(Tensor::poisoned);
        }
        let variance = self.scale_tril.square().sum(-1);
        let [centre, variance] = [&self.centre, &variance].map(|x| x.reshape(self.support.free));
        match &self.bijection {
            Bijection::Real => centre,
            Bijection::Positive | Bijection::Above(_) | Bijection::Below(_) => {
                self.bijection.value(&(centre + variance * 0.5))
            }
            _ => {
                // The trapezoidal rule, which is practically exact for analytic functions that change little from one
                // node to the next.
                const STEP: f32 = 0.5;
                let (scale, mut sum) = (variance.sqrt(), centre.zeros_like());
                let widest = |scale: &[f32]| scale.iter().copied().fold(0.0, f32::max);
                let widest = scale.with_values(widest).unwrap_or(0.0).min(40.0);
                let finer = (widest * STEP).ceil().max(1.0) as i32;
                let step = STEP / finer as f32;
                for x in (-12 * finer..=12 * finer).map(|k| k as f32 * step) {
                    let weight = step * (-0.5 * x * x - HALF_LN_TAU as f32).exp();
                    sum = sum + self.bijection.value(&(&centre + &scale * x)) * weight;
                }
                sum
            }
        }
    }
}

impl ConditionalNormal {
    fn mean_of_draws(&self) -> Result<Tensor> {
        const PAIRS: usize = 500;
        let (len, device) = (self.centre.len(), self.centre.device());
        let mut stream = Key::new(0).stream("mean of a simplex");
        let noise = stream.normals([PAIRS, len], &device)?;
        let noise = Tensor::concat(&[&noise, &-&noise], 0);
        let free = noise.matmul_nt(&self.scale_tril) + &self.centre;
        let width = self.support.free.last().copied().unwrap_or(1);
        let vectors = self
            .bijection
            .value(&free.reshape([free.len() / width, width]));
        let means = vectors
            .reshape([2 * PAIRS, self.support.shape.numel()])
            .mean(0);
        Ok(means.reshape(self.support.shape))
    }
}
