//! The exact posterior of a model whose latent sites are discrete, by enumeration.

use std::ops::Deref;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::infer::draw::{Draw, Own};
use crate::infer::exact::row_sums::{RowSums, log_weight, stands_for_others};
use crate::infer::impossible::under_no_combination;
use crate::infer::marginal::{Borrowed, marginalise};
use crate::infer::pass::odometer::{LARGEST, Odometer, Refusal};
use crate::infer::pass::{Latent, Mode};
use crate::infer::posterior::table::Table;
use crate::infer::posterior::{Draws, draws_of_sum};
use crate::model::{Context, Entry, Kind, Model, ParamStore, Program, Trace};
use crate::random::Key;

/// The exact posterior of a model whose latent sites are discrete: all combinations of their values, with their
/// probabilities. If there are more than 4,096 and variable elimination can do without them
/// ([`marginalise`](crate::infer::marginalise) says when), the evidence, means, marginals and inclusion probabilities
/// of sites are exact, and other queries are answered by 1,000 exact draws. Up to 2²⁰ combinations this is done only if
/// tensors tell what depends on which choices, or all states of those that host code reads were tried: trying some of
/// them may miss what shows at a few of many combinations. If all combinations together have more than 2²² values, they
/// are not kept, and only single sites can be queried.
///
/// See [`exact_posterior`] for an example. It dereferences to [`Draws`], which has the queries.
///
/// In a plate that is a part of a larger data set, `of = N`, the choices of a row have their posterior given the row's
/// own data, and what stands outside sees every row as often as it stands for others:
/// p(g | x) ∝ p(g) Π_i \[Σ_z p(z | g) p(x_i | z, g)\]^(N/n).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExactPosterior {
    /// ln p(observations), counting each row of a plate once, whether or not it is a part of a larger data set, and
    /// without costs.
    pub log_evidence: f64,
    /// Whether all combinations were run, or the tensors of the model show what depends on which choices. If not, host
    /// code reads choices with too many combinations to run, and runs at some of them have shown it: what shows only at
    /// few others is missed.
    #[serde(default)]
    pub is_certain: bool,
    draws: Draws,
}

impl Deref for ExactPosterior {
    type Target = Draws;

    fn deref(&self) -> &Draws {
        &self.draws
    }
}

/// The exact posterior of a model, with its `param!` sites at their initial values: by all combinations of its discrete
/// values if they are few, and otherwise by variable elimination. [`exact_posterior_at`] takes trained parameters.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn toss(heads: bool) {
///     let fair = sample!(Bernoulli(0.5));
///     observe!(Bernoulli(if fair { 0.5 } else { 0.9 }), heads);
/// }
///
/// # fn main() -> Result<()> {
/// let posterior = exact_posterior(&toss(true))?;
/// assert!((posterior.log_evidence - 0.7_f64.ln()).abs() < 1e-6);
/// assert!((posterior.mean("fair")? - 0.25 / 0.7).abs() < 1e-6);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`exact_posterior_at`].
pub fn exact_posterior(model: &dyn Program) -> Result<ExactPosterior> {
    exact_posterior_at(model, &ParamStore::default())
}

/// The exact posterior of a model, as [`exact_posterior`], with its `param!` sites at the values of `params`, such as
/// those of a [`Fit`](crate::infer::Fit). Missing parameters are created there, at their initial values. With `cost!`
/// terms the posterior is p(z | x) e^(−cost), normalized, as for a fit; the evidence is without them.
///
/// ```
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn toss(heads: bool) {
///     let bias = param!(1.0).sigmoid();
///     let fair = sample!(Bernoulli(0.5));
///     observe!(Bernoulli(if fair { Tensor::scalar(0.5) } else { bias }), heads);
/// }
///
/// # fn main() -> Result<()> {
/// let model = toss(true);
/// let fit = Svi::new(&model).steps(50).run()?;
/// let exact = exact_posterior_at(&model, fit.params())?;
/// // `Svi` has summed the choice out, too.
/// assert!((exact.mean("fair")? - fit.posterior().mean("fair")?).abs() < 1e-4);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// If a latent site is continuous, there are more than 2²⁰ combinations that variable elimination cannot avoid
/// ([`exact_posterior_up_to`] takes more), or the observations are impossible under all of them; [`Error::Plates`] if
/// rows of a plate that is a part of a larger data set meet, so that it is not known what the others would be.
pub fn exact_posterior_at(model: &dyn Program, params: &ParamStore) -> Result<ExactPosterior> {
    /// Up to this many combinations are run one by one.
    const FEW: usize = 1 << 12;
    params.beside_data(|| {
        let odometer = Rc::new(Odometer::new(false, FEW));
        let found = enumerated(model, params, &odometer);
        let (Err(_), Some(Refusal::TooMany(_))) = (&found, odometer.refusal()) else {
            return found;
        };
        let eliminated = eliminated(model, params);
        if let Some(posterior) = eliminated.as_ref().filter(|posterior| posterior.is_certain) {
            return Ok(posterior.clone());
        }
        let odometer = Rc::new(Odometer::new(false, LARGEST));
        let found = enumerated(model, params, &odometer);
        match (eliminated, odometer.refusal()) {
            (Some(posterior), Some(Refusal::TooMany(_))) => Ok(posterior),
            _ => found,
        }
    })
}

/// The posterior by variable elimination, if possible.
fn eliminated(model: &dyn Program, params: &ParamStore) -> Option<ExactPosterior> {
    const DRAWS: usize = 1_000;
    let context = Context::new(Key::new(0), None, params.clone());
    let summed = marginalise(Borrowed(model)).if_few_sites();
    summed.run(&context).ok()?;
    let (trace, _) = context.finish();
    let mut others = trace
        .entries()
        .iter()
        .filter(|entry| entry.kind == Kind::Latent);
    let ([summed], None) = (&trace.summed[..], others.next()) else {
        return None;
    };
    Some(ExactPosterior {
        log_evidence: summed.log_sum_once(),
        is_certain: summed.is_certain(),
        draws: draws_of_sum(&**summed, DRAWS).ok()?,
    })
}

/// As [`exact_posterior_at`], by running at most `combinations` combinations. Their number is estimated after the first
/// runs, and far too many are refused then. Memory grows with the number of values of single sites, not with that of
/// combinations, of which at most 16 MiB are kept.
///
/// ```
/// use relax_runtime::infer::exact_posterior_up_to;
/// use relax_runtime::prelude::*;
///
/// #[model]
/// fn three_coins() {
///     let mut heads = 0;
///     for _ in 0..3 {
///         let coin = sample!(Bernoulli(0.5));
///         heads += usize::from(coin);
///     }
///     observe!(Bernoulli(if heads == 3 { 1.0 } else { 0.5 }), true);
/// }
///
/// # fn main() -> Result<()> {
/// let (model, params) = (three_coins(), ParamStore::default());
/// let posterior = exact_posterior_up_to(&model, &params, 8)?;
/// assert_eq!(posterior.len(), 8);
/// assert!(exact_posterior_up_to(&model, &params, 7).is_err());
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As for [`exact_posterior_at`].
pub fn exact_posterior_up_to(
    model: &dyn Program,
    params: &ParamStore,
    combinations: usize,
) -> Result<ExactPosterior> {
    let odometer = Rc::new(Odometer::new(false, combinations));
    enumerated(model, params, &odometer)
}

/// The posterior by one run for each combination.
fn enumerated(
    model: &dyn Program,
    params: &ParamStore,
    odometer: &Rc<Odometer>,
) -> Result<ExactPosterior> {
    let (mut table, mut impossible, mut by_rows) = (Table::new(), None, false);
    let all = Combinations {
        model,
        params,
        odometer,
    };
    all.each(|latents, trace| {
        by_rows = latents.iter().any(stands_for_others);
        if by_rows {
            return Ok(false);
        }
        let log_weight = density(trace)?;
        table.add(latents, log_weight, trace.log_prob_once()?)?;
        note_impossible(&mut impossible, trace, log_weight);
        Ok(true)
    })?;
    if by_rows {
        let mut rows = RowSums::default();
        all.each(|latents, trace| {
            note_impossible(&mut impossible, trace, density(trace)?);
            rows.add(latents, trace).map(|()| true)
        })?;
        rows.sum()?;
        table = Table::new();
        all.each(|latents, trace| {
            let log_weight = rows.log_probability(latents, trace)?;
            table.add(latents, log_weight, trace.log_prob_once()?)?;
            Ok(true)
        })?;
    }
    let log_evidence = table.log_evidence();
    if log_evidence == f64::NEG_INFINITY {
        let mut problem = format!(
            "the observations are impossible: `{}` gives them probability 0 under every combination \
             of its latent values",
            model.model_name()
        );
        let Some(entry) = impossible else {
            return Err(Error::Impossible(problem));
        };
        if let Some(mistake) = entry.mistake() {
            return Err(mistake);
        }
        problem += ", and at the first of these it does so here";
        if entry.kind == Kind::Observed {
            problem += "; ";
            problem += under_no_combination(entry.known());
        }
        return Err(entry.locate(Error::Impossible(problem)));
    }
    Ok(ExactPosterior {
        log_evidence,
        is_certain: true,
        draws: table.into_draws(),
    })
}

/// The runs of a program at all combinations of its choices.
struct Combinations<'a> {
    model: &'a dyn Program,
    params: &'a ParamStore,
    odometer: &'a Rc<Odometer>,
}

impl Combinations<'_> {
    /// Shows each run, as long as `see` asks for more.
    fn each(&self, mut see: impl FnMut(&[Latent], &Trace) -> Result<bool>) -> Result<()> {
        let run = || {
            let draw = Draw::new(Own, Mode::Enumerate(Rc::clone(self.odometer)));
            draw.run(self.model, Key::new(0), self.params)
        };
        self.odometer.restart();
        loop {
            let (latents, trace, _) = run()?;
            let goes_on = see(&latents, &trace)?;
            if !goes_on || !self.odometer.advance(&mut || run().map(drop))? {
                return Ok(());
            }
        }
    }
}

/// The log-density of a run, minus its costs.
///
/// # Errors
/// If it is not a valid log-density.
fn density(trace: &Trace) -> Result<f64> {
    let counted = trace.entries().iter().filter(|entry| !entry.elsewhere);
    let terms = counted.map(|entry| {
        let rows = entry.weighed(log_weight(entry)?);
        let rows = rows.map_err(|error| entry.locate(error))?;
        Ok(rows.total()? * entry.factor())
    });
    let sum: f64 = terms.sum::<Result<_>>()?;
    match sum.is_nan() || sum == f64::INFINITY {
        true => Err(not_a_density(trace, sum)),
        false => Ok(sum),
    }
}

/// Keeps the first impossible site of the first impossible run.
fn note_impossible(first: &mut Option<Entry>, trace: &Trace, log_weight: f64) {
    if log_weight == f64::NEG_INFINITY && first.is_none() {
        *first = first_site(trace, |x| x == f64::NEG_INFINITY).cloned();
    }
}

/// The first site whose log-density satisfies `such`.
fn first_site(trace: &Trace, such: impl Fn(f64) -> bool) -> Option<&Entry> {
    let density = |entry: &Entry| log_weight(entry).and_then(|number| number.total());
    let mut entries = trace.entries().iter();
    entries.find(|entry| density(entry).is_ok_and(&such))
}

fn not_a_density(trace: &Trace, value: f64) -> Error {
    let entry = first_site(trace, |x| x.is_nan() || x == f64::INFINITY);
    let error = Error::Model(match entry.map(|entry| entry.kind) {
        Some(Kind::Factor) => format!("the factor is {value}; look at what computes it"),
        Some(Kind::Cost) => format!("the cost is {}; look at what computes it", -value),
        _ => format!(
            "the log-density is {value}; look at what computes the distribution's parameters"
        ),
    });
    match entry {
        Some(entry) => entry.locate(error),
        None => error,
    }
}
