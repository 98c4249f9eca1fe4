//! Guides for continuous sites only: discrete ones have the structured guide's laws.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::moved::law_of;
use super::structure::Structure;
use super::{Evaluation, GuideSite, Proposal};
use crate::dist::Law;
use crate::error::Result;

/// The continuous sites of a model that a guide covers, with their description for a plan.
pub(in crate::infer) struct Guided {
    words: String,
    sites: RefCell<BTreeSet<String>>,
}

impl Guided {
    /// A description of the site's guide, if the site is one of them.
    pub(in crate::infer) fn words(&self, site: &str) -> Option<String> {
        let known = self.sites.borrow().contains(site);
        known.then(|| self.words.clone())
    }

    fn add(&self, site: &str) {
        let known = self.sites.borrow().contains(site);
        if !known {
            self.sites.borrow_mut().insert(site.to_owned());
        }
    }
}

/// Draws continuous sites from the laws that `law` gives, which the plan describes by `words`, and all others as the
/// structured guide does. Sites where an automatic guide has nothing to learn keep their law.
pub(super) fn continuous_alone(
    evaluation: Evaluation<'_>,
    words: &str,
    law: impl Fn(&GuideSite<'_>, &dyn Law) -> Result<Rc<dyn Law>> + 'static,
) -> Result<Proposal> {
    let Evaluation { model, params, .. } = evaluation;
    let structure = Structure::noted(evaluation);
    let guided = params.note(model.model_name(), || Guided {
        words: words.to_owned(),
        sites: RefCell::default(),
    });
    evaluation.by_site(move |site| {
        let stated = site.stated()?;
        if stated.draws().are_discrete() || stated.mean_field().parts().is_empty() {
            return law_of(site, &structure);
        }
        site.expect_all_rows()?;
        guided.add(site.name());
        law(site, &*stated)
    })
}
