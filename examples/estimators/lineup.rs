//! The estimators compared, each with its default settings.

use std::rc::Rc;

use relax_runtime::estimator::{
    Arms, Coupling, Disarm, DisarmTree, Dlax, DoubleCv, Enumerate, Estimator, GumbelSoftmax,
    IndeCateR, MuProp, Nvil, ReinMax, Rloo, Rodeo, StraightThrough,
};
use relax_runtime::infer::{Mode, Objective};
use relax_runtime::prelude::*;

use crate::program::Outcome;

/// An estimator under the name of the table.
#[derive(Clone)]
pub(crate) struct Entrant {
    pub(crate) name: &'static str,
    pub(crate) estimator: Rc<dyn Estimator>,
    /// Independent draws of everything a step, whose estimates are averaged.
    particles: usize,
    /// Whether what it has learned from earlier draws changes its variance.
    pub(crate) learns: bool,
}

impl Entrant {
    fn new(name: &'static str, estimator: impl Estimator + 'static) -> Self {
        Self {
            name,
            estimator: Rc::new(estimator),
            particles: 1,
            learns: true,
        }
    }

    /// Of one that has nothing to learn.
    fn fixed(name: &'static str, estimator: impl Estimator + 'static) -> Self {
        Self {
            learns: false,
            ..Self::new(name, estimator)
        }
    }

    fn particles(self, particles: usize) -> Self {
        Self { particles, ..self }
    }

    /// The name, with a star where the estimator is biased.
    pub(crate) fn marked(&self) -> String {
        let mark = if self.estimator.biased() { "*" } else { "" };
        format!("{}{mark}", self.name)
    }

    /// A trainer that uses it.
    pub(crate) fn trainer(&self, seed: u64) -> Trainer {
        Trainer::new(seed)
            .estimator(Rc::clone(&self.estimator))
            .particles(self.particles)
    }

    /// Evaluations of the cost in a step, if the estimator is valid for the objective's only site.
    ///
    /// # Errors
    /// Whatever goes wrong in the objective.
    pub(crate) fn evaluations(&self, objective: &dyn Objective) -> Result<Option<usize>> {
        let pass = objective.evaluate(Key::new(0), &ParamStore::default(), &Mode::Draw)?;
        if self.estimator.valid_for(pass.class(0)).is_err() {
            return Ok(None);
        }
        let found = self.trainer(0).gradients(objective, Key::new(0))?;
        Ok(Some(found.evaluations))
    }
}

/// Whose shared parameters the gradients are compared at.
///
/// # Errors
/// None: four draws are enough.
pub(crate) fn reference() -> Result<Entrant> {
    Ok(Entrant::fixed("rloo-4", Rloo::new(4)?))
}

/// RELAX as in the paper, with a first temperature: independent noise, the relaxed cost plus a network.
fn published(temperature: f32) -> Relax {
    Relax {
        coupling: Coupling::Independent,
        temperature: Some(temperature),
        ..Relax::sum()
    }
}

/// Further settings, which are compared where they are named.
fn variants() -> Result<Vec<Entrant>> {
    let warmer = Relax {
        temperature: Some(0.35),
        ..Relax::default()
    };
    Ok(vec![
        Entrant::new("relax-0.35", warmer),
        Entrant::new("relax-published-0.1", published(0.1)),
        Entrant::fixed("arms-6", Arms::new(6)?),
    ])
}

/// All of them, by rising cost.
///
/// # Errors
/// None: every setting is valid.
pub(crate) fn lineup() -> Result<Vec<Entrant>> {
    let independent = Relax {
        coupling: Coupling::Independent,
        ..Relax::default()
    };
    Ok(vec![
        Entrant::new("reinforce", Reinforce::default()),
        Entrant::new("nvil", Nvil::default()),
        Entrant::new("relax-free-form", Relax::free_form()),
        Entrant::new("relax-free-form-2", Relax::free_form()).particles(2),
        Entrant::new("relax", Relax::default()),
        Entrant::new("relax-sum", Relax::sum()),
        Entrant::new("rebar", Rebar::default()),
        Entrant::new("dlax", Dlax::default()),
        Entrant::new("muprop", MuProp::default()),
        Entrant::fixed("rloo-2", Rloo::new(2)?),
        Entrant::fixed("disarm", Disarm),
        Entrant::fixed("disarm-tree", DisarmTree),
        Entrant::new("double-cv-2", DoubleCv::new(2)?),
        Entrant::new("rodeo-2", Rodeo::new(2)?),
        Entrant::new("relax-independent", independent),
        Entrant::new("relax-published", published(0.5)),
        Entrant::fixed("rloo-3", Rloo::new(3)?),
        Entrant::fixed("arms-3", Arms::new(3)?),
        Entrant::new("double-cv-3", DoubleCv::new(3)?),
        Entrant::new("rodeo-3", Rodeo::new(3)?),
        Entrant::fixed("rloo-4", Rloo::new(4)?),
        Entrant::fixed("arms-4", Arms::new(4)?),
        Entrant::new("relax-2", Relax::default()).particles(2),
        Entrant::fixed("indecater", IndeCateR),
        Entrant::fixed("enumerate", Enumerate::default()),
        Entrant::fixed("gumbel-softmax", GumbelSoftmax::default()),
        Entrant::fixed("straight-through", StraightThrough::default()),
        Entrant::fixed("straight-through-gumbel", StraightThrough::gumbel()),
        Entrant::fixed("reinmax", ReinMax::default()),
    ])
}

/// The estimators of these names, in that order.
///
/// # Errors
/// With the names that exist, if one does not.
pub(crate) fn named<N: AsRef<str>>(names: &[N]) -> Outcome<Vec<Entrant>> {
    let mut all = lineup()?;
    all.extend(variants()?);
    let find = |name: &N| {
        let name = name.as_ref();
        let mut named = all.iter().filter(|entrant| entrant.name == name);
        named.next().cloned().ok_or_else(|| {
            let known: Vec<_> = all.iter().map(|entrant| entrant.name).collect();
            format!(
                "--estimators: unknown estimator `{name}`; expected one of {}",
                known.join(", ")
            )
            .into()
        })
    };
    names.iter().map(find).collect()
}
