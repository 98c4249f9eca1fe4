//! The sites that are summed out, and their values.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::{Range, RangeInclusive};
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHasher};

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
    /// Its first variable; each event of a row is a variable.
    pub(in super::super) first: usize,
    pub(in super::super) events: usize,
    /// The values of an event as vertices.
    pub(in super::super) vertices: Rc<Vec<Vec<f32>>>,
    form: Form,
    /// The values, if they are counts: those of all laws that runs have met here.
    counts: Option<RangeInclusive<usize>>,
    /// The law of all counts, once some run has met others than the first run.
    wide: Option<Rc<dyn Law>>,
    /// Values made so far, by their indices.
    made: FxHashMap<Vec<usize>, Tensor>,
    /// All values in order, if there is a single event.
    cases: Option<Rc<AllCases>>,
    /// Whether it is integrated out, so that its values are nodes of Gaussian noise.
    pub(in super::super) has_nodes: bool,
    /// The logarithms of the nodes' weights, for rows of these sizes.
    weights: Option<(Vec<usize>, Rc<AllCases>)>,
    pub(in super::super) shape: Shape,
    value_shape: Shape,
    /// The last sum in which a run reached it.
    sum: u64,
    pub(in super::super) device: Device,
}

/// The values that each event of a site may have.
pub(in super::super) struct Values<'a> {
    /// The shape of all of a site's events as vertices, and how many numbers each has.
    pub(in super::super) shape: Shape,
    pub(in super::super) width: usize,
    pub(in super::super) count: usize,
    pub(in super::super) vertices: &'a dyn Fn() -> Vec<Vec<f32>>,
    pub(in super::super) form: Form,
    /// The values, if they are counts.
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

    /// The smallest value, if values are counts or category indices.
    pub(in super::super) fn least(&self) -> usize {
        self.counts.as_ref().map_or(0, |counts| *counts.start())
    }

    /// The range of a law's counts among all values of the site, unless the law has all of them.
    pub(in super::super) fn own(
        &self,
        counts: Option<&RangeInclusive<usize>>,
    ) -> Option<Range<usize>> {
        let (all, own) = (self.counts.as_ref()?, counts?);
        let from = own.start() - all.start();
        (all != own).then(|| from..from + own.clone().count())
    }

    /// Whether a law's counts go up to the last of all values of the site.
    pub(in super::super) fn ends_with(&self, counts: Option<&RangeInclusive<usize>>) -> bool {
        let (all, own) = (self.counts.as_ref(), counts);
        all.map(RangeInclusive::end) == own.map(RangeInclusive::end)
    }

    /// The law of all values, if these differ between runs.
    pub(in super::super) fn wide(&self) -> Option<Rc<dyn Law>> {
        self.wide.clone()
    }

    /// Sets the values to those of a law of all counts.
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
    /// Whether the sites that both know have the same number of events, and values of the same kind.
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

    /// The site of a name that a run has reached, whose law has these values. A range of counts may differ from before:
    /// then the site has the values of both, and what runs have told must be forgotten.
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
                     kind; at a site that is summed out only ranges of counts may differ: give others another name, \
                     as by `name = format!(\"x of {{n}}\")`, or state all categories, with probability 0 for those \
                     that cannot occur",
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
                    "the number of rows of the plate around it depends on choices that are summed out; draw those \
                     choices (`draw_all`, or `only` without them), or make the choices of the rows in a `for` loop"
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
                    "its ranges in different runs have more than {MOST_VALUES} values together; sum fewer sites out \
                     (`only`)"
                )));
            }
            let is_wider = hull != known.counts;
            // Laws with only some of the values are also told apart from one with all of them.
            let is_wide = known.wide.is_some() || is_wider || hull != values.counts;
            known.counts = hull;
            // A law of all values has its own shape.
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
                // These refer to values by index, and assume that all have been tried.
                self.plan = Rc::default();
                self.tried.clear();
            }
            let known = &self.sites[site];
            for domain in &mut self.domains[known.first..][..events] {
                if !Rc::ptr_eq(&domain.plates, plates) {
                    if domain.plates.len() != plates.len() {
                        // Inner plates are summed out first.
                        (self.order, self.order_without) = (None, None);
                    }
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

    /// The value of a site whose events have these value indices, the same in each row.
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

    /// Whether rows of a variable may have any value each, so that a trial can give them different ones.
    pub(in super::super) fn may_differ(&self, variable: usize) -> bool {
        self.support_of[variable].is_none() && !self.owner(variable).has_nodes
    }

    /// The value of a variable in a row of its own plates, in a trial in which rows differ: pseudo-random, as rows at
    /// any distance may depend on each other.
    pub(in super::super) fn apart(&self, variable: usize, row: usize, trial: usize) -> usize {
        let mut hasher = FxHasher::default();
        (variable, row, trial).hash(&mut hasher);
        // Fibonacci hashing: the top bits are the best.
        (hasher.finish().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) as usize
            % self.domains[variable].size
    }

    /// A site's value in a trial in which rows differ.
    pub(in super::super) fn value_apart(
        &self,
        site: usize,
        trial: usize,
        law: &dyn Law,
    ) -> Result<Tensor> {
        let site = &self.sites[site];
        let width = site.vertices.first().map_or(1, Vec::len) * site.events;
        let rows = site.shape.numel() / width.max(1);
        let mut vertex = Vec::with_capacity(site.shape.numel());
        for row in 0..rows {
            for variable in site.first..site.first + site.events {
                vertex.extend_from_slice(&site.vertices[self.apart(variable, row, trial)]);
            }
        }
        let vertex = Tensor::from_vec(vertex, site.shape, &site.device)?;
        law.value_at(&vertex).check().cloned()
    }

    /// All values of a site with a single event, in order; sites with the same values share them.
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

    /// The logarithms of the weights of a site's nodes, for plates of these sizes.
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
