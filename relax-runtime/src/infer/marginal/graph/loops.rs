//! Assumes that dependencies found in one iteration of a loop hold in all of them, at the same distances, as far as the
//! loop has such a rule.

use super::{Graph, MOST_RUNS_UNASKED, Part, Term};

/// Most distances that count as a rule of a loop, such as that of a chain.
const MOST_DISTANCES: usize = 4;

/// The terms of a loop, which have the same name except for the indices, and the choices of a loop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Alike {
    term: String,
    indices: usize,
    site: String,
    event: usize,
}

/// Maximum number of combinations of a term's choices up to which another iteration's are taken to be its own.
const MOST_GUESSED: usize = MOST_RUNS_UNASKED;

/// Splits a name into its template and its indices.
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
    /// Notes that a term depends on a variable, as runs have shown. What holds in one iteration of a loop is assumed to
    /// hold in all of them, at the same distances, until there are so many distances that the loop has no such rule.
    /// Returns the terms whose scopes have changed.
    pub(in super::super) fn depends(&mut self, term: usize, variable: usize) -> Vec<usize> {
        let mut changed = self.take(&[(term, variable)], false);
        let Some((alike, distance)) = self.alike(term, variable) else {
            return changed;
        };
        let known = self.distances.entry(alike.clone()).or_default();
        if known.len() > MOST_DISTANCES || !known.insert(distance.clone()) {
            return changed;
        }
        match known.len() {
            ..=MOST_DISTANCES => {
                let pairs = self.at_distance(&alike, &distance);
                changed.extend(self.take(&pairs, true));
            }
            // One iteration no longer says anything about another.
            _ => changed.extend(self.untake(&alike)),
        }
        changed
    }

    /// Applies what is known about loops to terms and choices added since. Returns the terms whose scopes have grown.
    pub(in super::super) fn guess_again(&mut self) -> Vec<usize> {
        let known = self.distances.iter();
        let known = known.filter(|(_, distances)| distances.len() <= MOST_DISTANCES);
        let pairs = known.flat_map(|(alike, distances)| {
            let of_loop = distances.iter();
            of_loop.flat_map(|distance| self.at_distance(alike, distance))
        });
        let pairs: Vec<(usize, usize)> = pairs.collect();
        self.take(&pairs, true)
    }

    /// Adds variables to scopes, as shown by runs, or `guessed` from other iterations. Returns the terms whose scopes
    /// have grown.
    fn take(&mut self, pairs: &[(usize, usize)], guessed: bool) -> Vec<usize> {
        // A law depends on everything its support depends on.
        let of_law = |&(term, by): &(usize, usize)| match self.terms[term].part {
            Part::Support { variable, .. } => Some((self.law_of[variable], by)),
            Part::Whole | Part::Law { .. } => None,
        };
        let of_laws: Vec<(usize, usize)> = pairs.iter().filter_map(of_law).collect();
        let mut grown = Vec::new();
        for &(term, variable) in pairs.iter().chain(&of_laws) {
            if variable >= self.domains.len() {
                continue;
            }
            if !guessed {
                self.terms[term].guessed.remove(&variable);
            }
            let is_large = self.combinations_with(term, variable) > MOST_GUESSED;
            if !self.may_depend(term, variable) || (guessed && is_large) {
                continue;
            }
            let known = &mut self.terms[term];
            if is_large {
                // What runs have shown goes before what was guessed.
                let of_others = std::mem::take(&mut known.guessed);
                known.scope.retain(|v| !of_others.contains(v));
            }
            known.scope.insert(variable);
            if guessed {
                known.guessed.insert(variable);
            }
            grown.push(term);
        }
        if !grown.is_empty() {
            (self.order, self.order_without) = (None, None);
        }
        grown
    }

    /// Number of combinations of the variables on which a term depends, and one more variable.
    fn combinations_with(&self, term: usize, variable: usize) -> usize {
        let scope = self.terms[term].scope.iter().chain([&variable]);
        let sizes = scope.map(|&v| self.domains[v].size);
        sizes.fold(1, usize::saturating_mul)
    }

    /// The loops that a term and a variable's site are in, and the distance from the term to the site there.
    fn alike(&self, term: usize, variable: usize) -> Option<(Alike, Vec<isize>)> {
        let (of_term, here) = template(&self.terms[term].name);
        let site = &self.sites[self.owner[variable]];
        let (of_site, there) = template(&site.name);
        let is_inside = !here.is_empty() && there.len() <= here.len();
        let distance = there.iter().zip(&here);
        let distance = distance.map(|(there, here)| *there as isize - *here as isize);
        let alike = Alike {
            term: of_term,
            indices: here.len(),
            site: of_site,
            event: variable - site.first,
        };
        is_inside.then(|| (alike, distance.collect()))
    }

    /// Each term of a loop, with the variable at that distance.
    fn at_distance(&self, alike: &Alike, distance: &[isize]) -> Vec<(usize, usize)> {
        let pair = |(number, term): (usize, &Term)| {
            let (text, indices) = template(&term.name);
            if text != alike.term || indices.len() != alike.indices {
                return None;
            }
            let mut name = alike.site.clone();
            for (now, by) in indices.iter().zip(distance) {
                let index = now.checked_add_signed(*by)?;
                name = name.replacen("[]", &format!("[{index}]"), 1);
            }
            let site = self.site(&name)?;
            Some((number, self.sites[site].first + alike.event))
        };
        self.terms.iter().enumerate().filter_map(pair).collect()
    }

    /// Takes back what was guessed about a loop. Returns the terms whose scopes have shrunk.
    fn untake(&mut self, alike: &Alike) -> Vec<usize> {
        let of_site = |v: usize| template(&self.sites[self.owner[v]].name).0 == alike.site;
        let guessed = |term: &Term| -> Vec<usize> {
            match template(&term.name).0 == alike.term {
                true => term
                    .guessed
                    .iter()
                    .copied()
                    .filter(|&v| of_site(v))
                    .collect(),
                false => Vec::new(),
            }
        };
        let guessed: Vec<Vec<usize>> = self.terms.iter().map(guessed).collect();
        let mut shrunk = Vec::new();
        for (number, guessed) in guessed.into_iter().enumerate() {
            let term = &mut self.terms[number];
            for v in guessed {
                term.guessed.remove(&v);
                term.scope.remove(&v);
                shrunk.push(number);
            }
        }
        if !shrunk.is_empty() {
            (self.order, self.order_without) = (None, None);
        }
        shrunk
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
