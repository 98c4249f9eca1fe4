//! Chooses which values are run next.

use std::rc::Rc;

use super::eliminate::{Sum, order};
use super::factor::{Domain, Factor, place, values_at};
use super::search::Search;
use super::table::{Cell, Table};
use crate::error::{Error, Result};
use crate::model::Plate;

/// Maximum number of impossible values that one sum finds one by one.
const MOST_ELIMINATIONS: usize = 1 << 12;

impl Search<'_> {
    /// Values at which a run tells something new; `None` if everything has been told.
    pub(super) fn next(&mut self) -> Result<Option<Vec<usize>>> {
        self.close_excluded();
        loop {
            let Some(first) = self.tables.iter().position(|table| table.open > 0) else {
                return Ok(None);
            };
            let mut chosen: Vec<Option<usize>> =
                vec![None; self.shared.graph.borrow().domains.len()];
            for table in &self.tables[first..] {
                // Variables that other tables have fixed leave nothing to choose.
                if table.open == 0 || table.scope.iter().all(|&v| chosen[v].is_some()) {
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
            let mut rest = first..self.tables.len();
            if rest.any(|at| self.tables[at].open > 0 && self.close_impossible(at))
                || self.close_unreachable()
            {
                continue;
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
            self.eliminations += 1;
            if self.eliminations > MOST_ELIMINATIONS {
                return Err(Error::Enumeration(format!(
                    "`{}` has probability 0 at too many values of choices to find the others; sum fewer sites out \
                     (`only`)",
                    self.shared.graph.borrow().terms[first].name
                )));
            }
            match self.supported(&target)? {
                Some(values) => return Ok(Some(values)),
                None => {
                    self.tables[first].cells[at] = Cell::Closed;
                    self.tables[first].open -= 1;
                }
            }
        }
    }

    /// Fills in values not chosen yet, at random among those not known to be impossible; also returns whether the
    /// result may be possible.
    pub(super) fn filled(&mut self, chosen: &[Option<usize>]) -> (Vec<usize>, bool) {
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
            let is_none = |cell: &Cell| matches!(cell, Cell::Impossible(_) | Cell::Closed);
            let absent = at(law).is_some_and(|at| is_none(&law.cells[at]));
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

    /// Values not known to be impossible, if there are any, drawn with log-weights on some variables' values.
    pub(super) fn supported(&mut self, wishes: &[(usize, Vec<f64>)]) -> Result<Option<Vec<usize>>> {
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
                Cell::Impossible(_) | Cell::Closed => f64::NEG_INFINITY,
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

    /// Closes cells that the supports exclude.
    fn close_excluded(&mut self) {
        for law in std::mem::take(&mut self.to_close) {
            if self.tables[law].open > 0 {
                self.close_impossible(law);
            }
        }
    }

    /// Closes the open cells at which a choice has a value that no run reaches whatever the other choices, because it
    /// depends on values that are not reached: states of a chain that lie behind others. Returns whether there are any.
    fn close_unreachable(&mut self) -> bool {
        let graph = self.shared.graph.borrow();
        let sizes = graph.domains.iter().map(|domain| domain.size);
        let mut reached: Vec<Vec<bool>> = sizes.map(|size| vec![true; size]).collect();
        // Choices mostly depend on earlier ones.
        for v in 0..reached.len() {
            let law = &self.tables[graph.law_of[v]];
            let mut own = vec![false; reached[v].len()];
            for (at, cell) in law.cells.iter().enumerate() {
                if matches!(cell, Cell::Impossible(_) | Cell::Closed) {
                    continue;
                }
                let (mut value, mut is_reached) = (0, true);
                for (w, here) in values_at(&law.scope, &graph.domains, at) {
                    match w == v {
                        true => value = here,
                        false => is_reached &= reached[w][here],
                    }
                }
                own[value] |= is_reached;
            }
            reached[v] = own;
        }
        let mut has_closed = false;
        for table in self.tables.iter_mut().filter(|table| table.open > 0) {
            for at in 0..table.cells.len() {
                if !matches!(table.cells[at], Cell::Open) {
                    continue;
                }
                let values = values_at(&table.scope, &graph.domains, at);
                if values.iter().any(|&(v, value)| !reached[v][value]) {
                    table.cells[at] = Cell::Closed;
                    table.open -= 1;
                    has_closed = true;
                }
            }
        }
        has_closed
    }

    /// Closes the open cells of a table at which a choice has a value known to be impossible given the others in the
    /// table's scope. Returns whether there are any. Cells that need more than that are found by elimination.
    fn close_impossible(&mut self, table: usize) -> bool {
        let graph = self.shared.graph.borrow();
        let scope = &self.tables[table].scope;
        let is_within = |of: &usize| self.tables[*of].scope.iter().all(|v| scope.contains(v));
        let laws = scope.iter().map(|&v| graph.law_of[v]);
        let laws: Vec<usize> = laws.filter(is_within).collect();
        let supports = scope
            .iter()
            .filter_map(|&v| Some((v, graph.support_of[v]?)));
        let supports: Vec<(usize, usize)> = supports.filter(|(_, of)| is_within(of)).collect();
        let is_impossible = |at: usize| {
            let values = values_at(scope, &graph.domains, at);
            let value = |w: usize| {
                let mut values = values.iter();
                values.find(|(v, _)| *v == w).map_or(0, |(_, value)| *value)
            };
            let at_law = |&of: &usize| {
                let law = &self.tables[of];
                let cell = &law.cells[place(&law.scope, &graph.domains, value)];
                matches!(cell, Cell::Impossible(_) | Cell::Closed)
            };
            let at_support = |&(v, of): &(usize, usize)| {
                let at = place(&self.tables[of].scope, &graph.domains, value);
                let excluded = self.excludes(of, at);
                excluded.is_some_and(|excluded| excluded[value(v)] > 0.0)
            };
            laws.iter().any(at_law) || supports.iter().any(at_support)
        };
        let cells = self.tables[table].cells.iter().enumerate();
        let open = cells.filter(|(_, cell)| matches!(cell, Cell::Open));
        let open = open.map(|(at, _)| at);
        let closed: Vec<usize> = open.filter(|&at| is_impossible(at)).collect();
        drop(graph);
        let table = &mut self.tables[table];
        table.open -= closed.len();
        for &at in &closed {
            table.cells[at] = Cell::Closed;
        }
        !closed.is_empty()
    }

    /// Which values a support excludes, as far as known.
    fn excludes(&self, support: usize, at: usize) -> Option<&[f64]> {
        match self.tables[support].cells[at] {
            Cell::Told { run, case } => Some(self.runs[run].said(support)?.rows(case)),
            _ => None,
        }
    }
}
