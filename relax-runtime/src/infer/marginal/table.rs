//! The numbers of a term, as far as they are known.

/// Where a number of a term is known from.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell {
    Open,
    /// No run comes to it, as far as is known of what values choices have.
    Closed,
    /// A run has told it, in one of the cases that it told.
    Told {
        run: usize,
        case: usize,
    },
    /// That run did not come by the term.
    Absent(usize),
    /// No run comes to it, as that run shows.
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
    /// One a row.
    OfRows(&'a [f64]),
    /// The same in all rows.
    All(f64),
}
