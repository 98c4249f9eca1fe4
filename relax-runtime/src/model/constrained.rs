//! The constraints of parameters: one number means one value, wherever a program states it and in whatever file it was
//! kept.

use std::collections::BTreeMap;
use std::mem::discriminant;

use rustc_hash::FxHashMap;

use crate::dist::Constraint;
use crate::error::{Error, Result};

/// Constraints by parameters' names, `None` where it was stated that there is none.
#[derive(Clone, Debug, Default)]
pub(super) struct Constraints {
    /// As programs have stated them.
    stated: FxHashMap<String, Option<Constraint>>,
    /// As a checkpoint has them, for parameters that no program has asked for since.
    saved: BTreeMap<String, Option<Constraint>>,
}

impl Constraints {
    /// The constraint of a parameter, as far as it is known.
    pub(super) fn get(&self, name: &str) -> Option<Constraint> {
        let known = self.stated.get(name).or_else(|| self.saved.get(name));
        known.copied().flatten()
    }

    /// Takes what a program states. The ends of an interval may change.
    ///
    /// # Errors
    /// If another constraint was stated or saved for it before: its numbers, which are unconstrained, would mean
    /// something else.
    pub(super) fn state(&mut self, name: &str, constraint: Option<Constraint>) -> Result<()> {
        let is_same = |known: &Option<Constraint>| {
            known.as_ref().map(discriminant) == constraint.as_ref().map(discriminant)
        };
        match (self.stated.get_mut(name), self.saved.get(name)) {
            (Some(known), _) if is_same(known) => *known = constraint,
            (None, saved) if saved.is_none_or(is_same) => {
                self.stated.insert(name.to_owned(), constraint);
            }
            (Some(known), _) => {
                return Err(Error::Inconsistent(format!(
                    "the parameter is {} here and {} elsewhere, so that one number would mean two values; state the \
                     same constraint wherever it has this name",
                    in_words(constraint),
                    in_words(*known)
                )));
            }
            (None, saved) => {
                return Err(Error::Checkpoint {
                    path: String::new(),
                    problem: format!(
                        "its parameter `{name}` was {}, but the model now has it {}, so that its number would mean \
                         another value; continue with the model that was saved, or train this one from the start",
                        in_words(saved.copied().flatten()),
                        in_words(constraint)
                    ),
                });
            }
        }
        Ok(())
    }

    /// All that are known, to be saved.
    pub(super) fn all(&self) -> BTreeMap<String, Option<Constraint>> {
        let mut all = self.saved.clone();
        all.extend(
            self.stated
                .iter()
                .map(|(name, known)| (name.clone(), *known)),
        );
        all
    }

    /// Takes over those of a checkpoint, which programs are to state anew.
    pub(super) fn restore(&mut self, saved: BTreeMap<String, Option<Constraint>>) {
        self.stated.clear();
        self.saved = saved;
    }
}

fn in_words(constraint: Option<Constraint>) -> String {
    constraint.map_or("unconstrained".into(), |c| format!("`{}`", c.name()))
}
