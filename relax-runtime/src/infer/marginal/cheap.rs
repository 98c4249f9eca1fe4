//! Decides which sums are taken by default.

use std::rc::Rc;

use super::graph::{Graph, MOST_RUNS_UNASKED};
use super::marginalised::{LOG_EVIDENCE, Marginalised};
use super::nodes::{LARGEST_ERROR, Names};
use crate::dist::Value;
use crate::error::{Error, Result};
use crate::model::{
    Context, Entry, GivenUp, Interpreter, Kind, Message, Model, ParamStore, Plate, RecoveredKnown,
    Trace, within,
};
use crate::random::Key;

/// Maximum work of a sum's runs, as measured by [`Graph::work`].
const MOST_WORK: usize = 2_000_000;
/// Maximum work if continuous choices are also integrated out.
const MOST_WORK_WITH_NODES: usize = 500_000;

/// Number of sums at other values of discrete choices that are left, and the factor by which a sum may exceed the runs
/// of the largest: training reaches values that no trial sum has met.
const FURTHER_LOOKS: u64 = 4;
const ROOM: usize = 16;

/// A run of a first sum may reach this many times the sites of a run whose choices are drawn, because first values,
/// such as those of a coin that ends a loop, may not end it. Up to `FEW_SITES` are always allowed.
const LONGER: usize = 4;
const FEW_SITES: usize = 1 << 14;

/// A sum that is taken by default.
#[derive(Debug)]
pub(in crate::infer) struct Cheap<M> {
    summed: Marginalised<M>,
    /// The same, with choices integrated out.
    with_nodes: Option<Marginalised<M>>,
}

/// Why no sum is taken by default.
#[derive(Clone, Debug)]
pub(in crate::infer) enum Costly {
    /// There are no choices to sum out.
    Nothing,
    /// It cannot be taken.
    Refused(String),
    /// Rows of a plate are not independent, so that draws would not do, either.
    Tied(Error),
    /// Choices that are left decide how many there are to sum out, which may be too many.
    Open,
    /// What was asked for is about draws.
    Asked(&'static str),
    /// It takes more work than the limit.
    Work { runs: usize, terms: usize },
}

impl Costly {
    /// The reason in words, if there was something to sum out.
    pub(in crate::infer) fn words(&self) -> Option<String> {
        Some(match self {
            Self::Nothing | Self::Tied(_) => return None,
            Self::Asked(what) => format!(
                "no sum is taken over discrete choices, because {what}: `marginalise()` takes it none the less"
            ),
            Self::Refused(problem) => format!("no sum is taken over discrete choices: {problem}"),
            Self::Open => "no sum is taken over discrete choices: those that are left, such as a count that is drawn, \
                           decide how many there are, which may be too many; `marginalise()` tries"
                .into(),
            Self::Work { runs, terms } => format!(
                "no sum is taken over discrete choices by default, as it takes {runs} runs of {terms} terms for each \
                 gradient: `marginalise()` takes it"
            ),
        })
    }
}

impl<M> Cheap<M> {
    /// The model with what is left of the sum; `None` if nothing is.
    pub(in crate::infer) fn less(&self, given_up: GivenUp) -> Option<&Marginalised<M>> {
        match given_up {
            GivenUp::Nothing => Some(self.with_nodes.as_ref().unwrap_or(&self.summed)),
            GivenUp::Integrals => Some(&self.summed),
            GivenUp::Sum => None,
        }
    }

    /// Whether continuous choices are integrated out.
    pub(in crate::infer) fn has_integrals(&self) -> bool {
        self.with_nodes.is_some()
    }
}

impl<M: Model + Clone> Marginalised<M> {
    /// The sum to take by default, unless there is none, or it takes more work than a few runs of the model. If nothing
    /// is left to train, more work is worth it. Uses the initial values of parameters.
    ///
    /// If `may_integrate`, a Gaussian number in each row of a plate is integrated out if it is the only one there and
    /// shares a term with a discrete choice of the same row: given everything else, its law is a mixture over that
    /// choice. A first trial must show that its nodes are close enough together.
    ///
    /// `sites` is the number of sites reached by a run whose choices are drawn, if known.
    ///
    /// # Errors
    /// Why no sum is taken.
    pub(in crate::infer) fn if_cheap(
        &self,
        params: &ParamStore,
        may_integrate: bool,
        sites: Option<usize>,
    ) -> std::result::Result<Cheap<M>, Costly> {
        let most = sites.map_or(usize::MAX, |sites| (LONGER * sites).max(FEW_SITES));
        self.in_runs_of(most).expect_cheap(params, MOST_WORK)?;
        let names = self.candidates();
        let with_nodes = (may_integrate && !names.is_empty()).then(|| {
            let further = self.clone().integrating(names);
            further.expect_cheap(params, MOST_WORK_WITH_NODES).ok()?;
            let fits = further.nodes_meet_choices() && further.has_near_nodes(params);
            fits.then_some(further)
        });
        Ok(Cheap {
            summed: self.clone(),
            with_nodes: with_nodes.flatten(),
        })
    }

    /// Whether its sum is cheap.
    fn expect_cheap(
        &self,
        params: &ParamStore,
        most_work: usize,
    ) -> std::result::Result<(), Costly> {
        let look = || {
            let trace = self.look(params, None, 0);
            trace.map_err(|error| match error.cause() {
                Error::TiedRows { .. } => Costly::Tied(error),
                cause => Costly::Refused(cause.to_string()),
            })
        };
        let is_all = |trace: &Trace| trace.entries().len() == 1;
        let mut trace = look()?;
        // If nothing is left to train, the sum is the whole fit.
        if !is_all(&trace) {
            // The second sum finds all terms, and makes no more runs than necessary.
            trace = look()?;
            let mut left = trace.entries().iter();
            if left.any(is_discrete) && !self.has_room(params) {
                return Err(Costly::Open);
            }
        }
        let graph = self.graph.borrow();
        if graph.sites.is_empty() {
            return Err(Costly::Nothing);
        }
        // One run with cases computes as much as separate runs for them.
        let runs = (graph.plan.len() + 1).max(graph.most_combinations());
        match is_all(&trace) || runs * graph.work() <= most_work {
            true => Ok(()),
            false => Err(Costly::Work {
                runs,
                terms: graph.terms.iter().filter(|term| term.is_factor()).count(),
            }),
        }
    }

    /// Whether sums stay far below the limit on runs if discrete choices that are left, such as a number of rounds,
    /// decide which others there are.
    fn has_room(&self, params: &ParamStore) -> bool {
        let mut looks = 1..=FURTHER_LOOKS;
        if !looks.all(|seed| self.look(params, None, seed).is_ok()) {
            return false;
        }
        let graph = self.graph.borrow();
        !graph.comes_and_goes || ROOM.saturating_mul(graph.most_combinations()) <= MOST_RUNS_UNASKED
    }

    /// What is left of the model in a trial sum, with the choices that `who` makes, or its own draws.
    fn look(
        &self,
        params: &ParamStore,
        who: Option<Rc<dyn Interpreter>>,
        seed: u64,
    ) -> Result<Trace> {
        let context = Context::new(Key::new(seed), who, params.fork());
        self.run(&context)?;
        Ok(context.finish().0)
    }

    /// Whether sums over nodes stand for integrals at the likeliest of some states of what is left (draws and its
    /// means), on which the width of a row's posterior depends.
    fn has_near_nodes(&self, params: &ParamStore) -> bool {
        const LOOKS: u64 = 8;
        let means: Rc<dyn Interpreter> = Rc::new(Means);
        let looks = (0..LOOKS)
            .map(|seed| (None, seed))
            .chain([(Some(means), 0)]);
        let looks = looks.filter_map(|(who, seed)| {
            let trace = self.look(params, who, seed).ok()?;
            let log_evidence = trace
                .get(LOG_EVIDENCE)
                .ok()?
                .log_prob()
                .ok()?
                .peek_total()
                .ok()?;
            Some((log_evidence, trace))
        });
        let likeliest = looks.max_by(|a, b| a.0.total_cmp(&b.0));
        likeliest.is_some_and(|(_, trace)| has_near_nodes(&trace).unwrap_or(false))
    }

    /// Choices that were not summed out but could be integrated out: each alone in its plate, and beside a discrete
    /// choice of the same rows.
    fn candidates(&self) -> Names {
        let graph = self.graph.borrow();
        let has_choice = |plates: &Rc<[Plate]>| {
            let mut sites = graph.sites.iter();
            sites.any(|site| is_same(&graph.domains[site.first].plates, plates))
        };
        let is_alone = |plates: &Rc<[Plate]>| {
            let others = graph
                .gaussians
                .values()
                .filter(|other| within(other, plates));
            others.count() == 1
        };
        let all = graph.gaussians.iter();
        let fit = all.filter(|(_, plates)| has_choice(plates) && is_alone(plates));
        fit.map(|(name, _)| name.clone()).collect()
    }

    /// Whether every choice that is integrated out shares a term with a discrete one of the same rows.
    fn nodes_meet_choices(&self) -> bool {
        let graph = &*self.graph.borrow();
        let mut nodes = graph.sites.iter().filter(|site| site.has_nodes);
        nodes.all(|site| graph.meets_choice(site.first))
    }
}

/// Gives continuous choices their means.
struct Means;

impl Interpreter for Means {
    fn sample(&self, message: &mut Message<'_>) -> Result<()> {
        let law = message.law()?;
        if message.value.is_none() && !law.draws().are_discrete() {
            let mean = law.mean().detach();
            let is_finite = mean.with_values(|x| x.iter().all(|x| x.is_finite()))?;
            message.value = is_finite.then_some(Value::Tensor(mean));
        }
        Ok(())
    }
}

/// Whether an entry is a discrete choice.
fn is_discrete(entry: &Entry) -> bool {
    let law = entry.dist.as_ref().map(|dist| dist.law());
    entry.kind == Kind::Latent && matches!(law, Some(Ok(law)) if law.draws().are_discrete())
}

/// Whether plates have the same rows.
fn is_same(plates: &[Plate], others: &[Plate]) -> bool {
    plates.len() == others.len() && within(plates, others)
}

/// Whether sums over nodes stand for integrals in this run.
fn has_near_nodes(trace: &Trace) -> Result<bool> {
    for summed in &trace.summed {
        for site in summed.recover(Key::new(0))?.sites {
            let is_met = site.value.is_some();
            if is_met
                && matches!(site.known, RecoveredKnown::Nodes { error } if error > LARGEST_ERROR)
            {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

impl Graph {
    /// Whether some term depends on both the variable and a discrete choice of the same rows.
    fn meets_choice(&self, variable: usize) -> bool {
        let plates = &self.domains[variable].plates;
        let is_choice =
            |v: &usize| !self.owner(*v).has_nodes && is_same(&self.domains[*v].plates, plates);
        let mut terms = self.terms.iter();
        terms.any(|term| term.scope.contains(&variable) && term.scope.iter().any(is_choice))
    }
}
