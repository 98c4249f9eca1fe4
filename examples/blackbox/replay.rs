//! An estimator of one's own: a surrogate that is fitted to all draws of the past.

use std::cell::{Cell, RefCell};

use relax_runtime::estimator::{
    Cost, DrawKind, Estimate, Estimator, LawEstimate, LawTask, Noise, Problem, SiteClass,
    SiteState, SiteTask, differentiable, indecater, score_function,
};
use relax_runtime::grad;
use relax_runtime::prelude::*;

use crate::memory::Memory;

/// The estimate (f(b) − h(b)) ∂log p(b | θ)/∂θ + ∂E[h(b)]/∂θ with a network h that is fitted by least
/// squares to past draws and their costs, one step of Adam on some of them a draw.
///
/// Unbiased for every h that does not depend on the draw. The gradient of E[h] is estimated from fresh
/// draws, which cost no evaluation of f: with each coin turned over in turn (IndeCateR) or along their
/// paths. It is for one site, without rows.
#[derive(Debug)]
pub(crate) struct Replay {
    /// Fresh draws a step.
    fresh: usize,
    /// Past draws that h is fitted to in a step.
    batch: usize,
    hidden: Vec<usize>,
    /// Whether draws are left out of the memory, as measurements are to be.
    held: Cell<bool>,
    memory: RefCell<Option<Memory>>,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            fresh: 4,
            batch: 128,
            hidden: vec![64],
            held: Cell::new(false),
            memory: RefCell::new(None),
        }
    }
}

impl Replay {
    /// Holds the surrogate fixed, or lets it learn again.
    pub(crate) fn hold(&self, held: bool) {
        self.held.set(held);
    }

    fn start(&self, width: usize, seed: u64) -> Result<SiteState> {
        let memory = Memory::new(width, &self.hidden, Key::new(seed).stream("replay"))?;
        let state = SiteState::with_parameters(memory.parameters());
        self.memory.replace(Some(memory));
        Ok(state)
    }

    /// Does something with what is remembered.
    fn remembering<R>(&self, then: impl FnOnce(&mut Memory) -> Result<R>) -> Result<R> {
        match &mut *self.memory.borrow_mut() {
            Some(memory) => then(memory),
            None => Err(Error::Estimator("replay has not met its site yet".into())),
        }
    }

    /// Learns from a draw once its estimate is made.
    fn learn(&self, memory: &mut Memory, b: &Tensor, f: &Tensor) -> Result<Vec<Tensor>> {
        if self.held.get() {
            let still = memory.parameters();
            return Ok(still.iter().map(|x| x.get().zeros_like()).collect());
        }
        memory.see(b, f)?;
        memory.fit(self.batch)
    }
}

/// The problem's draw.
fn drawn(problem: &Problem<'_>) -> Tensor {
    let z = problem
        .relaxation
        .relaxed(&problem.theta.detach(), &problem.noise.u);
    problem.relaxation.hard(&z)
}

impl Estimator for Replay {
    fn name(&self) -> &'static str {
        "replay"
    }

    fn valid_for(&self, class: SiteClass) -> std::result::Result<String, String> {
        match class.draws == DrawKind::Pathwise || class.draws.is_relaxed() {
            true => Ok("a network fitted to all past draws".into()),
            false => Err("replay needs a relaxation or differentiable draws; use `rloo`".into()),
        }
    }

    fn evaluations(&self, _: SiteClass) -> usize {
        1
    }

    /// The network learns the cost itself.
    fn centred(&self) -> bool {
        false
    }

    fn further_noise(&self, _: SiteClass) -> usize {
        self.fresh
    }

    fn state(&self, task: &SiteTask<'_>) -> Result<SiteState> {
        self.start(task.problem.theta.len(), task.seed)
    }

    fn law_state(&self, task: &LawTask<'_>) -> Result<SiteState> {
        let draw = task.problem.law.draw(task.problem.noise);
        self.start(draw.len(), task.seed)
    }

    fn surrogate_value(
        &self,
        task: &SiteTask<'_>,
        _: &dyn Cost,
        _: &SiteState,
    ) -> Result<Option<Tensor>> {
        self.remembering(|memory| Ok(Some(memory.value_of_one(&drawn(&task.problem)))))
    }

    fn estimate(&self, task: &SiteTask<'_>, cost: &dyn Cost, _: &SiteState) -> Result<Estimate> {
        let problem = task.problem;
        let (theta, b) = (problem.theta.detach(), drawn(&problem));
        let f = cost.drawn(&b)?;
        let further: Vec<&Tensor> = problem.noise.further.iter().collect();
        let noise = Noise::coupled(Tensor::stack(&further, 0));
        let rows = theta.broadcast_to(noise.u.shape());
        self.remembering(|memory| {
            let expected = {
                let fresh = Problem::new(problem.relaxation, &rows, &noise).rows();
                indecater(fresh, &differentiable(|b: &Tensor| Ok(memory.value(b))))?
            };
            let score = problem.relaxation.score(&theta, &b);
            let gradient = (&f - memory.value_of_one(&b)) * score + expected.gradient.mean(0);
            Ok(Estimate {
                variance_gradient: self.learn(memory, &b, &f)?.into(),
                cost: f,
                gradient,
                evaluations: 1,
            })
        })
    }

    fn estimate_law(
        &self,
        task: &LawTask<'_>,
        cost: &dyn Cost,
        _: &SiteState,
    ) -> Result<LawEstimate> {
        let problem = task.problem;
        let parameters = problem.law.parameters();
        let leaves: Vec<Tensor> = parameters.iter().map(|p| p.detach().leaf()).collect();
        let law = problem.law.with_parameters(&leaves);
        let b = law.draw(problem.noise).detach();
        let f = cost.drawn(&b)?;
        let fresh: Vec<Tensor> = problem
            .further
            .iter()
            .map(|noise| law.draw(noise))
            .collect();
        let fresh = Tensor::stack(&fresh.iter().collect::<Vec<_>>(), 0);
        let leaves: Vec<&Tensor> = leaves.iter().collect();
        self.remembering(|memory| {
            let signal = &f - memory.value_of_one(&b);
            let scores = score_function(problem.law, &b, &signal)?;
            let paths = grad(&[(&memory.value(&fresh).mean_all(), None)], &leaves)?;
            Ok(LawEstimate {
                variance_gradient: self.learn(memory, &b, &f)?.into(),
                cost: f,
                gradients: scores.iter().zip(&paths).map(|(a, b)| a + b).collect(),
                evaluations: 1,
            })
        })
    }
}
