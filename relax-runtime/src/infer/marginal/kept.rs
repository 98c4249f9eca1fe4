//! What the runs of one sum share: above all, the choices that are not summed out.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::graph::Graph;
use super::nodes::Names;
use crate::dist::{Form, Law, Number, Value};
use crate::error::{Error, Result};
use crate::model::Interpreter;
use crate::tensor::SiteSet;

/// Which sites are summed out, by name.
pub(super) type Only = dyn Fn(&str) -> bool;

/// Whether events of two discrete laws have the same values, as far as these can be listed.
fn has_same_values(first: &dyn Law, here: &dyn Law) -> bool {
    let listed = |law: &dyn Law| {
        let relaxation = law.relaxation()?;
        let width = relaxation.width(&law.parameters().first()?.shape());
        let count = relaxation.values(width);
        // The values of coins and categories follow from their number.
        let is_plain = matches!(relaxation.form(), Form::Coins | Form::Categories);
        let vertices = count
            .filter(|_| !is_plain)
            .map(|_| relaxation.vertices(width));
        Some((count, vertices))
    };
    listed(first) == listed(here)
}

/// What the runs of one sum share.
pub(super) struct Shared {
    pub(super) graph: Rc<RefCell<Graph>>,
    pub(super) only: Rc<Only>,
    /// Names of the sites that are integrated out.
    pub(super) integrated: Rc<Names>,
    /// What makes the choices that are not summed out.
    pub(super) outer: Option<Rc<dyn Interpreter>>,
    /// Whether the sum was requested.
    pub(super) is_asked: bool,
    /// Number of sites that the runs may still reach.
    pub(super) sites_left: Cell<usize>,
    /// Maximum number of sites that one run may reach.
    pub(super) most_in_a_run: usize,
    /// The laws of the summed-out sites when a run first reached them.
    pub(super) laws: RefCell<FxHashMap<usize, Rc<dyn Law>>>,
    /// The choices that are not summed out, which are the same in every run.
    pub(super) kept: RefCell<FxHashMap<String, Kept>>,
}

impl Shared {
    /// The discrete choices that are not summed out, as a set of origins of values.
    pub(super) fn discrete_kept(&self) -> SiteSet {
        let mut sites = SiteSet::EMPTY;
        for kept in self.kept.borrow().values() {
            if kept.law.draws().are_discrete()
                && let Some(origin) = kept.origin
            {
                sites.insert(origin);
            }
        }
        sites
    }

    /// The error of observations that have probability 0 whatever the summed-out choices. If a discrete choice is not
    /// summed out, its draw may be what excludes them.
    pub(super) fn impossible(&self, model: &str) -> Error {
        /// Maximum number of choices that are named.
        const NAMED: usize = 4;
        let never = format!(
            "`{model}` gives its observations probability 0, or one that is 0 in floating point, whatever"
        );
        let kept = self.kept.borrow();
        let are_discrete = |(_, kept): &(&String, &Kept)| kept.law.draws().are_discrete();
        let mut drawn: Vec<_> = kept.iter().filter(are_discrete).collect();
        if drawn.is_empty() {
            return Error::Impossible(format!(
                "{never} its discrete choices are: check the data and their units"
            ));
        }
        drawn.sort_unstable_by_key(|(name, _)| *name);
        let more = if drawn.len() > NAMED { ", .." } else { "" };
        let drawn = drawn.iter().take(NAMED);
        let drawn = drawn.map(|(name, kept)| format!("`{name}` is {}", kept.value));
        Error::Impossible(format!(
            "{never} the summed-out choices are, at this draw of those that are not: {}{more}; a count can be \
             summed out if it has a largest value, and `Truncated(Poisson(rate), 0, 40)` leaves the model as it is \
             if 40 lies far out in the tail; if no draw explains the observations, check the data and their units",
            drawn.collect::<Vec<_>>().join(", "),
        ))
    }
}

/// A choice that is not summed out.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) value: Value,
    pub(super) origin: Option<usize>,
    /// The law that the model stated when the choice was made.
    pub(super) law: Rc<dyn Law>,
    pub(super) plates: usize,
}

impl Kept {
    /// # Errors
    /// If a run states a law with values other than those of the law that was drawn from: what draws the choice only
    /// knows the first law's.
    pub(super) fn expect_values_of(&self, law: &dyn Law) -> Result<()> {
        let is_same = match (self.law.bijection(), law.bijection()) {
            (Some(first), Some(here)) => first.has_values_of(&here)?,
            (None, None) if self.law.draws().are_discrete() => has_same_values(&*self.law, law),
            // For example a certain value.
            (None, None) => {
                let density = law.log_density_from(&self.value.to_tensor()?, self.plates);
                density.with_values(|numbers| !numbers.contains(&f32::NEG_INFINITY))?
            }
            _ => false,
        };
        match is_same {
            true => Ok(()),
            false => Err(Error::Enumeration(
                "which values it may have depends on discrete choices before it, so one draw cannot serve a sum \
                 over these; let them be drawn, too: all choices (`draw_all`), or those that `only` \
                 leaves out"
                    .into(),
            )),
        }
    }

    /// The density that stands in for the choice's own if a run does not reach it: that of what draws it, which keeps
    /// the bound valid and fits it best (Carlin and Chib 1995). Its parameters are held fixed: the guide then follows
    /// the choice's posterior where it is made, and its gradient has no variance there.
    pub(super) fn log_density(&self, outer: Option<&dyn Interpreter>) -> Result<Number> {
        if let (Some(outer), Some(origin)) = (outer, self.origin)
            && let Some(density) = outer.log_density(origin)
        {
            return density;
        }
        let value = self.value.to_tensor()?;
        let density = self.law.log_density_from(&value, self.plates);
        Ok(Number::Tensor(density.check()?.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Binomial, Categorical, DiscreteUniform, Distribution, Poisson};
    use crate::tensor::Tensor;

    fn kept(law: Rc<dyn Law>) -> Kept {
        Kept {
            value: Value::Tensor(Tensor::scalar(1.0)),
            origin: None,
            law,
            plates: 0,
        }
    }

    #[test]
    fn discrete_laws_of_other_values_are_refused() -> Result<()> {
        let binomial = |trials: usize, p: f32| Binomial::probs(trials, Tensor::scalar(p))?.law();
        let categories = |probs: &[f32]| Categorical::probs(Tensor::from_slice(probs))?.law();
        let uniform = |low: usize, high: usize| DiscreteUniform::new(low, high)?.law();
        let poisson = |rate: f32| Poisson::rate(Tensor::scalar(rate))?.law();
        for (first, here, is_same) in [
            (binomial(3, 0.2)?, binomial(3, 0.7)?, true),
            (binomial(3, 0.2)?, binomial(5, 0.2)?, false),
            (binomial(3, 0.2)?, poisson(1.0)?, false),
            (poisson(0.5)?, poisson(1.0)?, true),
            (categories(&[0.5, 0.5])?, categories(&[0.1, 0.9])?, true),
            (
                categories(&[0.5, 0.5])?,
                categories(&[0.1, 0.4, 0.5])?,
                false,
            ),
            (uniform(0, 3)?, uniform(0, 3)?, true),
            // The same number of values, but different ones.
            (uniform(0, 3)?, uniform(1, 4)?, false),
        ] {
            let found = kept(first.clone()).expect_values_of(&*here);
            assert_eq!(found.is_ok(), is_same, "{first:?} {here:?}");
        }
        Ok(())
    }
}
