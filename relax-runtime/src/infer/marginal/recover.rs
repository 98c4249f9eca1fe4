//! Recovers the choices that were summed out, from their posterior given everything else.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use super::eliminate::{Shares, Sum};
use super::factor::{Domain, place, rows, values_at};
use super::graph::Graph;
use super::nodes;
use super::search::Search;
use crate::dist::Law;
use crate::error::Result;
use crate::model::{
    BesideSum, GivenOthers, Recovered, RecoveredKept, RecoveredKnown, RecoveredSite,
    RecoveredValues, SummedOut,
};
use crate::random::{Key, Stream};
use crate::tensor::{Device, Shape, Tensor};

/// A sum, and the sites it sums over.
#[derive(Debug)]
pub(super) struct Summed {
    graph: Rc<RefCell<Graph>>,
    /// Observations that are not made at all values.
    partly_observed: Vec<usize>,
    sum: Sum,
    /// Its logarithm with each row counted once, computed on demand.
    once: OnceCell<f64>,
    sites: Vec<Site>,
    kept: Vec<Kept>,
    is_certain: bool,
}

/// A choice that was not summed out.
#[derive(Debug)]
struct Kept {
    name: Cow<'static, str>,
    /// Where no run reaches it.
    absences: Absences,
    /// The probability that a run reaches it.
    inclusion: f64,
}

#[derive(Debug)]
struct Site {
    name: Cow<'static, str>,
    first: usize,
    events: usize,
    law: Rc<dyn Law>,
    vertices: Rc<Vec<Vec<f32>>>,
    shape: Shape,
    device: Device,
    /// Whether it was integrated out.
    has_nodes: bool,
    /// For each event, the shares of its law's numbers in the sum, and where no run reaches the site.
    shares: Vec<(Vec<f64>, Absences)>,
    /// The probability that a run reaches it.
    inclusion: f64,
    /// The probability of each value of each event, `[rows, events, values]`, computed on demand.
    probabilities: OnceCell<Vec<f64>>,
}

/// Values of variables at which no run reaches a site.
#[derive(Debug)]
struct Absences {
    scope: Vec<usize>,
    absent: Vec<bool>,
}

impl Absences {
    fn of(search: &Search<'_>, term: usize) -> Self {
        let (scope, absent) = search.absences(term);
        Self { scope, absent }
    }

    fn holds(&self, drawn: &[Vec<usize>], domains: &[Domain]) -> bool {
        self.absent[place(&self.scope, domains, |v| drawn[v][0])]
    }

    /// The probability that a run reaches the site, from the shares of a term's numbers. Either all rows of a site are
    /// present, or none.
    fn inclusion(&self, shares: &[f64]) -> f64 {
        let first = &shares[..self.absent.len().min(shares.len())];
        let all: f64 = first.iter().sum();
        let pairs = first.iter().zip(&self.absent);
        let met = pairs.filter(|(_, absent)| !**absent);
        let met: f64 = met.map(|(share, _)| share).sum();
        match self.absent.contains(&true) {
            true => (met / all).min(1.0),
            // Avoids rounding in a sum of all shares.
            false => 1.0,
        }
    }

    /// The probabilities of a variable's values given that runs reach it, row by row, from the shares of its law.
    fn present(&self, variable: usize, shares: &[f64], domains: &[Domain]) -> Vec<f64> {
        let (size, width) = (domains[variable].size, self.absent.len());
        let mut found = vec![0.0; shares.len() / width.max(1) * size];
        for (at, share) in shares.iter().enumerate() {
            if !self.absent[at % width] {
                let values = values_at(&self.scope, domains, at % width);
                let own = values.iter().find(|(v, _)| *v == variable);
                found[at / width * size + own.map_or(0, |(_, value)| *value)] += share;
            }
        }
        for row in found.chunks_exact_mut(size) {
            let all: f64 = row.iter().sum();
            row.iter_mut().for_each(|p| *p /= all);
        }
        found
    }
}

impl Site {
    /// The probability of each value of each event, `[rows, events, values]`.
    fn probabilities(&self, domains: &[Domain]) -> &[f64] {
        self.probabilities.get_or_init(|| {
            let events = self.shares.iter().enumerate();
            let of_events: Vec<Vec<f64>> = events
                .map(|(event, (shares, absences))| {
                    absences.present(self.first + event, shares, domains)
                })
                .collect();
            let size = self.vertices.len();
            let rows = 0..rows(&domains[self.first].plates);
            let probabilities = rows.flat_map(|row| {
                let row = row * size..(row + 1) * size;
                of_events.iter().flat_map(move |event| &event[row.clone()])
            });
            probabilities.copied().collect()
        })
    }

    /// The maximum error of a row's evidence.
    fn error_of_nodes(&self, domains: &[Domain]) -> f64 {
        let rows = self
            .probabilities(domains)
            .chunks_exact(self.vertices.len());
        rows.map(nodes::error).fold(0.0, f64::max)
    }
}

impl Summed {
    pub(super) fn new(
        known: &Rc<RefCell<Graph>>,
        search: &Search<'_>,
        sum: Sum,
        shares: Shares,
    ) -> Self {
        let graph = known.borrow();
        let laws = search.shared.laws.borrow();
        let mut shares = shares.of_factors;
        let kept = search.shared.kept.borrow();
        let kept = kept.keys().filter_map(|name| {
            let term = graph.term_named(name)?;
            let absences = Absences::of(search, term);
            Some(Kept {
                name: Cow::Owned(name.clone()),
                inclusion: absences.inclusion(&shares[term]),
                absences,
            })
        });
        let kept = kept.collect();
        let sites = graph.sites.iter().enumerate().filter_map(|(number, site)| {
            let variables = site.first..site.first + site.events;
            let of_event = |v: usize| {
                let term = graph.law_of[v];
                (
                    std::mem::take(&mut shares[term]),
                    Absences::of(search, term),
                )
            };
            let shares: Vec<(Vec<f64>, Absences)> = variables.map(of_event).collect();
            let inclusion = shares
                .first()
                .map_or(1.0, |(shares, absences)| absences.inclusion(shares));
            Some(Site {
                name: site.name.clone(),
                first: site.first,
                events: site.events,
                law: Rc::clone(laws.get(&number)?),
                vertices: Rc::clone(&site.vertices),
                shape: site.shape,
                device: site.device.clone(),
                has_nodes: site.has_nodes,
                shares,
                inclusion,
                probabilities: OnceCell::new(),
            })
        });
        let sites = sites.collect();
        Self {
            sites,
            kept,
            once: OnceCell::new(),
            is_certain: graph.is_certain_or_tried(),
            partly_observed: search.partly_observed(),
            graph: Rc::clone(known),
            sum,
        }
    }
}

impl SummedOut for Summed {
    fn is_certain(&self) -> bool {
        self.is_certain
    }

    fn log_sum(&self) -> f64 {
        self.sum.log
    }

    fn log_sum_once(&self) -> f64 {
        *self.once.get_or_init(|| self.sum.log_once())
    }

    fn beside_sum(&self) -> BesideSum {
        let graph = self.graph.borrow();
        let rests = self.sum.rests();
        let terms = graph.terms.iter().zip(&rests).enumerate();
        let met = terms.filter(|(_, (term, _))| term.sum == graph.sums);
        let observed = met.filter_map(|(number, (term, rest))| {
            let weight = term.observed?;
            Some(GivenOthers {
                name: term.name.clone(),
                plates: self.sum.plates_of(number),
                is_everywhere: !self.partly_observed.contains(&number),
                log_densities: self.sum.given_the_others(rest, number, weight),
            })
        });
        let kept = self.kept.iter().filter(|kept| {
            let term = graph.term_named(&kept.name);
            term.is_some_and(|term| !graph.terms[term].scope.is_empty())
        });
        BesideSum {
            observed: observed.collect(),
            following: kept.map(|kept| kept.name.clone()).collect(),
        }
    }

    fn recover(&self, key: Key) -> Result<Recovered> {
        let mut stream = key.stream("recovered");
        let drawn = self.sum.draw(&mut stream);
        let domains = &self.sum.domains;
        let is_absent = |absences: &Absences| absences.holds(&drawn, domains);
        let mut sites = Vec::with_capacity(self.sites.len());
        for site in self.sites.iter().filter(|site| site.inclusion > 0.0) {
            // Either all events of a site are present, or none.
            let first = site.shares.first();
            let value = match first.is_some_and(|(_, absences)| is_absent(absences)) {
                true => None,
                false => Some(self.value(site, &drawn, &mut stream)?),
            };
            let known = match site.has_nodes {
                true => RecoveredKnown::Nodes {
                    error: site.error_of_nodes(domains),
                },
                false => RecoveredKnown::Values(RecoveredValues {
                    probabilities: site.probabilities(domains).to_vec(),
                    vertices: Rc::clone(&site.vertices),
                }),
            };
            sites.push(RecoveredSite {
                name: site.name.clone(),
                value,
                inclusion: site.inclusion,
                law: Rc::clone(&site.law),
                known,
            });
        }
        let kept = self.kept.iter().map(|kept| RecoveredKept {
            name: kept.name.clone(),
            inclusion: kept.inclusion,
            is_met: !is_absent(&kept.absences),
        });
        Ok(Recovered {
            sites,
            kept: kept.collect(),
        })
    }
}

impl Summed {
    /// A site's value in a draw.
    fn value(&self, site: &Site, drawn: &[Vec<usize>], stream: &mut Stream) -> Result<Tensor> {
        let mut vertex = Vec::with_capacity(site.shape.numel());
        for row in 0..drawn[site.first].len() {
            for of_event in &drawn[site.first..][..site.events] {
                vertex.extend_from_slice(&site.vertices[of_event[row]]);
            }
        }
        if site.has_nodes {
            let probabilities = self.sum.given_others(site.first, drawn);
            nodes::between(&mut vertex, &probabilities, || stream.uniform_f64());
        }
        let vertex = Tensor::from_vec(vertex, site.shape, &site.device)?;
        let value = match site.has_nodes {
            true => nodes::drawn(&*site.law, site.shape, drawn)?.draw(&vertex),
            false => site.law.value_at(&vertex),
        };
        value.check().cloned()
    }
}
