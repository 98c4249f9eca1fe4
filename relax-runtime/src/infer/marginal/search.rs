//! The runs that tell every number of every term.
//!
//! A run tells one number of each term: that of the values which the term's variables have there. On which
//! variables a term depends is known from the tensors that it was computed from, and where host code has
//! read values, found by contradiction (`scopes`). All runs of the first sum and of one in sixteen are looked at that
//! way; those of others leave out what a run before them has told.
//!
//! Where choices are tensors one run may tell all numbers, each term's in all cases of its choices. The first sum
//! does without, so that its runs find the scopes that cases are compared with.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::assign::run;
use super::eliminate::Sum;
use super::factor::Domain;
use super::graph::{Graph, MOST_RUNS, MOST_RUNS_UNASKED};
use super::kept::Shared;
use super::ran::Ran;
use super::said::Got;
use super::table::{Cell, Table};
use super::tries::Trial;
use crate::error::{Error, Result};
use crate::model::{Context, Entry, Program};
use crate::random::Stream;
use crate::tensor::SiteSet;

/// Runs at random values before scopes are believed.
pub(super) const TRIALS: usize = 16;

/// Runs at states drawn by the first sum before that is believed: so many, and twice as many each time that they have
/// told more, up to these.
const CONFIRMING: usize = 32;
const MOST_CONFIRMING: usize = 1 << 10;

/// Runs, and what they have told.
pub(super) struct Search<'a> {
    pub(super) model: &'a dyn Program,
    pub(super) context: &'a Context,
    pub(super) shared: Rc<Shared>,
    pub(super) stream: Stream,
    pub(super) runs: Vec<Ran>,
    /// The values that were asked for, where they mattered.
    pub(super) asked: Vec<Vec<usize>>,
    pub(super) tables: Vec<Table>,
    /// Terms that have two numbers at the same values, and the two runs.
    pub(super) conflicts: Vec<(usize, usize, usize)>,
    pub(super) has_grown: bool,
    /// Whether a run has told a number that was not known.
    pub(super) has_told: bool,
    /// What runs that were dropped have of parameters and of choices that are not summed out, what host code has read
    /// there, and their first mistake.
    pub(super) left: Vec<Entry>,
    pub(super) reads: SiteSet,
    mistake: Option<Error>,
    /// Whether some run has parameters, or choices that are not summed out.
    pub(super) has_left: bool,
    /// The numbers of the largest record.
    pub(super) elements: usize,
    /// How often it was asked whether any state has some values.
    pub(super) eliminations: usize,
    /// Whether the first run has told all, with the cases of its choices.
    has_cases: bool,
    /// Whether no sum was taken before.
    is_first: bool,
    /// How often the first sum has looked for states to try.
    pub(super) rounds: usize,
    /// Of the terms of choices that are kept, how many runs were looked at for them.
    looked_at: FxHashMap<usize, usize>,
    /// Of each variable whether no run of this sum comes by it, whatever the others are; empty where there is
    /// none.
    pub(super) absent: Vec<bool>,
    /// How many runs of the plan were made.
    planned: usize,
    /// How many states drawn by the sum are to confirm it.
    confirming: usize,
    /// Runs that were made between two others.
    pub(super) between: FxHashMap<Vec<usize>, usize>,
}

/// What a run is to tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    All,
    /// What others have not told.
    New,
    /// All, with the cases of its choices.
    Cases,
}

impl<'a> Search<'a> {
    pub(super) fn new(model: &'a dyn Program, context: &'a Context, shared: Rc<Shared>) -> Self {
        Self {
            stream: context.key().stream("summed out"),
            model,
            context,
            shared,
            runs: Vec::new(),
            asked: Vec::new(),
            tables: Vec::new(),
            conflicts: Vec::new(),
            has_grown: false,
            has_told: false,
            left: Vec::new(),
            reads: SiteSet::EMPTY,
            mistake: None,
            has_left: false,
            elements: 0,
            eliminations: 0,
            has_cases: false,
            is_first: false,
            rounds: 0,
            looked_at: FxHashMap::default(),
            absent: Vec::new(),
            planned: 0,
            confirming: CONFIRMING,
            between: FxHashMap::default(),
        }
    }

    /// Goes on from what sums over a model of this name have found, such as those of other rows of the data, if a run
    /// comes by choices that they know, and where every run tells anew what depends on what, as no host code reads
    /// choices.
    ///
    /// # Errors
    /// Whatever goes wrong in the model.
    pub(super) fn go_on_from(&mut self, known: &Graph) -> Result<()> {
        if !known.is_of_all || known.sums == 0 || !known.is_certain() {
            return Ok(());
        }
        self.add(&[])?;
        self.forget();
        self.has_grown = false;
        self.shared.laws.borrow_mut().clear();
        let mut graph = self.shared.graph.borrow_mut();
        *graph = match graph.is_certain() && known.has_sites_of(&graph) {
            true => known.clone(),
            false => Graph::default(),
        };
        graph.is_of_all = true;
        Ok(())
    }

    /// Runs until every number is known.
    ///
    /// # Errors
    /// Whatever goes wrong in the model, or if there are too many numbers.
    pub(super) fn tell_all(&mut self) -> Result<()> {
        {
            let graph = &mut *self.shared.graph.borrow_mut();
            graph.sums += 1;
            self.is_first |= graph.sums == 1;
        }
        self.tell_rest()
    }

    /// The same of a sum that has begun.
    fn tell_rest(&mut self) -> Result<()> {
        loop {
            let told = match self.tell_cases() {
                Ok(false) => self.tell_by_runs(),
                told => told.map(drop),
            };
            match told {
                Err(_) if self.has_widened() => self.forget(),
                told => return told,
            }
        }
    }

    /// Whether the last run has met values that no other had, so that all is to be told anew.
    fn has_widened(&mut self) -> bool {
        let has_widened = std::mem::take(&mut self.shared.graph.borrow_mut().has_widened);
        if has_widened {
            self.has_grown = true;
            self.shared.laws.borrow_mut().clear();
        }
        has_widened
    }

    /// Has one run tell every number with the cases of its choices; whether it has.
    fn tell_cases(&mut self) -> Result<bool> {
        let (sums, looks_twice) = {
            let graph = self.shared.graph.borrow();
            (graph.sums, graph.looks_twice())
        };
        let lacks_cases = self.shared.graph.borrow().lacks_cases;
        // What the first sum does without is looked for again now and then.
        if sums == 1 || (lacks_cases && !looks_twice) {
            return Ok(false);
        }
        self.run(&[], Telling::Cases)?;
        let is_told = |search: &Self| {
            let is_open = search.tables.iter().any(|table| table.open > 0);
            !is_open && !search.has_grown && search.conflicts.is_empty()
        };
        let mut told = !self.runs[0].is_lost && is_told(self);
        if told && looks_twice && !self.shared.graph.borrow().is_certain() {
            let values = self.filled(&[]).0;
            self.add(&values)?;
            told = is_told(self);
        }
        self.has_cases = told;
        self.shared.graph.borrow_mut().lacks_cases = !told;
        if !told {
            self.forget();
        }
        Ok(told)
    }

    /// The error of the first observation of any run that lies outside of its distribution's support whatever the
    /// parameters are.
    pub(super) fn mistake(&self) -> Option<Error> {
        let of_runs = self.runs.iter().find_map(|ran| ran.mistake.clone());
        of_runs.or_else(|| self.mistake.clone())
    }

    /// Whether the first run has told all, with the cases of its choices.
    pub(super) fn has_cases(&self) -> bool {
        self.has_cases
    }

    /// Runs anew until every number is known.
    ///
    /// # Errors
    /// As [`tell_all`](Self::tell_all).
    pub(super) fn start_again(&mut self) -> Result<()> {
        self.forget();
        self.tell_all()
    }

    /// Forgets what runs have told.
    fn forget(&mut self) {
        self.runs.clear();
        self.asked.clear();
        self.tables.clear();
        self.conflicts.clear();
        self.looked_at.clear();
        self.absent.clear();
        self.planned = 0;
        self.between.clear();
        self.has_cases = false;
    }

    fn tell_by_runs(&mut self) -> Result<()> {
        let (plan, sums, looks_twice) = {
            let graph = self.shared.graph.borrow();
            (Rc::clone(&graph.plan), graph.sums, graph.looks_twice())
        };
        self.add(&[])?;
        // Where nothing is looked for, what one run has told the next need not.
        let telling = match looks_twice {
            true => Telling::All,
            false => Telling::New,
        };
        for values in &*plan {
            // What is asked of a choice that no run comes by changes nothing: another run has told that.
            if values
                .iter()
                .zip(&self.absent)
                .any(|(&value, &absent)| absent && value > 0)
            {
                continue;
            }
            self.run(values, telling)?;
            self.planned += 1;
        }
        // What the first sum tries comes later, once its choices are known.
        let trials = match looks_twice && sums > 1 {
            true => vec![Trial::any()],
            false => Vec::new(),
        };
        self.complete(trials)?;
        self.keep_plan();
        Ok(())
    }

    /// Runs at states drawn by the sum that has been told, which are those that matter: whether they contradict
    /// nothing. If they do, more has been told, and the sum is to be taken again.
    ///
    /// # Errors
    /// As [`tell_all`](Self::tell_all).
    pub(super) fn confirms(&mut self, sum: &Sum) -> Result<bool> {
        match self.stands(sum) {
            Err(_) if self.has_widened() => {
                self.forget();
                self.tell_rest()?;
                Ok(false)
            }
            stands => stands,
        }
    }

    fn stands(&mut self, sum: &Sum) -> Result<bool> {
        let runs = {
            let graph = self.shared.graph.borrow();
            match graph.sums {
                _ if graph.is_certain() => 0,
                _ if self.is_first => self.confirming,
                _ => usize::from(graph.looks_twice()),
            }
        };
        for _ in 0..runs {
            let drawn = sum.draw(&mut self.stream);
            // Variables of one plate take the same row, and those of a plate inside it one of that.
            let place = self.stream.uniform_f64();
            let of_rows = |rows: &Vec<usize>| {
                let row = (place * rows.len() as f64) as usize;
                rows.get(row).copied().unwrap_or(0)
            };
            let values: Vec<usize> = drawn.iter().map(of_rows).collect();
            self.add(&values)?;
        }
        if self.conflicts.is_empty() && !self.has_grown {
            return Ok(true);
        }
        // What only such states show may show at few of them.
        self.confirming = (2 * self.confirming).min(MOST_CONFIRMING);
        if self.has_cases {
            self.shared.graph.borrow_mut().lacks_cases = true;
            self.forget();
            self.tell_by_runs()?;
            return Ok(false);
        }
        self.complete(Vec::new())?;
        self.keep_plan();
        Ok(false)
    }

    /// Goes on until every number is known, and these trials tell nothing new.
    fn complete(&mut self, mut trials: Vec<Trial>) -> Result<()> {
        let sums = self.shared.graph.borrow().sums;
        let (mut grown, mut is_thorough) = (false, true);
        loop {
            grown |= std::mem::take(&mut self.has_grown);
            self.resolve()?;
            if let Some(values) = self.next()? {
                self.add(&values)?;
                continue;
            }
            if self.shared.graph.borrow().is_certain() {
                break;
            }
            if trials.is_empty() {
                // There are choices or scopes that the trials so far could not look at: a few tell most of it, and the
                // first sum's are many.
                if std::mem::take(&mut grown) {
                    is_thorough = sums > 1;
                    trials = vec![Trial::any(); TRIALS];
                } else if !is_thorough {
                    is_thorough = true;
                    trials = self.first_trials();
                }
            }
            match trials.pop() {
                Some(trial) => self.try_out(&trial)?,
                None => break,
            }
        }
        Ok(())
    }

    /// Runs once more.
    pub(super) fn add(&mut self, values: &[usize]) -> Result<usize> {
        self.run(values, Telling::All)
    }

    /// Runs once more.
    fn run(&mut self, values: &[usize], telling: Telling) -> Result<usize> {
        let most = 4 * self.most_runs();
        if self.runs.len() > most {
            return Err(Error::Enumeration(format!(
                "more than {most} runs did not tell all numbers to sum over; sum fewer sites out (`only`)"
            )));
        }
        let variables = || self.shared.graph.borrow().domains.len();
        let before = variables();
        let is_told = |term: usize, values: &[Option<usize>], domains: &[Domain]| {
            telling == Telling::New && self.is_told(term, values, domains)
        };
        let has_cases = telling == Telling::Cases;
        let ran = run(
            self.model,
            self.context,
            &self.shared,
            values,
            has_cases,
            &is_told,
        )?;
        self.has_grown |= variables() > before;
        let new = self.runs.len();
        let asked = ran.values.iter().enumerate().map(|(v, value)| {
            let planned = values.get(v).copied().filter(|_| ran.excluded.is_some());
            value.or(planned).unwrap_or(0)
        });
        self.asked.push(asked.collect());
        let mut grown = ran.grown.clone();
        if self.tables.len() < self.shared.graph.borrow().terms.len() {
            grown.extend(self.shared.graph.borrow_mut().guess_again());
            grown.retain(|term| *term < self.tables.len());
        }
        self.has_left |= !ran.left.is_empty();
        self.elements = self.elements.max(ran.elements);
        self.reopen_after(&grown);
        self.runs.push(ran);
        grown.extend(self.stand_in()?);
        let known = self.tables.len();
        if new == 0 {
            self.absent = self.never_met();
        } else if self.comes_by_absent(new) {
            self.absent.clear();
            grown = (0..known).collect();
        }
        let terms = self.shared.graph.borrow().terms.len();
        for term in 0..known {
            match grown.contains(&term) {
                true => self.tables[term] = self.table(term)?,
                false => self.insert(term, new),
            }
        }
        for term in known..terms {
            let table = self.table(term)?;
            self.tables.push(table);
            self.tell(term);
        }
        for term in grown.into_iter().filter(|&term| term < known) {
            self.tell(term);
        }
        Ok(new)
    }

    /// How many runs a term may take.
    pub(super) fn most_runs(&self) -> usize {
        match self.shared.is_asked || !self.has_left {
            true => MOST_RUNS,
            false => MOST_RUNS_UNASKED,
        }
    }

    /// Runs once more, and keeps of it what is new.
    pub(super) fn probe(&mut self, values: &[usize]) -> Result<()> {
        self.has_told = false;
        let before = self.runs.len();
        // What is tried has limits of its own.
        let left = self.shared.sites_left.get();
        self.add(values)?;
        self.shared.sites_left.set(left);
        if !self.has_told && !self.has_grown && self.conflicts.is_empty() {
            for ran in self.runs.drain(before..) {
                for entry in ran.left {
                    if self.left.iter().all(|known| known.name != entry.name) {
                        self.left.push(entry);
                    }
                }
                self.reads.add(&ran.reads);
                self.mistake = self.mistake.take().or(ran.mistake);
            }
            self.asked.truncate(before);
            self.between.retain(|_, run| *run < before);
            self.looked_at
                .values_mut()
                .for_each(|looked_at| *looked_at = before.min(*looked_at));
        }
        Ok(())
    }

    /// Gives runs that did not come by a choice which is kept the density that stands in for it: the
    /// terms of which that changes what runs have told before.
    fn stand_in(&mut self) -> Result<Vec<usize>> {
        let mut changed = Vec::new();
        let graph = self.shared.graph.borrow();
        for (name, kept) in self.shared.kept.borrow().iter() {
            let Some(term) = graph.term_named(name) else {
                continue;
            };
            let is_absent = |ran: &Ran| ran.excluded.is_none() && !ran.has_met(term);
            let mut density = None;
            let last = self.runs.len() - 1;
            // Those before were looked at when the choice was known already.
            let looked_at = self.looked_at.insert(term, self.runs.len()).unwrap_or(0);
            for (number, ran) in self.runs.iter_mut().enumerate().skip(looked_at) {
                if !is_absent(ran) {
                    continue;
                }
                if number < last {
                    changed.push(term);
                }
                let got = match &density {
                    Some(got) => got,
                    None => {
                        let number = kept.log_density(self.shared.outer.as_deref())?;
                        density.insert(Got::of(number)?)
                    }
                };
                ran.tell(term, got.clone().into());
                ran.stood_in.push(term);
            }
        }
        Ok(changed)
    }

    /// Keeps the values of the runs that told something, for the next sum; where scopes have grown, other
    /// runs will do. Where choices are absent, also those that were planned.
    fn keep_plan(&mut self) {
        let mut graph = self.shared.graph.borrow_mut();
        if graph.sums > 1 && self.runs.len() == self.planned + 1 {
            // The runs that were planned have told all.
            return;
        }
        let tables = graph.terms.iter().zip(&self.tables);
        let mut told: Vec<usize> = tables
            .filter(|(term, _)| term.is_factor())
            .flat_map(|(_, table)| &table.cells)
            .filter_map(|cell| match cell {
                Cell::Told { run, .. } | Cell::Absent(run) | Cell::Impossible(run) => Some(*run),
                Cell::Open | Cell::Closed => None,
            })
            .filter(|&run| run > 0)
            .collect();
        told.sort_unstable();
        told.dedup();
        let asked = |run: &usize| self.asked[*run].clone();
        graph.plan = Rc::new(match graph.sums {
            1 => Vec::new(),
            // Others are for choices that a later sum comes by.
            _ if !self.absent.is_empty() && graph.plan.len() + told.len() <= self.most_runs() => {
                let new = told.iter().filter(|&&run| run > self.planned);
                graph.plan.iter().cloned().chain(new.map(asked)).collect()
            }
            _ => told.iter().map(asked).collect(),
        });
    }
}
