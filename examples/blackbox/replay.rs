//! A quadratic form, fitted to past draws, that stands in for the cost.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use nalgebra::{DMatrix, DVector};
use relax_runtime::estimator::{DrawKind, SiteClass};
use relax_runtime::prelude::*;

use crate::fitted::Guess;
use crate::gaussian::{numbers, tensor};
use crate::problem::Space;
use crate::quadratic::{Features, Form, Normal};

/// The surrogate of one law of bits or of normal numbers. It outlives the law: what was learned before a descent begins
/// anew is of use after it.
#[derive(Debug)]
pub(crate) struct Replay {
    features: Features,
    bits: bool,
    /// Whether draws are left out, as measurements are to be.
    held: Cell<bool>,
    past: RefCell<Past>,
}

/// Past draws, and what they say.
#[derive(Debug)]
struct Past {
    draws: VecDeque<(Vec<f64>, f64)>,
    /// Draws since the last fit.
    new: usize,
    /// The form is one of y = F⁻¹ (x − c): c, and F⁻¹, lower triangular.
    centre: DVector<f64>,
    inverse: DMatrix<f64>,
    fits: Vec<Fit>,
}

/// A fit with one ridge, and how well such fits have foretold costs.
#[derive(Debug)]
struct Fit {
    ridge: f64,
    form: Option<Form>,
    error: f64,
}

/// How many draws, in multiples of the weights, a fit is to.
const WINDOW: usize = 3;
/// Draws from one fit to the next.
const EVERY: usize = 20;
/// In draws; the last leaves the constant alone.
const RIDGES: [f64; 4] = [1e-6, 0.1, 10.0, 1e9];

impl Replay {
    pub(crate) fn new(space: Space) -> Self {
        let bits = matches!(space, Space::Bits(_));
        let numbers = space.numbers();
        let fits = RIDGES.map(|ridge| Fit {
            ridge,
            form: None,
            error: 0.0,
        });
        // Bits as -1 and 1.
        let (centre, inverse) = if bits { (0.5, 2.0) } else { (0.0, 1.0) };
        let past = Past {
            draws: VecDeque::new(),
            new: 0,
            centre: DVector::from_element(numbers, centre),
            inverse: DMatrix::from_diagonal_element(numbers, numbers, inverse),
            fits: fits.into(),
        };
        Self {
            features: Features {
                numbers,
                squares: !bits,
            },
            bits,
            held: Cell::new(false),
            past: RefCell::new(past),
        }
    }

    /// Holds the surrogate fixed, or lets it learn again.
    pub(crate) fn hold(&self, held: bool) {
        self.held.set(held);
    }
}

impl Past {
    fn local(&self, x: &[f64]) -> Vec<f64> {
        let y = &self.inverse * (DVector::from_column_slice(x) - &self.centre);
        y.as_slice().to_vec()
    }

    /// Measures from the law's mean in its scales, or in its factor.
    fn turn_to(&mut self, mean: &Tensor, scale: &Tensor) -> Result<()> {
        let n = self.centre.len();
        self.centre = DVector::from_vec(numbers(mean)?);
        let scale = numbers(scale)?;
        let factor = match scale.len() == n {
            true => DMatrix::from_diagonal(&DVector::from_vec(scale)),
            false => DMatrix::from_row_slice(n, n, &scale),
        };
        let inverse = factor.solve_lower_triangular(&DMatrix::identity(n, n));
        self.inverse = inverse.unwrap_or_else(|| self.inverse.clone());
        Ok(())
    }

    /// The form that has foretold costs best.
    fn best(&self) -> Option<&Form> {
        let fitted = self.fits.iter().filter(|fit| fit.form.is_some());
        fitted
            .min_by(|a, b| a.error.total_cmp(&b.error))?
            .form
            .as_ref()
    }

    /// Sees how well each form foretells a cost, and remembers it.
    fn see(&mut self, x: Vec<f64>, f: f64, most: usize) {
        const MEMORY: f64 = 0.95;
        let y = self.local(&x);
        for fit in &mut self.fits {
            if let Some(form) = &fit.form {
                let error = (f - form.expected(&y, None)).powi(2);
                fit.error = MEMORY * fit.error + (1.0 - MEMORY) * error;
            }
        }
        self.draws.push_back((x, f));
        if self.draws.len() > most {
            self.draws.pop_front();
        }
        self.new += 1;
    }

    /// Fits anew. A draw from where the law was before counts less the further away it is: errors of a form grow with
    /// the square of the distance.
    fn fit(&mut self, features: Features) {
        self.new = 0;
        let n = features.numbers as f64;
        let points: Vec<Vec<f64>> = self.draws.iter().map(|(x, _)| self.local(x)).collect();
        let count = |y: &Vec<f64>| {
            let square: f64 = y.iter().map(|y| y * y).sum();
            (n / square.max(n)).powi(2)
        };
        let counts: Vec<f64> = points.iter().map(count).collect();
        let rows: Vec<Vec<f64>> = points.iter().map(|y| features.of(y)).collect();
        let costs: Vec<f64> = self.draws.iter().map(|(_, f)| *f).collect();
        let equations = Normal::new(&rows, &costs, &counts);
        for fit in &mut self.fits {
            let weights = equations.weights(fit.ridge);
            fit.form = weights.map(|weights| features.form(weights.as_slice()));
        }
    }
}

impl Guess for Replay {
    const NAME: &'static str = "replay";
    const REASON: &'static str = "a quadratic form fitted to past draws";

    fn suits(&self, class: SiteClass) -> std::result::Result<(), String> {
        match class.draws == DrawKind::Pathwise || class.draws.is_relaxed() {
            true => Ok(()),
            false => Err("replay needs a relaxation or differentiable draws; use `rloo`".into()),
        }
    }

    fn value(&self, b: &Tensor) -> Result<Tensor> {
        let past = self.past.borrow();
        let y = past.local(&numbers(b)?);
        let value = past.best().map_or(0.0, |form| form.expected(&y, None));
        Ok(Tensor::scalar(value as f32))
    }

    /// The form at the mean, and Σ Aᵢⱼ Covᵢⱼ, which for bits has no part since A has no diagonal.
    fn expected(&self, mean: &Tensor, scale: Option<&Tensor>) -> Result<Tensor> {
        let past = self.past.borrow();
        let Some(form) = past.best() else {
            return Ok(mean.sum_all() * 0.0);
        };
        let n = self.features.numbers;
        let square = |x: &DMatrix<f64>| tensor(x.transpose().as_slice()).reshape([n, n]);
        let (matrix, inverse) = (tensor(&form.matrix).reshape([n, n]), square(&past.inverse));
        let y = (mean - tensor(past.centre.as_slice())).unsqueeze(0);
        let y = y.matmul_nt(&inverse).squeeze(0);
        let along = y.unsqueeze(0).matmul(&matrix).squeeze(0) + tensor(&form.linear);
        let expected = (&y * along).sum_all();
        let factor = match scale {
            None => return Ok(expected),
            // Columns times scales.
            Some(scale) if scale.shape().len() == 1 => &inverse * scale,
            Some(factor) => inverse.matmul(factor),
        };
        Ok(expected + (matrix.matmul(&factor) * factor).sum_all())
    }

    fn learn(&self, b: &Tensor, f: &Tensor, law: &[Tensor]) -> Result<Vec<Tensor>> {
        if self.held.get() {
            return Ok(Vec::new());
        }
        let mut past = self.past.borrow_mut();
        let (x, f) = (numbers(b)?, f64::from(f.item()?));
        // A choice that was made before tells nothing new.
        if self.bits && past.draws.iter().any(|(seen, _)| *seen == x) {
            return Ok(Vec::new());
        }
        past.see(x, f, WINDOW * self.features.count());
        if past.new >= EVERY {
            if let [mean, scale] = law {
                past.turn_to(mean, scale)?;
            }
            past.fit(self.features);
        }
        Ok(Vec::new())
    }
}
