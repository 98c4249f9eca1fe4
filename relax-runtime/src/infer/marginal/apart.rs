//! Whether the rows of a plate are independent of each other, as a sum row by row takes for granted.

use super::assign::{Asked, run};
use super::factor::{Factor, place, rows};
use super::search::Search;
use super::told::is_same;
use crate::error::{Error, Result};

impl Search<'_> {
    /// Runs once more, with values that differ from row to row, and compares each row's numbers with those of its own
    /// values. Where host code reads choices, other runs would take other ways, and nothing is compared.
    ///
    /// # Errors
    /// If a row depends on the choices of another; whatever goes wrong in the model.
    pub(super) fn expect_rows_apart(&self, factors: &[Factor]) -> Result<()> {
        /// Relative rounding of numbers that are computed for all rows at once.
        const ROUNDING: f64 = 1e-4;
        let known = self.shared.graph.borrow().clone();
        let has_rows = |v: &usize| rows(&known.domains[*v].plates) > 1 && known.domains[*v].size > 1;
        let variables = || 0..known.domains.len();
        let excludes = known.support_of.iter().any(Option::is_some);
        if excludes || known.has_nodes() || !known.is_certain() || !variables().any(|v| has_rows(&v))
        {
            return Ok(());
        }
        let asked = Asked {
            values: &[],
            has_cases: false,
            rows_apart: true,
            is_looked_at: false,
            is_told: &|_, _, _| false,
        };
        let left = self.shared.sites_left.get();
        let ran = run(self.model, self.context, &self.shared, &asked);
        self.shared.sites_left.set(left);
        // What is known rests on runs in which all rows have the same values.
        *self.shared.graph.borrow_mut() = known.clone();
        let ran = ran?;
        for (number, (term, factor)) in known.terms.iter().zip(factors).enumerate() {
            let of_rows = rows(&factor.plates);
            let Some(said) = ran.said(number).filter(|_| term.is_factor()) else {
                continue;
            };
            let numbers = said.rows(said.here);
            if numbers.len() != of_rows || term.even_plates.is_some() {
                continue;
            }
            let width = factor.values.len() / of_rows.max(1);
            for (row, found) in numbers.iter().enumerate() {
                let at = place(&factor.variables, &known.domains, |v| {
                    let domain = &known.domains[v];
                    row * rows(&domain.plates) / of_rows % domain.size
                });
                if !is_same(*found, factor.values[row * width + at], ROUNDING) {
                    let mut own = factor.variables.iter().copied();
                    let meets = own.find(has_rows).or_else(|| variables().find(has_rows));
                    return Err(Error::TiedRows {
                        term: term.name.to_string(),
                        site: meets.map_or(String::new(), |v| known.name(v)),
                    });
                }
            }
        }
        Ok(())
    }
}
