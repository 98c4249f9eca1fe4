//! One run of a model with given values of the sites that are summed out.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Range;
use std::rc::Rc;

use super::graph::{FIRST_SITE, Graph, MOST_VALUES, Values};
use super::kept::{Kept, Shared};
use super::met::Met;
use super::nodes::{self, NODES, nodes};
use super::ran::{IsTold, Ran};
use crate::dist::{AnyDistribution, Draws, Form, Law, Value};
use crate::error::{Error, Result};
use crate::model::{Context, Interpreter, Message, Program};
use crate::tensor::{Choice, Collecting, Moving, Sharing, Tensor};

/// Maximum number of values that one run may have as cases.
const MOST_CASES: usize = 1_024;

/// Gives each site that is summed out its value.
struct Assign {
    shared: Rc<Shared>,
    /// By variable; a missing one takes its first possible value.
    values: Vec<usize>,
    /// Whether choices have their other values as cases.
    has_cases: bool,
    /// If each row has values of its own, the number of the trial.
    rows_apart: Option<usize>,
    /// Whether the run checks what other runs take for granted.
    is_looked_at: bool,
    met: RefCell<Vec<Met>>,
    /// Number of choices that the run has reached.
    choices: Cell<usize>,
    /// The variable at whose value the run ended because its probability is 0.
    excluded: Cell<Option<usize>>,
}

impl fmt::Debug for Assign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assign").finish_non_exhaustive()
    }
}

/// What a run is asked to do.
pub(super) struct Asked<'a> {
    /// The index of each variable's value; a missing one takes its first possible value.
    pub(super) values: &'a [usize],
    /// Whether choices have their other values as cases.
    pub(super) has_cases: bool,
    /// If each row has values of its own, the number of the trial.
    pub(super) rows_apart: Option<usize>,
    /// Whether the run checks what other runs take for granted.
    pub(super) is_looked_at: bool,
    pub(super) is_told: &'a IsTold<'a>,
}

/// Runs a model with given values, and once more with moving parameters if slopes of terms are to be known.
///
/// # Errors
/// Whatever goes wrong in the model, except where a value of probability 0 ends the run.
pub(super) fn run(
    model: &dyn Program,
    context: &Context,
    shared: &Rc<Shared>,
    asked: &Asked<'_>,
) -> Result<Ran> {
    let mut ran = run_once(model, context, shared, asked)?;
    if ran.lacks_slopes {
        let left = shared.sites_left.get();
        let _moving = Moving::start();
        ran.take_slopes(run_once(model, context, shared, asked)?);
        shared.sites_left.set(left);
    }
    Ok(ran)
}

fn run_once(
    model: &dyn Program,
    context: &Context,
    shared: &Rc<Shared>,
    asked: &Asked<'_>,
) -> Result<Ran> {
    let collecting = asked.has_cases.then(Collecting::start);
    let assign = Rc::new(Assign {
        shared: Rc::clone(shared),
        values: asked.values.to_vec(),
        has_cases: asked.has_cases,
        rows_apart: asked.rows_apart,
        is_looked_at: asked.is_looked_at,
        met: RefCell::default(),
        choices: Cell::new(0),
        excluded: Cell::new(None),
    });
    let inner = context.inside(Rc::<Assign>::clone(&assign));
    let ran = model.execute(&inner);
    let excluded = assign.excluded.get();
    if excluded.is_none() {
        ran?;
    }
    let (trace, reads) = inner.finish();
    let mut ran = Ran::new(reads, excluded);
    ran.read(
        &mut shared.graph.borrow_mut(),
        trace,
        assign.met.take(),
        asked.is_told,
    )?;
    if shared.graph.borrow().has_widened {
        return Err(Error::Impossible(
            "the run has met values or rows that are not known yet".into(),
        ));
    }
    ran.is_lost |= collecting.is_some_and(|collecting| collecting.are_lost());
    Ok(ran)
}

impl Assign {
    /// The site and the value asked for; `None` if the site is not to be summed out.
    fn assign(&self, message: &Message<'_>) -> Result<Option<(usize, Tensor)>> {
        if message.estimator.is_some() || !(self.shared.only)(message.full_name) {
            return self.assign_node(message);
        }
        if let Some(met) = self.meet_again(message)? {
            return Ok(Some(met));
        }
        let law = message.law()?;
        let Draws::Discrete(Some(relaxation)) = law.draws() else {
            return self.assign_node(message);
        };
        let shape = law.parameters().remove(0).check()?.shape();
        if shape.numel() == 0 {
            return Ok(None);
        }
        let width = relaxation.width(&shape);
        let Some(size) = relaxation.values(width).filter(|&size| size <= MOST_VALUES) else {
            return Ok(None);
        };
        let graph = &mut *self.shared.graph.borrow_mut();
        let values = Values {
            shape,
            width,
            count: size,
            vertices: &|| relaxation.vertices(width),
            // Gaps between values come and go with the law's numbers.
            form: match relaxation.form() {
                Form::Gapped => Form::Other,
                form => form,
            },
            counts: relaxation.counts(),
            value_shape: shape.leading(shape.rank() - relaxation.event_rank()),
            are_nodes: false,
        };
        let counts = values.counts.clone();
        let site = graph.meet(message.full_name, &*law, message.plates, values)?;
        // What this run tells is forgotten. It goes on to the end of the new range, and so reaches further new ranges
        // that follow from it.
        let has_widened = graph.has_widened;
        let known = &graph.sites[site];
        let goes_up = known.ends_with(counts.as_ref());
        let (first, events) = (known.first, known.events);
        let excluded = excluded(&*law, events, size)?;
        let (size, excluded) = match known.own(counts.as_ref()) {
            None => (size, excluded),
            Some(own) => {
                let all = known.vertices.len();
                (all, Some(among_all(excluded, events, own, all)))
            }
        };
        let wide = known.wide();
        let is_wide = wide.is_some();
        let stated = wide.unwrap_or_else(|| Rc::clone(&law));
        let is_excluded = |event: usize, value: usize| {
            let excluded = excluded.as_ref();
            excluded.is_some_and(|excluded| excluded[event * size + value])
        };
        let mut values = Vec::with_capacity(events);
        let mut ended = None;
        for event in 0..events {
            let wanted = self.values.get(first + event).copied();
            let wanted = wanted.filter(|_| !has_widened);
            let is_possible = |value: &usize| !is_excluded(event, *value);
            let possible = || match has_widened && goes_up {
                true => (0..size).rev().find(is_possible),
                false => (0..size).find(is_possible),
            };
            let value = wanted.or_else(possible).unwrap_or(0);
            if is_excluded(event, value) {
                ended = ended.or(Some(first + event));
            }
            values.push(value);
        }
        let value = self.value(graph, site, &values, message, &stated)?;
        let excluded = excluded.map(|excluded| {
            let mut seen = message.influence.clone();
            message.reads.add_to(&mut seen);
            (excluded, seen)
        });
        let mut laws = self.shared.laws.borrow_mut();
        match is_wide {
            true => drop(laws.insert(site, stated)),
            false => drop(laws.entry(site).or_insert(stated)),
        }
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

    /// A site's value, with the others as cases if there are not too many.
    fn value(
        &self,
        graph: &mut Graph,
        site: usize,
        values: &[usize],
        message: &Message<'_>,
        law: &Rc<dyn Law>,
    ) -> Result<Tensor> {
        if let Some(trial) = self.rows_apart
            && graph.may_differ(graph.sites[site].first)
        {
            return graph.value_apart(site, trial, &**law);
        }
        let value = graph.value(site, values, &**law)?;
        let size = graph.sites[site].vertices.len();
        let [own] = values else {
            return Ok(value);
        };
        // Laws with only some of the values say nothing about the others.
        let has_one_law = graph.sites[site].wide().is_none();
        let has_cases = self.has_cases && has_one_law && !message.dist.is_host();
        if !has_cases || !(2..=MOST_CASES).contains(&size) {
            return Ok(value);
        }
        let choice = Choice {
            variable: graph.sites[site].first,
            size,
        };
        let cases = graph.cases(site, &**law)?;
        Ok(Tensor::of_choice(choice, &cases, *own).unwrap_or(value))
    }

    /// An integrated-out site and its draw for the noise at a node; `None` if the site is not integrated out.
    fn assign_node(&self, message: &Message<'_>) -> Result<Option<(usize, Tensor)>> {
        if !self.shared.integrated.contains(&**message.full_name) {
            return Ok(None);
        }
        let law = message.law()?;
        if !counts_once(message) || !nodes::fits(&**message.dist, &*law, message.plates) {
            return Err(Error::Enumeration(
                "it cannot be integrated out: a site can if its law is `Normal` or `LogNormal` over tensors, with one \
                 number for each row of its plates, and counts once"
                    .into(),
            ));
        }
        if self.shared.graph.borrow().follows_node(&*law) {
            return Err(Error::Enumeration(
                "it cannot be integrated out, as its law depends on another choice that is; integrate only one of them"
                    .into(),
            ));
        }
        let graph = &mut *self.shared.graph.borrow_mut();
        let values = Values {
            shape: law.draw_shape(),
            width: 1,
            count: NODES,
            vertices: &nodes,
            form: Form::Other,
            counts: None,
            value_shape: law.draw_shape(),
            are_nodes: true,
        };
        let site = graph.meet(message.full_name, &*law, message.plates, values)?;
        let first = graph.sites[site].first;
        // In the middle if no value is asked for.
        let values = vec![self.values.get(first).copied().unwrap_or(NODES / 2)];
        let noise = self.value(graph, site, &values, message, &law)?;
        let value = law.draw(&noise).check()?.clone();
        let mut laws = self.shared.laws.borrow_mut();
        match self.has_cases {
            // With cases, the law covers all values of other choices.
            true => drop(laws.insert(site, Rc::clone(&law))),
            false => drop(laws.entry(site).or_insert_with(|| Rc::clone(&law))),
        }
        self.met.borrow_mut().push(Met {
            site,
            values,
            law: Some(law),
            excluded: None,
        });
        Ok(Some((site, value)))
    }

    /// As [`assign`](Self::assign), without computing the law, for a choice among host values that another run has
    /// reached and of which none is excluded.
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
            (site.events, site.vertices.len()) == (1, size)
                && message.dist.least_value() == Some(site.least())
                && !message.dist.excludes_values()
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

    /// Notes a choice that is left but could be integrated out.
    fn note_gaussian(&self, message: &Message<'_>, law: &dyn Law) {
        let is_in_rows = !message.plates.is_empty() && message.estimator.is_none();
        let graph = &mut *self.shared.graph.borrow_mut();
        if graph.sums == 1
            && counts_once(message)
            && is_in_rows
            && nodes::fits(&**message.dist, law, message.plates)
        {
            let plates = Rc::clone(message.plates);
            graph
                .gaussians
                .insert(message.full_name.to_string(), plates);
        }
    }

    /// Makes the choice as it would be made without the sum, once for all runs.
    fn keep(&self, message: &mut Message<'_>) -> Result<()> {
        let name: &Cow<'static, str> = message.full_name;
        if let Some(kept) = self.shared.kept.borrow().get(&**name) {
            if self.is_looked_at {
                kept.expect_values_of(&*message.law()?)?;
            }
            message.value = Some(kept.value.clone());
            message.origin = kept.origin;
            return Ok(());
        }
        let (law, has_cases) = of_this_case(message.law()?);
        self.note_gaussian(message, &*law);
        // Draws, and what is computed from them, must have their own graph nodes.
        let _pause = Sharing::pause();
        if let Some(outer) = &self.shared.outer {
            let stated = || Ok(Rc::clone(&law));
            let mut stated = Message {
                law: &stated,
                value: message.value.take(),
                ..*message
            };
            outer.sample(&mut stated)?;
            (message.value, message.origin) = (stated.value, stated.origin);
        }
        let mut stream = message.key.stream(name);
        let value = match &message.value {
            Some(value) => value.clone(),
            None if has_cases => {
                Value::Tensor(law.draw(&law.noise(&mut stream)?).check()?.detach())
            }
            None => AnyDistribution::sample(&*message.expanded()?, &mut stream)?,
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

/// If any value is excluded: for each value of each event, whether every row excludes it.
fn excluded(law: &dyn Law, events: usize, size: usize) -> Result<Option<Vec<bool>>> {
    Ok(law.excluded()?.map(|rows| {
        let mut all = vec![true; events * size];
        for row in rows.chunks_exact(events * size) {
            all.iter_mut().zip(row).for_each(|(all, row)| *all &= row);
        }
        all
    }))
}

/// Extends `excluded` from a law's own values, at `own`, to all values that runs have met.
fn among_all(
    excluded: Option<Vec<bool>>,
    events: usize,
    own: Range<usize>,
    all: usize,
) -> Vec<bool> {
    let mut of_all = vec![true; events * all];
    for (event, of_event) in of_all.chunks_exact_mut(all).enumerate() {
        let of_law = &mut of_event[own.clone()];
        match &excluded {
            Some(excluded) => of_law.copy_from_slice(&excluded[event * own.len()..][..own.len()]),
            None => of_law.fill(false),
        }
    }
    of_all
}

/// Whether a choice's log-probability counts exactly once.
fn counts_once(message: &Message<'_>) -> bool {
    message.weight.is_none() && message.scale == 1.0
}

/// A law at the run's own values of all choices, and whether it differs at others: a choice that is not summed out is
/// the same whatever these are, and so is what draws it.
fn of_this_case(law: Rc<dyn Law>) -> (Rc<dyn Law>, bool) {
    let parameters = law.parameters();
    let has_cases = parameters.iter().any(|x| x.cases().is_some());
    let law = match has_cases {
        true => {
            let own: Vec<Tensor> = parameters.iter().map(Tensor::of_this_case).collect();
            law.with_parameters(&own)
        }
        false => law,
    };
    (law, has_cases)
}

impl Interpreter for Assign {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        let left = self.shared.sites_left.get();
        self.choices.set(self.choices.get() + 1);
        if left == 0 || self.choices.get() > self.shared.most_in_a_run {
            return Err(Error::Enumeration(
                "the runs of the sum reached too many choices; sum fewer sites out (`only`), or bound \
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
