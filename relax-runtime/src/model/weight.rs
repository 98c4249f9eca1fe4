//! How much the terms of a site count.

use std::rc::Rc;

use crate::dist::Number;
use crate::error::{Error, Result};
use crate::tensor::{Shape, Tensor};

/// How much a log-probability or a cost counts.
#[derive(Clone, Debug)]
pub struct Weight {
    /// A factor of all rows; with 0 the term is left out, whatever it is.
    pub factor: f64,
    /// A number for each row: 1, or 0 where it is left out.
    rows: Option<Tensor>,
}

impl Weight {
    /// That of a site that no handler has looked at.
    pub(crate) const ONE: Self = Self {
        factor: 1.0,
        rows: None,
    };

    /// Leaves out the rows where a tensor has a 0: a number for each member of the outermost plates.
    ///
    /// # Errors
    /// If the tensor carries an error, or does not fit one that is there.
    pub fn keep_rows(&mut self, rows: &Tensor) -> Result<()> {
        let rows = rows.detach();
        self.rows = Some(match self.rows.take() {
            Some(others) => (others * rows).check()?.clone(),
            None => rows.check()?.clone(),
        });
        Ok(())
    }

    /// Nothing where it changes nothing.
    pub(crate) fn shared(self) -> Option<Rc<Self>> {
        (self.factor != 1.0 || self.rows.is_some()).then(|| Rc::new(self))
    }

    /// A term without the rows that are left out.
    ///
    /// # Errors
    /// If the mask has other rows.
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
            return Err(problem("it stands in no plate".into()));
        };
        if !term.shape().starts_with(&rows.shape()) {
            return Err(problem(format!("its rows have shape {}", term.shape())));
        }
        let mut shape = rows.shape().to_vec();
        shape.resize(term.rank(), 1);
        let rows = rows.reshape(Shape::try_from(&shape[..])?);
        let masked = rows.select_where(&term, &term.zeros_like());
        Ok(Number::Tensor(masked.check()?.clone()))
    }
}
