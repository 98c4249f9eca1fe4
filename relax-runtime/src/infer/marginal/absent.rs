//! Choices that no run of a sum reaches: choices that are left, the same in all runs, decide about them, as a drawn
//! number of rounds does about the tosses in each.
//!
//! Nothing depends on such a choice in this sum. Without it, terms have as many numbers as the choices present have
//! combinations, however many others earlier sums reached.

use super::eliminate::order;
use super::graph::{Graph, Part};
use super::search::Search;
use crate::error::Result;

impl Search<'_> {
    /// Which variables the first run shows to be absent from all runs: those it did not reach, if nothing that another
    /// run may choose decides about that.
    pub(super) fn never_met(&self) -> Vec<bool> {
        let ran = &self.runs[0];
        if ran.excluded.is_some() || ran.values.iter().all(Option::is_some) {
            return Vec::new();
        }
        let graph = &mut *self.shared.graph.borrow_mut();
        let mut absent = vec![false; ran.values.len()];
        for (v, value) in ran.values.iter().enumerate() {
            let mut scope = graph.terms[graph.law_of[v]].scope.iter();
            absent[v] = value.is_none() && scope.all(|&w| w == v || absent[w]);
        }
        if !absent.contains(&true) {
            return Vec::new();
        }
        graph.comes_and_goes = true;
        absent
    }

    /// Whether a run has reached a variable that was assumed absent.
    pub(super) fn comes_by_absent(&self, run: usize) -> bool {
        let mut pairs = self.absent.iter().zip(&self.runs[run].values);
        pairs.any(|(&absent, value)| absent && value.is_some())
    }

    /// The variables on which a term depends in this sum. An absent choice still has its own law.
    pub(super) fn scope(&self, graph: &Graph, term: usize) -> Vec<usize> {
        let term = &graph.terms[term];
        let is_there = |v: &usize| {
            let is_own = matches!(term.part, Part::Law { variable, .. } if variable == *v);
            is_own || !self.absent.get(*v).is_some_and(|&absent| absent)
        };
        term.scope.iter().copied().filter(is_there).collect()
    }

    /// The order in which variables are summed out.
    ///
    /// # Errors
    /// If that takes tables that are too large, or too many runs.
    pub(super) fn order(&self) -> Result<Vec<usize>> {
        let mut graph = self.shared.graph.borrow_mut();
        if self.absent.is_empty() {
            return graph.order();
        }
        if let Some((absent, order)) = &graph.order_without
            && *absent == self.absent
        {
            return Ok(order.clone());
        }
        let terms = graph.terms.iter().zip(&self.tables);
        let factors = terms.filter(|(term, _)| term.is_factor());
        let scopes = factors.map(|(_, table)| table.scope.clone());
        let order = order(scopes, &graph.domains, |v| graph.name(v))?;
        graph.order_without = Some((self.absent.clone(), order.clone()));
        Ok(order)
    }
}
