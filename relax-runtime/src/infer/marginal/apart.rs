//! Whether the rows of a plate are independent of each other, as a sum row by row takes for granted.

use super::assign::{Asked, run};
use super::factor::{Factor, place, rows};
use super::graph::Graph;
use super::search::Search;
use crate::error::{Error, Result};
use crate::infer::pass::other_rows::{is_rounding, scale_of};

impl Search<'_> {
    /// Runs a few times more, with values that differ from row to row, and compares each row's numbers with those of
    /// its own values. Where host code reads choices, other runs would take other ways, and nothing is compared.
    ///
    /// # Errors
    /// If a row depends on the choices of another; whatever goes wrong in the model.
    pub(super) fn expect_rows_apart(&self, factors: &[Factor]) -> Result<()> {
        const TRIALS: usize = 2;
        let known = self.shared.graph.borrow().clone();
        let has_rows = |v: usize| rows(&known.domains[v].plates) > 1 && known.may_differ(v);
        if !known.is_certain() || !(0..known.domains.len()).any(has_rows) {
            return Ok(());
        }
        for trial in 0..TRIALS {
            let asked = Asked {
                values: &[],
                has_cases: false,
                rows_apart: Some(trial),
                is_looked_at: false,
                is_told: &|_, _, _| false,
            };
            let left = self.shared.sites_left.get();
            let ran = run(self.model, self.context, &self.shared, &asked);
            self.shared.sites_left.set(left);
            // What is known rests on runs in which all rows have the same values.
            *self.shared.graph.borrow_mut() = known.clone();
            let ran = ran?;
            for (number, factor) in factors.iter().enumerate() {
                let term = &known.terms[number];
                let said = ran.said(number);
                let Some(said) = said.filter(|_| term.is_factor() && term.even_plates.is_none())
                else {
                    continue;
                };
                if !are_own(&known, &ran.values, factor, said.rows(said.here), trial) {
                    let mut own = factor.variables.iter().copied();
                    let tied = own.find(|&v| has_rows(v));
                    let tied = tied.or_else(|| (0..known.domains.len()).find(|&v| has_rows(v)));
                    return Err(Error::TiedRows {
                        term: term.name.to_string(),
                        site: tied.map_or(String::new(), |v| known.name(v)),
                    });
                }
            }
        }
        Ok(())
    }
}

/// Whether a trial's numbers of a term are those of each row's own values; `values` are those that all rows share.
fn are_own(
    known: &Graph,
    values: &[Option<usize>],
    factor: &Factor,
    numbers: &[f64],
    trial: usize,
) -> bool {
    let of_rows = rows(&factor.plates);
    if numbers.len() != of_rows {
        return true;
    }
    let width = factor.values.len() / of_rows.max(1);
    let scale = scale_of(factor.values.iter().copied());
    numbers.iter().enumerate().all(|(row, found)| {
        let at = place(&factor.variables, &known.domains, |v| {
            let own = rows(&known.domains[v].plates);
            match known.may_differ(v) {
                true => known.apart(v, row * own / of_rows, trial),
                false => values.get(v).copied().flatten().unwrap_or(0),
            }
        });
        let wanted = factor.values[row * width + at];
        is_rounding(*found, wanted, scale)
    })
}
