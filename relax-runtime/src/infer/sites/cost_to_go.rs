//! The cost-to-go of a site, as its estimator sees it: a function of the site's draw.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use crate::error::{Error, Result};
use crate::estimator::{Cost, value_and_slope};
use crate::infer::objective::Objective;
use crate::infer::pass::slopes::Slopes;
use crate::infer::pass::survey::Survey;
use crate::infer::pass::{Latent, Mode, Pass};
use crate::model::ParamStore;
use crate::random::Key;
use crate::tensor::{Tensor, grad};

/// The site being worked on.
pub(in crate::infer) struct Work<'a> {
    pub(in crate::infer) objective: &'a dyn Objective,
    pub(in crate::infer) pass: &'a Rc<Pass>,
    /// The survey of the pass.
    pub(in crate::infer) survey: &'a Survey<'a>,
    pub(in crate::infer) place: usize,
    pub(in crate::infer) latent: &'a Latent,
    /// Slopes at the run's draws, if some estimator asks for them.
    pub(in crate::infer) slopes: Option<&'a Slopes>,
    pub(in crate::infer) key: Key,
    /// The user's seed.
    pub(in crate::infer) seed: u64,
}

/// The cost-to-go of a site, minus its baseline. For draws other than the site's own the programs run again: everything
/// before the site stays as it was, and later choices that depend on it are made again with the same noise.
pub(in crate::infer) struct CostToGo<'a> {
    work: &'a Work<'a>,
    params: &'a ParamStore,
    /// Cost at the site's own draw, minus the baseline.
    drawn: &'a Tensor,
    baseline: f64,
    /// How often the draw's own evaluation was repeated.
    repeated: Cell<usize>,
    /// Whether a relaxed draw has made a later choice one that cannot be relaxed.
    is_blocked: Cell<bool>,
    /// What was not finite with another draw. A value that the site's law excludes may have such a cost, and no weight.
    wrong: OnceCell<Error>,
}

impl<'a> CostToGo<'a> {
    /// `drawn` is the cost at the site's own draw, minus the baseline.
    pub(in crate::infer) fn new(
        work: &'a Work<'a>,
        params: &'a ParamStore,
        drawn: &'a Tensor,
        baseline: f64,
    ) -> Self {
        Self {
            work,
            params,
            drawn,
            baseline,
            repeated: Cell::new(0),
            is_blocked: Cell::new(false),
            wrong: OnceCell::new(),
        }
    }

    /// How often the draw's own evaluation was repeated.
    pub(in crate::infer) fn repeated(&self) -> usize {
        self.repeated.get()
    }

    /// Whether a relaxed draw has made a later choice one that cannot be relaxed, though it can at hard draws: its law may
    /// have a gap between its values there. The cost then jumps, and an estimate that relies on its slope is biased.
    pub(in crate::infer) fn is_blocked(&self) -> bool {
        self.is_blocked.get()
    }

    /// Runs the programs with another draw, and sums what can depend on it.
    fn replace(&self, draw: Tensor, temperature: Option<Tensor>) -> Result<(Pass, Tensor)> {
        let Work {
            objective,
            pass,
            place,
            key,
            ..
        } = *self.work;
        let mode = Mode::Replaced {
            hard: Rc::clone(pass),
            site: place,
            draw,
            temperature,
        };
        let replaced = objective.evaluate(key, self.params, &mode)?;
        let cost = replaced.cost_to_go_from(place, self.baseline)?;
        if !cost.with_values(|costs| costs.iter().all(|cost| cost.is_finite()))? {
            self.explain(&replaced)?;
        }
        Ok((replaced, cost))
    }

    /// The error behind an estimate that is not finite because a cost is not.
    pub(in crate::infer) fn wrong(&self) -> Option<Error> {
        self.wrong.get().cloned()
    }

    /// Keeps the first term that is not finite with another draw of the site.
    fn explain(&self, replaced: &Pass) -> Result<()> {
        let Work { place, latent, .. } = *self.work;
        for term in replaced.terms.iter().filter(|t| t.sites.contains(place)) {
            let value = term.value.peek_total()?;
            if !value.is_finite() {
                let mut error = term.not_finite(value, self.work.key.step, &replaced.latents);
                if let Error::NotFinite { what, .. } = &mut error {
                    *what += &format!(" with another draw of `{}`", latent.name);
                }
                self.wrong.get_or_init(|| error);
                break;
            }
        }
        Ok(())
    }
}

impl Cost for CostToGo<'_> {
    fn hard(&self, b: &Tensor) -> Result<Tensor> {
        let value = self.work.latent.law.value_at(b);
        let (_, cost) = self.replace(value, None)?;
        Ok(cost.check()?.detach())
    }

    fn drawn(&self, _: &Tensor) -> Result<Tensor> {
        Ok(self.drawn.clone())
    }

    fn with_slope(&self, b: &Tensor) -> Result<(Tensor, Tensor)> {
        let law = &self.work.latent.law;
        value_and_slope(
            &|draw: &Tensor| Ok(self.replace(law.value_at(draw), None)?.1),
            b,
        )
    }

    /// From the draw's own evaluation if its graph is available, otherwise from one more.
    fn drawn_with_slope(&self, b: &Tensor) -> Result<(Tensor, Tensor)> {
        let known = self.work.slopes.and_then(|s| s.at(self.work.place));
        match known {
            // The graph has it by the value; estimators ask for it by the vertex.
            Some(slope) => {
                let (vertex, law) = (b.leaf(), &self.work.latent.law);
                let by_vertex = grad(&[(&law.value_at(&vertex), Some(slope))], &[&vertex])?;
                Ok((self.drawn(b)?, by_vertex[0].clone()))
            }
            None => {
                self.repeated.set(self.repeated.get() + 1);
                self.with_slope(b)
            }
        }
    }

    fn relaxed(&self, draw: &Tensor, temperature: &Tensor) -> Result<Tensor> {
        let value = self.work.latent.law.value_at(draw);
        let (relaxed, cost) = self.replace(value, Some(temperature.clone()))?;
        if relaxed.reads.contains(self.work.place) {
            return Err(Error::Estimator(
                "host code read the relaxed draw, on a path that the hard draw did not take; use \
                 the free-form surrogate for this site: `estimator = \"relax-free-form\"`"
                    .into(),
            ));
        }
        let place = self.work.place;
        let mut later = relaxed.latents.iter().skip(place + 1);
        if later.any(|latent| latent.depends_on.contains(place) && latent.is_hard(false)) {
            self.is_blocked.set(true);
        }
        Ok(cost)
    }
}

/// The mean cost-to-go of a site with another draw, which no estimate uses.
pub(in crate::infer) fn mean_cost_elsewhere(
    work: &Work<'_>,
    params: &ParamStore,
) -> Result<Option<f64>> {
    let latent = work.latent;
    let mut stream = work.key.stream(&format!("{}/elsewhere", latent.name));
    let draw = latent.law.draw(&latent.law.noise(&mut stream)?).detach();
    let mode = Mode::Replaced {
        hard: Rc::clone(work.pass),
        site: work.place,
        draw,
        temperature: None,
    };
    let replaced = work.objective.evaluate(work.key, params, &mode)?;
    Survey::of_one(&replaced).mean_cost(work.place)
}
