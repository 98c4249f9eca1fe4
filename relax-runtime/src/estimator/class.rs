//! What kind of random choice a site is, which decides what estimators are valid for it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::dist::{Draws, Form};

/// What the draws of a site are: [`Draws`] in a form that can be compared and saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum DrawKind {
    /// Continuous, differentiable in the law's parameters.
    Pathwise,
    /// The same for a law whose support moves with its parameters, which score functions miss.
    Moving,
    /// Continuous without a derivative.
    Opaque,
    /// Discrete without a relaxation.
    Discrete,
    /// Discrete with vertices, but gaps between them: [`Form::Gapped`].
    Gapped,
    /// Discrete with a relaxation of its own.
    Relaxed,
    /// Coins, each 0 or 1: [`Form::Coins`].
    Coins,
    /// One-hot vectors or indices of them: [`Form::Categories`].
    Categories,
}

impl DrawKind {
    /// The kind of a law's draws, if its support is fixed.
    pub fn of(draws: Draws<'_>) -> Self {
        match draws {
            Draws::Pathwise => Self::Pathwise,
            Draws::Opaque => Self::Opaque,
            Draws::Discrete(None) => Self::Discrete,
            Draws::Discrete(Some(relaxation)) => match relaxation.form() {
                Form::Coins => Self::Coins,
                Form::Categories => Self::Categories,
                Form::Gapped => Self::Gapped,
                Form::Other => Self::Relaxed,
            },
        }
    }

    /// Whether values are discrete.
    pub fn is_discrete(self) -> bool {
        !matches!(self, Self::Pathwise | Self::Moving | Self::Opaque)
    }

    /// Whether values are discrete and have a relaxation, if only its vertices can be used.
    pub fn is_relaxed(self) -> bool {
        self.is_discrete() && self != Self::Discrete
    }

    /// The kind that covers both.
    fn meet(self, other: Self) -> Self {
        match (self.is_discrete(), self.is_relaxed() && other.is_relaxed()) {
            _ if self == other => self,
            (true, true) if self == Self::Gapped || other == Self::Gapped => Self::Gapped,
            (true, true) => Self::Relaxed,
            (true, false) => Self::Discrete,
            _ if self == Self::Moving || other == Self::Moving => Self::Moving,
            (false, _) => Self::Opaque,
        }
    }
}

/// What kind of random choice a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteClass {
    /// What its draws are.
    pub draws: DrawKind,
    /// Whether the cost can be evaluated at its relaxed draw, and differentiated row by row.
    pub relaxable: bool,
    /// Whether its draw is differentiable in its parameters, and not read on the host.
    pub differentiable: bool,
    /// Whether its draws come in mirrored pairs, as those of a Gaussian do.
    pub mirrored: bool,
    /// Number of values that its events have together in one row of its plates; 0 if it is continuous,
    /// `usize::MAX` if there are too many to count or no relaxation lists them.
    pub values: usize,
    /// Number of draws of one row that differ from a given one in a single event: D (K − 1) for D events
    /// of K values, 0 if it is continuous, `usize::MAX` if they cannot be counted.
    pub changes: usize,
    /// Whether the cost of each row of its plates depends on that row's draw alone.
    pub separate: bool,
    /// Whether the rows of its plates have different parameters and so, as a rule, different costs; only
    /// determined for [`SOME_VALUES`](Self::SOME_VALUES).
    pub rows_differ: bool,
    /// Whether it is relaxable, and the laws of later discrete choices depend on it.
    #[serde(default)]
    pub followed: bool,
    /// Number of samples of the objective's bound: 1 unless it is a bound of several.
    pub samples: usize,
}

impl SiteClass {
    /// From 7 coins per row to 16: how much a network can learn of the cost of that many values depends
    /// on whether it is the same in all rows.
    pub const SOME_VALUES: RangeInclusive<usize> = 1 << 7..=1 << 16;

    /// The class that covers both: a site that some run reads on the host counts as read in all, so that
    /// its estimator does not change from draw to draw.
    #[must_use]
    pub fn meet(self, other: Self) -> Self {
        let relaxable = self.relaxable && other.relaxable;
        Self {
            draws: self.draws.meet(other.draws),
            relaxable,
            differentiable: self.differentiable && other.differentiable,
            mirrored: self.mirrored && other.mirrored,
            values: self.values.max(other.values),
            changes: self.changes.max(other.changes),
            separate: self.separate && other.separate,
            rows_differ: self.rows_differ || other.rows_differ,
            followed: relaxable && (self.followed || other.followed),
            samples: self.samples.max(other.samples),
        }
    }

    /// Whether what was chosen and learned for a site of another class holds for this one: at most, later choices
    /// depend on one of the two only, for which an estimator needs no other state.
    pub(crate) fn resembles(self, other: Self) -> bool {
        let followed = other.followed;
        Self { followed, ..self } == other
    }
}

/// Checks that an estimator of relaxed choices is valid for a class; the error says why it is not.
pub(super) fn expect_relaxed(class: SiteClass, problem: &str) -> std::result::Result<(), String> {
    match class.draws {
        DrawKind::Discrete => {
            Err("the distribution has no relaxation; use `rloo`, or `reinforce`".into())
        }
        draws if draws.is_relaxed() => Ok(()),
        _ => Err(problem.into()),
    }
}

/// The same for estimators that evaluate the cost between the values of the support.
pub(super) fn expect_relaxable(class: SiteClass, problem: &str) -> std::result::Result<(), String> {
    expect_relaxed(class, problem)?;
    match class.relaxable {
        true => Ok(()),
        false => Err(problem.into()),
    }
}
