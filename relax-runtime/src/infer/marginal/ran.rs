//! What one run has told: the values of its choices, its numbers of each term that it reached, and what it left: its
//! parameters, the choices that are not summed out, and what host code has read.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::factor::Domain;
use super::graph::{Graph, Part};
use super::met::Met;
use super::said::{Got, Lists, Said};
use super::slopes::Slopes;
use crate::dist::{Law, Number, Value};
use crate::error::{Error, Result};
use crate::model::{Entry, Kind, Trace};
use crate::tensor::{Choice, Shape, SiteSet, Tensor};

/// What one run has told.
pub(super) struct Ran {
    /// The index of each variable's value, if the run reached it.
    pub(super) values: Vec<Option<usize>>,
    /// What it told about each term.
    terms: Vec<Told>,
    /// Whether what it told about cases was lost.
    pub(super) is_lost: bool,
    /// Terms that the run did not reach and for whose choice another density stands in.
    pub(super) stood_in: Vec<usize>,
    /// The variable at whose value the run ended.
    pub(super) excluded: Option<usize>,
    /// The trace's entries of parameters and of choices that are not summed out.
    pub(super) left: Vec<Entry>,
    /// The error of its first observation that lies outside its distribution's support whatever the parameters.
    pub(super) mistake: Option<Error>,
    /// The sites that host code has read.
    pub(super) reads: SiteSet,
    /// In the first sum, the slopes of terms whose parameters host code may have chosen by what it read.
    slopes: FxHashMap<usize, Slopes>,
    /// Whether there are such terms, whose slopes are to be found by a run in which parameters move.
    pub(super) lacks_slopes: bool,
    /// Size of the trace, in numbers.
    pub(super) elements: usize,
    /// Terms whose scopes have grown because of this run.
    pub(super) grown: Vec<usize>,
}

/// Whether a run tells a term's number.
#[derive(Clone, Debug, Default)]
enum Told {
    /// It did not reach the term.
    #[default]
    No,
    /// Another run has told it.
    Before,
    Here(Said),
}

/// Whether other runs have told a term's number at values by variable, given the variables' domains.
pub(super) type IsTold<'a> = dyn Fn(usize, &[Option<usize>], &[Domain]) -> bool + 'a;

impl Ran {
    /// What is known about a run before its trace is read.
    pub(super) fn new(reads: SiteSet, excluded: Option<usize>) -> Self {
        Self {
            values: Vec::new(),
            terms: Vec::new(),
            is_lost: false,
            stood_in: Vec::new(),
            excluded,
            left: Vec::new(),
            mistake: None,
            slopes: FxHashMap::default(),
            lacks_slopes: false,
            elements: 0,
            reads,
            grown: Vec::new(),
        }
    }

    /// What the run says about a term.
    pub(super) fn said(&self, term: usize) -> Option<&Said> {
        match self.terms.get(term)? {
            Told::Here(said) => Some(said),
            Told::No | Told::Before => None,
        }
    }

    /// Whether the run reached a term.
    pub(super) fn has_met(&self, term: usize) -> bool {
        !matches!(self.terms.get(term), None | Some(Told::No))
    }

    /// The slopes of a term, if they were computed.
    pub(super) fn slopes(&self, term: usize) -> Option<&Slopes> {
        self.slopes.get(&term)
    }

    /// Takes the slopes of terms from a run with the same values, in which parameters move.
    pub(super) fn take_slopes(&mut self, moving: Self) {
        self.slopes = moving.slopes;
    }

    /// Notes what the run says about a term.
    pub(super) fn tell(&mut self, term: usize, said: Said) {
        self.set(term, Told::Here(said));
    }

    fn set(&mut self, term: usize, told: Told) {
        if self.terms.len() <= term {
            self.terms.resize_with(term + 1, Told::default);
        }
        self.terms[term] = told;
    }

    /// Reads the terms off the trace.
    pub(super) fn read(
        &mut self,
        graph: &mut Graph,
        trace: Trace,
        met: Vec<Met>,
        is_told: &IsTold<'_>,
    ) -> Result<()> {
        self.values = vec![None; graph.domains.len()];
        let mut lists = Lists::default();
        let mut laws: FxHashMap<usize, Rc<dyn Law>> = FxHashMap::default();
        for met in met {
            let Met { site, values, .. } = &met;
            let first = graph.sites[*site].first;
            self.read_support(graph, &met)?;
            for (event, &value) in values.iter().enumerate() {
                self.values[first + event] = Some(value);
            }
            if let (true, Some(law)) = (values.len() > 1, met.law) {
                laws.insert(met.site, law);
            }
        }
        trace.take_apart(|entry| {
            let entry = &*entry;
            if entry.kind == Kind::Param
                || (entry.written == Kind::Latent && graph.site(&entry.name).is_none())
            {
                self.left.push(entry.clone());
            }
            self.elements += entry.value.shape().numel();
            if self.mistake.is_none() {
                self.mistake = entry.mistake();
            }
            let at = |error| entry.locate(error);
            match entry.kind {
                Kind::Param => return Ok(()),
                Kind::Cost => {
                    return Err(at(Error::Model(
                        "a `cost!` is not part of the log-probability, over which choices are summed \
                         out; use `factor!`, or let the choices be drawn"
                            .into(),
                    )));
                }
                Kind::Latent | Kind::Observed | Kind::Factor => {}
            }
            let is_choice = entry.kind == Kind::Latent;
            let site = is_choice.then(|| graph.site(&entry.name)).flatten();
            let site = site.filter(|site| self.values[graph.sites[*site].first].is_some());
            let law = site.and_then(|site| laws.get(&site));
            match (site, law) {
                (Some(site), Some(law)) => {
                    let density = law.log_density(&entry.value.to_tensor()?);
                    let (first, events) = (graph.sites[site].first, graph.sites[site].events);
                    let mut shape = entry.sizes();
                    shape.push(events);
                    let shape = Shape::try_from(&shape[..]).map_err(at)?;
                    let density = density.reshape(shape);
                    for event in 0..events {
                        let one = density.index(-1, event);
                        let number = Number::Tensor(one.check().map_err(at)?.clone());
                        let variable = first + event;
                        let part = Part::Law { event, variable };
                        let term = graph.term(&entry.name, part, &entry.plates);
                        self.take(graph, entry, number, term, &mut lists)?;
                    }
                }
                _ => {
                    let law = |site: usize| Part::Law {
                        event: 0,
                        variable: graph.sites[site].first,
                    };
                    let part = site.map_or(Part::Whole, law);
                    let term = graph.term(&entry.name, part, &entry.plates);
                    let is_observed = entry.kind == Kind::Observed;
                    graph.terms[term].observed = is_observed.then(|| entry.weight_factor());
                    let node = site.filter(|&site| graph.sites[site].has_nodes);
                    match (is_told(term, &self.values, &graph.domains), node) {
                        (true, _) => self.set(term, Told::Before),
                        (false, None) => {
                            self.take(graph, entry, entry.log_prob()?, term, &mut lists)?;
                        }
                        (false, Some(site)) => {
                            let weight = self.weight(graph, entry, site)?;
                            self.take(graph, entry, weight, term, &mut lists)?;
                        }
                    }
                }
            }
            Ok(())
        })
    }

    /// The logarithm of the weight of a site's node, in place of its density.
    fn weight(&self, graph: &mut Graph, entry: &Entry, site: usize) -> Result<Number> {
        let (Some(dist), Value::Tensor(value)) = (&entry.dist, &entry.value) else {
            return entry.log_prob();
        };
        let variable = graph.sites[site].first;
        let weights = graph.weights(site, entry.sizes(), &*dist.law()?)?;
        let here = self.values[variable].unwrap_or(0);
        let choice = Choice {
            variable,
            size: weights.count(),
        };
        let with_cases = value
            .cases()
            .and_then(|_| Tensor::of_choice(choice, &weights, here));
        Ok(Number::Tensor(
            with_cases.unwrap_or_else(|| weights.at(here).clone()),
        ))
    }

    /// Notes which values of a site have probability 0.
    fn read_support(&mut self, graph: &mut Graph, met: &Met) -> Result<()> {
        let (site, events) = (met.site, met.values.len());
        let size = graph.sites[site].vertices.len();
        let (Some((excluded, seen)), Some(law)) = (&met.excluded, &met.law) else {
            // If some run excludes a value, the others say that they do not.
            let first = graph.sites[site].first;
            let none = Got::of_flags(&vec![false; size]);
            for v in first..first + events {
                if let Some(term) = graph.support_of[v] {
                    self.tell(term, none.clone().into());
                }
            }
            return Ok(());
        };
        let computed = law.parameters().remove(0).sites();
        for event in 0..events {
            let term = graph.support(site, event);
            if graph.see(term, seen, Some(&computed)) {
                self.grown.push(term);
            }
            let flags = &excluded[event * size..][..size];
            self.tell(term, Got::of_flags(flags).into());
        }
        Ok(())
    }

    /// Notes a term's number.
    fn take(
        &mut self,
        graph: &mut Graph,
        entry: &Entry,
        number: Number,
        term: usize,
        lists: &mut Lists,
    ) -> Result<()> {
        let number = entry.weighed(number).map_err(|error| entry.locate(error))?;
        let mut number = number.scale(entry.weight_factor());
        if let Some(even) = graph.terms[term].even_plates {
            number = added_up(number, entry, even).map_err(|error| entry.locate(error))?;
        }
        let computed = match &number {
            Number::Tensor(t) => Some(t.sites()),
            Number::Host(_) => None,
        };
        if graph.see(term, &entry.influence, computed.as_ref()) {
            self.grown.push(term);
        }
        if let Number::Tensor(numbers) = &number
            && graph.sums == 1
            && numbers.cases().is_none()
            && graph.is_open(term)
        {
            self.lacks_slopes |= numbers.is_tracked();
            let slopes = Slopes::of(numbers).map_err(|error| entry.locate(error))?;
            self.slopes.insert(term, slopes);
        }
        let said = Said::of(number, lists).map_err(|error| entry.locate(error))?;
        if !said.is_sound_here() {
            let problem = match entry.kind {
                Kind::Factor => {
                    "the factor is not a number, or infinite, at values that are summed over; check what \
                     computes it there"
                }
                _ => {
                    "its log-probability is not a number, or infinite, at values that are summed over; \
                     check the parameters there"
                }
            };
            return Err(entry.locate(Error::Value(problem.into())));
        }
        // A case whose number cannot be a log-probability may be impossible, which other runs will tell.
        let scope = &graph.terms[term].scope;
        let is_known = |choice: &Choice| scope.contains(&choice.variable);
        self.is_lost |= !said.is_sound() || !said.choices.iter().all(is_known);
        self.tell(term, said);
        Ok(())
    }
}

/// Sums a number over all plates but the first `even` ones, as the others differ in size between runs.
fn added_up(number: Number, entry: &Entry, even: usize) -> Result<Number> {
    let mut others = entry.plates.iter().skip(even);
    if others.any(|plate| plate.scale != 1.0) {
        return Err(Error::Plates(
            "the number of rows of its plate depends on choices that are summed out, so they cannot stand for more \
             rows (`of = ..`)"
                .into(),
        ));
    }
    Ok(match number {
        Number::Tensor(t) if t.rank() > even => Number::Tensor(t.sum_from(even).check()?.clone()),
        number => number,
    })
}
