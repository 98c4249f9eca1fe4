//! The numbers of a term, as far as they are known.

/// How a number of a term is known.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell {
    Open,
    /// No run reaches it, as far as is known about the values of choices.
    Closed,
    /// A run has told it, in one of its cases.
    Told {
        run: usize,
        case: usize,
    },
    /// This run did not reach the term.
    Absent(usize),
    /// No run reaches it, as this run shows.
    Impossible(usize),
}

/// The numbers of a term, by the values of its variables.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) scope: Vec<usize>,
    pub(super) cells: Vec<Cell>,
    pub(super) open: usize,
}

/// The numbers of a cell.
#[derive(Clone, Copy, Debug)]
pub(super) enum Numbers<'a> {
    /// One per row.
    OfRows(&'a [f64]),
    /// The same in all rows.
    All(f64),
}
