//! The law of one site of a Gaussian over the unconstrained numbers of several sites.

use std::rc::Rc;

use crate::dist::{Bijection, Draws, Law, MeanField, PerParameter};
use crate::error::Result;
use crate::random::{Key, Stream};
use crate::tensor::{Shape, Tensor};

/// ½ ln 2π.
const HALF_LN_TAU: f32 = 0.918_938_5;

/// A site's part of u ~ N(m, L · Lᵀ), given the parts u_< of the sites before it: with ε_< = L_<⁻¹ (u_< − m_<)
/// its own part is mₛ + Lₛ_< ε_< + Lₛₛ εₛ, which `bijection` brings to the support. The product of these
/// laws over the sites is the density of all of u, and each is again a product over the site's numbers,
/// each given those before it: a number a row, where there are rows.
#[derive(Clone, Debug)]
pub(super) struct JointNormal {
    /// m, of the sites before and this one.
    pub(super) loc: Tensor,
    /// L, of the same.
    pub(super) scale_tril: Tensor,
    /// u_<, where there are sites before.
    pub(super) before: Option<Tensor>,
    pub(super) bijection: Bijection,
    pub(super) support: Support,
}

/// The shapes of a site's numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Support {
    /// Of a draw.
    pub(super) shape: Shape,
    /// Of the unconstrained numbers behind it.
    pub(super) free: Shape,
    /// Trailing axes that form a single event.
    pub(super) event_rank: usize,
    /// Whether there are several rows of plates, which are drawn together: what a row costs then does
    /// not tell what the numbers of that row alone are worth.
    pub(super) has_rows: bool,
}

impl JointNormal {
    /// How many numbers there are before the site's.
    fn first(&self) -> usize {
        self.before.as_ref().map_or(0, Tensor::len)
    }

    /// The site's part of numbers of all sites up to here.
    fn own(&self, all: &Tensor) -> Tensor {
        all.slice(0, self.first()..self.loc.len())
    }

    /// The rows of L that belong to the site, and of these the columns from `columns` on.
    fn rows(&self, columns: std::ops::Range<usize>) -> Tensor {
        self.own(&self.scale_tril).slice(1, columns)
    }

    /// Lₛₛ.
    fn own_tril(&self) -> Tensor {
        self.rows(self.first()..self.loc.len())
    }

    /// The mean given the sites before.
    fn centre(&self) -> Tensor {
        let Some(before) = &self.before else {
            return self.loc.clone();
        };
        let first = self.first();
        let earlier = self.scale_tril.slice(0, 0..first).slice(1, 0..first);
        let distance = (before - self.loc.slice(0, 0..first)).unsqueeze(-1);
        let noise = earlier.solve_lower(&distance);
        self.own(&self.loc) + self.rows(0..first).matmul(&noise).squeeze(-1)
    }

    fn at(&self, centre: &Tensor, noise: &Tensor) -> Tensor {
        let free = centre + self.own_tril().matmul(&noise.unsqueeze(-1)).squeeze(-1);
        self.bijection.value(&free.reshape(self.support.free))
    }
}

impl Law for JointNormal {
    fn name(&self) -> &'static str {
        "JointNormal"
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        let own = [&self.loc, &self.scale_tril].into_iter().cloned();
        own.chain(self.before.clone())
            .chain(self.bijection.ends())
            .collect()
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        let ends = 2 + usize::from(self.before.is_some());
        Rc::new(Self {
            loc: parameters[0].clone(),
            scale_tril: parameters[1].clone(),
            before: self.before.as_ref().map(|_| parameters[2].clone()),
            bijection: self.bijection.with_ends(&parameters[ends..]),
            support: self.support,
        })
    }

    /// The draws before stay what they are: so the derivative of the sum over all sites is that of the whole
    /// density by the draws, which is that of the posterior where the two are one, and has no variance.
    fn with_own_parameters_held(&self) -> Rc<dyn Law> {
        let ends: PerParameter<Tensor> = self.bijection.ends().iter().map(Tensor::detach).collect();
        Rc::new(Self {
            loc: self.loc.detach(),
            scale_tril: self.scale_tril.detach(),
            bijection: self.bijection.with_ends(&ends),
            ..self.clone()
        })
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
        let flat = free.reshape(free.len());
        let all = match &self.before {
            Some(before) => Tensor::concat(&[before, &flat], 0),
            None => flat,
        };
        let distance = (all - &self.loc).unsqueeze(-1);
        let noise = self.own(&self.scale_tril.solve_lower(&distance).squeeze(-1));
        let terms = noise.square() * -0.5 - self.own_tril().diagonal().ln() - HALF_LN_TAU;
        let terms = terms.reshape(self.support.free);
        let volume = self.bijection.log_volume(&free);
        match self.support.event_rank {
            0 => terms - volume,
            _ if volume.rank() < free.rank() => terms.sum(-1) - volume,
            _ => (terms - volume).sum(-1),
        }
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.normals(self.loc.len() - self.first(), &self.loc.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        self.at(&self.centre(), noise)
    }

    fn mirrored(&self, noise: &Tensor) -> Option<Tensor> {
        Some(-noise)
    }

    /// It is a guide already.
    fn mean_field(&self) -> MeanField<'_> {
        MeanField::new([], |_| Ok(Rc::new(self.clone())))
    }

    /// The mean of each number given the sites before; of a simplex over a thousand draws.
    fn mean(&self) -> Tensor {
        let centre = self.centre();
        if let Bijection::Simplex = self.bijection {
            return self.mean_of_draws(&centre);
        }
        let variance = self.own_tril().square().sum(-1);
        let [centre, variance] = [centre, variance].map(|x| x.reshape(self.support.free));
        match &self.bijection {
            Bijection::Real => centre,
            Bijection::Positive | Bijection::Above(_) | Bijection::Below(_) => {
                self.bijection.value(&(centre + variance * 0.5))
            }
            _ => {
                // The trapezoidal rule, which is as good as exact for what is analytic.
                const STEP: f32 = 0.5;
                let scale = variance.sqrt();
                let at = (-12..=12).map(|k| k as f32 * STEP);
                let terms = at.map(|x| {
                    let weight = STEP * (-0.5 * x * x - HALF_LN_TAU).exp();
                    self.bijection.value(&(&centre + &scale * x)) * weight
                });
                terms
                    .reduce(|sum, term| sum + term)
                    .unwrap_or_else(|| centre.clone())
            }
        }
    }
}

impl JointNormal {
    fn mean_of_draws(&self, centre: &Tensor) -> Tensor {
        const PAIRS: u64 = 500;
        let mut stream = Key::new(0).stream("mean of a simplex");
        let mut sum = Tensor::zeros(self.support.shape, &self.loc.device());
        for _ in 0..PAIRS {
            match self.noise(&mut stream) {
                Ok(noise) => sum = sum + self.at(centre, &noise) + self.at(centre, &-noise),
                Err(error) => return Tensor::poisoned(error),
            }
        }
        sum / (2 * PAIRS) as f32
    }
}
