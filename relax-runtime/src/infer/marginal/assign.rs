//! One run of a model in which the sites that are summed out have given values.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::factor::Domain;
use super::graph::{FIRST_SITE, Graph, MOST_RUNS, Part};
use super::kept::{Kept, Shared};
use crate::dist::{AnyDistribution, Draws, Law, Number, Value};
use crate::error::{Error, Result};
use crate::model::{Context, Entry, Interpreter, Kind, Message, Program, Trace};
use crate::tensor::{Choice, Choices, Collecting, Shape, Sharing, SiteSet, Tensor};

/// Values whose cases one run may have.
const MOST_CASES: usize = 256;

/// Gives each site that is summed out its value.
struct Assign {
    shared: Rc<Shared>,
    /// By variable; one that is not there takes its first value.
    values: Vec<usize>,
    /// Whether choices have their other values as cases.
    has_cases: bool,
    met: RefCell<Vec<Met>>,
    /// The variable at whose value the run has ended, as its probability is 0.
    excluded: Cell<Option<usize>>,
}

/// A site that a run came by, and the numbers of the values of its events.
struct Met {
    site: usize,
    values: Vec<usize>,
    /// Nothing of one event of host values, none of which is excluded.
    law: Option<Rc<dyn Law>>,
    /// Of each value of each event whether every row excludes it, where any is excluded; and the sites
    /// that host code had seen.
    excluded: Option<(Vec<bool>, SiteSet)>,
}

/// What a run has told.
pub(super) struct Ran {
    /// The number of each variable's value, where the run came by it.
    pub(super) values: Vec<Option<usize>>,
    /// What it told of each term.
    terms: Vec<Told>,
    /// Whether what it told of cases was lost.
    pub(super) is_lost: bool,
    /// Terms by which the run did not come, and for whose choice another density stands in.
    pub(super) stood_in: Vec<usize>,
    /// The variable at whose value the run has ended.
    pub(super) excluded: Option<usize>,
    /// The record, and what host code has read.
    pub(super) trace: Trace,
    pub(super) reads: SiteSet,
    /// Terms whose scopes have grown by what the run has shown.
    pub(super) grown: Vec<usize>,
}

/// Whether a run tells a term's number.
#[derive(Clone, Debug, Default)]
enum Told {
    /// It did not come by.
    #[default]
    No,
    /// Another has told it.
    Before,
    Here(Said),
}

/// What a run says of a term: a number, or one for each combination of some choices' values.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) choices: Choices,
    numbers: Numbers,
    /// The one at the run's own values.
    pub(super) here: usize,
}

#[derive(Clone, Debug)]
enum Numbers {
    One(Got),
    OfCases(Rc<[Got]>),
}

/// Whether other runs have told a term's number at values, by variable, of which there are so many each.
pub(super) type IsTold<'a> = dyn Fn(usize, &[Option<usize>], &[Domain]) -> bool + 'a;

impl Said {
    /// How many cases it has.
    pub(super) fn cases(&self) -> usize {
        match &self.numbers {
            Numbers::One(_) => 1,
            Numbers::OfCases(numbers) => numbers.len(),
        }
    }

    /// The number in a case.
    pub(super) fn number(&self, case: usize) -> &Got {
        match &self.numbers {
            Numbers::One(number) => number,
            Numbers::OfCases(numbers) => &numbers[case],
        }
    }

    /// The variables by whose values it has cases, ascending.
    pub(super) fn variables(&self) -> impl Iterator<Item = usize> {
        self.choices.iter().map(|choice| choice.variable)
    }

    /// The value of a variable in a case, where it is one of those.
    pub(super) fn value(&self, variable: usize, mut case: usize) -> Option<usize> {
        for choice in self.choices.iter().rev() {
            if choice.variable == variable {
                return Some(case % choice.size);
            }
            case /= choice.size;
        }
        None
    }
}

impl From<Got> for Said {
    fn from(number: Got) -> Self {
        Self {
            choices: Choices::new(),
            numbers: Numbers::One(number),
            here: 0,
        }
    }
}

/// A term's number, and those of its rows.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) number: Number,
    pub(super) rows: SmallVec<[f64; 1]>,
}

impl Got {
    pub(super) fn of(number: Number) -> Result<Self> {
        let rows = match &number {
            Number::Host(x) => SmallVec::from_elem(*x, 1),
            Number::Tensor(t) => {
                t.with_values(|values| values.iter().map(|&x| f64::from(x)).collect())?
            }
        };
        Ok(Self { number, rows })
    }

    /// Whether it can be a log-probability.
    fn is_sound(&self) -> bool {
        !self.rows.iter().any(|x| x.is_nan() || *x == f64::INFINITY)
    }

    fn of_flags(flags: &[bool]) -> Self {
        Self {
            number: Number::Host(0.0),
            rows: flags.iter().map(|&flag| f64::from(flag)).collect(),
        }
    }
}

impl fmt::Debug for Assign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assign").finish_non_exhaustive()
    }
}

/// Runs a model with given values.
///
/// # Errors
/// Whatever goes wrong in the model, except where a value of probability 0 ends the run.
pub(super) fn run(
    model: &dyn Program,
    context: &Context,
    shared: &Rc<Shared>,
    values: &[usize],
    has_cases: bool,
    is_told: &IsTold<'_>,
) -> Result<Ran> {
    let collecting = has_cases.then(Collecting::start);
    let assign = Rc::new(Assign {
        shared: Rc::clone(shared),
        values: values.to_vec(),
        has_cases,
        met: RefCell::default(),
        excluded: Cell::new(None),
    });
    let inner = context.inside(Rc::<Assign>::clone(&assign));
    let ran = model.execute(&inner);
    let excluded = assign.excluded.get();
    if excluded.is_none() {
        ran?;
    }
    let (trace, reads) = inner.finish();
    let mut ran = Ran {
        values: Vec::new(),
        terms: Vec::new(),
        is_lost: false,
        stood_in: Vec::new(),
        excluded,
        trace,
        reads,
        grown: Vec::new(),
    };
    ran.read(&mut shared.graph.borrow_mut(), assign.met.take(), is_told)?;
    ran.is_lost |= collecting.is_some_and(|collecting| collecting.are_lost());
    Ok(ran)
}

impl Ran {
    /// What the run says of a term.
    pub(super) fn said(&self, term: usize) -> Option<&Said> {
        match self.terms.get(term)? {
            Told::Here(said) => Some(said),
            Told::No | Told::Before => None,
        }
    }

    /// Whether the run came by a term.
    pub(super) fn has_met(&self, term: usize) -> bool {
        !matches!(self.terms.get(term), None | Some(Told::No))
    }

    /// Notes what the run says of a term.
    pub(super) fn tell(&mut self, term: usize, said: Said) {
        self.set(term, Told::Here(said));
    }

    fn set(&mut self, term: usize, told: Told) {
        if self.terms.len() <= term {
            self.terms.resize_with(term + 1, Told::default);
        }
        self.terms[term] = told;
    }

    /// Reads the terms off the record.
    fn read(&mut self, graph: &mut Graph, met: Vec<Met>, is_told: &IsTold<'_>) -> Result<()> {
        self.values = vec![None; graph.domains.len()];
        // Terms of one list of cases have one list of numbers.
        let mut lists = FxHashMap::default();
        let mut laws: FxHashMap<usize, Rc<dyn Law>> = FxHashMap::default();
        for met in met {
            let Met { site, values, .. } = &met;
            let first = graph.sites[*site].first;
            self.read_support(graph, &met)?;
            for (event, &value) in values.iter().enumerate() {
                self.values[first + event] = Some(value);
            }
            if let (true, Some(law)) = (values.len() > 1, met.law) {
                laws.insert(met.site, law);
            }
        }
        let trace = std::mem::take(&mut self.trace);
        for entry in trace.entries() {
            let at = |error| entry.locate(error);
            match entry.kind {
                Kind::Param => continue,
                Kind::Cost => {
                    return Err(at(Error::Model(
                        "a `cost!` is no part of the log-probability, over which choices are summed \
                         out; weigh with `factor!`, or let the choices be drawn"
                            .into(),
                    )));
                }
                Kind::Latent | Kind::Observed | Kind::Factor => {}
            }
            let is_choice = entry.kind == Kind::Latent;
            let site = is_choice.then(|| graph.site(&entry.name)).flatten();
            let site = site.filter(|site| self.values[graph.sites[*site].first].is_some());
            let law = site.and_then(|site| laws.get(&site));
            match (site, law) {
                (Some(site), Some(law)) => {
                    let density = law.log_density(&entry.value.to_tensor()?);
                    let (first, events) = (graph.sites[site].first, graph.sites[site].events);
                    let mut shape = entry.sizes();
                    shape.push(events);
                    let shape = Shape::try_from(&shape[..]).map_err(at)?;
                    let density = density.reshape(shape);
                    for event in 0..events {
                        let one = density.index(-1, event);
                        let number = Number::Tensor(one.check().map_err(at)?.clone());
                        let variable = first + event;
                        let part = Part::Law { event, variable };
                        let term = graph.term(&entry.name, part, &entry.plates);
                        self.take(graph, entry, number, term, &mut lists)?;
                    }
                }
                _ => {
                    let law = |site: usize| Part::Law {
                        event: 0,
                        variable: graph.sites[site].first,
                    };
                    let part = site.map_or(Part::Whole, law);
                    let term = graph.term(&entry.name, part, &entry.plates);
                    match is_told(term, &self.values, &graph.domains) {
                        true => self.set(term, Told::Before),
                        false => self.take(graph, entry, entry.log_prob()?, term, &mut lists)?,
                    }
                }
            }
        }
        self.trace = trace;
        Ok(())
    }

    /// Notes which values of a site have probability 0.
    fn read_support(&mut self, graph: &mut Graph, met: &Met) -> Result<()> {
        let (site, events) = (met.site, met.values.len());
        let size = graph.sites[site].vertices.len();
        let (Some((excluded, seen)), Some(law)) = (&met.excluded, &met.law) else {
            // Where some run excludes a value, others say that they do not.
            let first = graph.sites[site].first;
            let none = Got::of_flags(&vec![false; size]);
            for v in first..first + events {
                if let Some(term) = graph.support_of[v] {
                    self.tell(term, none.clone().into());
                }
            }
            return Ok(());
        };
        let computed = law.parameters().remove(0).sites();
        for event in 0..events {
            let term = graph.support(site, event);
            if graph.see(term, seen, Some(&computed)) {
                self.grown.push(term);
            }
            let flags = &excluded[event * size..][..size];
            self.tell(term, Got::of_flags(flags).into());
        }
        Ok(())
    }

    /// Notes a term's number.
    fn take(
        &mut self,
        graph: &mut Graph,
        entry: &Entry,
        number: Number,
        term: usize,
        lists: &mut Lists,
    ) -> Result<()> {
        let number = entry.weighed(number).map_err(|error| entry.locate(error))?;
        let number = number.scale(entry.weight_factor());
        let computed = match &number {
            Number::Tensor(t) => Some(t.sites()),
            Number::Host(_) => None,
        };
        if graph.see(term, &entry.influence, computed.as_ref()) {
            self.grown.push(term);
        }
        let said = self
            .of_cases(number, lists)
            .map_err(|error| entry.locate(error))?;
        if !said.number(said.here).is_sound() {
            return Err(entry.locate(Error::Value(
                "its log-probability is not a number, or infinite, at values that are summed over; \
                 look at the parameters there"
                    .into(),
            )));
        }
        let scope = &graph.terms[term].scope;
        let is_known = |choice: &Choice| scope.contains(&choice.variable);
        self.is_lost |= !said.choices.iter().all(is_known);
        self.tell(term, said);
        Ok(())
    }

    /// A term's numbers, in all cases that it has.
    fn of_cases(&mut self, number: Number, lists: &mut Lists) -> Result<Said> {
        let cases = match &number {
            Number::Tensor(t) => t.cases(),
            Number::Host(_) => None,
        };
        let Some(cases) = cases else {
            return Ok(Got::of(number)?.into());
        };
        let numbers = match lists.get(&cases.tensors.as_ptr()) {
            Some((_, numbers)) => Rc::clone(numbers),
            None => {
                let of_case = |t: &Tensor| Got::of(Number::Tensor(t.clone()));
                let numbers: Rc<[Got]> =
                    cases.tensors.iter().map(of_case).collect::<Result<_>>()?;
                // What cannot be may be impossible, which other runs tell.
                self.is_lost |= !numbers.iter().all(Got::is_sound);
                let known = (Rc::clone(&cases.tensors), Rc::clone(&numbers));
                lists.insert(cases.tensors.as_ptr(), known);
                numbers
            }
        };
        Ok(Said {
            choices: cases.choices.clone(),
            numbers: Numbers::OfCases(numbers),
            here: cases.here,
        })
    }
}

/// Lists of tensors by where they are, and their numbers.
type Lists = FxHashMap<*const Tensor, (Rc<[Tensor]>, Rc<[Got]>)>;

impl Assign {
    /// Gives a site the value that was asked for; nothing if it is not one to sum out.
    fn assign(&self, message: &Message<'_>) -> Result<Option<(usize, Tensor)>> {
        if message.estimator.is_some() || !(self.shared.only)(message.full_name) {
            return Ok(None);
        }
        if let Some(met) = self.meet_again(message)? {
            return Ok(Some(met));
        }
        let law = message.law()?;
        let Draws::Discrete(Some(relaxation)) = law.draws() else {
            return Ok(None);
        };
        let shape = law.parameters().remove(0).check()?.shape();
        let width = relaxation.width(&shape);
        let Some(size) = relaxation.values(width).filter(|&size| size <= MOST_RUNS) else {
            return Ok(None);
        };
        let graph = &mut *self.shared.graph.borrow_mut();
        let vertices = || relaxation.vertices(width);
        let site = graph.meet(message.full_name, &*law, message.plates, vertices, size)?;
        let (first, events) = (graph.sites[site].first, graph.sites[site].events);
        // A value counts as excluded where every row excludes it.
        let excluded = law.excluded()?.map(|rows| {
            let mut all = vec![true; events * size];
            for row in rows.chunks_exact(events * size) {
                all.iter_mut().zip(row).for_each(|(all, row)| *all &= row);
            }
            all
        });
        let is_excluded = |event: usize, value: usize| {
            let excluded = excluded.as_ref();
            excluded.is_some_and(|excluded| excluded[event * size + value])
        };
        let mut values = Vec::with_capacity(events);
        let mut ended = None;
        for event in 0..events {
            let wanted = self.values.get(first + event).copied();
            let possible = || (0..size).find(|&value| !is_excluded(event, value));
            let value = wanted.or_else(possible).unwrap_or(0);
            if is_excluded(event, value) {
                ended = ended.or(Some(first + event));
            }
            values.push(value);
        }
        let mut value = graph.value(site, &values, &*law)?;
        if self.has_cases
            && events == 1
            && (2..=MOST_CASES).contains(&size)
            && !message.dist.is_host()
        {
            let choice = Choice {
                variable: first,
                size,
            };
            let cases = graph.cases(site, &*law)?;
            value = Tensor::of_choice(choice, &cases, values[0]).unwrap_or(value);
        }
        let excluded = excluded.map(|excluded| {
            let mut seen = message.influence.clone();
            message.reads.add_to(&mut seen);
            (excluded, seen)
        });
        let mut laws = self.shared.laws.borrow_mut();
        laws.entry(site).or_insert_with(|| Rc::clone(&law));
        self.met.borrow_mut().push(Met {
            site,
            values,
            law: Some(law),
            excluded,
        });
        if let Some(variable) = ended {
            self.excluded.set(Some(variable));
            return Err(Error::Impossible(
                "the run ends here, at a value of probability 0".into(),
            ));
        }
        Ok(Some((site, value)))
    }

    /// The same, without asking for the law, of a choice among host values that another run has met and of which
    /// none is excluded.
    fn meet_again(&self, message: &Message<'_>) -> Result<Option<(usize, Tensor)>> {
        let Some(size) = message.dist.count_values() else {
            return Ok(None);
        };
        let graph = &mut *self.shared.graph.borrow_mut();
        let laws = self.shared.laws.borrow();
        let known = graph.site(message.full_name);
        let known = known.and_then(|site| Some((site, laws.get(&site)?)));
        let Some((site, law)) = known.filter(|(site, _)| {
            let site = &graph.sites[*site];
            (site.events, site.vertices.len()) == (1, size) && !message.dist.excludes_values()
        }) else {
            return Ok(None);
        };
        let first = graph.sites[site].first;
        let value = self.values.get(first).copied().unwrap_or(0);
        let made = graph.value(site, &[value], &**law)?;
        self.met.borrow_mut().push(Met {
            site,
            values: vec![value],
            law: None,
            excluded: None,
        });
        Ok(Some((site, made)))
    }

    /// Has the choice made as it would be without the sum, once for all runs.
    fn keep(&self, message: &mut Message<'_>) -> Result<()> {
        let name: &Cow<'static, str> = message.full_name;
        if let Some(kept) = self.shared.kept.borrow().get(&**name) {
            if self.shared.graph.borrow().looks_twice() {
                kept.expect_values_of(&*message.law()?)?;
            }
            message.value = Some(kept.value.clone());
            message.origin = kept.origin;
            return Ok(());
        }
        let law = message.law()?;
        // Draws and what is done with them are told apart by their nodes.
        let _pause = Sharing::pause();
        if let Some(outer) = &self.shared.outer {
            outer.sample(message)?;
        }
        let value = match &message.value {
            Some(value) => value.clone(),
            None => {
                let dist = message.expanded()?;
                AnyDistribution::sample(&*dist, &mut message.key.stream(name))?
            }
        };
        message.value = Some(value.clone());
        let kept = Kept {
            value,
            origin: message.origin,
            law,
            plates: message.plates.len(),
        };
        self.shared.kept.borrow_mut().insert(name.to_string(), kept);
        Ok(())
    }
}

impl Interpreter for Assign {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        let left = self.shared.sites_left.get();
        if left == 0 {
            return Err(Error::Enumeration(
                "the runs of the sum came by too many choices; sum fewer sites out (`only`), or bound \
                 the loop or recursion that makes them"
                    .into(),
            ));
        }
        self.shared.sites_left.set(left - 1);
        if message.value.is_some() {
            return Ok(());
        }
        match self.assign(message)? {
            Some((site, value)) => {
                message.value = Some(Value::Tensor(value));
                message.origin = Some(FIRST_SITE + site);
                Ok(())
            }
            None => self.keep(message),
        }
    }
}
