//! What a quadratic form leaves of a cost.

use std::borrow::Cow;
use std::cell::OnceCell;

use crate::error::{Error, Result};
use crate::estimator::problem::pull;
use crate::estimator::{Cost, Problem, SiteState};
use crate::surrogate::Quadratic;
use crate::tensor::{Shape, Tensor};

/// q(b) of the problem's draw, one number per row.
pub(super) fn known_part(problem: &Problem<'_>, quadratic: &Quadratic) -> Result<Tensor> {
    let b = problem.draws().swap_remove(0);
    let rows = Shape::try_from(&b.shape()[..problem.plates])?;
    let values = b.with_values(|b| {
        let b = scaled(problem, b)?;
        let rows = b.chunks(quadratic.numbers());
        Ok::<_, Error>(rows.map(|b| quadratic.value(b) as f32).collect())
    })??;
    Tensor::from_vec(values, rows, &b.device())
}

/// Draws, or means of them, as a quadratic form looks at them: in the relaxation's units, if it has any.
fn scaled<'b>(problem: &Problem<'_>, numbers: &'b [f32]) -> Result<Cow<'b, [f32]>> {
    let Some((centre, unit)) = problem.relaxation.scale() else {
        return Ok(Cow::Borrowed(numbers));
    };
    let of = |((x, centre), unit): ((&f32, &f32), &f32)| match *unit > 0.0 {
        true => (x - centre) / unit,
        false => 0.0,
    };
    centre.with_values(|centre| {
        unit.with_values(|unit| numbers.iter().zip(centre).zip(unit).map(of).collect())
    })?
}

/// The cost f(b) − q(b) of hard draws.
pub(super) struct Residual<'a> {
    problem: Problem<'a>,
    cost: &'a dyn Cost,
    quadratic: &'a Quadratic,
    /// What was subtracted from the cost beforehand.
    baseline: f64,
    /// Whether the drawn cost is to be learned from.
    learns: bool,
    /// The drawn cost, once it has been asked for.
    drawn: OnceCell<Tensor>,
}

impl<'a> Residual<'a> {
    /// What a site's quadratic form leaves of its cost.
    pub(super) fn new(
        problem: Problem<'a>,
        cost: &'a dyn Cost,
        quadratic: &'a Quadratic,
        state: &SiteState,
    ) -> Self {
        Self {
            problem,
            cost,
            quadratic,
            baseline: state.baseline.value(),
            learns: state.learns(),
            drawn: OnceCell::new(),
        }
    }

    /// f(b) of the draw, once it has been asked for.
    pub(super) fn drawn_cost(&self) -> Option<Tensor> {
        self.drawn.get().cloned()
    }

    /// What q leaves of the draw's cost f, row by row; some of the rows are learned from.
    pub(super) fn of_drawn(&self, f: &[f32], b: &[f32], rest: &mut [f32]) {
        self.of(f, b, self.learns, rest);
    }

    /// f minus q of each row's draw.
    fn of(&self, f: &[f32], b: &[f32], sees: bool, rest: &mut [f32]) {
        let (q, baseline) = (self.quadratic, self.baseline);
        let shift = q.origin().map_or(0.0, |origin| baseline - origin);
        let one_in = q.one_in(f.len());
        let rows = b.chunks(q.numbers()).zip(f).zip(rest);
        for (row, ((b, &f), rest)) in rows.enumerate() {
            let f = f64::from(f);
            if sees && row % one_in == 0 {
                q.see(b, f + baseline);
            }
            *rest = (f + shift - q.value(b)) as f32;
        }
    }

    /// The same as a tensor.
    fn tensor_of(&self, f: &Tensor, b: &Tensor, sees: bool) -> Result<Tensor> {
        let numbers = self.quadratic.numbers();
        if f.check()?.len() * numbers != b.check()?.len() {
            return Err(Error::Inconsistent(format!(
                "the site's rows have {} numbers each in one run and {numbers} in another; give \
                 sites of different sizes different names",
                b.len() / f.len().max(1)
            )));
        }
        let mut rest = vec![0.0; f.len()];
        f.with_values(|f| {
            b.with_values(|b| {
                self.of(f, &scaled(&self.problem, b)?, sees, &mut rest);
                Ok::<_, Error>(())
            })
        })???;
        Tensor::from_vec(rest, f.shape(), &f.device())
    }

    /// ∂E\[q\]/∂p at the means p of all rows.
    pub(super) fn slope(&self, p: &[f32], slope: &mut [f32]) {
        let row = self.quadratic.numbers();
        for (p, slope) in p.chunks(row).zip(slope.chunks_mut(row)) {
            self.quadratic.slope(p, slope);
        }
    }

    /// The gradient of E\[q\] by θ, exact.
    pub(super) fn gradient_of_mean(&self) -> Result<Tensor> {
        let problem = &self.problem;
        let theta = problem.theta.detach();
        let mut slope = vec![0.0; theta.len()];
        let mean = problem.mean(&theta);
        mean.with_values(|p| {
            self.slope(&scaled(problem, p)?, &mut slope);
            Ok::<_, Error>(())
        })??;
        let slope = Tensor::from_vec(slope, theta.shape(), &theta.device())?;
        let by_mean = |slope: &Tensor| pull(&|theta: &Tensor| problem.mean(theta), &theta, slope);
        let Some((_, unit)) = problem.relaxation.scale() else {
            return by_mean(&slope);
        };
        let per_unit = unit.gt(0.0) / unit.clamp(f32::MIN_POSITIVE, f32::MAX);
        let squares = self
            .quadratic
            .squares()
            .repeat(theta.len() / self.quadratic.numbers().max(1));
        let squares = Tensor::from_vec(squares, theta.shape(), &theta.device())?;
        let by_variance = squares * per_unit.square();
        let variance = |theta: &Tensor| problem.relaxation.variance(theta);
        Ok(by_mean(&(slope * per_unit))? + pull(&variance, &theta, &by_variance)?)
    }
}

impl Cost for Residual<'_> {
    fn hard(&self, b: &Tensor) -> Result<Tensor> {
        let f = self.problem.each_row(&self.cost.hard(b)?);
        self.tensor_of(&f, b, false)
    }

    fn drawn(&self, b: &Tensor) -> Result<Tensor> {
        let f = self.problem.each_row(&self.cost.drawn(b)?);
        self.tensor_of(self.drawn.get_or_init(|| f), b, self.learns)
    }

    fn with_slope(&self, _: &Tensor) -> Result<(Tensor, Tensor)> {
        Err(at_hard_draws())
    }

    fn relaxed(&self, _: &Tensor, _: &Tensor) -> Result<Tensor> {
        Err(at_hard_draws())
    }
}

fn at_hard_draws() -> Error {
    Error::Autodiff("what a quadratic form leaves of a cost is known at hard draws".into())
}
