//! The interpreter behind objectives, which draws the random choices of a program.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::dist::{Draws, Law, Number, Value};
use crate::error::{Error, Result};
use crate::infer::pass::memory::spare_latents;
use crate::infer::pass::{Latent, Mode};
use crate::model::{Context, Interpreter, Message, ParamStore, Program, Trace};
use crate::random::Key;
use crate::tensor::{SiteSet, Tensor};

/// The source of the laws of choices.
pub(in crate::infer) trait Laws {
    /// Whether they are those of a guide rather than the program's own.
    const OF_GUIDE: bool;

    /// The law of a site.
    ///
    /// # Errors
    /// Whatever makes the site impossible.
    fn law(&self, message: &Message<'_>) -> Result<Rc<dyn Law>>;
}

/// The distributions that the program states.
pub(in crate::infer) struct Own;

impl Laws for Own {
    const OF_GUIDE: bool = false;

    fn law(&self, message: &Message<'_>) -> Result<Rc<dyn Law>> {
        message.law()
    }
}

/// Runs a program whose choices an interpreter makes: returns the record, and the choices that host code has read.
pub(in crate::infer) fn run_under<I: Interpreter + 'static, P: Program + ?Sized>(
    interpreter: &Rc<I>,
    program: &P,
    key: Key,
    params: &ParamStore,
) -> Result<(Trace, SiteSet)> {
    let interpreter: Rc<dyn Interpreter> = Rc::<I>::clone(interpreter);
    let mut context = Context::new(key, Some(interpreter), params.clone());
    context.use_spare_memory();
    program.execute(&context)?;
    Ok(context.finish())
}

/// Draws every site that has no value yet, and keeps a record.
pub(in crate::infer) struct Draw<L> {
    laws: L,
    mode: Mode,
    latents: RefCell<Vec<Latent>>,
    /// Whether a host value was drawn again besides the one that was replaced.
    has_moved: Cell<bool>,
}

impl<L: Laws + 'static> Draw<L> {
    pub(in crate::infer) fn new(laws: L, mode: Mode) -> Self {
        Self::after(spare_latents(), laws, mode)
    }

    /// Continues after choices that have been made.
    pub(in crate::infer) fn after(latents: Vec<Latent>, laws: L, mode: Mode) -> Self {
        Self {
            laws,
            mode,
            latents: RefCell::new(latents),
            has_moved: Cell::new(false),
        }
    }

    /// All choices.
    pub(in crate::infer) fn latents(&self) -> Vec<Latent> {
        self.latents.take()
    }

    /// Runs a program: returns the choices made, the record, and the choices that host code has read.
    pub(in crate::infer) fn run<P: Program + ?Sized>(
        self,
        program: &P,
        key: Key,
        params: &ParamStore,
    ) -> Result<(Vec<Latent>, Trace, SiteSet)> {
        let draw = Rc::new(self);
        let (trace, reads) = run_under(&draw, program, key, params)?;
        Ok((draw.latents(), trace, reads))
    }

    /// The choice at `place` as it was before another was replaced, if a guide's law of it depends on nothing that has
    /// changed since: the law need not be made again.
    fn unmoved(&self, message: &Message<'_>, place: usize) -> Option<Latent> {
        if !L::OF_GUIDE || message.hidden || self.has_moved.get() {
            return None;
        }
        let (hard, site) = self.mode.replaced()?;
        let latent = hard.latents.get(place)?;
        let is_same = place != site && latent.name == *message.full_name;
        if !is_same || latent.depends_on.contains(site) || message.influence.contains(site) {
            return None;
        }
        let mut seen = SiteSet::EMPTY;
        message.reads.add_to(&mut seen);
        (!seen.contains(site)).then(|| latent.clone())
    }

    /// The noise and the draw of the choice at `place`.
    fn choose(
        &self,
        message: &Message<'_>,
        law: &dyn Law,
        sources: &Sources,
        influence: &SiteSet,
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
            Mode::OtherRows(rows) => {
                let value = rows.value(message.full_name, message.key, |key| {
                    let noise = law.noise(&mut key.stream(message.name))?;
                    drawn(law, sources, &noise)
                })?;
                Ok((fresh()?, value.drawn_with(&law.parameters())))
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
                let moved =
                    place > *site && (influence.contains(*site) || sources.sites.contains(*site));
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
            Mode::Given(values) => match values.get(&**message.full_name) {
                None => {
                    let noise = fresh()?;
                    let value = drawn(law, sources, &noise)?;
                    Ok((noise, value))
                }
                Some(value) => {
                    expect_possible(message, value)?;
                    let value = value.clone().drawn_with(&law.parameters());
                    Ok((value.zeros_like(), value))
                }
            },
        }
    }
}

/// An error if a program gives a value probability 0: its code may rely on not meeting it.
fn expect_possible(message: &Message<'_>, value: &Tensor) -> Result<()> {
    let given = Value::Tensor(value.clone());
    message.dist.check(&given)?;
    let density = message.law()?.log_density(value);
    match density.with_values(|density| density.contains(&f32::NEG_INFINITY))? {
        true => Err(Error::Support {
            distribution: message.dist.name(),
            value: given.to_string(),
            support: "values of a probability above 0",
        }),
        false => Ok(()),
    }
}

/// The draw that belongs to the noise. For a law without pathwise draws it is a constant that depends on all sites that
/// its parameters depend on, whatever the law has computed it with.
///
/// # Errors
/// If the law declares its draws pathwise, but this one has no derivative.
fn drawn(law: &dyn Law, sources: &Sources, noise: &Tensor) -> Result<Tensor> {
    let value = law.draw(noise);
    if let Draws::Pathwise = law.draws() {
        let learned = || law.parameters().iter().any(Tensor::is_tracked);
        if value.is_tracked() || value.check().is_err() || !learned() {
            return Ok(value);
        }
        return Err(Error::Law(format!(
            "{} says that its draws are pathwise, but a draw has no derivative by its parameters; a \
             law computes such draws with tensor operations, or returns `Draws::Opaque`",
            law.name()
        )));
    }
    if value.is_tracked() || value.sites() != sources.sites {
        return Ok(value.detach().drawn_with(&law.parameters()));
    }
    Ok(value)
}

/// Whether noise for one law is noise for another.
fn same_noise(a: &dyn Law, b: &dyn Law) -> bool {
    a.name() == b.name() && a.draw_shape() == b.draw_shape()
}

/// The choices that a law depends on.
#[derive(Default)]
struct Sources {
    sites: SiteSet,
    /// Those for which the law's derivatives do not tell how it changes.
    severed: SiteSet,
}

impl Sources {
    /// # Errors
    /// If the law has no parameters: nothing then says on which device its numbers are.
    #[inline]
    fn of(law: &dyn Law) -> Result<Self> {
        let parameters = law.parameters();
        if parameters.is_empty() {
            return Err(without_parameters(law));
        }
        let mut all = Self::default();
        for parameter in &parameters {
            if let Some(known) = parameter.provenance() {
                all.sites.add(&known.sites);
                all.severed.add(&known.severed);
            }
        }
        Ok(all)
    }
}

#[cold]
fn without_parameters(law: &dyn Law) -> Error {
    Error::Law(format!(
        "{} has no parameters; a law has at least one, which may be a constant",
        law.name()
    ))
}

impl<L: Laws + 'static> Interpreter for Draw<L> {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        if message.value.is_some() {
            return Ok(());
        }
        let place = self.latents.borrow().len();
        if let Some(latent) = self.unmoved(message, place) {
            message.value = Some(Value::Tensor(latent.value.clone()));
            message.origin = Some(place);
            self.latents.borrow_mut().push(latent);
            return Ok(());
        }
        if self.mode.replaced().is_some_and(|(_, site)| place != site) && message.dist.is_host() {
            // Its consequences do not show that they follow from what was replaced.
            self.has_moved.set(true);
        }
        let of_guide = L::OF_GUIDE && !message.hidden;
        let law = match of_guide {
            true => self.laws.law(message)?,
            false => message.law()?,
        };
        let sources = Sources::of(&*law)?;
        // A guide's law also depends on what the guide has read to make it.
        let with_reads = of_guide.then(|| {
            let mut influence = message.influence.clone();
            message.reads.add_to(&mut influence);
            influence
        });
        let influence = with_reads.as_ref().unwrap_or(message.influence);
        let (noise, value) = self.choose(message, &*law, &sources, influence, place)?;
        message.value = Some(Value::Tensor(value.check()?.clone()));
        message.origin = Some(place);
        let Sources { mut sites, severed } = sources;
        sites.add(influence);
        self.latents.borrow_mut().push(Latent {
            name: message.full_name.clone(),
            depends_on: sites,
            severed,
            law,
            noise,
            value,
            plates: Rc::clone(message.plates),
            scale: message.scale,
            weight: message.weight.filter(|_| !of_guide).cloned(),
            estimator: message.estimator.cloned(),
            context: message.context.cloned(),
            file: message.file,
            line: message.line,
        });
        Ok(())
    }

    fn log_density(&self, origin: usize) -> Option<Result<Number>> {
        let latents = self.latents.borrow();
        let latent = latents.get(origin)?;
        let held = latent.law.with_own_parameters_held();
        let density = held.log_density_from(&latent.value, latent.plates.len());
        Some(density.check().cloned().map(Number::Tensor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Bernoulli, Distribution, MeanField, PerParameter};
    use crate::infer::{ExpectedCost, Trainer};
    use crate::model::Site;
    use crate::plumbing::model;
    use crate::random::Stream;
    use crate::tensor::Device;

    /// Coins with false claims: that their draws are pathwise, and about their parameters.
    #[derive(Debug)]
    struct Careless {
        coins: Rc<dyn Law>,
        parameters: PerParameter<Tensor>,
    }

    impl Law for Careless {
        fn name(&self) -> &'static str {
            "Careless"
        }
        fn parameters(&self) -> PerParameter<Tensor> {
            self.parameters.clone()
        }
        fn with_parameters(&self, parameters: &[Tensor]) -> Rc<dyn Law> {
            self.coins.with_parameters(parameters)
        }
        fn draws(&self) -> Draws<'_> {
            Draws::Pathwise
        }
        fn log_density(&self, value: &Tensor) -> Tensor {
            self.coins.log_density(value)
        }
        fn noise(&self, stream: &mut Stream) -> Result<Tensor> {
            self.coins.noise(stream)
        }
        fn draw(&self, noise: &Tensor) -> Tensor {
            self.coins.draw(noise)
        }
        fn mean_field(&self) -> MeanField<'_> {
            self.coins.mean_field()
        }
        fn mean(&self) -> Tensor {
            self.coins.mean()
        }
    }

    #[test]
    fn laws_that_do_not_keep_their_word_are_an_error() -> Result<()> {
        let law = |logits: Tensor| {
            let coins = Bernoulli::logits(logits)?.law()?;
            let parameters = coins.parameters();
            Ok::<_, Error>(Careless { coins, parameters })
        };
        let constant = law(Tensor::scalar(0.5))?;
        let noise = constant.noise(&mut Key::new(1).stream("x"))?;
        drawn(&constant, &Sources::default(), &noise)?;
        let tracked = law(Tensor::scalar(0.5).leaf())?;
        let error = drawn(&tracked, &Sources::default(), &noise).unwrap_err();
        assert!(error.to_string().contains("Draws::Opaque"), "{error}");
        let bare = Careless {
            parameters: PerParameter::new(),
            ..tracked
        };
        let error = Sources::of(&bare).err().map(|error| error.to_string());
        assert!(error.is_some_and(|error| error.contains("Careless has no parameters")));
        Ok(())
    }

    /// A site whose rows change their number of coins from one step to the next.
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
            assert!(error.contains(&format!("[{then}]")), "{error}");
        }
        Ok(())
    }
}
