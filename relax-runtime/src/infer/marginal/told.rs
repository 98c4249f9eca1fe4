//! What all runs together have told about each term: fills a term's table, which holds its numbers by the values of its
//! variables, notes where runs contradict each other, and turns the tables into factors.

use std::ops::Range;
use std::rc::Rc;

use super::factor::{Domain, Factor, combinations, place, rows};
use super::graph::{Part, Term};
use super::said::Got;
use super::search::Search;
use super::slopes::Slopes;
use super::table::{Cell, Numbers, Table};
use crate::error::{Error, Result};
use crate::model::within;

/// Whether two log-probabilities are the same number, up to this relative rounding.
fn is_same(a: f64, b: f64, rounding: f64) -> bool {
    a == b || (a - b).abs() <= rounding * a.abs().min(b.abs()).max(1.0)
}

impl Search<'_> {
    /// An empty table for a term.
    pub(super) fn table(&self, term: usize) -> Result<Table> {
        let graph = self.shared.graph.borrow();
        let scope = self.scope(&graph, term);
        graph.check_runs(term, &scope, self.most_runs())?;
        let cells = combinations(&scope, &graph.domains);
        Ok(Table {
            scope,
            cells: vec![Cell::Open; cells],
            open: match graph.terms[term].is_factor() {
                true => cells,
                false => 0,
            },
        })
    }

    /// Empties a term's table.
    pub(super) fn empty(&mut self, term: usize) -> Result<()> {
        self.tables[term] = self.table(term)?;
        self.look_through(term);
        Ok(())
    }

    /// Enters into a new support what runs that reached the choice before any of its values was excluded say: that none
    /// is.
    pub(super) fn tell_possible(&mut self, support: usize) {
        let graph = self.shared.graph.borrow();
        let Part::Support { variable, .. } = graph.terms[support].part else {
            return;
        };
        let none = Got::of_flags(&vec![false; graph.domains[variable].size]);
        for ran in &mut self.runs {
            let is_reached = ran.values.get(variable).is_some_and(Option::is_some);
            if is_reached && !ran.has_met(support) {
                ran.tell(support, none.clone().into());
            }
        }
    }

    /// Marks the law of a term's variable to be searched for impossible values, if the term is that law or its support.
    pub(super) fn look_through(&mut self, term: usize) {
        let graph = self.shared.graph.borrow();
        if let Part::Law { variable, .. } | Part::Support { variable, .. } = graph.terms[term].part
            && graph.support_of[variable].is_some()
        {
            self.to_close.insert(graph.law_of[variable]);
        }
    }

    /// Enters what all runs say about a term.
    pub(super) fn tell(&mut self, term: usize) {
        for run in 0..self.runs.len() {
            self.insert(term, run);
        }
    }

    /// Reopens closed cells if more is known now about which values choices have: if one of the grown terms is a law or
    /// support.
    pub(super) fn reopen_after(&mut self, grown: &[usize]) {
        let tells_values = |term: &usize| {
            let graph = self.shared.graph.borrow();
            !matches!(graph.terms[*term].part, Part::Whole)
        };
        if !grown.iter().any(tells_values) {
            return;
        }
        for term in 0..self.tables.len() {
            self.look_through(term);
        }
        for table in &mut self.tables {
            for cell in &mut table.cells {
                if matches!(cell, Cell::Closed) {
                    *cell = Cell::Open;
                    table.open += 1;
                }
            }
        }
    }

    /// Whether a run has told a term's number at values, by variable.
    pub(super) fn is_told(
        &self,
        term: usize,
        values: &[Option<usize>],
        domains: &[Domain],
    ) -> bool {
        let Some(table) = self.tables.get(term) else {
            return false;
        };
        let value = |v: usize| values.get(v).copied().flatten();
        table.scope.iter().all(|&v| value(v).is_some()) && {
            let at = place(&table.scope, domains, |v| value(v).unwrap_or(0));
            matches!(table.cells[at], Cell::Told { .. })
        }
    }

    /// The cell for what a run says about a term, if anything.
    pub(super) fn said(&self, term: usize, run: usize) -> Option<Cell> {
        let ran = &self.runs[run];
        if let Some(said) = ran.said(term) {
            let case = said.here;
            return Some(Cell::Told { run, case });
        }
        let is_factor = self.shared.graph.borrow().terms[term].is_factor();
        let is_factor = is_factor && !ran.has_met(term);
        (ran.excluded.is_none() && is_factor).then_some(Cell::Absent(run))
    }

    /// Enters what a run says about a term into its table.
    pub(super) fn insert(&mut self, term: usize, run: usize) {
        let Some(cell) = self.said(term, run) else {
            return;
        };
        let graph = self.shared.graph.borrow();
        let ran = &self.runs[run];
        let value = |v: usize| ran.values.get(v).copied().flatten();
        let table = &self.tables[term];
        if ran.excluded.is_some() && table.scope.iter().any(|&v| value(v).is_none()) {
            return;
        }
        // A site that a run does not reach has nothing left to choose.
        let mut cells = Vec::new();
        match (cell, graph.terms[term].part) {
            (Cell::Absent(_), Part::Law { variable: own, .. }) => {
                for at in 0..graph.domains[own].size {
                    let chosen = |v| if v == own { at } else { value(v).unwrap_or(0) };
                    let cell = if at == 0 { cell } else { Cell::Impossible(run) };
                    cells.push((place(&table.scope, &graph.domains, chosen), cell));
                }
            }
            (Cell::Told { .. }, _) if ran.said(term).is_some_and(|said| said.cases() > 1) => {
                let Some(said) = ran.said(term) else { return };
                let is_whole = said.variables().eq(table.scope.iter().copied());
                cells.extend((0..said.cases()).map(|case| {
                    let of_case = |v| said.value(v, case).or(value(v)).unwrap_or(0);
                    let at = match is_whole {
                        true => case,
                        false => place(&table.scope, &graph.domains, of_case),
                    };
                    (at, Cell::Told { run, case })
                }));
            }
            _ => cells.push((
                place(&table.scope, &graph.domains, |v| value(v).unwrap_or(0)),
                cell,
            )),
        }
        let is_support = matches!(graph.terms[term].part, Part::Support { .. });
        drop(graph);
        for (at, cell) in cells {
            match self.tables[term].cells[at] {
                Cell::Open => {
                    let table = &mut self.tables[term];
                    table.cells[at] = cell;
                    self.has_told = true;
                    table.open = table.open.saturating_sub(1);
                    if is_support {
                        self.look_through(term);
                    }
                }
                // More is known now than when it was closed.
                Cell::Closed => {
                    self.tables[term].cells[at] = cell;
                    self.has_told = true;
                }
                known => {
                    if !self.agree(term, known, cell)
                        && let (
                            Cell::Told { run: a, .. } | Cell::Absent(a) | Cell::Impossible(a),
                            Cell::Told { run: b, .. } | Cell::Absent(b) | Cell::Impossible(b),
                        ) = (known, cell)
                    {
                        self.conflicts.push((term, a, b));
                    }
                }
            }
        }
    }

    /// Whether two runs say the same about a term.
    pub(super) fn says_as(&self, term: usize, a: usize, b: usize) -> bool {
        let cell = |run| self.said(term, run).unwrap_or(Cell::Absent(run));
        self.agree(term, cell(a), cell(b))
    }

    /// Whether two cells hold the same numbers, of a choice that both or neither reach.
    fn agree(&self, term: usize, a: Cell, b: Cell) -> bool {
        // What is computed in all cases at once may be summed in another order.
        const ROUNDING: f64 = 2e-6;
        let has_cases = |cell: Cell| match cell {
            Cell::Told { run, .. } => self.runs[run]
                .said(term)
                .is_some_and(|said| said.cases() > 1),
            _ => false,
        };
        let rounding = match has_cases(a) || has_cases(b) {
            true => ROUNDING,
            false => 0.0,
        };
        // A number that stands in for a choice may be that of the choice by chance.
        let stands_in = |cell: Cell| match cell {
            Cell::Told { run, .. } => self.runs[run].stood_in.contains(&term),
            _ => false,
        };
        if stands_in(a) != stands_in(b) || !self.move_alike(term, a, b) {
            return false;
        }
        match (self.numbers(term, a), self.numbers(term, b)) {
            (Numbers::OfRows(a), Numbers::OfRows(b)) => {
                let mut pairs = a.iter().zip(b);
                a.len() == b.len() && pairs.all(|(a, b)| is_same(*a, *b, rounding))
            }
            (Numbers::All(x), Numbers::All(y)) => x == y,
            (Numbers::OfRows(rows), Numbers::All(x)) | (Numbers::All(x), Numbers::OfRows(rows)) => {
                rows.iter().all(|&row| is_same(row, x, rounding))
            }
        }
    }

    /// Whether the numbers of two cells have the same slopes with respect to parameters, as far as these are known.
    fn move_alike(&self, term: usize, a: Cell, b: Cell) -> bool {
        let none = Slopes::default();
        let slopes = |cell: Cell| match cell {
            Cell::Told { run, .. } => self.runs[run].slopes(term),
            _ => Some(&none),
        };
        match (slopes(a), slopes(b)) {
            (Some(a), Some(b)) => a.agree(b),
            _ => true,
        }
    }

    /// The numbers of a cell.
    fn numbers(&self, term: usize, cell: Cell) -> Numbers<'_> {
        match cell {
            Cell::Told { run, case } => match self.runs[run].said(term) {
                Some(said) => Numbers::OfRows(said.rows(case)),
                None => Numbers::All(0.0),
            },
            Cell::Absent(_) => Numbers::All(0.0),
            Cell::Impossible(_) | Cell::Open | Cell::Closed => Numbers::All(f64::NEG_INFINITY),
        }
    }

    /// The factors whose product is to be summed, one per term.
    ///
    /// # Errors
    /// If rows meet in a term.
    pub(super) fn factors(&self) -> Result<Vec<Factor>> {
        let graph = self.shared.graph.borrow();
        let mut factors = Vec::with_capacity(graph.terms.len());
        for (number, term) in graph.terms.iter().enumerate() {
            if !term.is_factor() {
                factors.push(Factor::one());
                continue;
            }
            let table = &self.tables[number];
            for &v in &table.scope {
                if !within(&term.plates, &graph.domains[v].plates) {
                    return Err(Error::Plates(format!(
                        "the rows of `{}` meet in `{}`, which is outside their plate; choices in rows \
                         that meet cannot be summed out: sum other sites out (`only`), or put the \
                         choices into a loop",
                        graph.name(v),
                        term.name
                    )));
                }
            }
            let rows = rows(&term.plates);
            let width = table.cells.len();
            let mut values = vec![0.0; rows * width];
            for (at, &cell) in table.cells.iter().enumerate() {
                let numbers = self.numbers(number, cell);
                for row in 0..rows {
                    values[row * width + at] = match numbers {
                        Numbers::OfRows(numbers) => numbers[row],
                        Numbers::All(x) => x,
                    };
                }
            }
            factors.push(Factor {
                plates: Rc::clone(&term.plates),
                variables: table.scope.clone(),
                values,
            });
        }
        Ok(factors)
    }

    /// For each combination of a term's variables, whether a run there does not reach the term.
    pub(super) fn absences(&self, term: usize) -> (Vec<usize>, Vec<bool>) {
        let table = &self.tables[term];
        let is_absent = |cell: &Cell| match *cell {
            Cell::Open => false,
            Cell::Told { run, .. } => self.runs[run].stood_in.contains(&term),
            Cell::Absent(_) | Cell::Impossible(_) | Cell::Closed => true,
        };
        (
            table.scope.clone(),
            table.cells.iter().map(is_absent).collect(),
        )
    }

    /// The observations that some runs do not reach, though their values are possible.
    pub(super) fn partly_observed(&self) -> Vec<usize> {
        let graph = self.shared.graph.borrow();
        let terms = graph.terms.iter().zip(&self.tables).enumerate();
        let is_absent = |cell: &Cell| matches!(cell, Cell::Absent(_));
        let partly = terms.filter(|(_, (term, table))| {
            term.observed.is_some() && term.sum == graph.sums && table.cells.iter().any(is_absent)
        });
        partly.map(|(number, _)| number).collect()
    }

    /// Each number that a run has told: where it is, its rows there, the index of its term, and its place in the term's
    /// table.
    pub(super) fn told(&self) -> impl Iterator<Item = (&Got, Range<usize>, usize, usize)> {
        let graph = self.shared.graph.borrow();
        let is_factor: Vec<bool> = graph.terms.iter().map(Term::is_factor).collect();
        let tables = self.tables.iter().enumerate();
        tables
            .filter(move |(term, _)| is_factor[*term])
            .flat_map(move |(term, table)| {
                table
                    .cells
                    .iter()
                    .enumerate()
                    .filter_map(move |(at, cell)| match cell {
                        Cell::Told { run, case } => {
                            let (got, rows) = self.runs[*run].said(term)?.got(*case);
                            Some((got, rows, term, at))
                        }
                        _ => None,
                    })
            })
    }
}
