//! Finds on which variables a term depends, if only runs can tell: if a term has different numbers in two runs although
//! all variables it is known to depend on agree, it depends on another variable in which the runs differ. Bisection
//! finds it.

use super::search::Search;
use crate::error::{Error, Result};

/// Number of tries to find a run between two others if halves are impossible.
const DETOURS: usize = 32;

impl Search<'_> {
    /// Finds what terms with two numbers depend on.
    pub(super) fn resolve(&mut self) -> Result<()> {
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

    /// Finds a variable on which a term depends, among those in which two runs differ.
    fn halve(&mut self, term: usize, mut low: usize, mut high: usize) -> Result<()> {
        loop {
            let differing = self.differing(term, low, high);
            match differing[..] {
                [] => {
                    let graph = self.shared.graph.borrow();
                    let name = &graph.terms[term].name;
                    return Err(Error::Inconsistent(format!(
                        "`{name}` had two log-probabilities with the same choices; a model that is \
                         summed over must be a function of its choices alone: use no random numbers \
                         but those of `sample!`"
                    )));
                }
                [variable] => return self.grow(term, &[variable]),
                _ => {}
            }
            let Some(middle) = self.between(term, low, high, &differing)? else {
                // Values of probability 0 lie between: take all of them.
                return self.grow(term, &differing);
            };
            match self.says_as(term, middle, low) {
                true => low = middle,
                false => high = middle,
            }
        }
    }

    /// The variables in which two runs differ and on which a term may depend.
    fn differing(&self, term: usize, a: usize, b: usize) -> Vec<usize> {
        let graph = self.shared.graph.borrow();
        let of = |run: usize, v: usize| self.asked[run].get(v).copied().unwrap_or(0);
        (0..graph.domains.len())
            .filter(|&v| of(a, v) != of(b, v) && graph.may_depend(term, v))
            .collect()
    }

    /// A run between two others that says something about a term: its values are from either of them, and it differs
    /// from the one that disagrees in fewer variables than they differ from each other. `None` if none is found.
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
        // A run that does not reach some choices does not have the values it was given for them: it may be as far from
        // the remaining end as the other end is.
        let is_nearer = |search: &Self, middle: usize| {
            let left = match search.says_as(term, middle, low) {
                true => high,
                false => low,
            };
            let apart = search.differing(term, middle, left).len();
            search.said(term, middle).is_some() && (1..differing.len()).contains(&apart)
        };
        let (first, second) = differing.split_at(differing.len() / 2);
        for half in [first, second] {
            let mut values = ends[0].clone();
            half.iter().for_each(|&v| values[v] = ends[1][v]);
            let middle = self.run_once(values)?;
            if is_nearer(self, middle) {
                return Ok(Some(middle));
            }
        }
        // Not every half is possible: look for values that are, as far as known.
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
            let middle = self.add(&values)?;
            if is_nearer(self, middle) {
                return Ok(Some(middle));
            }
        }
        Ok(None)
    }

    /// The run at these values, which may have been made for another term.
    fn run_once(&mut self, values: Vec<usize>) -> Result<usize> {
        if let Some(&run) = self.between.get(&values) {
            return Ok(run);
        }
        let run = self.add(&values)?;
        self.between.insert(values, run);
        Ok(run)
    }

    /// Adds variables to the scope of a term.
    fn grow(&mut self, term: usize, variables: &[usize]) -> Result<()> {
        self.has_grown = true;
        let mut grown = Vec::new();
        for &v in variables {
            grown.extend(self.shared.graph.borrow_mut().depends(term, v));
        }
        grown.sort_unstable();
        grown.dedup();
        grown.retain(|&term| term < self.tables.len());
        self.reopen_after(&grown);
        for term in grown {
            self.empty(term)?;
            self.tell(term);
        }
        Ok(())
    }
}
