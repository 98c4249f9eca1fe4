//! What is known of a model's sums: the sites that are summed out, the terms of the log-probability, and on
//! which sites each term depends.

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

/// The sites that are summed out have places of their own among the sites that values come from.
pub(super) const FIRST_SITE: usize = 1 << 20;

/// Values that a choice may have.
pub(super) const MOST_VALUES: usize = 1 << 12;

/// Combinations that a term may have, each of which takes a run;
pub(super) const MOST_RUNS: usize = 1 << 16;
/// and where nobody has asked for the sum and more is left to train or to draw, so that it is to be taken often.
pub(super) const MOST_RUNS_UNASKED: usize = 1 << 12;

/// What a term counts beside its rows, where work is measured.
const TERM: usize = 100;

/// Of so many sums one looks for what others take for granted.
const EVERY: u64 = 16;

/// Which of the terms of a site's name it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    /// The only one.
    Whole,
    /// The law of one of its events, with its variable.
    Law { event: usize, variable: usize },
    /// Which values of an event have probability 0, with its variable.
    Support { event: usize, variable: usize },
}

/// A term of the log-probability, or what else depends on choices.
#[derive(Clone, Debug)]
pub(super) struct Term {
    pub(super) name: Cow<'static, str>,
    pub(super) part: Part,
    pub(super) plates: Rc<[Plate]>,
    /// The variables on which it depends, as far as is known.
    pub(super) scope: BTreeSet<usize>,
    /// Those of them of which another iteration of a loop has told.
    guessed: BTreeSet<usize>,
    /// Sites that host code had seen when the run came by: it may depend on them, or not.
    seen: SiteSet,
    /// The sum in which a run came by last.
    sum: u64,
    /// How many of the plates around it have the same rows in every run, where some have not: the rows of the others
    /// are added up.
    pub(super) even_plates: Option<usize>,
}

impl Term {
    /// Whether the log-probability has it.
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
    /// Of each variable its site.
    owner: Vec<usize>,
    /// Of each variable the term of its law, and that of its support where some value was excluded.
    pub(super) law_of: Vec<usize>,
    pub(super) support_of: Vec<Option<usize>>,
    pub(super) terms: Vec<Term>,
    term_of: FxHashMap<Cow<'static, str>, SmallVec<[(Part, usize); 1]>>,
    order: Option<Vec<usize>>,
    /// The same without some variables.
    pub(super) order_without: Option<(Vec<bool>, Vec<usize>)>,
    /// Assignments that told every combination of every term the last time.
    pub(super) plan: Rc<Vec<Vec<usize>>>,
    /// Gaussian choices that are left and could be integrated out, and their plates.
    pub(super) gaussians: FxHashMap<String, Rc<[Plate]>>,
    /// How far from the terms of a loop the choices are on which they depend, as runs have shown.
    distances: FxHashMap<Alike, BTreeSet<Vec<isize>>>,
    /// How often a sum was taken.
    pub(super) sums: u64,
    /// Sets of variables whose states the first sum has tried, all of them.
    pub(super) tried: Vec<BTreeSet<usize>>,
    /// Whether one run did not tell all numbers with the cases of its choices.
    pub(super) lacks_cases: bool,
    /// Whether all choices are summed out that can be.
    pub(super) is_of_all: bool,
    /// Whether a run has met values that no other had, or other rows.
    pub(super) has_widened: bool,
    /// Whether a sum was without choices by which others came.
    pub(super) comes_and_goes: bool,
}

/// How many of the first plates around one thing have as many rows as those around another.
fn same_sizes(one: &[Plate], other: &[Plate]) -> usize {
    let mut pairs = one.iter().zip(other);
    let ends = pairs.position(|(a, b)| (a.size, a.scale) != (b.size, b.scale));
    ends.unwrap_or_else(|| one.len().min(other.len()))
}

impl Graph {
    /// Whether this is one of the sums whose runs are looked at for what may not be taken for granted: the
    /// first, and one of so many.
    pub(super) fn looks_twice(&self) -> bool {
        self.sums == 1 || self.sums.is_multiple_of(EVERY)
    }

    /// The number of a site that is summed out.
    pub(super) fn site(&self, name: &str) -> Option<usize> {
        self.site_of.get(name).copied()
    }

    /// The site of a variable.
    pub(super) fn owner(&self, variable: usize) -> &Site {
        &self.sites[self.owner[variable]]
    }

    /// The variable in words.
    pub(super) fn name(&self, variable: usize) -> String {
        let site = &self.sites[self.owner[variable]];
        match site.events {
            1 => site.name.to_string(),
            _ => format!("{} ({})", site.name, variable - site.first),
        }
    }

    /// The term of a name.
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
            seen: SiteSet::EMPTY,
            sum: self.sums,
            even_plates: None,
        });
        let term = self.terms.len() - 1;
        let of_name = self.term_of.entry(name.to_owned().into());
        of_name.or_default().push((part, term));
        (self.order, self.order_without) = (None, None);
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

    /// The term of a name that is no event of a site.
    pub(super) fn term_named(&self, name: &str) -> Option<usize> {
        self.known_term(name, Part::Whole)
    }

    /// Notes the sites that host code had seen at a term, and those from which its number was computed:
    /// whether its scope has grown.
    pub(super) fn see(&mut self, term: usize, seen: &SiteSet, computed: Option<&SiteSet>) -> bool {
        let here = &mut self.terms[term];
        here.seen.add(seen);
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

    /// Whether nothing may depend on what is not known yet.
    pub(super) fn is_certain(&self) -> bool {
        self.terms
            .iter()
            .all(|term| self.open_to(term).next().is_none())
    }

    /// Whether that is so, or the first sum has tried all states of what may depend on each other.
    pub(super) fn is_certain_or_tried(&self) -> bool {
        self.terms.iter().all(|term| {
            let has_all = |tried: &BTreeSet<usize>| {
                self.open_to(term).all(|v| tried.contains(&v)) && term.scope.is_subset(tried)
            };
            self.open_to(term).next().is_none() || self.tried.iter().any(has_all)
        })
    }

    /// Whether a term may depend on variables of which that is not known.
    pub(super) fn is_open(&self, term: usize) -> bool {
        self.open_to(&self.terms[term]).next().is_some()
    }

    /// The variables on which a term may depend beside those that are known.
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

    /// Of each term that may depend on variables of which that is not known, these and those of which it is; nothing if
    /// some have more states together than that.
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

    /// Of each variable whether some term may depend on it of which not all is known.
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

    /// What a run has to compute: the rows of each term, and something for the term itself.
    pub(super) fn work(&self) -> usize {
        let rows = |term: &Term| TERM + rows(&term.plates);
        self.terms.iter().map(rows).sum()
    }

    /// The order in which variables are summed out.
    ///
    /// # Errors
    /// If that takes too large tables, or too many runs.
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

    /// How many numbers the largest term has, by the values of its variables.
    pub(super) fn most_combinations(&self) -> usize {
        let combinations = |term: &Term| {
            let sizes = term.scope.iter().map(|&v| self.domains[v].size);
            sizes.fold(1, usize::saturating_mul)
        };
        self.terms.iter().map(combinations).max().unwrap_or(1)
    }

    /// # Errors
    /// If a term has more combinations of values of these variables than that.
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
            "`{}` depends on {}, which have {runs} combinations together, and at most {most} runs \
             are made for a sum; sum fewer sites out (`only`), or state the term in parts that depend on \
             fewer",
            term.name,
            names.join(", ")
        )))
    }
}
