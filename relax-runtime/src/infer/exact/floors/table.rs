//! The results of all combinations of the choices' values.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::dist::Form;
use crate::error::Result;
use crate::infer::pass::{Latent, Pass};

/// All combinations.
#[derive(Default)]
pub(super) struct Table {
    pub(super) sites: BTreeMap<String, Site>,
    pub(super) runs: Vec<Run>,
    entries: Vec<Entry>,
    numbers: Vec<f32>,
    /// By site number.
    layouts: Vec<Layout>,
}

/// One combination.
pub(super) struct Run {
    /// Its probability.
    pub(super) mass: f64,
    /// A sum of hashes, one for each event's value.
    pub(super) hash: u64,
    /// The sites that it reached.
    entries: Range<usize>,
}

/// A site over all combinations.
#[derive(Clone, Copy)]
pub(super) struct Site {
    pub(super) id: usize,
    pub(super) layout: Layout,
    /// The origin of its costs, subtracted before they are rounded.
    origin: f64,
    /// Whether the layout is the same in all combinations.
    pub(super) steady: bool,
}

/// How many numbers a site has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) rows: usize,
    /// Events per row.
    pub(super) events: usize,
    /// Numbers per event.
    pub(super) width: usize,
    /// Whether its events are coins.
    pub(super) coins: bool,
}

/// A site in one combination, and where its numbers start.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: usize,
    start: usize,
}

/// The numbers of a site in one combination.
#[derive(Clone, Copy)]
pub(super) struct View<'t> {
    pub(super) values: &'t [f32],
    /// ∂ log p/∂θ.
    pub(super) scores: &'t [f32],
    pub(super) theta: &'t [f32],
    /// Probabilities of the events' values.
    pub(super) probabilities: &'t [f32],
    /// One cost-to-go per row.
    pub(super) costs: &'t [f32],
}

impl Layout {
    fn of(latent: &Latent, numbers: usize, width: usize, coins: bool) -> Self {
        let rows: usize = latent.plates.iter().map(|plate| plate.size).product();
        Self {
            rows,
            events: numbers / (rows * width).max(1),
            width,
            coins,
        }
    }

    /// The number of numbers in all rows.
    fn numbers(self) -> usize {
        self.rows * self.events * self.width
    }

    /// Where the numbers of an event are.
    pub(super) fn at(self, event: usize) -> Range<usize> {
        event * self.width..(event + 1) * self.width
    }

    /// A hash of an event's value.
    pub(super) fn hash(self, id: usize, event: usize, values: &[f32]) -> u64 {
        let start = (id as u64) << 32 | event as u64;
        let bits = values[self.at(event)]
            .iter()
            .map(|x| u64::from(x.to_bits()));
        bits.fold(mixed(start), |hash, bits| mixed(hash ^ bits))
    }
}

/// Maps distinct numbers to distinct ones that look random (the finalizer of splitmix64).
fn mixed(x: u64) -> u64 {
    let x = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl Table {
    /// Adds a combination.
    ///
    /// # Errors
    /// If a tensor carries an error.
    pub(super) fn add(&mut self, pass: &Pass) -> Result<()> {
        let (mut mass, mut hash, start) = (1.0, 0_u64, self.entries.len());
        for (place, latent) in pass.latents.iter().enumerate() {
            let Some(relaxation) = latent.law.relaxation() else {
                continue;
            };
            let theta = latent.law.parameters()[0].detach();
            let vertex = latent.law.to_vertex(&latent.value).detach();
            let width = relaxation.width(&theta.shape());
            let coins = relaxation.form() == Form::Coins;
            let layout = Layout::of(latent, theta.len(), width, coins);
            let site = match self.sites.get_mut(&*latent.name) {
                Some(site) => {
                    site.steady &= site.layout == layout;
                    *site
                }
                None => {
                    let cost = pass.cost_to_go(place)?.peek()?;
                    let origin = cost.iter().copied().find(|x| x.is_finite());
                    let site = Site {
                        id: self.layouts.len(),
                        layout,
                        origin: origin.map_or(0.0, f64::from),
                        steady: layout.numbers() == theta.len(),
                    };
                    self.layouts.push(layout);
                    self.sites.insert(latent.name.to_string(), site);
                    site
                }
            };
            let values = vertex.peek()?;
            let probabilities = relaxation.log_mass(&theta, &vertex).exp().peek()?;
            for event in 0..layout.rows * layout.events {
                hash = hash.wrapping_add(layout.hash(site.id, event, &values));
            }
            mass *= probabilities.iter().map(|&p| f64::from(p)).product::<f64>();
            self.entries.push(Entry {
                id: site.id,
                start: self.numbers.len(),
            });
            self.numbers.extend(values);
            self.numbers
                .extend(relaxation.score(&theta, &vertex).peek()?);
            self.numbers.extend(theta.peek()?);
            self.numbers.extend(probabilities);
            self.numbers
                .extend(pass.cost_to_go_from(place, site.origin)?.peek()?);
        }
        self.runs.push(Run {
            mass,
            hash,
            entries: start..self.entries.len(),
        });
        Ok(())
    }

    /// The sites that a combination reached, in order.
    pub(super) fn entries(&self, run: &Run) -> &[Entry] {
        &self.entries[run.entries.clone()]
    }

    /// The combinations that reach a site.
    pub(super) fn at(&self, site: &Site) -> Vec<(&Run, Entry)> {
        let entry = |run: &Run| {
            let mut entries = self.entries(run).iter();
            entries.find(|entry| entry.id == site.id).copied()
        };
        let runs = self.runs.iter();
        runs.filter_map(|run| Some((run, entry(run)?))).collect()
    }

    pub(super) fn layout(&self, entry: Entry) -> Layout {
        self.layouts[entry.id]
    }

    /// The numbers of a site whose layout is steady.
    pub(super) fn view(&self, entry: Entry) -> View<'_> {
        let layout = self.layout(entry);
        let (all, events) = (layout.numbers(), layout.rows * layout.events);
        let numbers = &self.numbers[entry.start..][..3 * all + events + layout.rows];
        let (values, rest) = numbers.split_at(all);
        let (scores, rest) = rest.split_at(all);
        let (theta, rest) = rest.split_at(all);
        let (probabilities, costs) = rest.split_at(events);
        View {
            values,
            scores,
            theta,
            probabilities,
            costs,
        }
    }
}
