//! Where the choices are that others follow in proportion: a slope and a shift are learned well one beside the
//! other where the numbers that the slope multiplies have mean 0 and spread 1 under the guide itself.

use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::moved::{Row, guide_of, law_of};
use super::structure::{Follows, Parent, Structure, Values};
use super::{Evaluation, Proposal, Stage};
use crate::error::Result;
use crate::model::{Entry, Kind, ParamStore};
use crate::tensor::{Device, Shape, Tensor};

/// Draws from the guide by which its choices are found.
const DRAWS: u64 = 32;
/// Bit of a key's particle that no other draws set.
const APART: u64 = 1 << 33;

/// Measures the numbers of the choices that others follow from where they are now, and rewrites shifts and
/// slopes so that every law stays what it is, but on paths without a choice that it follows, where that counts as if
/// it were at its centre. Where all has settled, scales follow them too from now on. The structure that belongs to
/// them takes the old one's place.
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
    // What was not met has been left as it was.
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

/// Sums over draws of a choice.
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
        // A choice of another size on another path counts for none.
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

    /// Centre and spread of each number, `[rows.., numbers]`, where there are enough draws and they differ.
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
    /// Keeps where choices are with the parameters whose meaning it is.
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

    /// A structure with the places and spreads that parameters were saved with.
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

/// What the centre and the spread of an earlier choice are called where a site follows it.
fn names(site: &str, parent: &Parent) -> [String; 2] {
    ["centre", "spread"].map(|what| format!("{site}.{what} of {}", parent.name))
}

/// What says that all parts of a site's law follow numbers.
fn all_parts(site: &str) -> String {
    format!("{site}.all parts follow")
}

impl Follows {
    /// The earlier choices that count by numbers of any size.
    pub(super) fn numbers(&self) -> impl Iterator<Item = &Parent> {
        let lines = self.lines.iter();
        lines.filter(|parent| parent.values == Values::Numbers)
    }

    /// In how many of their spreads these are measured: so many that a step of all slopes changes the law about as
    /// much as a step of one would. Each of hundreds of rows has slopes of its own, and where all tremble in steps
    /// of their own, what they follow is best held still.
    pub(super) fn spreads_a_unit(&self) -> f32 {
        (self.slopes.max(1) as f32).sqrt()
    }
}
