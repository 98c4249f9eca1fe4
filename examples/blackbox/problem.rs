//! Costs that can only be evaluated, and how many times they were.

use std::cell::{Cell, RefCell};

/// What a cost is a function of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    /// So many numbers that are 0 or 1.
    Bits(usize),
    /// So many numbers around the origin, within ±5 or so.
    Reals(usize),
}

impl Space {
    /// How many numbers.
    pub(crate) fn numbers(self) -> usize {
        let (Self::Bits(n) | Self::Reals(n)) = self;
        n
    }
}

/// A cost to be minimised.
pub(crate) trait BlackBox {
    fn name(&self) -> String;

    fn space(&self) -> Space;

    fn cost(&self, x: &[f64]) -> f64;

    /// The least cost, where it is known.
    fn optimum(&self) -> Option<f64>;
}

/// Counts evaluations and keeps the least cost so far.
pub(crate) struct Meter<'p> {
    pub(crate) problem: &'p dyn BlackBox,
    spent: Cell<u64>,
    best: Cell<f64>,
    /// Evaluations at which the least cost fell, and to what.
    steps: RefCell<Vec<(u64, f64)>>,
    budget: u64,
}

impl<'p> Meter<'p> {
    pub(crate) fn new(problem: &'p dyn BlackBox, budget: u64) -> Self {
        Self {
            problem,
            spent: Cell::new(0),
            best: Cell::new(f64::INFINITY),
            steps: RefCell::default(),
            budget,
        }
    }

    /// Evaluates; what is beyond the budget is computed, but not counted.
    pub(crate) fn cost(&self, x: &[f64]) -> f64 {
        let cost = self.problem.cost(x);
        if self.is_spent() {
            return cost;
        }
        self.spent.set(self.spent.get() + 1);
        if cost < self.best.get() {
            self.best.set(cost);
            self.steps.borrow_mut().push((self.spent.get(), cost));
        }
        cost
    }

    pub(crate) fn spent(&self) -> u64 {
        self.spent.get()
    }

    pub(crate) fn is_spent(&self) -> bool {
        self.spent.get() >= self.budget
    }

    /// Evaluations that the budget has left.
    pub(crate) fn left(&self) -> u64 {
        self.budget - self.spent.get()
    }

    /// The share of the budget that is used up.
    pub(crate) fn share(&self) -> f64 {
        self.spent.get() as f64 / self.budget as f64
    }

    /// 1 at the start of each half of the budget, and falling to 0 within it.
    pub(crate) fn heat(&self) -> f64 {
        1.0 - (2.0 * self.share()).fract()
    }

    /// The least cost after each number of evaluations at which it fell.
    pub(crate) fn into_steps(self) -> Vec<(u64, f64)> {
        self.steps.into_inner()
    }
}
