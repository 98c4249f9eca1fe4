//! Steps along the exact gradient: joint sums over all choices of the programs.

use std::fmt;
use std::sync::Arc;

use crate::error::Result;
use crate::infer::exact::{Enumerated, Exact, enumerate_in_step};
use crate::infer::gradients::Gradients;
use crate::infer::objective::Objective;
use crate::infer::pass::odometer::Refusal;
use crate::infer::sites::Sites;
use crate::infer::tally::{Tallied, Tally};
use crate::model::{ParamStore, Program};
use crate::report::SiteReport;
use crate::tensor::Tensor;

/// How a trainer sums: in host numbers as long as the programs need nothing else.
#[derive(Default)]
pub(in crate::infer) enum JointSum {
    #[default]
    Untried,
    Host {
        tally: Box<Tally>,
        /// How many of its choices have been planned.
        planned: usize,
    },
    Tensors,
}

impl fmt::Debug for JointSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Untried => "Untried",
            Self::Host { .. } => "Host",
            Self::Tensors => "Tensors",
        })
    }
}

/// The gradient, or why the programs cannot be summed over.
enum Found {
    Gradient(Gradients),
    Refused(String),
}

impl JointSum {
    /// The exact objective and gradient, if the plan sums over every site met so far and the combinations of all
    /// choices are few. Once that has failed, it is not tried again.
    ///
    /// # Errors
    /// Any error from a program; [`Error::NotFinite`](crate::Error::NotFinite) if the objective is not finite.
    /// objective is not finite.
    pub(in crate::infer) fn gradients(
        &mut self,
        objective: &dyn Objective,
        params: &ParamStore,
        sites: &mut Sites,
        step: u64,
    ) -> Result<Option<Gradients>> {
        let Some(limit) = sites.joint_limit() else {
            return Ok(None);
        };
        let in_host_numbers = match objective.mean_field_model(params) {
            Some(model) => self.tally(model, params, sites, limit, step)?,
            None => None,
        };
        let found = match in_host_numbers {
            Some(found) => found,
            None => by_tensors(objective, params, sites, limit, step)?,
        };
        let why = match (found, sites.joint_limit()) {
            (Found::Refused(why), _) => why,
            (_, None) => "a site has another estimator".into(),
            (Found::Gradient(gradient), Some(limit)) if gradient.evaluations <= limit => {
                sites.summed_jointly(gradient.evaluations);
                return Ok(Some(gradient));
            }
            (Found::Gradient(_), Some(limit)) => more_than(limit),
        };
        sites.refuse_joint(why);
        Ok(None)
    }

    /// Sums in host numbers; `None` if that cannot be done.
    fn tally(
        &mut self,
        model: &dyn Program,
        params: &ParamStore,
        sites: &mut Sites,
        limit: usize,
        step: u64,
    ) -> Result<Option<Found>> {
        if let Self::Untried = self {
            let tally = Box::new(Tally::new(params));
            *self = Self::Host { tally, planned: 0 };
        }
        let Self::Host { tally, planned } = self else {
            return Ok(None);
        };
        let summed = tally.sum(model, limit, step)?;
        *planned = tally.each_choice(*planned, |choice| sites.meet_choice(choice))?;
        let (value, combinations) = match summed {
            Tallied::Exact {
                value,
                combinations,
            } => (value, combinations),
            Tallied::TooMany => return Ok(Some(Found::Refused(more_than(limit)))),
            Tallied::NeedsTensors => {
                *self = Self::Tensors;
                return Ok(None);
            }
        };
        let mut gradients = Gradients {
            loss: value,
            parameters: Vec::with_capacity(*planned),
            sites: Vec::with_capacity(*planned),
            evaluations: combinations,
        };
        tally.gradients(|choice, parameter, gradient, mean_square| {
            gradients.parameters.push((parameter, gradient));
            gradients
                .sites
                .extend(report(sites, &choice.name, mean_square));
        });
        Ok(Some(Found::Gradient(gradients)))
    }
}

fn more_than(limit: usize) -> String {
    format!(
        "the program's choices have more than {limit} combinations; a larger `Enumerate {{ largest \
         }}` or budget sums over all of them"
    )
}

/// Sums by evaluations of the objective.
fn by_tensors(
    objective: &dyn Objective,
    params: &ParamStore,
    sites: &mut Sites,
    limit: usize,
    step: u64,
) -> Result<Found> {
    let found = enumerate_in_step(objective, params, limit, &mut |pass| sites.meet(pass))?;
    let exact = match found {
        Enumerated::Exact(exact) => exact,
        Enumerated::Refused(Refusal::TooMany(_)) => return Ok(Found::Refused(more_than(limit))),
        Enumerated::Refused(why) => return Ok(Found::Refused(why.to_string())),
    };
    exact.expect_finite(step)?;
    Ok(Found::Gradient(Gradients {
        loss: exact.value,
        sites: reports(&exact, sites)?,
        parameters: exact.parameters,
        evaluations: exact.combinations,
    }))
}

/// The reports of all sites, in the order in which they were met.
fn reports(exact: &Exact, sites: &Sites) -> Result<Vec<SiteReport>> {
    let mut reports = Vec::with_capacity(exact.sites.len());
    for name in sites.names() {
        let Some(found) = exact.sites.get(name) else {
            continue;
        };
        let square = |g: &Tensor| g.with_values(|g| g.iter().map(|g| f64::from(g * g)).sum());
        let squares: Result<Vec<f64>> = found.gradients.iter().map(square).collect();
        let count: usize = found.gradients.iter().map(Tensor::len).sum();
        let mean_square = squares?.iter().sum::<f64>() / count.max(1) as f64;
        reports.extend(report(sites, name, mean_square));
    }
    Ok(reports)
}

/// The report of a site whose gradient is exact.
fn report(sites: &Sites, name: &str, mean_square: f64) -> Option<SiteReport> {
    let site = sites.get(name)?;
    Some(SiteReport {
        name: Arc::clone(&site.name),
        estimator: site.estimator.name(),
        mean_square,
        variance: 0.0,
    })
}
