//! A program as guide: it draws first, and the model takes its values.

use std::borrow::Cow;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::{Evaluation, Guide, Proposal, expect_fit};
use crate::dist::{Law, Number, Value};
use crate::error::{Error, Result};
use crate::infer::draw::{Draw, Own, run_under};
use crate::infer::pass::{Latent, Mode, Pass};
use crate::model::{Interpreter, Kind, Message, Plate, Program, Trace};
use crate::tensor::{SiteSet, Tensor};

/// The guide samples exactly the model's latent sites, except those hidden from it.
impl<P: Program + ?Sized> Guide for P {
    fn propose(&self, evaluation: Evaluation<'_>) -> Result<Proposal> {
        let Evaluation {
            model,
            key,
            params,
            mode,
            ..
        } = evaluation;
        let (latents, trace, reads) = draws_of(self, evaluation)?;
        let from_guide = Rc::new(FromGuide::new(latents, &trace, mode));
        let (trace, reads_of_model) = run_under(&from_guide, model, key, params)?;
        from_guide.finish(&trace)?;
        let mut latents = from_guide.hidden.latents();
        for latent in &mut latents {
            match_plates(latent, &trace)?;
        }
        Ok(Proposal {
            latents,
            trace,
            reads: reads.union(reads_of_model),
        })
    }
}

/// A guide's choices, the values it passed on, and what its host code read.
fn draws_of<P: Program + ?Sized>(
    guide: &P,
    evaluation: Evaluation<'_>,
) -> Result<(Vec<Latent>, Trace, SiteSet)> {
    let Evaluation {
        key, params, mode, ..
    } = evaluation;
    if let (Some(latents), Mode::Replaced { hard, .. }) = (replaced(mode), mode) {
        return Ok((latents, Trace::default(), hard.reads.clone()));
    }
    let draw = Draw::new(Own, mode.clone());
    let (latents, trace, reads) = draw.run(guide, key, params)?;
    for entry in trace.entries() {
        let problem = match entry.kind {
            Kind::Latent | Kind::Param => continue,
            Kind::Observed => "a guide cannot observe",
            Kind::Cost => "a guide cannot have costs; pay with `cost!` in the model",
            Kind::Factor => "a guide cannot have factors; weigh with `factor!` in the model",
        };
        return Err(entry.locate(Error::Guide(problem.into())));
    }
    Ok((latents, trace, reads))
}

/// Puts a latent drawn by the guide into the model's plates: a guide's rows are the rows of the sites that it draws.
fn match_plates(latent: &mut Latent, trace: &Trace) -> Result<()> {
    let entry = trace.get(&latent.name)?;
    let sizes = |plates: &[Plate]| plates.iter().map(|plate| plate.size).collect::<Vec<_>>();
    let (guide, model) = (sizes(&latent.plates), sizes(&entry.plates));
    if guide != model {
        return Err(entry.locate(Error::Guide(format!(
            "the site stands in plates of sizes {model:?} in the model, but {guide:?} in the guide"
        ))));
    }
    if latent.scale != entry.scale {
        return Err(entry.locate(Error::Guide(format!(
            "the plates' `of` scale the site by {} in the model, but by {} in the guide; give both \
             the same `of`",
            entry.scale, latent.scale
        ))));
    }
    latent.plates = Rc::clone(&entry.plates);
    Ok(())
}

/// Gives a model's sites the guide's values.
struct FromGuide {
    places: FxHashMap<Cow<'static, str>, usize>,
    values: Vec<Tensor>,
    laws: Vec<Rc<dyn Law>>,
    /// Whether the values must lie in the support: all except relaxed ones must.
    hard: bool,
    /// Makes the choices hidden from the guide, after the guide's, and knows the laws of all.
    hidden: Draw<Own>,
}

impl FromGuide {
    fn new(latents: Vec<Latent>, trace: &Trace, mode: &Mode) -> Self {
        let places = latents
            .iter()
            .enumerate()
            .map(|(i, latent)| (latent.name.clone(), i));
        // The values as the guide's own context passed them on, with their dependences.
        let value = |latent: &Latent| match trace.find(&latent.name).map(|entry| &entry.value) {
            Some(Value::Tensor(t)) => t.clone(),
            _ => latent.value.clone(),
        };
        Self {
            places: places.collect(),
            values: latents.iter().map(value).collect(),
            laws: latents.iter().map(|l| Rc::clone(&l.law)).collect(),
            hard: !mode.is_relaxed(),
            hidden: Draw::after(latents, Own, mode.clone()),
        }
    }

    /// Checks that the model has reached everything that the guide has drawn.
    fn finish(&self, trace: &Trace) -> Result<()> {
        match self.places.keys().find(|name| trace.find(name).is_none()) {
            None => Ok(()),
            Some(name) => Err(Error::Guide(format!(
                "the guide samples `{name}`, but the model did not in this run; a guide samples \
                 exactly the model's latent sites"
            ))),
        }
    }
}

impl Interpreter for FromGuide {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        let place = self.places.get(message.name).copied();
        match (place, &message.value) {
            (Some(_), Some(_)) => {
                return Err(Error::Guide(
                    "a handler gives the site a value, but the guide draws it, too; take it out of \
                     the guide"
                        .into(),
                ));
            }
            (None, Some(_)) => return Ok(()),
            (None, None) if message.hidden => return self.hidden.sample(message),
            (_, None) => {}
        }
        let Some(place) = place else {
            let mut known: Vec<_> = self.places.keys().map(|name| format!("`{name}`")).collect();
            known.sort();
            let known = match &known[..] {
                [] => "it has none".into(),
                some => format!("its sites are {}", some.join(", ")),
            };
            return Err(Error::Guide(format!(
                "the guide has no site of this name; {known}"
            )));
        };
        let value = Value::Tensor(self.values[place].clone());
        if self.hard {
            message.dist.check(&value)?;
            let law = message.law()?;
            let shape = law.to_vertex(&self.values[place]).check()?.shape();
            expect_fit(&*law, &*self.laws[place], shape)?;
        }
        message.value = Some(value);
        message.origin = Some(place);
        Ok(())
    }

    fn log_density(&self, origin: usize) -> Option<Result<Number>> {
        self.hidden.log_density(origin)
    }
}

/// The choices of `hard` with the one at `site` replaced, if no other can change.
fn replaced(mode: &Mode) -> Option<Vec<Latent>> {
    let Mode::Replaced {
        hard, site, draw, ..
    } = mode
    else {
        return None;
    };
    let unmoved = |pass: &Rc<Pass>| {
        pass.latents
            .iter()
            .skip(site + 1)
            .all(|later| !later.depends_on.contains(*site))
    };
    unmoved(hard).then(|| {
        let mut latents = hard.latents.clone();
        latents[*site].value = draw.clone();
        latents
    })
}
