//! Which estimator each site gets, and why.

use std::fmt;
use std::rc::Rc;

use super::{
    Arms, Disarm, DoubleCv, Enumerate, Estimator, IndeCateR, Lax, Pathwise, Relax, Rloo, Rodeo,
    SiteClass, Vimco,
};
use crate::error::{Error, Result};

/// The estimator of one site.
#[derive(Clone, Debug)]
pub struct PlanEntry {
    /// Full name of the site.
    pub site: String,
    /// Its distribution.
    pub distribution: &'static str,
    /// The estimator's name.
    pub estimator: &'static str,
    /// Evaluations of the cost for one estimate, the draw's own included.
    pub evaluations: usize,
    /// Whether its expectation may differ from the gradient.
    pub biased: bool,
    /// Why this estimator.
    pub reason: String,
    /// What a budget would have preferred, and why not.
    pub rivals: Vec<Rival>,
}

/// An estimator of lower variance that a site did not get.
#[derive(Clone, Debug)]
pub struct Rival {
    /// Its name.
    pub estimator: &'static str,
    /// Why not.
    pub problem: String,
}

/// The estimators of all sites met so far. Prints as a table.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One entry a site.
    pub entries: Vec<PlanEntry>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["site", "distribution", "estimator", "evaluations", "reason"];
        let mut rows = vec![header.map(String::from)];
        rows.extend(self.entries.iter().map(|entry| {
            [
                entry.site.clone(),
                entry.distribution.to_owned(),
                if entry.biased {
                    format!("{} (biased)", entry.estimator)
                } else {
                    entry.estimator.to_owned()
                },
                entry.evaluations.to_string(),
                entry.reason.clone(),
            ]
        }));
        crate::report::write_table(f, &rows)?;
        for entry in &self.entries {
            for Rival { estimator, problem } in &entry.rivals {
                write!(f, "\n{}: not {estimator}: {problem}", entry.site)?;
            }
        }
        Ok(())
    }
}

/// What was decided for one site.
#[derive(Clone, Debug)]
pub(crate) struct Choice {
    pub(crate) estimator: Rc<dyn Estimator>,
    /// Up to how many combinations of all choices the site is summed over together with the others.
    pub(crate) joint: Option<usize>,
    pub(crate) reason: String,
    pub(crate) rivals: Vec<Rival>,
}

/// The rule: what the user asked for if it is valid; else, of what is valid within a declared budget
/// of evaluations, the first by [rank](ranked); without a budget the pathwise estimator where the
/// draw is differentiable, RELAX at discrete sites, and LAX at continuous ones that host code reads;
/// VIMCO instead of these two where the objective is a bound of several samples.
///
/// # Errors
/// If what the user asked for is not valid for the class, or nothing is within the budget.
pub(crate) fn choose(
    asked: Option<Rc<dyn Estimator>>,
    class: SiteClass,
    budget: Option<usize>,
) -> Result<Choice> {
    match (asked, budget) {
        (Some(estimator), budget) => overridden(estimator, class, budget),
        (None, Some(budget)) => within(budget, class),
        (None, None) => within_any(defaults(), class, usize::MAX)
            .map(|choice| Choice {
                rivals: Vec::new(),
                ..choice
            })
            .ok_or_else(|| Error::Model("no estimator is valid here".into())),
    }
}

/// Why an estimator suits a class of sites and its objective, or why it does not.
///
/// # Errors
/// The reason, with what to use instead.
pub(crate) fn validity(
    estimator: &dyn Estimator,
    class: SiteClass,
) -> std::result::Result<String, String> {
    if class.samples > 1 && !estimator.for_bounds() {
        let name = estimator.name();
        return Err(format!(
            "`{name}` does not estimate bounds of several samples; use `vimco`, or one sample"
        ));
    }
    estimator.valid_for(class)
}

/// Without a budget: what needs no further run of a program whose cost is a black box. That is why
/// small supports are not enumerated here: each site would take runs of its own.
fn defaults() -> Vec<Rc<dyn Estimator>> {
    vec![
        Rc::new(Pathwise),
        Rc::new(Relax::default()),
        Rc::new(Lax::default()),
        Rc::new(Vimco::default()),
    ]
}

fn overridden(
    estimator: Rc<dyn Estimator>,
    class: SiteClass,
    budget: Option<usize>,
) -> Result<Choice> {
    let why = validity(&*estimator, class).map_err(|problem| Error::Config {
        setting: "estimator",
        problem,
    })?;
    let reason = match budget {
        Some(budget) if estimator.evaluations(class) > budget => {
            format!("asked for, beyond the budget of {budget}; {why}")
        }
        _ => format!("asked for; {why}"),
    };
    Ok(Choice {
        joint: estimator.joint(),
        estimator,
        reason,
        rivals: Vec::new(),
    })
}

fn within(budget: usize, class: SiteClass) -> Result<Choice> {
    let choice = within_any(ranked(budget)?, class, budget).ok_or_else(|| Error::Config {
        setting: "budget",
        problem: format!(
            "is {budget}, but a draw of everything takes {} evaluations; declare at least as many, \
             or fewer samples",
            class.samples
        ),
    })?;
    Ok(Choice {
        joint: choice.joint.map(|largest| largest.min(budget)),
        reason: format!("least variance within {budget}; {}", choice.reason),
        ..choice
    })
}

/// The first that is valid and affordable, and why those before it are not.
fn within_any(
    candidates: Vec<Rc<dyn Estimator>>,
    class: SiteClass,
    budget: usize,
) -> Option<Choice> {
    let mut rivals = Vec::new();
    for estimator in candidates {
        let needed = estimator.evaluations(class);
        let problem = match validity(&*estimator, class) {
            Ok(reason) if needed <= budget => {
                return Some(Choice {
                    joint: estimator.joint(),
                    estimator,
                    reason,
                    rivals,
                });
            }
            Ok(_) => format!("it takes {needed} evaluations"),
            // What follows says what to use instead.
            Err(problem) => problem.split(';').next().unwrap_or_default().to_owned(),
        };
        rivals.push(Rival {
            estimator: estimator.name(),
            problem,
        });
    }
    None
}

/// The unbiased estimators that may be the best for a budget, best first, with as many draws as it
/// allows. The order is that of the variances, each at its number of evaluations, that the tests'
/// ledger measures with ten and three interacting coins and with one to five one-hot vectors:
///
/// - Exact sums have no variance of their own.
/// - At ten coins and four evaluations: RODEO 0.43, ARMS 0.54, RLOO 0.71; at two, RELAX 1.20 and
///   DisARM 1.15, but 0.77 and 1.8 with costs of pairs of coins; at one, the free-form RELAX 1.48,
///   NVIL 2.12, REINFORCE 3.21.
/// - At five vectors and eleven evaluations: IndeCateR 0.60, RLOO 1.08; at four, double control
///   variates 2.6, RLOO 3.8; at two, RELAX 5.1, RLOO 12; at one, the free-form RELAX 5.8.
fn ranked(budget: usize) -> Result<Vec<Rc<dyn Estimator>>> {
    let enumerate = Enumerate {
        largest: Enumerate::default().largest.max(budget),
    };
    let mut all: Vec<Rc<dyn Estimator>> = vec![Rc::new(Pathwise), Rc::new(enumerate)];
    if budget >= 3 {
        all.push(Rc::new(Rodeo::new(budget)?));
        all.push(Rc::new(Arms::new(budget)?));
    }
    all.push(Rc::new(IndeCateR));
    if budget >= 4 {
        all.push(Rc::new(DoubleCv::new(budget)?));
    }
    all.push(Rc::new(Relax::sum()));
    all.push(Rc::new(Disarm));
    if budget >= 4 {
        all.push(Rc::new(Rloo::new(budget)?));
    }
    all.push(Rc::new(Relax::free_form()));
    all.push(Rc::new(Lax::default()));
    all.push(Rc::new(Vimco::default()));
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::{by_name, registry};

    /// Whatever a plan prints can be asked for.
    #[test]
    fn every_name_is_taken() {
        let mut all = registry();
        all.extend(defaults());
        (1..20).for_each(|budget| all.extend(ranked(budget).unwrap()));
        for estimator in all {
            let name = estimator.name();
            assert_eq!(by_name(name).unwrap().name(), name);
        }
    }

    #[test]
    fn no_plan_is_silently_biased() {
        let chosen = (0..20).flat_map(|budget| ranked(budget).unwrap());
        assert!(
            chosen
                .chain(defaults())
                .all(|estimator| !estimator.biased())
        );
    }
}
