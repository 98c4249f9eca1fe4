//! Which estimator each site gets, and why.

use std::fmt;
use std::rc::Rc;

use super::{Estimator, Lax, Pathwise, Reinforce, Relax, SiteClass};
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
    /// Whether its expectation may differ from the gradient.
    pub biased: bool,
    /// Why this estimator.
    pub reason: String,
}

/// The estimators of all sites met so far. Prints as a table.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// One entry a site.
    pub entries: Vec<PlanEntry>,
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["site", "distribution", "estimator", "reason"].map(String::from)];
        rows.extend(self.entries.iter().map(|entry| {
            [
                entry.site.clone(),
                entry.distribution.to_owned(),
                if entry.biased {
                    format!("{} (biased)", entry.estimator)
                } else {
                    entry.estimator.to_owned()
                },
                entry.reason.clone(),
            ]
        }));
        crate::report::write_table(f, &rows)
    }
}

/// The rule: what the user asked for if it is valid; else the pathwise estimator where the draw is
/// differentiable, RELAX at discrete sites, and LAX at continuous ones that host code reads.
///
/// # Errors
/// If what the user asked for is not valid for the class.
pub(crate) fn choose(
    asked: Option<Rc<dyn Estimator>>,
    class: SiteClass,
) -> Result<(Rc<dyn Estimator>, String)> {
    if let Some(estimator) = asked {
        return match estimator.valid_for(class) {
            Ok(reason) => Ok((estimator, format!("asked for; {reason}"))),
            Err(problem) => Err(Error::Config {
                setting: "estimator",
                problem,
            }),
        };
    }
    let candidates: [Rc<dyn Estimator>; 4] = [
        Rc::new(Pathwise),
        Rc::new(Relax::default()),
        Rc::new(Lax::default()),
        Rc::new(Reinforce::default()),
    ];
    let mut valid = candidates
        .into_iter()
        .filter_map(|e| e.valid_for(class).ok().map(|reason| (e, reason)));
    valid
        .next()
        .ok_or_else(|| Error::Model("no estimator is valid here".into()))
}
