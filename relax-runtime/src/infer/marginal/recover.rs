//! The choices that were summed out, from their posterior given everything else.

use std::rc::Rc;

use super::eliminate::Sum;
use super::factor::rows;
use super::graph::Graph;
use super::search::Search;
use crate::dist::Law;
use crate::error::Result;
use crate::model::{Recovered, SummedOut};
use crate::random::Key;
use crate::tensor::{Device, Shape, Tensor};

/// A sum, and the sites that it is over.
#[derive(Debug)]
pub(super) struct Summed {
    sum: Sum,
    /// The probability of each value of each variable, row by row.
    marginals: Vec<Vec<f64>>,
    sites: Vec<Site>,
}

#[derive(Debug)]
struct Site {
    name: std::borrow::Cow<'static, str>,
    first: usize,
    events: usize,
    rows: usize,
    law: Rc<dyn Law>,
    vertices: Rc<Vec<Vec<f32>>>,
    shape: Shape,
    device: Device,
}

impl Summed {
    pub(super) fn new(
        graph: &Graph,
        search: &Search<'_>,
        sum: Sum,
        marginals: Vec<Vec<f64>>,
    ) -> Self {
        let sites = graph.sites.iter().enumerate().filter_map(|(number, site)| {
            let plates = &graph.domains[site.first].plates;
            let law = search.runs.iter().find_map(|ran| ran.laws.get(&number))?;
            Some(Site {
                name: site.name.clone(),
                first: site.first,
                events: site.events,
                rows: rows(plates),
                law: Rc::clone(law),
                vertices: Rc::clone(&site.vertices),
                shape: site.shape,
                device: site.device.clone(),
            })
        });
        Self {
            sites: sites.collect(),
            marginals,
            sum,
        }
    }
}

impl SummedOut for Summed {
    fn recover(&self, key: Key) -> Result<Vec<Recovered>> {
        let drawn = self.sum.draw(&mut key.stream("recovered"));
        let mut recovered = Vec::with_capacity(self.sites.len());
        for site in &self.sites {
            let variables = site.first..site.first + site.events;
            let size = site.vertices.len();
            let mut vertex = Vec::with_capacity(site.shape.numel());
            let mut probabilities = Vec::with_capacity(site.rows * site.events * size);
            for row in 0..site.rows {
                for v in variables.clone() {
                    vertex.extend_from_slice(&site.vertices[drawn[v][row]]);
                    probabilities.extend_from_slice(&self.marginals[v][row * size..][..size]);
                }
            }
            let vertex = Tensor::from_vec(vertex, site.shape, &site.device)?;
            recovered.push(Recovered {
                name: site.name.clone(),
                law: Rc::clone(&site.law),
                value: site.law.value_at(&vertex).check()?.clone(),
                probabilities,
                vertices: Rc::clone(&site.vertices),
            });
        }
        Ok(recovered)
    }
}
