//! The interpreters behind objectives: who draws the random choices, and how the model learns of them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::pass::{Latent, Mode, Pass};
use crate::dist::{Draws, Law, MeanField, PerParameter, Value, draw_shape};
use crate::error::{Error, Result};
use crate::model::{Context, Interpreter, Message, ParamStore, Program, Trace};
use crate::random::Key;
use crate::tensor::{Parameter, SiteSet, Tensor};

/// Where the law of a choice comes from.
pub(super) enum LawSource {
    /// The distribution that the program states.
    Own,
    /// A mean-field guide: free parameters for each site, created when it is first met.
    MeanField(ParamStore),
}

/// Runs a program whose choices an interpreter makes: the record, and the choices that host code has
/// read.
pub(super) fn run_under<I: Interpreter + 'static>(
    interpreter: &Rc<I>,
    program: &dyn Program,
    key: Key,
    params: &ParamStore,
) -> Result<(Trace, SiteSet)> {
    let interpreter: Rc<dyn Interpreter> = Rc::<I>::clone(interpreter);
    let context = Context::new(key, Some(interpreter), params.clone());
    program.execute(&context)?;
    Ok(context.finish())
}

/// Draws every site that has no value yet, and keeps a record.
pub(super) struct Draw {
    source: LawSource,
    mode: Mode,
    latents: RefCell<Vec<Latent>>,
}

impl Draw {
    pub(super) fn new(source: LawSource, mode: Mode) -> Self {
        Self {
            source,
            mode,
            latents: RefCell::default(),
        }
    }

    /// Runs a program: the choices made, the record, and the choices that host code has read.
    pub(super) fn run(
        self,
        program: &dyn Program,
        key: Key,
        params: &ParamStore,
    ) -> Result<(Vec<Latent>, Trace, SiteSet)> {
        let draw = Rc::new(self);
        let (trace, reads) = run_under(&draw, program, key, params)?;
        Ok((draw.latents.take(), trace, reads))
    }

    fn law(&self, message: &Message<'_>) -> Result<Rc<dyn Law>> {
        let stated = message.law()?;
        let LawSource::MeanField(params) = &self.source else {
            return Ok(stated);
        };
        if message.hidden {
            return Ok(stated);
        }
        if message.scale != 1.0 {
            return Err(Error::Model(
                "an automatic guide keeps parameters for every row, but this plate holds a \
                 changing sample of rows; write a guide that computes them from the data, and \
                 pass it with `guide`"
                    .into(),
            ));
        }
        let always = *message.influence == SiteSet::EMPTY;
        let guide = stated.mean_field();
        let parameters = guide_parameters(params, message.full_name, &guide, always)?;
        let unconstrained: PerParameter<Tensor> = parameters.iter().map(Parameter::get).collect();
        guide.law(&unconstrained)
    }

    /// Noise and draw of the choice at `place`.
    fn choose(
        &self,
        message: &Message<'_>,
        law: &dyn Law,
        sources: &Sources,
        place: usize,
    ) -> Result<(Tensor, Tensor)> {
        let fresh = || law.noise(&mut message.key.stream(message.name));
        match &self.mode {
            Mode::Draw | Mode::DrawLeaves => {
                let noise = fresh()?;
                let value = drawn(law, sources, &noise)?;
                let leaf = matches!(self.mode, Mode::DrawLeaves)
                    && law.relaxation().is_some()
                    && law.takes_relaxed_values();
                Ok((noise, if leaf { value.leaf() } else { value }))
            }
            Mode::Replaced {
                hard,
                site,
                draw,
                temperature,
            } => {
                if place == *site {
                    return Ok((hard.latents[place].noise.clone(), draw.clone()));
                }
                let same = |latent: &&Latent| latent.name == message.name;
                let here = hard.latents.get(place).filter(same);
                let before = here.or_else(|| hard.latents.iter().find(same));
                let moved = place > *site
                    && (message.influence.contains(*site) || sources.sites.contains(*site));
                if let (false, Some(latent)) = (moved, before) {
                    return Ok((latent.noise.clone(), latent.value.clone()));
                }
                let before = before.filter(|latent| same_noise(&*latent.law, law));
                let noise = before.map_or_else(fresh, |latent| Ok(latent.noise.clone()))?;
                let value = match (law.relaxation(), temperature) {
                    (Some(relaxation), Some(temperature)) if law.takes_relaxed_values() => {
                        let z = relaxation.relaxed(&law.parameters()[0], &noise);
                        law.value_at(&relaxation.squash(&z, temperature))
                    }
                    _ => drawn(law, sources, &noise)?,
                };
                Ok((noise, value))
            }
            Mode::Enumerate(odometer) => {
                let value = odometer.choose(law, message.plates.len())?;
                let value = value.drawn_with(&law.parameters());
                Ok((value.zeros_like(), value))
            }
        }
    }
}

/// The draw that belongs to the noise: of a law without pathwise draws a constant that comes from all
/// sites that its parameters come from, whatever the law has computed it with.
///
/// # Errors
/// If the law says that its draws are pathwise, but this one has no derivative.
fn drawn(law: &dyn Law, sources: &Sources, noise: &Tensor) -> Result<Tensor> {
    let value = law.draw(noise);
    if let Draws::Pathwise = law.draws() {
        let learned = || law.parameters().iter().any(Tensor::is_tracked);
        if value.is_tracked() || value.check().is_err() || !learned() {
            return Ok(value);
        }
        return Err(Error::Model(format!(
            "{} says that its draws are pathwise, but a draw has no derivative by its parameters; a \
             law computes such draws with tensor operations, or says `Draws::Opaque`",
            law.name()
        )));
    }
    if value.is_tracked() || value.sites() != sources.sites {
        return Ok(value.detach().drawn_with(&law.parameters()));
    }
    Ok(value)
}

/// The parameters of a site's automatic guide, with first values where they are not there yet;
/// `always` says that every run comes by the site.
///
/// # Errors
/// If one is there with another shape, or a first value is not finite.
pub(super) fn guide_parameters(
    params: &ParamStore,
    site: &str,
    guide: &MeanField<'_>,
    always: bool,
) -> Result<PerParameter<Parameter>> {
    let mut found = PerParameter::new();
    for part in guide.parts() {
        let name = [site, ".", part.name()].concat();
        let parameter = match params.settled(&name) {
            Some(parameter) => parameter,
            None => params.create(&name, &part.first_value()?, always)?,
        };
        let shape = part.shape();
        if parameter.shape() != shape {
            return Err(Error::Model(format!(
                "the automatic guide's parameter `{name}` has shape {}, but the site now needs \
                 {shape}; write a guide for sites whose shape changes",
                parameter.shape(),
            )));
        }
        found.push(parameter);
    }
    Ok(found)
}

/// Whether noise for one law is noise for another.
fn same_noise(a: &dyn Law, b: &dyn Law) -> bool {
    a.name() == b.name() && draw_shape(&a.parameters()) == draw_shape(&b.parameters())
}

/// The choices that a law depends on.
#[derive(Default)]
struct Sources {
    sites: SiteSet,
    /// Those by which the law's derivatives do not tell how it changes.
    severed: SiteSet,
}

impl Sources {
    #[inline]
    fn of(law: &dyn Law) -> Self {
        let mut all = Self::default();
        for parameter in &law.parameters() {
            if let Some(known) = parameter.provenance() {
                all.sites.add(&known.sites);
                all.severed.add(&known.severed);
            }
        }
        all
    }
}

impl Interpreter for Draw {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if message.value.is_some() {
            return Ok(());
        }
        let place = self.latents.borrow().len();
        let law = self.law(message)?;
        let sources = Sources::of(&*law);
        let (noise, value) = self.choose(message, &*law, &sources, place)?;
        message.value = Some(Value::Tensor(value.check()?.clone()));
        message.origin = Some(place);
        let Sources { mut sites, severed } = sources;
        sites.add(message.influence);
        self.latents.borrow_mut().push(Latent {
            name: message.full_name.clone(),
            depends_on: sites,
            severed,
            law,
            noise,
            value,
            plates: Rc::clone(message.plates),
            scale: message.scale,
            weight: match self.source {
                LawSource::Own => message.weight.cloned(),
                LawSource::MeanField(_) if message.hidden => message.weight.cloned(),
                LawSource::MeanField(_) => None,
            },
            estimator: message.estimator.cloned(),
            context: message.context.cloned(),
            file: message.file,
            line: message.line,
        });
        Ok(())
    }
}

/// Checks that a guide's draw is of the kind and shape of the model's own.
fn check_fit(law: &dyn Law, guide: &dyn Law, value: &Tensor) -> Result<()> {
    let kind = |law: &dyn Law| match law.draws().are_discrete() {
        true => "discrete",
        false => "continuous",
    };
    if kind(law) != kind(guide) {
        return Err(Error::Model(format!(
            "the model's {} is {}, but the guide's {} is {}",
            law.name(),
            kind(law),
            guide.name(),
            kind(guide)
        )));
    }
    let wanted = draw_shape(&law.parameters());
    let found = law.to_vertex(value).check()?.shape();
    if found == wanted {
        return Ok(());
    }
    Err(Error::Model(format!(
        "a draw of the model has shape {wanted}, but the guide's has shape {found}"
    )))
}

/// Gives a model's sites the guide's values.
pub(super) struct FromGuide {
    places: FxHashMap<Cow<'static, str>, usize>,
    values: Vec<Tensor>,
    laws: Vec<Rc<dyn Law>>,
    /// Whether the values are to lie in the support: all but relaxed ones do.
    hard: bool,
    /// Makes the choices that are hidden from the guide, after the guide's.
    hidden: Draw,
}

impl FromGuide {
    pub(super) fn new(latents: Vec<Latent>, trace: &Trace, mode: &Mode) -> Self {
        let places = latents
            .iter()
            .enumerate()
            .map(|(i, latent)| (latent.name.clone(), i));
        // The values as the guide's own context passed them on, with what they depend on.
        let value = |latent: &Latent| match trace.find(&latent.name).map(|entry| &entry.value) {
            Some(Value::Tensor(t)) => t.clone(),
            _ => latent.value.clone(),
        };
        Self {
            places: places.collect(),
            values: latents.iter().map(value).collect(),
            laws: latents.iter().map(|l| Rc::clone(&l.law)).collect(),
            hard: !mode.is_relaxed(),
            hidden: Draw {
                latents: RefCell::new(latents),
                ..Draw::new(LawSource::Own, mode.clone())
            },
        }
    }

    /// All choices: the guide's, and those that are hidden from it.
    pub(super) fn latents(&self) -> Vec<Latent> {
        self.hidden.latents.take()
    }

    /// Checks that the model has come by all that the guide has drawn.
    pub(super) fn finish(&self, trace: &Trace) -> Result<()> {
        match self.places.keys().find(|name| trace.find(name).is_none()) {
            None => Ok(()),
            Some(name) => Err(Error::Model(format!(
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
                return Err(Error::Model(
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
            return Err(Error::Model(format!(
                "the guide has no site of this name; its sites are {}",
                known.join(", ")
            )));
        };
        let value = Value::Tensor(self.values[place].clone());
        if self.hard {
            message.dist.check(&value)?;
            let law = message.law()?;
            check_fit(&*law, &*self.laws[place], &self.values[place])?;
        }
        message.value = Some(value);
        message.origin = Some(place);
        Ok(())
    }
}

/// The choices of `hard` with the one at `site` replaced, if none of the others can change.
pub(super) fn replaced(mode: &Mode) -> Option<Vec<Latent>> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Bernoulli, Distribution, Part};
    use crate::infer::{ExpectedCost, Trainer};
    use crate::model::Site;
    use crate::plumbing::model;
    use crate::random::Stream;
    use crate::tensor::Device;

    /// A law that takes its draws for pathwise, which are coins.
    #[derive(Debug)]
    struct Careless(Rc<dyn Law>);

    impl Law for Careless {
        fn name(&self) -> &'static str {
            "Careless"
        }
        fn parameters(&self) -> PerParameter<Tensor> {
            self.0.parameters()
        }
        fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
            Rc::new(Self(self.0.with_parameters(parameters)))
        }
        fn draws(&self) -> Draws<'_> {
            Draws::Pathwise
        }
        fn log_density(&self, value: &Tensor) -> Tensor {
            self.0.log_density(value)
        }
        fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
            self.0.noise(stream)
        }
        fn draw(&self, noise: &Tensor) -> Tensor {
            self.0.draw(noise)
        }
        fn mean_field(&self) -> MeanField<'_> {
            self.0.mean_field()
        }
        fn mean(&self) -> Tensor {
            self.0.mean()
        }
    }

    #[test]
    fn draws_without_the_derivative_that_is_claimed_are_an_error() -> Result<()> {
        let law = |logits: Tensor| Ok::<_, Error>(Careless(Bernoulli::logits(logits)?.law()?));
        let constant = law(Tensor::scalar(0.5))?;
        let noise = constant.noise(&mut Key::new(1).stream("x"))?;
        drawn(&constant, &Sources::default(), &noise)?;
        let tracked = law(Tensor::scalar(0.5).leaf())?;
        let error = drawn(&tracked, &Sources::default(), &noise).unwrap_err();
        assert!(error.to_string().contains("Draws::Opaque"), "{error}");
        Ok(())
    }

    #[test]
    fn first_values_of_another_shape_are_an_error() -> Result<()> {
        let part = Part::starting("x", &Tensor::zeros([2], &Device::cpu()), |x| x.sum_all());
        let guide = MeanField::new([part], |free| Bernoulli::logits(&free[0])?.law());
        let error = guide_parameters(&ParamStore::default(), "x", &guide, true).unwrap_err();
        assert!(error.to_string().contains("first value"), "{error}");
        Ok(())
    }

    /// A site whose rows have other numbers of coins from one step to the next.
    #[test]
    fn rows_that_change_their_length_are_an_error() -> Result<()> {
        for (first, then) in [(3, 2), (12, 11)] {
            let size = std::cell::Cell::new(first);
            let program = model("program", |context| {
                let logits = Tensor::zeros([size.get()], &Device::cpu());
                let site = Site::new("b", file!(), line!()).estimator("relax-free-form");
                let b = context.sample(site, Bernoulli::logits(&logits))?;
                context.cost(Site::new("c", file!(), line!()), b.sum(-1))
            });
            let mut trainer = Trainer::new(1);
            for _ in 0..3 {
                trainer.step(&ExpectedCost::new(&program))?;
            }
            size.set(then);
            let error = trainer.step(&ExpectedCost::new(&program)).unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains("`b`") && error.contains("draw.rs"),
                "{error}"
            );
            assert!(error.contains(&format!("{then} numbers")), "{error}");
        }
        Ok(())
    }
}
