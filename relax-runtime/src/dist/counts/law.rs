//! Laws of counts over tensors.

use std::rc::Rc;

use smallvec::smallvec;

use super::family::{CountFamily, CountParts};
use super::relaxation::CountRelaxation;
use crate::dist::categorical::guide_logits;
use crate::dist::{Draws, Law, MeanField, Part, PerParameter, Relaxation};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::Tensor;

/// [`Counts`](super::Counts) as guides and estimators see them.
#[derive(Clone, Debug)]
pub(in crate::dist) struct CountLaw<F> {
    theta: Tensor,
    /// As the program has it, of which the log-mass has a derivative.
    fixed: Tensor,
    relaxation: CountRelaxation<F>,
}

impl<F: CountFamily> CountLaw<F> {
    pub(in crate::dist) fn new(family: F, theta: &Tensor, fixed: &Tensor) -> Result<Self> {
        let relaxation = CountRelaxation::new(family, theta, fixed)?;
        let theta = match fixed.provenance() {
            None => theta.clone(),
            // Draws depend on what the fixed number came from, too, but have no derivative by it.
            Some(_) => theta + relaxation.vertex(&fixed.detach()) * 0.0,
        };
        Ok(Self {
            theta,
            fixed: fixed.clone(),
            relaxation,
        })
    }

    fn family(&self) -> &F {
        &self.relaxation.family
    }
}

impl<F: CountFamily> Law for CountLaw<F> {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn parameters(&self) -> PerParameter<Tensor> {
        smallvec![self.theta.clone()]
    }

    fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
        let family = self.family().clone();
        let theta = &parameters[0];
        match Self::new(family, theta, &self.fixed) {
            Ok(law) => Rc::new(law),
            Err(error) => Rc::new(Self {
                theta: Tensor::poisoned(error),
                ..self.clone()
            }),
        }
    }

    fn draws(&self) -> Draws<'_> {
        Draws::Discrete(Some(&self.relaxation))
    }

    fn counts(&self) -> Option<CountParts> {
        Some(CountParts {
            family: Rc::new(self.family().clone()),
            theta: self.theta.clone(),
            fixed: self.fixed.clone(),
        })
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        self.family().log_mass(&self.theta, &self.fixed, value)
    }

    fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
        stream.noise(self.theta.shape(), &self.theta.device())
    }

    fn draw(&self, noise: &Tensor) -> Tensor {
        let z = self.relaxation.relaxed(&self.theta.detach(), noise);
        self.value_at(&self.relaxation.hard(&z))
    }

    fn to_vertex(&self, value: &Tensor) -> Tensor {
        self.relaxation.vertex(value)
    }

    fn value_at(&self, vertex: &Tensor) -> Tensor {
        self.relaxation.count(vertex)
    }

    /// A law of the same family.
    fn mean_field(&self) -> MeanField<'_> {
        let family = self.family();
        let build = |theta: &Tensor| -> Result<Rc<dyn Law>> {
            Ok(Rc::new(Self::new(family.clone(), theta, &self.fixed)?))
        };
        if family.is_table() {
            let logits = guide_logits(&self.theta);
            return MeanField::new([logits], move |free| build(&free[0])).of_logits();
        }
        let names = family.parameters();
        // Numbers of one name are one vector.
        if let [first, second, ..] = names[..]
            && first == second
        {
            return MeanField::new([Part::real(first, &self.theta)], move |free| {
                build(&free[0])
            });
        }
        let parts = names.into_iter().enumerate().map(|(j, name)| {
            let own = match family.is_vector() {
                false => self.theta.clone(),
                true => self.theta.index(-1, j),
            };
            Part::real(name, &own)
        });
        MeanField::new(parts, move |free| match free {
            [theta] if !family.is_vector() => build(theta),
            _ => build(&Tensor::stack(&free.iter().collect::<Vec<_>>(), -1)),
        })
    }

    fn mean(&self) -> Tensor {
        self.relaxation.counts_mean(&self.theta)
    }
}
