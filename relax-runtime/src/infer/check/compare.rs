//! Comparison of means with their expected values.

use std::collections::BTreeMap;

use super::measure::{Coordinates, Measured, Sums, sketch};
use crate::error::Result;
use crate::estimator::Plan;
use crate::infer::exact::{Exact, Range};
use crate::report::{BiasRow, BiasTable, Reference, Subject};

/// Rounding of f32 arithmetic, as a fraction of a gradient's largest coordinate and of the cost; the lower limit for
/// standard errors.
const ROUNDING: f64 = 1e-6;

/// One table in this many shows a bias where there is none.
const TABLES: f64 = 1_000.0;

/// The expected value of a gradient, with the square of its standard error, by coordinate.
#[derive(Default)]
struct Expected {
    mean: Vec<f64>,
    square_error: Vec<f64>,
}

impl Expected {
    fn exactly(mean: Vec<f64>) -> Self {
        Self {
            square_error: vec![0.0; mean.len()],
            mean,
        }
    }

    fn measured(sums: &Sums, draws: f64) -> Self {
        let all = 0..sums.sum.len();
        Self {
            mean: all.clone().map(|at| sums.mean(at, draws)).collect(),
            square_error: all.map(|at| sums.variance(at, draws) / draws).collect(),
        }
    }
}

/// The expected gradient of a site.
#[derive(Default)]
struct ExpectedSite {
    summed: Expected,
    rows: Expected,
    weighed: Expected,
    /// Smallest and largest cost-to-go, if known.
    costs: Range,
}

/// The expected values of all gradients.
pub(super) struct Target {
    value: Expected,
    sites: BTreeMap<String, ExpectedSite>,
    /// By the key of the parameter.
    parameters: BTreeMap<u64, Expected>,
}

impl Target {
    pub(super) fn of_exact(exact: Exact) -> Result<Self> {
        let mut sites = BTreeMap::new();
        for (name, site) in exact.sites {
            let Coordinates {
                summed,
                rows,
                weighed,
            } = Coordinates::of(&site.gradients, &site.weighed, site.plates)?;
            let expected = ExpectedSite {
                summed: Expected::exactly(summed),
                rows: Expected::exactly(rows),
                weighed: Expected::exactly(weighed),
                costs: site.costs,
            };
            sites.insert(name, expected);
        }
        let mut parameters = BTreeMap::new();
        for (parameter, gradient) in exact.parameters {
            let gradient = Expected::exactly(sketch(gradient.peek()?));
            parameters.insert(parameter.key(), gradient);
        }
        Ok(Self {
            value: Expected::exactly(vec![exact.value]),
            sites,
            parameters,
        })
    }

    pub(super) fn of_draws(measured: Measured) -> Self {
        let draws = measured.draws as f64;
        let expected = |sums: &Sums| Expected::measured(sums, draws);
        let sites = measured.sites.iter().map(|(name, site)| {
            let expected = ExpectedSite {
                summed: expected(&site.summed),
                rows: expected(&site.rows),
                weighed: expected(&site.weighed),
                costs: Range::default(),
            };
            (name.clone(), expected)
        });
        let parameters = measured.parameters.iter();
        Self {
            value: expected(&measured.loss),
            sites: sites.collect(),
            parameters: parameters
                .map(|(p, sums)| (p.key(), expected(sums)))
                .collect(),
        }
    }
}

/// One row of the table, for one or several vectors.
#[derive(Default)]
struct Comparison {
    coordinates: usize,
    z: f64,
    bias: f64,
    /// Largest standard error.
    error: f64,
    size: f64,
}

/// Compares means with their expected values. `unseen` is the largest contribution that an event might have that no
/// draw happened to show: the probability of such events is at most of the order of one over the number of draws, so it
/// counts that much in the standard error.
fn contrast(pairs: &[(&Sums, &Expected)], draws: f64, unseen: f64, cost: f64) -> Comparison {
    let sizes = pairs.iter().flat_map(|(_, expected)| &expected.mean);
    let size = sizes.fold(0.0_f64, |size, x| size.max(x.abs()));
    let floor = (unseen / draws).powi(2) + (ROUNDING * size.max(cost)).powi(2);
    let mut found = Comparison {
        size,
        ..Comparison::default()
    };
    for (sums, expected) in pairs {
        let width = sums.sum.len().max(expected.mean.len());
        found.coordinates += width;
        for at in 0..width {
            let reference = expected.mean.get(at).copied().unwrap_or_default();
            let known = expected.square_error.get(at).copied().unwrap_or_default();
            let bias = sums.mean(at, draws) - reference;
            let error = (sums.variance(at, draws) / draws + known + floor).sqrt();
            // 0/0 if there is neither a gradient nor a cost.
            let z = if bias == 0.0 { 0.0 } else { bias.abs() / error };
            found.error = found.error.max(error);
            if z > found.z || z.is_nan() {
                (found.z, found.bias) = (z, bias);
            }
        }
    }
    found
}

fn mean_variance(sums: &Sums, draws: f64) -> f64 {
    let width = sums.sum.len();
    let total: f64 = (0..width).map(|at| sums.variance(at, draws)).sum();
    total / width.max(1) as f64
}

/// The table of a check.
pub(super) fn compare(
    plan: &Plan,
    found: &Measured,
    target: &Target,
    reference: Reference,
) -> BiasTable {
    let draws = found.draws as f64;
    let value = target.value.mean.first().map_or(0.0, |value| value.abs());
    let mut rows = Vec::new();
    let mut push = |name: &str, subject, compared: Comparison, variance, evaluations| {
        rows.push(BiasRow {
            name: name.to_owned(),
            subject,
            coordinates: compared.coordinates,
            z: compared.z,
            bias: compared.bias,
            resolution: compared.error,
            size: compared.size,
            variance,
            floor: None,
            evaluations,
            biased: false,
        });
    };
    let nothing = ExpectedSite::default();
    // The largest cost that an unseen event at a site might have, by name.
    let mut unseen: BTreeMap<&str, f64> = BTreeMap::new();
    for entry in &plan.entries {
        let site = found.sites.get(&entry.site);
        let subject = Subject::Site {
            distribution: entry.distribution,
            estimator: entry.estimator,
            declared: entry.biased,
            measured: site.is_some(),
        };
        let Some(site) = site else {
            push(&entry.site, subject, Comparison::default(), 0.0, 0.0);
            continue;
        };
        let expected = target.sites.get(&entry.site).unwrap_or(&nothing);
        let cost = site
            .costs
            .distance(site.baseline)
            .max(expected.costs.distance(site.baseline));
        unseen.insert(&entry.site, cost);
        let pairs = [
            (&site.summed, &expected.summed),
            (&site.rows, &expected.rows),
            (&site.weighed, &expected.weighed),
        ];
        let compared = contrast(&pairs, draws, cost, cost);
        let (evaluations, met) = site.evaluations;
        let evaluations = evaluations as f64 / met.max(1) as f64;
        push(
            &entry.site,
            subject,
            compared,
            mean_variance(&site.summed, draws),
            evaluations,
        );
    }
    let sites = || {
        unseen
            .iter()
            .map(|(name, cost)| (&found.sites[*name], cost))
    };
    for (at, (parameter, sums)) in found.parameters.iter().enumerate() {
        let unnamed = format!("parameter {at}, {}", parameter.shape());
        let expected = target.parameters.get(&parameter.key());
        let pairs = [(sums, expected.unwrap_or(&nothing.summed))];
        // By how much a site's gradient may exceed the largest one seen: that of a row if the parameter has numbers for
        // every row.
        let excess = sites().map(|(site, cost)| {
            let by_row = site.numbers > 0 && parameter.shape().numel() >= site.numbers;
            let sums = if by_row { &site.rows } else { &site.summed };
            if sums.largest > 0.0 {
                cost / sums.largest
            } else {
                0.0
            }
        });
        let compared = contrast(
            &pairs,
            draws,
            sums.largest * excess.fold(0.0, f64::max),
            value,
        );
        let name = parameter.name().unwrap_or(&unnamed);
        push(
            name,
            Subject::Parameter,
            compared,
            mean_variance(sums, draws),
            0.0,
        );
    }
    let cost = sites()
        .map(|(site, cost)| cost * site.scale)
        .fold(0.0, f64::max);
    let compared = contrast(&[(&found.loss, &target.value)], draws, cost, value);
    push(
        "objective",
        Subject::Objective,
        compared,
        mean_variance(&found.loss, draws),
        0.0,
    );

    let all: usize = rows.iter().map(|row| row.coordinates).sum();
    let threshold = (2.0 * (TABLES * all as f64).ln()).sqrt();
    for row in &mut rows {
        row.resolution *= threshold;
        row.biased = row.z.is_nan() || row.z > threshold;
    }
    BiasTable {
        rows,
        reference,
        draws: found.draws,
        threshold,
    }
}
