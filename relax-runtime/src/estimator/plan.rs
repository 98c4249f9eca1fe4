//! Which estimator each site gets, and why.

use std::fmt;
use std::rc::Rc;

use super::{
    Arms, Disarm, DisarmTree, DoubleCv, DrawKind, Enumerate, Estimator, IndeCateR, Lax, Pathwise,
    Reinforce, Relax, Rloo, Rodeo, SiteClass, Vimco,
};
use crate::error::{Error, Result};

/// The estimator of one site.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
    /// What the site's automatic guide depends on besides its own parameters, in words; `None` where it
    /// depends on nothing else, or the site has another guide.
    pub follows: Option<String>,
    /// Estimators that a budget might have chosen instead, and why it did not: what the race measured, if
    /// there was one.
    pub rivals: Vec<Rival>,
}

impl PlanEntry {
    /// The entry of a site that no estimator sees.
    pub(crate) fn summed_out(
        site: &str,
        distribution: &'static str,
        runs: usize,
        rests_on_runs: bool,
    ) -> Self {
        let reason = match rests_on_runs {
            false => "few joint combinations of values",
            true => "few joint combinations of values, as found by runs at some of them",
        };
        Self {
            site: site.to_owned(),
            distribution,
            estimator: "summed out",
            evaluations: runs,
            biased: false,
            reason: reason.into(),
            follows: None,
            rivals: Vec::new(),
        }
    }

    /// The entry of a continuous site that no estimator sees.
    pub(crate) fn integrated_out(site: &str, distribution: &'static str, runs: usize) -> Self {
        Self {
            estimator: "integrated out",
            reason: "one Gaussian number per row".into(),
            ..Self::summed_out(site, distribution, runs, false)
        }
    }
}

/// An estimator that a site did not get.
#[derive(Clone, Debug)]
pub struct Rival {
    /// Its name.
    pub estimator: &'static str,
    /// Why not.
    pub problem: String,
}

/// The estimators of all sites reached so far. Prints as a table.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn game() {
///     let logit = param!(0.0);
///     let bluff = sample!(Bernoulli(logits = &logit));
///     let luck = sample!(Normal(&logit, 1.0));
///     cost!((luck - bluff).square());
/// }
///
/// # fn main() -> Result<()> {
/// let plan = Minimize::new(&game()).steps(5).run()?.plan();
/// println!("{plan}");
/// let chosen: Vec<_> = plan.entries.iter().map(|e| (e.site.as_str(), e.estimator)).collect();
/// assert_eq!(chosen, [("bluff", "relax"), ("luck", "pathwise")]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Plan {
    /// One entry per site.
    pub entries: Vec<PlanEntry>,
    /// Remarks about the whole plan, such as why discrete choices are not summed out.
    pub remarks: Vec<String>,
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
        for remark in &self.remarks {
            write!(f, "\n{remark}")?;
        }
        for entry in &self.entries {
            if let Some(follows) = &entry.follows {
                write!(f, "\n{}: guided by {follows}", entry.site)?;
            }
        }
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
pub(crate) struct Decision {
    pub(crate) estimator: Rc<dyn Estimator>,
    /// Maximum number of combinations of all choices for which the site is summed over jointly with the
    /// others.
    pub(crate) joint: Option<usize>,
    pub(crate) reason: String,
    pub(crate) rivals: Vec<Rival>,
    /// The estimators that a race is to decide between, this one included; empty where a rule decides.
    pub(crate) contenders: Vec<Rc<dyn Estimator>>,
}

impl Decision {
    /// An estimator that needs no reason.
    pub(crate) fn of(estimator: Rc<dyn Estimator>) -> Self {
        Self {
            estimator,
            joint: None,
            reason: String::new(),
            rivals: Vec::new(),
            contenders: Vec::new(),
        }
    }
}

/// Chooses a site's estimator:
///
/// - what the user asked for, if it is valid;
/// - otherwise, within a declared budget of evaluations, an exact estimator if one is affordable, or else
///   the winner of a race among the [`contenders`] that are valid;
/// - without a budget, the pathwise estimator where the draw is differentiable, RELAX at discrete sites
///   with a relaxation, LAX at continuous ones whose draw host code reads, and the score function with a
///   leave-one-out baseline where a law offers nothing but its density; VIMCO instead of the last three
///   where the objective is a bound of several samples.
///
/// # Errors
/// If what the user asked for is not valid for the class, or nothing is within the budget.
pub(crate) fn choose(
    asked: Option<Rc<dyn Estimator>>,
    class: SiteClass,
    budget: Option<usize>,
) -> Result<Decision> {
    match (asked, budget) {
        (Some(estimator), budget) => overridden(estimator, class, budget),
        (None, Some(budget)) => within(budget, class),
        (None, None) => within_any(defaults(), class, usize::MAX).ok_or_else(|| {
            let why = validity(&Pathwise, class).err().unwrap_or_default();
            Error::Estimator(format!("no estimator is valid here: {why}"))
        }),
    }
}

/// Why an estimator suits a class of sites and its objective, or why it does not.
///
/// # Errors
/// The reason why it does not, with what to use instead.
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
    if class.draws == DrawKind::Moving && estimator.needs_estimate() {
        return Err(
            "the support moves with the law's parameters, which score functions do not see; use \
             `pathwise`, and do not read the draw on the host"
                .into(),
        );
    }
    estimator.valid_for(class)
}

/// The candidates without a budget: those that need no further run of a program whose cost is a black
/// box, as long as a surrogate can learn from one run. That is why small supports are not enumerated
/// here: each site would take runs of its own. A score function without a surrogate is different: with
/// four draws its variance × time is about half of that with one and an average of past costs, and each
/// row has its own baseline.
fn defaults() -> Vec<Rc<dyn Estimator>> {
    vec![
        Rc::new(Pathwise),
        Rc::new(Relax::default()),
        Rc::new(Lax::default()),
        Rc::new(Rloo::default()),
        Rc::new(Vimco::default()),
    ]
}

fn overridden(
    estimator: Rc<dyn Estimator>,
    class: SiteClass,
    budget: Option<usize>,
) -> Result<Decision> {
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
    Ok(Decision {
        joint: estimator.joint(),
        estimator,
        reason,
        rivals: Vec::new(),
        contenders: Vec::new(),
    })
}

fn within(budget: usize, class: SiteClass) -> Result<Decision> {
    if let Some(choice) = within_any(exact(budget), class, budget) {
        return Ok(Decision {
            joint: choice.joint.map(|largest| largest.min(budget)),
            reason: format!("least variance within {budget}; {}", choice.reason),
            ..choice
        });
    }
    let mut rivals = refused(&exact(budget), class, budget);
    let all = contenders(class, budget)?;
    rivals.extend(refused(&all, class, budget));
    let none = || match validity(&Pathwise, class) {
        Err(problem) if all.is_empty() => Error::Config {
            setting: "estimator",
            problem,
        },
        _ => Error::Config {
            setting: "budget",
            problem: format!(
                "is {budget}, but a draw of everything takes {} evaluations; declare at least as \
                 many, or fewer samples",
                class.samples
            ),
        },
    };
    let choice = within_any(all.clone(), class, budget).ok_or_else(none)?;
    let affordable = |e: &Rc<dyn Estimator>| problem(&**e, class, budget).is_none();
    let contenders: Vec<_> = all.into_iter().filter(affordable).collect();
    Ok(Decision {
        reason: format!("within {budget}; {}", choice.reason),
        rivals,
        contenders: match class.draws.is_discrete() && contenders.len() > 1 {
            true => contenders,
            false => Vec::new(),
        },
        ..choice
    })
}

/// Why an estimator cannot be used; `None` if it can.
fn problem(estimator: &dyn Estimator, class: SiteClass, budget: usize) -> Option<String> {
    let needed = estimator.evaluations(class);
    match validity(estimator, class) {
        Ok(_) if needed <= budget => None,
        Ok(_) => Some(format!("it takes {needed} evaluations")),
        // The rest says what to use instead.
        Err(problem) => Some(problem.split(';').next().unwrap_or_default().to_owned()),
    }
}

/// The estimators that cannot be used, and why.
fn refused(all: &[Rc<dyn Estimator>], class: SiteClass, budget: usize) -> Vec<Rival> {
    let refused = |estimator: &Rc<dyn Estimator>| {
        Some(Rival {
            estimator: estimator.name(),
            problem: problem(&**estimator, class, budget)?,
        })
    };
    all.iter().filter_map(refused).collect()
}

/// The first candidate that is valid and affordable.
fn within_any(
    candidates: Vec<Rc<dyn Estimator>>,
    class: SiteClass,
    budget: usize,
) -> Option<Decision> {
    candidates.into_iter().find_map(|estimator| {
        if estimator.evaluations(class) > budget {
            return None;
        }
        let reason = validity(&*estimator, class).ok()?;
        Some(Decision {
            joint: estimator.joint(),
            estimator,
            reason,
            rivals: Vec::new(),
            contenders: Vec::new(),
        })
    })
}

/// The estimators that have no variance of their own.
fn exact(budget: usize) -> Vec<Rc<dyn Estimator>> {
    let enumerate = Enumerate {
        largest: Enumerate::default().largest.max(budget),
    };
    vec![Rc::new(Pathwise), Rc::new(enumerate)]
}

/// The unbiased estimators that may be the best for a budget, with as many draws as it allows, up to
/// the number beyond which more are worth little: for those that take the time of n + 3 evaluations,
/// the rest of a step included, variance × time falls from 1.75 at four draws to 1.19 at sixteen, in
/// units of its limit. A network that looks from each draw at every other one does not get cheaper
/// with more draws at all.
fn contenders(class: SiteClass, budget: usize) -> Result<Vec<Rc<dyn Estimator>>> {
    if class.samples > 1 {
        return Ok(vec![Rc::new(Vimco::default())]);
    }
    match class.draws {
        DrawKind::Pathwise => return Ok(vec![Rc::new(Lax::default())]),
        // Only exact estimators are valid.
        DrawKind::Moving => return Ok(Vec::new()),
        _ => {}
    }
    if !class.draws.is_relaxed() {
        return Ok(vec![match budget {
            0 | 1 => Rc::new(Reinforce::default()) as Rc<dyn Estimator>,
            _ => Rc::new(Rloo::new(budget.min(16))?),
        }]);
    }
    let mut all: Vec<Rc<dyn Estimator>> = vec![
        Rc::new(Relax::relaxed_cost()),
        Rc::new(Relax::free_form()),
        Rc::new(IndeCateR),
    ];
    match class.draws {
        DrawKind::Coins => all.push(Rc::new(Disarm)),
        DrawKind::Categories => all.push(Rc::new(DisarmTree)),
        _ => {}
    }
    if budget >= 3 && class.draws == DrawKind::Coins {
        all.push(Rc::new(Arms::new(budget.min(16))?));
    }
    if budget >= 2 {
        all.push(Rc::new(DoubleCv::new(budget.min(8))?));
        all.push(Rc::new(Rodeo::new(budget.min(4))?));
        all.push(Rc::new(Rloo::new(budget.min(16))?));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimator::{DrawKind, by_name, registry};

    /// Contenders of all kinds of sites within a budget.
    fn all(budget: usize) -> Vec<Rc<dyn Estimator>> {
        let coins = SiteClass {
            draws: DrawKind::Coins,
            relaxable: true,
            differentiable: false,
            mirrored: false,
            values: 8,
            changes: 3,
            separate: true,
            rows_differ: false,
            followed: false,
            samples: 1,
        };
        let of = |draws| SiteClass { draws, ..coins };
        let (vectors, relaxed) = (of(DrawKind::Categories), of(DrawKind::Relaxed));
        let (continuous, opaque) = (of(DrawKind::Pathwise), of(DrawKind::Opaque));
        let unrelaxed = of(DrawKind::Discrete);
        let bound = SiteClass {
            samples: 2,
            ..coins
        };
        let classes = [
            coins, vectors, relaxed, unrelaxed, continuous, opaque, bound,
        ];
        let found = classes.map(|class| contenders(class, budget).unwrap());
        found.into_iter().flatten().chain(exact(budget)).collect()
    }

    /// Every name that a plan prints can be asked for.
    #[test]
    fn every_name_is_taken() {
        let mut found = registry();
        found.extend(defaults());
        (1..20).for_each(|budget| found.extend(all(budget)));
        for estimator in found {
            let name = estimator.name();
            assert_eq!(by_name(name).unwrap().name(), name);
        }
    }

    #[test]
    fn no_plan_is_silently_biased() {
        let mut chosen = (0..20).flat_map(all).chain(defaults());
        assert!(chosen.all(|estimator| !estimator.biased()));
    }
}
