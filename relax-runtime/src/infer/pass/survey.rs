//! What an evaluation shows about each of its random choices: its class, and its cost-to-go.
//!
//! A single choice is looked up in all later choices and all terms, which for many choices takes time quadratic in
//! their number. Many are therefore looked at in one sweep.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::dist::Number;
use crate::error::Result;
use crate::estimator::SiteClass;
use crate::infer::pass::spread::spread;
use crate::infer::pass::{Outside, Pass};
use crate::model::{Plate, Rows};
use crate::tensor::{Device, SiteSet, Tensor};

/// Up to this many choices are looked at one by one, which is faster, and adds up costs in the order of the terms.
const FEW: usize = 16;

/// A view of an evaluation.
pub(in crate::infer) struct Survey<'p> {
    pass: &'p Pass,
    /// `None` if each choice is looked at by itself.
    sweep: Option<Box<Sweep>>,
}

/// What is found out at the first query.
#[derive(Default)]
struct Sweep {
    outsides: OnceCell<Outsides>,
    costs: OnceCell<Costs>,
    /// The same for the samples of a bound.
    of_samples: OnceCell<Vec<Outsides>>,
}

impl<'p> Survey<'p> {
    /// For queries about all choices.
    pub(in crate::infer) fn new(pass: &'p Pass) -> Self {
        let many = pass.latents.len() > FEW;
        Self {
            pass,
            sweep: many.then(Box::default),
        }
    }

    /// For queries about one choice.
    pub(in crate::infer) fn of_one(pass: &'p Pass) -> Self {
        Self { pass, sweep: None }
    }

    /// As [`Pass::class`].
    #[inline]
    pub(in crate::infer) fn class(&self, place: usize) -> SiteClass {
        let Some(sweep) = &self.sweep else {
            return self.pass.class(place);
        };
        let outsides = sweep.outsides.get_or_init(|| Outsides::of(self.pass));
        let outside = outsides.at(self.pass, place);
        let Some(samples) = &self.pass.samples else {
            return self.pass.class_within(place, outside);
        };
        let of_samples = || samples.runs().iter().map(Outsides::of).collect();
        let outsides = sweep.of_samples.get_or_init(of_samples);
        let (sample, within) = samples.find(place);
        let run = &samples.runs()[sample];
        let class = run.class_within(within, outsides[sample].at(run, within));
        samples.class_in_bound(class, outside.separate)
    }

    /// As [`Pass::cost_to_go_from`]; a constant.
    ///
    /// # Errors
    /// If a term carries an error.
    #[inline]
    pub(in crate::infer) fn cost_to_go_from(&self, place: usize, origin: f64) -> Result<Tensor> {
        let Some(sweep) = &self.sweep else {
            return Ok(constant(self.pass.cost_to_go_from(place, origin)?));
        };
        let costs = match sweep.costs.get() {
            Some(costs) => costs,
            None => {
                let costs = Costs::of(self.pass)?;
                sweep.costs.get_or_init(|| costs)
            }
        };
        costs.at(self.pass, place, origin)
    }

    /// The mean cost-to-go of a latent's rows; `None` if it is not finite.
    ///
    /// # Errors
    /// If a term carries an error.
    pub(in crate::infer) fn mean_cost(&self, place: usize) -> Result<Option<f64>> {
        let mean = |origin| -> Result<f64> {
            let cost = self.cost_to_go_from(place, origin)?;
            Ok(origin + mean_and_square(&cost)?.0)
        };
        // The second time from close by, where host numbers are exact.
        let roughly = mean(0.0)?;
        match roughly.is_finite() {
            true => mean(roughly).map(Some),
            false => Ok(None),
        }
    }
}

/// The numbers of a cost as a constant, which it may be already.
fn constant(cost: Tensor) -> Tensor {
    match cost.is_tracked() || cost.tangent().is_some() {
        true => cost.detach(),
        false => cost,
    }
}

/// The mean of numbers, and their mean square.
pub(in crate::infer) fn mean_and_square(numbers: &Tensor) -> Result<(f64, f64)> {
    if numbers.check()?.device() != Device::cpu() {
        let mean = |x: Tensor| x.detach().mean_all().peek_item().map(f64::from);
        return Ok((mean(numbers.clone())?, mean(numbers.square())?));
    }
    numbers.with_values(|numbers| {
        let (mut sum, mut squares) = (0.0, 0.0);
        for &x in numbers {
            let x = f64::from(x);
            sum += x;
            squares += x * x;
        }
        let share = 1.0 / numbers.len() as f64;
        (sum * share, squares * share)
    })
}

/// The identity of plates, as far as rows are concerned.
type RowsOf = Vec<(Rows, usize)>;

fn rows_of(plates: &[Plate]) -> RowsOf {
    let rows = plates.iter().map(|plate| (plate.rows, plate.size));
    rows.collect()
}

/// [`Outside`] of all choices.
struct Outsides {
    severed: Vec<bool>,
    blocked: Vec<bool>,
    followed: Vec<bool>,
    read: Vec<bool>,
    /// By plates, the choices that something outside depends on.
    met: BTreeMap<RowsOf, SiteSet>,
}

impl Outsides {
    fn of(pass: &Pass) -> Self {
        let count = pass.latents.len();
        let (mut severed, mut blocked) = (SiteSet::EMPTY, SiteSet::EMPTY);
        let mut followed = SiteSet::EMPTY;
        let read = pass.reads.members(count);
        for (latent, &read) in pass.latents.iter().zip(&read) {
            severed.add(&latent.severed);
            if latent.is_hard(read) {
                blocked.add(&latent.depends_on);
            }
            if latent.law.draws().are_discrete() {
                followed.add(&latent.depends_on);
            }
        }
        pass.each_severed_term(|sites| severed.add(sites));
        Self {
            severed: severed.members(count),
            blocked: blocked.members(count),
            followed: followed.members(count),
            read,
            met: met_from_outside(pass),
        }
    }

    fn at(&self, pass: &Pass, place: usize) -> Outside {
        let plates = &pass.latents[place].plates;
        let met = || self.met.get(&rows_of(plates));
        let read = self.read[place];
        Outside {
            read,
            severed: self.severed[place],
            blocked: self.blocked[place],
            followed: self.followed[place],
            separate: plates.is_empty() || !read && !met().is_some_and(|met| met.contains(place)),
        }
    }
}

/// By the plates around choices, the choices that another choice or a term outside depends on.
fn met_from_outside(pass: &Pass) -> BTreeMap<RowsOf, SiteSet> {
    let mut groups: BTreeMap<RowsOf, SiteSet> = BTreeMap::new();
    if pass.latents.iter().all(|latent| latent.plates.is_empty()) {
        return groups;
    }
    let latents = pass.latents.iter().map(|l| (&l.plates, &l.depends_on));
    let terms = pass.terms.iter().map(|term| (&term.plates, &term.sites));
    // Successive ones usually stand in the same plates.
    let mut last: Option<(&Rc<[Plate]>, SiteSet)> = None;
    let mut put = |plates: &Rc<[Plate]>, sites: &SiteSet| {
        groups.entry(rows_of(plates)).or_default().add(sites);
    };
    for (plates, sites) in latents.chain(terms) {
        match &mut last {
            Some((known, all)) if Rc::ptr_eq(known, plates) => all.add(sites),
            _ => {
                let done = last.replace((plates, sites.clone()));
                done.iter().for_each(|(plates, sites)| put(plates, sites));
            }
        }
    }
    last.iter().for_each(|(plates, sites)| put(plates, sites));
    // In this order, plates are followed by those inside them.
    let groups: Vec<(RowsOf, SiteSet)> = groups.into_iter().collect();
    let mut after = vec![SiteSet::EMPTY; groups.len() + 1];
    for (at, (_, sites)) in groups.iter().enumerate().rev() {
        after[at] = sites.clone().union(after[at + 1].clone());
    }
    let mut before = SiteSet::EMPTY;
    let mut met = BTreeMap::new();
    for (at, (plates, sites)) in groups.iter().enumerate() {
        let inside = groups[at..].partition_point(|(other, _)| other.starts_with(plates));
        met.insert(
            plates.clone(),
            before.clone().union(after[at + inside].clone()),
        );
        before.add(sites);
    }
    met
}

/// The costs-to-go of all choices.
struct Costs {
    /// For each choice the sum of numbers without rows.
    plain: Vec<f64>,
    /// The plates and the scale of terms that have rows.
    kinds: Vec<(Rc<[Plate]>, f64)>,
    /// For each choice the sums of the terms of each kind, without their scale.
    rows: Vec<Vec<(usize, Tensor)>>,
}

impl Costs {
    fn of(pass: &Pass) -> Result<Self> {
        let count = pass.latents.len();
        let mut costs = Self {
            plain: vec![0.0; count],
            kinds: Vec::new(),
            rows: vec![Vec::new(); count],
        };
        let mut plain: Vec<(&SiteSet, f64)> = Vec::with_capacity(pass.terms.len());
        let mut by_kind: Vec<Vec<(&SiteSet, Tensor)>> = Vec::new();
        for term in &pass.terms {
            match &term.value {
                Number::Host(x) => plain.push((&term.sites, x * term.scale)),
                Number::Tensor(t) if t.check()?.rank() == 0 => {
                    plain.push((&term.sites, f64::from(t.peek_item()?) * term.scale));
                }
                Number::Tensor(t) => {
                    let is_of = |(plates, scale): &(Rc<[Plate]>, f64)| {
                        *scale == term.scale && same_rows(plates, &term.plates)
                    };
                    let kind = costs.kinds.iter().rposition(is_of).unwrap_or_else(|| {
                        costs.kinds.push((Rc::clone(&term.plates), term.scale));
                        by_kind.push(Vec::new());
                        by_kind.len() - 1
                    });
                    by_kind[kind].push((&term.sites, t.detach()));
                }
            }
        }
        let of_plain = &mut costs.plain;
        spread(plain, |sum, x| *sum += x, |place, x| of_plain[place] += x);
        for (kind, terms) in by_kind.into_iter().enumerate() {
            let add = |sum: &mut Tensor, t: &Tensor| *sum = &*sum + t;
            let of_rows = &mut costs.rows;
            spread(terms, add, |place, t| match of_rows[place].last_mut() {
                Some((known, sum)) if *known == kind => add(sum, t),
                _ => of_rows[place].push((kind, t.clone())),
            });
        }
        Ok(costs)
    }

    fn at(&self, pass: &Pass, place: usize, origin: f64) -> Result<Tensor> {
        let latent = &pass.latents[place];
        let mut sum: Option<Tensor> = None;
        for (kind, t) in &self.rows[place] {
            let (plates, scale) = &self.kinds[*kind];
            let t = match scale / latent.scale {
                1.0 => t.clone(),
                factor => t * factor as f32,
            };
            let t = latent.align(&t, plates)?;
            sum = Some(match sum {
                None => t,
                Some(sum) => sum + t,
            });
        }
        latent.total(sum, self.plain[place] / latent.scale - origin)
    }
}

fn same_rows(a: &Rc<[Plate]>, b: &Rc<[Plate]>) -> bool {
    let pairs = || a.iter().zip(&**b);
    Rc::ptr_eq(a, b) || a.len() == b.len() && pairs().all(|(a, b)| a.same_rows(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dist::{Bernoulli, Categorical, Normal};
    use crate::infer::{Elbo, ExpectedCost, Mode, Objective};
    use crate::model::{Context, ParamStore, Program, Site};
    use crate::plumbing::model;
    use crate::random::{Key, Stream};

    fn site(name: &'static str, number: usize) -> Site {
        Site::new(name, file!(), line!()).iteration(number)
    }

    fn pick<T: Clone>(from: &[T], stream: &mut Stream) -> T {
        from[stream.below(from.len())].clone()
    }

    /// Choices of all kinds, in plates and outside, with costs that depend on some of them. The structure is a function
    /// of the seed alone.
    fn program(seed: u64, length: usize) -> impl Program {
        model("program", move |context: &Context| {
            let stream = &mut Key::new(seed).stream("structure");
            let costs = length.min(30);
            let mut scalars = vec![Tensor::scalar(0.5)];
            let mut rows = vec![Tensor::from_slice(&[0.5, -0.5])];
            for i in 0..length {
                let of = pick(&scalars, stream) * 0.3 + pick(&scalars, stream);
                let of = match stream.below(8) {
                    0 => of.gt(0.4),
                    _ => of,
                };
                match stream.below(if costs > 20 { 40 } else { 9 }) {
                    0 => {
                        let host = context.sample(site("host", i), Bernoulli::probs(0.3))?;
                        scalars.push(Tensor::scalar(f32::from(u8::from(host))));
                        context.cost(site("paid", i), f64::from(u8::from(host)))?;
                    }
                    1 => drop(of.to_bool()?),
                    2 => {
                        let logits = Tensor::stack(&[&of, &(&of * 2.0)], 0);
                        context.sample(site("index", i), Categorical::logits(&logits))?;
                    }
                    3..=5 => {
                        let (name, all) = match stream.below(3) {
                            0 => ("", None),
                            1 => ("rows", None),
                            _ => ("sample", Some(7)),
                        };
                        let _plate = context.plate(Site::new(name, file!(), line!()), 2, all)?;
                        let logits = pick(&rows, stream) * 0.5 + &of;
                        let b = context.sample(site("row", i), Bernoulli::logits(&logits))?;
                        context.cost(site("paid", i), (&b + &of) * pick(&rows, stream))?;
                        if stream.below(3) == 0 {
                            let _inner = context.plate(site("", 0), 3, None)?;
                            let logits = b.reshape([2, 1]) + Tensor::zeros([2, 3], &b.device());
                            let c = context.sample(site("cell", i), Bernoulli::logits(&logits))?;
                            context.cost(site("paid more", i), &c * 2.0)?;
                        }
                        rows.push(b);
                        continue;
                    }
                    6 => scalars.push(context.sample(site("x", i), Normal::new(&of, 1.0))?),
                    _ => scalars.push(context.sample(site("b", i), Bernoulli::logits(&of))?),
                }
                if stream.below(3) == 0 {
                    scalars.push(pick(&rows, stream).sum(0));
                }
                if stream.below(2) == 0 {
                    context.cost(site("cost", i), pick(&scalars, stream) * &of)?;
                }
                if scalars.len() > 6 && stream.below(2) == 0 {
                    let old = stream.below(scalars.len());
                    scalars.remove(old);
                }
            }
            context.cost(
                site("last", 0),
                scalars.iter().fold(Tensor::scalar(1.0), |a, b| a + b),
            )
        })
    }

    fn same(pass: &Pass) -> Result<()> {
        let (all, one) = (Survey::new(pass), Survey::of_one(pass));
        assert!(all.sweep.is_some());
        for place in 0..pass.latents.len() {
            let name = &pass.latents[place].name;
            assert_eq!(all.class(place), one.class(place), "{name}");
            let found = all.cost_to_go_from(place, 2.5)?;
            assert!(!found.is_tracked() && found.tangent().is_none());
            let expected = one.cost_to_go_from(place, 2.5)?;
            assert_eq!(found.shape(), expected.shape(), "{name}");
            for (a, b) in found.peek()?.iter().zip(expected.peek()?) {
                assert!((a - b).abs() < 1e-5 * (100.0 + b.abs()), "{name}: {a} {b}");
            }
        }
        Ok(())
    }

    #[test]
    fn a_sweep_finds_what_looking_at_each_choice_finds() -> Result<()> {
        // Some are separate and relaxable, some neither.
        let mut kinds = std::collections::BTreeSet::new();
        for seed in 0..150 {
            let length = [30, 60, 200][seed as usize % 3];
            let program = program(seed, length);
            let objective = ExpectedCost::new(&program);
            let pass = objective.evaluate(Key::new(seed), &ParamStore::default(), &Mode::Draw)?;
            if pass.latents.len() > FEW {
                same(&pass)?;
            }
            let survey = Survey::new(&pass);
            kinds.extend((0..pass.latents.len()).map(|place| {
                let class = survey.class(place);
                (class.relaxable, class.separate, class.differentiable)
            }));
        }
        assert_eq!(kinds.len(), 4, "{kinds:?}");
        Ok(())
    }

    /// However many there are, each choice has the costs that depend on it and no others.
    #[test]
    fn late_choices_have_costs_of_their_own() -> Result<()> {
        let program = model("program", |context: &Context| {
            (0..400).try_for_each(|i| {
                let b = context.sample(site("b", i), Bernoulli::logits(&Tensor::scalar(0.0)))?;
                context.cost(site("cost", i), &b * 0.0 + i as f32)
            })
        });
        let objective = ExpectedCost::new(&program);
        let pass = objective.evaluate(Key::new(1), &ParamStore::default(), &Mode::Draw)?;
        let (all, one) = (Survey::new(&pass), Survey::of_one(&pass));
        for place in 0..400 {
            for survey in [&all, &one] {
                let cost = survey.cost_to_go_from(place, 0.0)?;
                assert_eq!(cost.peek_item()?, place as f32);
            }
        }
        Ok(())
    }

    /// The choices of all samples of a bound, which stand one sample after the other.
    #[test]
    fn samples_of_a_bound_are_swept_one_by_one() -> Result<()> {
        let chain = model("chain", |context: &Context| {
            let mut last = Tensor::scalar(0.0);
            for i in 0..90 {
                let law = Bernoulli::logits(&last);
                match i {
                    40 => drop(last.to_bool()?),
                    70 => last = last.gt(0.0),
                    _ => last = last * 0.5 + context.sample(site("b", i), law)?,
                }
            }
            context.observe(site("y", 0), Normal::new(&last, 1.0), 0.5)
        });
        let objective = Elbo::new(&chain).samples(3);
        let pass = objective.evaluate(Key::new(1), &ParamStore::default(), &Mode::Draw)?;
        assert_eq!(pass.latents.len(), 3 * 88);
        same(&pass)
    }
}
