//! The earlier choices that a choice depends on once the observations are known.

mod find;

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::Evaluation;
use crate::dist::{Bijection, Law};
use crate::error::Result;
use crate::model::{Entry, ParamStore, Program};
use crate::tensor::Tensor;

/// What is known about the choices of a model.
#[derive(Clone, Debug, Default)]
pub(in crate::infer) struct Structure {
    sites: FxHashMap<String, Follows>,
    /// What is assumed for a choice that was not met.
    others: Follows,
    /// Why nothing is known, if so.
    unknown: Option<String>,
    /// The number of models it was found from: one, and one more each time that less was summed out.
    looks: usize,
}

/// What a choice depends on.
#[derive(Clone, Debug, Default)]
pub(in crate::infer) struct Follows {
    /// Whether it depends on any other, even if only by the model's own law.
    pub(in crate::infer) any: bool,
    /// Whether it is a host number, whose estimator knows the law by its parameters; their number stays the same.
    pub(in crate::infer) is_host: bool,
    /// Discrete choices whose values index a table.
    pub(in crate::infer) table: Vec<Parent>,
    /// Further ones, followed by their numbers.
    pub(in crate::infer) lines: Vec<Parent>,
    /// Number of slopes by arbitrary numbers.
    pub(in crate::infer) slopes: usize,
    /// Whether all parts of the law have such slopes, including a skew of Gaussian numbers, or only the first.
    pub(in crate::infer) with_all_parts: bool,
    /// The look at the model that found it.
    pub(in crate::infer) look: usize,
}

/// An earlier choice.
#[derive(Clone, Debug)]
pub(in crate::infer) struct Parent {
    pub(in crate::infer) name: String,
    /// The kind of its numbers.
    pub(in crate::infer) values: Values,
    /// Numbers per row, as a vertex.
    pub(in crate::infer) numbers: usize,
    pub(in crate::infer) is_host: bool,
    /// Where arbitrary numbers are, and their spread: for all, or for each, `[plates.., numbers]`.
    pub(in crate::infer) centre: Tensor,
    pub(in crate::infer) spread: Tensor,
}

/// The kind of a choice's numbers, as a vertex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::infer) enum Values {
    /// Each is a coin, 0 or 1.
    Coins,
    /// One of them is 1, the others 0.
    Category,
    /// Arbitrary numbers: for a continuous choice the unconstrained ones behind its value.
    Numbers,
}

impl Values {
    /// The numbers of a value of a law.
    pub(super) fn of(self, law: &dyn Law, value: &Tensor) -> Tensor {
        /// Nearer to an end, the derivative of a logarithm, times that of what it moves, is more than f32 can hold.
        const NEAREST: f32 = 1e-30;
        match (self, law.bijection()) {
            (Self::Numbers, Some(bijection)) => bijection.free(&match bijection {
                Bijection::Positive | Bijection::Unit | Bijection::Simplex => {
                    value.kept_within(NEAREST, f32::MAX)
                }
                _ => value.clone(),
            }),
            _ => law.to_vertex(value),
        }
    }

    /// The numbers of a choice that a run has reached.
    pub(super) fn of_entry(self, entry: &Entry) -> Option<Result<Tensor>> {
        let dist = entry.dist.as_ref()?;
        let numbers = || Ok(self.of(&*dist.law()?, &entry.value.to_tensor()?));
        Some(numbers())
    }
}

impl Parent {
    /// How many combinations of values a row has, if they can be counted.
    pub(in crate::infer) fn rows(&self) -> Option<usize> {
        match self.values {
            Values::Coins => 1_usize.checked_shl(u32::try_from(self.numbers).ok()?),
            Values::Category => Some(self.numbers),
            Values::Numbers => None,
        }
    }
}

impl Structure {
    /// What a choice depends on. One that was not met stands alone if all others do.
    pub(in crate::infer) fn of_site(&self, site: &str) -> &Follows {
        self.sites.get(site).unwrap_or(&self.others)
    }

    /// The choices that were met.
    pub(super) fn all(&self) -> impl Iterator<Item = (&String, &Follows)> {
        self.sites.iter()
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (&String, &mut Follows)> {
        self.sites.iter_mut()
    }

    /// Nothing is known, and any choice may depend on others.
    fn unknown(why: impl Into<String>) -> Self {
        Self {
            sites: FxHashMap::default(),
            others: Follows {
                any: true,
                ..Follows::default()
            },
            unknown: Some(why.into()),
            looks: 1,
        }
    }

    /// Whether no choice depends on another.
    pub(in crate::infer) fn is_independent(&self) -> bool {
        !self.others.any
    }

    /// A description of what the guide of a choice follows; `None` if it stands alone.
    pub(in crate::infer) fn words(&self, site: &str) -> Option<String> {
        let follows = match (&self.unknown, self.sites.get(site)) {
            (Some(_), _) => &self.others,
            (None, known) => known?,
        };
        let mut words = match follows.any {
            true => String::from("its law in the model"),
            false => return None,
        };
        for (how, parents) in [
            ("a table by", &follows.table),
            ("the numbers of", &follows.lines),
        ] {
            if !parents.is_empty() {
                let names: Vec<_> = parents.iter().map(|p| format!("`{}`", p.name)).collect();
                words += &format!(", {how} {}", names.join(", "));
            }
        }
        if let Some(why) = &self.unknown {
            words += &format!(" alone, as {why}");
        }
        Some(words)
    }

    /// The structure of the model being trained, which is looked at once, and again whenever less of it is summed out.
    pub(super) fn noted(evaluation: Evaluation<'_>) -> Rc<Self> {
        let Evaluation {
            model,
            before,
            params,
            ..
        } = evaluation;
        let name = model.model_name();
        let first = before.first().copied().unwrap_or(model);
        let known = params.note(name, || Self::of(first).with_saved(params));
        if known.looks > before.len() {
            return known;
        }
        let mut known = Self::clone(&known);
        for next in before.iter().copied().chain([model]).skip(known.looks) {
            known = known.then(Self::of(next).with_saved(params), params);
        }
        params.renote(name, known.clone());
        Rc::new(known)
    }

    /// The same where less is summed out: choices that have parameters keep what they follow, as the parameters depend
    /// on it; others get what was found now.
    fn then(mut self, next: Self, params: &ParamStore) -> Self {
        let look = self.looks;
        self.looks += 1;
        if self.unknown.is_none() && self.sites.is_empty() {
            self.others = next.others;
        }
        for (site, mut follows) in next.sites {
            let is_kept = match saved_look(&site, params) {
                Some(saved) => saved < look,
                None => params.has_of(&site),
            };
            if is_kept {
                let others = &self.others;
                self.sites.entry(site).or_insert_with(|| others.clone());
            } else {
                follows.look = look;
                self.sites.insert(site, follows);
            }
        }
        self.unknown = self.unknown.and(next.unknown);
        self
    }

    /// Saves with the parameters which look found what their choices follow, if it was not the first.
    ///
    /// # Errors
    /// Only those of the store itself.
    pub(in crate::infer) fn save_looks(&self, params: &ParamStore) -> Result<()> {
        for (site, follows) in self.all() {
            if follows.look > 0 && params.has_of(site) {
                params.replace(&look_of(site), &Tensor::scalar(follows.look as f32))?;
            }
        }
        Ok(())
    }

    /// Looks at a model with the first values of its parameters, so that the result is the same after a resume. It is
    /// unknown for a model that fails or has very many choices.
    pub(in crate::infer) fn of(model: &dyn Program) -> Self {
        find::find(model, &ParamStore::default())
            .unwrap_or_else(|error| Self::unknown(format!("looking at the model failed: {error}")))
    }
}

/// The name of the mark that says which look found what a choice follows.
fn look_of(site: &str) -> String {
    format!("{site}.look")
}

fn saved_look(site: &str, params: &ParamStore) -> Option<usize> {
    let saved = params.parameter(&look_of(site))?.get().peek_item().ok()?;
    Some(saved as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Dirichlet, Distribution, Gamma};
    use crate::tensor::grad;

    /// A share of 10⁻³⁷ has a logarithm with a derivative of 10³⁷.
    #[test]
    fn numbers_beside_an_end_have_derivatives_that_f32_holds() -> Result<()> {
        let shares = Tensor::from_slice(&[3e-38, 2e-33, 1.0]).leaf();
        let laws = [
            Dirichlet::new(Tensor::from_slice(&[1.0, 1.0, 1.0]))?.law()?,
            Gamma::new(Tensor::from_slice(&[1.0, 1.0, 1.0]), 1.0)?.law()?,
        ];
        for law in laws {
            let numbers = Values::Numbers.of(&*law, &shares) * 1e4;
            let gradient = grad(&[(&numbers.sum_all(), None)], &[&shares])?.remove(0);
            let found = gradient.peek()?;
            assert!(
                found.iter().all(|g| g.is_finite()),
                "{}: {found:?}",
                law.name()
            );
        }
        Ok(())
    }
}
