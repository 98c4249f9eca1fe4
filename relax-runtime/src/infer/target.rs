//! The log-density of what sums leave of a model, as a function of unconstrained numbers.

use std::borrow::Cow;
use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::dist::{Bijection, Draws, Number, Value};
use crate::error::{Error, Result};
use crate::infer::draw::run_under;
use crate::infer::objective::density_term;
use crate::infer::pass::{Latent, Pass};
use crate::infer::posterior::{Record, SiteRecord};
use crate::model::{Interpreter, Kind, Message, ParamStore, Program, Spread, SummedOut, Trace};
use crate::random::Key;
use crate::tensor::{Device, Shape, Tensor, grad};

/// A model's joint density over the unconstrained numbers of its continuous choices.
pub(in crate::infer) struct Target<'m> {
    model: &'m dyn Program,
    params: &'m ParamStore,
    key: Key,
    /// The sites, in the order of the first run.
    sites: OnceCell<Vec<Site>>,
}

/// A site's unconstrained numbers.
struct Site {
    name: String,
    shape: Shape,
}

/// A place of the target.
pub(in crate::infer) struct Place {
    pub(in crate::infer) log_density: f64,
    /// Its derivative by the unconstrained numbers.
    pub(in crate::infer) slope: Vec<f64>,
    choices: Vec<(Cow<'static, str>, Tensor)>,
    summed: Vec<Rc<dyn SummedOut>>,
}

impl Place {
    /// The choices here, with a draw of those that are summed out.
    ///
    /// # Errors
    /// If a value cannot be made.
    pub(in crate::infer) fn record(&self, key: Key) -> Result<Record> {
        let choices = self.choices.iter();
        let sites = choices.map(|(name, value)| Ok(SiteRecord::of_value(name.clone(), value)));
        let summed = self.summed.iter().map(|summed| (&**summed, key));
        Ok(Record {
            sites: SiteRecord::with_summed(sites, summed)?,
            log_weights: Vec::new(),
            scaled: None,
        })
    }
}

/// Gives each choice the value that its unconstrained numbers stand for, or finds these.
struct At {
    given: Given,
    /// ln |∂value/∂free| of each choice.
    log_volumes: RefCell<Vec<Tensor>>,
    found: RefCell<Vec<(String, Tensor)>>,
}

enum Given {
    /// Values by site, whose unconstrained numbers are to be found.
    Values(FxHashMap<String, Tensor>),
    Free(FxHashMap<String, Tensor>),
}

impl At {
    fn new(given: Given) -> Rc<Self> {
        Rc::new(Self {
            given,
            log_volumes: RefCell::default(),
            found: RefCell::default(),
        })
    }
}

impl Interpreter for At {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if message.value.is_some() {
            return Ok(());
        }
        let name: &str = message.full_name;
        let law = message.law()?;
        let bijection = match (law.draws(), law.bijection()) {
            (Draws::Discrete(_), _) => {
                return Err(refused(format!(
                    "`{name}` is a discrete choice that is not summed out; chains move continuous ones alone: sum it \
                     out, or do without `hmc`"
                )));
            }
            (_, Some(bijection)) => bijection,
            (_, None) => {
                return Err(refused(format!(
                    "`{name}`, of law {}, has no unconstrained numbers that chains could move",
                    law.name()
                )));
            }
        };
        let value = match &self.given {
            Given::Values(values) => {
                let value = values.get(name).ok_or_else(|| is_elsewhere(name))?;
                let free = bijection.free(value).check()?.kept();
                self.found.borrow_mut().push((name.to_owned(), free));
                value.clone()
            }
            Given::Free(numbers) => {
                let free = numbers.get(name).ok_or_else(|| is_elsewhere(name))?;
                self.volume(&bijection, free);
                bijection.value(free)
            }
        };
        message.value = Some(Value::Tensor(value.check()?.clone()));
        Ok(())
    }
}

impl At {
    fn volume(&self, bijection: &Bijection, free: &Tensor) {
        if !matches!(bijection, Bijection::Real) {
            self.log_volumes
                .borrow_mut()
                .push(bijection.log_volume(free));
        }
    }
}

/// The error of a site that not every run comes by.
fn is_elsewhere(site: &str) -> Error {
    refused(format!(
        "a run came by `{site}`, and others do not; chains need the same continuous choices in every run: do without \
         `hmc`"
    ))
}

impl<'m> Target<'m> {
    pub(in crate::infer) fn new(model: &'m dyn Program, params: &'m ParamStore, key: Key) -> Self {
        Self {
            model,
            params,
            key,
            sites: OnceCell::new(),
        }
    }

    fn run(&self, at: &Rc<At>) -> Result<Trace> {
        run_under(at, self.model, self.key, self.params).map(|(trace, _)| trace)
    }

    /// The unconstrained numbers of a guide's draw.
    ///
    /// # Errors
    /// Whatever goes wrong in the model, or if it has other choices than before.
    pub(in crate::infer) fn free(&self, pass: &Pass) -> Result<Vec<f64>> {
        let elsewhere = |latent: &&Latent| latent.value.device() != Device::cpu();
        if let Some(latent) = pass.latents.iter().find(elsewhere) {
            return Err(refused(format!(
                "`{}` is on {}; chains move numbers on the CPU alone: fit there, or do without `hmc`",
                latent.name,
                latent.value.device()
            )));
        }
        let latents = pass.latents.iter();
        let values = latents.map(|latent| (latent.name.to_string(), latent.value.kept()));
        let at = At::new(Given::Values(values.collect()));
        let trace = self.run(&at)?;
        let found = at.found.take();
        for (name, _) in &found {
            if let Some(entry) = trace.find(name)
                && !matches!(entry.value, Value::Tensor(_))
            {
                return Err(entry.locate(refused(format!(
                    "`{name}` is a host number, through which no derivative passes, and chains follow derivatives: give its \
                     distribution a Tensor, such as Tensor::scalar(0.0) in place of 0.0, or do without `hmc`"
                ))));
            }
        }
        let site = |(name, free): &(String, Tensor)| Site {
            name: name.clone(),
            shape: free.shape(),
        };
        let sites = self.sites.get_or_init(|| found.iter().map(site).collect());
        let mut all = Vec::new();
        for Site { name, shape } in sites {
            let site = found.iter().find(|(other, _)| other == name);
            let (_, free) = site.ok_or_else(|| is_elsewhere(name))?;
            if free.shape() != *shape || found.len() != sites.len() {
                return Err(is_elsewhere(name));
            }
            free.with_values(|values| all.extend(values.iter().map(|&x| f64::from(x))))?;
        }
        Ok(all)
    }

    /// Each site's numbers at a place.
    fn by_site(&self, numbers: &[f64]) -> impl Iterator<Item = (&str, Tensor)> {
        let mut rest = numbers;
        self.sites.get().into_iter().flatten().map(move |site| {
            let (own, others) = rest.split_at(site.shape.numel());
            rest = others;
            let own: Vec<f32> = own.iter().map(|&x| x as f32).collect();
            (&*site.name, Tensor::of_numbers(&own, site.shape))
        })
    }

    /// A place by site, with the standard deviations of each number.
    pub(in crate::infer) fn spreads_of(
        &self,
        place: &[f64],
        spreads: &[f64],
    ) -> FxHashMap<String, Spread> {
        let both = self.by_site(place).zip(self.by_site(spreads));
        both.map(|((name, loc), (_, scale))| (name.to_owned(), Spread { loc, scale }))
            .collect()
    }

    /// The log-density at a place, and its slope.
    ///
    /// # Errors
    /// Whatever goes wrong in the model.
    pub(in crate::infer) fn at(&self, numbers: &[f64]) -> Result<Place> {
        let (names, leaves): (Vec<String>, Vec<Tensor>) = self
            .by_site(numbers)
            .map(|(name, own)| (name.to_owned(), own.leaf()))
            .unzip();
        let at = At::new(Given::Free(
            names.into_iter().zip(leaves.iter().cloned()).collect(),
        ));
        let trace = self.run(&at)?;
        let (mut log_density, mut parts) = (0.0, Vec::new());
        for volume in at.log_volumes.take() {
            log_density += Number::Tensor(volume.clone()).total()?;
            parts.push((volume, 1.0));
        }
        let mut choices = Vec::with_capacity(leaves.len());
        let summed = trace.summed.to_vec();
        trace.take_apart(|entry| {
            if let (Kind::Latent, Value::Tensor(value)) = (entry.kind, &entry.value) {
                choices.push((entry.name.clone(), value.kept()));
            }
            match entry.kind {
                _ if entry.elsewhere => {}
                Kind::Latent | Kind::Observed | Kind::Factor => {
                    let term = density_term(entry)?;
                    log_density -= term.value.total()? * term.scale;
                    if let Number::Tensor(t) = term.value {
                        parts.push((t, -term.scale));
                    }
                }
                Kind::Cost => {
                    return Err(entry.locate(refused("a `cost!` is no part of a density".into())));
                }
                Kind::Param => {}
            }
            Ok(())
        })?;
        parts.retain(|(t, _)| t.is_tracked());
        let cotangents: Vec<Tensor> = parts
            .iter()
            .map(|(t, by)| t.full_like(*by as f32))
            .collect();
        let outputs: Vec<(&Tensor, Option<&Tensor>)> = parts
            .iter()
            .zip(&cotangents)
            .map(|((t, _), by)| (t, Some(by)))
            .collect();
        let mut slope = Vec::with_capacity(numbers.len());
        for own in grad(&outputs, &leaves.iter().collect::<Vec<_>>())? {
            own.with_values(|values| slope.extend(values.iter().map(|&x| f64::from(x))))?;
        }
        Ok(Place {
            log_density,
            slope,
            choices,
            summed,
        })
    }
}

/// The error of a model that has no such density.
pub(in crate::infer) fn refused(problem: String) -> Error {
    Error::Config {
        setting: "hmc",
        problem,
    }
}
