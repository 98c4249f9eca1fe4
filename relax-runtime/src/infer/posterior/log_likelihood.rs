//! The log-likelihood of data at posterior draws.

use std::collections::BTreeSet;

use super::column::Column;
use super::draws::Draws;
use super::predictive::{Columns, given, predictive_key, run_at};
use super::weights::Weights;
use crate::dist::{Number, Value};
use crate::error::{Error, Result};
use crate::infer::marginal::{Borrowed, marginalise};
use crate::model::{BesideSum, Entry, GivenOthers, Kind, ParamStore, Program, Trace};
use crate::tensor::{Device, Shape, Tensor};

impl Draws {
    /// The log-likelihood ln p(x | z) of each observed site of a program at each draw: one number per row of the plates
    /// around the site, without the plates' scale. Sites that a draw lacks are drawn. The weights are those of the
    /// draws.
    ///
    /// ```
    /// use relax_runtime::prelude::*;
    ///
    /// #[model]
    /// fn toss() {
    ///     let biased = sample!(Bernoulli(0.5));
    ///     observe!(Bernoulli(if biased { 0.9 } else { 0.5 }), true, name = "heads");
    /// }
    ///
    /// # fn main() -> Result<()> {
    /// let posterior = exact_posterior(&toss())?;
    /// let found = posterior.log_likelihood(&toss(), &ParamStore::default())?;
    /// let likelihood = found.expectation(|draw| draw.number("heads").unwrap().exp())?;
    /// assert!((likelihood - (0.9 * 0.9 + 0.5 * 0.5) / 1.4).abs() < 1e-6);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// If the fit summed out discrete choices, as by default, draws of these hold one value each, which the data have
    /// chosen, and ln p(x | z) there says how well a datum fits the component chosen for it, not how well it was
    /// predicted. So these, and finite choices that the draws lack, are summed out here, too: the number of a datum is
    /// ln p of it given all other data and the draw of what is not summed out, exactly, as leave-one-out
    /// cross-validation asks for. Where rows are independent given that, as in a mixture, it is ln Σ_z p(z) p(x | z).
    /// The program may have other rows than those of the fit. Call [`draw_all`](crate::infer::Svi::draw_all) for a fit
    /// of draws.
    ///
    /// Terms of `factor!` are not data, and left out. What a mask leaves out has log-likelihood 0; scales are ignored.
    ///
    /// # Errors
    /// As [`predictive`](Self::predictive), if rows have their own weights, or if the program observes nothing. Beside a
    /// sum, if a site is observed at some values of the summed choices only, or a choice that the draws lack depends on
    /// them and cannot be summed out.
    pub fn log_likelihood(&self, program: &dyn Program, params: &ParamStore) -> Result<Draws> {
        let found = self.log_likelihoods(program, params)?;
        if found.columns.is_empty() {
            return Err(Error::Query(format!(
                "`{}` observes nothing, so no datum has a log-likelihood: state the data with `observe!`, with a law \
                 of your own if none fits; terms of `factor!` belong to no datum",
                program.model_name()
            )));
        }
        Ok(found)
    }

    /// As [`log_likelihood`](Self::log_likelihood), but without sites if the program observes nothing.
    pub(super) fn log_likelihoods(
        &self,
        program: &dyn Program,
        params: &ParamStore,
    ) -> Result<Draws> {
        self.expect_whole_draws()?;
        let params = params.as_trained();
        let mut columns = Columns::default();
        match self.columns.iter().any(Column::is_recovered) {
            true => self.given_the_others(program, &params, &mut columns)?,
            false => {
                for draw in 0..self.count {
                    let key = predictive_key(0, draw);
                    let (trace, _) = run_at(self, draw, |_| true, program, &params, key)?;
                    for entry in trace.entries().iter().filter(|e| e.kind == Kind::Observed) {
                        columns.of(&entry.name).push(draw, log_likelihood(entry)?);
                    }
                }
            }
        }
        let found = Self::of_equal(columns.all, self.count);
        Ok(match self.weights {
            Weights::Whole(_) => found.reweighted(self.weights.clone()),
            _ => found,
        })
    }

    /// The log-likelihoods at each draw of a program in which the choices that the fit summed out, and finite ones that
    /// the draws lack, are summed out. A program that takes sums itself is left to them.
    fn given_the_others(
        &self,
        program: &dyn Program,
        params: &ParamStore,
        columns: &mut Columns,
    ) -> Result<()> {
        let recalled = |column: &Column| !column.is_recovered();
        let held = self.columns.iter().filter(|column| recalled(column));
        let held: BTreeSet<String> = held.map(|column| column.name.clone()).collect();
        let (trace, _) = run_at(self, 0, recalled, program, params, predictive_key(0, 0))?;
        let mut wrapped = marginalise(Borrowed(program)).only(move |name| !held.contains(name));
        let integrated = self
            .columns
            .iter()
            .filter(|column| column.is_integrated_out);
        for column in integrated.filter(|column| trace.get(&column.name).is_ok()) {
            wrapped = wrapped.integrate(&column.name);
        }
        let program: &dyn Program = match trace.summed.is_empty() {
            true => &wrapped,
            false => program,
        };
        let (mut found, mut is_alike) = (Vec::new(), false);
        for draw in 0..self.count {
            if !is_alike {
                let key = predictive_key(0, draw);
                let (trace, recall) = run_at(self, draw, recalled, program, params, key)?;
                let mut entries = trace.entries().iter();
                is_alike = entries.all(|entry| entry.kind != Kind::Latent);
                found = beside_sums(&trace, |entry| given(&recall, entry))?;
            }
            for (name, value) in &found {
                columns.of(name).push(draw, value.clone());
            }
        }
        Ok(())
    }
}

/// The log-likelihoods of the data of a run with sums.
///
/// # Errors
/// If a choice that was not `given` depends on summed ones, or a datum has none.
fn beside_sums(trace: &Trace, given: impl Fn(&Entry) -> bool) -> Result<Vec<(String, Value)>> {
    let mut found = Vec::new();
    for summed in &trace.summed {
        let BesideSum {
            observed,
            following,
        } = summed.beside_sum();
        let mut drawn = trace.entries().iter().filter(|entry| !given(entry));
        if let Some(entry) = drawn.find(|entry| following.contains(&entry.name)) {
            return Err(entry.locate(Error::Query(
                "the draws lack this choice, and its law depends on choices that are summed out, so that data given \
                 all others have no log-likelihood; condition the model on a value of it"
                    .into(),
            )));
        }
        for datum in observed {
            found.push((datum.name.to_string(), of_rows(datum)?));
        }
    }
    let apart = trace.entries().iter().filter(|e| e.kind == Kind::Observed);
    for entry in apart {
        found.push((entry.name.to_string(), log_likelihood(entry)?));
    }
    Ok(found)
}

/// The log-likelihood of an observed site as it stands: one number per row of its plates.
fn log_likelihood(entry: &Entry) -> Result<Value> {
    Ok(match entry.weighed(entry.log_prob()?)? {
        Number::Host(x) => Value::Real(x),
        Number::Tensor(t) => Value::Tensor(t.kept()),
    })
}

/// The numbers of an observation beside a sum.
///
/// # Errors
/// If it is not observed at all values of the choices in the sum.
fn of_rows(datum: GivenOthers) -> Result<Value> {
    let GivenOthers {
        name,
        plates,
        is_everywhere,
        log_densities,
    } = datum;
    if !is_everywhere {
        return Err(Error::Query(format!(
            "`{name}` is observed at some values of the choices that are summed out, and not at others, so it is no \
             datum of its own with a log-likelihood: give what is observed in its place the same name"
        )));
    }
    if plates.is_empty() {
        return Ok(Value::Real(log_densities[0]));
    }
    let sizes: Vec<usize> = plates.iter().map(|plate| plate.size).collect();
    let rows = log_densities.into_iter().map(|x| x as f32).collect();
    let rows = Tensor::from_vec(rows, Shape::try_from(&sizes[..])?, &Device::cpu())?;
    Ok(Value::Tensor(rows))
}
