//! How much of a relaxed cost's correction an estimate uses.

/// How much of a surrogate an estimate uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The relaxed cost, corrected for each choice where it is smooth enough for that.
    Corrected,
    /// The relaxed cost as it is.
    Relaxed,
    /// No relaxed cost.
    Nothing,
}

impl Extent {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::Corrected, Self::Relaxed, Self::Nothing];
}
