//! The sum as a number with derivatives.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::eliminate::Shares;
use super::graph::FIRST_SITE;
use super::said::Got;
use super::search::Search;
use crate::dist::Number;
use crate::error::Result;
use crate::tensor::{Origin, Provenance, Reads, SiteSet, Tensor};

/// The sum with this logarithm: its derivative is that of each term's numbers, weighted by the probability of their
/// values (Fisher's identity).
pub(super) fn evidence(search: &Search<'_>, log: f64, shares: &Shares) -> Result<Number> {
    let mut all: Vec<(&Got, SmallVec<[f64; 1]>)> = Vec::new();
    // Terms may share numbers.
    let mut places: FxHashMap<*const Got, usize> = FxHashMap::default();
    for (got, rows, term, at) in search.told() {
        let here = &shares.of_factors[term];
        let width = here.len() / rows.len();
        let place = *places.entry(std::ptr::from_ref(got)).or_insert_with(|| {
            all.push((got, SmallVec::from_elem(0.0, got.rows.len())));
            all.len() - 1
        });
        let sums = all[place].1[rows].iter_mut().enumerate();
        sums.for_each(|(row, sum)| *sum += here[row * width + at]);
    }
    let (mut sites, mut severed) = (SiteSet::EMPTY, SiteSet::EMPTY);
    let mut numbers = Vec::with_capacity(all.len());
    for (got, shares) in &all {
        let Number::Tensor(number) = &got.number else {
            continue;
        };
        sites.add(&number.sites());
        severed.add(&number.severed_sites());
        // The derivative of a number with share 0 may be NaN.
        if number.is_tracked() && shares.iter().any(|&share| share != 0.0) {
            numbers.push((number, shares.iter().map(|&share| share as f32).collect()));
        }
    }
    if sites == SiteSet::EMPTY && numbers.is_empty() {
        return Ok(Number::Host(log));
    }
    let value = Tensor::with_derivatives(log as f32, &numbers);
    severed.add(&search.shared.discrete_kept());
    Ok(Number::Tensor(of_sites(value.check()?, &sites, &severed)))
}

/// A number that comes from sites outside the sum. Its derivative tells how it changes with them, but for those that are
/// severed: where a term's own does not, and for discrete ones. There it is correct at draws, but the derivative's own
/// derivative is not, so their estimators do without it.
fn of_sites(number: &Tensor, sites: &SiteSet, cut: &SiteSet) -> Tensor {
    let (mut outside, mut severed) = (SiteSet::EMPTY, SiteSet::EMPTY);
    for site in sites.sites().filter(|&site| site < FIRST_SITE) {
        outside.insert(site);
        if cut.contains(site) {
            severed.insert(site);
        }
    }
    number.with_provenance(Provenance::from(Origin {
        sites: outside,
        severed,
        reads: Reads::default(),
        rounding: None,
    }))
}
