//! What guides share that are one Gaussian over the unconstrained numbers of all continuous sites.

use std::cell::RefCell;
use std::rc::Rc;

use super::conditional_normal::{ConditionalNormal, Joint, Support};
use super::continuous_alone::continuous_alone;
use super::{Evaluation, GuideSite, Proposal};
use crate::dist::{Bijection, Constraint, Law};
use crate::error::{Error, Result};
use crate::model::Entry;
use crate::random::Key;
use crate::tensor::{Parameter, Shape, Tensor};

/// The factor L of the covariance L · Lᵀ of all numbers that a run has reached.
pub(super) trait Factor {
    /// Adds a site's numbers, whose scales are σ, and returns L for all numbers so far.
    ///
    /// # Errors
    /// As for [`GuideSite::parameter`].
    fn with(&mut self, site: &GuideSite<'_>, before: &[Met], scale: &Tensor) -> Result<Tensor>;
}

/// A continuous site that a run has reached.
pub(super) struct Met {
    pub(super) name: String,
    /// How many unconstrained numbers it has.
    pub(super) len: usize,
    bijection: Bijection,
}

/// What a run has reached so far.
struct Known {
    sites: Vec<Met>,
    loc: Option<Tensor>,
    factor: Box<dyn Factor>,
}

/// Draws continuous sites from one Gaussian, and discrete ones as the structured guide does.
pub(super) fn propose(
    evaluation: Evaluation<'_>,
    words: &str,
    factor: impl Factor + 'static,
) -> Result<Proposal> {
    let known = RefCell::new(Known {
        sites: Vec::new(),
        loc: None,
        factor: Box::new(factor),
    });
    continuous_alone(evaluation, words, move |site, stated| {
        known.borrow_mut().law(site, stated)
    })
}

impl Known {
    /// The law of the next site, given the values of those before.
    fn law(&mut self, site: &GuideSite<'_>, stated: &dyn Law) -> Result<Rc<dyn Law>> {
        let bijection = bijection_of(stated)?;
        let support = support_of(site, stated, &bijection);
        let len = support.free.numel();
        let loc_parameter = site.parameter("loc", || Ok(Start::of(stated)?.loc))?;
        let loc = of_shape(&loc_parameter, Shape::from([len]))?;
        let log_scale = site.parameter("log_scale", || Ok(Start::of(stated)?.log_scale))?;
        let log_scale = of_shape(&log_scale, Shape::from([len]))?;
        let scale = Constraint::Positive.value(&log_scale);
        if site.params.wants_units() {
            loc_parameter.set_unit(&scale.detach())?;
        }
        let before = self.values(site)?;
        let scale_tril = self.factor.with(site, &self.sites, &scale)?;
        let loc = match &self.loc {
            None => loc,
            Some(known) => Tensor::concat(&[known, &loc], 0),
        };
        self.loc = Some(loc.clone());
        self.sites.push(Met {
            name: site.name().to_owned(),
            len,
            bijection: bijection.clone(),
        });
        let joint = Joint {
            loc,
            scale_tril,
            before,
        };
        site.fitting(Rc::new(ConditionalNormal::new(joint, bijection, support)))
    }

    /// The unconstrained numbers of all sites so far.
    fn values(&self, site: &GuideSite<'_>) -> Result<Option<Tensor>> {
        let mut values = Vec::with_capacity(self.sites.len());
        for met in &self.sites {
            let mut found = None;
            site.with_earlier(&met.name, &mut |entry: &Entry| {
                found = Some(entry.value.to_tensor());
            });
            let value = found.ok_or_else(|| {
                Error::Guide(format!("`{}` was drawn, but is not on record", met.name))
            })??;
            values.push(met.bijection.free(&value).reshape(met.len));
        }
        match &values[..] {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            _ => Ok(Some(Tensor::concat(&values.iter().collect::<Vec<_>>(), 0))),
        }
    }
}

/// How a law's support is reached from all real numbers.
///
/// # Errors
/// If the law does not say.
pub(super) fn bijection_of(law: &dyn Law) -> Result<Bijection> {
    law.bijection().ok_or_else(|| {
        Error::Guide(format!(
            "{} does not say how its support is reached from all real numbers, which a guide over \
             unconstrained numbers needs; implement `Law::bijection` for it, or take `MeanFieldGuide`",
            law.name()
        ))
    })
}

fn support_of(site: &GuideSite<'_>, stated: &dyn Law, bijection: &Bijection) -> Support {
    let shape = stated.draw_shape();
    Support {
        shape,
        free: bijection.free_shape(shape),
        event_rank: stated.event_rank(),
        has_rows: site.plates().iter().any(|plate| plate.size > 1),
    }
}

/// A matrix of parameters that starts from zeros.
pub(super) fn zeros(site: &GuideSite<'_>, part: &str, shape: [usize; 2]) -> Result<Tensor> {
    let device = site.stated()?.device();
    let parameter = site.parameter(part, || Ok(Tensor::zeros(shape, &device)))?;
    of_shape(&parameter, Shape::from(shape))
}

/// The value of a parameter.
///
/// # Errors
/// If its shape is not the one that the site needs.
pub(super) fn of_shape(parameter: &Parameter, shape: Shape) -> Result<Tensor> {
    super::site::expect_shape(parameter, shape)?;
    Ok(parameter.for_guide())
}

/// Where a site's part of a guide over unconstrained numbers starts.
#[derive(Clone)]
pub(super) struct Start {
    pub(super) loc: Tensor,
    pub(super) log_scale: Tensor,
}

impl Start {
    /// Median and spread of the unconstrained numbers of draws from what a mean-field guide starts from: these exist
    /// for any law.
    pub(super) fn of(stated: &dyn Law) -> Result<Self> {
        const PAIRS: usize = 100;
        /// Distance between the quartiles of a standard Gaussian.
        const QUARTILES: f32 = 1.349;
        let bijection = bijection_of(stated)?;
        let guide = stated.mean_field();
        let law = guide.law(&guide.first_values()?)?;
        let mut stream = Key::new(0).stream("where a guide starts");
        let mut columns: Vec<Vec<f32>> = Vec::new();
        for _ in 0..PAIRS {
            let noise = law.noise(&mut stream)?;
            let other = match law.mirrored(&noise) {
                Some(mirrored) => mirrored,
                None => law.noise(&mut stream)?,
            };
            for noise in [noise, other] {
                let numbers = bijection.free(&law.draw(&noise).detach()).peek()?;
                columns.resize_with(numbers.len(), Vec::new);
                let pairs = columns.iter_mut().zip(numbers);
                pairs.for_each(|(column, x)| column.push(x));
            }
        }
        let (mut loc, mut log_scale) = (Vec::new(), Vec::new());
        for column in &mut columns {
            column.sort_by(f32::total_cmp);
            let median = 0.5 * (column[PAIRS - 1] + column[PAIRS]);
            let scale = (column[PAIRS * 3 / 2] - column[PAIRS / 2]) / QUARTILES;
            let has_scale = scale > 0.0 && scale.is_finite();
            loc.push(if median.is_finite() { median } else { 0.0 });
            log_scale.push(if has_scale { scale.ln() } else { 0.0 });
        }
        let len = columns.len();
        let tensor = |numbers| Tensor::from_vec(numbers, [len], &stated.device());
        Ok(Self {
            loc: tensor(loc)?,
            log_scale: tensor(log_scale)?,
        })
    }
}
