//! The numbers of a term, as far as they are known.

/// Where a number of a term is known from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell {
    Open,
    /// A run has told it.
    Told(usize),
    /// That run did not come by the term.
    Absent(usize),
    /// No run comes to it.
    Impossible(usize),
}

/// The numbers of a term, by the values of its variables.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) scope: Vec<usize>,
    pub(super) cells: Vec<Cell>,
    pub(super) open: usize,
}

/// What a run says of a term.
pub(super) enum Said {
    Number,
    Absent,
}
