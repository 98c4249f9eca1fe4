//! What is known about a model's sums: the sites that are summed out, the terms of the log-probability, and on which
//! sites each term depends.

mod loops;
mod sites;

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::eliminate::order;
use super::factor::{Domain, combinations, rows};
use crate::error::{Error, Result};
use crate::model::Plate;
use crate::tensor::SiteSet;
use loops::Alike;
pub(super) use sites::{Site, Values};

/// First origin of values that belongs to a summed-out site: these have their own range.
pub(super) const FIRST_SITE: usize = 1 << 20;

/// Maximum number of values of a choice.
pub(super) const MOST_VALUES: usize = 1 << 12;

/// Maximum number of combinations of a term, each of which takes a run;
pub(super) const MOST_RUNS: usize = 1 << 16;
/// and the maximum if the sum was not requested and more is left to train or draw, so that it is taken often.
pub(super) const MOST_RUNS_UNASKED: usize = 1 << 12;

/// Work of a term besides its rows.
const TERM: usize = 100;

/// One in this many sums checks what the others take for granted.
const EVERY: u64 = 16;

/// Which of the terms with a site's name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The only one.
    Whole,
    /// The law of one of the site's events, with the event's variable.
    Law { event: usize, variable: usize },
    /// Which values of an event have probability 0, with the event's variable.
    Support { event: usize, variable: usize },
}

/// A term of the log-probability, or something else that depends on choices.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) name: Cow<'static, str>,
    pub(super) part: Part,
    pub(super) plates: Rc<[Plate]>,
    /// The variables on which it depends, as far as known.
    pub(super) scope: BTreeSet<usize>,
    /// Those of them guessed from another iteration of a loop.
    guessed: BTreeSet<usize>,
    /// If it is an observation, the power to which handlers raise its density.
    pub(super) observed: Option<f64>,
    /// Sites that host code had seen when a run reached it: it may or may not depend on them.
    seen: SiteSet,
    /// The last sum in which a run reached it.
    pub(super) sum: u64,
    /// If some plates around it differ in rows between runs: how many of the outer ones do not. The rows of the others
    /// are summed.
    pub(super) even_plates: Option<usize>,
}

impl Term {
    /// Whether it is a term of the log-probability.
    pub(super) fn is_factor(&self) -> bool {
        !matches!(self.part, Part::Support { .. })
    }
}

/// Sites, variables, and terms.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    pub(super) sites: Vec<Site>,
    site_of: FxHashMap<Cow<'static, str>, usize>,
    pub(super) domains: Vec<Domain>,
    /// The site of each variable.
    owner: Vec<usize>,
    /// The term of each variable's law, and that of its support if some value was excluded.
    pub(super) law_of: Vec<usize>,
    pub(super) support_of: Vec<Option<usize>>,
    pub(super) terms: Vec<Term>,
    term_of: FxHashMap<Cow<'static, str>, SmallVec<[(Part, usize); 1]>>,
    order: Option<Vec<usize>>,
    /// The order without some variables, and which.
    pub(super) order_without: Option<(Vec<bool>, Vec<usize>)>,
    /// Assignments that told every combination of every term in the last sum.
    pub(super) plan: Rc<Vec<Vec<usize>>>,
    /// Gaussian choices that are left but could be integrated out, and their plates.
    pub(super) gaussians: FxHashMap<String, Rc<[Plate]>>,
    /// Distances from the terms of a loop to the choices on which they depend, as shown by runs.
    distances: FxHashMap<Alike, BTreeSet<Vec<isize>>>,
    /// Number of sums taken.
    pub(super) sums: u64,
    /// Sets of variables of which the first sum has tried all states.
    pub(super) tried: Vec<BTreeSet<usize>>,
    /// Whether a run with the cases of its choices failed to tell all numbers.
    pub(super) lacks_cases: bool,
    /// Whether all choices that can be summed out are.
    pub(super) is_of_all: bool,
    /// Whether a run has met values or rows that no other had.
    pub(super) has_widened: bool,
    /// Whether a sum lacked choices that other sums reached.
    pub(super) comes_and_goes: bool,
    /// Whether a run has reached a new term, or a term where host code had seen choices that it had not seen there
    /// before.
    pub(super) has_news: bool,
}

/// Number of outer plates in which two lists of plates agree in size and scale.
fn same_sizes(one: &[Plate], other: &[Plate]) -> usize {
    let mut pairs = one.iter().zip(other);
    let ends = pairs.position(|(a, b)| (a.size, a.scale) != (b.size, b.scale));
    ends.unwrap_or_else(|| one.len().min(other.len()))
}

impl Graph {
    /// Whether this sum's runs check what others take for granted: the first, and one in [`EVERY`].
    pub(super) fn looks_twice(&self) -> bool {
        self.sums == 1 || self.sums.is_multiple_of(EVERY)
    }

    /// The index of a summed-out site.
    pub(super) fn site(&self, name: &str) -> Option<usize> {
        self.site_of.get(name).copied()
    }

    /// The site of a variable.
    pub(super) fn owner(&self, variable: usize) -> &Site {
        &self.sites[self.owner[variable]]
    }

    /// The name of a variable, for messages.
    pub(super) fn name(&self, variable: usize) -> String {
        let site = &self.sites[self.owner[variable]];
        match site.events {
            1 => site.name.to_string(),
            _ => format!("{} ({})", site.name, variable - site.first),
        }
    }

    /// The term with this name and part, added if new.
    pub(super) fn term(&mut self, name: &str, part: Part, plates: &Rc<[Plate]>) -> usize {
        if let Some(term) = self.known_term(name, part) {
            let known = &mut self.terms[term];
            if !Rc::ptr_eq(&known.plates, plates) {
                let most = known.even_plates.unwrap_or(usize::MAX);
                let all = known.plates.len().max(plates.len()).min(most);
                let same = same_sizes(&known.plates, plates);
                let even = match known.sum == self.sums && same < all {
                    true => same,
                    false => most,
                };
                known.plates = match even < plates.len() {
                    true => plates[..even].into(),
                    false => Rc::clone(plates),
                };
                if even < most {
                    known.even_plates = Some(even);
                    self.has_widened = true;
                }
            }
            self.terms[term].sum = self.sums;
            return term;
        }
        self.terms.push(Term {
            name: name.to_owned().into(),
            part,
            plates: Rc::clone(plates),
            scope: match part {
                Part::Law { variable, .. } => [variable].into(),
                Part::Whole | Part::Support { .. } => BTreeSet::new(),
            },
            guessed: BTreeSet::new(),
            observed: None,
            seen: SiteSet::EMPTY,
            sum: self.sums,
            even_plates: None,
        });
        let term = self.terms.len() - 1;
        let of_name = self.term_of.entry(name.to_owned().into());
        of_name.or_default().push((part, term));
        (self.order, self.order_without) = (None, None);
        self.has_news = true;
        term
    }

    fn known_term(&self, name: &str, part: Part) -> Option<usize> {
        let mut terms = self.term_of.get(name)?.iter();
        terms.find(|(own, _)| *own == part).map(|(_, term)| *term)
    }

    /// The term that tells which values of a variable have probability 0.
    pub(super) fn support(&mut self, site: usize, event: usize) -> usize {
        let variable = self.sites[site].first + event;
        if let Some(term) = self.support_of[variable] {
            return term;
        }
        let name = self.sites[site].name.clone();
        let plates = Rc::clone(&self.domains[variable].plates);
        let term = self.term(&name, Part::Support { event, variable }, &plates);
        self.support_of[variable] = Some(term);
        term
    }

    /// The term of a name that is not an event of a site.
    pub(super) fn term_named(&self, name: &str) -> Option<usize> {
        self.known_term(name, Part::Whole)
    }

    /// Notes the sites that host code had seen at a term, and those from which its number was computed. Returns whether
    /// its scope has grown.
    pub(super) fn see(&mut self, term: usize, seen: &SiteSet, computed: Option<&SiteSet>) -> bool {
        let here = &mut self.terms[term];
        let known = here.seen.clone();
        here.seen.add(seen);
        self.has_news |= !known.covers(&here.seen);
        let Some(computed) = computed else {
            return false;
        };
        let before = here.scope.len();
        for site in computed.sites().filter(|&site| site >= FIRST_SITE) {
            if let Some(site) = self.sites.get(site - FIRST_SITE) {
                here.scope.extend(site.first..site.first + site.events);
            }
        }
        if let Part::Support { variable, .. } = here.part {
            here.scope.remove(&variable);
        }
        let grown = here.scope.len() > before;
        if grown {
            (self.order, self.order_without) = (None, None);
        }
        grown
    }

    /// Whether a term may depend on a variable that is not in its scope.
    pub(super) fn may_depend(&self, term: usize, variable: usize) -> bool {
        let term = &self.terms[term];
        let is_own = matches!(term.part, Part::Support { variable: own, .. } if own == variable);
        term.seen.contains(FIRST_SITE + self.owner[variable])
            && !term.scope.contains(&variable)
            && !is_own
    }

    /// Whether all dependencies are known for certain.
    pub(super) fn is_certain(&self) -> bool {
        self.terms
            .iter()
            .all(|term| self.open_to(term).next().is_none())
    }

    /// Whether all dependencies are certain, or the first sum has tried all states of what may depend on each other.
    pub(super) fn is_certain_or_tried(&self) -> bool {
        self.terms.iter().all(|term| {
            let has_all = |tried: &BTreeSet<usize>| {
                self.open_to(term).all(|v| tried.contains(&v)) && term.scope.is_subset(tried)
            };
            self.open_to(term).next().is_none() || self.tried.iter().any(has_all)
        })
    }

    /// Whether a term may depend on variables for which this is not known.
    pub(super) fn is_open(&self, term: usize) -> bool {
        self.open_to(&self.terms[term]).next().is_some()
    }

    /// The variables on which a term may depend besides those known.
    fn open_to<'t>(&'t self, term: &'t Term) -> impl Iterator<Item = usize> + 't {
        let mut own = None;
        if let Part::Support { variable, .. } = term.part {
            own = Some(variable);
        }
        let seen = term.seen.sites().filter(|&site| site >= FIRST_SITE);
        let seen = seen.flat_map(|site| {
            let site = &self.sites[site - FIRST_SITE];
            site.first..site.first + site.events
        });
        seen.filter(move |v| Some(*v) != own && !term.scope.contains(v))
    }

    /// For each term that may depend on variables for which this is not known, those variables and the known ones;
    /// `None` if some term's have more than `most_states` states together.
    pub(super) fn open_scopes(&self, most_states: usize) -> Option<Vec<BTreeSet<usize>>> {
        let is_few = |term: &Term| {
            let all = self.open_to(term).chain(term.scope.iter().copied());
            let mut states = 1_usize;
            let mut sizes = all.map(|v| self.domains[v].size);
            sizes.all(|size| {
                states = states.saturating_mul(size);
                states <= most_states
            })
        };
        let scopes = self.terms.iter().enumerate();
        let open = scopes.filter(|(number, _)| self.is_open(*number));
        open.map(|(_, term)| is_few(term).then(|| &self.open_to(term).collect() | &term.scope))
            .collect()
    }

    /// For each variable, whether some term with unknown dependencies depends on it or may do so.
    pub(super) fn open_variables(&self) -> Vec<bool> {
        let mut open = vec![false; self.domains.len()];
        // Terms of a loop share most of what they have seen.
        let mut seen = SiteSet::EMPTY;
        for (number, term) in self.terms.iter().enumerate() {
            if self.is_open(number) {
                seen.add(&term.seen);
                term.scope.iter().for_each(|&v| open[v] = true);
            }
        }
        for site in seen.sites().filter(|&site| site >= FIRST_SITE) {
            let site = &self.sites[site - FIRST_SITE];
            open[site.first..][..site.events].fill(true);
        }
        open
    }

    /// Work of a run: the rows of each term, plus a constant per term.
    pub(super) fn work(&self) -> usize {
        let rows = |term: &Term| TERM + rows(&term.plates);
        self.terms.iter().map(rows).sum()
    }

    /// The order in which variables are summed out.
    ///
    /// # Errors
    /// If that takes tables that are too large, or too many runs.
    pub(super) fn order(&mut self) -> Result<Vec<usize>> {
        if let Some(order) = &self.order {
            return Ok(order.clone());
        }
        let factors = self.terms.iter().filter(|term| term.is_factor());
        let scopes = factors.map(|term| term.scope.iter().copied().collect());
        let order = order(scopes, &self.domains, |v| self.name(v))?;
        self.order = Some(order.clone());
        Ok(order)
    }

    /// Number of combinations of the largest term.
    pub(super) fn most_combinations(&self) -> usize {
        let combinations = |term: &Term| {
            let sizes = term.scope.iter().map(|&v| self.domains[v].size);
            sizes.fold(1, usize::saturating_mul)
        };
        self.terms.iter().map(combinations).max().unwrap_or(1)
    }

    /// # Errors
    /// If a term has more than `most` combinations of values of these variables.
    pub(super) fn check_runs(&self, term: usize, scope: &[usize], most: usize) -> Result<()> {
        let term = &self.terms[term];
        let runs = combinations(scope, &self.domains);
        if runs <= most {
            return Ok(());
        }
        let names: Vec<String> = scope
            .iter()
            .map(|&v| format!("`{}`", self.name(v)))
            .collect();
        Err(Error::Enumeration(format!(
            "`{}` depends on {}, which have {runs} combinations together, but at most {most} runs \
             are made for a sum; sum fewer sites out (`only`), or split the term into parts that depend on \
             fewer",
            term.name,
            names.join(", ")
        )))
    }
}
