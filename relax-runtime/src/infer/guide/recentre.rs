//! Where the choices are that others follow in proportion: slope and shift are learned well together if the numbers
//! that the slope multiplies have mean 0 and spread 1 under the guide itself.

use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::moved::{Row, guide_of, law_of};
use super::structure::{Follows, Parent, Structure, Values};
use super::{Evaluation, Proposal, Stage};
use crate::error::Result;
use crate::model::{Entry, Kind, ParamStore};
use crate::tensor::{Device, Shape, Tensor};

/// Draws from the guide to find where its choices are.
const DRAWS: u64 = 32;
/// Bit of a key's particle that no other draws set.
const APART: u64 = 1 << 33;

/// Measures the numbers of choices that others follow from where they are now, and rewrites shifts and slopes so that
/// every law stays the same, except on paths without a choice that it follows, where that choice counts as if at its
/// center. Once everything has settled, scales follow them, too. The resulting structure replaces the old one.
pub(super) fn recentre(
    evaluation: Evaluation<'_>,
    structure: &Rc<Structure>,
    stage: Stage,
    propose: impl Fn(Evaluation<'_>) -> Result<Proposal>,
) -> Result<()> {
    if !structure
        .all()
        .any(|(_, follows)| follows.numbers().next().is_some())
    {
        return Ok(());
    }
    let at = |draw: u64| {
        let mut at = evaluation;
        at.key.particle = APART | draw;
        at
    };
    let mut seen: FxHashMap<String, Moments> = FxHashMap::default();
    for draw in 0..DRAWS {
        for entry in propose(at(draw))?.trace.entries() {
            if entry.kind == Kind::Latent {
                let moments = seen.entry(entry.name.to_string()).or_default();
                moments.add(entry)?;
            }
        }
    }
    let mut next = Structure::clone(structure);
    next.all_mut().for_each(|(_, follows)| {
        let may_grow = stage == Stage::Settled && !follows.is_host;
        follows.with_all_parts |= may_grow && follows.numbers().next().is_some();
        follows.lines.iter_mut().for_each(|parent| {
            if let (Values::Numbers, Some(moments)) = (parent.values, seen.get(&parent.name)) {
                moments.tell(parent);
            }
        });
    });
    let (before, after) = (Rc::clone(structure), Rc::new(next));
    let measured = Rc::clone(&after);
    let proposal = at(DRAWS).by_site(move |site| {
        let name = site.name();
        let (old, new) = (before.of_site(name), measured.of_site(name));
        if new.numbers().next().is_some() {
            let stated = site.stated()?;
            let guide = guide_of(&*stated, old)?;
            if let Some(row) = Row::around(site, &guide, old)? {
                row.rewrite(site, &guide, new)?;
            }
        }
        law_of(site, &measured)
    })?;
    // Choices not met stay as they were.
    let met: FxHashSet<&str> = proposal
        .latents
        .iter()
        .map(|latent| &*latent.name)
        .collect();
    let mut kept = Structure::clone(&after);
    for (site, follows) in kept.all_mut() {
        if !met.contains(&**site) {
            follows.clone_from(structure.of_site(site));
        }
    }
    kept.save(evaluation.params)?;
    evaluation
        .params
        .renote(evaluation.model.model_name(), kept);
    Ok(())
}

/// Sums over draws of one choice.
#[derive(Default)]
struct Moments {
    device: Device,
    draws: f64,
    rows: Vec<usize>,
    sums: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn add(&mut self, entry: &Entry) -> Result<()> {
        let Some(numbers) = Values::Numbers.of_entry(entry) else {
            return Ok(());
        };
        let numbers = numbers?.detach();
        let (device, numbers) = (numbers.device(), numbers.peek()?);
        if self.draws == 0.0 {
            self.device = device;
            self.rows = entry.plates.iter().map(|plate| plate.size).collect();
            self.sums = vec![0.0; numbers.len()];
            self.squares = self.sums.clone();
        }
        // A choice of another size on another path is ignored.
        if self.sums.len() == numbers.len() {
            self.draws += 1.0;
            let sums = self.sums.iter_mut().zip(&mut self.squares);
            for ((sum, square), x) in sums.zip(numbers.into_iter().map(f64::from)) {
                *sum += x;
                *square += x * x;
            }
        }
        Ok(())
    }

    /// Sets center and spread of each number, `[rows.., numbers]`, if there are enough draws and they differ.
    fn tell(&self, parent: &mut Parent) {
        const FEWEST: f64 = 8.0;
        let mut shape = self.rows.clone();
        shape.push(parent.numbers);
        let Ok(shape) = Shape::try_from(&shape[..]) else {
            return;
        };
        if self.draws < FEWEST || shape.numel() != self.sums.len() {
            return;
        }
        let means = self.sums.iter().map(|sum| sum / self.draws);
        let spreads = means.clone().zip(&self.squares).map(|(mean, square)| {
            let variance = (square / self.draws - mean * mean).max(0.0);
            variance.sqrt() as f32
        });
        let spreads: Vec<f32> = spreads.collect();
        let centres: Vec<f32> = means.map(|mean| mean as f32).collect();
        let differ = |(spread, centre): (&f32, &f32)| {
            spread.is_finite() && centre.is_finite() && *spread > centre.abs() * f32::EPSILON
        };
        if !spreads.iter().zip(&centres).all(differ) {
            return;
        }
        if let (Ok(centre), Ok(spread)) = (
            Tensor::from_vec(centres, shape, &self.device),
            Tensor::from_vec(spreads, shape, &self.device),
        ) {
            (parent.centre, parent.spread) = (centre, spread);
        }
    }
}

impl Structure {
    /// Saves where choices are, together with the parameters that depend on it.
    fn save(&self, params: &ParamStore) -> Result<()> {
        for (site, follows) in self.all() {
            if follows.with_all_parts && follows.numbers().next().is_some() {
                params.replace(&all_parts(site), &Tensor::scalar(1.0))?;
            }
            for parent in follows.numbers() {
                let [centre, spread] = names(site, parent);
                params.replace(&centre, &parent.centre)?;
                params.replace(&spread, &parent.spread)?;
            }
        }
        Ok(())
    }

    /// A structure with the places and spreads that were saved with parameters.
    pub(super) fn with_saved(mut self, params: &ParamStore) -> Self {
        let saved = |name: &str| Some(params.parameter(name)?.get().kept());
        for (site, follows) in self.all_mut() {
            follows.with_all_parts = saved(&all_parts(site)).is_some();
            for parent in &mut follows.lines {
                let [centre, spread] = names(site, parent);
                if let (Some(centre), Some(spread)) = (saved(&centre), saved(&spread)) {
                    (parent.centre, parent.spread) = (centre, spread);
                }
            }
        }
        self
    }
}

/// The names of the center and the spread of an earlier choice that a site follows.
fn names(site: &str, parent: &Parent) -> [String; 2] {
    ["centre", "spread"].map(|what| format!("{site}.{what} of {}", parent.name))
}

/// The name of the mark that all parts of a site's law follow numbers.
fn all_parts(site: &str) -> String {
    format!("{site}.all parts follow")
}

impl Follows {
    /// The earlier choices that are followed by arbitrary numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = &Parent> {
        let lines = self.lines.iter();
        lines.filter(|parent| parent.values == Values::Numbers)
    }

    /// The number of their spreads that makes a unit, such that a step of all slopes changes the law about as much as a
    /// step of one would. Each of hundreds of rows has its own slopes, and if all jitter in steps of their own, it is
    /// best to hold still what they follow.
    pub(super) fn spreads_a_unit(&self) -> f32 {
        (self.slopes.max(1) as f32).sqrt()
    }
}
