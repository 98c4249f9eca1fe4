//! The densities of a model and its guide at any place.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::dist::{Draws, Law, Number};
use crate::error::Result;
use crate::infer::draw::{Draw, Own};
use crate::infer::objective::{Elbo, Objective, cost_term, density_term};
use crate::infer::pass::{Latent, Mode, Pass};
use crate::model::{Entry, Kind, ParamStore, Program, Trace};
use crate::random::Key;
use crate::tensor::{Device, SiteSet, Tensor};

/// A value for each choice, by its site's full name.
pub(in crate::infer) type Values = Rc<BTreeMap<String, Tensor>>;

/// A law for each choice.
type Laws = Vec<(String, Rc<dyn Law>)>;

/// Bit of a key's particle that no other draws set.
const ELSEWHERE: u64 = 1 << 37;
/// How many values are tried with all choices alike, for choices that do not have very many.
const MOST_ALIKE: usize = 4;
const MOST_VALUES: usize = 256;

/// A model with its guide.
pub(in crate::infer) struct Places<'m> {
    objective: &'m dyn Objective,
    model: &'m dyn Program,
    /// A fork, so that nothing changes in the original.
    params: ParamStore,
    seed: u64,
}

/// A place, and what is known about it.
#[derive(Clone)]
pub(in crate::infer) struct Place {
    pub(super) values: Values,
    /// The law of each choice, in order: the guide's, or the model's if the guide cannot be there.
    pub(super) laws: Laws,
    /// ln p(x, z) minus the costs, and ln q(z).
    pub(in crate::infer) log_p: f64,
    pub(in crate::infer) log_q: f64,
}

/// A draw from the model's own laws.
pub(super) struct Stated {
    pub(super) values: Values,
    pub(super) log_likelihood: f64,
}

impl<'m> Places<'m> {
    pub(in crate::infer) fn new(objective: &'m Elbo<'_>, params: &ParamStore, seed: u64) -> Self {
        let params = params.fork();
        Self {
            objective,
            model: objective.program(&params),
            params,
            seed,
        }
    }

    fn key(&self, step: u64) -> Key {
        Key {
            seed: self.seed,
            step,
            particle: ELSEWHERE,
        }
    }

    /// A draw of the guide; `None` if it has point masses or values on another device.
    ///
    /// # Errors
    /// Whatever goes wrong in model or guide.
    pub(super) fn drawn(&self, number: u64) -> Result<Option<Place>> {
        let key = self.key(number);
        let pass = self.objective.evaluate(key, &self.params, &Mode::Draw)?;
        let is_point = |latent: &Latent| latent.law.name() == "Delta";
        let is_elsewhere = |latent: &Latent| latent.value.device() != Device::cpu();
        let mut latents = pass.latents.iter();
        let is_out = latents.any(|latent| is_point(latent) || is_elsewhere(latent));
        match is_out {
            true => Ok(None),
            false => Place::of(&pass),
        }
    }

    /// The place where choices have these values, if the model can be there and makes the same choices.
    pub(in crate::infer) fn at(&self, values: &Values) -> Option<Place> {
        let mode = Mode::Given(Rc::clone(values));
        match self.objective.evaluate(self.key(0), &self.params, &mode) {
            Ok(pass) if are_of(values, &pass.latents) => Place::of(&pass).ok()?,
            Err(error) if error.is_of_exclusion() => self.outside_the_guide(values).ok()?,
            Ok(_) | Err(_) => None,
        }
    }

    /// As [`at`](Self::at), from the model alone, if its guide cannot be there: a guide's code must not see excluded
    /// values.
    ///
    /// # Errors
    /// If the model cannot be there either, or whatever goes wrong in it.
    fn outside_the_guide(&self, values: &Values) -> Result<Option<Place>> {
        let (latents, trace, _) = self.run(0, Mode::Given(Rc::clone(values)))?;
        let log_p = log_prob(trace, density)?;
        let is_there = log_p.is_finite() && are_of(values, &latents);
        Ok(is_there.then(|| Place {
            values: Rc::clone(values),
            laws: laws_of(&latents),
            log_p,
            log_q: f64::NEG_INFINITY,
        }))
    }

    /// Draws from the model's own laws, with the log-likelihood of the rest of the model; impossible ones are left out.
    pub(super) fn stated(&self, draws: u64) -> impl Iterator<Item = Stated> {
        let draw = |number: u64| -> Result<Stated> {
            let (latents, trace, _) = self.run(number, Mode::Draw)?;
            // A sum has already counted the choices that it leaves.
            let is_counted = |latent: &&Latent| {
                let entry = trace.find(&latent.name);
                entry.is_some_and(|entry| entry.elsewhere)
            };
            let mut counted = 0.0;
            for latent in latents.iter().filter(is_counted) {
                counted += Number::Tensor(latent.law.log_density(&latent.value)).peek_total()?;
            }
            Ok(Stated {
                values: values_of(&latents),
                log_likelihood: log_prob(trace, beside_draws)? - counted,
            })
        };
        let drawn = (0..draws).filter_map(move |number| draw(number).ok());
        drawn.filter(|drawn| drawn.log_likelihood.is_finite())
    }

    /// The model's own law of each choice, in one run.
    pub(super) fn laws_stated(&self) -> Option<BTreeMap<String, Rc<dyn Law>>> {
        let (latents, ..) = self.run(0, Mode::Draw).ok()?;
        Some(laws_of(&latents).into_iter().collect())
    }

    fn run(&self, number: u64, mode: Mode) -> Result<(Vec<Latent>, Trace, SiteSet)> {
        let draw = Draw::new(Own, mode);
        draw.run(self.model, self.key(number), &self.params)
    }
}

/// Whether the choices are exactly those with these values.
fn are_of(values: &Values, latents: &[Latent]) -> bool {
    let is_known = |latent: &Latent| values.contains_key(&*latent.name);
    latents.len() == values.len() && latents.iter().all(is_known)
}

/// The sum of `of` over a run's entries.
fn log_prob(trace: Trace, of: impl Fn(&mut Entry) -> Result<f64>) -> Result<f64> {
    let mut log_prob = 0.0;
    trace.take_apart(|entry| {
        if !entry.elsewhere {
            log_prob += of(entry)?;
        }
        Ok(())
    })?;
    Ok(log_prob)
}

/// The log-density of an entry or minus its cost, as weighted by handlers.
fn density(entry: &mut Entry) -> Result<f64> {
    match entry.kind {
        Kind::Param => Ok(0.0),
        Kind::Cost => Ok(-cost_term(entry)?.once()?),
        Kind::Latent | Kind::Observed | Kind::Factor => Ok(-density_term(entry)?.once()?),
    }
}

/// As [`density`], but without what drawing from the laws accounts for: draws are from the laws themselves, however
/// handlers weight these.
fn beside_draws(entry: &mut Entry) -> Result<f64> {
    match (entry.kind, &entry.weight) {
        (Kind::Latent, None) => Ok(0.0),
        (Kind::Latent, Some(_)) => {
            let own = entry.log_prob()?.peek_total()?;
            Ok(density(entry)? - own)
        }
        _ => density(entry),
    }
}

fn laws_of(latents: &[Latent]) -> Laws {
    let laws = latents.iter();
    laws.map(|latent| (latent.name.to_string(), Rc::clone(&latent.law)))
        .collect()
}

fn values_of(latents: &[Latent]) -> Values {
    let values = latents.iter();
    Rc::new(
        values
            .map(|latent| (latent.name.to_string(), latent.value.kept()))
            .collect(),
    )
}

impl Place {
    /// The place of an evaluation, if the model can be there.
    ///
    /// # Errors
    /// If a term carries an error.
    fn of(pass: &Pass) -> Result<Option<Self>> {
        let (mut log_p, mut log_q) = (0.0, 0.0);
        for term in &pass.terms {
            let value = term.once()?;
            match term.of_guide {
                true => log_q += value,
                false => log_p -= value,
            }
        }
        Ok((log_p.is_finite() && !log_q.is_nan()).then(|| Self {
            values: values_of(&pass.latents),
            laws: laws_of(&pass.latents),
            log_p,
            log_q,
        }))
    }

    /// The law of a choice.
    pub(super) fn law(&self, site: &str) -> Option<&dyn Law> {
        let mut laws = self.laws.iter();
        laws.find_map(|(name, law)| (name == site).then_some(&**law))
    }

    /// The bits of its numbers, which tell places apart.
    pub(super) fn bits(&self) -> Vec<u32> {
        let numbers = self
            .values
            .values()
            .flat_map(|value| value.peek().unwrap_or_default());
        numbers.map(f32::to_bits).collect()
    }

    /// Number of discrete choices, and of others.
    pub(super) fn kinds(&self) -> (usize, usize) {
        let laws = self.laws.iter();
        let discrete = laws.filter(|(_, law)| law.draws().are_discrete()).count();
        (discrete, self.laws.len() - discrete)
    }

    /// Whether all its choices are discrete.
    pub(super) fn is_discrete(&self) -> bool {
        self.kinds().1 == 0
    }

    /// The values where all discrete choices have their first value, where all have their second, and so on.
    pub(super) fn alike(&self) -> Vec<Values> {
        let alike = |number: usize| -> Option<Values> {
            let mut values = (*self.values).clone();
            for (name, law) in &self.laws {
                let Draws::Discrete(Some(relaxation)) = law.draws() else {
                    return None;
                };
                let vertex = law.to_vertex(&self.values[name]);
                let width = relaxation.width(&vertex.shape());
                relaxation.values(width).filter(|&n| n <= MOST_VALUES)?;
                let vertices = relaxation.vertices(width);
                let one = vertices.get(number.min(vertices.len().checked_sub(1)?))?;
                let all = one.repeat(vertex.len() / one.len().max(1));
                let all = Tensor::from_vec(all, vertex.shape(), &vertex.device()).ok()?;
                values.insert(name.clone(), law.value_at(&all));
            }
            Some(Rc::new(values))
        };
        (0..MOST_ALIKE).filter_map(alike).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Bernoulli, Normal};
    use crate::model::{Context, Site};
    use crate::plumbing::model;

    /// A choice and a number that depends on it; the first evaluation makes their guide.
    #[test]
    fn draws_that_are_given_again_have_the_densities_that_they_had() -> Result<()> {
        let site = |name| Site::new(name, file!(), line!());
        let program = model("program", |context: &Context| {
            let high = context.sample(site("high"), Bernoulli::probs(0.3))?;
            let mean = if high { 1.0 } else { -1.0 };
            let level = context.sample(site("level"), Normal::new(mean, 1.0))?;
            context.observe(site("seen"), Normal::new(level, 0.5), 0.7)
        });
        let objective = Elbo::new(&program);
        let places = Places::new(&objective, &ParamStore::default(), 1);
        let normal = |x: f64, mean: f64, sd: f64| {
            -0.5 * ((x - mean) / sd).powi(2) - sd.ln() - 0.5 * std::f64::consts::TAU.ln()
        };
        for number in 0..8 {
            let drawn = places.drawn(number)?.expect("a place");
            let again = places.at(&drawn.values).expect("the same place");
            assert!((again.log_p - drawn.log_p).abs() < 1e-5);
            assert!((again.log_q - drawn.log_q).abs() < 1e-5);
            let value = |name: &str| drawn.values[name].peek_item().map(f64::from);
            let (high, level) = (value("high")?, value("level")?);
            let (p, mean) = if high > 0.5 { (0.3, 1.0) } else { (0.7, -1.0) };
            let joint = f64::ln(p) + normal(level, mean, 1.0) + normal(0.7, level, 0.5);
            assert!(
                (drawn.log_p - joint).abs() < 1e-4,
                "{}, not {joint}",
                drawn.log_p
            );
        }
        // The likelihood of the model's own draws.
        for stated in places.stated(4) {
            let level = f64::from(stated.values["level"].peek_item()?);
            assert!((stated.log_likelihood - normal(0.7, level, 0.5)).abs() < 1e-4);
        }
        // The same for what a sum leaves, whose density is part of the sum.
        let wide = model("wide", |context: &Context| {
            let high = context.sample(site("high"), Bernoulli::probs(0.3))?;
            let level = context.sample(site("level"), Normal::new(0.0, 100.0))?;
            let mean = if high { level } else { -level };
            context.observe(site("seen"), Normal::new(mean, 0.5), 0.7)
        });
        let objective = Elbo::new(&wide).marginalise();
        let places = Places::new(&objective, &ParamStore::default(), 1);
        let mut drawn = 0;
        for stated in places.stated(200) {
            let level = f64::from(stated.values["level"].peek_item()?);
            let [high, low] = [level, -level].map(|mean| normal(0.7, mean, 0.5));
            let likelihood = (0.3 * high.exp() + 0.7 * low.exp()).ln();
            // As far as single precision can tell.
            if likelihood > -80.0 {
                assert!((stated.log_likelihood - likelihood).abs() < 1e-3);
                drawn += 1;
            }
        }
        assert!(drawn > 3, "{drawn}");
        Ok(())
    }
}
