//! The runs that tell every number of every term.
//!
//! A run tells one number of each term: that at the values of the term's variables in the run. On which variables a
//! term depends is known from the tensors it was computed from or, if host code has read values, found by contradiction
//! (`scopes`). All runs of the first sum and of every sixteenth are examined that way; those of the other sums leave
//! out what an earlier run has told.
//!
//! If choices are tensors, one run may tell all numbers, each term's in all cases of its choices. The first sum does
//! without cases, so that its runs find the scopes with which cases are compared.

use std::collections::BTreeSet;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::assign::{Asked, run};
use super::confirm::CONFIRMING;
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

/// Number of runs at random values before scopes are trusted.
pub(super) const TRIALS: usize = 16;

/// Runs, and what they have told.
pub(super) struct Search<'a> {
    pub(super) model: &'a dyn Program,
    pub(super) context: &'a Context,
    pub(super) shared: Rc<Shared>,
    pub(super) stream: Stream,
    pub(super) runs: Vec<Ran>,
    /// The values that were asked for, as far as they mattered.
    pub(super) asked: Vec<Vec<usize>>,
    pub(super) tables: Vec<Table>,
    /// Terms with two different numbers at the same values, and the two runs.
    pub(super) conflicts: Vec<(usize, usize, usize)>,
    pub(super) has_grown: bool,
    /// Whether a run has told a number that was not known.
    pub(super) has_told: bool,
    /// What dropped runs left: entries of parameters and of choices that are not summed out, the sites that host code
    /// read there, and their first mistake.
    pub(super) left: Vec<Entry>,
    pub(super) reads: SiteSet,
    mistake: Option<Error>,
    /// Whether some run has parameters, or choices that are not summed out.
    pub(super) has_left: bool,
    /// Size of the largest trace, in numbers.
    pub(super) elements: usize,
    /// Number of eliminations made to find out whether any state has some values.
    pub(super) eliminations: usize,
    /// Whether the first run has told everything, with the cases of its choices.
    has_cases: bool,
    /// Whether no sum was taken before.
    pub(super) is_first: bool,
    /// How often the first sum has looked for states to try.
    pub(super) rounds: usize,
    /// For each term of a kept choice, how many runs were examined for it.
    looked_at: FxHashMap<usize, usize>,
    /// For each variable, whether no run of this sum reaches it, whatever the others are; empty if there is no such
    /// variable.
    pub(super) absent: Vec<bool>,
    /// Number of runs of the plan that were made.
    planned: usize,
    /// Number of states drawn by the sum that must confirm it.
    pub(super) confirming: usize,
    /// Whether a sum over impossible values alone was looked at more closely.
    pub(super) has_looked: bool,
    /// Laws for which more values are known to be impossible than when their tables were last searched.
    pub(super) to_close: BTreeSet<usize>,
    /// Runs made between two others, by their values.
    pub(super) between: FxHashMap<Vec<usize>, usize>,
}

/// What a run should tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Telling {
    All,
    /// What others have not told.
    New,
    /// Everything, with the cases of its choices.
    Cases,
}

impl<'a> Search<'a> {
    pub(super) fn new(model: &'a dyn Program, context: &'a Context, shared: Rc<Shared>) -> Self {
        // Chains run all their sums with one key: what one has tried, the next need not.
        let sum = shared.graph.borrow().sums;
        let stream = context.key().stream(&format!("summed out {sum}"));
        Self {
            stream,
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
            has_looked: false,
            to_close: BTreeSet::new(),
            between: FxHashMap::default(),
        }
    }

    /// Continues from what earlier sums over a model of this name found, such as those of other rows of the data: if a
    /// run reaches choices that they know, and if no host code reads choices, so that every run tells anew what depends
    /// on what.
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

    /// Runs until every number is known, in a sum that has begun.
    pub(super) fn tell_rest(&mut self) -> Result<()> {
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

    /// Whether the last run met values that no other had, so that everything must be told anew.
    pub(super) fn has_widened(&mut self) -> bool {
        let has_widened = std::mem::take(&mut self.shared.graph.borrow_mut().has_widened);
        if has_widened {
            self.has_grown = true;
            self.shared.laws.borrow_mut().clear();
        }
        has_widened
    }

    /// Lets one run tell every number with the cases of its choices; returns whether it did.
    fn tell_cases(&mut self) -> Result<bool> {
        let (sums, looks_twice) = {
            let graph = self.shared.graph.borrow();
            (graph.sums, graph.looks_twice())
        };
        let lacks_cases = self.shared.graph.borrow().lacks_cases;
        // If cases were lacking, they are tried again now and then.
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

    /// The error of the first observation of any run that lies outside its distribution's support whatever the
    /// parameters.
    pub(super) fn mistake(&self) -> Option<Error> {
        let of_runs = self.runs.iter().find_map(|ran| ran.mistake.clone());
        of_runs.or_else(|| self.mistake.clone())
    }

    /// Whether the first run has told everything, with the cases of its choices.
    pub(super) fn has_cases(&self) -> bool {
        self.has_cases
    }

    /// Starts over, and runs until every number is known.
    ///
    /// # Errors
    /// As [`tell_all`](Self::tell_all).
    pub(super) fn start_again(&mut self) -> Result<()> {
        self.forget();
        self.tell_all()
    }

    /// Forgets what runs have told.
    pub(super) fn forget(&mut self) {
        self.runs.clear();
        self.asked.clear();
        self.tables.clear();
        self.conflicts.clear();
        self.looked_at.clear();
        self.absent.clear();
        self.planned = 0;
        self.between.clear();
        self.to_close.clear();
        self.has_cases = false;
    }

    pub(super) fn tell_by_runs(&mut self) -> Result<()> {
        let (plan, sums, looks_twice) = {
            let graph = self.shared.graph.borrow();
            (Rc::clone(&graph.plan), graph.sums, graph.looks_twice())
        };
        self.add(&[])?;
        for values in &*plan {
            // If dependencies are not examined and nothing new was met, later runs need not repeat what earlier ones
            // told.
            let telling = match looks_twice || self.has_grown {
                true => Telling::All,
                false => Telling::New,
            };
            // Values asked for a choice that no run reaches change nothing: another run has told the same.
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
        // The trials of the first sum come later, once its choices are known.
        let trials = match sums > 1 && (looks_twice || self.looks_again(sums, plan.len())) {
            true => vec![Trial::any()],
            false => Vec::new(),
        };
        self.complete(trials)?;
        self.keep_plan();
        Ok(())
    }

    /// Runs until every number is known and these trials tell nothing new.
    pub(super) fn complete(&mut self, mut trials: Vec<Trial>) -> Result<()> {
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
                // There are choices or scopes that the trials so far could not examine: a few new ones tell most, and
                // the first sum's are many.
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

    /// Runs once more, telling everything; returns the index of the run.
    pub(super) fn add(&mut self, values: &[usize]) -> Result<usize> {
        self.run(values, Telling::All)
    }

    /// Runs once more; returns the index of the run.
    fn run(&mut self, values: &[usize], telling: Telling) -> Result<usize> {
        let most = 4 * self.most_runs();
        if self.runs.len() > most {
            return Err(Error::Enumeration(format!(
                "more than {most} runs did not find all numbers to sum over; sum fewer sites out (`only`)"
            )));
        }
        let before = self.shared.graph.borrow().domains.len();
        let is_told = |term: usize, values: &[Option<usize>], domains: &[Domain]| {
            telling == Telling::New && self.is_told(term, values, domains)
        };
        let asked = Asked {
            values,
            has_cases: telling == Telling::Cases,
            rows_apart: None,
            is_looked_at: telling != Telling::New,
            is_told: &is_told,
        };
        let ran = run(self.model, self.context, &self.shared, &asked)?;
        let new = self.runs.len();
        {
            let graph = &mut *self.shared.graph.borrow_mut();
            let has_news = std::mem::take(&mut graph.has_news) && !graph.is_certain();
            self.has_grown |= has_news || graph.domains.len() > before;
        }
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
                true => self.empty(term)?,
                false => self.insert(term, new),
            }
        }
        for term in known..terms {
            let table = self.table(term)?;
            self.tables.push(table);
            self.look_through(term);
            self.tell_possible(term);
            self.tell(term);
        }
        for term in grown.into_iter().filter(|&term| term < known) {
            self.tell(term);
        }
        Ok(new)
    }

    /// Maximum number of runs for a term.
    pub(super) fn most_runs(&self) -> usize {
        match self.shared.is_asked || !self.has_left {
            true => MOST_RUNS,
            false => MOST_RUNS_UNASKED,
        }
    }

    /// Runs once more, and keeps the run only if it tells something new.
    pub(super) fn probe(&mut self, values: &[usize]) -> Result<()> {
        self.has_told = false;
        let before = self.runs.len();
        // Trials have their own limits.
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

    /// Gives runs that did not reach a kept choice the density that stands in for it. Returns the terms for which this
    /// changes what earlier runs told.
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
            // Earlier runs were examined when the choice was already known.
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

    /// Keeps the values of the runs that told something, for the next sum; if scopes have grown, other runs may serve.
    /// If choices are absent, also keeps the planned runs.
    pub(super) fn keep_plan(&mut self) {
        let mut graph = self.shared.graph.borrow_mut();
        if graph.sums > 1 && self.runs.len() == self.planned + 1 {
            // The planned runs have told everything.
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
            // The other planned runs are for choices that a later sum reaches.
            _ if !self.absent.is_empty() && graph.plan.len() + told.len() <= self.most_runs() => {
                let new = told.iter().filter(|&&run| run > self.planned);
                graph.plan.iter().cloned().chain(new.map(asked)).collect()
            }
            _ => told.iter().map(asked).collect(),
        });
    }
}
