//! Laws of counts over tensors.

use std::rc::Rc;

use smallvec::smallvec;

use super::CountOperand;
use super::certain::{self, certainties, open};
use super::family::{CountFamily, CountParts, FamilyOfCounts};
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
    /// As the program has it; the log-mass has a derivative with respect to it.
    fixed: Tensor,
    relaxation: CountRelaxation<F>,
}

impl<F: CountFamily> CountLaw<F> {
    pub(in crate::dist) fn new(family: F, theta: &Tensor, fixed: &Tensor) -> Result<Self> {
        let relaxation = CountRelaxation::new(family, theta, fixed)?;
        let theta = match fixed.provenance() {
            None => theta.clone(),
            // Draws also depend on what the fixed number came from, but have no derivative with respect to it.
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

    fn takes_relaxed_values(&self) -> bool {
        !self.relaxation.has_gap()
    }

    fn outside(&self, value: &Tensor) -> Option<Tensor> {
        let family = self.family();
        // No number is below 0, and none beyond where there is no last value.
        let has_ends = family.first() > 0.0 || family.last(1.0).is_finite();
        has_ends.then(|| FamilyOfCounts::outside(family, &self.fixed, value))
    }

    fn log_density(&self, value: &Tensor) -> Tensor {
        certain::log_mass(self.family(), [&self.theta, &self.fixed, value])
    }

    fn excluded(&self) -> Result<Option<Vec<bool>>> {
        let family = self.family();
        let Some(values) = self.relaxation.counts() else {
            return Ok(None);
        };
        if family.is_table() || certainties(&self.theta).is_none() {
            return Ok(None);
        }
        let mut excluded = Vec::new();
        <Tensor as CountOperand>::each_event(
            &self.theta,
            &self.fixed,
            family.width(),
            |theta, fixed| {
                let masses = values
                    .clone()
                    .map(|k| family.ln_mass(theta, fixed, k as f64));
                excluded.extend(masses.map(|ln_mass| ln_mass == f64::NEG_INFINITY));
            },
        )?;
        Ok(excluded.contains(&true).then_some(excluded))
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

    /// A law of the same family, of which the same numbers are certain. Numbers that share a name form one vector.
    fn mean_field(&self) -> MeanField<'_> {
        let family = self.family();
        let build = |theta: &Tensor| -> Result<Rc<dyn Law>> {
            let theta = match certainties(&self.theta).filter(|_| !family.is_table()) {
                None => theta.clone(),
                Some(certain) => certain.square().select_where(&self.theta.detach(), theta),
            };
            Ok(Rc::new(Self::new(family.clone(), &theta, &self.fixed)?))
        };
        if family.is_table() {
            let logits = guide_logits(&self.theta);
            return MeanField::new([logits], move |free| build(&free[0])).of_logits();
        }
        let names = family.parameters();
        if !family.is_vector() {
            let parts = names
                .iter()
                .map(|name| Part::starting(name, &self.theta, open));
            return MeanField::new(parts, move |free| build(&free[0]));
        }
        let repeated = names.windows(2).position(|pair| pair[0] == pair[1]);
        let single = repeated.unwrap_or(names.len());
        let numbers = names[..single].iter().enumerate();
        let numbers = numbers.map(|(j, name)| Part::starting(name, &self.theta.index(-1, j), open));
        let vector = repeated.map(|from| {
            let rest = self.theta.slice(-1, from..names.len());
            Part::starting(names[from], &rest, open)
        });
        MeanField::new(numbers.chain(vector), move |free| {
            let (numbers, vector) = free.split_at(single);
            if let ([], [theta]) = (numbers, vector) {
                return build(theta);
            }
            let numbers = numbers.iter().map(|number| number.unsqueeze(-1));
            let all: Vec<Tensor> = numbers.chain(vector.iter().cloned()).collect();
            build(&Tensor::concat(&all.iter().collect::<Vec<_>>(), -1))
        })
    }

    fn mean(&self) -> Tensor {
        self.relaxation.counts_mean(&self.theta)
    }
}
