//! Mixtures of laws of different families.

use std::fmt::{self, Debug};
use std::rc::Rc;

use super::different_law::DifferentLaw;
use super::{
    Mixture, MixtureComponents, NAME, SUPPORT_OF_DIFFERENT, assembled, contained, log_density_of,
    log_mixed, on_cpu, wrong,
};
use crate::dist::{
    Distribution, IntoDistribution, Law, Number, SiteValue, check_event_fit, expand_parameter,
    holds_indices,
};
use crate::error::Result;
use crate::random::Stream;
use crate::tensor::Tensor;

/// A component of a [`Mixture`] of different families: any distribution whose draws are of type `V`.
trait Component<V>: Debug {
    fn contains(&self, value: &V) -> Result<bool>;
    fn may_contain(&self, value: &V) -> Result<bool>;
    fn log_density_within(&self, value: &V) -> Result<f64>;
    fn sample(&self, stream: &mut Stream) -> Result<V>;
    fn law(&self) -> Result<Rc<dyn Law>>;
    fn expand(&self, plates: &[usize]) -> Result<Rc<dyn Component<V>>>;
}

impl<D: Distribution> Component<D::Value> for D {
    fn contains(&self, value: &D::Value) -> Result<bool> {
        Distribution::contains(self, value)
    }
    fn may_contain(&self, value: &D::Value) -> Result<bool> {
        Ok(Distribution::contains(self, value)? || Distribution::may_contain(self, value)?)
    }
    fn log_density_within(&self, value: &D::Value) -> Result<f64> {
        log_density_of(self, value)
    }
    fn sample(&self, stream: &mut Stream) -> Result<D::Value> {
        Distribution::sample(self, stream)
    }
    fn law(&self) -> Result<Rc<dyn Law>> {
        Distribution::law(self)
    }
    fn expand(&self, plates: &[usize]) -> Result<Rc<dyn Component<D::Value>>> {
        Ok(Rc::new(Distribution::expand(self.clone(), plates)?))
    }
}

/// Components of different families.
pub struct Different<V>(Vec<Rc<dyn Component<V>>>);

impl<V> Clone for Different<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> Debug for Different<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl<V> Different<V> {
    /// Whether something holds for all components.
    fn all(&self, holds: impl Fn(&dyn Component<V>) -> Result<bool>) -> Result<bool> {
        let mut all = true;
        for component in &self.0 {
            all &= holds(&**component)?;
        }
        Ok(all)
    }

    fn laws(&self) -> Result<Vec<Rc<dyn Law>>> {
        self.0.iter().map(|component| component.law()).collect()
    }

    /// Checks that there are as many components as weights, and that all have the same support.
    fn checked(self, weights: Option<usize>) -> Result<Self> {
        if weights != Some(self.0.len()) {
            return Err(wrong(format!(
                "are {}, beside {} weights; give as many of each",
                self.0.len(),
                weights.unwrap_or(0)
            )));
        }
        let laws = self.laws()?;
        if laws.iter().all(|law| law.counts().is_some()) {
            return Ok(self);
        }
        let support = |law: &Rc<dyn Law>| {
            let bijection = law.bijection().filter(|b| b.ends().is_empty());
            (
                law.event_rank(),
                bijection.map(|b| std::mem::discriminant(&b)),
            )
        };
        let first = support(&laws[0]);
        match laws
            .iter()
            .find(|law| support(law) != first || first.1.is_none())
        {
            None => Ok(self),
            Some(other) => Err(wrong(format!(
                "{} and {} are not known to have the same values; give laws of all real numbers, of all \
                 positive ones, of numbers between 0 and 1, or of counts",
                laws[0].name(),
                other.name()
            ))),
        }
    }
}

/// What draws of mixed laws may be: host values or tensors.
pub trait MixtureValue: SiteValue {
    /// Whether they can only be counts, whose mass is known to be 0 outside the support.
    const COUNTS: bool = false;
    /// `Vec<f64>` or [`Tensor`].
    type Weights;
    /// Converts host weights to that form.
    fn weights(logits: Vec<f64>) -> Self::Weights;
}

impl MixtureValue for f64 {
    type Weights = Vec<f64>;
    fn weights(logits: Vec<f64>) -> Vec<f64> {
        logits
    }
}

impl MixtureValue for usize {
    const COUNTS: bool = true;
    type Weights = Vec<f64>;
    fn weights(logits: Vec<f64>) -> Vec<f64> {
        logits
    }
}

impl MixtureValue for Tensor {
    type Weights = Tensor;
    fn weights(logits: Vec<f64>) -> Tensor {
        on_cpu(&logits)
    }
}

macro_rules! tuples {
    ($($first:ident $($other:ident)*;)*) => {$(
        impl<V, $first, $($other),*> MixtureComponents<Vec<f64>> for ($first, $($other),*)
        where
            V: MixtureValue,
            $first: IntoDistribution<Distribution: Distribution<Value = V>>,
            $($other: IntoDistribution<Distribution: Distribution<Value = V>>),*
        {
            type Weights = V::Weights;
            type Components = Different<V>;

            #[expect(non_snake_case, reason = "one name for a type and its value")]
            fn beside(self, logits: Vec<f64>) -> Result<(V::Weights, Different<V>)> {
                let ($first, $($other),*) = self;
                let all = Different(vec![
                    Rc::new($first.into_distribution()?) as Rc<dyn Component<V>>,
                    $(Rc::new($other.into_distribution()?)),*
                ]);
                let all = all.checked(Some(logits.len()))?;
                DifferentLaw::of(on_cpu(&logits), all.laws()?)?;
                Ok((V::weights(logits), all))
            }
        }

        impl<$first, $($other),*> MixtureComponents<Tensor> for ($first, $($other),*)
        where
            $first: IntoDistribution<Distribution: Distribution<Value = Tensor>>,
            $($other: IntoDistribution<Distribution: Distribution<Value = Tensor>>),*
        {
            type Weights = Tensor;
            type Components = Different<Tensor>;

            #[expect(non_snake_case, reason = "one name for a type and its value")]
            fn beside(self, logits: Tensor) -> Result<(Tensor, Different<Tensor>)> {
                let ($first, $($other),*) = self;
                let all = Different(vec![
                    Rc::new($first.into_distribution()?) as Rc<dyn Component<Tensor>>,
                    $(Rc::new($other.into_distribution()?)),*
                ]);
                let all = all.checked(logits.check()?.shape().last().copied())?;
                // Shapes that do not fit are rejected here.
                DifferentLaw::of(logits.clone(), all.laws()?)?;
                Ok((logits, all))
            }
        }
    )*};
}

tuples! {
    A B;
    A B C;
    A B C D;
    A B C D E;
}

impl<V: MixtureValue> Mixture<Vec<f64>, Different<V>> {
    /// Whether the mixture has a value, given whether a component has it.
    fn contained(&self, has: impl Fn(&dyn Component<V>) -> Result<bool>) -> Result<bool> {
        match V::COUNTS {
            true => contained(
                &self.logits,
                self.components.0.iter().map(|one| has(&**one)),
            ),
            false => self.components.all(has),
        }
    }
}

impl<V: MixtureValue<Weights = Vec<f64>>> Distribution for Mixture<Vec<f64>, Different<V>> {
    type Value = V;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT_OF_DIFFERENT;

    fn contains(&self, value: &V) -> Result<bool> {
        self.contained(|component| component.contains(value))
    }

    fn may_contain(&self, value: &V) -> Result<bool> {
        self.contained(|component| component.may_contain(value))
    }

    fn log_density(&self, value: &V) -> Result<Number> {
        let each = self.components.0.iter();
        let each = each.map(|component| component.log_density_within(value));
        log_mixed(&self.logits, each)
    }

    fn sample(&self, stream: &mut Stream) -> Result<V> {
        let chosen = crate::dist::categorical::gumbel_argmax(&self.logits, stream);
        self.components.0[chosen].sample(stream)
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        DifferentLaw::of(on_cpu(&self.logits), self.components.laws()?)
    }
}

impl Distribution for Mixture<Tensor, Different<Tensor>> {
    type Value = Tensor;
    const NAME: &'static str = NAME;
    const SUPPORT: &'static str = SUPPORT_OF_DIFFERENT;

    fn contains(&self, value: &Tensor) -> Result<bool> {
        if let Some(among) = assembled::contained_in_several(&self.components.laws()?, value)? {
            return Ok(among);
        }
        self.components.all(|component| component.contains(value))
    }

    fn may_contain(&self, value: &Tensor) -> Result<bool> {
        self.components
            .all(|component| component.may_contain(value))
    }

    fn log_density(&self, value: &Tensor) -> Result<Number> {
        let law = Distribution::law(self)?;
        let shape = law.draw_shape();
        // For counts the vertex has an axis of the numbers of θ.
        let behind = usize::from(
            law.relaxation()
                .is_some_and(|r| r.event_rank() > law.event_rank()),
        );
        let shape = shape.leading(shape.rank() - behind);
        check_event_fit(NAME, shape, law.event_rank(), value)?;
        Ok(law.log_density(value).into())
    }

    fn law(&self) -> Result<Rc<dyn Law>> {
        DifferentLaw::of(self.logits.clone(), self.components.laws()?)
    }

    fn expand(self, plates: &[usize]) -> Result<Self> {
        if plates.is_empty() {
            return Ok(self);
        }
        let logits = match self.logits.rank() {
            1 => self.logits,
            _ => expand_parameter(NAME, "weights", &self.logits, plates, 1)?,
        };
        let components = self
            .components
            .0
            .iter()
            .map(|component| component.expand(plates));
        let components = Different(components.collect::<Result<_>>()?);
        // Rows come first, and would be taken for other axes if the laws had different numbers of axes after them.
        let laws = components.laws()?;
        let axes = |law: &Rc<dyn Law>| law.draw_shape().rank() - usize::from(holds_indices(&**law));
        match laws.iter().find(|law| axes(law) != axes(&laws[0])) {
            None => Ok(Self { logits, components }),
            Some(other) => Err(wrong(format!(
                "have draws of shapes {} and {} in a plate; give them the same number of axes",
                laws[0].draw_shape(),
                other.draw_shape()
            ))),
        }
    }
}
