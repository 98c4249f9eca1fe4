//! Chains of Hamiltonian Monte Carlo.

use std::f64::consts::FRAC_PI_2;
use std::rc::Rc;

use super::metric::Metric;
use super::step_size::StepSize;
use crate::error::{Error, Result};
use crate::infer::posterior::{Mixing, Seen};
use crate::infer::target::{Place, Target};
use crate::random::Stream;

/// Maximum number of leapfrog steps in a transition.
const MOST_STEPS: usize = 64;
/// Transitions of each chain after which the number of steps they take is checked.
const FIRST_FEW: usize = 20;
/// Error of the energy above which a trajectory diverges (Betancourt 2017).
const DIVERGES: f64 = 1_000.0;
/// The first step size, in standard deviations.
const FIRST_STEP: f64 = 0.5;

/// Several chains that share a metric and a step size.
pub(super) struct Chains<'t, 'm> {
    target: &'t mut Target<'m>,
    metric: Metric,
    step_size: StepSize,
    /// Standardized.
    states: Vec<(Vec<f64>, Rc<Place>)>,
    stream: Stream,
    is_warm: bool,
    seen: Seen,
    /// The last error on a trajectory.
    last_error: Option<Error>,
    /// Leapfrog steps of this window so far, and transitions.
    steps: (usize, usize),
}

impl<'t, 'm> Chains<'t, 'm> {
    /// Chains that start at these unconstrained numbers.
    ///
    /// # Errors
    /// Any error there.
    pub(super) fn new(
        target: &'t mut Target<'m>,
        starts: Vec<Vec<f64>>,
        metric: Metric,
        stream: Stream,
    ) -> Result<Self> {
        let mut states = Vec::with_capacity(starts.len());
        for start in starts {
            let place = target.at(&start)?;
            states.push((metric.standard(&start), Rc::new(place)));
        }
        Ok(Self {
            target,
            metric,
            step_size: StepSize::new(FIRST_STEP),
            states,
            stream,
            is_warm: false,
            seen: Seen::default(),
            last_error: None,
            steps: (0, 0),
        })
    }

    /// Makes transitions of each chain, which steer the step size. Then the metric is adapted to their second half if
    /// `adapts`; if not, transitions count from then on. Returns how the second halves agree, or `None` if transitions
    /// take more than `most_steps` steps on average.
    ///
    /// # Errors
    /// The last one, if hardly any transition was possible.
    /// If hardly a transition was possible: that of the last one.
    pub(super) fn warm_up(
        &mut self,
        transitions: usize,
        adapts: bool,
        most_steps: f64,
    ) -> Result<Option<Mixing>> {
        let (mut drawn, mut acceptance) = (vec![Vec::new(); self.states.len()], 0.0);
        self.steps = (0, 0);
        for transition in 0..transitions {
            let (steps, of) = self.steps;
            if transition >= FIRST_FEW && steps as f64 > most_steps * of as f64 {
                return Ok(None);
            }
            for (chain, drawn) in drawn.iter_mut().enumerate() {
                acceptance += self.transition(chain);
                if 2 * transition >= transitions {
                    drawn.push(self.metric.place(&self.states[chain].0));
                }
            }
        }
        let all = (transitions * self.states.len()).max(1);
        if let (Some(error), true) = (&self.last_error, acceptance < 0.05 * all as f64) {
            return Err(error.clone());
        }
        let halves: Vec<&[Vec<f64>]> = drawn.iter().map(Vec::as_slice).collect();
        let mixing = Mixing::of(&halves, self.seen);
        let step = self.step_size.averaged();
        if !adapts {
            (self.is_warm, self.seen) = (true, Seen::default());
            return Ok(Some(mixing));
        }
        let places: Vec<Vec<f64>> = self
            .states
            .iter()
            .map(|(z, _)| self.metric.place(z))
            .collect();
        self.metric = Metric::of(&drawn.concat());
        for ((state, _), place) in self.states.iter_mut().zip(places) {
            *state = self.metric.standard(&place);
        }
        self.step_size = StepSize::new(step.clamp(0.05, FIRST_STEP));
        Ok(Some(mixing))
    }

    /// One transition of a warm chain: its unconstrained numbers, and where it is.
    pub(super) fn advance(&mut self, chain: usize) -> (Vec<f64>, Rc<Place>) {
        self.transition(chain);
        let (state, place) = &self.states[chain];
        (self.metric.place(state), Rc::clone(place))
    }

    /// What transitions were like since the chains became warm.
    pub(super) fn seen(&self) -> Seen {
        self.seen
    }

    /// A trajectory of random length from a normal momentum, accepted or not (Neal 2011): returns its probability of
    /// acceptance.
    fn transition(&mut self, chain: usize) -> f64 {
        let (start, place) = self.states[chain].clone();
        let step = match self.is_warm {
            true => self.step_size.averaged(),
            false => self.step_size.now(),
        };
        // A quarter turn of a standard normal forgets where it began; varying lengths avoid cycles.
        let length = FRAC_PI_2 * (0.5 + self.stream.uniform_f64());
        let steps = ((length / step).round() as usize).clamp(1, MOST_STEPS);
        self.steps = (self.steps.0 + steps, self.steps.1 + 1);
        let mut momentum: Vec<f64> = start.iter().map(|_| self.stream.normal()).collect();
        let uniform = self.stream.uniform_f64();
        let energy = |momentum: &[f64], place: &Place| {
            0.5 * momentum.iter().map(|p| p * p).sum::<f64>() - place.log_density
        };
        let before = energy(&momentum, &place);
        let (mut state, mut here, mut rejects) = (start, place, false);
        let mut slope = self.metric.slope(&here.slope);
        for _ in 0..steps {
            kick(&mut momentum, &slope, 0.5 * step);
            kick(&mut state, &momentum, step);
            match self.target.at(&self.metric.place(&state)) {
                Ok(next) => here = Rc::new(next),
                // Not a place of the posterior, such as one where a number has overflowed.
                Err(error) => {
                    self.last_error = Some(error);
                    rejects = true;
                    break;
                }
            }
            slope = self.metric.slope(&here.slope);
            kick(&mut momentum, &slope, 0.5 * step);
            let error = energy(&momentum, &here) - before;
            if error.is_nan() || error > DIVERGES || slope.iter().any(|g| !g.is_finite()) {
                rejects = true;
                break;
            }
        }
        let error = energy(&momentum, &here) - before;
        let acceptance = match rejects {
            true => 0.0,
            false => (-error).exp().min(1.0),
        };
        self.seen.transitions += 1;
        self.seen.acceptance += acceptance;
        self.seen.divergences += usize::from(rejects);
        if !self.is_warm {
            self.step_size.see(acceptance);
        }
        if uniform < acceptance {
            self.states[chain] = (state, here);
        }
        acceptance
    }
}

/// Moves numbers along others.
fn kick(numbers: &mut [f64], along: &[f64], by: f64) {
    let pairs = numbers.iter_mut().zip(along);
    pairs.for_each(|(x, along)| *x += by * along);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::Normal;
    use crate::infer::objective::{Elbo, Objective};
    use crate::infer::pass::Mode;
    use crate::model::{Context, ParamStore, Site};
    use crate::plumbing::model;
    use crate::random::Key;

    /// Four numbers, one of them far too wide in the guide.
    #[test]
    fn a_window_is_judged_by_its_own_steps() -> Result<()> {
        let names = ["a", "b", "c", "d"];
        let program = model("apart", |context: &Context| {
            for name in names {
                context.sample(Site::new(name, file!(), line!()), Normal::new(0.0, 1.0))?;
            }
            Ok(())
        });
        let params = ParamStore::default();
        let objective = Elbo::new(&program);
        let mut target = Target::new(objective.program(&params), &params, Key::new(1));
        let pass = objective.evaluate(Key::new(1), &params, &Mode::Draw)?;
        target.free(&pass)?;
        let mut stream = Key::new(1).stream("wide");
        let mut wide = || -> Vec<f64> {
            let widths = [20.0, 1.0, 1.0, 1.0];
            widths.iter().map(|width| width * stream.normal()).collect()
        };
        let guided: Vec<Vec<f64>> = (0..100).map(|_| wide()).collect();
        let starts = guided[..4].to_vec();
        let stream = Key::new(1).stream("chains");
        let mut chains = Chains::new(&mut target, starts, Metric::of(&guided), stream)?;
        chains.warm_up(40, true, f64::INFINITY)?;
        let (steps, of) = chains.steps;
        assert!(steps > 16 * of, "{steps} steps of {of} transitions");
        assert!(chains.warm_up(60, true, 12.0)?.is_some());
        Ok(())
    }
}
