//! The sites that are summed out, and their values.

use std::borrow::Cow;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::super::factor::Domain;
use super::super::nodes;
use super::{FIRST_SITE, Graph, Part};
use crate::dist::Law;
use crate::error::{Error, Result};
use crate::model::Plate;
use crate::tensor::{AllCases, Device, Shape, Tensor};

/// A site that is summed out.
#[derive(Debug)]
pub(in super::super) struct Site {
    pub(in super::super) name: Cow<'static, str>,
    pub(in super::super) distribution: &'static str,
    /// Its first variable; each event of a row is one.
    pub(in super::super) first: usize,
    pub(in super::super) events: usize,
    /// The values of an event as vertices.
    pub(in super::super) vertices: Rc<Vec<Vec<f32>>>,
    /// Values that were made, by their numbers.
    made: FxHashMap<Vec<usize>, Tensor>,
    /// All values in order, where there is one event.
    cases: Option<Rc<AllCases>>,
    /// Whether it is integrated out: its values are nodes of Gaussian noise.
    pub(in super::super) has_nodes: bool,
    /// The logarithms of the nodes' weights, for rows of these sizes.
    weights: Option<(Vec<usize>, Rc<AllCases>)>,
    pub(in super::super) shape: Shape,
    pub(in super::super) device: Device,
}

/// The values that each event of a site may have.
pub(in super::super) struct Values<'a> {
    /// The shape of all of a site's events as vertices, and how many numbers each is.
    pub(in super::super) shape: Shape,
    pub(in super::super) width: usize,
    pub(in super::super) count: usize,
    pub(in super::super) vertices: &'a dyn Fn() -> Vec<Vec<f32>>,
    /// Whether they are nodes of Gaussian noise.
    pub(in super::super) are_nodes: bool,
}

impl Graph {
    /// The site of a name that a run has come by, whose law has these values.
    ///
    /// # Errors
    /// If it had other events or values before.
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
            if (known.events, known.vertices.len()) != (events, count) {
                return Err(Error::Inconsistent(format!(
                    "it has {events} choices of {count} values, but had {} of {} in another run; sites \
                     that are summed out keep their size: give others another name, as by `name = format!(\"x of \
                     {{n}}\")`, or take the largest range, and exclude what cannot be by `factor!(f64::NEG_INFINITY)`",
                    known.events,
                    known.vertices.len()
                )));
            }
            if known.shape != shape || known.device != device {
                known.made.clear();
                (known.cases, known.weights) = (None, None);
                (known.shape, known.device) = (shape, device);
            }
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
