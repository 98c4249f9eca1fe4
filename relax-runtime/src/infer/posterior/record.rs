//! What one evaluation leaves of the sites that its run reached: the way all draws enter a posterior, whoever made
//! them.

use std::borrow::Cow;
use std::rc::Rc;

use crate::dist::{Law, Number, Value, holds_indices};
use crate::error::Result;
use crate::estimator::DrawKind;
use crate::infer::pass::{Latent, Pass, Term};
use crate::model::{Kind, Plate, RecoveredKnown, RecoveredSite, RecoveredValues, SummedOut};
use crate::random::Key;
use crate::tensor::Tensor;

/// One draw of all sites that a run reached.
pub(in crate::infer) struct Record {
    /// In the order of the run.
    pub(in crate::infer) sites: Vec<SiteRecord>,
    /// ln(p(x, z)/q(z)), one number per row if all random sites are in one plate. Plates are not scaled.
    pub(in crate::infer) log_weights: Vec<f64>,
    /// What is added to that under the posterior: by sums, if their rows stand for others of a larger data set, and by
    /// costs.
    pub(in crate::infer) surplus: f64,
    /// The first site whose log-probability or cost counts more or less often than its rows or its draws do, so that
    /// the weights are not those of the posterior.
    pub(in crate::infer) scaled: Option<String>,
}

/// A site in one draw.
pub(in crate::infer) struct SiteRecord {
    pub(in crate::infer) name: Cow<'static, str>,
    /// `None` if the draw does not contain it.
    pub(in crate::infer) value: Option<Value>,
    /// The probability that a run reaches it, given what was drawn for the other choices: beside a sum it is known.
    pub(in crate::infer) inclusion: f64,
    /// Number of categories, if the value holds indices of categories.
    pub(in crate::infer) categories: Option<usize>,
    /// Whether a sum over its values was taken.
    pub(in crate::infer) is_summed_out: bool,
    pub(in crate::infer) known: Option<Known>,
    /// If it was integrated out, the maximum error of a row's evidence.
    pub(in crate::infer) node_error: Option<f64>,
}

/// What is known about a site beyond the drawn value: its law, given the run's other choices and that the run reaches
/// it. Valid if all draws count alike, and with importance weights if a sum was taken over its values; other weights
/// belong to the values.
pub(in crate::infer) struct Known {
    /// Mean of each element; for category indices, the probability of each category.
    pub(in crate::infer) mean: Vec<f64>,
    /// For a single discrete choice, a law with its values in the order of [`support`], and the probability of each.
    pub(in crate::infer) marginal: Option<(Rc<dyn Law>, Vec<f64>)>,
}

impl Record {
    /// The record of an evaluation.
    ///
    /// # Errors
    /// If a tensor carries an error.
    pub(in crate::infer) fn of(pass: &Pass) -> Result<Self> {
        let (mut log_weights, paid, scaled) = log_weights(pass)?;
        let sites = pass.latents.iter().map(SiteRecord::of);
        let summed = || pass.summed.iter().map(|(summed, key)| (&**summed, *key));
        let surplus = summed().map(|(summed, _)| summed.log_sum() - summed.log_sum_once());
        let surplus: f64 = surplus.sum();
        // A sum is in no plate, so there is one number.
        if let [log_weight] = &mut log_weights[..] {
            *log_weight -= surplus;
        }
        Ok(Self {
            sites: SiteRecord::with_summed(sites, summed())?,
            log_weights,
            surplus: surplus - paid,
            scaled,
        })
    }
}

impl Record {
    /// One draw of the choices that were summed out.
    ///
    /// # Errors
    /// If a value cannot be made.
    pub(in crate::infer) fn recovered(summed: &dyn SummedOut, key: Key) -> Result<Vec<SiteRecord>> {
        let sites = summed.recover(key)?.sites.into_iter();
        sites.map(SiteRecord::recovered).collect()
    }
}

impl SiteRecord {
    /// The sites that a run reached, except those absent from draws of sums, and the sites in these draws.
    ///
    /// # Errors
    /// If a tensor carries an error.
    pub(in crate::infer) fn with_summed<'s>(
        sites: impl Iterator<Item = Result<Self>>,
        summed: impl Iterator<Item = (&'s dyn SummedOut, Key)>,
    ) -> Result<Vec<Self>> {
        let mut sites: Vec<Self> = sites.collect::<Result<_>>()?;
        for (summed, key) in summed {
            let recovered = summed.recover(key)?;
            for kept in recovered.kept {
                if let Some(site) = sites.iter_mut().find(|site| site.name == kept.name) {
                    site.inclusion = kept.inclusion;
                    // Its own law does not know that the run reaches it, which depends on its value: a mean then is
                    // that of the values, which count as much as they are included.
                    if kept.inclusion < 1.0 {
                        let value = site.value.as_ref().filter(|_| site.categories.is_none());
                        site.known = match value {
                            Some(value) => Some(Known {
                                mean: value.peek_f64s()?,
                                marginal: None,
                            }),
                            None => None,
                        };
                    }
                    site.value = site.value.take().filter(|_| kept.is_met);
                }
            }
            for site in recovered.sites {
                let site = Self::recovered(site)?;
                sites.push(Self {
                    is_summed_out: site.node_error.is_none(),
                    ..site
                });
            }
        }
        Ok(sites)
    }

    /// A value about which nothing else is known.
    pub(in crate::infer) fn of_value(name: Cow<'static, str>, value: &Tensor) -> Self {
        Self {
            name,
            value: Some(Value::Tensor(value.kept())),
            inclusion: 1.0,
            categories: None,
            is_summed_out: false,
            known: None,
            node_error: None,
        }
    }

    /// A choice that was summed out.
    ///
    /// # Errors
    /// If a tensor carries an error.
    fn recovered(site: RecoveredSite) -> Result<Self> {
        let categories = categories(&*site.law);
        let (known, node_error) = match site.known {
            RecoveredKnown::Values(values) => {
                let known = Known::of_values(site.law, values, categories.is_some())?;
                (Some(known), None)
            }
            RecoveredKnown::Nodes { error } => (None, Some(error)),
        };
        Ok(Self {
            name: site.name,
            value: site.value.map(|value| Value::Tensor(value.kept())),
            inclusion: site.inclusion,
            categories,
            is_summed_out: false,
            known,
            node_error,
        })
    }

    fn of(latent: &Latent) -> Result<Self> {
        let law = &latent.law;
        let probabilities = choice_probabilities(&**law)?;
        Ok(Self {
            name: latent.name.clone(),
            value: Some(Value::Tensor(latent.value.kept())),
            inclusion: 1.0,
            categories: categories(&**law),
            is_summed_out: false,
            known: Some(Known {
                mean: to_f64s(&law.mean())?,
                marginal: probabilities.map(|p| (Rc::clone(law), p)),
            }),
            node_error: None,
        })
    }
}

impl Known {
    /// What is known about a site that was summed out.
    fn of_values(law: Rc<dyn Law>, values: RecoveredValues, are_categories: bool) -> Result<Self> {
        let RecoveredValues {
            probabilities,
            vertices,
        } = values;
        let size = vertices.len();
        let mean = match are_categories {
            true => probabilities.clone(),
            false => {
                // Each value, repeated at all places of the site.
                let shape = law.draw_shape();
                let mut mean: Vec<f64> = Vec::new();
                for (number, vertex) in vertices.iter().enumerate() {
                    let all = vertex.repeat(shape.numel() / vertex.len().max(1));
                    let all = Tensor::from_vec(all, shape, &law.device())?;
                    let value = to_f64s(&law.value_at(&all))?;
                    mean.resize(value.len(), 0.0);
                    let width = value.len() * size / probabilities.len().max(1);
                    for (at, x) in value.into_iter().enumerate() {
                        mean[at] += x * probabilities[at / width.max(1) * size + number];
                    }
                }
                mean
            }
        };
        let is_single = probabilities.len() == size && single_choice(&*law).is_some();
        Ok(Self {
            mean,
            marginal: is_single.then_some((law, probabilities)),
        })
    }
}

fn to_f64s(t: &Tensor) -> Result<Vec<f64>> {
    t.with_values(|values| values.iter().copied().map(f64::from).collect())
}

/// Number of categories, if a law's values are indices of categories.
pub(super) fn categories(law: &dyn Law) -> Option<usize> {
    let of_categories = DrawKind::of(law.draws()) == DrawKind::Categories && holds_indices(law);
    let shape = law.draw_shape();
    shape.last().copied().filter(|_| of_categories)
}

/// The parameter of a law that is a single discrete choice among listable values.
fn single_choice(law: &dyn Law) -> Option<Tensor> {
    let relaxation = law.relaxation()?;
    let theta = law.parameters().remove(0).detach();
    let width = relaxation.width(&theta.shape());
    (theta.len() == width && relaxation.values(width).is_some()).then_some(theta)
}

/// The probability of every value of a law that is a single discrete choice.
fn choice_probabilities(law: &dyn Law) -> Result<Option<Vec<f64>>> {
    let (Some(relaxation), Some(theta)) = (law.relaxation(), single_choice(law)) else {
        return Ok(None);
    };
    to_f64s(&relaxation.probabilities(&theta)).map(Some)
}

/// The values of a law that is a single discrete choice.
pub(super) fn support(law: &dyn Law) -> Result<Vec<Vec<f64>>> {
    let (Some(relaxation), Some(theta)) = (law.relaxation(), single_choice(law)) else {
        return Ok(Vec::new());
    };
    let vertices = relaxation.vertices(theta.len()).into_iter();
    let values = vertices.map(|vertex| {
        let vertex = Tensor::from_vec(vertex, theta.shape(), &theta.device())?;
        to_f64s(&law.value_at(&vertex))
    });
    values.collect()
}

/// The log-weight of a pass, one number per row if all its densities are rows of the same plate; what the draws pay;
/// and the first site that does not count once because it is a sample of a larger data set. (If rows are weighted one
/// by one, it does not matter how many more there are.) Scaling by handlers is part of the model. Costs are not
/// densities and are kept apart: with them the weights would not bound ln p(x). Without densities there is nothing to
/// weight, and beside rows only costs that depend on choices count, and tie the rows together.
fn log_weights(pass: &Pass) -> Result<(Vec<f64>, f64, Option<String>)> {
    let densities = || pass.terms.iter().filter(|term| term.kind != Kind::Cost);
    if densities().next().is_none() {
        return Ok((vec![0.0], 0.0, None));
    }
    let plate = common_plate(densities());
    let costs = || pass.terms.iter().filter(|term| term.kind == Kind::Cost);
    let ties = costs().any(|cost| cost.sites.sites().next().is_some());
    let once = plate.filter(|_| !ties).map_or(1.0, |plate| plate.scale);
    // Under a guide that is scaled, draws are not those of its law.
    let is_scaled =
        |term: &&Term| term.scale != once * term.weight || (term.of_guide && term.weight != 1.0);
    let scaled = densities().chain(costs().filter(|_| ties)).find(is_scaled);
    let scaled = scaled.map(|term| term.name.to_string());
    let paid = match ties || plate.is_none_or(|plate| plate.size == 1) {
        true => costs().map(Term::once).sum::<Result<_>>()?,
        false => 0.0,
    };
    let Some(plate) = plate else {
        let sum: f64 = densities().map(Term::once).sum::<Result<_>>()?;
        return Ok((vec![-sum], paid, scaled));
    };
    let mut weights = vec![0.0; plate.size];
    for term in densities() {
        if let Number::Tensor(t) = &term.value {
            t.with_values(|values| {
                let pairs = weights.iter_mut().zip(values);
                pairs.for_each(|(weight, &x)| *weight -= f64::from(x) * term.weight);
            })?;
        }
    }
    Ok((weights, paid, scaled))
}

/// The single plate that all terms are in, if there is one.
fn common_plate<'p>(mut terms: impl Iterator<Item = &'p Term>) -> Option<Plate> {
    let [plate] = *terms.next()?.plates else {
        return None;
    };
    terms.all(|term| *term.plates == [plate]).then_some(plate)
}
