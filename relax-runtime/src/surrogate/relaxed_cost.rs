//! The relaxed cost as surrogate: what REBAR uses.

use std::cell::RefCell;
use std::rc::Rc;

use super::extent::Extent;
use super::guard::Guard;
use super::kinks::Kinks;
use super::least_squares::LeastSquares;
use super::rivals::{Rivals, Turn};
use super::{Linearization, Surrogate, Surroundings};
use crate::error::Result;
use crate::tensor::{Device, Parameter, Rounding, Shape, Tensor, grad};

/// c(z) = η f(σ(z/λ)) with learned scale η and temperature λ (Tucker et al.
/// 2017). λ is kept positive as the exponential of its logarithm.
///
/// ```
/// use relax_runtime::dist::BernoulliRelaxation;
/// use relax_runtime::estimator::{Noise, Problem, differentiable, relax};
/// use relax_runtime::prelude::*;
/// use relax_runtime::surrogate::RelaxedCost;
///
/// # fn main() -> Result<()> {
/// let (theta, noise) = (Tensor::scalar(0.3), Noise::coupled(Tensor::scalar(0.6)));
/// let problem = Problem::new(&BernoulliRelaxation, &theta, &noise);
/// let cost = differentiable(|b: &Tensor| Ok((b - 0.45).square()));
/// let surrogate = RelaxedCost::new(1.0, 0.5, &Device::cpu());
/// let estimate = relax(problem, &cost, &surrogate)?;
/// // The cost of the draw, and the relaxed cost.
/// assert_eq!(estimate.evaluations, 2);
/// // The gradient of the variance by η, and by ln λ.
/// assert_eq!(estimate.variance_gradient.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct RelaxedCost {
    scale: Parameter,
    log_temperature: Parameter,
    past: Rc<RefCell<Past>>,
}

/// What past estimates with a corrected relaxed cost have shown.
#[derive(Debug, Default)]
struct Past {
    /// hᵢ, from (H t)ᵢ and tᵢ, where H holds second derivatives of the cost and t is the tangent of an
    /// evaluation: the diagonal matrix that is nearest to H at those t. For coins, whose tᵢ are independent,
    /// it is about Hᵢᵢ.
    curvature: LeastSquares,
    /// Baselines of the estimates with each of [`Extent::ALL`], from these and the score.
    baselines: [LeastSquares; 3],
    kinks: Kinks,
    /// Which of [`Extent::ALL`] pays off.
    guard: Guard<3>,
    /// Whether estimates without the relaxed cost vary less, where they are made.
    rivals: Rivals,
    /// The unit of the cost in the last estimate or in the next one, which changes from step to step.
    unit: Option<f32>,
    /// The last estimate, from which nothing has been learned yet.
    last: Option<Seen>,
    /// The same where estimates without the relaxed cost are made, too: the mean squares of the two if both were.
    last_turn: Option<Option<Tensor>>,
}

impl Past {
    /// A memory of a thousand steps: in most rows a choice is at one of its values, and tells nothing.
    const CURVATURE_KEPT: f64 = 0.999;
    /// How many rows the baselines remember: these change with all the rest that is learned.
    const BASELINE_ROWS: f64 = 1_000.0;
}

/// What an estimate with a corrected relaxed cost shows.
#[derive(Debug)]
pub(crate) struct Seen {
    /// For each number of a row, the sums of (H t)ᵢ tᵢ and then of tᵢ² over rows; `None` where f is not
    /// smooth.
    pub(crate) bent: Option<Tensor>,
    /// For each number of a row, the sums of gᵢ ∂ln p/∂θᵢ over rows, where g is the estimate without a baseline,
    /// with each of [`Extent::ALL`], and last those of (∂ln p/∂θᵢ)².
    pub(crate) scored: Tensor,
    /// How many rows these are sums over.
    pub(crate) rows: usize,
    /// How far the arguments of the cost's kinks moved.
    pub(crate) moved: Vec<Tensor>,
    /// Mean squares of these estimates with their baselines, one after the other.
    pub(crate) squares: Tensor,
}

impl RelaxedCost {
    /// A surrogate that starts at scale `eta` and the given temperature.
    pub fn new(eta: f32, temperature: f32, device: &Device) -> Self {
        Self {
            scale: Parameter::new(Tensor::full([], eta, device)),
            log_temperature: Parameter::new(Tensor::full([], temperature.ln(), device)),
            past: Rc::default(),
        }
    }

    /// Learns from the last estimate of [`corrected`](crate::estimator::corrected()) how much the cost
    /// bends along each choice, which baselines vary least, how widely kinks are to be rounded off, and
    /// whether the correction pays off. What is learned counts from the next estimate on, so that no estimate
    /// depends on what its own draw has taught; clones share it.
    ///
    /// # Errors
    /// If a device cannot be read.
    pub fn learn_from_last(&self) -> Result<()> {
        let mut past = self.past.borrow_mut();
        let unit = past.unit.unwrap_or(1.0);
        if let Some(seen) = past.last.take() {
            let Seen {
                bent,
                scored,
                rows,
                moved,
                squares,
            } = seen;
            if let Some(bent) = bent {
                let bent = bent.peek()?;
                let (products, of_tangent) = bent.split_at(bent.len() / 2);
                past.curvature
                    .learn(products, of_tangent, unit, Past::CURVATURE_KEPT);
            }
            let kept = (-(rows as f64) / Past::BASELINE_ROWS).exp();
            let scored = scored.peek()?;
            let (products, of_score) = scored.split_at(scored.len() / 4 * 3);
            let numbers = of_score.len().max(1);
            for (baseline, products) in past.baselines.iter_mut().zip(products.chunks(numbers)) {
                baseline.learn(products, of_score, unit, kept);
            }
            past.kinks.learn(&moved)?;
            if let [corrected, relaxed, nothing] = squares.peek()?[..] {
                let square = f64::from(unit).powi(2);
                past.guard.learn([corrected, relaxed, nothing], square, 1);
            }
        }
        if let Some(squares) = past.last_turn.take() {
            let squares = squares.map(|squares| squares.peek()).transpose()?;
            let both = squares.and_then(|squares| squares.try_into().ok());
            past.rivals.learn(both, f64::from(unit).powi(2));
        }
        Ok(())
    }

    /// Keeps what an estimate shows, to learn from.
    pub(crate) fn see(&self, seen: Seen) {
        self.past.borrow_mut().last = Some(seen);
    }

    /// Which estimates to make at a site where there is one without the relaxed cost, too.
    pub(crate) fn turn(&self) -> Turn {
        let mut past = self.past.borrow_mut();
        past.last_turn = Some(None);
        past.rivals.turn()
    }

    /// Keeps the mean squares of both, one after the other.
    pub(crate) fn compare(&self, squares: Tensor) {
        self.past.borrow_mut().last_turn = Some(Some(squares));
    }

    /// Sets the unit of the cost in the next estimate, if it has one.
    pub(crate) fn measure_in(&self, unit: Option<f32>) {
        self.past.borrow_mut().unit = unit;
    }

    /// Second derivative of the cost along each number of a row of this shape, as past estimates had it.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub(crate) fn curvature(&self, row: Shape, device: &Device) -> Result<Tensor> {
        let past = self.past.borrow();
        past.curvature.of_row(row, past.unit.unwrap_or(1.0), device)
    }

    /// A baseline for each number of a row of this shape, for the estimates with each of [`Extent::ALL`].
    ///
    /// # Errors
    /// If the device cannot hold them.
    pub(crate) fn baselines(&self, row: Shape, device: &Device) -> Result<[Tensor; 3]> {
        let past = self.past.borrow();
        let unit = past.unit.unwrap_or(1.0);
        let [corrected, relaxed, nothing] = &past.baselines;
        let of = |baseline: &LeastSquares| baseline.of_row(row, unit, device);
        Ok([of(corrected)?, of(relaxed)?, of(nothing)?])
    }

    /// The rounding of the cost's kinks in the next evaluation, whose tensors start with these rows.
    ///
    /// # Errors
    /// If the device cannot hold it.
    pub(crate) fn rounding(&self, rows: Shape, device: &Device) -> Result<Rounding> {
        self.past.borrow().kinks.rounding(rows, device)
    }

    /// How much of the corrected relaxed cost has paid off.
    pub(crate) fn extent(&self) -> Extent {
        Extent::ALL[self.past.borrow().guard.in_force()]
    }

    /// What was learned about the correction, to be saved.
    pub(crate) fn state(&self) -> Vec<f64> {
        let past = self.past.borrow();
        let mut state: Vec<f64> = past.guard.state().collect();
        state.extend(past.kinks.state());
        state.extend(past.curvature.state());
        state.extend(past.baselines.iter().flat_map(LeastSquares::state));
        state.extend(past.rivals.state());
        state
    }

    /// Restores saved numbers, and returns those left over; `None` if there are too few.
    pub(crate) fn restore<'a>(&self, saved: &'a [f64]) -> Option<&'a [f64]> {
        let (guard, rest) = Guard::restored(saved)?;
        let (kinks, rest) = Kinks::restored(rest)?;
        let (curvature, rest) = LeastSquares::restored(rest)?;
        let (corrected, rest) = LeastSquares::restored(rest)?;
        let (relaxed, rest) = LeastSquares::restored(rest)?;
        let (nothing, rest) = LeastSquares::restored(rest)?;
        let (rivals, rest) = Rivals::restored(rest)?;
        *self.past.borrow_mut() = Past {
            curvature,
            baselines: [corrected, relaxed, nothing],
            kinks,
            guard,
            rivals,
            unit: None,
            last: None,
            last_turn: None,
        };
        Some(rest)
    }

    /// Scale η and temperature λ.
    ///
    /// # Errors
    /// If a device cannot be read.
    pub fn eta_and_temperature(&self) -> Result<(f64, f64)> {
        let eta = self.scale.get().peek_item()?;
        let temperature = self.log_temperature.get().peek_item()?.exp();
        Ok((eta.into(), temperature.into()))
    }

    /// η and λ, constants.
    pub(crate) fn scale_and_temperature(&self) -> (Tensor, Tensor) {
        let temperature = self.log_temperature.get().detach().exp();
        (self.scale.get().detach(), temperature)
    }

    /// Names the two parameters.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        Self {
            scale: self.scale.named(&format!("{name}.eta")),
            log_temperature: self
                .log_temperature
                .named(&format!("{name}.log_temperature")),
            past: self.past,
        }
    }
}

impl Surrogate for RelaxedCost {
    fn value(&self, z: &Tensor, around: Surroundings<'_>) -> Result<Tensor> {
        let temperature = self.log_temperature.get().exp();
        let relaxed = around.squash(z, &temperature);
        Ok((around.cost)(&relaxed, &temperature)? * self.scale.get())
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![self.scale.clone(), self.log_temperature.clone()]
    }

    fn evaluations(&self) -> usize {
        1
    }

    fn relaxed_cost(&self) -> Option<&RelaxedCost> {
        Some(self)
    }

    /// One evaluation of f, which carries the tangent ∂/∂λ. f' = ∂f/∂λ is linear in s' = ∂s/∂λ, so
    /// that the reverse pass of f' alone gives both ∂f/∂s = ∂f'/∂s' and ∂f'/∂s.
    fn linearize<'a>(&'a self, z: &Tensor, around: Surroundings<'a>) -> Result<Linearization<'a>> {
        let eta = self.scale.get().detach();
        let temperature = self.log_temperature.get().detach().exp();
        let z = z.detach();
        let (s, speed) = around.squash_rate(&z, &temperature)?;
        let (s, speed) = (s.leaf(), speed.leaf());
        let moving = temperature.with_tangent(&temperature.ones_like());
        let cost = (around.cost)(&s.with_tangent(&speed), &moving)?;
        let f = cost.check()?.detach();
        let rate = cost.tangent().unwrap_or_else(|| cost.zeros_like());
        let mut by_point = grad(&[(&rate, None)], &[&s, &speed])?;
        let (slope, rate_by_s) = (by_point.remove(1), by_point.remove(0));
        let gradient = around.squash_pull(&z, &temperature, &slope)?;
        let (value, by_z, rate) = (&f * &eta, &gradient * &eta, rate.detach());
        let train = move |along: &Tensor, weight: &Tensor| {
            let by_eta = gradient.dot_from(along, 0) - weight.dot_from(&f, 0);
            let (moved, bend) = around.squash_push(&z, &temperature, along, &slope)?;
            let by_temperature = rate_by_s.dot_from(&moved, 0) + bend - weight.dot_from(&rate, 0);
            Ok(vec![by_eta, by_temperature * temperature * eta].into())
        };
        Ok(Linearization {
            value,
            gradient: by_z,
            train: Box::new(train),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_of_before_lack_is_unknown() {
        let surrogate = RelaxedCost::new(1.0, 0.25, &Device::cpu());
        surrogate.see(Seen {
            bent: Some(Tensor::from_slice(&[2.0, 1.0])),
            scored: Tensor::from_slice(&[3.0, 4.0, 5.0, 1.0]),
            rows: 1,
            moved: Vec::new(),
            squares: Tensor::from_slice(&[1.0, 2.0, 3.0]),
        });
        surrogate.learn_from_last().expect("numbers");
        let state = surrogate.state();
        // Of rivals, the turns, the two mean squares, and the one in force.
        let (before, rivals) = state.split_at(state.len() - 4);
        assert_eq!(rivals, [0.0; 4]);
        // Three baselines of one number: a length and two sums each.
        let (before, baselines) = before.split_at(before.len() - 9);
        assert_eq!(baselines, [1.0, 3.0, 1.0, 1.0, 4.0, 1.0, 1.0, 5.0, 1.0]);
        let other = RelaxedCost::new(1.0, 0.25, &Device::cpu());
        assert_eq!(other.restore(&state), Some(&[][..]));
        assert_eq!(other.state(), state);
        assert_eq!(other.restore(before), Some(&[][..]));
        assert_eq!(other.state(), [before, &[0.0; 7][..]].concat());
        assert!(other.restore(&state[..state.len() - 1]).is_none());
    }
}
