//! Gradient estimators, one file each.
//!
//! An estimator's whole job is to supply, for each random choice, a cotangent of its parameters θ:
//! an estimate of ∂E\[cost\]/∂θ. One reverse pass takes it from there to the program's parameters.
//!
//! Functions such as [`reinforce`], [`relax`] and [`disarm`] take every random number as an argument
//! and can be used without the DSL. The [`Estimator`] types wrap them for the sites of models, and keep
//! what is learned from step to step.

mod arms;
mod baseline;
mod class;
mod disarm;
mod disarm_tree;
mod dlax;
mod double_cv;
mod enumerate;
mod evolution;
mod gumbel_softmax;
mod hinges;
mod indecater;
mod law;
mod lax;
mod muprop;
mod nvil;
mod pathwise;
mod plan;
mod problem;
mod rebar;
mod reinforce;
mod reinmax;
mod relax;
mod rloo;
mod rodeo;
mod shift;
mod site;
mod state;
mod stein;
mod straight_through;
mod units;
mod vimco;

use std::rc::Rc;

pub use arms::{Arms, arms};
pub use baseline::MovingAverage;
pub use class::{DrawKind, SiteClass};
pub use disarm::{Disarm, disarm};
pub use disarm_tree::{DisarmTree, disarm_tree};
pub use dlax::{Dlax, dlax};
pub use double_cv::{DoubleCv, double_cv};
pub use enumerate::{Enumerate, MOST_VALUES, enumerate};
pub use evolution::{EvolutionStrategies, evolution_strategies};
pub use gumbel_softmax::{GumbelSoftmax, gumbel_softmax};
pub use indecater::{IndeCateR, indecater};
pub use law::{LawEstimate, LawProblem, LawTask};
pub use lax::{Lax, lax};
pub use muprop::{MuProp, muprop};
pub use nvil::{Nvil, nvil};
pub use pathwise::Pathwise;
pub(crate) use plan::{Decision, choose, validity};
pub use plan::{Plan, PlanEntry, Rival};
pub(crate) use problem::value_and_slope;
pub use problem::{Cost, Estimate, Noise, Problem, black_box, differentiable};
pub use rebar::{Rebar, rebar};
pub use reinforce::{Reinforce, reinforce, score_function};
pub use reinmax::{ReinMax, reinmax};
pub use relax::{Relax, SurrogateKind, corrected, relax};
pub use rloo::{Rloo, rloo, rloo_of_law};
pub use rodeo::{Rodeo, rodeo};
pub use site::{Coupling, Estimator, IntoEstimator, SiteTask};
pub use state::SiteState;
pub use stein::SteinNetwork;
pub use straight_through::{StraightThrough, Through, straight_through};
pub use vimco::{LeftOut, Vimco, vimco};

use crate::error::{Error, Result};

/// All estimators that can be asked for by name, with their default settings.
///
/// ```
/// use relax_runtime::estimator::registry;
///
/// let names: Vec<_> = registry().iter().map(|estimator| estimator.name()).collect();
/// assert!(names.contains(&"relax") && names.contains(&"rloo"));
/// ```
pub fn registry() -> Vec<Rc<dyn Estimator>> {
    vec![
        Rc::new(Relax::default()),
        Rc::new(Relax::free_form()),
        Rc::new(Relax::relaxed_cost()),
        Rc::new(Relax::sum()),
        Rc::new(Rebar::default()),
        Rc::new(Reinforce::default()),
        Rc::new(Reinforce::without_baseline()),
        Rc::new(Rloo::default()),
        Rc::new(Disarm),
        Rc::new(Arms::default()),
        Rc::new(DisarmTree),
        Rc::new(Enumerate::default()),
        Rc::new(IndeCateR),
        Rc::new(MuProp::default()),
        Rc::new(DoubleCv::default()),
        Rc::new(Rodeo::default()),
        Rc::new(Nvil::default()),
        Rc::new(Dlax::default()),
        Rc::new(Vimco::default()),
        Rc::new(Vimco {
            left_out: LeftOut::Arithmetic,
        }),
        Rc::new(Pathwise),
        Rc::new(Lax::default()),
        Rc::new(EvolutionStrategies::default()),
        Rc::new(GumbelSoftmax::default()),
        Rc::new(StraightThrough::default()),
        Rc::new(StraightThrough::gumbel()),
        Rc::new(ReinMax::default()),
    ]
}

/// The estimator with the given name, such as `relax`: what `estimator = ".."` in `sample!` looks up.
///
/// ```
/// use relax_runtime::estimator::by_name;
///
/// # fn main() -> relax_runtime::Result<()> {
/// assert_eq!(by_name("rloo")?.name(), "rloo");
/// let error = by_name("rlo").unwrap_err().to_string();
/// assert!(error.contains("unknown estimator `rlo`; expected one of relax"));
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// [`Error::Config`], listing the names that exist, if there is no such estimator.
pub fn by_name(name: &str) -> Result<Rc<dyn Estimator>> {
    let all = registry();
    all.iter()
        .find(|estimator| estimator.name() == name)
        .cloned()
        .ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|estimator| estimator.name()).collect();
            let names = names.join(", ");
            let problem = format!("unknown estimator `{name}`; expected one of {names}");
            Error::Config {
                setting: "estimator",
                problem,
            }
        })
}
