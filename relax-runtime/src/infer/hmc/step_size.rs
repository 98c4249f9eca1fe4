//! A step size steered towards a mean acceptance probability.

/// Dual averaging (Hoffman and Gelman 2014, algorithm 5, with its constants).
pub(super) struct StepSize {
    /// ln of ten times the first step, towards which steps shrink.
    centre: f64,
    rounds: f64,
    error: f64,
    log_step: f64,
    log_averaged: f64,
}

/// The mean acceptance probability to steer towards.
const WANTED: f64 = 0.8;

impl StepSize {
    pub(super) fn new(first: f64) -> Self {
        Self {
            centre: (10.0 * first).ln(),
            rounds: 0.0,
            error: 0.0,
            log_step: first.ln(),
            log_averaged: first.ln(),
        }
    }

    /// The step to try next.
    pub(super) fn now(&self) -> f64 {
        self.log_step.exp()
    }

    /// The step to continue with.
    pub(super) fn averaged(&self) -> f64 {
        self.log_averaged.exp()
    }

    /// Takes in a proposal's acceptance probability.
    pub(super) fn see(&mut self, acceptance: f64) {
        const GAMMA: f64 = 0.05;
        const KAPPA: f64 = 0.75;
        const DELAY: f64 = 10.0;
        self.rounds += 1.0;
        let share = 1.0 / (self.rounds + DELAY);
        self.error += share * (WANTED - acceptance - self.error);
        self.log_step = self.centre - self.rounds.sqrt() / GAMMA * self.error;
        let weight = self.rounds.powf(-KAPPA);
        self.log_averaged += weight * (self.log_step - self.log_averaged);
    }
}
