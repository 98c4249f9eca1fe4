//! The sites that are summed out, and their values.

use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::super::factor::Domain;
use super::super::nodes;
use super::{FIRST_SITE, Graph, MOST_VALUES, Part, same_sizes};
use crate::dist::{Form, Law, law_of_counts};
use crate::error::{Error, Result};
use crate::model::Plate;
use crate::tensor::{AllCases, Device, Shape, Tensor};

/// A site that is summed out.
#[derive(Clone, Debug)]
pub(in super::super) struct Site {
    pub(in super::super) name: Cow<'static, str>,
    pub(in super::super) distribution: &'static str,
    /// Its first variable; each event of a row is one.
    pub(in super::super) first: usize,
    pub(in super::super) events: usize,
    /// The values of an event as vertices.
    pub(in super::super) vertices: Rc<Vec<Vec<f32>>>,
    form: Form,
    /// The values where they are counts: those of all laws that runs have met here.
    counts: Option<RangeInclusive<usize>>,
    /// The law of all of them, once some run has met others than the first one.
    wide: Option<Rc<dyn Law>>,
    /// Values that were made, by their numbers.
    made: FxHashMap<Vec<usize>, Tensor>,
    /// All values in order, where there is one event.
    cases: Option<Rc<AllCases>>,
    /// Whether it is integrated out: its values are nodes of Gaussian noise.
    pub(in super::super) has_nodes: bool,
    /// The logarithms of the nodes' weights, for rows of these sizes.
    weights: Option<(Vec<usize>, Rc<AllCases>)>,
    pub(in super::super) shape: Shape,
    value_shape: Shape,
    /// The sum in which a run met it last.
    sum: u64,
    pub(in super::super) device: Device,
}

/// The values that each event of a site may have.
pub(in super::super) struct Values<'a> {
    /// The shape of all of a site's events as vertices, and how many numbers each is.
    pub(in super::super) shape: Shape,
    pub(in super::super) width: usize,
    pub(in super::super) count: usize,
    pub(in super::super) vertices: &'a dyn Fn() -> Vec<Vec<f32>>,
    pub(in super::super) form: Form,
    /// The values where they are counts.
    pub(in super::super) counts: Option<RangeInclusive<usize>>,
    /// The shape of a value.
    pub(in super::super) value_shape: Shape,
    /// Whether they are nodes of Gaussian noise.
    pub(in super::super) are_nodes: bool,
}

impl Site {
    /// Whether another run's law has values of the same kind: counts, of any range, or the same values.
    fn is_like(&self, values: &Values<'_>) -> bool {
        self.form == values.form
            && match (&self.counts, &values.counts) {
                (Some(_), Some(_)) => true,
                (None, None) if self.vertices.len() != values.count => false,
                (None, None) if self.form != Form::Other || self.has_nodes => true,
                (None, None) => *self.vertices == (values.vertices)(),
                _ => false,
            }
    }

    /// The least of the values where they are counts, or numbers of categories.
    pub(in super::super) fn least(&self) -> usize {
        self.counts.as_ref().map_or(0, |counts| *counts.start())
    }

    /// Where a law's counts are among all values of the site, if some of these are not the law's.
    pub(in super::super) fn own(
        &self,
        counts: Option<&RangeInclusive<usize>>,
    ) -> Option<Range<usize>> {
        let (all, own) = (self.counts.as_ref()?, counts?);
        let from = own.start() - all.start();
        (all != own).then(|| from..from + own.clone().count())
    }

    /// The law of all values, where runs differ in which there are.
    pub(in super::super) fn wide(&self) -> Option<Rc<dyn Law>> {
        self.wide.clone()
    }

    /// Has a law of all counts say what the values are.
    fn widen(&mut self) -> Result<()> {
        let Some(counts) = &self.counts else {
            return Ok(());
        };
        let law = law_of_counts(counts, self.value_shape, &self.device)?;
        self.shape = law.draw_shape();
        if let Some(relaxation) = law.relaxation() {
            self.vertices = Rc::new(relaxation.vertices(relaxation.width(&self.shape)));
        }
        self.wide = Some(law);
        Ok(())
    }
}

impl Graph {
    /// Whether sites that both know have as many events, and values of the same kind.
    pub(in super::super) fn has_sites_of(&self, other: &Self) -> bool {
        other.sites.iter().all(|site| {
            let known = self.site(&site.name).map(|known| &self.sites[known]);
            known.is_none_or(|known| {
                let is_like = known.form == site.form
                    && known.counts.is_some() == site.counts.is_some()
                    && (known.counts.is_some() || known.vertices == site.vertices);
                known.events == site.events && is_like
            })
        })
    }

    /// The site of a name that a run has come by, whose law has these values. Of counts it may be another range than
    /// before: the site has the values of both then, and what runs have told is to be forgotten.
    ///
    /// # Errors
    /// If it had other events before, or values of another kind.
    pub(in super::super) fn meet(
        &mut self,
        name: &str,
        law: &dyn Law,
        plates: &Rc<[Plate]>,
        values: Values<'_>,
    ) -> Result<usize> {
        let (shape, device) = (values.shape, law.device());
        let rows: usize = plates.iter().map(|plate| plate.size).product();
        let events = shape.numel() / values.width.max(1) / rows.max(1);
        let count = values.count;
        if let Some(&site) = self.site_of.get(name) {
            let known = &mut self.sites[site];
            if known.events != events || !known.is_like(&values) {
                return Err(Error::Inconsistent(format!(
                    "it has {events} choices of {count} values, but had {} of {} in another run, or values of another \
                     kind; sites that are summed out keep theirs, but for ranges of counts: give others another name, \
                     as by `name = format!(\"x of {{n}}\")`, or give all categories, and those that cannot be \
                     probability 0",
                    known.events,
                    known.vertices.len()
                )));
            }
            let mut others = self.domains[known.first..][..events].iter();
            let has_other_rows = |domain: &Domain| {
                let same = same_sizes(&domain.plates, plates);
                same < plates.len().max(domain.plates.len())
            };
            if known.sum == self.sums && others.any(has_other_rows) {
                return Err(Error::Enumeration(
                    "how many rows the plate around it has follows from choices that are summed out; draw such choices \
                     (`draw_all`, or `only` without them), or let a `for` loop make the choices of the rows"
                        .into(),
                ));
            }
            known.sum = self.sums;
            let hull = match (&known.counts, &values.counts) {
                (Some(all), Some(own)) => {
                    let (low, high) = (all.start().min(own.start()), all.end().max(own.end()));
                    Some(*low..=*high)
                }
                _ => None,
            };
            if hull
                .as_ref()
                .is_some_and(|all| all.end() - all.start() >= MOST_VALUES)
            {
                return Err(Error::Enumeration(format!(
                    "its ranges in several runs have more than {MOST_VALUES} values between them; sum fewer sites out \
                     (`only`)"
                )));
            }
            let is_wider = hull != known.counts;
            // Laws of a part of the values, too, are told apart from one of all of them.
            let is_wide = known.wide.is_some() || is_wider || hull != values.counts;
            known.counts = hull;
            // A law of all values has a shape of its own.
            let has_moved = match &known.wide {
                Some(_) => known.value_shape != values.value_shape,
                None => is_wide || known.shape != shape,
            };
            if is_wider || has_moved || known.device != device {
                known.made.clear();
                (known.cases, known.weights) = (None, None);
                (known.shape, known.device) = (shape, device);
                known.value_shape = values.value_shape;
                if is_wide {
                    known.widen()?;
                }
            }
            if is_wider {
                let count = known.vertices.len();
                let variables = known.first..known.first + events;
                self.domains[variables]
                    .iter_mut()
                    .for_each(|of| of.size = count);
                self.has_widened = true;
                (self.order, self.order_without) = (None, None);
                // These name values by numbers, and take all to have been tried.
                self.plan = Rc::default();
                self.tried.clear();
            }
            let known = &self.sites[site];
            for domain in &mut self.domains[known.first..][..events] {
                if !Rc::ptr_eq(&domain.plates, plates) {
                    domain.plates = Rc::clone(plates);
                }
            }
            return Ok(site);
        }
        let site = self.sites.len();
        let first = self.domains.len();
        self.sites.push(Site {
            name: name.to_owned().into(),
            distribution: law.name(),
            first,
            events,
            vertices: Rc::new((values.vertices)()),
            form: values.form,
            counts: values.counts,
            wide: None,
            value_shape: values.value_shape,
            sum: self.sums,
            made: FxHashMap::default(),
            cases: None,
            has_nodes: values.are_nodes,
            weights: None,
            shape,
            device,
        });
        self.site_of.insert(name.to_owned().into(), site);
        for event in 0..events {
            self.domains.push(Domain {
                size: count,
                plates: Rc::clone(plates),
            });
            self.owner.push(site);
            let variable = first + event;
            let term = self.term(name, Part::Law { event, variable }, plates);
            self.law_of.push(term);
            self.support_of.push(None);
        }
        self.order = None;
        Ok(site)
    }

    /// A value of a site of which each event's is given by number: the same in each row.
    pub(in super::super) fn value(
        &mut self,
        site: usize,
        values: &[usize],
        law: &dyn Law,
    ) -> Result<Tensor> {
        let site = &mut self.sites[site];
        if let Some(value) = site.made.get(values) {
            return Ok(value.clone());
        }
        let row: Vec<f32> = values
            .iter()
            .flat_map(|&value| &site.vertices[value])
            .copied()
            .collect();
        let rows = site.shape.numel() / row.len().max(1);
        let vertex = Tensor::from_vec(row.repeat(rows), site.shape, &site.device)?;
        let value = law.value_at(&vertex).check()?.clone();
        site.made.insert(values.to_vec(), value.clone());
        Ok(value)
    }

    /// All values of a site of one event, in order; sites that have the same share them.
    pub(in super::super) fn cases(&mut self, site: usize, law: &dyn Law) -> Result<Rc<AllCases>> {
        if let Some(cases) = &self.sites[site].cases {
            return Ok(Rc::clone(cases));
        }
        let size = self.sites[site].vertices.len();
        let made = (0..size).map(|value| self.value(site, &[value], law));
        let made: Vec<Tensor> = made.collect::<Result<_>>()?;
        let is_same = |a: &Tensor, b: &Tensor| -> Result<bool> {
            let is_like = a.shape() == b.shape() && a.device() == b.device();
            Ok(is_like && a.with_values(|a| b.with_values(|b| a == b))??)
        };
        let mut cases = None;
        for other in self.sites.iter().filter_map(|site| site.cases.as_ref()) {
            let mut is_equal = other.count() == size;
            for (a, b) in made.iter().zip(other.each()) {
                is_equal = is_equal && is_same(a, b)?;
            }
            if is_equal {
                cases = Some(Rc::clone(other));
                break;
            }
        }
        let cases = cases.unwrap_or_else(|| Rc::new(AllCases::apart(made)));
        self.sites[site].cases = Some(Rc::clone(&cases));
        Ok(cases)
    }

    /// The logarithms of the weights of a site's nodes, for rows of these sizes.
    pub(in super::super) fn weights(
        &mut self,
        site: usize,
        sizes: Vec<usize>,
        law: &dyn Law,
    ) -> Result<Rc<AllCases>> {
        let site = &mut self.sites[site];
        match &site.weights {
            Some((known, weights)) if *known == sizes => Ok(Rc::clone(weights)),
            _ => {
                let weights = nodes::weights(&sizes, law)?;
                site.weights = Some((sizes, Rc::clone(&weights)));
                Ok(weights)
            }
        }
    }

    /// Whether any site is integrated out.
    pub(in super::super) fn has_nodes(&self) -> bool {
        self.sites.iter().any(|site| site.has_nodes)
    }

    /// Whether a law depends on a choice that is integrated out.
    pub(in super::super) fn follows_node(&self, law: &dyn Law) -> bool {
        law.parameters().iter().any(|parameter| {
            let sites = parameter.sites();
            let of_sites = self.sites.iter().enumerate();
            let mut nodes = of_sites.filter(|(_, site)| site.has_nodes);
            let cases = parameter.cases();
            nodes.any(|(number, site)| {
                let mut choices = cases.iter().flat_map(|cases| &cases.choices);
                sites.contains(FIRST_SITE + number) || choices.any(|of| of.variable == site.first)
            })
        })
    }
}
