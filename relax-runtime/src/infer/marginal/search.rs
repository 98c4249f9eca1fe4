//! The runs that tell every number of every term.
//!
//! A run tells one number of each term: that of the values which the term's variables have there. On which
//! variables a term depends is known from the tensors that it was computed from, and where host code has
//! read values, found by contradiction: two runs in which a term has different numbers, though all variables
//! that it is known to depend on agree, differ in one more on which it does. Halving the difference finds
//! it. All runs are looked at that way, those of every later sum too.

use std::rc::Rc;

use super::assign::{Got, Ran, Shared, run};
use super::eliminate::{Sum, order};
use super::factor::{Domain, Factor, combinations, place, rows, values_at, within};
use super::graph::{MOST_RUNS, Part, Term};
use crate::error::{Error, Result};
use crate::model::{Context, Plate, Program};
use crate::random::Stream;

/// Runs at random values before scopes are believed.
const TRIALS: usize = 16;
/// Of so many sums one makes a run at random values.
const EVERY: u64 = 16;
/// So many variables are changed one by one, from states in which all have the same value.
const MOST_FLIPPED: usize = 128;

/// Tries to find a run between two others where halves are impossible.
const DETOURS: usize = 32;

/// Where a number of a term is known from.
#[derive(Clone, Copy, Debug)]
enum Cell {
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
struct Table {
    scope: Vec<usize>,
    cells: Vec<Cell>,
    open: usize,
}

/// What a run says of a term.
enum Said {
    Number,
    Absent,
}

/// Runs, and what they have told.
pub(super) struct Search<'a> {
    model: &'a dyn Program,
    context: &'a Context,
    pub(super) shared: Rc<Shared>,
    stream: Stream,
    pub(super) runs: Vec<Ran>,
    /// The values that were asked for, where they mattered.
    asked: Vec<Vec<usize>>,
    tables: Vec<Table>,
    /// Terms that have two numbers at the same values, and the two runs.
    conflicts: Vec<(usize, usize, usize)>,
    has_grown: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(model: &'a dyn Program, context: &'a Context, shared: Rc<Shared>) -> Self {
        Self {
            stream: context.key().stream("summed out"),
            model,
            context,
            shared,
            runs: Vec::new(),
            asked: Vec::new(),
            tables: Vec::new(),
            conflicts: Vec::new(),
            has_grown: false,
        }
    }

    /// Runs until every number is known.
    ///
    /// # Errors
    /// Whatever goes wrong in the model, or if there are too many numbers.
    pub(super) fn tell_all(&mut self) -> Result<()> {
        let (plan, sums) = {
            let mut graph = self.shared.graph.borrow_mut();
            graph.sums += 1;
            (graph.plan.clone(), graph.sums)
        };
        self.add(Vec::new())?;
        for values in plan {
            self.add(values)?;
        }
        let mut trials = match (sums, sums % EVERY) {
            (1, _) => self.first_trials(),
            (_, 0) => vec![None],
            _ => Vec::new(),
        };
        loop {
            let grown = std::mem::take(&mut self.has_grown);
            self.resolve()?;
            if let Some(values) = self.next()? {
                self.add(values)?;
                continue;
            }
            if self.shared.graph.borrow().is_certain() {
                break;
            }
            if grown && trials.is_empty() {
                trials = vec![None; TRIALS];
            }
            let Some(trial) = trials.pop() else { break };
            let values = match trial {
                Some(values) => values,
                None => self.filled(&[]).0,
            };
            self.add(values)?;
        }
        self.keep_plan();
        Ok(())
    }

    /// States in which all variables have their first or their last value, each changed in turn, and some at
    /// random.
    fn first_trials(&self) -> Vec<Option<Vec<usize>>> {
        let mut trials = vec![None; TRIALS];
        let graph = self.shared.graph.borrow();
        let sizes: Vec<usize> = graph.domains.iter().map(|domain| domain.size).collect();
        if sizes.len() <= MOST_FLIPPED && !graph.is_certain() {
            let last: Vec<usize> = sizes.iter().map(|size| size - 1).collect();
            for state in [vec![0; sizes.len()], last] {
                for v in 0..sizes.len() {
                    let mut flipped = state.clone();
                    flipped[v] = sizes[v] - 1 - flipped[v];
                    trials.push(Some(flipped));
                }
                trials.push(Some(state));
            }
        }
        trials
    }

    /// Runs once more.
    fn add(&mut self, values: Vec<usize>) -> Result<usize> {
        if self.runs.len() > 4 * MOST_RUNS {
            return Err(Error::Enumeration(format!(
                "more than {} runs did not tell all numbers to sum over; sum fewer sites out (`only`)",
                4 * MOST_RUNS
            )));
        }
        let ran = run(self.model, self.context, &self.shared, &values)?;
        let new = self.runs.len();
        let asked = ran.values.iter().enumerate().map(|(v, value)| {
            let planned = values.get(v).copied().filter(|_| ran.excluded.is_some());
            value.or(planned).unwrap_or(0)
        });
        self.asked.push(asked.collect());
        let mut grown = ran.grown.clone();
        self.runs.push(ran);
        grown.extend(self.stand_in()?);
        let known = self.tables.len();
        let terms = self.shared.graph.borrow().terms.len();
        for term in 0..known {
            match grown.contains(&term) {
                true => self.tables[term] = self.table(term)?,
                false => self.insert(term, new),
            }
        }
        for term in known..terms {
            let table = self.table(term)?;
            self.tables.push(table);
            self.tell(term);
        }
        for term in grown.into_iter().filter(|&term| term < known) {
            self.tell(term);
        }
        Ok(new)
    }

    /// Gives runs that did not come by a choice which is kept the density that stands in for it: the
    /// terms of which that changes what runs have told before.
    fn stand_in(&mut self) -> Result<Vec<usize>> {
        let mut changed = Vec::new();
        let graph = self.shared.graph.borrow();
        for (name, kept) in self.shared.kept.borrow().iter() {
            let Some(term) = graph.term_named(name) else {
                continue;
            };
            let is_absent = |ran: &Ran| ran.excluded.is_none() && !ran.terms.contains_key(&term);
            let mut density = None;
            let last = self.runs.len() - 1;
            for (number, ran) in self.runs.iter_mut().enumerate() {
                if !is_absent(ran) {
                    continue;
                }
                if number < last {
                    changed.push(term);
                }
                let got = match &density {
                    Some(got) => got,
                    None => {
                        let number = kept.log_density(self.shared.outer.as_deref())?;
                        density.insert(Got::of(number)?)
                    }
                };
                ran.terms.insert(term, got.clone());
                ran.stood_in.push(term);
            }
        }
        Ok(changed)
    }

    /// An empty table of a term.
    fn table(&self, term: usize) -> Result<Table> {
        let graph = self.shared.graph.borrow();
        graph.check_runs(term)?;
        let scope: Vec<usize> = graph.terms[term].scope.iter().copied().collect();
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

    /// Has all runs tell a term's numbers.
    fn tell(&mut self, term: usize) {
        for run in 0..self.runs.len() {
            self.insert(term, run);
        }
    }

    fn said(&self, term: usize, run: usize) -> Option<Said> {
        let ran = &self.runs[run];
        if ran.terms.contains_key(&term) {
            return Some(Said::Number);
        }
        let is_factor = self.shared.graph.borrow().terms[term].is_factor();
        (ran.excluded.is_none() && is_factor).then_some(Said::Absent)
    }

    /// Puts what a run says of a term into its table.
    fn insert(&mut self, term: usize, run: usize) {
        let Some(said) = self.said(term, run) else {
            return;
        };
        let cell = match said {
            Said::Number => Cell::Told(run),
            Said::Absent => Cell::Absent(run),
        };
        let graph = self.shared.graph.borrow();
        let ran = &self.runs[run];
        let value = |v: usize| ran.values.get(v).copied().flatten();
        let table = &self.tables[term];
        if ran.excluded.is_some() && table.scope.iter().any(|&v| value(v).is_none()) {
            return;
        }
        // Of a site that a run does not come by nothing is left to choose.
        let mut cells = Vec::new();
        match (cell, graph.terms[term].part) {
            (Cell::Absent(_), Part::Law { variable: own, .. }) => {
                for at in 0..graph.domains[own].size {
                    let chosen = |v| if v == own { at } else { value(v).unwrap_or(0) };
                    let cell = if at == 0 { cell } else { Cell::Impossible(run) };
                    cells.push((place(&table.scope, &graph.domains, chosen), cell));
                }
            }
            _ => cells.push((
                place(&table.scope, &graph.domains, |v| value(v).unwrap_or(0)),
                cell,
            )),
        }
        drop(graph);
        for (at, cell) in cells {
            match self.tables[term].cells[at] {
                Cell::Open => {
                    let table = &mut self.tables[term];
                    table.cells[at] = cell;
                    table.open = table.open.saturating_sub(1);
                }
                known => {
                    if !self.agree(term, known, cell)
                        && let (
                            Cell::Told(a) | Cell::Absent(a) | Cell::Impossible(a),
                            Cell::Told(b) | Cell::Absent(b) | Cell::Impossible(b),
                        ) = (known, cell)
                    {
                        self.conflicts.push((term, a, b));
                    }
                }
            }
        }
    }

    /// Whether two cells hold the same numbers.
    fn agree(&self, term: usize, a: Cell, b: Cell) -> bool {
        let numbers = |cell: Cell| match cell {
            Cell::Told(run) => Some(&self.runs[run].terms[&term].rows),
            _ => None,
        };
        let all = |cell: Cell, x: f64| match (cell, numbers(cell)) {
            (_, Some(rows)) => rows.iter().all(|&row| row == x),
            (Cell::Absent(_), None) => x == 0.0,
            (Cell::Impossible(_), None) => x == f64::NEG_INFINITY,
            _ => false,
        };
        match (a, b, numbers(a), numbers(b)) {
            (_, _, Some(a), Some(b)) => a == b,
            (Cell::Absent(_), Cell::Absent(_), ..) => true,
            (Cell::Impossible(_), Cell::Impossible(_), ..) => true,
            (Cell::Absent(_), other, ..) | (other, Cell::Absent(_), ..) => all(other, 0.0),
            (Cell::Impossible(_), other, ..) | (other, Cell::Impossible(_), ..) => {
                all(other, f64::NEG_INFINITY)
            }
            _ => true,
        }
    }

    /// Finds what the terms depend on that have two numbers.
    fn resolve(&mut self) -> Result<()> {
        while let Some((term, a, b)) = self.conflicts.pop() {
            let scope = &self.tables[term].scope;
            let same = |&v: &usize| {
                let value = |run: usize| self.runs[run].values.get(v).copied().flatten();
                value(a).unwrap_or(0) == value(b).unwrap_or(0)
            };
            if scope.iter().all(same) {
                self.halve(term, a, b)?;
            }
        }
        Ok(())
    }

    /// Finds a variable on which a term depends, of those in which two runs differ.
    fn halve(&mut self, term: usize, mut low: usize, mut high: usize) -> Result<()> {
        loop {
            let differing = self.differing(term, low, high);
            match differing[..] {
                [] => {
                    let graph = self.shared.graph.borrow();
                    let name = &graph.terms[term].name;
                    return Err(Error::Inconsistent(format!(
                        "`{name}` had two log-probabilities with the same choices; a model that is \
                         summed over is a function of its choices alone: no random numbers but those of \
                         `sample!`"
                    )));
                }
                [variable] => return self.grow(term, &[variable]),
                _ => {}
            }
            let Some(middle) = self.between(term, low, high, &differing)? else {
                // Values of probability 0 lie between: all of them count.
                return self.grow(term, &differing);
            };
            match self.says_as(term, middle, low) {
                true => low = middle,
                false => high = middle,
            }
        }
    }

    /// The variables in which two runs differ, and on which a term may depend.
    fn differing(&self, term: usize, a: usize, b: usize) -> Vec<usize> {
        let graph = self.shared.graph.borrow();
        let of = |run: usize, v: usize| self.asked[run].get(v).copied().unwrap_or(0);
        (0..graph.domains.len())
            .filter(|&v| of(a, v) != of(b, v) && graph.may_depend(term, v))
            .collect()
    }

    /// A run between two others, which says something of a term: it has the values of either, and differs
    /// from each in fewer than they do from each other; nothing if none is found.
    fn between(
        &mut self,
        term: usize,
        low: usize,
        high: usize,
        differing: &[usize],
    ) -> Result<Option<usize>> {
        let ends = [low, high].map(|run| {
            let mut values = self.asked[run].clone();
            values.resize(self.shared.graph.borrow().domains.len(), 0);
            values
        });
        let (first, second) = differing.split_at(differing.len() / 2);
        for half in [first, second] {
            let mut values = ends[0].clone();
            half.iter().for_each(|&v| values[v] = ends[1][v]);
            let middle = self.add(values)?;
            if self.said(term, middle).is_some() {
                return Ok(Some(middle));
            }
        }
        // Not every half is possible: look for values that are, as far as is known.
        for _ in 0..DETOURS {
            let at = self.stream.below(differing.len());
            let to = (at + 1 + self.stream.below(differing.len() - 1)) % differing.len();
            let (from, to) = (differing[at], differing[to]);
            let wanted = |v: usize, value: usize| {
                let is_end = value == ends[0][v] || value == ends[1][v];
                match (v == from, v == to) {
                    (true, _) if value != ends[0][v] => f64::NEG_INFINITY,
                    (_, true) if value != ends[1][v] => f64::NEG_INFINITY,
                    _ if self.tables[term].scope.contains(&v) && value != ends[0][v] => {
                        f64::NEG_INFINITY
                    }
                    _ if is_end => 0.0,
                    _ => -10.0,
                }
            };
            let count = ends[0].len();
            let sizes: Vec<usize> = {
                let graph = self.shared.graph.borrow();
                graph.domains.iter().map(|domain| domain.size).collect()
            };
            let wishes = (0..count).map(|v| (v, (0..sizes[v]).map(|x| wanted(v, x)).collect()));
            let wishes: Vec<(usize, Vec<f64>)> = wishes.collect();
            let Some(values) = self.supported(&wishes)? else {
                continue;
            };
            let middle = self.add(values)?;
            let apart = |end| self.differing(term, middle, end).len();
            let is_between = [low, high]
                .into_iter()
                .all(|end| apart(end) < differing.len());
            if is_between && self.said(term, middle).is_some() {
                return Ok(Some(middle));
            }
        }
        Ok(None)
    }

    /// Whether two runs say the same of a term.
    fn says_as(&self, term: usize, a: usize, b: usize) -> bool {
        let cell = |run| match self.said(term, run) {
            Some(Said::Number) => Cell::Told(run),
            _ => Cell::Absent(run),
        };
        self.agree(term, cell(a), cell(b))
    }

    /// Takes variables into the scope of a term.
    fn grow(&mut self, term: usize, variables: &[usize]) -> Result<()> {
        self.has_grown = true;
        let mut grown = Vec::new();
        for &v in variables {
            grown.extend(self.shared.graph.borrow_mut().depends(term, v));
        }
        grown.sort_unstable();
        grown.dedup();
        grown.retain(|&term| term < self.tables.len());
        for term in grown {
            self.tables[term] = self.table(term)?;
            self.tell(term);
        }
        Ok(())
    }

    /// Closes what the supports leave out.
    fn close_excluded(&mut self) {
        let graph = self.shared.graph.borrow();
        for (v, support) in graph.support_of.iter().enumerate() {
            let Some(support) = *support else { continue };
            let law = &self.tables[graph.law_of[v]];
            let scope = &self.tables[support].scope;
            if law.open == 0 || !scope.iter().all(|w| law.scope.contains(w)) {
                continue;
            }
            let is_excluded = |at: usize| {
                let values = values_at(&law.scope, &graph.domains, at);
                let value = |w| {
                    values
                        .iter()
                        .find(|(u, _)| *u == w)
                        .map_or(0, |(_, value)| *value)
                };
                let excluded = self.excludes(support, place(scope, &graph.domains, value));
                excluded.is_some_and(|excluded| excluded[value(v)] > 0.0)
            };
            let open = (0..law.cells.len()).filter(|&at| matches!(law.cells[at], Cell::Open));
            let closed: Vec<usize> = open.filter(|&at| is_excluded(at)).collect();
            let law = &mut self.tables[graph.law_of[v]];
            law.open -= closed.len();
            closed
                .into_iter()
                .for_each(|at| law.cells[at] = Cell::Impossible(0));
        }
    }

    /// Values at which a run tells something new; nothing when all is told.
    fn next(&mut self) -> Result<Option<Vec<usize>>> {
        self.close_excluded();
        loop {
            let Some(first) = self.tables.iter().position(|table| table.open > 0) else {
                return Ok(None);
            };
            let mut chosen: Vec<Option<usize>> =
                vec![None; self.shared.graph.borrow().domains.len()];
            for table in &self.tables[first..] {
                if table.open == 0 {
                    continue;
                }
                let graph = self.shared.graph.borrow();
                let start = self.stream.below(table.cells.len());
                for at in (start..table.cells.len()).chain(0..start) {
                    if !matches!(table.cells[at], Cell::Open) {
                        continue;
                    }
                    let values = values_at(&table.scope, &graph.domains, at);
                    if values
                        .iter()
                        .all(|&(v, value)| chosen[v].is_none_or(|known| known == value))
                    {
                        values
                            .into_iter()
                            .for_each(|(v, value)| chosen[v] = Some(value));
                        break;
                    }
                }
            }
            let (values, is_possible) = self.filled(&chosen);
            if is_possible {
                return Ok(Some(values));
            }
            let cells = self.tables[first].cells.iter();
            let at = cells
                .enumerate()
                .find(|(_, cell)| matches!(cell, Cell::Open));
            let at = at.map_or(0, |(at, _)| at);
            let target: Vec<(usize, Vec<f64>)> = {
                let graph = self.shared.graph.borrow();
                let values = values_at(&self.tables[first].scope, &graph.domains, at);
                let alone = |(v, value): (usize, usize)| {
                    let mut weights = vec![f64::NEG_INFINITY; graph.domains[v].size];
                    weights[value] = 0.0;
                    (v, weights)
                };
                values.into_iter().map(alone).collect()
            };
            match self.supported(&target)? {
                Some(values) => return Ok(Some(values)),
                None => {
                    self.tables[first].cells[at] = Cell::Impossible(0);
                    self.tables[first].open -= 1;
                }
            }
        }
    }

    /// Chooses the values that are not chosen yet, at random among those that are not known to be
    /// impossible; and whether there are such.
    fn filled(&mut self, chosen: &[Option<usize>]) -> (Vec<usize>, bool) {
        let graph = self.shared.graph.borrow();
        let count = graph.domains.len();
        let sizes = graph.domains.iter().map(|domain| domain.size);
        let starts: Vec<usize> = sizes.map(|size| self.stream.below(size)).collect();
        let mut values: Vec<Option<usize>> = chosen.to_vec();
        values.resize(count, None);
        let impossible = |v: usize, values: &[Option<usize>]| {
            let at = |table: &Table| {
                let known = table.scope.iter().all(|&w| values[w].is_some());
                let value = |w: usize| values[w].unwrap_or_default();
                known.then(|| place(&table.scope, &graph.domains, value))
            };
            let law = &self.tables[graph.law_of[v]];
            let absent = at(law).is_some_and(|at| matches!(law.cells[at], Cell::Impossible(_)));
            absent
                || graph.support_of[v].is_some_and(|support| {
                    let found = at(&self.tables[support]);
                    let excluded = found.and_then(|at| self.excludes(support, at));
                    excluded.is_some_and(|excluded| excluded[values[v].unwrap_or_default()] > 0.0)
                })
        };
        let mut is_possible = true;
        for v in 0..count {
            if values[v].is_some() {
                is_possible &= !impossible(v, &values);
                continue;
            }
            let size = graph.domains[v].size;
            let start = starts[v];
            values[v] = Some(start);
            for value in (start..size).chain(0..start) {
                values[v] = Some(value);
                if !impossible(v, &values) {
                    break;
                }
            }
            is_possible &= !impossible(v, &values);
        }
        let all = values.iter().map(|value| value.unwrap_or_default());
        (all.collect(), is_possible)
    }

    /// Which values a support leaves out, as far as it is known.
    fn excludes(&self, support: usize, at: usize) -> Option<&[f64]> {
        match self.tables[support].cells[at] {
            Cell::Told(run) => Some(&self.runs[run].terms[&support].rows),
            _ => None,
        }
    }

    /// Values that are not known to be impossible, if there are any, drawn by log-weights of some variables'
    /// values.
    fn supported(&mut self, wishes: &[(usize, Vec<f64>)]) -> Result<Option<Vec<usize>>> {
        let graph = self.shared.graph.borrow();
        let none: Rc<[Plate]> = Rc::default();
        let domains: Vec<Domain> = graph
            .domains
            .iter()
            .map(|domain| Domain {
                size: domain.size,
                plates: Rc::clone(&none),
            })
            .collect();
        let mut factors = Vec::with_capacity(domains.len() + wishes.len());
        for (v, support) in graph.support_of.iter().enumerate() {
            let Some(support) = *support else { continue };
            let scope = &self.tables[support].scope;
            let mut factor = Factor {
                plates: Rc::clone(&none),
                variables: scope.iter().copied().chain([v]).collect(),
                values: Vec::new(),
            };
            for at in 0..self.tables[support].cells.len() {
                let excluded = self.excludes(support, at);
                factor.values.extend((0..domains[v].size).map(|value| {
                    match excluded.is_some_and(|excluded| excluded[value] > 0.0) {
                        true => f64::NEG_INFINITY,
                        false => 0.0,
                    }
                }));
            }
            factors.push(factor);
        }
        for &term in &graph.law_of {
            let table = &self.tables[term];
            let log = |cell: &Cell| match cell {
                Cell::Impossible(_) => f64::NEG_INFINITY,
                _ => 0.0,
            };
            factors.push(Factor {
                plates: Rc::clone(&none),
                variables: table.scope.clone(),
                values: table.cells.iter().map(log).collect(),
            });
        }
        for (v, weights) in wishes {
            factors.push(Factor {
                plates: Rc::clone(&none),
                variables: vec![*v],
                values: weights.clone(),
            });
        }
        let scopes = factors.iter().map(|factor| factor.variables.clone());
        let order = order(scopes, &domains, |v| graph.name(v))?;
        drop(graph);
        let sum = Sum::new(factors, domains, &order);
        if sum.log == f64::NEG_INFINITY {
            return Ok(None);
        }
        let drawn = sum.draw(&mut self.stream);
        Ok(Some(drawn.into_iter().map(|rows| rows[0]).collect()))
    }

    /// Keeps the values of the runs that told something, for the next sum; where scopes have grown, other
    /// runs will do.
    fn keep_plan(&mut self) {
        let mut graph = self.shared.graph.borrow_mut();
        let tables = graph.terms.iter().zip(&self.tables);
        let mut told: Vec<usize> = tables
            .filter(|(term, _)| term.is_factor())
            .flat_map(|(_, table)| &table.cells)
            .filter_map(|cell| match cell {
                Cell::Told(run) | Cell::Absent(run) | Cell::Impossible(run) => Some(*run),
                Cell::Open => None,
            })
            .filter(|&run| run > 0)
            .collect();
        told.sort_unstable();
        told.dedup();
        graph.plan = match graph.sums {
            1 => Vec::new(),
            _ => told.iter().map(|&run| self.asked[run].clone()).collect(),
        };
    }

    /// The factors whose product is to be summed, one a term.
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
                        "the rows of `{}` meet in `{}`, which stands outside their plate; choices in \
                         rows that meet are not summed out: sum other sites out (`only`), or put the \
                         choices into a loop",
                        graph.name(v),
                        term.name
                    )));
                }
            }
            let rows = rows(&term.plates);
            let width = table.cells.len();
            let mut values = vec![0.0; rows * width];
            for (at, cell) in table.cells.iter().enumerate() {
                let numbers = match cell {
                    Cell::Told(run) => Some(&self.runs[*run].terms[&number].rows),
                    _ => None,
                };
                for row in 0..rows {
                    values[row * width + at] = match (numbers, cell) {
                        (Some(numbers), _) => numbers[row],
                        (None, Cell::Absent(_)) => 0.0,
                        (None, _) => f64::NEG_INFINITY,
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

    /// Of each combination of a term's variables whether a run at it does not come by the term.
    pub(super) fn absences(&self, term: usize) -> (Vec<usize>, Vec<bool>) {
        let table = &self.tables[term];
        let is_absent = |cell: &Cell| match *cell {
            Cell::Open => false,
            Cell::Told(run) => self.runs[run].stood_in.contains(&term),
            Cell::Absent(_) | Cell::Impossible(_) => true,
        };
        (table.scope.clone(), table.cells.iter().map(is_absent).collect())
    }

    /// Each number that a run has told, with its term's number and its place there.
    pub(super) fn told(&self) -> impl Iterator<Item = (&Got, usize, usize)> {
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
                        Cell::Told(run) => Some((&self.runs[*run].terms[&term], term, at)),
                        _ => None,
                    })
            })
    }
}
