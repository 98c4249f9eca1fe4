//! The exact posterior of a model whose latent sites are discrete, by enumeration.

use std::ops::Deref;
use std::rc::Rc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::infer::draw::{Draw, Own};
use crate::infer::exact::row_sums::{RowSums, stands_for_others};
use crate::infer::impossible::under_no_combination;
use crate::infer::marginal::{Borrowed, marginalise};
use crate::infer::pass::odometer::{LARGEST, Odometer, Refusal};
use crate::infer::pass::{Latent, Mode};
use crate::infer::posterior::table::Table;
use crate::infer::posterior::{Draws, draws_of_sum};
use crate::model::{Context, Entry, Kind, Model, ParamStore, Program, Trace};
use crate::random::Key;

/// The exact posterior of a model whose latent sites are discrete: all combinations of their values, with
/// their probabilities. Where they are more than 4,096 and variable elimination can do without them
/// ([`marginalise`](crate::infer::marginalise) says when), the evidence, means, marginals and inclusion
/// probabilities of sites are exact, and what else is asked is answered by 1,000 exact draws. Up to 2²⁰
/// combinations this is done only where tensors tell what depends on which choices, or all states of those that host
/// code reads were tried: some of them may miss what shows at a few of many combinations. What can be asked of them stands at
/// [`Draws`]. Where there are more than 2²² values in all combinations together, the combinations are not kept,
/// and only single sites can be asked for.
///
/// In a plate that is a part of a larger data set, `of = N`, the choices of a row have their posterior given the row's own
/// data, and what stands outside sees every row as often as it stands for others:
/// p(g | x) ∝ p(g) Π_i \[Σ_z p(z | g) p(x_i | z, g)\]^(N/n).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ExactPosterior {
    /// ln p(observations), in which each row of a plate counts once, whether or not it is a part of a larger data set.
    pub log_evidence: f64,
    draws: Draws,
}

impl Deref for ExactPosterior {
    type Target = Draws;

    fn deref(&self) -> &Draws {
        &self.draws
    }
}

/// The posterior of a model, exactly: by all combinations of its discrete values where they are few, and else by variable
/// elimination, with its `param!` sites at their initial values; [`exact_posterior_at`] takes trained ones.
///
/// # Errors
/// As [`exact_posterior_at`].
pub fn exact_posterior(model: &dyn Program) -> Result<ExactPosterior> {
    exact_posterior_at(model, &ParamStore::default())
}

/// The posterior of a model, exactly: by all combinations of its discrete values where they are few, and else by variable
/// elimination, with its `param!` sites at the values of `params`, such as those of a [`Fit`](crate::infer::Fit). Parameters that are not there yet are
/// created there, at their initial values. `cost!` terms do not count.
///
/// # Errors
/// If a latent site is continuous, there are more than 2²⁰ combinations
/// ([`exact_posterior_up_to`] takes more), or the observations are impossible under all of them;
/// [`Error::Plates`] if rows of a plate that is a part of a larger data set meet, so that it is not known what the others
/// would be.
pub fn exact_posterior_at(model: &dyn Program, params: &ParamStore) -> Result<ExactPosterior> {
    /// So many combinations are run one by one.
    const FEW: usize = 1 << 12;
    params.beside_data(|| {
        let odometer = Rc::new(Odometer::new(false, FEW));
        let found = enumerated(model, params, &odometer);
        let (Err(_), Some(Refusal::TooMany(_))) = (&found, odometer.refusal()) else {
            return found;
        };
        let eliminated = eliminated(model, params);
        if let Some((posterior, true)) = eliminated {
            return Ok(posterior);
        }
        let odometer = Rc::new(Odometer::new(false, LARGEST));
        let found = enumerated(model, params, &odometer);
        match (eliminated, odometer.refusal()) {
            (Some((posterior, _)), Some(Refusal::TooMany(_))) => Ok(posterior),
            _ => found,
        }
    })
}

/// The posterior by variable elimination, if that can be done, and whether it is certain what depends on
/// which choices.
fn eliminated(model: &dyn Program, params: &ParamStore) -> Option<(ExactPosterior, bool)> {
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
    let posterior = ExactPosterior {
        log_evidence: summed.log_sum_once(),
        draws: draws_of_sum(&**summed, DRAWS).ok()?,
    };
    Some((posterior, summed.is_certain()))
}

/// As [`exact_posterior_at`], with at most so many combinations. After the first runs it is
/// estimated how many there are, and far too many are refused then. Memory goes by the number of
/// values of single sites, not by that of combinations, of which at most 16 MiB are kept.
///
/// # Errors
/// As [`exact_posterior_at`].
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
    /// Shows each run, as long as `see` wants to see more.
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

/// The log-density of a run.
///
/// # Errors
/// If it is none.
fn density(trace: &Trace) -> Result<f64> {
    let log_weight = trace.log_prob()?;
    match log_weight.is_nan() || log_weight == f64::INFINITY {
        true => Err(not_a_density(trace, log_weight)),
        false => Ok(log_weight),
    }
}

/// Keeps the first site that is impossible in a first run.
fn note_impossible(first: &mut Option<Entry>, trace: &Trace, log_weight: f64) {
    if log_weight == f64::NEG_INFINITY && first.is_none() {
        *first = first_site(trace, |x| x == f64::NEG_INFINITY).cloned();
    }
}

/// The first site whose log-density is such.
fn first_site(trace: &Trace, such: impl Fn(f64) -> bool) -> Option<&Entry> {
    let density = |entry: &Entry| entry.log_prob().and_then(|number| number.total());
    let mut entries = trace.entries().iter();
    entries.find(|entry| density(entry).is_ok_and(&such))
}

fn not_a_density(trace: &Trace, value: f64) -> Error {
    let entry = first_site(trace, |x| x.is_nan() || x == f64::INFINITY);
    let is_factor = entry
        .as_ref()
        .is_some_and(|entry| entry.kind == Kind::Factor);
    let error = Error::Model(match is_factor {
        true => format!("the factor is {value}; look at what computes it"),
        false => format!(
            "the log-density is {value}; look at what computes the distribution's parameters"
        ),
    });
    match entry {
        Some(entry) => entry.locate(error),
        None => error,
    }
}
