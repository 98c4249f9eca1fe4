//! Bounds of several samples: ln (1/K) Σₖ wₖ with wₖ = p(x, zₖ)/q(zₖ) (Burda, Grosse, Salakhutdinov
//! 2016), of which the evidence lower bound is the case K = 1.

use std::rc::Rc;

use crate::dist::Number;
use crate::error::{Error, Result};
use crate::infer::marginal::LOG_EVIDENCE;
use crate::infer::pass::samples::Samples;
use crate::infer::pass::{Pass, Term};
use crate::model::{Kind, Plate};
use crate::random::Key;
use crate::tensor::{SiteSet, Tensor};

/// Evaluates the negative bound: `run` gives each sample's choices, with the terms of −ln w.
pub(in crate::infer) fn bound(
    samples: usize,
    key: Key,
    run: impl Fn(Key) -> Result<Pass>,
) -> Result<Pass> {
    let count = samples as u64;
    let keys = (0..count).map(|k| Key {
        particle: key.particle.wrapping_mul(count).wrapping_add(k),
        ..key
    });
    let runs: Vec<Pass> = keys.map(run).collect::<Result<_>>()?;
    let plate = shared_plate(&runs);
    let weights: Vec<Tensor> = runs
        .iter()
        .map(|run| log_weight(run, plate.as_ref()))
        .collect::<Result<_>>()?;
    let weights = Tensor::stack(&weights.iter().collect::<Vec<_>>(), 0);
    let bound = weights.logsumexp(0) - (samples as f32).ln();
    let latents: Vec<_> = runs.iter().flat_map(|run| run.latents.clone()).collect();
    let mut sites = SiteSet::EMPTY;
    (0..latents.len()).for_each(|place| sites.insert(place));
    let plates: Rc<[Plate]> = plate.into_iter().collect();
    let term = Term {
        name: format!("bound of {samples} samples").into(),
        kind: Kind::Observed,
        value: Number::Tensor(-bound),
        scale: plate.map_or(1.0, |plate| plate.scale),
        weight: 1.0,
        plates,
        sites,
        of_guide: false,
        at: None,
        dist: None,
        outside: None,
    };
    Ok(Pass {
        latents,
        terms: vec![term],
        reads: SiteSet::EMPTY,
        samples: Some(Rc::new(Samples::new(weights.check()?.detach(), runs))),
        summed: Vec::new(),
    })
}

/// The plate around everything, if there is one: each of its rows has its own bound.
fn shared_plate(runs: &[Pass]) -> Option<Plate> {
    let terms = || runs.iter().flat_map(|run| &run.terms);
    let first = *terms().next()?.plates.first()?;
    let within = |plates: &[Plate]| plates.first().is_some_and(|plate| plate.same_rows(&first));
    let mut latents = runs.iter().flat_map(|run| &run.latents);
    let all = terms().all(|term| within(&term.plates)) && latents.all(|l| within(&l.plates));
    all.then_some(first)
}

/// ln w of one sample, one number per row of the plate.
fn log_weight(run: &Pass, plate: Option<&Plate>) -> Result<Tensor> {
    let scale = plate.map_or(1.0, |plate| plate.scale);
    // If nothing is left to draw, all samples are the same.
    let mut sums = run.summed.iter();
    let counts_more =
        !run.latents.is_empty() && sums.any(|(sum, _)| sum.log_sum() != sum.log_sum_once());
    let (mut sum, mut host): (Option<Tensor>, f64) = (None, 0.0);
    for term in &run.terms {
        if term.kind == Kind::Cost {
            return Err(Error::Estimator(format!(
                "`{}` is a cost; a bound of several samples bounds ln p(x), which has none: \
                 take one sample, or use `observe!`, or `factor!`, which counts as evidence",
                term.name
            )));
        }
        if term.of_guide && term.weight != 1.0 {
            return Err(Error::Estimator(format!(
                "`{}` is drawn from a guide that is scaled, but a bound of several samples needs the law of draws as it is; \
                 scale only the model, or take one sample",
                term.name
            )));
        }
        if term.scale != scale * term.weight || (counts_more && term.name == LOG_EVIDENCE) {
            let remedy = match run.summed.is_empty() {
                true => "put all of model and guide into the plate with `of`",
                false => {
                    "have all choices drawn, with all of model and guide in the plate with `of`, as a sum counts \
                          its rows together"
                }
            };
            return Err(Error::Estimator(format!(
                "`{}` stands for more rows than it has, and a bound of several samples is a sum \
                 over rows only if everything stands in one plate; {remedy}, or take one sample",
                term.name
            )));
        }
        match term.value.scale(term.weight) {
            Number::Host(x) => host += x,
            Number::Tensor(t) => {
                let t = match plate {
                    Some(_) => t.sum_from(1),
                    None => t.sum_all(),
                };
                sum = Some(match sum {
                    None => t,
                    Some(sum) => sum + t,
                });
            }
        }
    }
    let weight = match sum {
        Some(sum) => -sum - host as f32,
        None => Tensor::scalar(-host as f32),
    };
    Ok(weight.check()?.clone())
}
