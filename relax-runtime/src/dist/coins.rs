//! The parameters of coins, as a [`Bernoulli`](super::Bernoulli) keeps them.

use std::fmt::Debug;

use super::checks::{PROBS, check_within};
use super::counts::softplus;
use super::excluded::{POLE, numbers_of, open, ruled_out};
use super::{Support, check_values, parameter_error};
use crate::dist::noise::each::LARGEST as BELOW_ONE;
use crate::error::Result;
use crate::tensor::Tensor;
use crate::tensor::native::pointwise::all;

const NAME: &str = "Bernoulli";

/// The parameter of a [`Bernoulli`](super::Bernoulli): `f64` or [`Tensor`].
pub trait BernoulliOperand: Sized {
    /// What is kept: [`Coins`] of a tensor, a [`Coin`] on the host.
    type Logits: Clone + Debug;
    /// From probabilities; logits are ln p − ln(1 − p).
    fn of_probs(self) -> Result<Self::Logits>;
    /// From logits: an error if one is NaN, or infinite in a tensor.
    fn of_logits(self) -> Result<Self::Logits>;
}

/// The parameter of a coin on the host, as given: logarithms are taken when needed.
#[derive(Clone, Copy, Debug)]
pub enum Coin {
    /// The probability of 1.
    Prob(f64),
    /// ln p − ln(1 − p).
    Logit(f64),
}

impl Coin {
    pub(super) fn logit(self) -> f64 {
        match self {
            Self::Prob(p) => p.ln() - (-p).ln_1p(),
            Self::Logit(logit) => logit,
        }
    }

    /// Whether one of the values has a probability of exactly 0.
    pub(super) fn is_certain(self) -> bool {
        match self {
            Self::Prob(p) => p == 0.0 || p == 1.0,
            Self::Logit(logit) => logit.is_infinite(),
        }
    }

    pub(super) fn log_mass(self, value: bool) -> f64 {
        /// Below it, computing ln(1 − p) from 1 − p would lose digits.
        const SMALL: f64 = 0.25;
        match (self, value) {
            (Self::Prob(p), true) => p.ln(),
            (Self::Prob(p), false) if p < SMALL => (-p).ln_1p(),
            (Self::Prob(p), false) => (1.0 - p).ln(),
            (Self::Logit(logit), true) => -softplus(-logit),
            (Self::Logit(logit), false) => -softplus(logit),
        }
    }
}

/// The parameters of coins in a tensor.
#[derive(Clone, Debug)]
pub struct Coins {
    /// Finite even where a coin is certain.
    pub(super) logits: Tensor,
    /// Where some coins are certain: 1 for those that are 1, −1 for those that are 0, and 0 for all others.
    pub(super) certain: Option<Tensor>,
    /// Probabilities that come from random choices, while none of them is 0 or 1: other choices may make
    /// some so, and then change what a guide rules out.
    pub(super) open: Option<Tensor>,
}

impl Coins {
    /// Coins with these logits, except where they are certain.
    pub(super) fn new(logits: &Tensor, certain: Option<Tensor>) -> Self {
        let logits = match &certain {
            None => logits.clone(),
            Some(certain) => certain.square().select_where(&(certain * POLE), logits),
        };
        Self {
            logits,
            certain,
            open: None,
        }
    }

    /// Coins with these logits, of which the same ones are certain.
    pub(super) fn guided(&self, logits: &Tensor) -> Self {
        let guided = Self::new(logits, self.certain.clone());
        match &self.open {
            None => guided,
            Some(open) => guided.logits.depending_on(open).into(),
        }
    }

    pub(super) fn map(self, f: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Self> {
        Ok(Self {
            logits: f(&self.logits)?,
            certain: self.certain.as_ref().map(f).transpose()?,
            open: self.open,
        })
    }

    /// −∞ where a value is impossible and 0 elsewhere; `None` if nothing is impossible.
    pub(super) fn penalty(&self, value: &Tensor) -> Option<Tensor> {
        let certain = self.certain.as_ref()?;
        let against = ((numbers_of(value) * 2.0 - 1.0) * certain).le(-1.0);
        Some(ruled_out(&against))
    }
}

impl From<Tensor> for Coins {
    fn from(logits: Tensor) -> Self {
        Self {
            logits,
            certain: None,
            open: None,
        }
    }
}

const NOT_NAN: &str = "logits must be numbers; look at what computes them";
const FINITE: &str = "logits must be finite; look at what computes them (±1e4 is certainty)";

impl BernoulliOperand for f64 {
    type Logits = Coin;

    fn of_probs(self) -> Result<Coin> {
        if (0.0..=1.0).contains(&self) {
            Ok(Coin::Prob(self))
        } else {
            Err(parameter_error(NAME, "probs", self, PROBS))
        }
    }

    fn of_logits(self) -> Result<Coin> {
        if self.is_nan() {
            Err(parameter_error(NAME, "logits", self, NOT_NAN))
        } else {
            Ok(Coin::Logit(self))
        }
    }
}

impl BernoulliOperand for Tensor {
    type Logits = Coins;

    fn of_probs(self) -> Result<Coins> {
        let logits = || self.kept_within(f32::MIN_POSITIVE, BELOW_ONE).logit();
        // Some choices may make coins certain, and others not.
        let are_open = match self.cases() {
            None => Support::Unit.holds_all(&self)?,
            Some(_) => self.tells_in_all_cases(|p| all(p, |p| (p > 0.0) & (p < 1.0)))?,
        };
        if are_open {
            return Ok(Coins {
                open: open(&self),
                ..logits().into()
            });
        }
        check_values(NAME, "probs", &self, |p| (0.0..=1.0).contains(&p), PROBS)?;
        let certain = self.ge(1.0) - self.le(0.0);
        Ok(Coins::new(&logits(), Some(certain)))
    }

    fn of_logits(self) -> Result<Coins> {
        check_within(NAME, "logits", &self, Support::Real, FINITE)?;
        Ok(self.into())
    }
}
