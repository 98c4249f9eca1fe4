//! What is known of a model's sums: the sites that are summed out, the terms of the log-probability, and on
//! which sites each term depends.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::eliminate::order;
use super::factor::{Domain, combinations};
use super::nodes;
use crate::dist::Law;
use crate::error::{Error, Result};
use crate::model::Plate;
use crate::tensor::{Device, Shape, SiteSet, Tensor};

/// The sites that are summed out have places of their own among the sites that values come from.
pub(super) const FIRST_SITE: usize = 1 << 20;

/// Runs of a model that one sum may take.
pub(super) const MOST_RUNS: usize = 1 << 12;

/// Of so many sums one looks for what others take for granted.
const EVERY: u64 = 16;

/// A site that is summed out.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) name: Cow<'static, str>,
    pub(super) distribution: &'static str,
    /// Its first variable; each event of a row is one.
    pub(super) first: usize,
    pub(super) events: usize,
    /// The values of an event as vertices.
    pub(super) vertices: Rc<Vec<Vec<f32>>>,
    /// Values that were made, by their numbers.
    made: FxHashMap<Vec<usize>, Tensor>,
    /// All values in order, where there is one event.
    cases: Option<Rc<[Tensor]>>,
    /// Whether it is integrated out: its values are nodes of Gaussian noise.
    pub(super) has_nodes: bool,
    /// The logarithms of the nodes' weights, for rows of these sizes.
    weights: Option<(Vec<usize>, Rc<[Tensor]>)>,
    pub(super) shape: Shape,
    pub(super) device: Device,
}

/// The values that each event of a site may have.
pub(super) struct Values<'a> {
    /// The shape of all of a site's events as vertices, and how many numbers each is.
    pub(super) shape: Shape,
    pub(super) width: usize,
    pub(super) count: usize,
    pub(super) vertices: &'a dyn Fn() -> Vec<Vec<f32>>,
    /// Whether they are nodes of Gaussian noise.
    pub(super) are_nodes: bool,
}

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
#[derive(Debug)]
pub(super) struct Term {
    pub(super) name: Cow<'static, str>,
    pub(super) part: Part,
    pub(super) plates: Rc<[Plate]>,
    /// The variables on which it depends, as far as is known.
    pub(super) scope: BTreeSet<usize>,
    /// Sites that host code had seen when the run came by: it may depend on them, or not.
    seen: SiteSet,
}

impl Term {
    /// Whether the log-probability has it.
    pub(super) fn is_factor(&self) -> bool {
        !matches!(self.part, Part::Support { .. })
    }
}

/// Sites, variables, and terms.
#[derive(Debug, Default)]
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
    /// Assignments that told every combination of every term the last time.
    pub(super) plan: Rc<Vec<Vec<usize>>>,
    /// Gaussian choices that are left and could be integrated out, and their plates.
    pub(super) gaussians: FxHashMap<String, Rc<[Plate]>>,
    /// How often a sum was taken.
    pub(super) sums: u64,
    /// Whether one run did not tell all numbers with the cases of its choices.
    pub(super) lacks_cases: bool,
}

/// A name without its indices, and these.
fn template(name: &str) -> (String, Vec<usize>) {
    let (mut text, mut indices) = (String::new(), Vec::new());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        text.push_str(before);
        match after.split_once(']') {
            Some((index, after)) if index.parse::<usize>().is_ok() => {
                indices.extend(index.parse::<usize>());
                text.push_str("[]");
                rest = after;
            }
            _ => {
                text.push('[');
                rest = after;
            }
        }
    }
    text.push_str(rest);
    (text, indices)
}

impl Graph {
    /// Whether this is one of the sums whose runs are looked at for what may not be taken for granted: the
    /// first, and one of so many.
    pub(super) fn looks_twice(&self) -> bool {
        self.sums == 1 || self.sums.is_multiple_of(EVERY)
    }

    /// The site of a name that a run has come by, whose law has these values.
    ///
    /// # Errors
    /// If it had other events or values before.
    pub(super) fn meet(
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
                     that are summed out keep their size: give others another name",
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

    /// A value of a site of which each event's is given by number: the same in each row.
    pub(super) fn value(&mut self, site: usize, values: &[usize], law: &dyn Law) -> Result<Tensor> {
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
    pub(super) fn cases(&mut self, site: usize, law: &dyn Law) -> Result<Rc<[Tensor]>> {
        if let Some(cases) = &self.sites[site].cases {
            return Ok(Rc::clone(cases));
        }
        let size = self.sites[site].vertices.len();
        let made = (0..size).map(|value| self.value(site, &[value], law));
        let made: Rc<[Tensor]> = made.collect::<Result<_>>()?;
        let is_same = |a: &Tensor, b: &Tensor| -> Result<bool> {
            let is_like = a.shape() == b.shape() && a.device() == b.device();
            Ok(is_like && a.with_values(|a| b.with_values(|b| a == b))??)
        };
        let mut cases = None;
        for other in self.sites.iter().filter_map(|site| site.cases.as_ref()) {
            let mut is_equal = other.len() == size;
            for (a, b) in made.iter().zip(&**other) {
                is_equal = is_equal && is_same(a, b)?;
            }
            if is_equal {
                cases = Some(Rc::clone(other));
                break;
            }
        }
        let cases = cases.unwrap_or(made);
        self.sites[site].cases = Some(Rc::clone(&cases));
        Ok(cases)
    }

    /// The logarithms of the weights of a site's nodes, for rows of these sizes.
    pub(super) fn weights(
        &mut self,
        site: usize,
        sizes: Vec<usize>,
        law: &dyn Law,
    ) -> Result<Rc<[Tensor]>> {
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
    pub(super) fn has_nodes(&self) -> bool {
        self.sites.iter().any(|site| site.has_nodes)
    }

    /// The term of a name.
    pub(super) fn term(&mut self, name: &str, part: Part, plates: &Rc<[Plate]>) -> usize {
        if let Some(term) = self.known_term(name, part) {
            let known = &mut self.terms[term];
            if !Rc::ptr_eq(&known.plates, plates) {
                known.plates = Rc::clone(plates);
            }
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
            seen: SiteSet::EMPTY,
        });
        let term = self.terms.len() - 1;
        let of_name = self.term_of.entry(name.to_owned().into());
        of_name.or_default().push((part, term));
        self.order = None;
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
            self.order = None;
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

    /// Whether anything may depend on what is not known yet.
    pub(super) fn is_certain(&self) -> bool {
        let sure = |term: &Term| {
            let mut seen = term.seen.sites().filter(|&site| site >= FIRST_SITE);
            seen.all(|site| {
                let site = &self.sites[site - FIRST_SITE];
                (site.first..site.first + site.events).all(|v| term.scope.contains(&v))
            })
        };
        self.terms.iter().all(sure)
    }

    /// Notes that a term depends on a variable. What holds in one iteration of a loop is taken to hold in
    /// all of them, between the same distances: the terms whose scopes have grown.
    pub(super) fn depends(&mut self, term: usize, variable: usize) -> Vec<usize> {
        let (of_term, here) = template(&self.terms[term].name);
        let site = &self.sites[self.owner[variable]];
        let event = variable - site.first;
        let (of_site, there) = template(&site.name);
        let mut pairs = vec![(term, variable)];
        if !here.is_empty() && (there.is_empty() || there.len() == here.len()) {
            for number in 0..self.terms.len() {
                let (text, indices) = template(&self.terms[number].name);
                if text != of_term || indices.len() != here.len() {
                    continue;
                }
                let mut name = of_site.clone();
                let moved = indices.iter().zip(&here).zip(&there);
                let moved: Option<Vec<usize>> = moved
                    .map(|((now, here), there)| (now + there).checked_sub(*here))
                    .collect();
                let Some(moved) = moved else { continue };
                for index in moved {
                    name = name.replacen("[]", &format!("[{index}]"), 1);
                }
                if let Some(site) = self.site(&name) {
                    pairs.push((number, self.sites[site].first + event));
                }
            }
        }
        // A law depends on what its support depends on.
        let of_laws: Vec<(usize, usize)> = pairs
            .iter()
            .filter_map(|&(term, by)| match self.terms[term].part {
                Part::Support { variable, .. } => Some((self.law_of[variable], by)),
                Part::Whole | Part::Law { .. } => None,
            })
            .collect();
        pairs.extend(of_laws);
        let mut grown = Vec::new();
        for (term, variable) in pairs {
            if variable < self.domains.len() && self.may_depend(term, variable) {
                self.terms[term].scope.insert(variable);
                grown.push(term);
            }
        }
        if !grown.is_empty() {
            self.order = None;
        }
        grown
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
    /// If a term has too many combinations of values.
    pub(super) fn check_runs(&self, term: usize) -> Result<()> {
        let term = &self.terms[term];
        let scope: Vec<usize> = term.scope.iter().copied().collect();
        let runs = combinations(&scope, &self.domains);
        if runs <= MOST_RUNS {
            return Ok(());
        }
        let names: Vec<String> = scope
            .iter()
            .map(|&v| format!("`{}`", self.name(v)))
            .collect();
        Err(Error::Enumeration(format!(
            "`{}` depends on {}, which have {runs} combinations together, and at most {MOST_RUNS} runs \
             are made for a sum; sum fewer sites out (`only`), or state the term in parts that depend on \
             fewer",
            term.name,
            names.join(", ")
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_stand_apart_from_names() {
        let parts = |name| template(name);
        assert_eq!(parts("z"), ("z".into(), vec![]));
        assert_eq!(parts("a[3]/z[1][12]"), ("a[]/z[][]".into(), vec![3, 1, 12]));
        assert_eq!(parts("odd[x]"), ("odd[x]".into(), vec![]));
    }
}
