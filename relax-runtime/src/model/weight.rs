//! How much the terms of a site count.

use std::rc::Rc;

use crate::dist::Number;
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// How much a log-probability or a cost counts.
#[derive(Clone, Debug)]
pub struct Weight {
    /// Factor of all rows; 0 leaves the term out, whatever its value.
    pub factor: f64,
    /// A number per row: 1, or 0 if the row is left out.
    rows: Option<Tensor>,
}

impl Weight {
    /// The weight of a site that no handler has changed.
    pub(crate) const ONE: Self = Self {
        factor: 1.0,
        rows: None,
    };

    /// Leaves out the rows where `rows` is 0, and keeps those where it is 1; it has a number for each member of the
    /// outermost plates.
    ///
    /// # Errors
    /// If the tensor carries an error, does not fit an earlier one, or has another number.
    pub fn keep_rows(&mut self, rows: &Tensor) -> Result<()> {
        let rows = rows.check()?.detach();
        let other = |rows: &[f32]| rows.iter().copied().find(|x| ![0.0, 1.0].contains(x));
        if let Some(other) = rows.with_values(other)? {
            return Err(Error::Config {
                setting: "mask",
                problem: format!(
                    "holds {other}; a row counts, 1, or does not, 0: weigh rows by `factor!`, or all of them by `scale`"
                ),
            });
        }
        self.rows = Some(match self.rows.take() {
            Some(others) => {
                let rank = others.rank().max(rows.rank());
                let product = outermost(&others, rank)? * outermost(&rows, rank)?;
                product.check()?.clone()
            }
            None => rows,
        });
        Ok(())
    }

    /// The weight, or `None` if it changes nothing.
    pub(crate) fn shared(self) -> Option<Rc<Self>> {
        (self.factor != 1.0 || self.rows.is_some()).then(|| Rc::new(self))
    }

    /// Zeroes the rows of a term that are left out.
    ///
    /// # Errors
    /// If the mask's rows do not match.
    pub(crate) fn mask(&self, term: Number) -> Result<Number> {
        let term = match term {
            Number::Tensor(term) if self.factor == 0.0 => {
                return Ok(Number::Tensor(term.zeros_like()));
            }
            Number::Host(_) if self.factor == 0.0 => return Ok(Number::Host(0.0)),
            term => term,
        };
        let Some(rows) = &self.rows else {
            return Ok(term);
        };
        let problem = |found: String| {
            Error::Plates(format!(
                "a mask of shape {} is around it, but {found}; the mask has a number for each \
                 member of the outermost plates",
                rows.shape()
            ))
        };
        let Number::Tensor(term) = term else {
            return Err(problem("it is in no plate".into()));
        };
        if !term.shape().starts_with(&rows.shape()) {
            return Err(problem(format!("its rows have shape {}", term.shape())));
        }
        let rows = outermost(rows, term.rank())?;
        let masked = rows.select_where(&term, &term.zeros_like());
        Ok(Number::Tensor(masked.check()?.clone()))
    }
}

/// Numbers of the outermost of some plates, with axes of length 1 for the inner ones.
fn outermost(rows: &Tensor, rank: usize) -> Result<Tensor> {
    let mut shape = rows.shape().to_vec();
    shape.resize(rank, 1);
    Ok(rows.reshape(Shape::try_from(&shape[..])?))
}
