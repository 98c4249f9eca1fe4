//! Draws from a posterior by Hamiltonian Monte Carlo over what sums leave, started and scaled by a guide.

mod chains;
mod elsewhere;
mod look;
mod metric;
mod step_size;

use chains::Chains;
use metric::Metric;

use crate::error::{Error, Result};
use crate::infer::missed::Places;
use crate::infer::objective::{Elbo, Objective};
use crate::infer::pass::{Mode, Pass};
use crate::infer::posterior::{
    Chained, Drawing, FEWEST, ImportanceWeights, KnownElsewhere, LARGEST_R_HAT, LogWeights, Mixing,
    Posterior, Record, Unchained,
};
use crate::infer::target::{Target, is_refusal, not_continuous, refused};
use crate::model::{ParamStore, Start};
use crate::random::Key;
use crate::tensor::Holding;

/// Number of chains, whose agreement shows whether they have mixed.
const CHAINS: usize = 4;
/// Draws of the guide from which the chains start, and which scale them.
const STARTS: usize = 100;
/// Draws that show before training whether chains can handle a model.
const TRIED: u64 = 20;
/// Transitions of each chain before those that count, in windows; after each but the last the metric is adapted to what
/// the chains have seen in it.
const WINDOWS: [usize; 4] = [40, 60, 60, 40];
/// Minimum number of transitions of each chain that count, whatever the number of draws.
const LEAST: usize = 250;
/// What draws should be worth, for which the number of transitions may grow by this factor: means are then known to .04
/// standard deviations.
const ENOUGH: f64 = 700.0;
const MOST_TIMES: f64 = 4.0;
/// The first draws of a guide, whose weights decide whether to run chains.
const LOOKED_AT: usize = 200;
/// Above this k̂ of a guide's importance weights their variance is not finite (Vehtari et al. 2024), and chains run
/// unasked, for up to this many numbers.
const LARGEST_PARETO_K: f64 = 0.5;
/// The same for the weights of all draws, allowing for the error of an estimate.
const LARGEST_PARETO_K_OF_ALL: f64 = 0.6;
const MOST_UNASKED: usize = 32;
/// Maximum number of host numbers among these, as each costs a run per step; more if runs have few terms, so that a
/// step has at most this many terms.
const MOST_HOST_UNASKED: usize = 8;
const MOST_TERMS_UNASKED: usize = 1_000;

/// How many draws a posterior has.
#[derive(Clone, Copy, Debug)]
pub(in crate::infer) struct Wanted {
    /// Draws from the guide, if that draws.
    pub(in crate::infer) guided: usize,
    /// Draws from chains: these make at least as many, and only this many are kept.
    pub(in crate::infer) chained: usize,
}

impl Wanted {
    /// This many, whoever draws.
    pub(in crate::infer) fn exactly(draws: usize) -> Self {
        Self {
            guided: draws,
            chained: draws,
        }
    }
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            guided: 200,
            chained: CHAINS * LEAST,
        }
    }
}

/// Evaluates a bound a few times, to see before training whether chains can handle what it leaves.
///
/// # Errors
/// If a discrete choice is left, or anything else that chains would refuse; whatever goes wrong in the first run.
pub(in crate::infer) fn expect_manageable(
    objective: &Elbo<'_>,
    params: &ParamStore,
    seed: u64,
) -> Result<()> {
    let _holding = Holding::start();
    let params = &params.fork();
    for step in 0..TRIED {
        let key = Key {
            step,
            ..Key::new(seed)
        };
        let pass = match objective.evaluate(key, params, &Mode::Draw) {
            // Training may lead away from there.
            Err(_) if step > 0 => continue,
            pass => pass?,
        };
        let mut latents = pass.latents.iter();
        if let Some(latent) = latents.find(|latent| latent.law.draws().are_discrete()) {
            return Err(not_continuous(&latent.name));
        }
        // Each by itself: training may lead to where all runs have the same choices.
        match Started::new(objective, params, seed, usize::MAX).place_of(&pass) {
            Err(error) if is_refusal(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Draws from the posterior of a bound's model by chains that start from its guide.
///
/// # Errors
/// If the model has choices that chains cannot move, or runs differ in their choices; any error where they start, or at
/// nearly every transition.
pub(in crate::infer) fn draw(
    objective: &Elbo<'_>,
    params: &ParamStore,
    seed: u64,
    wanted: Wanted,
) -> Result<Posterior> {
    let params = &params.fork();
    let mut guided = Drawing::new(objective, params, seed);
    let mut started = Started::new(objective, params, seed, usize::MAX);
    guided.draw_until(wanted.guided, |pass| started.see(pass))?;
    if !started.is_ready(guided.comes_and_goes())? {
        // What is summed out is drawn exactly.
        return Ok(guided.posterior());
    }
    let log_weights = guided.log_weights().clone();
    let drawn = started.draw(wanted.chained, log_weights, Limits::NONE)?;
    drawn.ok_or_else(|| refused("no draws were made".into()))
}

/// A first look at a posterior: draws from a guide, and whether they can be relied on.
pub(in crate::infer) struct Looked<'m> {
    guided: Drawing<'m>,
    /// Where chains start, if they can run.
    started: Option<Started<'m>>,
    /// Whether wider draws put the posterior elsewhere, and how many host numbers chains would have to move.
    is_far: bool,
    host_numbers: usize,
    /// Whether the guide's draws may be inadequate.
    is_doubtful: bool,
    /// What is known about other places, and a better start for the fit.
    known: KnownElsewhere,
    better_start: Option<Start>,
    wanted: Wanted,
}

impl<'m> Looked<'m> {
    /// Looks at the place of a fit, whose posterior is to have `wanted` draws, and elsewhere if that is in doubt and
    /// `looks_elsewhere`.
    ///
    /// # Errors
    /// Any error from the model or the guide.
    pub(in crate::infer) fn at(
        objective: &'m Elbo<'_>,
        params: &'m ParamStore,
        seed: u64,
        wanted: Wanted,
        looks_elsewhere: bool,
    ) -> Result<Self> {
        let mut guided = Drawing::new(objective, params, seed);
        let mut started = Started::new(objective, params, seed, MOST_UNASKED);
        guided.draw_until(wanted.guided.min(LOOKED_AT), |pass| started.see(pass))?;
        // Models that chains cannot handle keep what they have.
        let is_ready = started.is_ready(guided.comes_and_goes());
        let started = is_ready.unwrap_or(false).then_some(started);
        let guide = Places::new(objective, params, seed);
        let is_far = started.as_ref().is_some_and(|s| s.is_far(&guide));
        // A guide with numbers that are not always there may have settled where they hardly are, which its own draws do
        // not show. Few draws often show the rest; if they do not, all of them may.
        let mut is_doubtful =
            is_far || guided.comes_and_goes() || has_tail(&guided, LARGEST_PARETO_K);
        if !is_doubtful {
            guided.draw_until(wanted.guided, |_| ())?;
            is_doubtful = has_tail(&guided, LARGEST_PARETO_K_OF_ALL) || !has_weights(&guided);
        }
        let host_numbers = started.as_ref().map_or(0, |s| s.target.host_numbers());
        let started = started.filter(Started::is_quick);
        let (known, better_start) = match &started {
            Some(Started { target, places, .. }) if looks_elsewhere && is_doubtful => {
                elsewhere::look(objective, params, seed, target, places)
            }
            _ => Default::default(),
        };
        Ok(Self {
            guided,
            started,
            is_far,
            host_numbers,
            is_doubtful,
            known,
            better_start,
            wanted,
        })
    }

    /// The same for a fit that was to start here, reached by a way from elsewhere: if the fit has stayed here, that way
    /// does lead to it.
    pub(in crate::infer) fn started_from(mut self, start: &Start) -> Self {
        if let (Start::About(spreads), Some(Started { target, places, .. })) =
            (start, &self.started)
        {
            let middle = elsewhere::middle_of(places);
            if target.is_within(spreads, &middle).unwrap_or(false) {
                self.known = KnownElsewhere::LeadsHere;
            }
        }
        self
    }

    /// A better start for the fit.
    pub(in crate::infer) fn better_start(&self) -> Option<&Start> {
        self.better_start.as_ref()
    }

    /// The posterior: by chains if the guide's draws cannot be relied on, chains can run, and they agree; otherwise the
    /// guide's, with their importance weights if these can be relied on and differ.
    ///
    /// # Errors
    /// Any error from the model or the guide.
    pub(in crate::infer) fn posterior(mut self) -> Result<Posterior> {
        self.guided.draw_until(self.wanted.guided, |_| ())?;
        let unchained = match self.started {
            Some(started) if self.is_doubtful => {
                let log_weights = self.guided.log_weights().clone();
                match started.draw(self.wanted.chained, log_weights, Limits::UNASKED) {
                    Ok(Some(chained)) => return Ok(chained.elsewhere(self.known)),
                    Ok(None) => Unchained::Apart,
                    Err(error) => Unchained::Failed(error.to_string()),
                }
            }
            _ => Unchained::HostNumbers(self.host_numbers),
        };
        let has_weights = has_weights(&self.guided);
        let guided = self
            .guided
            .posterior()
            .without_chains(self.is_far.then_some(unchained))
            .elsewhere(self.known);
        match has_weights {
            true => guided.corrected(),
            false => Ok(guided),
        }
    }
}

/// Whether the weights of a guide's draws so far have a tail beyond `most`.
fn has_tail(guided: &Drawing<'_>, most: f64) -> bool {
    let weights = guided.importance_weights();
    weights.is_ok_and(|weights| is_beyond(&weights, most))
}

/// Whether the weights of a guide's draws so far can be relied on.
fn has_weights(guided: &Drawing<'_>) -> bool {
    match guided.importance_weights() {
        Ok(weights) => !is_beyond(&weights, weights.pareto_k_limit()),
        Err(_) => true,
    }
}

/// Whether the tail of weights is longer than `most`.
fn is_beyond(weights: &ImportanceWeights, most: f64) -> bool {
    weights.pareto_k().is_some_and(|k| k > most)
}

/// Limits within which chains go on.
#[derive(Clone, Copy)]
struct Limits {
    r_hat: f64,
    r_hat_on_the_way: f64,
    effective_samples: f64,
    /// Average number of leapfrog steps in a transition.
    steps: f64,
}

impl Limits {
    const NONE: Self = Self {
        r_hat: f64::INFINITY,
        r_hat_on_the_way: f64::INFINITY,
        effective_samples: 0.0,
        steps: f64::INFINITY,
    };
    /// Chains that need many steps are so far from the guide that a fit would take much longer.
    const UNASKED: Self = Self {
        r_hat: LARGEST_R_HAT,
        r_hat_on_the_way: 1.6,
        effective_samples: FEWEST,
        steps: 12.0,
    };
}

/// A guide's draws, from which chains start.
struct Started<'m> {
    objective: &'m dyn Objective,
    params: &'m ParamStore,
    seed: u64,
    target: Target<'m>,
    most_numbers: usize,
    places: Vec<Vec<f64>>,
    /// Why no more draws are looked at: `Some(None)` if there are no numbers to move, or too many.
    stopped: Option<Option<Error>>,
}

impl<'m> Started<'m> {
    fn new(
        objective: &'m Elbo<'_>,
        params: &'m ParamStore,
        seed: u64,
        most_numbers: usize,
    ) -> Self {
        Self {
            objective,
            params,
            seed,
            target: Target::new(objective.program(params), params, key(seed, 0)),
            most_numbers,
            places: Vec::with_capacity(STARTS),
            stopped: None,
        }
    }

    /// Takes a draw from the guide, if more are wanted.
    fn see(&mut self, pass: &Pass) {
        if self.places.len() == STARTS || self.stopped.is_some() {
            return;
        }
        match self.place_of(pass) {
            Ok(Some(place)) => self.places.push(place),
            Ok(None) => self.stopped = Some(None),
            Err(error) => self.stopped = Some(Some(error)),
        }
    }

    /// The unconstrained numbers of a draw; `None` if all choices are summed out, or too many are left.
    fn place_of(&mut self, pass: &Pass) -> Result<Option<Vec<f64>>> {
        let numbers: usize = pass.latents.iter().map(|latent| latent.value.len()).sum();
        if !(1..=self.most_numbers).contains(&numbers) {
            return Ok(None);
        }
        if let Some(site) = Record::of(pass)?.scaled {
            return Err(refused(format!(
                "the log-probability or cost of site `{site}` does not count exactly once, as in a plate that is a part \
                 of a larger data set, or under a guide that is scaled: chains need all data"
            )));
        }
        self.target.free(pass).map(Some)
    }

    /// Takes as many draws as are wanted, and returns whether chains can start. Draws have shown which numbers are not
    /// always there.
    ///
    /// # Errors
    /// If chains cannot handle the model, or any error from the model or the guide.
    fn is_ready(&mut self, comes_and_goes: bool) -> Result<bool> {
        let _holding = Holding::start();
        for step in self.places.len()..STARTS {
            if self.stopped.is_none() {
                let at = key(self.seed, step as u64);
                let pass = self.objective.evaluate(at, self.params, &Mode::Draw)?;
                self.see(&pass);
            }
        }
        match self.stopped.take() {
            None => {
                self.target.measure(&self.places, comes_and_goes);
                Ok(true)
            }
            Some(None) => Ok(false),
            Some(Some(error)) => Err(error),
        }
    }

    /// Whether a step takes few runs, or these are short.
    fn is_quick(&self) -> bool {
        let numbers = self.target.host_numbers();
        let terms = self.target.terms().unwrap_or(usize::MAX);
        numbers <= MOST_HOST_UNASKED || terms.saturating_mul(numbers) <= MOST_TERMS_UNASKED
    }

    /// Whether the posterior is elsewhere, wider or narrower than these draws.
    fn is_far(&self, guide: &Places<'_>) -> bool {
        let _holding = Holding::start();
        let metric = Metric::of(&self.places);
        let dims = self.places.first().map_or(0, Vec::len);
        let mut stream = Key::new(self.seed).stream("wider");
        look::is_far(&self.target, guide, &metric, dims, &mut stream)
    }

    /// Draws, keeping the log-weights of the guide's draws, unless the chains exceed the limits.
    fn draw(
        mut self,
        n: usize,
        log_weights: LogWeights,
        limits: Limits,
    ) -> Result<Option<Posterior>> {
        let _holding = Holding::start();
        let metric = Metric::of(&self.places);
        self.places.truncate(CHAINS);
        let stream = Key::new(self.seed).stream("chains");
        let mut chains = Chains::new(&mut self.target, self.places, metric, stream)?;
        for (number, transitions) in WINDOWS.into_iter().enumerate() {
            let adapts = number + 1 < WINDOWS.len();
            // A guide that is too narrow makes the first transitions take many steps, before the metric is the chains'
            // own.
            let most_steps = if number == 0 {
                f64::INFINITY
            } else {
                limits.steps
            };
            let Some(mixing) = chains.warm_up(transitions, adapts, most_steps)? else {
                return Ok(None);
            };
            // Few transitions only show chains that are far apart, and those of the last window are too few.
            if number > 0 && adapts && mixing.r_hat > limits.r_hat_on_the_way {
                return Ok(None);
            }
        }
        let each = n.div_ceil(CHAINS);
        let thinned = LEAST.div_ceil(each).max(1);
        let mut drawn: Vec<Drawn> = (0..CHAINS).map(|_| Drawn::default()).collect();
        let mut draw_until = |drawn: &mut [Drawn], transitions: usize| {
            for (chain, drawn) in drawn.iter_mut().enumerate() {
                for at in drawn.states.len()..transitions {
                    let (state, place) = chains.advance(chain);
                    drawn.states.push(state);
                    if (at + 1) % thinned == 0 {
                        let key = key(self.seed, (chain << 32 | at) as u64);
                        drawn.records.push(place.record(key)?);
                    }
                }
            }
            let states: Vec<&[Vec<f64>]> = drawn.iter().map(|chain| &chain.states[..]).collect();
            Ok::<_, Error>(Mixing::of(&states, chains.seen()))
        };
        let mut mixing = draw_until(&mut drawn, each * thinned)?;
        let times = (ENOUGH / mixing.effective_samples).clamp(1.0, MOST_TIMES);
        let recorded = (each as f64 * times).ceil() as usize;
        if recorded > each {
            mixing = draw_until(&mut drawn, recorded * thinned)?;
        }
        if mixing.r_hat > limits.r_hat || mixing.effective_samples < limits.effective_samples {
            return Ok(None);
        }
        // As far from each other as this many can be.
        let is_kept = |at: usize| (at + 1) * each / recorded > at * each / recorded;
        let of_chain = |chain: Drawn| {
            let records = chain.records.into_iter().enumerate();
            records.filter_map(|(at, record)| is_kept(at).then_some(record))
        };
        Posterior::of_chains(Chained {
            records: drawn.into_iter().flat_map(of_chain).take(n).collect(),
            mixing,
            log_weights,
        })
        .map(Some)
    }
}

/// What a chain has drawn: its states, and all choices there.
#[derive(Default)]
struct Drawn {
    states: Vec<Vec<f64>>,
    records: Vec<Record>,
}

/// The key of a draw's random numbers: steps of training count up from 0, these down from the last.
fn key(seed: u64, step: u64) -> Key {
    Key {
        step: u64::MAX - step,
        ..Key::new(seed)
    }
}
