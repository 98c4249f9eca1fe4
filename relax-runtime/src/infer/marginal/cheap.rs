//! Which sums are taken where nobody has asked for one.

use super::factor::{rows, within};
use super::graph::{Graph, Term};
use super::nodes::{self, Names};
use super::{MOST_SITES_UNASKED, Marginalised};
use crate::model::{Context, Entry, Kind, Model, ParamStore, Trace};
use crate::random::Key;

/// Numbers of rows that a sum's runs may come to, and what each term counts beside.
const MOST_WORK: usize = 2_000_000;
const TERM: usize = 100;

impl<M: Model> Marginalised<M> {
    /// Gives up early, where nobody has asked for the sum.
    pub(in crate::infer) fn if_few_sites(self) -> Self {
        Self {
            most_sites: MOST_SITES_UNASKED,
            ..self
        }
    }
}

impl<M: Model + Clone> Marginalised<M> {
    /// The sum to take where nobody has asked for one; nothing where there is none to take, or it takes more work than
    /// some runs of the model. Where nothing is left to train, more are worth it. With the first values of parameters.
    ///
    /// A Gaussian number in each row of a plate is integrated out if it is the only one there and shares a term with a
    /// discrete choice of the same row: given what else is known, its law is a mixture by that choice.
    pub(in crate::infer) fn if_cheap(&self, params: &ParamStore) -> Option<Self> {
        let trace = self.cheap_trace(params)?;
        let names = self.candidates(&trace);
        if !names.is_empty() {
            let further = self.clone().integrating(names);
            if further.cheap_trace(params).is_some() && further.nodes_meet_choices() {
                return Some(further);
            }
        }
        Some(self.clone())
    }

    /// What is left of the model, if its sum is cheap.
    fn cheap_trace(&self, params: &ParamStore) -> Option<Trace> {
        let trial = || {
            let context = Context::new(Key::new(0), None, params.fork());
            self.run(&context)?;
            Ok::<_, crate::Error>(context.finish().0)
        };
        // The second sum finds all terms, and makes no more runs than it needs.
        let (Ok(_), Ok(trace)) = (trial(), trial()) else {
            return None;
        };
        let graph = self.graph.borrow();
        let nothing_left = trace.entries().len() == 1;
        let rows = |term: &Term| TERM + rows(&term.plates);
        // One run with cases has as much to compute as runs for them.
        let runs = (graph.plan.len() + 1).max(graph.most_combinations());
        let work = runs * graph.terms.iter().map(rows).sum::<usize>();
        let is_cheap = !graph.sites.is_empty() && (nothing_left || work <= MOST_WORK);
        is_cheap.then_some(trace)
    }

    /// Choices that were not summed out, and could be integrated out: one in a plate, beside a discrete choice of the same
    /// rows.
    fn candidates(&self, trace: &Trace) -> Names {
        let graph = self.graph.borrow();
        let fits = |entry: &&Entry| {
            let is_left = entry.written == Kind::Latent && entry.kind == Kind::Latent;
            let counts_once = entry.weight.is_none() && entry.scale == 1.0;
            let law = entry
                .dist
                .as_ref()
                .and_then(|dist| Some((dist, dist.law().ok()?)));
            is_left
                && counts_once
                && !entry.plates.is_empty()
                && entry.estimator.is_none()
                && law.is_some_and(|(dist, law)| nodes::fits(&**dist, &*law, &entry.plates))
                && graph.sites.iter().any(|site| {
                    let own = &graph.domains[site.first].plates;
                    own.len() == entry.plates.len() && within(own, &entry.plates)
                })
        };
        let all: Vec<&Entry> = trace.entries().iter().filter(fits).collect();
        let is_alone = |entry: &&&Entry| {
            let others = all
                .iter()
                .filter(|other| within(&other.plates, &entry.plates));
            others.count() == 1
        };
        all.iter()
            .filter(is_alone)
            .map(|entry| entry.name.to_string())
            .collect()
    }

    /// Whether every choice that is integrated out shares a term with a discrete one of the same rows.
    fn nodes_meet_choices(&self) -> bool {
        let graph = &*self.graph.borrow();
        let mut nodes = graph.sites.iter().filter(|site| site.has_nodes);
        nodes.all(|site| graph.meets_choice(site.first))
    }
}

impl Graph {
    /// Whether a term has a variable and a discrete choice of the same rows.
    fn meets_choice(&self, variable: usize) -> bool {
        let plates = &self.domains[variable].plates;
        let is_discrete = |v: &usize| {
            let own = &self.domains[*v].plates;
            !self.owner(*v).has_nodes && own.len() == plates.len() && within(own, plates)
        };
        let mut terms = self.terms.iter();
        terms
            .any(|term| term.scope.contains(&variable) && term.scope.iter().any(|v| is_discrete(v)))
    }
}
