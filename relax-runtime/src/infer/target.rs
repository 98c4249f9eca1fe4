//! The log-density that sums leave of a model, minus its costs, as a function of unconstrained numbers.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::dist::{Bijection, Draws, Number, Value};
use crate::error::{Error, Result};
use crate::infer::draw::run_under;
use crate::infer::missed::Values;
use crate::infer::objective::{cost_term, density_term};
use crate::infer::pass::{Latent, Pass};
use crate::infer::posterior::{Record, SiteRecord};
use crate::model::{Interpreter, Kind, Message, ParamStore, Program, Spread, SummedOut, Trace};
use crate::random::Key;
use crate::special::HALF_LN_TAU;
use crate::tensor::{Device, Shape, Tensor, grad};

/// A model's joint density over the unconstrained numbers of its continuous choices.
pub(in crate::infer) struct Target<'m> {
    model: &'m dyn Program,
    params: &'m ParamStore,
    key: Key,
    /// The sites, in the order of the first run.
    sites: OnceCell<Vec<Site>>,
    /// How many terms that run had; `None` if it was a sum, whose runs tell.
    terms: Cell<Option<usize>>,
    /// For each number how far it is moved to see how the density changes, if no derivative passes.
    apart: OnceCell<Vec<f64>>,
    /// Location and spread of each site's numbers over draws, if runs may do without a site.
    stand_ins: OnceCell<Rc<FxHashMap<String, Spread>>>,
}

/// A site's unconstrained numbers.
struct Site {
    name: String,
    shape: Shape,
    /// Whether the model has its value as host numbers, through which no derivative passes.
    is_host: bool,
}

/// The setting that asks for chains.
const HMC: &str = "hmc";
/// How far host numbers are moved, in standard deviations: densities computed with tensors are f32.
const APART: f64 = 0.05;
/// The minimum of that, as a share of a number, which is f32 in the model.
const LEAST_APART: f64 = 1e-6;

/// A place of the target.
pub(in crate::infer) struct Place {
    pub(in crate::infer) log_density: f64,
    /// Its derivative by the unconstrained numbers.
    pub(in crate::infer) slope: Vec<f64>,
    choices: Vec<(Cow<'static, str>, Tensor)>,
    summed: Vec<Rc<dyn SummedOut>>,
}

/// A run at some numbers.
struct Ran {
    log_density: f64,
    /// Its terms that are tensors, and their weights.
    terms: Vec<(Tensor, f64)>,
    /// Whether derivatives pass through any of the model's terms.
    has_slopes: bool,
    /// The numbers, by site.
    leaves: Vec<Tensor>,
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
            surplus: 0.0,
            scaled: None,
        })
    }
}

/// Gives each choice the value of its unconstrained numbers, or finds these.
struct At {
    given: Given,
    /// ln |∂value/∂free| of each choice.
    log_volumes: RefCell<Vec<Tensor>>,
    found: RefCell<Vec<(String, Tensor)>>,
    /// How many sites have been given values.
    given_values: Cell<usize>,
    /// Laws of the numbers of sites that runs do without: any will do, and these are near the numbers' values where
    /// they count, so that chains come from there and back (Carlin and Chib 1995).
    stand_ins: Option<Rc<FxHashMap<String, Spread>>>,
    /// Their densities at the numbers, one number per row of the plates.
    densities: RefCell<Vec<Tensor>>,
}

enum Given {
    /// Values by site, whose unconstrained numbers are wanted.
    Values(FxHashMap<String, Tensor>),
    Free(FxHashMap<String, Tensor>),
}

impl At {
    fn new(given: Given, stand_ins: Option<Rc<FxHashMap<String, Spread>>>) -> Rc<Self> {
        Rc::new(Self {
            given,
            stand_ins,
            densities: RefCell::default(),
            log_volumes: RefCell::default(),
            found: RefCell::default(),
            given_values: Cell::new(0),
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
                return Err(not_continuous(name));
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
                message.origin = self.stand_in(name, &bijection, free, message.plates.len());
                bijection.value(free)
            }
        };
        message.value = Some(Value::Tensor(value.check()?.clone()));
        self.given_values.set(self.given_values.get() + 1);
        Ok(())
    }

    fn log_density(&self, origin: usize) -> Option<Result<Number>> {
        let densities = self.densities.borrow();
        let density = densities.get(origin)?;
        Some(density.check().cloned().map(Number::Tensor))
    }
}

impl At {
    /// Notes the density of a site's stand-in at its numbers, and returns its index, if there is one.
    fn stand_in(
        &self,
        name: &str,
        bijection: &Bijection,
        free: &Tensor,
        plates: usize,
    ) -> Option<usize> {
        let Spread { loc, scale } = self.stand_ins.as_ref()?.get(name)?;
        let rows = |t: Tensor| match t.rank() > plates {
            true => t.sum_from(plates),
            false => t,
        };
        let square = ((free - loc) / scale).square();
        let of_free = rows(square * -0.5 - scale.ln() - HALF_LN_TAU as f32);
        let mut densities = self.densities.borrow_mut();
        densities.push(of_free - rows(bijection.log_volume(free)));
        Some(densities.len() - 1)
    }

    fn volume(&self, bijection: &Bijection, free: &Tensor) {
        if !matches!(bijection, Bijection::Real) {
            self.log_volumes
                .borrow_mut()
                .push(bijection.log_volume(free));
        }
    }
}

/// The error of a discrete choice that is left to chains.
pub(in crate::infer) fn not_continuous(site: &str) -> Error {
    refused(format!(
        "`{site}` is a discrete choice that is not summed out; chains only move continuous ones: sum it out, or do \
         without `hmc`"
    ))
}

/// The error for a site that not every run reaches.
fn is_elsewhere(site: &str) -> Error {
    refused(format!(
        "some runs reach `{site}`, with the same shape, and others do not; chains need the same continuous choices in \
         every run: do without `hmc`"
    ))
}

impl<'m> Target<'m> {
    pub(in crate::infer) fn new(model: &'m dyn Program, params: &'m ParamStore, key: Key) -> Self {
        Self {
            model,
            params,
            key,
            sites: OnceCell::new(),
            terms: Cell::new(None),
            apart: OnceCell::new(),
            stand_ins: OnceCell::new(),
        }
    }

    fn run(&self, at: &Rc<At>) -> Result<Trace> {
        run_under(at, self.model, self.key, self.params).map(|(trace, _)| trace)
    }

    /// The unconstrained numbers of a guide's draw.
    ///
    /// # Errors
    /// Any error from the model, or if its choices have changed.
    pub(in crate::infer) fn free(&self, pass: &Pass) -> Result<Vec<f64>> {
        let elsewhere = |latent: &&Latent| latent.value.device() != Device::cpu();
        if let Some(latent) = pass.latents.iter().find(elsewhere) {
            return Err(refused(format!(
                "`{}` is on {}; chains only move numbers on the CPU: fit there, or do without `hmc`",
                latent.name,
                latent.value.device()
            )));
        }
        let latents = pass.latents.iter();
        let values = latents.map(|latent| (latent.name.to_string(), latent.value.kept()));
        let at = At::new(Given::Values(values.collect()), None);
        let trace = self.run(&at)?;
        let found = at.found.take();
        let is_host = |name: &str| {
            let entry = trace.find(name);
            entry.is_some_and(|entry| !matches!(entry.value, Value::Tensor(_)))
        };
        let site = |(name, free): &(String, Tensor)| Site {
            name: name.clone(),
            shape: free.shape(),
            is_host: is_host(name),
        };
        let sites = self.sites.get_or_init(|| {
            let is_whole = trace.summed.is_empty();
            self.terms.set(is_whole.then(|| trace.entries().len()));
            found.iter().map(site).collect()
        });
        let is_new = |(name, _): &&(String, Tensor)| !sites.iter().any(|site| site.name == *name);
        if let Some((name, _)) = found.iter().find(is_new) {
            return Err(is_elsewhere(name));
        }
        let mut all = Vec::new();
        for Site { name, shape, .. } in sites {
            let site = found.iter().find(|(other, _)| other == name);
            let (_, free) = site.ok_or_else(|| is_elsewhere(name))?;
            if free.shape() != *shape {
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

    /// A place by site, with the standard deviation of each number.
    pub(in crate::infer) fn spreads_of(
        &self,
        place: &[f64],
        spreads: &[f64],
    ) -> FxHashMap<String, Spread> {
        let both = self.by_site(place).zip(self.by_site(spreads));
        both.map(|((name, loc), (_, scale))| (name.to_owned(), Spread { loc, scale }))
            .collect()
    }

    /// Whether a place is within these spreads, for every site.
    ///
    /// # Errors
    /// If a tensor carries an error.
    pub(in crate::infer) fn is_within(
        &self,
        spreads: &FxHashMap<String, Spread>,
        place: &[f64],
    ) -> Result<bool> {
        for (name, here) in self.by_site(place) {
            let Some(Spread { loc, scale }) = spreads.get(name) else {
                return Ok(false);
            };
            let apart = ((here - loc) / scale).abs();
            if !apart.with_values(|apart| apart.iter().all(|&x| x <= 1.0))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many terms a run has, if it is a single run.
    pub(in crate::infer) fn terms(&self) -> Option<usize> {
        self.terms.get()
    }

    /// The number of host numbers, whose slopes cost a run each.
    pub(in crate::infer) fn host_numbers(&self) -> usize {
        let sites = self.sites.get().into_iter().flatten();
        let own = sites.filter(|site| site.is_host);
        own.map(|site| site.shape.numel()).sum()
    }

    /// Measures from draws how far host numbers are moved for their slopes, and the stand-ins for numbers that are not
    /// always there, if any.
    pub(in crate::infer) fn measure(&self, draws: &[Vec<f64>], comes_and_goes: bool) {
        let dims = draws.first().map_or(0, Vec::len);
        let moments = |number: usize| {
            let mean = draws.iter().map(|x| x[number]).sum::<f64>() / draws.len() as f64;
            let squares = draws.iter().map(|x| (x[number] - mean).powi(2));
            let sd = (squares.sum::<f64>() / draws.len() as f64).sqrt();
            // Guides of points say nothing about scales.
            (mean, if sd > 0.0 { sd } else { 1.0 })
        };
        let (means, sds): (Vec<f64>, Vec<f64>) = (0..dims).map(moments).unzip();
        if comes_and_goes {
            self.stand_ins
                .get_or_init(|| Rc::new(self.spreads_of(&means, &sds)));
        }
        self.apart
            .get_or_init(|| sds.iter().map(|sd| APART * sd).collect());
    }

    fn run_at(&self, numbers: &[f64], is_tracked: bool) -> Result<Ran> {
        let (names, leaves): (Vec<String>, Vec<Tensor>) = self
            .by_site(numbers)
            .map(|(name, own)| match is_tracked {
                true => (name.to_owned(), own.leaf()),
                false => (name.to_owned(), own),
            })
            .unzip();
        let free = names.into_iter().zip(leaves.iter().cloned()).collect();
        let at = At::new(Given::Free(free), self.stand_ins.get().cloned());
        let trace = self.run(&at)?;
        let sites = self.sites.get().map_or(&[][..], Vec::as_slice);
        if at.given_values.get() < sites.len() {
            let is_absent = |site: &&Site| trace.find(&site.name).is_none();
            let absent = sites.iter().find(is_absent);
            return Err(is_elsewhere(absent.map_or("a site", |site| &site.name)));
        }
        let (mut log_density, mut terms, mut has_slopes) = (0.0, Vec::new(), false);
        for volume in at.log_volumes.take() {
            log_density += Number::Tensor(volume.clone()).peek_total()?;
            terms.push((volume, 1.0));
        }
        let mut choices = Vec::with_capacity(leaves.len());
        let summed = trace.summed.to_vec();
        trace.take_apart(|entry| {
            let is_own = || sites.iter().any(|site| site.name == entry.name);
            if entry.kind == Kind::Latent && is_own() {
                choices.push((entry.name.clone(), entry.value.to_tensor()?.kept()));
            }
            match entry.kind {
                _ if entry.elsewhere => {}
                Kind::Latent | Kind::Observed | Kind::Factor | Kind::Cost => {
                    let term = match entry.kind {
                        Kind::Cost => cost_term(entry)?,
                        _ => density_term(entry)?,
                    };
                    // What counts more as a sample of a larger data set counts once, as its rows are independent.
                    log_density -= term.value.peek_total()? * term.weight;
                    if let Number::Tensor(t) = term.value {
                        has_slopes |= t.is_tracked();
                        terms.push((t, -term.weight));
                    }
                }
                Kind::Param => {}
            }
            Ok(())
        })?;
        Ok(Ran {
            log_density,
            terms,
            has_slopes,
            leaves,
            choices,
            summed,
        })
    }

    /// The log-density at a place, and the values of the choices there.
    ///
    /// # Errors
    /// Any error from the model.
    pub(in crate::infer) fn values(&self, numbers: &[f64]) -> Result<(f64, Values)> {
        let ran = self.run_at(numbers, false)?;
        let values = ran.choices.into_iter();
        let values = values.map(|(name, value)| (name.into_owned(), value));
        Ok((ran.log_density, Rc::new(values.collect())))
    }

    /// The log-density at a place.
    ///
    /// # Errors
    /// Any error from the model.
    pub(in crate::infer) fn log_density(&self, numbers: &[f64]) -> Result<f64> {
        self.run_at(numbers, false).map(|ran| ran.log_density)
    }

    /// The log-density at a place, and its slope: along host numbers by a difference, as no derivative passes.
    ///
    /// # Errors
    /// Any error from the model.
    pub(in crate::infer) fn at(&self, numbers: &[f64]) -> Result<Place> {
        let mut ran = self.run_at(numbers, true)?;
        ran.terms.retain(|(t, _)| t.is_tracked());
        let cotangents: Vec<Tensor> = ran
            .terms
            .iter()
            .map(|(t, by)| t.full_like(*by as f32))
            .collect();
        let outputs: Vec<(&Tensor, Option<&Tensor>)> = ran
            .terms
            .iter()
            .zip(&cotangents)
            .map(|((t, _), by)| (t, Some(by)))
            .collect();
        let mut slope = Vec::with_capacity(numbers.len());
        for own in grad(&outputs, &ran.leaves.iter().collect::<Vec<_>>())? {
            own.with_values(|values| slope.extend(values.iter().map(|&x| f64::from(x))))?;
        }
        // The same kind of run as for the place beside it, as one with derivatives may round differently.
        let here = match self.host_numbers() > 0 && ran.has_slopes {
            true => self.log_density(numbers)?,
            false => ran.log_density,
        };
        let mut first = 0;
        for site in self.sites.get().into_iter().flatten() {
            let own = first..first + site.shape.numel();
            first = own.end;
            if site.is_host {
                for number in own {
                    slope[number] = self.difference(numbers, number, here);
                }
            }
        }
        Ok(Place {
            log_density: ran.log_density,
            slope,
            choices: ran.choices,
            summed: ran.summed,
        })
    }

    /// The slope along a number, from a place nearby; 0 between places that are impossible under the model.
    fn difference(&self, numbers: &[f64], number: usize, here: f64) -> f64 {
        let apart = self.apart.get().and_then(|apart| apart.get(number));
        let apart = apart.copied().unwrap_or(APART);
        let apart = apart.max(LEAST_APART * numbers[number].abs());
        let mut beside = numbers.to_vec();
        let slopes = [apart, -apart].into_iter().map(|by| {
            beside[number] = numbers[number] + by;
            // Numbers are f32 in the model.
            let by = f64::from(beside[number] as f32) - f64::from(numbers[number] as f32);
            let there = self.log_density(&beside).unwrap_or(f64::NEG_INFINITY);
            (there - here) / by
        });
        let mut finite = slopes.filter(|slope| slope.is_finite());
        finite.next().unwrap_or(0.0)
    }
}

/// The error for a model that has no such density.
pub(in crate::infer) fn refused(problem: String) -> Error {
    Error::Config {
        setting: HMC,
        problem,
    }
}

/// Whether an error says that a model has no such density.
pub(in crate::infer) fn is_refusal(error: &Error) -> bool {
    matches!(error.cause(), Error::Config { setting: HMC, .. })
}
